"""Losses: values by hand, gradients that stay finite, and sums as they are spelt."""

from __future__ import annotations

import math

import pytest
import torch  # noqa: TID253

from unnoise import losses
from unnoise.errors import UnnoiseError
from unnoise.losses import LOSSES

SPECS = [*LOSSES, "charbonnier:0.1", "0.8*l1 + 0.2*mse", "l1 + mse"]


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


@pytest.mark.parametrize("spec", [*SPECS, "0.123456789*l1 + 0.00001*mse", "2*charbonnier:0.5 + l1"])
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
        ("l1 | mse", "no meaning for a loss"),
        ("0.8 l1", "expected"),
    ],
)
def test_a_wrong_spec_is_told_in_one_line(spec: str, why: str) -> None:
    with pytest.raises(UnnoiseError, match=why) as caught:
        losses.make(spec)
    assert "\n" not in str(caught.value)
