"""Batches made on the device that trains: for GPUs, which would wait for patches that processors make.

All pictures lie in the device's memory. Which squares are cut from them, how they are turned, and which noise spoils
them is what `Patches` plans, so that patch n shows the same here and there; the noise itself is drawn on the device, by
the same laws and from another source of chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from unnoise.datasets.base import as_float
from unnoise.datasets.patches import STEEPEST, Patches, Plan
from unnoise.errors import UnnoiseError
from unnoise.noise import Noise
from unnoise.noise.base import Chain, Choice, level
from unnoise.noise.codec import Clip
from unnoise.noise.synthetic import Gaussian, Poisson, SaltPepper, Speckle, Uniform

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
# Where row i and column j of a patch, both counted from its middle, lie in the picture, after each quarter turn.
_TURNED = (((1, 0), (0, 1)), ((0, 1), (-1, 0)), ((-1, 0), (0, -1)), ((0, -1), (1, 0)))


class Batches:
    """Batches of patches on a device.

    Args:
        patches: what plans them, of clean pictures.
        device: where they are made.

    Raises:
        UnnoiseError: there are pairs among the pictures, or a noise that is made on processors alone.
    """

    def __init__(self, patches: Patches, device: torch.device) -> None:
        check_noise(patches.noise)
        self.patches, self.device = patches, device
        pictures: dict[int, np.ndarray] = {}  # one that stands twice in the dataset is held once
        places: list[tuple[int, int]] = []
        starts: dict[int, int] = {}
        held = 0
        for index in range(len(patches.dataset)):
            picture = patches.dataset[index]
            if isinstance(picture, tuple):
                raise UnnoiseError("data.on_device takes clean pictures alone: pairs are for patches that processors make")
            if id(picture) not in pictures:
                pictures[id(picture)], starts[id(picture)] = picture, held
                held += picture.shape[0] * picture.shape[1]
            places.append((starts[id(picture)], picture.shape[1]))
        stored = list(pictures.values())
        if {one.dtype for one in stored} != {np.dtype(np.uint8)}:
            stored = [as_float(one) for one in stored]
        pixels = np.concatenate([one.reshape(-1, one.shape[2]) for one in stored])
        self._pixels = torch.from_numpy(pixels).to(device)
        self._places = np.array(places)

    def make(self, first: int, count: int) -> dict[str, torch.Tensor]:
        """Make patches `first` to `first + count`.

        Returns:
            As `Patches` does, `[B, C, size, size]` and `sigma` `[B, 1, 1, 1]`, on the device.
        """
        plans = [self.patches.plan(index)[0] for index in range(first, first + count)]
        chance = torch.Generator(self.device)
        chance.manual_seed(int(np.random.default_rng((self.patches.seed, 2, first)).integers(2**62)))
        gray = column([plan.gray for plan in plans], self.device)
        noises = [plan.noise for plan in plans if plan.noise is not None]
        target = self._cut(plans)
        if self.patches.gray:
            target = torch.where(gray, _luma(target), target)
        if self.patches.stretch:
            target = self._stretched(target, plans)
        batch = {"noisy": self._spoil(target, noises, gray, chance)}
        if self.patches.target == "second":
            batch["second"] = self._spoil(target, noises, gray, chance)
        elif self.patches.target == "clean":
            batch["clean"] = target
        told = [np.nan if plan.sigma is None else plan.sigma for plan in plans]
        return {**batch, "sigma": column(told, self.device)}

    def _cut(self, plans: Sequence[Plan]) -> torch.Tensor:
        """Cut and turn the squares, in one look at all pixels: `[B, C, size, size]` in [0, 1]."""
        size = self.patches.size
        starts, widths = self._places[[plan.picture for plan in plans]].T
        corners = starts + widths * [plan.top for plan in plans] + [plan.left for plan in plans]
        turned = np.array([_TURNED[plan.turns] for plan in plans])
        turned[:, :, 1] *= np.where([plan.mirrored for plan in plans], -1, 1)[:, None]
        steps = self._to_device(turned.reshape(-1, 4, 1, 1))
        middle = 2 * torch.arange(size, device=self.device) - (size - 1)  # in half pixels
        down, across = middle[:, None], middle[None, :]
        rows = (steps[:, 0] * down + steps[:, 1] * across + size - 1) // 2
        columns = (steps[:, 2] * down + steps[:, 3] * across + size - 1) // 2
        where = self._to_device(corners)[:, None, None] + rows * self._to_device(widths)[:, None, None] + columns
        cut = self._pixels[where].permute(0, 3, 1, 2)
        return cut / 255 if cut.dtype == torch.uint8 else cut

    def _stretched(self, clean: torch.Tensor, plans: Sequence[Plan]) -> torch.Tensor:
        """Stretch the patches that are planned so, as `patches.stretched` does."""
        ordered = clean.flatten(1).sort(dim=1).values
        last = ordered.shape[1] - 1
        shares = [plan.stretch or (0.0, 0.0) for plan in plans]
        ends = self._to_device(np.array([(black * last, (1 - white) * last) for black, white in shares]))
        below = ends.long().clamp(max=last - 1)
        low, high = ordered.gather(1, below), ordered.gather(1, below + 1)
        lowest, highest = (low + (high - low) * (ends - below).float())[:, :, None, None].split(1, dim=1)
        gain = (1 / (highest - lowest).clamp(min=1e-6)).clamp(max=STEEPEST)
        wide = ((clean - (lowest + highest) / 2) * gain + 0.5).clamp(0, 1)
        return torch.where(column([plan.stretch is not None for plan in plans], self.device), wide, clean)

    def _spoil(
        self, clean: torch.Tensor, noises: Sequence[Noise], gray: torch.Tensor, chance: torch.Generator
    ) -> torch.Tensor:
        """Spoil each picture by its noise; what is grey stays grey."""
        noisy = spoil(clean, noises, chance)
        return torch.where(gray, noisy[:, :1], noisy) if self.patches.gray else noisy

    def _to_device(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device, non_blocking=True)


def check_noise(noise: Noise | None) -> None:
    """Refuse a noise that is made on processors alone.

    Raises:
        UnnoiseError: it is none, or not among those that are made here.
    """
    if noise is None:
        raise UnnoiseError("data.on_device needs a noise to put into clean pictures, such as gaussian:25")
    for option in noise.options if isinstance(noise, Choice) else (noise,):
        for step in option.steps if isinstance(option, Chain) else (option,):
            if type(step) not in _LAWS:
                names = ", ".join(sorted(one.name for one in _LAWS))
                raise UnnoiseError(f"data.on_device makes {names}, and not '{step.name}'")


def spoil(images: torch.Tensor, noises: Sequence[Noise], chance: torch.Generator) -> torch.Tensor:
    """Spoil a batch of images, each by its own noise.

    Args:
        images: `[B, C, H, W]`, nominally in [0, 1].
        noises: one for each, settled (see `Noise.draw`).
        chance: the source of all randomness, on the images' device.
    """
    chains = [noise.steps if isinstance(noise, Chain) else (noise,) for noise in noises]
    for place in range(max(map(len, chains))):
        kinds: dict[type[Noise], list[int]] = {}
        for index, steps in enumerate(chains):
            if place < len(steps):
                kinds.setdefault(type(steps[place]), []).append(index)
        for kind, indices in kinds.items():
            steps = [chains[index][place] for index in indices]
            if len(indices) == len(chains):
                images = _LAWS[kind](images, steps, chance)
            else:
                rows = torch.tensor(indices).to(images.device, non_blocking=True)
                images = images.index_copy(0, rows, _LAWS[kind](images[rows], steps, chance))
    return images


def column(values: Sequence[Any], device: torch.device) -> torch.Tensor:
    """Lay out a number, or a yes or no, of each picture as `[B, 1, 1, 1]`."""
    flags = all(isinstance(value, bool) for value in values)
    kind = torch.bool if flags else torch.float32
    return torch.tensor(values, dtype=kind)[:, None, None, None].to(device, non_blocking=True)  # does not wait


def _luma(x: torch.Tensor) -> torch.Tensor:
    """Return the brightness `[B, 1, H, W]` of colours, or grey as it is."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.unbind(dim=1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue)[:, None]


