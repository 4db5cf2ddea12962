"""From an ONNX model to one whose inner convolutions work in 8-bit integers: a third of the size, and faster.

Static quantisation (Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, arXiv:1712.05877): weights get a scale per channel, features one per layer, by the extremes that
they reach on noisy pictures. The first and the last convolutions stay in 32-bit floats, since what they round shows in
the picture: of the U-Net that ships, these are its finest level and the steps to and from it. Processors need integer
arithmetic (VNNI, Arm dot product) to gain.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static, shape_inference

from unnoise import noise
from unnoise.datasets.base import Dataset
from unnoise.denoisers.model_card import Card
from unnoise.denoisers.onnx import Onnx
from unnoise.errors import UnnoiseError
from unnoise.evaluation.benchmark import noisy_pairs
from unnoise.evaluation.metrics import psnr
from unnoise.io.atomic import atomic_write

KEPT = 6
"""Convolutions at either end that stay in floats."""
PICTURES = 48
"""Crops that the extremes are taken from; half as many again are what the loss is measured on."""
CROP = 128
LARGEST_LOSS = 0.1
"""dB of mean PSNR, from which on the loss is not worth the time."""

_KINDS = ("Conv", "ConvTranspose")


def quantize(
    model: str | Path,
    target: str | Path,
    pictures: Dataset,
    *,
    kept: int = KEPT,
    scores: dict[str, float] | None = None,
) -> float:
    """Write a model with inner convolutions of 8 bits; the file appears only if it cleans nearly as well.

    Args:
        model: the `.onnx` file, in floats.
        target: the file to write; its stem is the name of the new model.
        pictures: clean ones; the noise that the card names is put into crops of them.
        kept: convolutions at either end that stay in floats.
        scores: measured results to put on the card, in place of those of the original.

    Returns:
        What it loses against the original on other crops, dB of mean PSNR.

    Raises:
        UnnoiseError: the model cannot be read or has no inner convolutions, there are too few pictures, or it loses
            more than `LARGEST_LOSS`.
    """
    model, target = Path(model), Path(target)
    if target.suffix != ".onnx":
        raise UnnoiseError(f"'{target}': the name of an ONNX model ends in .onnx")
    original = Onnx(model)
    every = list(itertools.islice(_noisy(original, pictures), PICTURES * 3 // 2))
    if len(every) < 3:
        raise UnnoiseError(f"{len(every)} pictures are too few to quantize with: three, better {PICTURES * 3 // 2}")
    seen, others = [pair for index, pair in enumerate(every) if index % 3], every[::3]
    with atomic_write(target) as temporary:
        name = {"name": target.stem, "summary": f"{original.card.summary}; 8-bit integers inside"}
        card = dataclasses.replace(original.card, **name, scores=scores or {})
        _write(original, model, temporary, seen, kept, card)
        lost = _loss(original, Onnx(temporary), others)
        if lost > LARGEST_LOSS:
            raise UnnoiseError(
                f"in 8 bits, '{model}' loses {lost:.2f} dB: keep more than {kept} convolutions in floats"
            )
    return lost


Pair = tuple[np.ndarray, np.ndarray, float | None]


def _noisy(model: Onnx, pictures: Dataset) -> Iterable[Pair]:
    """Yield (noisy, clean, sigma) crops with the noise of the model's card, those that are large enough."""
    for noisy, clean, sigma in noisy_pairs(pictures, noise.make(model.card.noise), crop=CROP):
        if noisy.shape == (CROP, CROP, model.channels):
            yield noisy, clean, sigma if model.wants_sigma else None


def _write(original: Onnx, model: Path, target: Path, seen: list[Pair], kept: int, card: Card) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        shape_inference.quant_pre_process(str(model), str(plain), skip_symbolic_shape=True)
        layers = [node.name for node in onnx.load(plain).graph.node if node.op_type in _KINDS]
        if len(layers) <= 2 * kept:
            raise UnnoiseError(f"'{model}' has {len(layers)} convolutions: none is left beyond {kept} at either end")
        quantize_static(
            str(plain),
            str(target),
            _Reader(original, seen),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(_KINDS),
            nodes_to_exclude=[*layers[:kept], *layers[len(layers) - kept :]],
        )
    quantized = onnx.load(target)
    del quantized.metadata_props[:]
    onnx.helper.set_model_props(quantized, card.to_metadata())
    onnx.save(quantized, target)


class _Reader(CalibrationDataReader):
    """Feeds the crops to the runtime as the model's inputs, one by one."""

    def __init__(self, model: Onnx, seen: list[Pair]) -> None:
        self._feeds = iter([model.feed(noisy, sigma) for noisy, _, sigma in seen])

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override]
        """Return the next, or None after the last."""
        return next(self._feeds, None)


def _loss(original: Onnx, quantized: Onnx, pairs: list[Pair]) -> float:
    """Return how many dB of mean PSNR the second model stays behind the first."""
    losses = [
        psnr(clean, original(noisy, sigma)) - psnr(clean, quantized(noisy, sigma)) for noisy, clean, sigma in pairs
    ]
    return float(np.mean(losses))
