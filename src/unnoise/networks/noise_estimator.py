"""A small network that reads the noise level off a picture, as a map.

Noise estimation by a network in front of a denoiser follows CBDNet (Guo et al., CVPR 2019, arXiv:1807.04686). Two
things are different here. The picture's high-pass stands beside the picture, on a scale that is linear for faint noise
and logarithmic for strong edges. And means and deviations over the whole picture are added to the features: texture
and noise look alike in one place, but not all over a picture.
"""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from unnoise.errors import UnnoiseError
from unnoise.networks.base import Network, check_counts
from unnoise.networks.blocks import conv3x3, zero_init

MIN_LEVEL, START_LEVEL, MAX_LEVEL = 0.02 / 255, 8 / 255, 110 / 255
"""Bounds of the level, and where a fresh network begins; standard deviations in [0, 1] units."""
GAIN = 32.0
"""The high-pass is shown as asinh(GAIN * h): linear up to about 8/255, logarithmic above."""
_SLOPE = 0.1  # of the leaky rectifiers on negative values; plain ones stopped learning at a constant level


class NoiseEstimator(Network):
    """Map of the noise level, `[B, 1, H/16, W/16]` in [0, 1] units, of pictures `[B, C, H, W]`.

    The level is the standard deviation of the noise, root mean square over the channels. It is bounded by `MIN_LEVEL`
    and `MAX_LEVEL` through a sigmoid of its logarithm.

    Args:
        channels: channels of the picture.
        widths: features at 1/2, 1/4, 1/8, ... of the picture's size; four of them give a map at 1/16.
        last: further convolutions at the smallest size.
        codes: further planes of the map that say what noise it is, for a network that is trained with this one; they
            have no meaning of their own.
        correlation: whether to estimate the correlation of the noise between neighboring pixels, too: one number for
            an image, 0 for white noise, near 1 for smooth noise.
    """

    name: ClassVar[str] = "noise_estimator"

    def __init__(
        self,
        *,
        channels: int = 3,
        widths: tuple[int, ...] = (24, 48, 72, 96),
        last: int = 2,
        codes: int = 0,
        correlation: bool = False,
    ) -> None:
        super().__init__()
        check_counts(self.name, channels=channels, widths=widths, last=last)
        if not isinstance(widths, tuple):
            raise UnnoiseError("noise_estimator: widths need several levels, as in widths=24/48/72/96")
        if codes:
            check_counts(self.name, codes=codes)
        self.channels, self.widths, self.last, self.codes = channels, widths, last, codes
        self.correlation = correlation
        self.export_outputs = ("level", "own_statistics", *(("correlation",) if correlation else ()))
        self.multiple_of, self.statistics_size = 2 ** len(widths), 2 * widths[-1]
        self.reach = self._reach()
        self.head = conv3x3(2 * channels * 4, widths[0])
        steps = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, kernel_size=2, stride=2) for fine, coarse in steps)
        self.convolutions = nn.ModuleList(conv3x3(coarse, coarse) for _, coarse in steps)
        self.from_statistics = nn.Linear(self.statistics_size, widths[-1])
        self.then = nn.ModuleList(conv3x3(widths[-1], widths[-1]) for _ in range(last))
        self.tail = zero_init(nn.Conv2d(widths[-1], 1, kernel_size=1))
        if codes:
            self.code = nn.Conv2d(widths[-1], codes, kernel_size=1)
        if correlation:
            hidden = nn.Linear(self.statistics_size, widths[-1])
            self.to_correlation = nn.Sequential(hidden, nn.LeakyReLU(_SLOPE), nn.Linear(widths[-1], 1))

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Estimate the level, with the statistics of the very pictures; `sigma` is not looked at."""
        features = self.features(noisy)
        return self.level(self.judge(features, self.statistics(features)))

    def forward_train(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Estimate the level, for `losses.NoiseLevel`; what is predicted of the picture is that it is as it is."""
        features = self.features(noisy)
        statistics = self.statistics(features)
        outputs = {"prediction": noisy, "level": self.level(self.judge(features, statistics)), "noisy": noisy}
        return {**outputs, "correlation": self.correlate(statistics)} if self.correlation else outputs

    def initialize_from(self, other: Network) -> None:
        """Take over the weights of an estimator of the same widths; codes and correlation may differ."""
        if not isinstance(other, NoiseEstimator) or (other.channels, other.widths, other.last) != (
            self.channels,
            self.widths,
            self.last,
        ):
            super().initialize_from(other)
            return
        own = self.state_dict()
        self.load_state_dict(own | {key: value for key, value in other.state_dict().items() if key in own})

    def export_form(self) -> nn.Module:
        """Return a module of `noisy` and `statistics` that returns the level at each pixel and the own statistics."""
        return _WithStatistics(self)

    def features(self, noisy: torch.Tensor) -> torch.Tensor:
        """Return what is found around each place, `[B, widths[-1], H/16, W/16]`."""
        # Pooling, and not a convolution, which autocast would do in bfloat16, where faint noise is rounded away.
        edge = noisy - F.avg_pool2d(F.pad(noisy, (1, 1, 1, 1), mode="replicate"), kernel_size=3, stride=1)
        seen = torch.cat([noisy - 0.5, _asinh(GAIN * edge)], dim=1)
        folded = F.pixel_unshuffle(seen, 2).contiguous(memory_format=torch.channels_last)
        features = F.leaky_relu(self.head(folded), _SLOPE)
        for shrink, convolution in zip(self.down, self.convolutions, strict=True):
            features = F.leaky_relu(shrink(features), _SLOPE)
            features = features + F.leaky_relu(convolution(features), _SLOPE)
        return features

    def statistics(self, features: torch.Tensor) -> torch.Tensor:
        """Return mean and deviation of each feature over the picture, `[B, 2 * widths[-1]]`, float32."""
        flat = _precise(features).flatten(2)
        mean = flat.mean(dim=2)
        variance = (flat - mean[:, :, None]).square().mean(dim=2)
        return torch.cat([mean, torch.sqrt(variance + 1e-6)], dim=1)

    def judge(self, features: torch.Tensor, statistics: torch.Tensor) -> torch.Tensor:
        """Return features that know the whole picture, of `features` and the statistics of the picture they are of."""
        offset = self.from_statistics(statistics).to(features.dtype)
        features = F.leaky_relu(features + offset[:, :, None, None], _SLOPE)
        for convolution in self.then:
            features = features + F.leaky_relu(convolution(features), _SLOPE)
        return features

    def level(self, judged: torch.Tensor) -> torch.Tensor:
        """Return the map of the level, float32, from what `judge` returned."""
        low, start, high = (math.log(level) for level in (MIN_LEVEL, START_LEVEL, MAX_LEVEL))
        share = (start - low) / (high - low)
        offset = math.log(share / (1 - share))
        return torch.exp(low + (high - low) * torch.sigmoid(_precise(self.tail(judged)) + offset))

    def correlate(self, statistics: torch.Tensor) -> torch.Tensor:
        """Return the correlation of the noise between neighboring pixels, `[B]`, -1 to 1, from the statistics."""
        return torch.tanh(_precise(self.to_correlation(statistics)))[:, 0]

    def spread(self, level: torch.Tensor) -> torch.Tensor:
        """Interpolate a map of one value for each cell to one for each pixel."""
        return F.interpolate(level, scale_factor=self.multiple_of, mode="bilinear", align_corners=False)

    def _reach(self) -> int:
        """Sum how far each layer looks, in pixels, statistics left aside; and one grid cell for what folding rounds."""
        high_pass_and_head, interpolation = 1 + 2, self.multiple_of
        convolutions = sum(2 ** (level + 1) for level in range(1, len(self.widths)))
        return high_pass_and_head + convolutions + self.last * self.multiple_of + interpolation + self.multiple_of


class _WithStatistics(nn.Module):
    """The estimator as it is exported."""

    def __init__(self, estimator: NoiseEstimator) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, noisy: torch.Tensor, statistics: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = self.estimator.features(noisy)
        own = self.estimator.statistics(features)
        known = given_or_own(statistics, own)
        level = self.estimator.spread(self.estimator.level(self.estimator.judge(features, known)))
        return (level, own, self.estimator.correlate(known)) if self.estimator.correlation else (level, own)


def given_or_own(given: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return the statistics that are given; the own ones where all of these are 0."""
    return torch.where(given.abs().sum() > 0, given, own)


def _asinh(x: torch.Tensor) -> torch.Tensor:
    """Return asinh(x), of operations that PyTorch's exporter to ONNX knows."""
    return torch.sign(x) * torch.log(x.abs() + torch.sqrt(x.square() + 1))


def _precise(x: torch.Tensor) -> torch.Tensor:
    """Return what autocast left in half precision as float32; double stays."""
    return x if x.dtype == torch.float64 else x.float()
