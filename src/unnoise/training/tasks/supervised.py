"""Supervised training on noisy images with clean targets."""

from __future__ import annotations

from typing import ClassVar

import torch

from unnoise.networks import Network
from unnoise.training.losses import Loss
from unnoise.training.tasks.base import Batch, Task


class Supervised(Task):
    """Compare the output for a noisy image with the clean image."""

    name: ClassVar[str] = "supervised"

    def step(self, network: Network, loss: Loss, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss, its parts, and the PSNR of the batch in dB (without clipping)."""
        outputs = network.forward_train(batch["noisy"], batch["sigma"])
        prediction = outputs.pop("prediction")
        error = (prediction.detach() - batch["clean"]).square().mean()
        return {**loss.parts(prediction, batch["clean"], **outputs), "psnr": -10 * error.log10()}
