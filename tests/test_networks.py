"""Networks: the contract that every row of the table keeps, and what each member says of itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch  # noqa: TID253

from unnoise import networks
from unnoise.errors import UnnoiseError
from unnoise.networks import NETWORKS, Network

# Small ones of every kind, so that the contract is fast; a row without an entry is tested as it comes.
TINY = {
    "dncnn": ["dncnn:depth=3,width=4", "dncnn:channels=1,depth=4,width=4,norm=false"],
    "resunet": ["resunet:widths=4/8,blocks=1/1", "resunet:channels=1,widths=4/6/8,blocks=1/2/1"],
}
SPECS = [spec for name in NETWORKS for spec in TINY.get(name, [name])]
every_network = pytest.mark.parametrize("spec", SPECS)


def random_network(spec: str) -> Network:
    """Make a network in double precision whose weights are all random: nothing starts at zero, and nothing hides."""
    torch.manual_seed(0)
    network = networks.make(spec).double().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


def picture(network: Network, batch: int = 1, height: int = 2, width: int = 3) -> torch.Tensor:
    """Return a random batch of the network's channels and type, sides in units of `multiple_of`."""
    unit = network.multiple_of
    generator = torch.Generator().manual_seed(1)
    shape = (batch, network.channels, height * unit, width * unit)
    return torch.rand(shape, generator=generator, dtype=next(network.parameters()).dtype)


def level(network: Network, batch: int = 1) -> torch.Tensor | None:
    """Return a noise level per picture for a network that wants one."""
    if not network.wants_sigma:
        return None
    levels = torch.linspace(0.02, 0.2, batch, dtype=next(network.parameters()).dtype)
    return levels.reshape(batch, 1, 1, 1)


def test_small_specs_name_members() -> None:
    assert set(TINY) <= set(NETWORKS)


@every_network
def test_every_parameter_gets_a_finite_gradient(spec: str) -> None:
    network = networks.make(spec)
    noisy = picture(network, batch=2)
    network.forward_train(noisy, level(network, 2))["prediction"].square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@every_network
def test_every_parameter_matters(spec: str) -> None:
    network = random_network(spec).train()
    network(picture(network, batch=2), level(network, 2)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@every_network
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (3, 2), (5, 5)])
def test_any_multiple_of_its_grid_keeps_its_size(spec: str, height: int, width: int) -> None:
    network = random_network(spec)
    noisy = picture(network, height=height, width=width)
    clean = network(noisy, level(network))
    assert clean.shape == noisy.shape
    assert torch.isfinite(clean).all()


@every_network
def test_its_spec_builds_it_again(spec: str) -> None:
    network = networks.make(spec)
    again = networks.make(str(network))
    assert str(network) == str(again) == spec
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    assert shapes == {name: value.shape for name, value in again.state_dict().items()}
    assert network.parameter_count == sum(value.numel() for value in network.parameters())


@every_network
def test_a_batch_is_its_pictures(spec: str) -> None:
    network = random_network(spec)
    noisy, sigma = picture(network, batch=3), level(network, 3)
    together = network(noisy, sigma)
    for index in range(3):
        alone = network(noisy[index : index + 1], None if sigma is None else sigma[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-9, atol=1e-9)


@every_network
def test_nothing_reaches_beyond_the_halo(spec: str) -> None:
    network = random_network(spec)
    if network.halo is None:
        pytest.skip("sees the whole picture")
    unit, halo = network.multiple_of, network.halo
    side = 2 * (halo // unit + 2)
    noisy = picture(network, height=side, width=side)
    before, middle = network(noisy, level(network)), side // 2 * unit
    rows, columns = np.ogrid[: side * unit, : side * unit]
    farthest = 0
    for y, x in [(middle, middle), (middle + unit - 1, middle + unit // 2), (middle + 1, middle - 1)]:
        changed = noisy.clone()
        changed[0, :, y, x] += 1
        moved = (network(changed, level(network)) - before).abs().amax(dim=1)[0].detach().numpy() > 1e-12
        distance = np.maximum(abs(rows - y), abs(columns - x))
        assert not moved[distance > halo].any()
        assert moved[y, x]
        farthest = max(farthest, int(distance[moved].max()))
    assert farthest > halo // 2, "the halo is far wider than what the network sees: tiles would be slow"


@every_network
def test_a_level_is_a_map_of_itself(spec: str) -> None:
    network = random_network(spec)
    noisy, sigma = picture(network, batch=2), level(network, 2)
    if sigma is None:
        pytest.skip("is not told the noise level")
    torch.testing.assert_close(network(noisy, sigma), network(noisy, sigma.expand(2, 1, *noisy.shape[2:])))
    assert not torch.equal(network(noisy, sigma), network(noisy, 2 * sigma))
    with pytest.raises(UnnoiseError, match="needs the noise level"):
        network(noisy)


def test_a_level_may_vary_over_the_picture() -> None:
    network = random_network("resunet:widths=4/8,blocks=1/1")
    noisy = picture(network, height=20, width=20)
    flat = torch.full_like(noisy[:, :1], 0.1)
    varied = flat.clone()
    varied[..., :8] = 0.3
    moved = (network(noisy, varied) - network(noisy, flat)).abs().amax(dim=(0, 1, 2)).detach() > 1e-12
    assert moved[:8].all()
    assert not moved[8 + network.halo :].any()


def test_a_fresh_resunet_is_the_identity() -> None:
    network = networks.make("resunet:widths=4/8,blocks=1/1")
    noisy = picture(network, batch=2)
    assert torch.equal(network(noisy, level(network, 2)), noisy)


def test_the_skip_of_a_resunet_leads_around_its_coarse_level() -> None:
    network = random_network("resunet:widths=4/8,blocks=1/1")
    torch.nn.init.zeros_(network.up[0].weight)
    network(picture(network), level(network)).square().mean().backward()
    assert network.encoders[0][0].first.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("spec", "published"),
    [
        ("dncnn:channels=1,depth=17", 0.556e6),
        ("dncnn:channels=3,depth=20,norm=false", 0.668e6),  # as published: normalisation merged into the convolutions
        ("resunet", 1.05e6),
    ],
)
def test_parameter_count(spec: str, published: float) -> None:
    assert networks.make(spec).parameter_count == pytest.approx(published, rel=2e-3)


def test_dncnn_subtracts_what_it_finds() -> None:
    network = random_network("dncnn:depth=3,width=4")
    noisy = picture(network)
    torch.testing.assert_close(noisy - network(noisy), network.layers(noisy))


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("dncn", "did you mean 'dncnn'"),
        ("dncnn:dept=3", "did you mean 'depth'"),
        ("dncnn:depth=1", "depth must be at least 2"),
        ("dncnn:depth=2.5", "depth takes whole numbers of at least 1, not '2.5'"),
        ("dncnn:width=0", "width takes whole numbers"),
        ("resunet:widths=4", "the same levels, two or more"),
        ("resunet:widths=4/8,blocks=1/1/1", "the same levels, two or more"),
        ("resunet:widths=4/-8,blocks=1/1", "not '4/-8'"),
        ("dncnn + dncnn", "no meaning for a network"),
        ("dncnn | resunet", "no meaning for a network"),
    ],
)
def test_a_wrong_spec_is_told_in_one_line(spec: str, why: str) -> None:
    with pytest.raises(UnnoiseError, match=why) as caught:
        networks.make(spec)
    assert "\n" not in str(caught.value)
