"""A denoiser describes itself in attributes; a wrapper adopts those of the inner denoiser from `info`."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from tests.fakes import Identity
from unnoise import denoisers
from unnoise.denoisers.base import Denoiser, DenoiserInfo, Sigma
from unnoise.denoisers.rescaled import Rescaled
from unnoise.io.value_range import ValueRange

FACTS = DenoiserInfo("mine", 3, 4, 5, True, 6, True, {3: (0.5,) * 15})


class Mine(Denoiser):
    """A third-party denoiser: plain class attributes and `run`."""

    name = "mine"
    channels = 3
    multiple_of = 4
    halo = 5
    wants_sigma = True
    margin = 6
    corrects_clipping = True
    error_model = FACTS.error_model

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        return noisy


class Wrapper(Denoiser):
    def __init__(self, inside: Denoiser) -> None:
        self.inside = inside
        self.adopt(inside.info)

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        return self.inside.run(noisy, sigma)


def test_info_gathers_the_attributes() -> None:
    assert Mine().info == FACTS
    changed = Mine()
    changed.corrects_clipping = False
    assert changed.info == replace(FACTS, corrects_clipping=False)


def test_every_fact_is_an_attribute_with_the_same_default() -> None:
    assert Identity().info == DenoiserInfo()


@pytest.mark.parametrize("wrap", [Wrapper, denoisers.Ensemble])
@pytest.mark.parametrize("inside", [Mine(), denoisers.make("median:5"), denoisers.make("color")], ids=str)
def test_a_wrapper_has_the_facts_of_the_inner_denoiser(wrap: type[Wrapper], inside: Denoiser) -> None:
    outside = wrap(inside)
    assert outside.info == inside.info and str(outside) == str(inside)
    for fact in fields(DenoiserInfo):
        assert getattr(outside, fact.name) == getattr(inside.info, fact.name)


def test_a_rescaled_denoiser_leaves_clipping_to_the_inner_one() -> None:
    assert Rescaled(Mine(), ValueRange(0, 2, 2)).info == replace(FACTS, corrects_clipping=False)


def test_a_network_has_the_facts_of_its_card() -> None:
    model = denoisers.make("color", engine="onnx")
    card = model.card  # type: ignore[attr-defined]
    assert model.info == card.info
    assert (model.channels, model.name, model.wants_sigma, model.margin) == (3, "color", True, card.margin)
    assert card.corrects_clipping and model.halo is not None and model.halo == card.halo + 7
