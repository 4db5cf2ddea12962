"""Optimizers and schedules: what is spelt is what PyTorch is given, and the rate goes as the formula says."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch  # noqa: TID253

from unnoise.errors import UnnoiseError
from unnoise.optimizers import OPTIMIZERS, SCHEDULES


@pytest.mark.parametrize(
    ("spec", "kind", "settings"),
    [
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999), "weight_decay": 0}),
        ("adam:b1=0.5,b2=0.9,weight_decay=0.01", torch.optim.Adam, {"betas": (0.5, 0.9), "weight_decay": 0.01}),
        ("adamw", torch.optim.AdamW, {"betas": (0.9, 0.999), "weight_decay": 1e-4}),
        ("adamw:b1=0.8,weight_decay=0", torch.optim.AdamW, {"betas": (0.8, 0.999), "weight_decay": 0}),
        ("adadelta:rho=0.9", torch.optim.Adadelta, {"rho": 0.9, "eps": 1e-6}),
        ("adadelta:epsilon=1e-07", torch.optim.Adadelta, {"rho": 0.95, "eps": 1e-7}),
    ],
)
def test_an_optimizer_is_built_as_spelt(spec: str, kind: type, settings: dict[str, Any]) -> None:
    made = OPTIMIZERS.make(spec)
    assert str(made) == spec
    built = made.build([torch.nn.Parameter(torch.ones(2))])
    assert type(built) is kind
    assert {key: built.defaults[key] for key in settings} == settings


@pytest.mark.parametrize(("spec", "rate"), [("adam", 0.1), ("adamw", 0.1), ("adadelta", 1.0)])
def test_an_optimizer_goes_down(spec: str, rate: float) -> None:
    weight = torch.nn.Parameter(torch.tensor(3.0))
    built = OPTIMIZERS.make(spec).build([weight])
    built.param_groups[0]["lr"] = rate
    for _ in range(20):
        built.zero_grad()
        (weight**2).backward()
        built.step()
    assert 0 <= weight.item() < 2.999


@pytest.mark.parametrize("spec", ["constant", "cosine", "exponential:0.5"])
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
    ["adam:b1=1", "adam:b2=-0.1", "adamw:weight_decay=-1", "adadelta:rho=2", "exponential:0", "exponential:1.5", "sgd"],
)
def test_what_makes_no_sense_is_refused(spec: str) -> None:
    registry = SCHEDULES if spec.startswith("exp") else OPTIMIZERS
    with pytest.raises(UnnoiseError):
        registry.make(spec)
