"""The constants of the algorithms that `static/local` has in JavaScript: each is written once, in Python."""

from __future__ import annotations

import base64
import functools
import io
from dataclasses import asdict
from typing import Any

import numpy as np

from unnoise import denoisers
from unnoise._version import __version__
from unnoise.denoisers import auto, base, clipping, noise_estimation, noise_level, onnx, tiling
from unnoise.denoisers.model_card import Card
from unnoise.io import jpeg_encoder, value_range
from unnoise.io.containers import png
from unnoise.noise import estimation, impulses
from unnoise.pipeline import noise_maps

MODELS = ("blind", "color", "gray", "impulse")
"""The networks of the page: those that are selected by the noise in photographs."""
LIMITS = {"body_bytes": 2**28, "pixels": 50_000_000, "pages": 1}
STATISTICS = "statistics"
"""Input of the estimator of the noise level and of `blind`: zeros stand for the statistics of what is looked at."""
QUALITY = 95
"""Of JPEG files that are made of others, as in `io.formats`."""
GPU_TOLERANCE = 2 / 255
"""Largest difference of results on a GPU from those on the processor: half floats are accurate to less than this."""
GPU_TILE = 768
"""Longest side of tiles on a GPU without their margin, in pixels: no buffer is larger than 128 MiB, WebGPU's limit."""
MOST_THREADS = 8
ONLY = "this page reads PNG and JPEG; unnoise serve and the command line read other formats"


def collect() -> dict[str, Any]:
    """Return the constants, as JSON can hold them."""
    cards = {
        name: onnx.Onnx(path, threads=1).card for name, path in denoisers.bundled_models().items() if name in MODELS
    }
    estimator = denoisers.level_estimator()
    return {
        "models": {name: _facts(card) for name, card in cards.items()},
        "capabilities": _capabilities(cards),
        "limits": LIMITS,
        "only": ONLY,
        "tile": tiling.TILE,
        "smoothing": base._SMOOTHING,
        "min_sigma": base.MIN_SIGMA,
        "gpu_tile": GPU_TILE,
        "gpu_tolerance": GPU_TOLERANCE,
        "most_threads": MOST_THREADS,
        "model_for_noise": auto.MODEL_FOR_NOISE,
        "level": {
            "name": denoisers.ESTIMATOR, "multiple_of": estimator.multiple_of, "halo": estimator.halo,
            "whole": noise_level.WHOLE, "window": noise_level._WINDOW, "windows": noise_level._WINDOWS,
            "statistics": next(put.shape[1] for put in estimator.session.get_overridable_initializers()),
        },
        "decision": {
            "min_level": noise_estimation.MIN_LEVEL, "correlated": noise_estimation.CORRELATED,
            "impulses": noise_estimation.IMPULSES, "beside": noise_estimation.BESIDE, "uneven": noise_estimation.UNEVEN,
        },
        "reasons": {
            "below": noise_estimation._BELOW, "flat": noise_estimation._FLAT, "bilevel": noise_estimation._BILEVEL,
            "uneven": noise_estimation._UNEVEN,
        },
        "evidence": estimation._EVIDENCE,
        "white": {
             "blocks": estimation._BLOCKS, "shades": estimation._SHADES,
            "flattest": estimation.FLATTEST, "flattest_of_many": estimation.FLATTEST_OF_MANY,
            "texture": estimation.TEXTURE, "clipped": estimation.CLIPPED, "rounding": estimation._ROUNDING,
            "median": estimation._MEDIAN,
        },
        "impulses": {
            "rare": impulses.RARE, "spread": impulses._SPREAD, "near": impulses._NEAR, "uneven": impulses._UNEVEN,
            "sound": impulses._SOUND, "judged": impulses._JUDGED,
        },
        "clipping": {
            "reach": clipping.REACH, "steps": clipping._STEPS, "end": clipping._END, "min_share": clipping._MIN_SHARE,
            "min_sigma": clipping._MIN_SIGMA, "bias": _floats(clipping._BIAS), "share": _floats(clipping._SHARE),
        },
        "range": {
            "bits": value_range.BITS, "outliers": value_range.OUTLIERS, "overshoot": value_range.OVERSHOOT,
            "beyond": value_range.BEYOND, "samples": value_range._SAMPLES,
        },
        "map": {"black": noise_maps.BLACK, "white": noise_maps.WHITE},
        "png": {"known": sorted(png.KNOWN), "not_carried": sorted(png.NOT_CARRIED)},
        "jpeg": {"zigzag": jpeg_encoder.ZIGZAG.tolist(), "tables": _jpeg_tables(), "sampling": [1, 1], "rgb": False},
    }  # fmt: skip


def _facts(card: Card) -> dict[str, Any]:
    facts = asdict(card.info)
    chosen = ("channels", "multiple_of", "halo", "wants_sigma", "margin", "corrects_clipping")
    blind = card.reach is not None
    return {**{name: facts[name] for name in chosen}, "blind": blind, **({"halo": card.reach} if blind else {})}


def _capabilities(cards: dict[str, Card]) -> dict[str, Any]:
    automatic = {
        "name": auto.Auto.name, "summary": "selects a model by the kind of noise in the image",
        "wants_sigma": True, "network": False,
    }  # fmt: skip
    networks = [
        {"name": card.name, "summary": card.summary, "wants_sigma": card.wants_sigma, "network": True}
        for card in cards.values()
    ]
    return {"version": __version__, "models": [automatic, *networks], "formats": ["jpeg", "png"], "limits": LIMITS}


def _floats(values: np.ndarray) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


@functools.cache
def _jpeg_tables() -> list[list[int]]:
    """Return the quantization tables of `QUALITY`, of luma and chroma, row by row."""
    from PIL import Image

    Image.new("RGB", (8, 8)).save(file := io.BytesIO(), "JPEG", quality=QUALITY)
    encoding = jpeg_encoder.read(file)
    assert encoding is not None
    return [list(table) for table in encoding.tables[:2]]
