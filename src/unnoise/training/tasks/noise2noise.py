"""Noise2Noise: training on pairs of noisy shots of the same scene.

Lehtinen et al., "Noise2Noise: Learning Image Restoration without Clean Data", ICML 2018, arXiv:1803.04189: the minimum
over f of E L(f(y1), y2), their equation 6, is that of E L(f(y1), x) if the noise of the second shot keeps the statistic
that the loss estimates: the mean for `mse`, the median for `l1`. The noise need not be white, Gaussian or uniform over
the image.

Limits: the scene and the camera must not move between the shots; noise that both shots share, such as the fixed pattern
of a sensor, is kept; noise that shifts the mean, such as clipping in shadows, biases the result.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from unnoise.networks import Network
from unnoise.training.losses import Loss
from unnoise.training.tasks.base import Batch, Task


class Noise2Noise(Task):
    """Compare the output for one shot with the other shot, in random order."""

    name: ClassVar[str] = "noise2noise"
    target: ClassVar[Literal["clean", "second", "none"]] = "second"
    judged: ClassVar[str] = "pair"

    def step(self, network: Network, loss: Loss, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss, its parts, and the mean squared errors of prediction (`pair`) and `input` by the target."""
        swap = torch.rand(len(batch["noisy"]), 1, 1, 1, device=batch["noisy"].device) < 0.5
        noisy, target = (torch.where(swap, batch[a], batch[b]) for a, b in (("second", "noisy"), ("noisy", "second")))
        outputs = network.forward_train(noisy, batch["sigma"])
        prediction = outputs.pop("prediction")
        errors = {"pair": prediction.detach() - target, "input": noisy - target}
        return {
            **loss.parts(prediction, target, **outputs),
            **{key: error.square().mean() for key, error in errors.items()},
        }
