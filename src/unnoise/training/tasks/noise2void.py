"""Noise2Void: the network predicts hidden pixels from their surroundings.

Krull, Buchholz, Jug, "Noise2Void - Learning Denoising from Single Noisy Images", CVPR 2019, arXiv:1811.10980: the
network minimizes L(f(y~)_i, y_i) at hidden pixels i only, where y~ is the image with these replaced. Noise that is
independent between pixels cannot be predicted; only the image can.

A hidden pixel is replaced by a random pixel around it, as in the paper, or by their median, which reduces checkerboard
artifacts in networks without a global skip connection, such as `resunet:through=false` (Höck et al.,
"N2V2: Fixing Noise2Void Checkerboard Artifacts with Modified Sampling Strategies and a Tweaked Network
Architecture", ECCV workshops 2022, arXiv:2211.08512). A network with one learns to pass the median on, and then
also the noisy pixels.

For noise along rows or columns, pixels before and after on the same line are hidden as well (Broaddus et al., "Removing
Structured Noise with Self-Supervised Blind-Spot Networks", ISBI 2020). Replacements are taken from visible pixels only.

Differences to the papers: a hidden pixel in every cell, many more than their 64 in a patch of 64x64, so that a step
learns more; all channels of a pixel are hidden together.

Limits: noise that neighbors share in other ways than along lines (demosaiced, blurred or compressed images) is kept;
single bright pixels, such as stars, are lost, since they cannot be predicted.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from unnoise.errors import UnnoiseError
from unnoise.networks import Network
from unnoise.training.losses import Loss
from unnoise.training.tasks.base import Batch, Task

AROUND = 2
"""Distance of the pixels around a hidden one, in pixels; with cells of 3 or more, some of them are always visible."""
FILLS, HIDDEN = ("neighbor", "median"), ("pixel", "row", "column")


class Noise2Void(Task):
    """Compare the output at hidden pixels with their noisy values.

    Args:
        cell: one pixel or line is hidden in each cell of this side, at least 3 pixels.
        fill: replacement of a hidden pixel: a random visible "neighbor", or the "median" of those up to 2 pixels away.
        hide: "pixel", or also the pixels of its "row" or "column".
        reach: number of pixels before and after that are hidden on that line; 0 hides the whole line.
    """

    name: ClassVar[str] = "noise2void"
    target: ClassVar[Literal["clean", "second", "none"]] = "none"
    judged: ClassVar[str] = "blind"

    def __init__(self, *, cell: int = 4, fill: str = "neighbor", hide: str = "pixel", reach: int = 0) -> None:
        for argument, value, least in (("cell", cell, 3), ("reach", reach, 0)):
            if type(value) is not int or value < least:
                raise UnnoiseError(f"noise2void: {argument} must be an integer of at least {least}, got '{value}'")
        for argument, value, known in (("fill", fill, FILLS), ("hide", hide, HIDDEN)):
            if value not in known:
                raise UnnoiseError(f"noise2void: {argument} must be {' or '.join(known)}, got '{value}'")
        self.cell, self.fill, self.hide, self.reach = cell, fill, hide, reach

    def step(self, network: Network, loss: Loss, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss at hidden pixels, its parts, and mean squared errors there.

        The errors are `blind`, of the prediction, and `input`, of adjacent visible pixels.
        """
        noisy = batch["noisy"]
        judged, hidden = self.blind_spots(noisy)
        values, visible = windows(noisy, hidden, AROUND)
        shown = noisy.permute(0, 2, 3, 1).clone()
        shown[hidden] = self._filling(values, visible)
        outputs = network.forward_train(shown.permute(0, 3, 1, 2), batch["sigma"])
        prediction, target = (_at(judged, one) for one in (outputs.pop("prediction"), noisy))
        errors = {"blind": prediction.detach() - target, "input": self._beside(noisy, judged, hidden)}
        return {
            **loss.parts(prediction, target, **outputs),
            **{key: error.square().mean() for key, error in errors.items()},
        }

    def blind_spots(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw masks `[B, H, W]` of the pixels of `[B, C, H, W]` that are compared, and of those that are hidden."""
        batch, _, height, width = pictures.shape
        if self.hide == "column":
            judged, hidden = self._rows(batch, width, height, pictures.device)
            return judged.mT, hidden.mT
        if self.hide == "row":
            return self._rows(batch, height, width, pictures.device)
        spots = one_of_each_cell((batch, height, width), (self.cell, self.cell), pictures.device)
        return spots, spots

    def _rows(self, batch: int, height: int, width: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.reach:
            rows = one_of_each_cell((batch, height, 1), (self.cell, 1), device).expand(-1, -1, width)
            return rows, rows
        span = 2 * self.reach + 1
        spots = one_of_each_cell((batch, height, width), (self.cell, self.cell * span), device)
        return spots, F.max_pool1d(spots.float(), span, stride=1, padding=self.reach) > 0

    def _filling(self, values: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """Return the replacements of hidden pixels, `[N, C]`, from the windows around them."""
        if self.fill == "median":
            return values.masked_fill(~visible[..., None], torch.nan).nanmedian(dim=1).values
        chosen = torch.rand(visible.shape, device=visible.device).masked_fill(~visible, -1).argmax(dim=1)
        return values[torch.arange(len(values), device=values.device), chosen]

    @staticmethod
    def _beside(noisy: torch.Tensor, judged: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Return the differences between compared pixels and adjacent visible ones, as a flat tensor."""
        values, visible = windows(noisy, hidden, 1, of=judged)
        own = noisy.permute(0, 2, 3, 1)[judged]
        return (values - own[:, None])[visible]


def one_of_each_cell(shape: tuple[int, int, int], cell: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Draw a mask `[B, H, W]` with one pixel of every cell; cells that cross a border may have none."""
    batch, height, width = shape
    tall, wide = cell
    rows, columns = -(-height // tall), -(-width // wide)
    place = torch.randint(tall * wide, (batch, rows, columns), device=device)
    cells = F.one_hot(place, tall * wide).unflatten(-1, (tall, wide)).permute(0, 1, 3, 2, 4)
    return cells.reshape(batch, rows * tall, columns * wide)[:, :height, :width].bool()


def windows(
    pictures: torch.Tensor, hidden: torch.Tensor, around: int, of: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the windows around pixels, mirrored at borders.

    Args:
        pictures: `[B, C, H, W]`.
        hidden: mask `[B, H, W]` of hidden pixels.
        around: distance from the center to the border of a window, in pixels.
        of: mask `[B, H, W]` of the centers; by default the hidden pixels.

    Returns:
        Values `[N, K, C]`, and whether they are visible `[N, K]`.
    """
    batch, row, column = torch.nonzero(hidden if of is None else of, as_tuple=True)
    offsets = torch.arange(-around, around + 1, device=pictures.device)
    rows = _mirrored(row[:, None, None] + offsets[:, None], pictures.shape[2])
    columns = _mirrored(column[:, None, None] + offsets, pictures.shape[3])
    place = (batch[:, None, None], rows, columns)
    return pictures.permute(0, 2, 3, 1)[place].flatten(1, 2), ~hidden[place].flatten(1)


def _mirrored(index: torch.Tensor, length: int) -> torch.Tensor:
    return (length - 1 - (length - 1 - index.abs()).abs()).clamp(min=0)


def _at(places: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Return pixels as one image with a single row, `[1, C, 1, N]`."""
    return pictures.permute(0, 2, 3, 1)[places].T[None, :, None]
