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
from unnoise.noise.synthetic import Gaussian
from unnoise.training.augmentations import BLURS, Darkening, Mosaicing, blurred, dithered, rescaled, stretch_contrast

STRETCHED = 0.45
"""Largest share of a stretched patch that becomes black, and largest share that becomes white."""


@dataclass(frozen=True)
class PatchPlan:
    """How a patch is made from the dataset.

    Attributes:
        picture: index of the item of the dataset.
        top: first row in the image.
        left: first column in the image.
        turns: counterclockwise quarter turns.
        mirrored: whether it is mirrored left to right after turning.
        gray: whether it is converted to gray, with the same noise in all channels.
        stretch: the shares of black and white after stretching, or None.
        noise: noise with drawn parameters; None for pairs.
        scale: pixels of the image per pixel of the patch: 1, 2 (averaged), 1/2 or 1/4 (interpolated).
        darken: how it is darkened, or None.
        colors: number of colors it is dithered to; 0 for no dithering.
        blur: standard deviation of the Gaussian that it is blurred by, pixels; 0 for no blur.
        mosaic: the sensor that it is seen by, or None.
    """

    picture: int
    top: int
    left: int
    turns: int
    mirrored: bool
    gray: bool = False
    stretch: tuple[float, float] | None = None
    noise: Noise | None = None
    scale: float = 1
    darken: Darkening | None = None
    colors: int = 0
    blur: float = 0.0
    mosaic: Mosaicing | None = None

    @property
    def sigma(self) -> float | None:
        """Sigma of the noise in [0, 1] units; None if it has no single sigma."""
        return None if self.noise is None else self.noise.sigma


