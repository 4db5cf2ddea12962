"""The estimator of the noise level, and the denoiser behind it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch  # noqa: TID253
from scipy import ndimage

from unnoise import networks
from unnoise.errors import UnnoiseError
from unnoise.networks.noise_estimator import MAX_LEVEL, MIN_LEVEL, START_LEVEL, NoiseEstimator
from unnoise.training import losses
from unnoise.training.losses import neighbor_correlation

TINY = "blind:widths=4/8,blocks=1/1,estimator=4/8/8/8"


@pytest.fixture
def noisy() -> torch.Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def awake(network: torch.nn.Module) -> torch.nn.Module:
    """Give every weight a value: fresh networks have zeros that hide what stands before them."""
    torch.manual_seed(1)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return network


def test_a_fresh_estimator_finds_one_level(noisy: torch.Tensor) -> None:
    level = networks.make("noise_estimator")(noisy)
    assert level.shape == (2, 1, 2, 3)
    torch.testing.assert_close(level, torch.full_like(level, START_LEVEL))


def test_no_level_leaves_the_bounds_and_none_is_without_a_gradient(noisy: torch.Tensor) -> None:
    estimator = awake(networks.make("noise_estimator"))
    level = estimator(1000 * noisy)
    assert level.min() >= MIN_LEVEL * (1 - 1e-4)
    assert level.max() <= MAX_LEVEL * (1 + 1e-4)
    fresh = networks.make("noise_estimator")
    fresh(noisy).sum().backward()
    assert fresh.tail.bias.grad.abs().min() > 0  # type: ignore[union-attr]


def test_statistics_are_mean_and_deviation_of_each_feature(noisy: torch.Tensor) -> None:
    estimator = NoiseEstimator(widths=(4, 8))
    features = estimator.features(noisy)
    statistics = estimator.statistics(features)
    mean, deviation = statistics.chunk(2, dim=1)
    torch.testing.assert_close(mean, features.mean(dim=(2, 3)))
    torch.testing.assert_close(deviation, features.flatten(2).std(dim=2, unbiased=False), atol=1.1e-3, rtol=1e-3)


def test_with_the_statistics_of_the_whole_a_tile_is_as_the_whole() -> None:
    estimator = awake(NoiseEstimator(widths=(4, 6), last=1))
    whole = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    features = estimator.features(whole)
    statistics = estimator.statistics(features)
    tile = estimator.features(whole[:, :, 16:80, 16:80])
    here, of_all = (estimator.level(estimator.judge(one, statistics)) for one in (tile, features))
    torch.testing.assert_close(here[:, :, 6:-6, 6:-6], of_all[:, :, 10:-10, 10:-10])
    assert not torch.allclose(estimator.level(estimator.judge(tile, estimator.statistics(tile))), here)


def test_faint_noise_is_seen_in_bfloat16_too() -> None:
    estimator = awake(NoiseEstimator(widths=(4, 6)))
    flat = torch.full((1, 3, 32, 32), 0.7)
    faint = flat + 0.3 / 255 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.allclose(estimator.features(flat), estimator.features(faint), rtol=0.02)


def test_blind_begins_as_good_as_what_was_told_the_level(noisy: torch.Tensor) -> None:
    given_sigma = awake(networks.make("resunet:widths=4/8,blocks=1/1"))
    blind = networks.make(TINY)
    blind.initialize_from(given_sigma)  # type: ignore[arg-type]
    sigma = torch.full((2, 1, 1, 1), 0.2)
    torch.testing.assert_close(blind(noisy, sigma), given_sigma(noisy, sigma), atol=1e-3, rtol=1e-3)
    with torch.no_grad():
        torch.testing.assert_close(blind(noisy), blind(noisy, torch.tensor(START_LEVEL).reshape(1, 1, 1, 1)))
    again = networks.make(TINY)
    again.initialize_from(blind)
    torch.testing.assert_close(again(noisy), blind(noisy))
    with pytest.raises(UnnoiseError, match="do not fit"):
        blind.initialize_from(networks.make("dncnn:depth=3,width=4"))


def test_at_level_0_the_picture_comes_back_as_it_was(noisy: torch.Tensor) -> None:
    network = awake(networks.make("resunet:widths=4/8,blocks=1/1,exact_at_zero=true"))
    assert torch.equal(network(noisy, torch.zeros(1, 1, 1, 1)), noisy)
    assert not torch.allclose(network(noisy, torch.full((1, 1, 1, 1), 0.1)), noisy)
    half = torch.zeros(2, 1, 32, 48)
    half[..., 24:] = 0.1
    assert torch.equal(network(noisy, half)[..., :24], noisy[..., :24])


def test_a_resunet_that_is_not_told_cannot_be_exact_at_zero() -> None:
    with pytest.raises(UnnoiseError, match="exact_at_zero"):
        networks.make("resunet:told=false,exact_at_zero=true")


def test_blind_begins_with_a_trained_estimator() -> None:
    estimator, blind = awake(networks.make("noise_estimator:widths=4/8/8/8,codes=8")), networks.make(TINY)
    blind.initialize_from(estimator)  # type: ignore[arg-type]
    noisy = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(blind.levels(noisy), estimator(noisy))  # type: ignore[operator]


def test_codes_steer_the_denoiser(noisy: torch.Tensor) -> None:
    blind = networks.make(TINY)
    blind.initialize_from(awake(networks.make("resunet:widths=4/8,blocks=1/1")))  # type: ignore[arg-type]
    before = blind(noisy)
    torch.nn.init.ones_(blind.denoiser.steer[1].weight)  # type: ignore[index, union-attr]
    assert not torch.allclose(blind(noisy), before)


def test_the_gradient_of_the_picture_reaches_the_estimator(noisy: torch.Tensor) -> None:
    blind = networks.make(TINY)
    blind.initialize_from(awake(networks.make("resunet:widths=4/8,blocks=1/1")))  # type: ignore[arg-type]
    outputs = blind.forward_train(noisy)
    losses.make("psnr")(outputs["prediction"], noisy).backward()
    assert blind.levels.tail.weight.grad.abs().max() > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_loss_of_the_level_is_its_distance_in_logarithms(factor: float) -> None:
    clean = torch.rand(1, 3, 64, 64)
    noisy = clean + 0.1 * torch.ones(1, 3, 64, 64)
    level = torch.full((1, 1, 4, 4), 0.1 * factor)
    loss = losses.make("noise_level")(clean, clean, level=level, noisy=noisy)
    assert loss.item() == pytest.approx(abs(torch.tensor(factor).log().item()), abs=1e-4)


def test_a_level_that_is_far_too_low_still_has_a_gradient() -> None:
    clean, level = torch.rand(1, 3, 32, 32), torch.full((1, 1, 2, 2), 0.01 / 255, requires_grad=True)
    losses.make("noise_level")(clean, clean, level=level, noisy=clean + 0.1).backward()
    assert level.grad is not None
    assert (level.grad < 0).all()


def test_levels_that_nobody_sees_count_alike() -> None:
    clean = torch.rand(1, 3, 64, 64)
    level = torch.full((1, 1, 4, 4), 0.01 / 255)
    assert losses.make("noise_level:0.3")(clean, clean, level=level, noisy=clean).item() == pytest.approx(0, abs=1e-6)


def test_the_loss_of_the_level_follows_the_place() -> None:
    clean, noisy = torch.zeros(1, 3, 96, 96), torch.zeros(1, 3, 96, 96)
    noisy[..., 48:] = 0.1
    level = torch.full((1, 1, 6, 6), 0.1)
    level[..., :3] = 0.3 / 255
    assert losses.make("noise_level")(clean, clean, level=level, noisy=noisy).item() < 1.2
    assert losses.make("noise_level")(clean, clean, level=level.flip(-1), noisy=noisy).item() > 3


def test_the_loss_of_the_level_needs_one() -> None:
    with pytest.raises(UnnoiseError, match="estimates no noise level"):
        losses.make("noise_level")(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))


def test_the_loss_of_the_whole_level_is_added(noisy: torch.Tensor) -> None:
    clean = torch.rand(1, 3, 64, 64)
    level = torch.full((1, 1, 4, 4), 0.2)
    loss = losses.make("noise_level:whole=2")(clean, clean, level=level, noisy=clean + 0.1)
    assert loss.item() == pytest.approx(3 * math.log(2), abs=1e-4)
    exact = losses.make("noise_level:whole=2")(clean, clean, level=level / 2, noisy=clean + 0.1)
    assert exact.item() == pytest.approx(0, abs=1e-4)
    with pytest.raises(UnnoiseError, match="weight"):
        losses.make("noise_level:whole=-1")


@pytest.mark.parametrize("blur", [0.0, 0.8, 1.0, 2.0])
def test_the_correlation_of_blurred_white_noise_is_that_of_theory(blur: float) -> None:
    noise = np.random.default_rng(0).standard_normal((2, 3, 256, 256))
    noise = ndimage.gaussian_filter(noise, (0, 0, blur, blur)) if blur else noise
    # The autocorrelation of a Gaussian of deviation b is a Gaussian of deviation sqrt(2) b.
    expected = math.exp(-1 / (4 * blur**2)) if blur else 0.0
    found = neighbor_correlation(torch.from_numpy(noise))
    torch.testing.assert_close(found, torch.full_like(found, expected), atol=0.03, rtol=0)


def test_the_loss_of_the_correlation_is_its_distance(noisy: torch.Tensor) -> None:
    clean = torch.full((2, 3, 64, 64), 0.5)
    white = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    loss = losses.make("noise_correlation")
    assert loss(clean, clean, noisy=white, correlation=torch.tensor([0.0, 0.5])).item() == pytest.approx(0.25, abs=0.02)
    assert loss(clean, clean, noisy=clean, correlation=torch.tensor([0.0, 0.5])).item() == 0, "there is no noise"
    with pytest.raises(UnnoiseError, match="correlation=true"):
        loss(clean, clean, noisy=white, level=white)


def test_an_estimator_begins_with_one_that_has_other_outputs(noisy: torch.Tensor) -> None:
    first = awake(networks.make("noise_estimator:widths=4/8/8/8,codes=8"))
    then = networks.make("noise_estimator:widths=4/8/8/8,correlation=true")
    then.initialize_from(first)  # type: ignore[arg-type]
    torch.testing.assert_close(then(noisy), first(noisy))
    correlation = then.forward_train(noisy)["correlation"]
    assert correlation.shape == (2,)
    assert correlation.abs().max() <= 1
    with pytest.raises(UnnoiseError, match="do not fit"):
        then.initialize_from(networks.make("noise_estimator:widths=4/8"))


def test_blind_with_the_correlation_begins_with_blind_without(noisy: torch.Tensor) -> None:
    first, then = awake(networks.make(TINY)), networks.make(f"{TINY},correlation=true")
    then.initialize_from(first)  # type: ignore[arg-type]
    torch.testing.assert_close(then(noisy), first(noisy))  # type: ignore[operator]
    assert then.forward_train(noisy)["correlation"].shape == (2,)
