"""A residual U-Net on the pixel-unshuffled image: the architecture of the bundled models.

A U-Net (Ronneberger, Fischer, Brox, MICCAI 2015, arXiv:1505.04597) of plain residual blocks, as in DRUNet (Zhang et
al., TPAMI 2021, arXiv:2008.13751), after 2x2 pixel unshuffling, with a map of sigma as an additional channel, as in
FFDNet (Zhang, Zuo, Zhang, TIP 2018, arXiv:1710.04026). Unlike there: strided 2x2 convolutions down and transposed ones
up, additive skips, and residual branches that start at zero, so that the initial network is the identity and trains at
a high learning rate without normalization.

Its receptive field is finite (`halo`). Sigma is an input, or, with `told=false`, the network is blind. With
`guess=true`, a small network estimates a map of sigma first, as in CBDNet (Guo et al., CVPR 2019, arXiv:1807.04686).
For impulse noise, `fill=true` first replaces pixels at 0 and 1 from their neighbors, and `refine=16` improves the
result at full resolution, since single pixels are finer than the features of the U-Net.
"""

from __future__ import annotations

import itertools
import math
from typing import ClassVar, TypeGuard

import torch
import torch.nn.functional as F
from torch import nn

from unnoise.errors import UnnoiseError
from unnoise.networks.base import Network, check_counts, sigma_map
from unnoise.networks.blocks import (
    DEFAULT_SIGMA,
    ImpulseFill,
    ResidualBlock,
    SigmaEstimator,
    conv3x3,
    residual_blocks,
    widen_weights,
    zero_init,
)

FADE = 0.3 / 255
"""Level at which `exact_at_zero` halves what is added, [0, 1] units: about that of rounding to 8 bits."""

FOLD = 2
"""Side of the squares of pixels that are unshuffled into channels."""


