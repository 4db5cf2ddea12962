"""Detection of impulses (salt and pepper) in blocks of an image.

A pixel is an impulse if it is 0 or 1 and far from the median of the other pixels of its block, relative to their
spread. Saturated sky, shadow and print are at 0 and 1 as well, but there the block has too few other pixels, or their
spread is wide. Salt and pepper are equally frequent, while stars and hot pixels are only bright: the count is therefore
twice that of the rarer side.

A printed page is all black and white. There, a black pixel surrounded by white is pepper; print has strokes.
"""

from __future__ import annotations

import numpy as np

RARE = 0.005
"""Smaller fractions also occur in images without impulses."""

_SPREAD = 4.0  # deviations of a block, from which a pixel is far from its median
_NEAR = 8 / 255  # what is nearer is never lost
_UNEVEN = 2.5  # deviations of a fair coin, from which the blacks and whites of a block are the picture's own
_SOUND = 16  # pixels of a block that are neither 0 nor 1, for it to be judged
_JUDGED = 0.01  # of the blocks, or of the pixels for pepper on white: if fewer can be judged, nothing is found


def find(blocks: np.ndarray) -> tuple[np.ndarray, float]:
    """Find impulses.

    Args:
        blocks: `[N, C, height, width]`, finite.

    Returns:
        The mask of impulses, and their fraction in the image, 0 to 1; 0 if it is smaller than `RARE`.
    """
    if not len(blocks):
        return np.zeros(blocks.shape, bool), 0.0
    lost, share = _beside_shades(blocks)
    return (lost, share) if share else _on_white(blocks)


def _beside_shades(blocks: np.ndarray) -> tuple[np.ndarray, float]:
    pixels = blocks.reshape(*blocks.shape[:2], -1)
    black, white = pixels <= 0, pixels >= 1
    edge = black | white
    middle = _median(pixels, edge)[:, :, None]
    far = np.maximum(_SPREAD * 1.4826 * _median(np.abs(pixels - middle), edge)[:, :, None], _NEAR)
    judged = (~edge).sum(axis=2, keepdims=True) >= _SOUND
    judged &= (middle > far) & (middle < 1 - far)
    blacks, whites = (side.sum(axis=2, keepdims=True) for side in (black, white))
    judged &= np.abs(whites - blacks) <= _UNEVEN * np.sqrt(whites + blacks)
    if judged.sum() <= _JUDGED * judged.size:
        return np.zeros(blocks.shape, bool), 0.0
    rarer = min((side & judged).sum() for side in (black, white))
    share = min(2 * float(rarer) / (judged.sum() * pixels.shape[2]), 1.0)
    return (edge & judged).reshape(blocks.shape), share if share > RARE else 0.0


def _on_white(blocks: np.ndarray) -> tuple[np.ndarray, float]:
    black, white = blocks <= 0, blocks >= 1
    height, width = blocks.shape[2:]
    surrounded = np.logical_and.reduce(
        [white[:, :, y : height - 2 + y, x : width - 2 + x] for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    )
    if surrounded.sum() <= _JUDGED * surrounded.size:
        return np.zeros_like(black), 0.0
    share = min(2 * float((surrounded & black[:, :, 1:-1, 1:-1]).sum() / surrounded.sum()), 1.0)
    return black | white, share if share > RARE else 0.0


def without(blocks: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Replace impulses by the median of their block, and scale the other pixels to keep the variance.

    A block of nothing but impulses becomes constant.
    """
    axes = (2, 3)
    middle = _median(blocks.reshape(*blocks.shape[:2], -1), lost.reshape(*lost.shape[:2], -1))[:, :, None, None]
    middle = np.where(lost.all(axis=axes, keepdims=True), blocks.mean(axis=axes, keepdims=True), middle)
    kept = np.maximum((~lost).mean(axis=axes, keepdims=True), 1 / lost[0, 0].size)
    return np.where(lost, middle, middle + (blocks - middle) / np.sqrt(kept)).astype(np.float32)


def _median(values: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Return the median along the last axis without the pixels `left_out`; infinity if none remain."""
    ordered = np.sort(np.where(left_out, np.inf, values), axis=-1)
    count = np.maximum((~left_out).sum(axis=-1, keepdims=True), 1)
    pair = [np.take_along_axis(ordered, index, axis=-1)[..., 0] for index in ((count - 1) // 2, count // 2)]
    return (pair[0] + pair[1]) / 2
