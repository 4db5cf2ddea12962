"""Losses: how far a prediction is from its target, as one number to make small.

Each takes `[B, C, H, W]` tensors in [0, 1] and returns a scalar. Sums are spelt with their weights: `0.8*l1 + 0.2*mse`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from unnoise.errors import UnnoiseError
from unnoise.spec import HasSpec, Registry


class Loss(HasSpec, nn.Module):
    """A distance between prediction and target."""

    name: ClassVar[str]

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar; `extras` are further outputs of the network that some losses need."""
        raise NotImplementedError

    def parts(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the `loss` and, where it is a sum, each of its parts by name."""
        return {"loss": self(prediction, target, **extras)}


class MSE(Loss):
    """Mean squared error; its minimum is the largest PSNR."""

    name: ClassVar[str] = "mse"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average (p - t)^2."""
        return (prediction - target).square().mean()


class L1(Loss):
    """Mean absolute error; less drawn to outliers, and in practice the faster way to a high PSNR."""

    name: ClassVar[str] = "l1"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average |p - t|."""
        return (prediction - target).abs().mean()


class Charbonnier(Loss):
    """A smooth L1, sqrt((p - t)^2 + epsilon^2) (Charbonnier et al., ICIP 1994).

    Args:
        epsilon: where the parabola turns into the line, in [0, 1] units; above 0.
    """

    name: ClassVar[str] = "charbonnier"

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        if not epsilon > 0:
            raise UnnoiseError(f"charbonnier: epsilon must be above 0, not {epsilon} (at 0 it is l1)")
        self.epsilon = epsilon

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average the smooth absolute error."""
        return torch.sqrt((prediction - target).square() + self.epsilon**2).mean()


class PSNR(Loss):
    """The negative PSNR of each picture in dB, averaged (Chen et al., HINet, CVPRW 2021, arXiv:2105.06086).

    What tables of denoisers average. A halved error counts alike under weak noise and under strong, where `mse` sees
    little but the strong.

    Args:
        epsilon: added to the mean squared error, in [0, 1] units squared, so that pictures that are as good as clean
            do not outweigh all others; above 0.
    """

    name: ClassVar[str] = "psnr"

    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__()
        if not epsilon > 0:
            raise UnnoiseError(f"psnr: epsilon must be above 0, not {epsilon} (a perfect picture would be infinite)")
        self.epsilon = epsilon

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average 10 log10(MSE + epsilon) over the batch."""
        error = (_precise(prediction) - _precise(target)).square().mean(dim=(1, 2, 3))
        return 10 * torch.log10(error + self.epsilon).mean()


class BCE(Loss):
    """Binary cross-entropy: each value taken for the probability of white, in nats, averaged.

    Logarithms end at -100, as in PyTorch's own, so that a certain mistake costs 100 and not infinity. Written out here
    because PyTorch's refuses autocast, and predictions outside [0, 1]; here these count as 0 or 1.
    """

    name: ClassVar[str] = "bce"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average -(t log p + (1 - t) log(1 - p))."""
        p, t = _precise(prediction), _precise(target)
        return -(t * _bounded_log(p) + (1 - t) * _bounded_log(1 - p)).mean()


class SSIM(Loss):
    """1 - SSIM, the structural similarity of Wang et al. (IEEE TIP 13(4), 2004).

    As in the paper: Gaussian window of 11 pixels and deviation 1.5, K1 = 0.01, K2 = 0.03, and no window that reaches
    beyond the border; averaged over channels. Pictures need 11 pixels on each side.
    """

    name: ClassVar[str] = "ssim"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average 1 - SSIM over all windows, 0 where the two are equal.

        Raises:
            UnnoiseError: a picture smaller than the window.
        """
        if min(prediction.shape[-2:]) < _WINDOW:
            height, width = prediction.shape[-2:]
            raise UnnoiseError(f"ssim: its window of {_WINDOW} pixels does not fit into pictures of {width}x{height}")
        with torch.autocast(prediction.device.type, enabled=False):  # bfloat16 loses the differences of squares
            p, t = _precise(prediction), _precise(target)
            mean_p, mean_t, pp, tt, pt = _windowed(torch.stack([p, t, p * p, t * t, p * t]))
            luminance = (2 * mean_p * mean_t + 0.01**2) / (mean_p**2 + mean_t**2 + 0.01**2)
            variances = (pp - mean_p**2 + tt - mean_t**2).clamp(min=0)  # rounding can take them below
            structure = (2 * (pt - mean_p * mean_t) + 0.03**2) / (variances + 0.03**2)
            return 1 - (luminance * structure).mean()


class TV(Loss):
    """Total variation of the prediction: how much neighbours differ, whatever the target is.

    The mean of |p - q| over all pairs of pixels that touch at a side (anisotropic), after Rudin, Osher, Fatemi,
    "Nonlinear total variation based noise removal algorithms", Physica D 60, 1992.
    """

    name: ClassVar[str] = "tv"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average the difference of neighbours."""
        p = _precise(prediction)
        down, across = p.diff(dim=-2).abs(), p.diff(dim=-1).abs()
        return (down.sum() + across.sum()) / max(1, down.numel() + across.numel())


class KL(Loss):
    """Divergence of a variational network's code from independent standard normals (Kingma, Welling, ICLR 2014).

    Summed over the code and averaged over the batch, in nats a picture. The other losses are means over pixels, so
    that a weight of 1 / (values in a picture) restores the balance of the paper.
    """

    name: ClassVar[str] = "kl"

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, **extras: torch.Tensor) -> torch.Tensor:
        """Average -0.5 sum(1 + log_variance - mean^2 - exp(log_variance)) over the batch.

        Raises:
            UnnoiseError: the network has no such code.
        """
        if not {"mean", "log_variance"} <= set(extras):
            raise UnnoiseError("kl: this network has no mean and log_variance: leave kl out, or train a vae")
        mean, log_variance = _precise(extras["mean"]), _precise(extras["log_variance"])
        return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).flatten(1).sum(dim=1).mean()


