"""Loss functions.

Each takes `[B, C, H, W]` tensors in [0, 1] and returns a scalar. Weighted sums are given as specs: `0.8*l1 + 0.2*mse`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from unnoise.errors import UnnoiseError
from unnoise.spec import HasSpec, Registry


class Loss(HasSpec, nn.Module):
    """A distance between prediction and target, to be minimized."""

    name: ClassVar[str]

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar; `extras` are other outputs of the network that some losses need."""
        raise NotImplementedError

    def parts(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the `loss` and, if it is a sum, each of its parts by name."""
        return {"loss": self(prediction, target, **extras)}


class MSE(Loss):
    """Mean squared error; minimizing it maximizes PSNR."""

    name: ClassVar[str] = "mse"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average (p - t)^2."""
        return (prediction - target).square().mean()


class L1(Loss):
    """Mean absolute error; less sensitive to outliers, and in practice faster to reach a high PSNR."""

    name: ClassVar[str] = "l1"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average |p - t|."""
        return (prediction - target).abs().mean()


class Charbonnier(Loss):
    """A smooth L1, sqrt((p - t)^2 + epsilon^2) (Charbonnier et al., ICIP 1994).

    Args:
        epsilon: error below which the loss is quadratic instead of linear, in [0, 1] units; above 0.
    """

    name: ClassVar[str] = "charbonnier"

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        if not epsilon > 0:
            raise UnnoiseError(f"charbonnier: epsilon must be above 0, got {epsilon} (for 0 use l1)")
        self.epsilon = epsilon

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average the smooth absolute error."""
        return torch.sqrt((prediction - target).square() + self.epsilon**2).mean()


class PSNR(Loss):
    """The negative PSNR of each image in dB, averaged (Chen et al., HINet, CVPRW 2021, arXiv:2105.06086).

    This is what benchmark tables average. Halving the error counts the same at all noise levels, whereas `mse` is
    dominated by strong noise.

    Args:
        epsilon: added to the mean squared error, in [0, 1] units squared, so that images with almost no error do
            not outweigh all others; above 0.
    """

    name: ClassVar[str] = "psnr"

    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__()
        if not epsilon > 0:
            raise UnnoiseError(
                f"psnr: epsilon must be above 0, got {epsilon} (the loss of a perfect image would be infinite)"
            )
        self.epsilon = epsilon

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average 10 log10(MSE + epsilon) over the batch."""
        error = (_precise(prediction) - _precise(target)).square().mean(dim=(1, 2, 3))
        return 10 * torch.log10(error + self.epsilon).mean()


class BCE(Loss):
    """Binary cross-entropy: each value is a probability of white; the mean in nats.

    Logarithms are limited to -100, as in PyTorch. It is implemented here because PyTorch's version does not support
    autocast and predictions outside [0, 1], which count as 0 or 1 here.
    """

    name: ClassVar[str] = "bce"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average -(t log p + (1 - t) log(1 - p))."""
        p, t = _precise(prediction), _precise(target)
        return -(t * _bounded_log(p) + (1 - t) * _bounded_log(1 - p)).mean()


class SSIM(Loss):
    """1 - SSIM, the structural similarity of Wang et al. (IEEE TIP 13(4), 2004).

    As in the paper: Gaussian window of 11 pixels and deviation 1.5, K1 = 0.01, K2 = 0.03, and only windows
    inside the image; averaged over channels. Images need at least 11x11 pixels.
    """

    name: ClassVar[str] = "ssim"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average 1 - SSIM over all windows, 0 where the two are equal.

        Raises:
            UnnoiseError: an image is smaller than the window.
        """
        if min(prediction.shape[-2:]) < _WINDOW:
            height, width = prediction.shape[-2:]
            raise UnnoiseError(f"ssim: images must be at least {_WINDOW}x{_WINDOW} pixels, got {width}x{height}")
        with torch.autocast(prediction.device.type, enabled=False):  # bfloat16 is too coarse for differences of squares
            p, t = _precise(prediction), _precise(target)
            mean_p, mean_t, pp, tt, pt = _windowed(torch.stack([p, t, p * p, t * t, p * t]))
            luminance = (2 * mean_p * mean_t + 0.01**2) / (mean_p**2 + mean_t**2 + 0.01**2)
            variances = (pp - mean_p**2 + tt - mean_t**2).clamp(min=0)  # rounding errors can make them negative
            structure = (2 * (pt - mean_p * mean_t) + 0.03**2) / (variances + 0.03**2)
            return 1 - (luminance * structure).mean()


class TV(Loss):
    """Total variation of the prediction, independent of the target.

    The mean of |p - q| over all pairs of adjacent pixels (anisotropic), after Rudin, Osher, Fatemi,
    "Nonlinear total variation based noise removal algorithms", Physica D 60, 1992.
    """

    name: ClassVar[str] = "tv"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average the differences of adjacent pixels."""
        p = _precise(prediction)
        down, across = p.diff(dim=-2).abs(), p.diff(dim=-1).abs()
        return (down.sum() + across.sum()) / max(1, down.numel() + across.numel())


class KL(Loss):
    """Divergence of a variational network's code from independent standard normals (Kingma, Welling, ICLR 2014).

    Summed over the code and averaged over the batch, in nats per image. The other losses are means over pixels,
    so a weight of 1 / (pixels * channels) gives the balance of the paper.
    """

    name: ClassVar[str] = "kl"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average -0.5 sum(1 + log_variance - mean^2 - exp(log_variance)) over the batch.

        Raises:
            UnnoiseError: the network is not variational.
        """
        if not {"mean", "log_variance"} <= set(extras):
            raise UnnoiseError("kl: this network is not variational: remove kl from the loss, or use network vae")
        mean, log_variance = _precise(extras["mean"]), _precise(extras["log_variance"])
        return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).flatten(1).sum(dim=1).mean()


class NoiseLevel(Loss):
    """How far an estimated map of the noise level is from the noise that is really there, in natural logarithms.

    The true level is the root mean square of noisy minus clean over channels and over each cell of the map and those
    around it, with the weights 1 2 1. Where it is below `least`, nobody can tell, and every level up to `least` counts
    as right.

    Args:
        least: smallest true level that counts, 8-bit units; above 0.
        whole: weight of the distance of the level of the whole patch, the root mean square over the map, which is added
            to the mean distance of the cells; from 0.
    """

    name: ClassVar[str] = "noise_level"

    def __init__(self, least: float = 0.3, whole: float = 0.0) -> None:
        super().__init__()
        if not least > 0:
            raise UnnoiseError(f"noise_level: least must be above 0, not {least} (its logarithm is taken)")
        if whole < 0:
            raise UnnoiseError(f"noise_level: whole is a weight, from 0, not {whole}")
        self.least, self.whole = least, whole

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average |log(estimated / true)| over the map.

        Raises:
            UnnoiseError: the network estimates no level.
        """
        if not {"level", "noisy"} <= set(extras):
            raise UnnoiseError("noise_level: this network estimates no noise level: leave it out, or train a blind")
        level, least = _precise(extras["level"]), self.least / 255
        squared = (_precise(extras["noisy"]) - _precise(target)).square().mean(dim=1, keepdim=True)
        cells = F.adaptive_avg_pool2d(squared, (level.shape[-2], level.shape[-1]))
        around = F.avg_pool2d(F.pad(cells, (1, 1, 1, 1), mode="replicate"), kernel_size=2, stride=1)
        around = F.avg_pool2d(around, kernel_size=2, stride=1)
        distance = _log_distance(level.square(), around, least)
        if not self.whole:
            return distance.mean()
        of_patch = _log_distance(level.square().mean(dim=(1, 2, 3)), squared.mean(dim=(1, 2, 3)), least)
        return distance.mean() + self.whole * of_patch.mean()


def _log_distance(estimated: torch.Tensor, true: torch.Tensor, least: float) -> torch.Tensor:
    """Return |log(estimated / true)| of levels whose squares are given; up to `least`, all are alike."""
    true = true.clamp(min=least**2)
    distance = (estimated / true).log() / 2
    return torch.where(true > least**2, distance.abs(), distance.clamp(min=0))


class NoiseCorrelation(Loss):
    """How far the estimated correlation of the noise between neighboring pixels is from that of the noise there is.

    The true one is that of noisy minus clean with itself, one pixel to the right and one pixel down, channels and both
    directions together. Patches with less noise than `least` do not count.

    Args:
        least: smallest true level that counts, 8-bit units; above 0.
    """

    name: ClassVar[str] = "noise_correlation"

    def __init__(self, least: float = 0.5) -> None:
        super().__init__()
        if not least > 0:
            raise UnnoiseError(f"noise_correlation: least must be above 0, not {least}")
        self.least = least

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average |estimated - true|.

        Raises:
            UnnoiseError: the network estimates no correlation.
        """
        if not {"correlation", "noisy"} <= set(extras):
            raise UnnoiseError("noise_correlation: this network estimates none: set correlation=true, or leave it out")
        residual = _precise(extras["noisy"]) - _precise(target)
        power = residual.square().mean(dim=(1, 2, 3))
        distance = (_precise(extras["correlation"]) - neighbor_correlation(residual)).abs()
        return torch.where(power > (self.least / 255) ** 2, distance, torch.zeros_like(distance)).mean()


def neighbor_correlation(noise: torch.Tensor) -> torch.Tensor:
    """Return the correlation of noise `[B, C, H, W]` between neighboring pixels, right and below, `[B]`, -1 to 1."""
    noise = noise - noise.mean(dim=(2, 3), keepdim=True)
    right = (noise[..., 1:] * noise[..., :-1]).mean(dim=(1, 2, 3))
    below = (noise[:, :, 1:] * noise[:, :, :-1]).mean(dim=(1, 2, 3))
    return (right + below) / (2 * noise.square().mean(dim=(1, 2, 3))).clamp(min=1e-12)


class WeightedSum(Loss):
    """A weighted sum of losses; every part is reported by its spec."""

    name: ClassVar[str] = "sum"

    def __init__(self, terms: list[tuple[float, Loss]]) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.losses = nn.ModuleList(loss for _, loss in terms)

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum."""
        return self.parts(prediction, target, **extras)["loss"]

    def parts(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the sum and each unweighted part."""
        parts = [loss(prediction, target, **extras) for loss in self._members()]
        total = sum(weight * part for weight, part in zip(self.weights, parts, strict=True))
        return {"loss": torch.as_tensor(total), **dict(zip(map(str, self._members()), parts, strict=True))}

    def __str__(self) -> str:
        """Return the spec of the sum."""
        terms = zip(self.weights, self._members(), strict=True)
        return " + ".join(str(loss) if weight == 1 else f"{weight:.15g}*{loss}" for weight, loss in terms)

    def _members(self) -> list[Loss]:
        return [loss for loss in self.losses if isinstance(loss, Loss)]


LOSSES: Registry[Loss] = Registry(
    "loss",
    {
        "bce": "unnoise.training.losses:BCE",
        "charbonnier": "unnoise.training.losses:Charbonnier",
        "kl": "unnoise.training.losses:KL",
        "l1": "unnoise.training.losses:L1",
        "mse": "unnoise.training.losses:MSE",
        "noise_correlation": "unnoise.training.losses:NoiseCorrelation",
        "noise_level": "unnoise.training.losses:NoiseLevel",
        "psnr": "unnoise.training.losses:PSNR",
        "ssim": "unnoise.training.losses:SSIM",
        "tv": "unnoise.training.losses:TV",
    },
    join=WeightedSum,
)
make = LOSSES.make


_WINDOW = 11  # pixels, of SSIM


def _precise(x: torch.Tensor) -> torch.Tensor:
    """Convert to float32 unless it is float64."""
    return x if x.dtype == torch.float64 else x.float()


def _bounded_log(p: torch.Tensor) -> torch.Tensor:
    """Return log p, and -100 without gradient for p <= 0; NaN stays NaN, so that it is noticed."""
    logarithm = p.clamp(min=torch.finfo(p.dtype).tiny, max=1).log()
    return torch.where(p <= 0, torch.full_like(p, -100), logarithm)


def _windowed(x: torch.Tensor) -> torch.Tensor:
    """Filter `[..., H, W]` with the Gaussian window where it fits: `[..., H - 10, W - 10]`."""
    return _bands(x.shape[-2], x) @ x @ _bands(x.shape[-1], x).T


def _bands(side: int, like: torch.Tensor) -> torch.Tensor:
    """Return the window as a matrix `[side - 10, side]`: multiplying by it is ten times as fast as a convolution."""
    offset = torch.arange(side, device=like.device) - torch.arange(side - _WINDOW + 1, device=like.device)[:, None]
    distance = (offset - _WINDOW // 2).to(like.dtype)
    weights = torch.where(distance.abs() <= _WINDOW // 2, torch.exp(-0.5 * (distance / 1.5) ** 2), 0)
    return weights / weights[0].sum()
