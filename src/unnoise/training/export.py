"""Export of a model to ONNX, which runs without PyTorch; the result is compared with the original."""

from __future__ import annotations

import copy
import dataclasses
import io
import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unnoise.denoisers import pytorch
from unnoise.denoisers.model_card import Card
from unnoise.denoisers.noise_level import NoiseLevelEstimator
from unnoise.denoisers.onnx import Onnx
from unnoise.denoisers.pytorch import TorchDenoiser
from unnoise.errors import UnnoiseError
from unnoise.io.atomic import atomic_write
from unnoise.networks import NETWORKS, Network

TOLERANCE = 0.25 / 255  # a quarter of an 8-bit level


def export(
    model: str | Path,
    target: str | Path | None = None,
    *,
    scores: dict[str, float] | None = None,
    half: bool = False,
    part: str | None = None,
) -> Path:
    """Write a model as ONNX for any image size, with its card; nothing is written if it differs from the original.

    Args:
        model: the `.safetensors` file, or weights of another project.
        target: the file to write; by default beside the model.
        scores: measured results for the cards of both files; files of other projects are left as they are.
        half: store the weights of both files in float16, which halves their size; inference stays in float32.
        part: export a part that is a network itself, such as the estimator `levels` of `blind`; its weights are
            written to a `.safetensors` file beside `target`, too.

    Returns:
        The ONNX file.

    Raises:
        UnnoiseError: the model cannot be read or has no such part, the target's name does not end in `.onnx`, or the
            outputs differ by more than a quarter of an 8-bit level.
    """
    model, target = Path(model), Path(target or Path(model).with_suffix(".onnx"))
    if target.suffix != ".onnx":
        raise UnnoiseError(f"'{target}': the name of an ONNX model must end in .onnx")
    network, card = pytorch.load(model)
    if part:
        network, card = _part(network, card, part, target.stem)
        model = target.with_suffix(".safetensors")
    card = dataclasses.replace(card, reach=getattr(network, "reach", None))
    if scores:
        card = dataclasses.replace(card, scores=scores)
    if half:
        network.half().float()
    with atomic_write(target) as temporary:
        temporary.write_bytes(to_onnx(network, card, half=half))
        difference = disagreement(network, temporary)
        if not difference <= TOLERANCE:  # NaN fails too
            raise UnnoiseError(f"the ONNX model differs from '{model}' by {255 * difference:.2f} 8-bit levels")
        if (scores or half or part) and network.name in NETWORKS:
            pytorch.save(network, card, model, half=half)
    return target


def to_onnx(network: Network, card: Card, *, half: bool = False) -> bytes:
    """Return the network as an ONNX model: `noisy` (and `sigma`, a map) in, `clean` out, all `[1, C, H, W]` float32.

    One that sees the whole image through statistics has these as a further input, which may be left out. With `half`,
    kernels that are exact in float16 are stored so.
    """
    network = fold_norms(network)
    side = _unit(network)
    inputs: dict[str, torch.Tensor] = {"noisy": torch.zeros(1, network.channels, side, side)}
    if network.wants_sigma:
        inputs["sigma"] = torch.zeros(1, 1, side, side)
    pictures = [*inputs, *(name for name in network.export_outputs if name in ("clean", "level"))]
    axes = {name: {2: "height", 3: "width"} for name in pictures}
    if network.statistics_size:
        inputs["statistics"] = torch.ones(1, network.statistics_size)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The TorchScript exporter supports dynamic sizes without constraints per network, but warns that it is
        # deprecated.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.export_form(),
            tuple(inputs.values()),
            buffer,  # type: ignore[arg-type]
            input_names=list(inputs),
            output_names=list(network.export_outputs),
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
    exported = onnx.load_from_string(buffer.getvalue())
    if half:
        _store_in_half(exported.graph)
    if network.statistics_size:  # without this input, the statistics are those of the given image
        none = np.zeros((1, network.statistics_size), np.float32)
        exported.graph.initializer.append(onnx.numpy_helper.from_array(none, "statistics"))
    onnx.helper.set_model_props(exported, card.to_metadata())
    onnx.checker.check_model(exported)
    return exported.SerializeToString()


def _store_in_half(graph: onnx.GraphProto) -> None:
    """Store kernels in float16 where that is exact; a Cast node restores float32, which runtimes run once at load."""
    widened = []
    for stored in graph.initializer:
        kernel = onnx.numpy_helper.to_array(stored)
        halves = kernel.astype(np.float16)
        if stored.data_type == onnx.TensorProto.FLOAT and kernel.ndim > 1 and np.array_equal(halves, kernel):
            name = stored.name
            stored.CopyFrom(onnx.numpy_helper.from_array(halves, f"{name}.half"))
            widened.append(onnx.helper.make_node("Cast", [stored.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def fold_norms(network: Network) -> Network:
    """Return a copy in evaluation mode with batch normalizations folded into the convolutions before them."""
    folded = copy.deepcopy(network).eval()
    for row in folded.modules():
        if isinstance(row, nn.Sequential):
            for (index, layer), (_, norm) in itertools.pairwise(list(enumerate(row))):
                if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    row[index], row[index + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()
    return folded


def disagreement(network: Network, exported: Path) -> float:
    """Return the largest difference between a network and its export on random images of several sizes.

    Returns:
        In [0, 1] units; NaN if an output is NaN.
    """
    if "clean" not in network.export_outputs:
        return _disagreement_of_levels(network, exported)
    rng = np.random.default_rng(0)
    sides = [(1, 1), (2, 3), (5, 4)]
    copy, differences = Onnx(exported).for_mosaics(), []
    original = TorchDenoiser(network, copy.card).for_mosaics()
    for tall, wide in sides:
        height, width = tall * _unit(network) + 1, wide * _unit(network)
        noisy = rng.random((height, width, network.channels), dtype=np.float32)
        sigma = 0.1 if network.wants_sigma else None
        differences.append(np.abs(original(noisy, sigma) - copy(noisy, sigma)).max())
    return float(np.max(differences))


def _unit(network: Network) -> int:
    """Return eight steps of the grid of a network, or as few as 64 pixels hold."""
    return network.multiple_of * max(1, min(8, 64 // network.multiple_of))


def _disagreement_of_levels(network: Network, exported: Path) -> float:
    estimator, form, differences = NoiseLevelEstimator(exported), network.export_form().eval(), []
    for side in (4, 9):
        noisy = np.random.default_rng(side).random((side * network.multiple_of,) * 2 + (3,), dtype=np.float32)
        with torch.inference_mode():
            level, own, *_ = form(
                torch.from_numpy(noisy.transpose(2, 0, 1)[None]), torch.zeros(1, network.statistics_size)
            )
        differences.append(np.abs(estimator.level(noisy, own.numpy()) - level[0, 0].numpy()).max())
    return float(np.max(differences))


def _part(network: Network, card: Card, part: str, name: str) -> tuple[Network, Card]:
    """Return a part of a network, with a card of its own."""
    inner = getattr(network, part, None)
    if not isinstance(inner, Network):
        raise UnnoiseError(f"{network.name} has no part '{part}' that is a network")
    facts: dict[str, Any] = {
        "channels": inner.channels,
        "multiple_of": inner.multiple_of,
        "wants_sigma": inner.wants_sigma,
    }
    facts |= {"halo": inner.halo, "reach": getattr(inner, "reach", None)}
    summary = f"part '{part}' of {card.name}: {card.summary}"
    return inner, dataclasses.replace(card, name=name, summary=summary, network=str(inner), **facts)
