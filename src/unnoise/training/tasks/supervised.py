"""Supervised learning: the noisy picture in, the clean one as target."""

from __future__ import annotations

from typing import ClassVar

import torch

from unnoise.networks import Network
from unnoise.training.losses import Loss
from unnoise.training.tasks.base import Batch, Task


class Supervised(Task):
    """Compare what the network makes of the noisy picture with the clean one."""

    name: ClassVar[str] = "supervised"

    def step(self, network: Network, loss: Loss, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss, its parts, and the PSNR of the batch in dB (nothing is clipped)."""
        outputs = network.forward_train(batch["noisy"], batch["sigma"])
        prediction = outputs.pop("prediction")
        error = (prediction.detach() - batch["clean"]).square().mean()
        return {**loss.parts(prediction, batch["clean"], **outputs), "psnr": -10 * error.log10()}
