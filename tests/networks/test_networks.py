"""Networks: the contract of all registered networks, and tests of each."""

from __future__ import annotations

import numpy as np
import pytest
import torch  # noqa: TID253

from unnoise import networks
from unnoise.errors import UnnoiseError
from unnoise.networks import NETWORKS, Network
from unnoise.networks.base import multiply_adds
from unnoise.networks.blocks import DEFAULT_SIGMA, ImpulseFill
from unnoise.networks.resunet import ResUNet

# Small ones of every kind, so that the contract is fast; a row without an entry is tested as it comes.
TINY = {
    "blind": [
        "blind:widths=4/8,blocks=1/1,estimator=4/6/8,codes=2",
        "blind:channels=1,widths=4/8,blocks=1/1,estimator=4/6,codes=0",
    ],
    "autoencoder": ["autoencoder:6,size=4", "autoencoder:6,hidden=20/12,decoder=none,size=5,channels=3"],
    "dncnn": ["dncnn:depth=3,width=4", "dncnn:channels=1,depth=4,width=4,norm=false"],
    "encoder_decoder": [
        "encoder_decoder:widths=4/6/8",
        "encoder_decoder:channels=1,widths=4/6/6/8,convolutions=1,skips=true",
    ],
    "resunet": [
        "resunet:widths=4/8,blocks=1/1",
        "resunet:channels=1,widths=4/6/8,blocks=1/2/1,told=false,fill=true,refine=3",
        "resunet:widths=4/6,blocks=1/1,told=false,guess=true",
        "resunet:channels=1,widths=4/6,blocks=1/1,told=false,through=false",
        "resunet:widths=4/6,blocks=2/1",
        "resunet:widths=4/6,blocks=1/1,exact_at_zero=true",
    ],
    "unet": ["unet:width=2"],
    "vae": ["vae:size=8,code=6,width=6", "vae:channels=1,size=16,code=8,width=4"],
}
ESTIMATORS = {"noise_estimator"}  # which return no picture, and have tests of their own
SPECS = [spec for name in NETWORKS if name not in ESTIMATORS for spec in TINY.get(name, [name])]
every_network = pytest.mark.parametrize("spec", SPECS)


def random_network(spec: str) -> Network:
    """Make a network in double precision with all weights random, none zero."""
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


def lost(pictures: torch.Tensor) -> torch.Tensor:
    """Set a third of the pixels to black or white."""
    fate = torch.rand(pictures.shape, generator=torch.Generator().manual_seed(2))
    return torch.where(fate < 1 / 6, 0, torch.where(fate > 5 / 6, 1, pictures))


def level(network: Network, batch: int = 1) -> torch.Tensor | None:
    """Return a sigma per image, or None if the network takes none."""
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
    network(lost(picture(network, batch=2)), level(network, 2)).square().mean().backward()
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
    noisy = lost(picture(network, height=side, width=side))
    before, middle = network(noisy, level(network)), side // 2 * unit
    rows, columns = np.ogrid[: side * unit, : side * unit]
    farthest = 0
    for y, x in [(middle, middle), (middle + unit - 1, middle + unit // 2), (middle + 1, middle - 1)]:
        changed = noisy.clone()
        changed[0, :, y, x] = (changed[0, :, y, x] + 0.4) % 1  # what was lost is no longer
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
        pytest.skip("takes no sigma")
    torch.testing.assert_close(network(noisy, sigma), network(noisy, sigma.expand(2, 1, *noisy.shape[2:])))
    assert not torch.equal(network(noisy, sigma), network(noisy, 2 * sigma))
    with pytest.raises(UnnoiseError, match="this network needs sigma"):
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


@pytest.mark.parametrize("through", [True, False])
def test_a_picture_is_handed_to_the_end_or_not(through: bool) -> None:
    network = networks.make(f"resunet:widths=4/8,blocks=1/1,told=false,through={str(through).lower()}")
    torch.nn.init.zeros_(network.tail.weight)
    torch.nn.init.zeros_(network.tail.bias)
    noisy = picture(network)
    assert torch.equal(network(noisy), noisy if through else torch.zeros_like(noisy))


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
        ("unet", 31.03e6),  # as published, but for the last layer and the biases of the way up
        ("autoencoder:32", 784 * 32 + 32 + 32 * 784 + 784),
    ],
)
def test_parameter_count(spec: str, published: float) -> None:
    assert networks.make(spec).parameter_count == pytest.approx(published, rel=2e-3)


