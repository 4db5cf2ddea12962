"""Long computations end where their caller wants it, and only in that context."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from unnoise import denoisers, interruption
from unnoise.denoisers import noise_level
from unnoise.pipeline import process

RNG = np.random.default_rng(0)
NOISY = (0.5 + 0.1 * RNG.standard_normal((96, 96, 3))).astype(np.float32)


def stop() -> None:
    raise InterruptedError


def test_a_check_without_a_caller_does_nothing() -> None:
    interruption.check()


def test_the_innermost_caller_decides_on_its_own_thread() -> None:
    calls: list[str] = []
    with interruption.checked_by(lambda: calls.append("outer")):
        with interruption.checked_by(lambda: calls.append("inner")):
            interruption.check()
        interruption.check()
        other = threading.Thread(target=interruption.check)
        other.start()
        other.join()
    interruption.check()
    assert calls == ["inner", "outer"]


@pytest.mark.parametrize(
    "compute",
    [
        lambda: denoisers.level_estimator().measure(NOISY),
        lambda: denoisers.make("auto").resolve(NOISY),
        *(lambda name=name: denoisers.make(name)(NOISY, 0.1) for name in ("bilateral", "wavelet", "tv")),
        lambda: denoisers.make("adaptive-median")(np.where(NOISY > 0.6, np.float32(1), NOISY)),
    ],
)
def test_long_computations_can_be_ended(compute: Callable[[], object]) -> None:
    with interruption.checked_by(stop), pytest.raises(InterruptedError):
        compute()


@pytest.mark.parametrize("name", ["zero_shot", "deep_prior"])
def test_trainings_on_an_image_can_be_ended(name: str) -> None:
    pytest.importorskip("torch")
    with interruption.checked_by(stop), pytest.raises(InterruptedError):
        denoisers.make(name)(NOISY, 0.1)


@pytest.mark.parametrize("name", ["bilateral", "nlm", "tv", "wavelet"])
def test_filters_work_in_tiles_that_equal_the_whole(
    name: str, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    filter_ = denoisers.make(name)
    noisy = (photograph + 0.1 * np.random.default_rng(0).standard_normal(photograph.shape)).astype(np.float32)
    whole = filter_(noisy, 0.1)
    monkeypatch.setattr(type(filter_), "tile", 80)
    fractions: list[float] = []
    tiled = process.denoise_array(filter_, noisy, 0.1, progress=fractions.append)
    assert len(set(fractions)) == 4
    assert np.sqrt(np.mean((tiled - whole) ** 2)) < 0.01  # a tenth of the noise

    def end(_: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        process.denoise_array(filter_, noisy, 0.1, progress=end)


def test_a_large_image_without_noise_is_not_looked_at_as_a_whole() -> None:
    """Such as an animation of one color: the estimator took half a second for each megapixel."""
    flat = np.zeros((1024, 2048, 3), np.float32)
    windows = noise_level._sample(flat)
    assert 0 < len(windows) <= 36 and max(window.size for window in windows) < flat.size / 50
    assert denoisers.level_estimator().measure(flat)[0] < 1 / 255
