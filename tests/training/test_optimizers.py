"""Optimizers and schedules: options reach PyTorch, and the learning rate follows its formula."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch  # noqa: TID253

from unnoise.errors import UnnoiseError
from unnoise.training.optimizers import OPTIMIZERS, orthogonal
from unnoise.training.schedules import SCHEDULES

RATES = {"adadelta": 1.0}
"""Learning rates of the optimizers that need another one than 0.1."""


@pytest.mark.parametrize(
    ("spec", "kind", "settings"),
    [
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999), "weight_decay": 0}),
        ("adam:b1=0.5,b2=0.9,weight_decay=0.01", torch.optim.Adam, {"betas": (0.5, 0.9), "weight_decay": 0.01}),
        ("adamw", torch.optim.AdamW, {"betas": (0.9, 0.999), "weight_decay": 1e-4}),
        ("adamw:b1=0.8,weight_decay=0", torch.optim.AdamW, {"betas": (0.8, 0.999), "weight_decay": 0}),
        ("muon:momentum=0.9", torch.optim.AdamW, {"momentum": 0.9, "weight_decay": 1e-4}),
        ("adadelta:rho=0.9", torch.optim.Adadelta, {"rho": 0.9, "eps": 1e-6}),
        ("adadelta:epsilon=1e-07", torch.optim.Adadelta, {"rho": 0.95, "eps": 1e-7}),
    ],
)
def test_an_optimizer_is_built_as_spelt(spec: str, kind: type, settings: dict[str, Any]) -> None:
    made = OPTIMIZERS.make(spec)
    assert str(made) == spec
    built = made.build([torch.nn.Parameter(torch.ones(2))])
    assert isinstance(built, kind)
    assert {key: built.defaults[key] for key in settings} == settings


@pytest.mark.parametrize("spec", [*OPTIMIZERS])
def test_an_optimizer_goes_down(spec: str) -> None:
    weight = torch.nn.Parameter(torch.tensor(3.0))
    built = OPTIMIZERS.make(spec).build([weight])
    built.param_groups[0]["lr"] = RATES.get(spec, 0.1)
    for _ in range(20):
        built.zero_grad()
        (weight**2).backward()
        built.step()
    assert 0 <= weight.item() < 2.999


@pytest.mark.parametrize("shape", [(8, 8), (4, 36), (40, 6)])
def test_a_matrix_is_made_orthogonal(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = left.mT @ orthogonal(matrix) @ right.mT
    assert found.diagonal().min() > 0.6 and found.diagonal().max() < 1.3
    assert (found - torch.diag(found.diagonal())).abs().max() < 1e-4


def test_muon_moves_kernels_alike_in_every_direction_and_the_rest_as_adamw_does() -> None:
    kernel, bias, other = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((4, 2, 3, 3), (4,), (4,)))
    gradients = [torch.randn(one.shape, generator=torch.manual_seed(0)) for one in (kernel, bias)]
    muon = OPTIMIZERS.make("muon:momentum=0.9,weight_decay=0").build([kernel, bias])
    adamw = OPTIMIZERS.make("adamw:weight_decay=0").build([other])
    for built in (muon, adamw):
        built.param_groups[0]["lr"] = 0.01
    for sign in (1, -1, 1):
        kernel.grad, bias.grad, other.grad = (sign * gradients[which] for which in (0, 1, 1))
        muon.step()
        adamw.step()
        assert torch.equal(bias, other)
    # By hand: means of 0.1, -0.01, 0.091 times the gradient, and a look ahead; every step is 0.01 * 0.2 * sqrt(18) long
    # in each of four directions, forth, back, and forth again.
    step = 0.01 * 0.2 * 18**0.5
    moved = torch.linalg.svdvals(kernel.detach().flatten(1))
    assert moved.min() > 0.6 * step and moved.max() < 1.3 * step
    assert (kernel * gradients[0]).sum() < 0


@pytest.mark.parametrize("spec", [*SCHEDULES, "exponential:0.5"])
def test_a_schedule_starts_at_the_peak(spec: str) -> None:
    schedule = SCHEDULES.make(spec)
    assert str(schedule) == spec
    assert schedule(0, 0) == 1


def test_schedules_follow_their_formulas() -> None:
    cosine, exponential, constant = (SCHEDULES.make(spec) for spec in ("cosine", "exponential:0.95", "constant"))
    for share in (0.1, 0.5, 0.9):
        assert cosine(share, 3) == pytest.approx(math.cos(math.pi * share / 2) ** 2)
        assert constant(share, 3) == 1
    assert [exponential(0.3, epoch) for epoch in range(3)] == pytest.approx([1, 0.95, 0.9025])
    assert cosine(1, 0) == pytest.approx(0)


@pytest.mark.parametrize(
    "spec",
    [
        "adam:b1=1",
        "adam:b2=-0.1",
        "adamw:weight_decay=-1",
        "adadelta:rho=2",
        "muon:momentum=1",
        "exponential:0",
        "exponential:1.5",
        "sgd",
    ],
)
def test_what_makes_no_sense_is_refused(spec: str) -> None:
    registry = SCHEDULES if spec.startswith("exp") else OPTIMIZERS
    with pytest.raises(UnnoiseError):
        registry.make(spec)