def test_dncnn_subtracts_what_it_finds() -> None:
    network = random_network("dncnn:depth=3,width=4")
    noisy = picture(network)
    torch.testing.assert_close(noisy - network(noisy), network.layers(noisy))


def test_the_halo_of_a_unet_is_reached_and_not_passed() -> None:
    network = networks.make("unet:channels=1,width=1").double()
    for parameter in network.parameters():
        torch.nn.init.constant_(
            parameter, 0.1
        )  # all positive: no rectifier stops anything, and a bright pixel is pooled
    unit, halo = network.multiple_of, network.halo
    middle = (halo // unit + 1) * unit
    dark = torch.zeros(1, 1, 2 * middle + unit, 2 * middle + unit, dtype=torch.float64)
    before, farthest = network(dark), 0
    for offset in range(unit):
        bright = dark.clone()
        bright[0, 0, middle + offset, middle] = 1e6
        rows = (network(bright) - before).abs().amax(dim=(0, 1, 3)).detach().numpy() > 1e-9
        farthest = max(farthest, int(abs(np.flatnonzero(rows) - middle - offset).max()))
    assert farthest == halo


def test_a_vae_draws_its_code_while_it_learns() -> None:
    network = random_network("vae:size=8,code=4,width=2")
    noisy = picture(network, batch=2)
    outputs = network.forward_train(noisy)
    assert {name: tuple(outputs[name].shape) for name in ("mean", "log_variance")} == {
        "mean": (12, 4),  # a code for each of 2x3 squares of two pictures
        "log_variance": (12, 4),
    }
    assert torch.equal(network(noisy), outputs["prediction"]), "at work it takes the mean"
    network.train()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(network(noisy))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_code_of_a_vae_is_drawn_with_its_variance() -> None:
    network = networks.make("vae:size=8,code=2,width=2").train()
    torch.nn.init.zeros_(network.mean.weight)
    torch.nn.init.zeros_(network.log_variance.weight)
    network.mean.bias.data = torch.tensor([3.0, -1.0])
    network.log_variance.bias.data = 2 * torch.log(torch.tensor([0.5, 2.0]))
    seen: list[torch.Tensor] = []
    network.decoder[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(0)
    network(torch.rand(20000, 3, 8, 8))
    torch.testing.assert_close(seen[0].mean(dim=0), torch.tensor([3.0, -1.0]), atol=0.06, rtol=0)
    torch.testing.assert_close(seen[0].std(dim=0), torch.tensor([0.5, 2.0]), atol=0, rtol=0.03)


def test_the_layers_of_a_vae() -> None:
    network = networks.make("vae")
    down = [layer for layer in network.encoder if isinstance(layer, torch.nn.Conv2d)]
    assert [(layer.kernel_size, layer.stride) for layer in down] == [((4, 4), (2, 2))] * 3
    assert (network.mean.out_features, network.log_variance.out_features) == (128, 128)
    assert sum(isinstance(layer, torch.nn.ConvTranspose2d) for layer in network.decoder) == 3


@pytest.mark.parametrize(
    ("spec", "nodes"),
    [
        ("autoencoder", [784, 64, 784]),
        ("autoencoder:32,hidden=128", [784, 128, 32, 128, 784]),
        ("autoencoder:32,hidden=256/128", [784, 256, 128, 32, 128, 256, 784]),
        ("autoencoder:32,hidden=256/128,decoder=100", [784, 256, 128, 32, 100, 784]),
        ("autoencoder:32,hidden=256,decoder=none", [784, 256, 32, 784]),
        ("autoencoder:decoder=50/60", [784, 64, 50, 60, 784]),
    ],
)
def test_the_layers_of_an_autoencoder(spec: str, nodes: list[int]) -> None:
    network = networks.make(spec)
    dense = [layer for layer in network.layers if isinstance(layer, torch.nn.Linear)]
    assert [dense[0].in_features, *(layer.out_features for layer in dense)] == nodes
    assert str(networks.make(spec.replace(":32", ":code=32"))) == str(network) == spec
    between = [type(layer) for layer in network.layers if not isinstance(layer, torch.nn.Linear)]
    assert between == [torch.nn.ReLU] * (len(nodes) - 2) + [torch.nn.Sigmoid]
    for layer in dense:  # as Keras draws them
        limit = (6 / (layer.in_features + layer.out_features)) ** 0.5
        assert 0.98 * limit < layer.weight.abs().max() <= limit
        assert not layer.bias.any()


def test_an_autoencoder_cleans_square_by_square() -> None:
    network = random_network("autoencoder:6,size=4,channels=3")
    noisy = picture(network)
    clean = network(noisy)
    for top, left in [(0, 0), (4, 8)]:
        square = noisy[:, :, top : top + 4, left : left + 4]
        expected = network.layers(square.reshape(1, -1)).reshape(square.shape)
        torch.testing.assert_close(clean[:, :, top : top + 4, left : left + 4], expected)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("dncn", "did you mean 'dncnn'"),
        ("dncnn:dept=3", "did you mean 'depth'"),
        ("dncnn:depth=1", "depth must be at least 2"),
        ("dncnn:depth=2.5", "depth takes integers of at least 1, got '2.5'"),
        ("dncnn:width=0", "width takes integers"),
        ("encoder_decoder:widths=8", "at least two levels"),
        ("encoder_decoder:skips=2", "skips must be true or false, got '2'"),
        ("resunet:widths=4", "the same levels, two or more"),
        ("resunet:widths=4/8,blocks=1/1/1", "the same levels, two or more"),
        ("resunet:widths=4/-8,blocks=1/1", "got '4/-8'"),
        ("autoencoder:0", "code takes integers"),
        ("autoencoder:hidden=128/x", "hidden takes integers of at least 1, got '128/x'"),
        ("autoencoder:decoder=mirror", "decoder takes integers, none or mirrored, got 'mirror'"),
        ("unet:width=0", "width takes integers"),
        ("vae:size=20", "size must be a multiple of 8, got 20"),
        ("vae:code=0", "code takes integers"),
        ("dncnn + dncnn", "not supported in a network"),
        ("dncnn | resunet", "not supported in a network"),
    ],
)
def test_invalid_spec_gives_a_one_line_error(spec: str, why: str) -> None:
    with pytest.raises(UnnoiseError, match=why) as caught:
        networks.make(spec)
    assert "\n" not in str(caught.value)