def _gaussian(x: torch.Tensor, steps: Sequence[Any], chance: torch.Generator) -> torch.Tensor:
    sd = column([level(step.sd) for step in steps], x.device)
    return x + sd * torch.empty_like(x).normal_(generator=chance)


def _uniform(x: torch.Tensor, steps: Sequence[Any], chance: torch.Generator) -> torch.Tensor:
    width = column([level(step.width) for step in steps], x.device)
    return x + width * torch.empty_like(x).uniform_(-1, 1, generator=chance)


def _speckle(x: torch.Tensor, steps: Sequence[Any], chance: torch.Generator) -> torch.Tensor:
    sd = column([level(step.sd) for step in steps], x.device)
    return x + x * sd * torch.empty_like(x).normal_(generator=chance)


def _poisson(x: torch.Tensor, steps: Sequence[Any], chance: torch.Generator) -> torch.Tensor:
    peak = column([float(step.peak) for step in steps], x.device)
    return torch.poisson(x.clamp(min=0) * peak, generator=chance) / peak


def _salt_pepper(x: torch.Tensor, steps: Sequence[Any], chance: torch.Generator) -> torch.Tensor:
    half = column([float(step.share) / 2 for step in steps], x.device)
    u = torch.empty_like(x).uniform_(generator=chance)
    u = torch.where(column([step.independent for step in steps], x.device), u, u[:, :1])
    return torch.where(u < half, 0, torch.where(u >= 1 - half, 1, x))


def _clip(x: torch.Tensor, steps: Sequence[Any], chance: torch.Generator) -> torch.Tensor:
    return x.clamp(0, 1)


_LAWS: dict[type[Noise], Callable[[torch.Tensor, Sequence[Any], torch.Generator], torch.Tensor]] = {
    Clip: _clip,
    Gaussian: _gaussian,
    Poisson: _poisson,
    SaltPepper: _salt_pepper,
    Speckle: _speckle,
    Uniform: _uniform,
}
