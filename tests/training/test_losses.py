"""Losses: values against hand-computed ones, finite gradients, and weighted sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch  # noqa: TID253
import torch.nn.functional as F  # noqa: TID253
from skimage.metrics import structural_similarity

from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import psnr
from unnoise.training import losses
from unnoise.training.losses import LOSSES

# Those that compare pixel by pixel, and their sums; the others have tests of their own below.
SPECS = ["charbonnier", "l1", "mse", "psnr", "charbonnier:0.1", "0.8*l1 + 0.2*mse", "l1 + mse"]
OTHERS = ["bce", "ssim", "tv", "kl"]


def filled(*values: float) -> torch.Tensor:
    """Return a batch `[1, 1, 1, n]` of these values."""
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("mse", (0.0 + 0.04 + 0.16) / 3),
        ("l1", (0.0 + 0.2 + 0.4) / 3),
        ("charbonnier:0.3", (0.3 + math.sqrt(0.04 + 0.09) + math.sqrt(0.16 + 0.09)) / 3),
        ("0.8*l1 + 0.2*mse", 0.8 * 0.6 / 3 + 0.2 * 0.2 / 3),
        ("mse + 3*l1", 0.2 / 3 + 3 * 0.6 / 3),
        ("0.5*l1", 0.5 * 0.6 / 3),
    ],
)
def test_values_by_hand(spec: str, expected: float) -> None:
    prediction, target = filled(0.5, 0.7, 0.1), filled(0.5, 0.5, 0.5)
    assert losses.make(spec)(prediction, target).item() == pytest.approx(expected)


def test_psnr_is_that_of_the_tables_taken_for_each_picture() -> None:
    prediction, target = random_pair(3, 2, 12, 13)
    target[0] = prediction[0] + 0.001  # nearly clean, and still worth no more than the others
    by_picture = [psnr(t.numpy(), p.numpy(), rounded=False) for p, t in zip(prediction, target, strict=True)]
    assert losses.make("psnr:1e-12")(prediction, target).item() == pytest.approx(-np.mean(by_picture), rel=1e-4)
    assert losses.make("psnr:0.01")(target, target).item() == pytest.approx(-20)


@pytest.mark.parametrize("spec", SPECS)
def test_the_truth_is_the_minimum(spec: str) -> None:
    loss, target = losses.make(spec), torch.rand(2, 3, 4, 5)
    least = loss(target, target)
    assert least.shape == ()
    assert all(least < loss(target + shift, target) for shift in (-0.1, 0.01, 0.5))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("shift", [0.0, 1e-20, 0.1, 1e6])
def test_gradients_are_finite_and_point_away(spec: str, shift: float) -> None:
    prediction = torch.full((1, 1, 2, 2), shift, requires_grad=True)
    losses.make(spec)(prediction, torch.zeros(1, 1, 2, 2)).backward()
    assert torch.isfinite(prediction.grad).all()
    assert (prediction.grad == 0).all() if shift == 0 else (prediction.grad >= 0).all()


@pytest.mark.parametrize("spec", SPECS)
def test_gradient_against_finite_differences(spec: str) -> None:
    target = torch.rand(1, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    prediction = (target + 0.3).requires_grad_()  # away from the kink of l1
    assert torch.autograd.gradcheck(losses.make(spec), (prediction, target))


@pytest.mark.parametrize("spec", [*SPECS, "bce", "0.123456789*l1 + 0.00001*mse", "2*charbonnier:0.5 + 0.001*tv"])
def test_spec_round_trip(spec: str) -> None:
    loss = losses.make(spec)
    assert str(losses.make(str(loss))) == str(loss)
    prediction, target = filled(0.1, 0.9), filled(0.4, 0.2)
    assert losses.make(str(loss))(prediction, target).item() == loss(prediction, target).item()


def test_the_shortest_spelling() -> None:
    assert str(losses.make(" 0.80 * l1+1.0*charbonnier:epsilon=0.001 ")) == "0.8*l1 + charbonnier"


def test_a_sum_reports_its_parts_without_weights() -> None:
    prediction, target = filled(0.5, 0.7), filled(0.5, 0.5)
    parts = losses.make("0.8*l1 + 0.2*mse").parts(prediction, target)
    values = {name: value.item() for name, value in parts.items()}
    assert values == pytest.approx({"loss": 0.8 * 0.1 + 0.2 * 0.02, "l1": 0.1, "mse": 0.02})


def test_parts_of_one_kind_keep_apart() -> None:
    prediction, target = filled(0.5, 0.7), filled(0.5, 0.5)
    parts = losses.make("charbonnier + charbonnier:0.1").parts(prediction, target)
    assert list(parts) == ["loss", "charbonnier", "charbonnier:0.1"]
    assert parts["loss"].item() == pytest.approx((parts["charbonnier"] + parts["charbonnier:0.1"]).item())
    assert losses.make("l1 + l1")(prediction, target).item() == pytest.approx(0.2)


def test_a_single_loss_is_its_only_part() -> None:
    assert list(losses.make("l1").parts(filled(0.5), filled(0.0))) == ["loss"]


def test_what_a_network_says_beside_its_prediction_does_no_harm() -> None:
    extras = {"moments": filled(1.0)}
    assert losses.make("l1 + mse")(filled(0.5), filled(0.0), **extras).item() == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("charbonier", "did you mean 'charbonnier'"),
        ("charbonnier:0", "epsilon must be above 0"),
        ("psnr:0", "epsilon must be above 0"),
        ("l1 | mse", "not supported in a loss"),
        ("0.8 l1", "expected"),
    ],
)
def test_invalid_spec_gives_a_one_line_error(spec: str, why: str) -> None:
    with pytest.raises(UnnoiseError, match=why) as caught:
        losses.make(spec)
    assert "\n" not in str(caught.value)


def random_pair(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a prediction and a target in (0, 1) that are correlated."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(shape, generator=generator, dtype=dtype)
    return 0.7 * target + 0.3 * torch.rand(shape, generator=generator, dtype=dtype), target


def codes(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Return the outputs of a variational network for two images."""
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(2, 5, generator=generator, dtype=dtype) for name in ("mean", "log_variance")}