def test_multiplications_of_dncnn_are_those_of_its_paper() -> None:
    """Seventeen layers of 64 channels on a gray image: 9 x 64 in, 15 times 9 x 64 x 64, 9 x 64 out, for every pixel."""
    network = networks.make("dncnn:channels=1,depth=17")
    assert multiply_adds(network) == 9 * 64 + 15 * 9 * 64 * 64 + 9 * 64
    assert network.training


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        # Head and tail at half size; blocks of two convolutions; a step down and one up, each w v for a fine pixel.
        ("resunet:widths=4/6,blocks=1/1", (9 * 4 * 28 + 4 * 9 * 16 + 2 * 4 * 6) / 4 + 2 * 9 * 36 / 16),
        ("autoencoder:6,hidden=20,size=4", 2 * (16 * 20 + 20 * 6) / 16),
    ],
)
def test_multiplications_are_counted_at_each_layers_own_size(spec: str, expected: float) -> None:
    assert multiply_adds(networks.make(spec)) == expected


GIVEN = "resunet:widths=4/6,blocks=1/1"


def test_a_grey_network_begins_as_the_mean_of_three_copies() -> None:
    given, grey = random_network(GIVEN), networks.make("resunet:channels=1,widths=4/6,blocks=1/1").double()
    grey.initialize_from(given)
    noisy = picture(grey)
    expected = given(noisy.expand(-1, 3, -1, -1), level(given)).mean(dim=1, keepdim=True)
    torch.testing.assert_close(grey(noisy, level(grey)), expected)


