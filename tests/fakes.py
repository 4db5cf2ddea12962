"""Denoisers and datasets for tests: trivial ones, whose results are known."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.datasets.base import Dataset
from unnoise.denoisers.base import Denoiser, Sigma

Call = Callable[..., tuple[int, str, str]]
"""The fixture `call`: words of a command line to its status, output and errors."""


class InMemory(Dataset):
    """Images `[H, W, C]`, or pairs (noisy, clean) of them, held in memory."""

    def __init__(self, *items: np.ndarray | tuple[np.ndarray, np.ndarray]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        return self.items[index]

    def label(self, index: int) -> str:
        return f"item {index}"


class Identity(Denoiser):
    """Return the input; all attributes have their defaults."""

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        return noisy


class Recorder(Denoiser):
    """Return the input, and keep the arguments of every `run`."""

    def __init__(self, channels: int | None = None, multiple_of: int = 1, wants_sigma: bool = True) -> None:
        self.channels, self.multiple_of, self.wants_sigma = channels, multiple_of, wants_sigma
        self.inputs: list[np.ndarray] = []
        self.sigmas: list[Sigma | None] = []

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        self.inputs.append(noisy)
        self.sigmas.append(sigma)
        return noisy


class ConstantSigma(Denoiser):
    """Return an image whose every value is sigma."""

    wants_sigma, halo = True, 0

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        assert sigma is not None
        return np.full_like(noisy, sigma)


class Hostile:
    """An object whose pickle creates a folder when it is loaded."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)
