"""A denoiser that needs no noise level: an estimator of the level, and a residual U-Net that is given its map.

As CBDNet (Guo et al., CVPR 2019, arXiv:1807.04686): the two are trained together, the gradient of the picture's error
passes through the denoiser into the estimator, and the estimate is compared with the true level of the noise
(`losses.NoiseLevel`).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn

from unnoise.networks.base import Network
from unnoise.networks.noise_estimator import NoiseEstimator, given_or_own
from unnoise.networks.resunet import ResUNet


class Blind(Network):
    """`NoiseEstimator`, then `ResUNet` with the map of the level beside the picture.

    It looks at the whole picture, whose statistics the estimator uses; with these given, it looks `reach` pixels far.

    Args:
        channels: channels of the picture.
        widths: features of the U-Net at each level.
        blocks: residual blocks of the U-Net at each level.
        estimator: features of the estimator at 1/2, 1/4, ... of the size.
        codes: planes beside the level by which the estimator steers the denoiser; 0 for none.
        correlation: whether the estimator estimates the correlation of the noise, too.
    """

    name: ClassVar[str] = "blind"
    export_outputs = ("clean", "level", "own_statistics")

    def __init__(
        self,
        *,
        channels: int = 3,
        widths: tuple[int, ...] = (32, 64, 128),
        blocks: tuple[int, ...] = (2, 2, 2),
        estimator: tuple[int, ...] = (24, 48, 72, 96),
        codes: int = 8,
        correlation: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.widths, self.blocks, self.estimator = channels, widths, blocks, estimator
        self.codes, self.correlation = codes, correlation
        self.denoiser = ResUNet(channels=channels, widths=widths, blocks=blocks, exact_at_zero=True, codes=codes)
        self.levels = NoiseEstimator(channels=channels, widths=estimator, codes=codes, correlation=correlation)
        self.statistics_size = self.levels.statistics_size
        self.multiple_of = math.lcm(self.denoiser.multiple_of, self.levels.multiple_of)
        self.reach = (self.denoiser.halo or 0) + self.levels.reach

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Clean `[B, C, H, W]`; a level that is given replaces the estimated one."""
        features = self.levels.features(noisy)
        return self.denoise(noisy, features, self.levels.statistics(features), sigma)[0]

    def forward_train(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Clean without a level, whatever `sigma` says; the map and the noisy picture are for `losses.NoiseLevel`."""
        features = self.levels.features(noisy)
        statistics = self.levels.statistics(features)
        prediction, level = self.denoise(noisy, features, statistics)
        outputs = {"prediction": prediction, "level": level, "noisy": noisy}
        return {**outputs, "correlation": self.levels.correlate(statistics)} if self.correlation else outputs

    def denoise(
        self,
        noisy: torch.Tensor,
        features: torch.Tensor,
        statistics: torch.Tensor,
        sigma: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the clean picture and the map of the level, `[B, 1, H/16, W/16]`.

        Args:
            noisy: a picture, or a tile of one.
            features: of `noisy`, by the estimator.
            statistics: of the whole picture, by the estimator.
            sigma: a level that replaces the estimated one.
        """
        judged = self.levels.judge(features, statistics)
        level = self.levels.level(judged)
        code = self.levels.code(judged) if self.codes else None
        return self.denoiser(noisy, self.levels.spread(level) if sigma is None else sigma, code), level

    def sigma_map(self, noisy: torch.Tensor) -> torch.Tensor:
        """Estimate the level at each pixel, `[B, 1, H, W]`."""
        return self.levels.spread(self.levels(noisy))

    def initialize_from(self, other: Network) -> None:
        """Take over a trained network of this kind, or one part: an estimator, or a U-Net that was given the level."""
        if isinstance(other, Blind) and other.codes == self.codes:
            self.denoiser.initialize_from(other.denoiser)
            self.levels.initialize_from(other.levels)
        elif isinstance(other, ResUNet):
            self.denoiser.initialize_from(other)
        elif isinstance(other, NoiseEstimator):
            self.levels.initialize_from(other)
        else:
            super().initialize_from(other)

    def export_form(self) -> nn.Module:
        """Return a module of `noisy` and `statistics` that returns the clean picture, the level, own statistics."""
        return _WithStatistics(self)


class _WithStatistics(nn.Module):
    """The network as it is exported."""

    def __init__(self, network: Blind) -> None:
        super().__init__()
        self.network = network

    def forward(self, noisy: torch.Tensor, statistics: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features = self.network.levels.features(noisy)
        own = self.network.levels.statistics(features)
        clean, level = self.network.denoise(noisy, features, given_or_own(statistics, own))
        return clean, self.network.levels.spread(level), own
