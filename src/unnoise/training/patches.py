"""Training patches: random crops of a dataset, turned and with noise.

Patch n depends on (seed, n) only, whatever process makes it, so a resumed run gets the patches that an uninterrupted
one would have got.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unnoise.datasets.base import Dataset, as_float, with_channels
from unnoise.errors import UnnoiseError
from unnoise.noise import Noise

STRETCHED = 0.45
"""The largest share of a stretched patch that becomes black, and that becomes white."""
MAX_GAIN = 6.0
"""No picture is stretched further: its own noise and blocks would be taken for the picture."""


@dataclass(frozen=True)
class PatchPlan:
    """What a patch is going to be.

    Attributes:
        picture: which item of the dataset it is cut from.
        top: its first row there.
        left: its first column.
        turns: quarter turns, against the clock.
        mirrored: left and right exchanged, after that.
        gray: made grey, and spoilt alike in all channels.
        stretch: the shares of black and of white that it is stretched to, or None.
        noise: what spoils it, settled; None for pairs.
    """

    picture: int
    top: int
    left: int
    turns: int
    mirrored: bool
    gray: bool = False
    stretch: tuple[float, float] | None = None
    noise: Noise | None = None

    @property
    def sigma(self) -> float | None:
        """What a denoiser is told of the noise, in [0, 1] units."""
        return None if self.noise is None else self.noise.sigma


@dataclass(frozen=True)
class Patches:
    """An endless sequence of square training patches.

    Attributes:
        dataset: clean pictures, pairs of noisy and clean ones, or both.
        noise: what spoils a clean picture; pairs have their own, and with None there are only pairs.
        size: side of a patch in pixels.
        seed: seeds crops, turns and noise.
        per_picture: patches of each picture, at places that stay; each epoch is all of them in another order, with new
            noise. None draws picture and place anew for every patch.
        turn: turn each patch to one of its eight orientations.
        target: what goes with the noisy patch (see `tasks.Task`): the "clean" one; a "second" noisy one, the other of a
            pair of shots, or a clean picture spoilt twice; or "none", and pictures without a noise are noisy as they
            are.
        gray: the share of clean colour pictures that are made grey and then spoilt, alike in all channels.
        stretch: the share of clean pictures that are first stretched until some of it is black or white (`stretched`).
    """

    dataset: Dataset
    noise: Noise | None
    size: int
    seed: int = 0
    per_picture: int | None = None
    turn: bool = True
    target: Literal["clean", "second", "none"] = "clean"
    gray: float = 0.0
    stretch: float = 0.0

    @property
    def epoch(self) -> int:
        """Patches of an epoch."""
        return len(self.dataset) * (self.per_picture or 1)

    @property
    def are_whole(self) -> bool:
        """Whether every patch is a whole picture, with the borders that pictures have."""
        sizes = {picture.shape[:2] for index in range(len(self.dataset)) for picture in self._pictures(index)}
        return sizes == {(self.size, self.size)}

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Make patch `index`.

        Returns:
            `noisy` and the target, `clean` or `second`, float32 `[C, size, size]`, and `sigma`, the noise deviation in
            [0, 1] units `[1, 1, 1]` (NaN where no single number says it).
        """
        plan, rng = self.plan(index)
        patches = self._cut(plan)
        if plan.noise is None:
            noisy, target = patches[0], patches[-1]
        else:
            (target,) = patches
            channels = target.shape[2]
            if plan.gray:
                target = with_channels(target, 1)
            if plan.stretch:
                target = stretch_contrast(target, *plan.stretch)
            noisy = plan.noise(target, rng)
            if self.target == "second":
                target = plan.noise(target, rng)
            noisy, target = with_channels(noisy, channels), with_channels(target, channels)
        patch = {"noisy": noisy} if self.target == "none" else {"noisy": noisy, self.target: target}
        level = np.full((1, 1, 1), np.nan if plan.sigma is None else plan.sigma, dtype=np.float32)
        return {**{key: one.transpose(2, 0, 1).copy() for key, one in patch.items()}, "sigma": level}

    def plan(self, index: int) -> tuple[PatchPlan, np.random.Generator]:
        """Draw all of patch `index` but the noise itself, and return beside it what that is drawn from.

        Raises:
            UnnoiseError: the picture cannot be read, or is smaller than a patch.
        """
        rng = np.random.default_rng((self.seed, index))
        if self.per_picture is None:
            picture, where = int(rng.integers(len(self.dataset))), rng
        else:
            place = int(self._order(index // self.epoch)[index % self.epoch])
            picture, where = place // self.per_picture, np.random.default_rng((self.seed, 0, place))
        pictures = self._pictures(picture)
        height, width = pictures[0].shape[:2]
        top = int(where.integers(height - self.size + 1))
        left = int(where.integers(width - self.size + 1))
        turns, mirrored = (int(rng.integers(4)), bool(rng.integers(2))) if self.turn else (0, False)
        if self.noise is None or len(pictures) == 2:
            return PatchPlan(picture, top, left, turns, mirrored), rng
        gray = bool(self.gray) and rng.random() < self.gray
        stretch = bool(self.stretch) and rng.random() < self.stretch
        black, white = STRETCHED * rng.random(2) if stretch else (0.0, 0.0)
        noise = self.noise.draw(rng)
        return PatchPlan(picture, top, left, turns, mirrored, gray, (black, white) if stretch else None, noise), rng

    def check(self) -> None:
        """Read all images of the dataset, so that errors are raised before the training starts.

        Raises:
            UnnoiseError: an image cannot be read, holds NaN, is smaller than a patch, or lacks noise or a second shot.
        """
        for index in range(len(self.dataset)):
            pictures = self._pictures(index)
            if any(one.dtype.kind == "f" and not np.isfinite(one).all() for one in pictures):
                raise UnnoiseError(f"'{self.dataset.label(index)}' holds NaN or infinite values")
            if self.noise is None and len(pictures) == 1 and self.target != "none":
                label = self.dataset.label(index)
                if self.target == "second":
                    raise UnnoiseError(f"'{label}' is a single image: pairs:FOLDER needs NAME_shot1 and NAME_shot2")
                raise UnnoiseError(f"'{label}' is a clean image: name a noise to add, such as gaussian:25")

    def _pictures(self, index: int) -> tuple[np.ndarray, ...]:
        item = self.dataset[index]
        pictures = item if isinstance(item, tuple) else (item,)
        height, width = pictures[0].shape[:2]
        if min(height, width) < self.size:
            label = self.dataset.label(index)
            raise UnnoiseError(f"'{label}', {width}x{height} pixels, is smaller than a patch of {self.size}")
        return pictures

    def _cut(self, plan: PatchPlan) -> list[np.ndarray]:
        """Cut the same square from each picture of an item, turn them alike, and bring them to [0, 1]."""
        rows, columns = slice(plan.top, plan.top + self.size), slice(plan.left, plan.left + self.size)
        turned = [np.rot90(one[rows, columns], plan.turns) for one in self._pictures(plan.picture)]
        return [as_float(patch[:, ::-1] if plan.mirrored else patch) for patch in turned]

    def _order(self, epoch: int) -> np.ndarray:
        """Return the order of an epoch's patches; it is kept until another epoch is asked for."""
        if epoch not in self._orders:
            self._orders.clear()
            self._orders[epoch] = np.random.default_rng((self.seed, 1, epoch)).permutation(self.epoch)
        return self._orders[epoch]

    @functools.cached_property
    def _orders(self) -> dict[int, np.ndarray]:
        return {}


def stretch_contrast(picture: np.ndarray, black: float, white: float) -> np.ndarray:
    """Stretch a picture's brightness until some of it is black or white, as print, glare and deep shadow are.

    Args:
        picture: in [0, 1], float32 `[H, W, C]`.
        black: the share of all values that becomes black.
        white: the share that becomes white; where the picture would be stretched more than `STEEPEST`, fewer do.
    """
    lowest, highest = np.quantile(picture, [black, 1 - white])
    gain = min(1 / max(highest - lowest, 1e-6), MAX_GAIN)
    return np.clip((picture - (lowest + highest) / 2) * gain + 0.5, 0, 1).astype(np.float32)