class ResUNet(Network):
    """Residual U-Net with noise-level map on 2x2 unshuffled input.

    Args:
        channels: channels of the picture.
        widths: channels of the features at each level, finest (that of the folded picture) first.
        blocks: residual blocks at each level, on the way down and again on the way up.
        told: whether it is told the noise level.
        guess: whether it estimates a map of the noise level itself, with `told=false` (`SigmaEstimator`).
        fill: whether pixels at 0 and 1 are first filled from those around (`FillLost`), which the residual then starts
            from; the network is shown which, the black and the white ones.
        refine: features of the convolutions at full size that improve what is filled; 0 for none.
        through: whether the picture is handed straight to the end, where what is found is added; false to learn from
            hidden pixels, which may not come through (N2V2, Höck et al., ECCV workshops 2022, arXiv:2211.08512).
        exact_at_zero: whether what is added vanishes with the level: it is multiplied by s^2 / (s^2 + `FADE`^2), s the
            level at the pixel, so that a picture without noise comes back as it is.
        codes: planes that tell the network what noise it is beside its level, as `NoiseEstimator` finds them; they are
            added to the features of every level, on the way down and up. 0 for none.
    """

    name: ClassVar[str] = "resunet"

    def __init__(
        self,
        *,
        channels: int = 3,
        widths: tuple[int, ...] = (32, 64, 128),
        blocks: tuple[int, ...] = (2, 2, 2),
        told: bool = True,
        guess: bool = False,
        fill: bool = False,
        refine: int = 0,
        through: bool = True,
        exact_at_zero: bool = False,
        codes: int = 0,
    ):
        super().__init__()
        check_counts(self.name, channels=channels, widths=widths, blocks=blocks)
        if not (isinstance(widths, tuple) and isinstance(blocks, tuple) and len(widths) == len(blocks) >= 2):
            raise UnnoiseError(
                "resunet: widths and blocks need the same levels, two or more, as in widths=8/16,blocks=1/1"
            )
        flags = {"told": told, "guess": guess, "fill": fill, "through": through, "exact_at_zero": exact_at_zero}
        for argument, value in flags.items():
            if not isinstance(value, bool):
                raise UnnoiseError(f"resunet: {argument} must be true or false, not '{value}'")
        if told and guess:
            raise UnnoiseError("resunet: what is told needs no guess: told=false,guess=true")
        if exact_at_zero and not (told and through):
            raise UnnoiseError("resunet: exact_at_zero needs told=true and through=true")
        if codes:
            check_counts(self.name, codes=codes)
        if refine:
            check_counts(self.name, refine=refine)
            if not fill:
                raise UnnoiseError("resunet: what is filled can be refined: fill=true,refine=16")
        self.channels, self.widths, self.blocks = channels, widths, blocks
        self.told, self.guess, self.fill, self.refine, self.through = told, guess, fill, refine, through
        self.exact_at_zero, self.codes = exact_at_zero, codes
        self.levels = FOLD**2 if told or guess else 0  # planes of the folded input
        self.wants_sigma = told
        self.multiple_of = math.lcm(FOLD * 2 ** (len(widths) - 1), SigmaEstimator.cell if guess else 1)
        steps = list(itertools.pairwise(widths))
        self.head = conv3x3(channels * (1 + 2 * fill) * FOLD**2 + self.levels, widths[0])
        if fill:
            self.lost = ImpulseFill(channels, refine)
        if guess:
            self.level = SigmaEstimator(channels)
        self.encoders = nn.ModuleList(
            residual_blocks(width, count) for width, count in zip(widths, blocks, strict=True)
        )
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, kernel_size=2, stride=2) for fine, coarse in steps)
        # No bias: the skip that is added brings one, and its gradient alone took most of a step on processors.
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, kernel_size=2, stride=2, bias=False) for fine, coarse in steps
        )
        self.decoders = nn.ModuleList(
            residual_blocks(width, count) for (width, _), count in zip(steps, blocks, strict=False)
        )
        if codes:
            places = [*widths, *widths[-2::-1]]
            self.steer = nn.ModuleList(zero_init(nn.Conv2d(codes, width, kernel_size=1)) for width in places)
        self.tail = conv3x3(widths[0], channels * FOLD**2)
        if through:
            zero_init(self.tail)
        self.halo = self._reach()

    def forward(
        self, noisy: torch.Tensor, sigma: torch.Tensor | None = None, code: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Denoise `[B, C, H, W]`, with or without sigma; `code` is `[B, codes, h, w]` of any coarser size."""
        start, lost = self.lost(noisy) if self.fill else (noisy, None)
        level = sigma_map(noisy, sigma) if self.told else self.level(noisy) if self.guess else None
        seen = torch.cat([one for one in (start, lost, level) if one is not None], dim=1)
        folded = F.pixel_unshuffle(seen, FOLD).contiguous(memory_format=torch.channels_last)
        features = first = self._steered(self.head(folded), code, 0)
        skips = []
        for level_number, (encode, shrink) in enumerate(zip(self.encoders, self.down, strict=False), start=1):
            features = encode(features)
            skips.append(features)
            features = self._steered(shrink(features), code, level_number)
        features = self.encoders[-1](features)
        ways_up = zip(reversed(self.up), reversed(self.decoders), reversed(skips), strict=True)
        for place, (grow, decode, skip) in enumerate(ways_up, start=len(self.widths)):
            features = decode(self._steered(grow(features) + skip, code, place))
        if not self.through:
            return F.pixel_shuffle(self.tail(features), FOLD)
        added = F.pixel_shuffle(self.tail(features + first), FOLD)
        if self.exact_at_zero and level is not None:
            variance = level.float().square()
            added = added * (variance / (variance + FADE**2)).to(added.dtype)
        return start + added

    def _steered(self, features: torch.Tensor, code: torch.Tensor | None, place: int) -> torch.Tensor:
        """Add what a code of the noise says at one place of the network."""
        if code is None or not self.codes:
            return features
        near = F.interpolate(code, size=features.shape[-2:], mode="bilinear", align_corners=False)
        return features + self.steer[place](near)

    def initialize_from(self, other: Network) -> None:
        """Take over the weights of a trained network that may differ in channels, inputs, widths, blocks, or levels.

        The result begins as good as the other network was. A gray network does what the color one does to three copies
        of the image, on average. Additional blocks begin as the identity, and additional features unused
        (`widen_weights`). A network without sigma as an input assumes `DEFAULT_SIGMA` at every pixel, and so does an
        untrained estimate. One that fills impulses continues from that. One of fewer levels begins without what the
        other's lowest levels added: at its own lowest one, blocks of the way up follow those of the way down.
        """
        if not self._can_initialize_from(other):
            super().initialize_from(other)
            return
        given = self._fit_levels(other)
        given |= dict(zip(("head.weight", "head.bias"), self._fit_head(other), strict=True))
        if self.channels < other.channels:
            for key in ("tail.weight", "tail.bias"):
                by_colour = given[key].unflatten(0, (other.channels, FOLD**2))
                given[key] = by_colour.mean(dim=0)
        fresh = self.state_dict()
        wider = {
            key: widen_weights(fresh[key], value, transposed=key.startswith("up.")) for key, value in given.items()
        }
        self.load_state_dict(fresh | wider)

    def _can_initialize_from(self, other: Network) -> TypeGuard[ResUNet]:
        """Say whether the weights of another network can become this one's."""
        return (
            isinstance(other, ResUNet)
            and len(other.widths) >= len(self.widths)
            and all(few <= many for few, many in zip(other.widths, self.widths, strict=False))
            and all(few <= many for few, many in zip(other._blocks_of(len(self.widths)), self.blocks, strict=True))
            and (self.channels == other.channels or (self.channels == 1 and not (other.guess or other.refine)))
            and (other.told or (not self.told and other.guess == self.guess))
            and other.fill <= self.fill
            and other.codes in (0, self.codes)
            and other.refine in (0, self.refine)
            and other.through == self.through
        )

    def _blocks_of(self, levels: int) -> tuple[int, ...]:
        """Count the blocks of the highest levels, where the lowest of them is passed once, both ways in one."""
        above, lowest = self.blocks[: levels - 1], self.blocks[levels - 1]
        return (*above, lowest * (1 if levels == len(self.blocks) else 2))

    def _fit_levels(self, other: ResUNet) -> dict[str, torch.Tensor]:
        """Return the weights of another network that this one has a level for."""
        bottom, given = len(self.widths) - 1, other.state_dict()
        if len(other.widths) > len(self.widths):
            for index, block in enumerate(other.decoders[bottom]):  # type: ignore[arg-type]
                place = f"encoders.{bottom}.{other.blocks[bottom] + index}"
                given |= {f"{place}.{key}": value for key, value in block.state_dict().items()}
        return {key: value for key, value in given.items() if key in self.state_dict()}

    def _fit_head(self, other: ResUNet) -> tuple[torch.Tensor, torch.Tensor]:
        """Return kernels and bias of another's first convolution as this network's: for its colours, and its level."""
        planes = other.channels * FOLD**2
        colours, taken, level = other.head.weight.split([planes, 2 * other.fill * planes, other.levels], dim=1)
        if self.fill and not other.fill:
            taken = torch.zeros_like(colours).repeat(1, 2, 1, 1)
        if self.channels < other.channels:
            colours, taken = (
                kernels.unflatten(1, (-1, other.channels, FOLD**2)).sum(dim=2).flatten(1, 2)
                for kernels in (colours, taken)
            )
        bias = torch.as_tensor(other.head.bias)
        if self.levels:
            return torch.cat([colours, taken, level], dim=1), bias
        return torch.cat([colours, taken], dim=1), bias + DEFAULT_SIGMA * level.sum(dim=(1, 2, 3))

    def _reach(self) -> int:
        """Sum the reach of every layer in pixels of the picture, and one grid cell for what folding rounds."""
        head_and_tail = 2 * FOLD
        reach = head_and_tail + (self.lost.reach if self.fill else 0) + self.guess * SigmaEstimator.reach
        for level, count in enumerate(self.blocks):
            passes = 1 if level == len(self.blocks) - 1 else 2
            reach += passes * count * ResidualBlock.reach * FOLD * 2**level
        return reach + self.multiple_of
