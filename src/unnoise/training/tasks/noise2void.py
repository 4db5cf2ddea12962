"""Noise2Void: some pixels are hidden, and the network has to tell them from those around.

Krull, Buchholz, Jug, "Noise2Void - Learning Denoising from Single Noisy Images", CVPR 2019, arXiv:1811.10980: the
network learns L(f(y~)_i, y_i) at hidden pixels i alone, y~ being the picture with these replaced. Noise that pixels do
not share cannot be told from neighbours; what can be told is the picture.

What is put in the place of a hidden pixel is one of those around at random, as in the paper, or their median, which
leaves fewer checkerboards where the network does not hand the picture to its end, as `resunet:through=false` (Höck and
others, "N2V2: Fixing Noise2Void Checkerboard Artifacts with Modified Sampling Strategies and a Tweaked Network
Architecture", ECCV workshops 2022, arXiv:2211.08512). In a network that does, the median is learned to be passed on,
and so are then the noisy pixels.

For noise that runs along rows or columns, the pixels before and behind on the same line are hidden, too (Broaddus et
al., "Removing Structured Noise with Self-Supervised Blind-Spot Networks", ISBI 2020). What is put in is made of visible
pixels only.

What differs from the papers: a hidden pixel in every cell, many more than the papers' 64 in a patch of 64x64, so that a
step teaches more; all channels of a pixel are hidden together.

What it cannot handle: noise that neighbours share in other ways than along lines (demosaiced, blurred or compressed
pictures), which it learns to keep; single bright pixels, such as stars, which cannot be told from those around.
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
"""How far neighbours are taken from, in pixels; with cells of 3 and more, some of them are always visible."""
FILLS, HIDDEN = ("neighbor", "median"), ("pixel", "row", "column")


class Noise2Void(Task):
    """Compare what the network makes of hidden pixels with what they were.

    Args:
        cell: one pixel, or line, is hidden in every `cell` pixels each way; 3 or more.
        fill: what is put in its place: one visible "neighbor", or the "median" of those up to two pixels around.
        hide: a "pixel", or along with it those of its "row" or "column".
        reach: how many pixels before and behind are hidden with it on that line; 0 hides the whole line.
    """

    name: ClassVar[str] = "noise2void"
    target: ClassVar[Literal["clean", "second", "none"]] = "none"
    judged: ClassVar[str] = "blind"

    def __init__(self, *, cell: int = 4, fill: str = "neighbor", hide: str = "pixel", reach: int = 0) -> None:
        for argument, value, least in (("cell", cell, 3), ("reach", reach, 0)):
            if type(value) is not int or value < least:
                raise UnnoiseError(f"noise2void: {argument} must be a whole number of at least {least}, not '{value}'")
        for argument, value, known in (("fill", fill, FILLS), ("hide", hide, HIDDEN)):
            if value not in known:
                raise UnnoiseError(f"noise2void: {argument} must be {' or '.join(known)}, not '{value}'")
        self.cell, self.fill, self.hide, self.reach = cell, fill, hide, reach

    def step(self, network: Network, loss: Loss, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss at hidden pixels, its parts, and mean squared errors there.

        These are that of the prediction, `blind`, and that of the visible pixels beside, `input`.
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
        """Draw which pixels of `[B, C, H, W]` are judged, and which are hidden: `[B, H, W]`, true there."""
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
        """Return what is put in the place of hidden pixels, `[N, C]`, of the windows around them."""
        if self.fill == "median":
            return values.masked_fill(~visible[..., None], torch.nan).nanmedian(dim=1).values
        chosen = torch.rand(visible.shape, device=visible.device).masked_fill(~visible, -1).argmax(dim=1)
        return values[torch.arange(len(values), device=values.device), chosen]

    @staticmethod
    def _beside(noisy: torch.Tensor, judged: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Return how far judged pixels are from each visible one that touches them, a flat tensor."""
        values, visible = windows(noisy, hidden, 1, of=judged)
        own = noisy.permute(0, 2, 3, 1)[judged]
        return (values - own[:, None])[visible]


def one_of_each_cell(shape: tuple[int, int, int], cell: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Draw one pixel of every cell, true there, `[B, H, W]`; cells that reach beyond a border may have none."""
    batch, height, width = shape
    tall, wide = cell
    rows, columns = -(-height // tall), -(-width // wide)
    place = torch.randint(tall * wide, (batch, rows, columns), device=device)
    cells = F.one_hot(place, tall * wide).unflatten(-1, (tall, wide)).permute(0, 1, 3, 2, 4)
    return cells.reshape(batch, rows * tall, columns * wide)[:, :height, :width].bool()


def windows(
    pictures: torch.Tensor, hidden: torch.Tensor, around: int, of: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut the windows around hidden pixels, mirrored at borders.

    Args:
        pictures: `[B, C, H, W]`.
        hidden: `[B, H, W]`, true where a pixel is hidden.
        around: how far a window reaches each way.
        of: whose windows, `[B, H, W]`; those of the hidden pixels by default.

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
    """Take pixels as one picture of a single row, `[1, C, 1, N]`."""
    return pictures.permute(0, 2, 3, 1)[places].T[None, :, None]
