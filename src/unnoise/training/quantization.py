"""Quantization of the inner convolutions of an ONNX model to 8-bit integers: a third of the size, and faster.

Static quantization (Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, arXiv:1712.05877): weights get a scale per channel, features one per layer, from their
extremes on noisy images. The first and last convolutions stay in float32, since their rounding errors are visible in
the output: in the bundled U-Net, these are the finest level and the steps to and from it. It is faster on CPUs with
integer dot products (VNNI, Arm).
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
"""Number of convolutions at either end that stay in float32."""
PICTURES = 48
"""Number of crops for calibration; half as many others are used to measure the loss in quality."""
CROP = 128
"""Side of the crops, in pixels."""
LARGEST_LOSS = 0.1
"""Largest accepted loss of mean PSNR, in dB."""

_KINDS = ("Conv", "ConvTranspose")


def quantize(
    model: str | Path,
    target: str | Path,
    pictures: Dataset,
    *,
    kept: int = KEPT,
    scores: dict[str, float] | None = None,
) -> float:
    """Write a model with inner convolutions in 8 bits; nothing is written if its quality is much lower.

    Args:
        model: the `.onnx` file, in float32.
        target: the file to write; its stem is the name of the new model.
        pictures: clean images; the noise of the card is added to crops of them.
        kept: number of convolutions at either end that stay in float32.
        scores: measured results for the card, instead of those of the original.

    Returns:
        Loss of mean PSNR against the original on other crops, in dB.

    Raises:
        UnnoiseError: the model cannot be read or has no inner convolutions, there are too few images, or the loss is
            above `LARGEST_LOSS`.
    """
    model, target = Path(model), Path(target)
    if target.suffix != ".onnx":
        raise UnnoiseError(f"'{target}': the name of an ONNX model must end in .onnx")
    original = Onnx(model)
    every = list(itertools.islice(_noisy(original, pictures), PICTURES * 3 // 2))
    if len(every) < 3:
        raise UnnoiseError(f"quantization needs at least 3 images, better {PICTURES * 3 // 2}, got {len(every)}")
    calibration, others = [pair for index, pair in enumerate(every) if index % 3], every[::3]
    with atomic_write(target) as temporary:
        name = {"name": target.stem, "summary": f"{original.card.summary}; 8-bit integers inside"}
        card = dataclasses.replace(original.card, **name, scores=scores or {})
        _write(original, model, temporary, calibration, kept, card)
        lost = _loss(original, Onnx(temporary), others)
        if lost > LARGEST_LOSS:
            raise UnnoiseError(
                f"'{model}' loses {lost:.2f} dB in 8 bits: keep more than {kept} convolutions in float32"
            )
    return lost


Pair = tuple[np.ndarray, np.ndarray, float | None]


def _noisy(model: Onnx, pictures: Dataset) -> Iterable[Pair]:
    """Yield (noisy, clean, sigma) crops of images that are large enough, with the noise of the model card."""
    for noisy, clean, sigma in noisy_pairs(pictures, noise.make(model.card.noise), crop=CROP):
        if noisy.shape == (CROP, CROP, model.channels):
            yield noisy, clean, sigma if model.wants_sigma else None


def _write(original: Onnx, model: Path, target: Path, crops: list[Pair], kept: int, card: Card) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        shape_inference.quant_pre_process(str(model), str(plain), skip_symbolic_shape=True)
        layers = [node.name for node in onnx.load(plain).graph.node if node.op_type in _KINDS]
        if len(layers) <= 2 * kept:
            raise UnnoiseError(f"'{model}' has {len(layers)} convolutions: none is left between {kept} at either end")
        quantize_static(
            str(plain),
            str(target),
            _Reader(original, crops),
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
    """Yields the crops as inputs of the model."""

    def __init__(self, model: Onnx, crops: list[Pair]) -> None:
        self._feeds = iter([model.feed(noisy, sigma) for noisy, _, sigma in crops])

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override]
        """Return the next input, or None after the last."""
        return next(self._feeds, None)


def _loss(original: Onnx, quantized: Onnx, pairs: list[Pair]) -> float:
    """Return the loss of mean PSNR of the second model against the first, in dB."""
    losses = [
        psnr(clean, original(noisy, sigma)) - psnr(clean, quantized(noisy, sigma)) for noisy, clean, sigma in pairs
    ]
    return float(np.mean(losses))