def test_a_larger_network_begins_as_the_smaller() -> None:
    given, larger = random_network(GIVEN), networks.make("resunet:widths=4/6,blocks=2/3").double()
    larger.initialize_from(given)
    noisy = picture(given)
    torch.testing.assert_close(larger(noisy, level(larger)), given(noisy, level(given)))


def test_a_wider_network_begins_as_the_narrower() -> None:
    """Its additional features have an effect from the first step on: the weights that read them have a gradient."""
    given = random_network("resunet:widths=4/6,blocks=1/1")
    wider = networks.make("resunet:widths=5/9,blocks=2/1").double()
    wider.initialize_from(given)
    noisy = picture(given, height=8, width=8)
    clean = wider(noisy, level(wider))
    torch.testing.assert_close(clean, given(noisy, level(given)))
    clean.square().mean().backward()
    assert isinstance(wider, ResUNet)
    for kernel in (wider.tail.weight, wider.encoders[1][0].first.weight, wider.encoders[1][0].second.weight):  # type: ignore[index]
        assert kernel.grad is not None
        assert (kernel.grad[:4, 4:].abs().sum(dim=(0, 2, 3)) > 0).all()


def test_a_network_of_fewer_levels_begins_without_what_the_lowest_added() -> None:
    given = random_network("resunet:widths=4/6/8,blocks=1/2/1")
    fewer = networks.make("resunet:widths=4/6,blocks=2/4").double()
    fewer.initialize_from(given)
    noisy = picture(given)
    assert not torch.allclose(fewer(noisy, level(fewer)), given(noisy, level(given)))
    torch.nn.init.zeros_(given.up[-1].weight)  # type: ignore[arg-type]
    torch.testing.assert_close(fewer(noisy, level(fewer)), given(noisy, level(given)))


def test_without_sigma_input_a_default_sigma_is_assumed() -> None:
    given, blind = random_network(GIVEN), networks.make(f"{GIVEN},told=false").double()
    blind.initialize_from(given)
    noisy = picture(given, height=20, width=20)
    expected = given(noisy, torch.full((1, 1, 1, 1), DEFAULT_SIGMA, dtype=torch.float64))
    inside = slice(given.halo, -given.halo)  # at the border the other's map of the level ends in zeros
    torch.testing.assert_close(blind(noisy)[..., inside, inside], expected[..., inside, inside])


def test_a_network_that_guesses_the_level_begins_by_supposing_one() -> None:
    given, guessing = random_network(GIVEN), networks.make(f"{GIVEN},told=false,guess=true").double()
    guessing.initialize_from(given)
    noisy = picture(guessing)
    expected = given(noisy, torch.full((1, 1, 1, 1), DEFAULT_SIGMA, dtype=torch.float64))
    torch.testing.assert_close(guessing(noisy), expected)


def test_lost_pixels_are_filled_by_the_mean_of_those_around_and_sound_ones_kept() -> None:
    noisy = lost(picture(networks.make("resunet:fill=true").double()))
    fresh = networks.make("resunet:fill=true").double()(noisy, torch.zeros(1, 1, 1, 1, dtype=torch.float64))
    sound = (noisy > 0) & (noisy < 1)
    assert torch.equal(fresh[sound], noisy[sound])
    height, width = noisy.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for row, column in [(0, 0), (5, 7), (height - 1, 3)]:
        for channel in range(3):
            squared = (rows - row) ** 2 + (columns - column) ** 2
            near = ((rows - row).abs() <= 3) & ((columns - column).abs() <= 3) & sound[0, channel]
            weight = torch.where(near & (squared > 0), 1 / squared.clamp(min=1) ** 3, 0)
            mean = (weight * noisy[0, channel]).sum() / weight.sum()
            expected = noisy[0, channel, row, column] if sound[0, channel, row, column] else mean
            torch.testing.assert_close(fresh[0, channel, row, column], expected)


