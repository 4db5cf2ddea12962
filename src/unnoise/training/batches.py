"""Batches for training: of patches that the CPU prepares, or made on the training device.

The latter is for GPUs, which would wait for the CPU. All images are in the memory of the device. Positions,
orientations and noise specs of the patches come from `Patches.plan`, so patch n shows the same in both cases; the noise
itself is drawn on the device, from the same distributions but with other random numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader

from unnoise.datasets.base import LUMA, Dataset, as_float
from unnoise.errors import UnnoiseError
from unnoise.noise import Noise
from unnoise.noise.base import Chain, Choice, level
from unnoise.noise.codec import Clip
from unnoise.noise.synthetic import Gaussian, Poisson, SaltPepper, Speckle, Uniform
from unnoise.training import distributed
from unnoise.training.augmentations import MAX_GAIN
from unnoise.training.patches import Patches, PatchPlan

# Row and column in the image of row i and column j of a patch, counted from its center, for each quarter turn.
_TURNED = (((1, 0), (0, 1)), ((0, 1), (-1, 0)), ((-1, 0), (0, -1)), ((0, -1), (1, 0)))


class DevicePatches:
    """Batches of patches that are made on a device, with all images in its memory.

    Args:
        dataset: clean images.
        device: the device.

    Raises:
        UnnoiseError: the dataset has pairs.
    """

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.device = device
        stored: list[np.ndarray] = []
        starts: dict[int, int] = {}  # an image that occurs twice is stored once
        places: list[tuple[int, int]] = []
        held = 0
        for index in range(len(dataset)):
            picture = dataset[index]
            if isinstance(picture, tuple):
                raise UnnoiseError("data.on_device supports clean images only, not pairs")
            if id(picture) not in starts:
                starts[id(picture)] = held
                stored.append(picture)
                held += picture.shape[0] * picture.shape[1]
            places.append((starts[id(picture)], picture.shape[1]))
        if any(one.dtype != np.uint8 for one in stored):
            stored = [as_float(one) for one in stored]
        pixels = np.concatenate([one.reshape(-1, one.shape[2]) for one in stored])
        self._pixels = torch.from_numpy(pixels).to(device)
        self._places = np.array(places)

    def make(self, patches: Patches, first: int, count: int) -> dict[str, torch.Tensor]:
        """Return the batch of patches `first` to `first + count` of `patches`, which has the same dataset.

        Returns:
            As `Patches.__getitem__`, `[B, C, size, size]` and `sigma` `[B, 1, 1, 1]`, on the device.
        """
        plans = [patches.plan(index)[0] for index in range(first, first + count)]
        chance = torch.Generator(self.device)
        chance.manual_seed(int(np.random.default_rng((patches.seed, 2, first)).integers(2**62)))
        gray = column([plan.gray for plan in plans], self.device)
        noises = [plan.noise for plan in plans if plan.noise is not None]

        def degraded() -> torch.Tensor:
            noisy = apply_noise(target, noises, chance)
            return torch.where(gray, noisy[:, :1], noisy) if patches.gray else noisy

        target = self._cut(plans, patches.size)
        if patches.gray:
            target = torch.where(gray, _luma(target), target)
        if patches.stretch:
            target = _stretched(target, plans)
        sigmas = [np.nan if plan.sigma is None else plan.sigma for plan in plans]
        batch = {"noisy": degraded(), "sigma": column(sigmas, self.device)}
        if patches.target == "none":
            return batch
        return {**batch, patches.target: target if patches.target == "clean" else degraded()}

    def _cut(self, plans: Sequence[PatchPlan], size: int) -> torch.Tensor:
        """Cut and turn all patches with one indexing operation: `[B, C, size, size]` in [0, 1]."""
        starts, widths = self._places[[plan.picture for plan in plans]].T
        corners = starts + widths * [plan.top for plan in plans] + [plan.left for plan in plans]
        turned = np.array([_TURNED[plan.turns] for plan in plans])
        turned[:, :, 1] *= np.where([plan.mirrored for plan in plans], -1, 1)[:, None]
        numbers = np.stack([*turned.reshape(-1, 4).T, corners, widths])[:, :, None, None]
        a, b, c, d, corner, width = torch.from_numpy(numbers).to(self.device, non_blocking=True)
        middle = 2 * torch.arange(size, device=self.device) - (size - 1)  # in half pixels
        down, across = middle[:, None], middle[None, :]
        rows, columns = (a * down + b * across + size - 1) // 2, (c * down + d * across + size - 1) // 2
        cut = self._pixels[corner + rows * width + columns].permute(0, 3, 1, 2)
        return cut / 255 if cut.dtype == torch.uint8 else cut


def iterate_batches(
    patches: Patches, held: DevicePatches | None, fabric: Fabric, first: int, batch: int, workers: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Yield this process's share of every batch, without end.

    Args:
        patches: the patches.
        held: makes batches on the device; None has the CPU prepare them.
        fabric: that of the process.
        first: index of the first patch of the first batch.
        batch: patches per step of all processes together; a multiple of their number.
        workers: processes that prepare patches; 0 prepares them in this process.
    """
    own = batch // fabric.world_size
    if held is None:
        loader = DataLoader(
            patches,  # type: ignore[arg-type]
            batch_size=own,
            sampler=distributed.rank_indices(first, batch, fabric.global_rank, fabric.world_size),
            num_workers=workers,
            # A process that is forked after libvips has started threads would wait for them forever.
            multiprocessing_context="spawn" if workers else None,
            pin_memory=fabric.device.type == "cuda",
        )
        for made in loader:
            yield fabric.to_device(made)
    else:
        for start in itertools.count(first + own * fabric.global_rank, batch):
            yield held.make(patches, start, own)


