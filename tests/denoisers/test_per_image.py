"""Denoisers trained on the single input image: they reduce noise, stop early, and need no clean reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unnoise import denoisers, noise
from unnoise.errors import UnnoiseError
from unnoise.evaluation.metrics import psnr

torch = pytest.importorskip("torch", reason="needs the extra train")


@pytest.mark.parametrize(("spec", "degradation", "gain"), [
    ("deep_prior:250,width=16", "gaussian:40", 3.5),
    ("zero_shot:300,width=24", "gaussian:25", 4),
    ("zero_shot:300,width=24", "poisson:30", 4),
])  # fmt: skip
def test_noise_is_taken_out(photograph: np.ndarray, spec: str, degradation: str, gain: float) -> None:
    clean = photograph[:64, :80]
    noisy = noise.make(degradation)(clean, 0)
    assert psnr(clean, denoisers.make(spec)(noisy)) > psnr(clean, noisy) + gain


@pytest.mark.parametrize("spec", ["deep_prior:5,width=4", "zero_shot:5,width=4"])
def test_the_seed_decides_and_the_callers_randomness_stays(photograph: np.ndarray, spec: str) -> None:
    noisy, state = photograph[:40, :40], torch.random.get_rng_state()
    first, again = (denoisers.make(spec)(noisy) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (denoisers.make(f"{spec},seed=1")(noisy) != first).any()
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("spec", ["deep_prior:8,width=4", "zero_shot:8,width=4"])
def test_another_range_of_values_changes_nothing(
    photograph: np.ndarray, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unnoise.networks.base.bf16_pays", lambda device: False)  # it rounds, each range otherwise
    noisy, model = photograph[:40, :40], denoisers.make(spec)
    np.testing.assert_allclose(model(1000 * noisy + 50), 1000 * model(noisy) + 50, rtol=1e-3, atol=0.5)


def test_pure_noise_is_not_learned() -> None:
    """The best prediction for pure noise is its mean; a network that is not stopped early fits the noise."""
    pure = noise.make("gaussian:50")(np.full((32, 32, 1), 0.5, np.float32), 0)
    left = denoisers.make("deep_prior:600,width=24")(pure)
    assert left.std() < 0.5 * pure.std()


def test_the_halves_of_a_picture_are_its_diagonals_and_their_noise_is_independent() -> None:
    from unnoise.denoisers.zero_shot import halves

    square = torch.tensor([[1.0, 2.0], [4.0, 8.0]])[None, None]
    assert [half.item() for half in halves(square)] == [4.5, 3.0]
    one, other = halves(torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0)))
    assert abs(np.corrcoef(one.flatten(), other.flatten())[0, 1]) < 5 / 128
    assert one.std() == pytest.approx(0.5**0.5, rel=0.05)


def test_strips_of_a_tall_picture_fit_together(photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from unnoise.denoisers import zero_shot

    model = denoisers.make("zero_shot:3,width=4")
    whole = model(photograph)
    monkeypatch.setattr(zero_shot, "STRIP", 50)
    np.testing.assert_allclose(model(photograph), whole, atol=1e-5)


@pytest.mark.parametrize(("spec", "message"), [
    ("deep_prior:0", "deep_prior: steps must be an integer of at least 1, got '0'"),
    ("zero_shot:width=2.5", "zero_shot: width must be an integer of at least 1, got '2.5'"),
    ("zero_shot:seed=-1", "zero_shot: seed must be an integer of at least 0, got '-1'"),
])  # fmt: skip
def test_invalid_spec_gives_a_one_line_error(spec: str, message: str) -> None:
    with pytest.raises(UnnoiseError) as caught:
        denoisers.make(spec)
    assert str(caught.value) == message


def test_without_pytorch_they_say_what_to_install_and_are_listed(fresh_python: Callable[[str], str]) -> None:
    out = fresh_python("""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"{name} is left out", name=name)

sys.meta_path.insert(0, Absent())
from unnoise import denoisers
from unnoise.errors import UnnoiseError
for name in ("deep_prior", "zero_shot"):
    print(str(denoisers.DENOISERS.find(name).__doc__).partition(";")[1])
    try:
        denoisers.make(name)
    except UnnoiseError as error:
        print(error)
""")
    assert out.count('torch is not installed; install it with: pip install "unnoise[train]"') == 2
