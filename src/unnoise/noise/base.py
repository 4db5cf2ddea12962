"""What a noise is: an immutable value that spoils an image with randomness that the caller owns.

Levels are spelt in the literature's 8-bit units (`gaussian:25` is sigma 25/255). `level` here is the one place that
divides by 255; everything behind it works in [0, 1].
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unnoise.errors import UnnoiseError
from unnoise.spec import HasSpec, Range
from unnoise.units import from_8bit


class Noise(HasSpec, ABC):
    """One degradation of an image; members are frozen dataclasses whose fields are numbers or ranges of them.

    A noise never clips unless its chain says `clip`.
    """

    def __call__(self, image: np.ndarray, rng: np.random.Generator | int) -> np.ndarray:
        """Spoil an image.

        Args:
            image: float32 `[H, W, C]`, nominally in [0, 1]. NaN and infinity are left where they are.
            rng: the source of all randomness, or a seed for one.

        Returns:
            The noisy image, float32 `[H, W, C]`; the input is left as it is.
        """
        rng = np.random.default_rng(rng)
        image = np.asarray(image, dtype=np.float32)
        finite = np.isfinite(image)
        if finite.all():
            return self.draw(rng).apply(image, rng).astype(np.float32, copy=False)
        noisy = self.draw(rng).apply(np.where(finite, image, np.float32(0)), rng)
        return np.where(finite, noisy.astype(np.float32, copy=False), image)

    def draw(self, rng: np.random.Generator) -> Noise:
        """Settle what is left to chance per image: each range becomes a number, each choice one of its members."""
        ranges = {key: value.draw(rng) for key, value in vars(self).items() if isinstance(value, Range)}
        return dataclasses.replace(self, **ranges) if ranges else self  # type: ignore[type-var]

    @abstractmethod
    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Spoil a float32 image `[H, W, C]` by this noise, all of whose values are settled."""

    @property
    def sigma(self) -> float | None:
        """What a denoiser is told, in [0, 1] units: the deviation where it is one number for all pixels, else None."""
        return None

    def __add__(self, then: Noise) -> Noise:
        """`a + b`: first a, then b."""
        return chain([(1.0, self), (1.0, then)])

    def __or__(self, other: Noise) -> Noise:
        """`a | b`: one of them, drawn per image."""
        return choice([self, other])


@dataclass(frozen=True)
class Chain(Noise):
    """Several noises, one after the other; spelt `a + b`."""

    name: ClassVar[str] = "chain"
    steps: tuple[Noise, ...]

    def draw(self, rng: np.random.Generator) -> Noise:
        """Settle every step."""
        return Chain(tuple(step.draw(rng) for step in self.steps))

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Apply the steps in their order."""
        for step in self.steps:
            image = step.apply(image, rng)
        return image

    @property
    def sigma(self) -> float | None:
        """Root of the summed variances, where every step has a deviation."""
        parts = [step.sigma for step in self.steps]
        return None if None in parts else float(np.sqrt(sum(part**2 for part in parts if part is not None)))

    def __str__(self) -> str:
        """Spell the chain."""
        return " + ".join(map(str, self.steps))


@dataclass(frozen=True)
class Choice(Noise):
    """One of several noises, drawn anew for every image; spelt `a | b`."""

    name: ClassVar[str] = "choice"
    options: tuple[Noise, ...]

    def draw(self, rng: np.random.Generator) -> Noise:
        """Pick one, each as likely as the next, and settle it."""
        return self.options[int(rng.integers(len(self.options)))].draw(rng)

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Pick one and apply it."""
        return self.draw(rng).apply(image, rng)

    def __str__(self) -> str:
        """Spell the choice."""
        return " | ".join(map(str, self.options))


def chain(terms: list[tuple[float, Noise]]) -> Noise:
    """Join noises by "then"; nested chains become one."""
    steps: list[Noise] = []
    for weight, noise in terms:
        if weight != 1:
            raise UnnoiseError(f"a noise has no weight: write {noise} with the level that you mean")
        if isinstance(noise, Choice):
            raise UnnoiseError("'|' binds weaker than '+': write the choice of whole chains")
        steps.extend(noise.steps if isinstance(noise, Chain) else [noise])
    return Chain(tuple(steps))


def choice(options: list[Noise]) -> Noise:
    """Join noises by "one of them"; nested choices become one."""
    flat = [one for option in options for one in (option.options if isinstance(option, Choice) else (option,))]
    return Choice(tuple(flat))


def check(noise: Noise, field: str, low: float, high: float = float("inf")) -> None:
    """Raise UnnoiseError unless a field is a number, or a range of numbers, from `low` to `high`."""
    value: Any = getattr(noise, field)
    ends = (value.low, value.high) if isinstance(value, Range) else (value,)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if not numbers or not all(low <= end <= high and end < float("inf") for end in ends):
        limits = f"from {low:g} to {high:g}" if high < float("inf") else f"of at least {low:g}"
        raise UnnoiseError(f"{noise.name}: {field} must be a number {limits}, not '{value}'")


def check_flag(noise: Noise, field: str) -> None:
    """Raise UnnoiseError unless a field is true or false."""
    value: Any = getattr(noise, field)
    if not isinstance(value, bool):
        raise UnnoiseError(f"{noise.name}: {field} must be true or false, not '{value}'")


def level(value: float | Range) -> float:
    """Convert a level from 8-bit units to [0, 1] units; a range has to be drawn first."""
    if isinstance(value, Range):
        raise TypeError(f"the range {value} was not drawn: call the noise, or draw() it first")
    return from_8bit(value)
