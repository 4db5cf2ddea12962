"""The card: metadata in a model file that says what the model is.

A `.safetensors` file (weights, to train from) and an `.onnx` file (to run) carry the same card, as JSON under one key
of their metadata. A model is opened from its file alone.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from unnoise.denoisers import clipping
from unnoise.denoisers.info import DenoiserInfo
from unnoise.errors import UnnoiseError

KEY = "unnoise.card"
_LARGEST = 2**16  # pixels: beyond the side of any tile, and of any use
_RANGES = {
    "channels": (1, 64, False),
    "multiple_of": (1, _LARGEST, False),
    "halo": (0, _LARGEST, True),
    "reach": (0, _LARGEST, True),
    "margin": (0, 1024, False),
    "tile": (64, _LARGEST, True),
}
"""Field -> its least and largest value, and whether it may be missing: others would take all memory, or never end."""
_RENAMED = {"terms": "data_licence"}  # cards before version 0.2


@dataclass(frozen=True)
class Card:
    """What a model is, what it was trained on, and how well it performs.

    Attributes:
        name: name of the model.
        summary: its purpose, one line.
        network: spec of the network.
        channels: 1 for gray, 3 for color.
        multiple_of: the sides of its input are multiples of this.
        halo: its receptive field as a radius in pixels; None if that is the whole image.
        reach: where it sees the whole image through statistics alone, its receptive field once these are given.
        wants_sigma: whether sigma is an input.
        margin: reflected pixels added beyond each border.
        mosaic: whether it denoises the mosaics of raw files, and no images.
        tile: longest side of the tiles that images are cut into, in pixels; None for the default.
        noise: spec of the noise that it was trained on; "" for that of its training pairs.
        task: training task.
        recipe: the recipe, as YAML.
        data_licence: its training data and their licenses; `terms` in cards before version 0.2.
        trained: steps, hours and machine of its training.
        scores: "data, noise" -> PSNR in dB, as printed by `unnoise evaluate`.
        error_model: number of channels of the image -> coefficients of the expected error, see `uncertainty`.
        version: version of unnoise that made it.
        licence: license of the weights.
    """

    name: str
    network: str
    channels: int
    noise: str
    summary: str = ""
    multiple_of: int = 1
    halo: int | None = None
    reach: int | None = None
    wants_sigma: bool = False
    margin: int = 8
    mosaic: bool = False
    task: str = "supervised"
    recipe: str = ""
    data_licence: str = ""
    trained: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    error_model: dict[str, list[float]] = field(default_factory=dict)
    version: str = ""
    licence: str = "Apache-2.0"
    tile: int | None = None

    @property
    def corrects_clipping(self) -> bool:
        """Whether clipping at black and white is corrected after the network, see `clipping`.

        This is so if the network takes sigma and was trained on white Gaussian noise that was not clipped.
        """
        return self.wants_sigma and all(
            kind.strip().startswith("gaussian") and "+" not in kind for kind in self.noise.split("|")
        )

    @property
    def info(self) -> DenoiserInfo:
        """The facts of the model as a denoiser."""
        return DenoiserInfo(
            name=self.name,
            channels=self.channels,
            multiple_of=self.multiple_of,
            halo=clipping.reach(self.halo) if self.corrects_clipping else self.halo,
            wants_sigma=self.wants_sigma,
            margin=self.margin,
            mosaic=self.mosaic,
            corrects_clipping=self.corrects_clipping,
            tile=self.tile,
            error_model={int(channels): tuple(terms) for channels, terms in self.error_model.items()} or None,
        )

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata of a model file."""
        return {KEY: json.dumps(dataclasses.asdict(self), ensure_ascii=False)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None, source: str) -> Card:
        """Read the card from the metadata of the file `source`.

        Raises:
            UnnoiseError: there is no card, or it is invalid.
        """
        try:
            values = json.loads((metadata or {})[KEY])
            values = {_RENAMED.get(key, key): value for key, value in values.items()}
            known = {attribute.name for attribute in dataclasses.fields(cls)}
            card = cls(**{key: value for key, value in values.items() if key in known})
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UnnoiseError(f"'{source}' is not an unnoise model: it has no valid card") from error
        if wrong := card.wrong_value():
            raise UnnoiseError(f"'{source}' is not a usable model: on its card, {wrong}")
        return card

    def wrong_value(self) -> str:
        """Return which value cannot be that of a network, in a line; "" if there is none."""
        for key, (least, most, may_be_missing) in _RANGES.items():
            value = getattr(self, key)
            if value is None and may_be_missing:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                return f"{key} must be an integer from {least} to {most}, got {str(value)[:40]!r}"
        texts = (
            "name",
            "network",
            "noise",
            "summary",
            "task",
            "recipe",
            "data_licence",
            "trained",
            "version",
            "licence",
        )
        for key in texts:
            if not isinstance(getattr(self, key), str):
                return f"{key} must be text"
        if not isinstance(getattr(self, "wants_sigma"), bool):  # noqa: B009  (files hold what they like)
            return "wants_sigma must be true or false"
        try:
            fitted = [(int(channels), [float(term) for term in terms]) for channels, terms in self.error_model.items()]
            scores = [float(score) for score in self.scores.values()]
        except (AttributeError, TypeError, ValueError):
            return "scores and error_model must be tables of numbers"
        numbers = [*scores, *(term for _, terms in fitted for term in terms)]
        return "" if all(map(math.isfinite, numbers)) else "scores and error_model must be finite numbers"
