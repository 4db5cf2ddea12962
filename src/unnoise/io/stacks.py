"""Arrays of more than one plane: their axes have names, as in OME, ImageJ and tifffile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unnoise.errors import UnnoiseError
from unnoise.io.layout import DATA, Layout
from unnoise.io.picture import Picture, from_array

PLANE, CHANNEL, SAMPLE = "YX", "C", "S"
"""Axes of a plane; the axis of channels that are measured apart; the axis of the samples of a color."""


@dataclass(frozen=True)
class Stack:
    """The axes of an array.

    Attributes:
        axes: a letter for each axis, such as "TZCYX". Y and X are rows and columns; C are channels, each of which is a
            gray image with a range and a noise of its own; S are the samples of a color, RGB or RGBA. All others, such
            as T and Z, count planes.
        shape: of the array.

    Raises:
        UnnoiseError: they do not fit each other.
    """

    axes: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the axes."""
        if len(self.axes) != len(self.shape):
            raise UnnoiseError(f"axes '{self.axes}' do not fit an array of shape {self.shape}: name each of its axes")
        if not self.axes.isalpha() or not self.axes.isupper() or len(set(self.axes)) < len(self.axes):
            raise UnnoiseError(f"axes '{self.axes}' must be different capital letters, such as TZCYX")
        if not set(PLANE) <= set(self.axes):
            raise UnnoiseError(f"axes '{self.axes}' have no plane: name Y and X")
        if {CHANNEL, SAMPLE} <= set(self.axes):
            raise UnnoiseError(f"axes '{self.axes}' have channels (C) of colors (S): pass one channel at a time")

    @property
    def order(self) -> list[int]:
        """The axes in the order that count the planes, then rows, columns, and channels or samples."""
        last = [self.axes.index(name) for name in (*PLANE, CHANNEL, SAMPLE) if name in self.axes]
        return [axis for axis in range(len(self.axes)) if axis not in last] + last

    def planes(self, array: np.ndarray) -> np.ndarray:
        """Return the planes of an array of this shape below each other, `[N * H, W, C]`."""
        channels = self.shape[self.order[-1]] if self.axes[self.order[-1]] in (CHANNEL, SAMPLE) else 1
        return array.transpose(self.order).reshape(-1, self.shape[self.axes.index("X")], channels)

    def array(self, planes: np.ndarray) -> np.ndarray:
        """Return the array that `planes` was made of."""
        return planes.reshape([self.shape[axis] for axis in self.order]).transpose(np.argsort(self.order))


def to_picture(array: np.ndarray, axes: str, alpha: bool | None) -> Picture:
    """Return an array with named axes as a picture whose pages are its planes; masked values are missing.

    Args:
        array: the values.
        axes: as for `Stack`.
        alpha: whether the last sample of an S axis is alpha, as for `from_array`.
    """
    stack = Stack(axes, array.shape)
    if array.size == 0:
        raise UnnoiseError(f"an array of shape {array.shape} is empty")
    samples = stack.planes(np.ma.getdata(array))
    color = SAMPLE in axes
    picture = from_array(samples, alpha if color else False)
    height = array.shape[axes.index("Y")]
    metadata = {"page-height": height} if len(samples) > height else {}
    layout = picture.layout if color else Layout(1, (DATA,) * (samples.shape[2] - 1))
    picture = replace(picture, metadata=metadata, layout=layout)
    if np.ma.is_masked(array):
        picture.pixels[stack.planes(np.ma.getmaskarray(array))[:, :, layout.channels]] = np.nan
    return picture


def from_picture(picture: Picture, axes: str, shape: Sequence[int]) -> np.ndarray:
    """Return the samples of a picture as an array with named axes."""
    return Stack(axes, tuple(shape)).array(picture.samples())