def check_noise(noise: Noise | None) -> None:
    """Check that a noise can be made on the device.

    Raises:
        UnnoiseError: there is no noise, or it is not supported.
    """
    if noise is None:
        raise UnnoiseError("data.on_device needs a noise to add, such as gaussian:25")
    for option in noise.options if isinstance(noise, Choice) else (noise,):
        for step in option.steps if isinstance(option, Chain) else (option,):
            if type(step) not in _KERNELS:
                names = ", ".join(sorted(one.name for one in _KERNELS))
                raise UnnoiseError(f"data.on_device supports {names}, not '{step.name}'")


def apply_noise(images: torch.Tensor, noises: Sequence[Noise], chance: torch.Generator) -> torch.Tensor:
    """Add to each image of a batch its own noise.

    Args:
        images: `[B, C, H, W]`, nominally in [0, 1].
        noises: a noise for each image, with drawn parameters (see `Noise.draw`).
        chance: random generator on the device of the images.
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
                images = _KERNELS[kind](images, steps, chance)
            else:
                rows = torch.tensor(indices).to(images.device, non_blocking=True)
                images = images.index_copy(0, rows, _KERNELS[kind](images[rows], steps, chance))
    return images


def _stretched(clean: torch.Tensor, plans: Sequence[PatchPlan]) -> torch.Tensor:
    """Stretch the contrast of patches whose plan says so, as `patches.stretch_contrast` does."""
    ordered = clean.flatten(1).sort(dim=1).values
    copies = np.array([clean.shape[1] if plan.gray else 1 for plan in plans])[:, None]  # of each value, in a row
    last = ordered.shape[1] // copies - 1
    shares = np.array([plan.stretch or (0.0, 0.0) for plan in plans])
    ends = np.stack([shares[:, 0], 1 - shares[:, 1]], axis=1) * last
    below = np.minimum(ends.astype(np.int64), last - 1)
    low, high, part = (
        torch.from_numpy(one).to(clean.device, non_blocking=True)
        for one in (below * copies, (below + 1) * copies, (ends - below).astype(np.float32))
    )
    values = ordered.gather(1, low).lerp(ordered.gather(1, high), part)
    lowest, highest = values[:, :, None, None].split(1, dim=1)
    gain = (1 / (highest - lowest).clamp(min=1e-6)).clamp(max=MAX_GAIN)
    wide = ((clean - (lowest + highest) / 2) * gain + 0.5).clamp(0, 1)
    return torch.where(column([plan.stretch is not None for plan in plans], clean.device), wide, clean)


def column(values: Sequence[Any], device: torch.device) -> torch.Tensor:
    """Return a number or a bool for each image as a tensor `[B, 1, 1, 1]`."""
    flags = all(isinstance(value, bool) for value in values)
    kind = torch.bool if flags else torch.float32
    return torch.tensor(values, dtype=kind)[:, None, None, None].to(device, non_blocking=True)  # does not wait


def _luma(x: torch.Tensor) -> torch.Tensor:
    """Return the luma `[B, 1, H, W]` of color images; gray images are unchanged."""
    if x.shape[1] == 1:
        return x
    return sum(float(share) * x[:, [channel]] for channel, share in enumerate(LUMA))  # type: ignore[return-value]


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


_KERNELS: dict[type[Noise], Callable[[torch.Tensor, Sequence[Any], torch.Generator], torch.Tensor]] = {
    Clip: _clip,
    Gaussian: _gaussian,
    Poisson: _poisson,
    SaltPepper: _salt_pepper,
    Speckle: _speckle,
    Uniform: _uniform,
}