class WeightedSum(Loss):
    """Several losses, each times its weight; every part is reported by its spec."""

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
        """Spell the sum."""
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
        "psnr": "unnoise.training.losses:PSNR",
        "ssim": "unnoise.training.losses:SSIM",
        "tv": "unnoise.training.losses:TV",
    },
    join=WeightedSum,
)
make = LOSSES.make


_WINDOW = 11  # pixels, of SSIM


def _precise(x: torch.Tensor) -> torch.Tensor:
    """Return what autocast left in half precision as float32; double stays."""
    return x if x.dtype == torch.float64 else x.float()


def _bounded_log(p: torch.Tensor) -> torch.Tensor:
    """Return log p, and -100 with no gradient at 0 and below; NaN stays NaN, so that a broken run is noticed."""
    logarithm = p.clamp(min=torch.finfo(p.dtype).tiny, max=1).log()
    return torch.where(p <= 0, torch.full_like(p, -100), logarithm)


def _windowed(x: torch.Tensor) -> torch.Tensor:
    """Average `[..., H, W]` under the Gaussian window wherever it fits: `[..., H - 10, W - 10]`."""
    return _bands(x.shape[-2], x) @ x @ _bands(x.shape[-1], x).T


def _bands(side: int, like: torch.Tensor) -> torch.Tensor:
    """Return the window as a matrix `[side - 10, side]`: its product takes a tenth of a convolution's time."""
    offset = torch.arange(side, device=like.device) - torch.arange(side - _WINDOW + 1, device=like.device)[:, None]
    distance = (offset - _WINDOW // 2).to(like.dtype)
    weights = torch.where(distance.abs() <= _WINDOW // 2, torch.exp(-0.5 * (distance / 1.5) ** 2), 0)
    return weights / weights[0].sum()
