"""The base class of noise models: immutable, with random numbers from a generator of the caller.

Arguments are in the 8-bit units of the literature (`gaussian:25` is sigma 25/255). `level` converts them; images are in
[0, 1].
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
    """A degradation of an image; subclasses are frozen dataclasses with fields that are numbers or ranges.

    Noise does not clip; that is the step `clip` of a chain.
    """

    def __call__(self, image: np.ndarray, rng: np.random.Generator | int) -> np.ndarray:
        """Degrade an image.

        Args:
            image: float32 `[H, W, C]`, nominally in [0, 1]. NaN and infinity are kept in place.
            rng: a random number generator, or a seed.

        Returns:
            The noisy image, float32 `[H, W, C]`; the input is not changed.
        """
        rng = np.random.default_rng(rng)
        image = np.asarray(image, dtype=np.float32)
        finite = np.isfinite(image)
        if finite.all():
            return self.draw(rng).apply(image, rng).astype(np.float32, copy=False)
        noisy = self.draw(rng).apply(np.where(finite, image, np.float32(0)), rng)
        return np.where(finite, noisy.astype(np.float32, copy=False), image)

    def draw(self, rng: np.random.Generator) -> Noise:
        """Draw what varies per image: each range becomes a number, each choice one of its members."""
        ranges = {key: value.draw(rng) for key, value in vars(self).items() if isinstance(value, Range)}
        return dataclasses.replace(self, **ranges) if ranges else self  # type: ignore[type-var]

    @abstractmethod
    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade a float32 image `[H, W, C]`; all ranges and choices have been drawn."""

    @property
    def sigma(self) -> float | None:
        """Sigma for a denoiser, in [0, 1] units; None if it is not the same for all pixels, or not drawn yet."""
        return None

    def __add__(self, then: Noise) -> Noise:
        """`a + b`: first a, then b."""
        return chain([(1.0, self), (1.0, then)])

    def __or__(self, other: Noise) -> Noise:
        """`a | b`: one of them, drawn per image."""
        return choice([self, other])


@dataclass(frozen=True)
class Chain(Noise):
    """Several noises applied in order; written `a + b`."""

    name: ClassVar[str] = "chain"
    steps: tuple[Noise, ...]

    def draw(self, rng: np.random.Generator) -> Noise:
        """Draw every step."""
        return Chain(tuple(step.draw(rng) for step in self.steps))

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Apply the steps in order."""
        for step in self.steps:
            image = step.apply(image, rng)
        return image

    @property
    def sigma(self) -> float | None:
        """Square root of the summed variances; None if a step has no sigma."""
        parts = [step.sigma for step in self.steps]
        return None if None in parts else float(np.sqrt(sum(part**2 for part in parts if part is not None)))

    def __str__(self) -> str:
        """Return the spec."""
        return " + ".join(map(str, self.steps))


@dataclass(frozen=True)
class Choice(Noise):
    """One of several noises, drawn for each image; written `a | b`."""

    name: ClassVar[str] = "choice"
    options: tuple[Noise, ...]

    def draw(self, rng: np.random.Generator) -> Noise:
        """Pick one, all with the same probability, and draw it."""
        return self.options[int(rng.integers(len(self.options)))].draw(rng)

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Pick one and apply it."""
        return self.draw(rng).apply(image, rng)

    def __str__(self) -> str:
        """Return the spec."""
        return " | ".join(map(str, self.options))


def chain(terms: list[tuple[float, Noise]]) -> Noise:
    """Chain noises with `+`; nested chains are flattened."""
    steps: list[Noise] = []
    for weight, noise in terms:
        if weight != 1:
            raise UnnoiseError(f"a noise has no weight: scale the arguments of {noise} instead")
        if isinstance(noise, Choice):
            raise UnnoiseError("'|' binds weaker than '+': write out each chain of the choice")
        steps.extend(noise.steps if isinstance(noise, Chain) else [noise])
    return Chain(tuple(steps))


def choice(options: list[Noise]) -> Noise:
    """Combine noises with `|`; nested choices are flattened."""
    flat = [noise for option in options for noise in (option.options if isinstance(option, Choice) else (option,))]
    return Choice(tuple(flat))


def check(noise: Noise, field: str, low: float, high: float = float("inf")) -> None:
    """Raise UnnoiseError unless a field is a number, or a range of numbers, from `low` to `high`."""
    value: Any = getattr(noise, field)
    ends = (value.low, value.high) if isinstance(value, Range) else (value,)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if not numbers or not all(low <= end <= high and end < float("inf") for end in ends):
        limits = f"from {low:g} to {high:g}" if high < float("inf") else f"of at least {low:g}"
        raise UnnoiseError(f"{noise.name}: {field} must be a number {limits}, got '{value}'")


def check_flag(noise: Noise, field: str) -> None:
    """Raise UnnoiseError unless a field is true or false."""
    value: Any = getattr(noise, field)
    if not isinstance(value, bool):
        raise UnnoiseError(f"{noise.name}: {field} must be true or false, got '{value}'")


def level(value: float | Range) -> float:
    """Convert a level from 8-bit units to [0, 1] units; a range has to be drawn first."""
    if isinstance(value, Range):
        raise TypeError(f"the range {value} was not drawn: call the noise, or draw() it first")
    return from_8bit(value)