@dataclass(frozen=True)
class Patches:
    """An endless sequence of square training patches.

    Attributes:
        dataset: clean images, pairs of noisy and clean images, or both.
        noise: noise that is added to clean images; None if there are only pairs or noisy images.
        size: side of a patch in pixels.
        seed: seed of crops, orientations and noise.
        per_picture: patches of each image, at fixed places; each epoch has all of them in another order, with new
            noise. None draws image and place anew for every patch.
        turn: turn each patch to a random one of its eight orientations.
        target: what is returned with the noisy patch (see `tasks.Task`): the "clean" one; a "second" noisy one, from a
            pair of shots or with other noise; or "none", where images without a noise spec are noisy already.
        gray: share of clean color images that are converted to gray and get the same noise in all channels.
        stretch: share of clean images whose contrast is stretched first (`stretch_contrast`).
        halve: share of patches that are cut at twice their side and averaged 2x2, which removes most of the noise and
            the JPEG artifacts that photographs have themselves; only from images that are large enough.
        enlarge: share of patches that are cut at half or a quarter of their side and interpolated, like scaled or
            blurred images.
        darken: share of clean images that are darkened, as at night or under a microscope (`Darkening`).
        dither: share of clean images that are dithered to few colors, or to black and white, and get no noise: they
            look noisy, and are not.
        blur: share of clean images that are blurred, as out of focus or through a microscope.
        mosaic: whether clean color images become mosaics of a raw file, of one channel (`Mosaicing`).
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
    halve: float = 0.0
    enlarge: float = 0.0
    darken: float = 0.0
    dither: float = 0.0
    blur: float = 0.0
    mosaic: bool = False

    @property
    def epoch(self) -> int:
        """Number of patches of an epoch."""
        return len(self.dataset) * (self.per_picture or 1)

    @property
    def are_whole(self) -> bool:
        """Whether every patch is a whole image with its borders."""
        sizes = {picture.shape[:2] for index in range(len(self.dataset)) for picture in self._pictures(index)}
        return sizes == {(self.size, self.size)}

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Make patch `index`.

        Returns:
            `noisy` and the target, `clean` or `second`, float32 `[C, size, size]`, and `sigma`, the noise deviation in
            [0, 1] units `[1, 1, 1]` (NaN if there is no single sigma).
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
            if plan.blur:
                target = blurred(target, plan.blur)
            if plan.stretch:
                target = stretch_contrast(target, *plan.stretch)
            if plan.darken:
                target = plan.darken.apply(target)
            if plan.colors:
                target = dithered(target, plan.colors)
            if plan.mosaic:
                target, channels = plan.mosaic.apply(target), 1
            noisy = plan.noise(target, rng)
            if self.target == "second":
                target = plan.noise(target, rng)
            noisy, target = with_channels(noisy, channels), with_channels(target, channels)
        patch = {"noisy": noisy} if self.target == "none" else {"noisy": noisy, self.target: target}
        level = np.full((1, 1, 1), np.nan if plan.sigma is None else plan.sigma, dtype=np.float32)
        return {**{key: one.transpose(2, 0, 1).copy() for key, one in patch.items()}, "sigma": level}

    def plan(self, index: int) -> tuple[PatchPlan, np.random.Generator]:
        """Return the plan of patch `index`, and the random generator for its noise.

        Raises:
            UnnoiseError: the image cannot be read, or is smaller than a patch.
        """
        rng = np.random.default_rng((self.seed, index))
        if self.per_picture is None:
            picture, where = int(rng.integers(len(self.dataset))), rng
        else:
            place = int(self._order(index // self.epoch)[index % self.epoch])
            picture, where = place // self.per_picture, np.random.default_rng((self.seed, 0, place))
        pictures = self._pictures(picture)
        height, width = pictures[0].shape[:2]
        scale = self._draw_scale(rng, min(height, width)) if self.halve or self.enlarge else 1
        side = round(self.size * scale)
        top = int(where.integers(height - side + 1))
        left = int(where.integers(width - side + 1))
        turns, mirrored = (int(rng.integers(4)), bool(rng.integers(2))) if self.turn else (0, False)
        if self.noise is None or len(pictures) == 2:
            return PatchPlan(picture, top, left, turns, mirrored, scale=scale), rng
        gray = bool(self.gray) and rng.random() < self.gray
        stretch = bool(self.stretch) and rng.random() < self.stretch
        black, white = STRETCHED * rng.random(2) if stretch else (0.0, 0.0)
        darken = Darkening.draw(rng) if self.darken and rng.random() < self.darken else None
        noise, shares = self.noise.draw(rng), (black, white) if stretch else None
        colors = int(2 ** rng.integers(1, 6)) if self.dither and rng.random() < self.dither else 0
        noise = Gaussian(0) if colors else noise
        blur = float(np.exp(rng.uniform(*np.log(BLURS)))) if self.blur and rng.random() < self.blur else 0.0
        mosaic = Mosaicing.draw(rng) if self.mosaic else None
        chosen = gray, shares, noise, scale, darken, colors, blur, mosaic
        return PatchPlan(picture, top, left, turns, mirrored, *chosen), rng

    def _draw_scale(self, rng: np.random.Generator, side: int) -> float:
        """Draw the number of pixels per pixel of the patch, for an image whose shorter side is given."""
        drawn = rng.random()
        if drawn < self.halve:
            return 2 if side >= 2 * self.size else 1
        if drawn < self.halve + self.enlarge:
            return 0.25 if drawn < self.halve + self.enlarge / 3 else 0.5
        return 1

    def check(self) -> None:
        """Read all images of the dataset, so that errors are raised before the training starts.

        Raises:
            UnnoiseError: an image cannot be read, holds NaN, is smaller than a patch, or lacks noise or a second shot.
        """
        for index in range(len(self.dataset)):
            pictures = self._pictures(index)
            if any(one.dtype.kind == "f" and not np.isfinite(one).all() for one in pictures):
                label = self.dataset.label(index)
                raise UnnoiseError(f"'{label}' holds NaN or infinite values: data.skip_damaged leaves it out")
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
        """Cut the same square from each image of an item, turned and converted to [0, 1]."""
        side = round(self.size * plan.scale)
        rows, columns = slice(plan.top, plan.top + side), slice(plan.left, plan.left + side)
        turned = [np.rot90(one[rows, columns], plan.turns) for one in self._pictures(plan.picture)]
        patches = [as_float(patch[:, ::-1] if plan.mirrored else patch) for patch in turned]
        return patches if plan.scale == 1 else [rescaled(patch, plan.scale) for patch in patches]

    def _order(self, epoch: int) -> np.ndarray:
        """Return the order of the patches of an epoch; that of the last epoch is cached."""
        if epoch not in self._orders:
            self._orders.clear()
            self._orders[epoch] = np.random.default_rng((self.seed, 1, epoch)).permutation(self.epoch)
        return self._orders[epoch]

    @functools.cached_property
    def _orders(self) -> dict[int, np.ndarray]:
        return {}