def test_every_loss_is_tested() -> None:
    in_test_blind = {"noise_level", "noise_correlation"}  # tests/networks/test_blind.py
    assert set(LOSSES) <= {*SPECS, *OTHERS, *in_test_blind}


def test_bce_is_that_of_pytorch() -> None:
    prediction, target = random_pair(2, 3, 12, 13, dtype=torch.float64)
    gradients = []
    for loss in (losses.make("bce"), F.binary_cross_entropy):
        p = prediction.clone().requires_grad_()
        value = loss(p, target)
        value.backward()
        gradients.append((value.detach(), p.grad))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_bce_at_the_ends() -> None:
    prediction = filled(0, 1, 0, 1, 1.5, -0.5).float().requires_grad_()
    target = filled(0, 1, 1, 0, 0, 1).float()
    value = losses.make("bce")(prediction, target)
    value.backward()
    assert value.item() == pytest.approx((0 + 0 + 100 + 100 + 100 + 100) / 6)
    assert torch.isfinite(prediction.grad).all()
    assert losses.make("bce")(filled(math.nan), filled(0.5)).isnan(), "a broken run must be noticed"


def test_what_a_sigmoid_says_of_digits_pulls_it_right() -> None:
    logits = torch.tensor([-40.0, -3.0, 3.0, 15.0], requires_grad=True)
    target = torch.tensor([0.0, 1.0, 0.0, 0.0])
    losses.make("bce")(torch.sigmoid(logits), target).backward()
    torch.testing.assert_close(logits.grad, (torch.sigmoid(logits.detach()) - target) / 4)


@pytest.mark.parametrize(("height", "width"), [(11, 11), (24, 17), (64, 96)])
def test_ssim_is_that_of_scikit_image(height: int, width: int) -> None:
    prediction, target = random_pair(2, 3, height, width)
    expected = [
        structural_similarity(
            *(one.numpy().astype(np.float64) for one in pair),
            channel_axis=0,
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for pair in zip(prediction, target, strict=True)
    ]
    assert losses.make("ssim")(prediction, target).item() == pytest.approx(1 - np.mean(expected), abs=1e-6)


def test_ssim_of_equal_pictures_is_none() -> None:
    _, target = random_pair(1, 3, 16, 20)
    assert losses.make("ssim")(target, target).item() == pytest.approx(0, abs=1e-6)
    assert losses.make("ssim")(torch.full_like(target, 1e4), target).isfinite()


def test_ssim_needs_images_as_large_as_its_window() -> None:
    with pytest.raises(UnnoiseError, match="ssim: images must be at least 11x11 pixels, got 12x10"):
        losses.make("ssim")(torch.zeros(1, 1, 10, 12), torch.zeros(1, 1, 10, 12))


def test_tv_by_hand() -> None:
    prediction = torch.tensor([[[[0.0, 1.0, 1.0], [0.5, 0.5, 0.5]]]])
    expected = (1 + 0 + 0 + 0 + 0.5 + 0.5 + 0.5) / 7  # four pairs across, three down
    for target in (torch.zeros_like(prediction), torch.ones_like(prediction)):
        assert losses.make("tv")(prediction, target).item() == pytest.approx(expected)
    assert losses.make("tv")(torch.ones(2, 3, 1, 1), torch.zeros(2, 3, 1, 1)).item() == 0


def test_kl_is_that_of_normal_distributions() -> None:
    code = codes(torch.float64)
    normal = torch.distributions.Normal
    drawn = normal(code["mean"], torch.exp(0.5 * code["log_variance"]))
    expected = torch.distributions.kl_divergence(drawn, normal(torch.zeros_like(code["mean"]), 1.0)).sum(dim=1).mean()
    prediction, target = filled(0.5), filled(0.2)
    assert losses.make("kl")(prediction, target, **code).item() == pytest.approx(expected.item())
    none = {name: torch.zeros(3, 4) for name in code}
    assert losses.make("kl")(prediction, target, **none).item() == 0


def test_kl_needs_a_code() -> None:
    with pytest.raises(UnnoiseError, match="remove kl from the loss, or use network vae"):
        losses.make("l1 + 0.1*kl")(filled(0.5), filled(0.2))


@pytest.mark.parametrize("spec", OTHERS)
def test_gradient_of_the_others_against_finite_differences(spec: str) -> None:
    prediction, target = random_pair(1, 2, 12, 11, dtype=torch.float64)
    code = codes(torch.float64)
    loss = losses.make(spec)
    inputs = code.values() if spec == "kl" else (prediction,)
    assert torch.autograd.gradcheck(
        lambda *_: loss(prediction, target, **code), [one.requires_grad_() for one in inputs]
    )


@pytest.mark.parametrize("spec", [*OTHERS, "l1", "0.8*l1 + 0.2*ssim + 0.001*tv + 0.00002*kl"])
def test_half_precision_is_left_to_the_network(spec: str) -> None:
    prediction, target = random_pair(2, 3, 16, 16)
    half, code = prediction.bfloat16(), {name: value.bfloat16() for name, value in codes().items()}
    with torch.autocast("cpu", torch.bfloat16):
        mixed = losses.make(spec)(half, target, **code)
    plain = losses.make(spec)(half.float(), target, **{name: value.float() for name, value in code.items()})
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, plain)