def test_a_white_sky_is_not_lost() -> None:
    sky = torch.ones(1, 3, 16, 16)
    assert torch.equal(networks.make("resunet:fill=true")(sky, torch.zeros(1, 1, 1, 1)), sky)


def test_print_is_not_lost_and_impulses_in_equal_parts_are() -> None:
    page, inside = torch.ones(1, 3, 48, 48), slice(8, -8)  # at a corner, too few are counted
    page[..., ::6, :], page[..., 1::6, :] = 0, 0.5
    assert torch.equal(ImpulseFill(3)(page)[0][..., inside, inside], page[..., inside, inside])
    grey = torch.full((1, 3, 32, 32), 0.5)
    impulses = torch.rand(32, 32, generator=torch.Generator().manual_seed(0))
    grey[..., impulses < 0.1], grey[..., impulses > 0.9] = 0, 1
    torch.testing.assert_close(ImpulseFill(3)(grey)[0], torch.full_like(grey, 0.5))


def test_a_network_that_fills_what_is_lost_begins_as_one_that_does_not() -> None:
    given, filling = random_network(GIVEN), networks.make(f"{GIVEN},fill=true").double()
    filling.initialize_from(given)
    noisy = lost(picture(given))
    filled, _ = ImpulseFill(3).double()(noisy)
    torch.testing.assert_close(filling(noisy, level(given)), given(filled, level(given)))


def test_what_is_filled_can_be_refined_and_sound_pixels_are_kept() -> None:
    given, refining = random_network(f"{GIVEN},fill=true"), networks.make(f"{GIVEN},fill=true,refine=5").double()
    refining.initialize_from(given)
    noisy = lost(picture(given))
    torch.testing.assert_close(refining(noisy, level(given)), given(noisy, level(given)), msg="it begins as it was")
    fill = ImpulseFill(3, 5).double()
    torch.nn.init.normal_(fill.refine[-1].weight)  # type: ignore[index]
    filled, where = fill(noisy)
    mean, _ = ImpulseFill(3).double()(noisy)
    black, white = where.chunk(2, dim=1)
    gone = (black + white).bool()
    assert torch.equal(filled[~gone], noisy[~gone])
    assert (filled != mean)[gone].all()
    assert (noisy[black.bool()] == 0).all()
    assert (noisy[white.bool()] == 1).all()


def test_only_what_is_filled_can_be_refined() -> None:
    with pytest.raises(UnnoiseError, match="fill=true,refine=16"):
        networks.make("resunet:refine=16")
    with pytest.raises(UnnoiseError, match="refine"):
        networks.make("resunet:fill=true,refine=-1")


def test_a_grey_network_that_fills_begins_as_three_copies() -> None:
    given = random_network(f"{GIVEN},fill=true")
    grey = networks.make("resunet:channels=1,widths=4/6,blocks=1/1,fill=true").double()
    grey.initialize_from(given)
    noisy = lost(picture(grey))
    expected = given(noisy.expand(-1, 3, -1, -1), level(given)).mean(dim=1, keepdim=True)
    torch.testing.assert_close(grey(noisy, level(grey)), expected)


@pytest.mark.parametrize(
    "other",
    [
        "resunet:widths=4/8,blocks=1/1",
        "resunet:widths=4/6,blocks=2/1",
        "resunet:widths=4/6/8,blocks=1/1/1",
        f"{GIVEN},told=false",
        f"{GIVEN},told=false,guess=true",
        f"{GIVEN},fill=true",
        f"{GIVEN},fill=true,refine=4",
        "dncnn:depth=3",
    ],
)
def test_weights_that_do_not_fit_are_refused(other: str) -> None:
    with pytest.raises(UnnoiseError, match="do not fit resunet"):
        networks.make(GIVEN).initialize_from(networks.make(other))
