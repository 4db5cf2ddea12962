"""Validation: the averaged weights on patches and whole images that are the same every time."""

from __future__ import annotations

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.data import default_collate

from unnoise import networks, noise
from unnoise.datasets.base import Dataset, as_float
from unnoise.denoisers import pytorch
from unnoise.denoisers.base import Denoiser
from unnoise.denoisers.model_card import Card
from unnoise.evaluation import report
from unnoise.evaluation.benchmark import evaluate, noisy_pairs
from unnoise.training import data, distributed
from unnoise.training.losses import Loss
from unnoise.training.recipe import Recipe, Stage
from unnoise.training.tasks import Task

ROWS, SIDE = 4, 192
"""Images on the page of samples, and the side in pixels that they are cropped to."""


class Validator:
    """Measures a network on the validation dataset; several processes share the work.

    Args:
        recipe: that of the training.
        task: its task.
        loss: its loss.
        dataset: the validation images.
        fabric: that of the process.
    """

    def __init__(self, recipe: Recipe, task: Task, loss: Loss, dataset: Dataset, fabric: Fabric) -> None:
        self.recipe, self.task, self.loss, self.dataset, self.fabric = recipe, task, loss, dataset, fabric

    @torch.no_grad()
    def patch_values(self, network: networks.Network, stage: Stage) -> dict[str, float]:
        """Return the task's values as `validation_NAME`, averaged over `validation.patches` patches.

        Each process takes whole batches, in turn.

        Args:
            network: the averaged weights, in evaluation mode.
            stage: gives the sizes of patches and batches.
        """
        count, size = self.recipe.validation.patches, stage.batch
        patches = data.make_patches(self.recipe, self.task, self.dataset, stage)
        torch.manual_seed(self.recipe.train.seed)  # random numbers that the task draws are the same every time, too
        sums: dict[str, float] = {}
        for start in range(0, count, size)[self._own]:
            batch = default_collate([patches[index] for index in range(start, min(start + size, count))])
            with self.fabric.autocast():
                values = self.task.step(network, self.loss, self.fabric.to_device(batch))
            for key, value in values.items():
                sums[key] = sums.get(key, 0.0) + value.item() * len(batch["noisy"])
        totals = distributed.total(self.fabric, sums)
        return {f"validation_{key}": total / count for key, total in totals.items()}

    def denoiser(self, network: networks.Network, card: Card) -> pytorch.TorchDenoiser:
        """Return a network as a denoiser, in bfloat16 if that is the precision of the training."""
        bf16 = self.fabric.strategy.precision.precision == "bf16-mixed"
        return pytorch.TorchDenoiser(network, card, bf16=bf16)

    def psnr(self, network: networks.Network, card: Card) -> dict[str, float]:
        """Return the PSNR over whole images in dB, by noise; pairs with a clean image are under "pairs".

        Args:
            network: the weights that are exported.
            card: its card.
        """
        model = self.denoiser(network, card)
        noises: list[noise.Noise | None] = [noise.make(spec) for spec in self.recipe.validation.noise]
        if not noises and isinstance(self.dataset[0], tuple) and self.task.target == "clean":
            noises = [None]
        rows = evaluate(
            {self.recipe.name: model},
            self.dataset,
            noises,
            seed=self.recipe.train.seed,
            crop=self.recipe.validation.crop,
            with_ssim=False,
            only=self._own,
        )
        sums = distributed.total(self.fabric, {row.noise or "pairs": row.psnr * row.images for row in rows})
        return {name: total / len(self.dataset) for name, total in sums.items()}

    def samples(self, model: Denoiser) -> np.ndarray:
        """Draw the first images as a page, `[H, W, 3]` in [0, 1]: noisy, denoised, and what is known to be true.

        Args:
            model: the denoiser; images get the first noise of `validation.noise`, or that of the training.
        """
        spec = [*self.recipe.validation.noise, self.recipe.noise][0]
        degradation = None if spec is None else noise.make(spec)
        items = [self.dataset[index] for index in range(min(ROWS, len(self.dataset)))]
        single = [as_float(item)[:SIDE, :SIDE] for item in items if not isinstance(item, tuple)]
        if degradation is None and single:
            return report.sheet([{"noisy": noisy, "denoised": model(noisy)} for noisy in single])
        truth = "clean" if degradation is not None or self.task.target == "clean" else "second"
        pairs = noisy_pairs(self.dataset, degradation, seed=self.recipe.train.seed, crop=SIDE, only=slice(ROWS))
        return report.sheet(
            [{"noisy": noisy, "denoised": model(noisy, sigma), truth: clean} for noisy, clean, sigma in pairs]
        )

    @property
    def _own(self) -> slice:
        """This process's part of a sequence that all processes share."""
        return slice(self.fabric.global_rank, None, self.fabric.world_size)
