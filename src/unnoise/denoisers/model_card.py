"""The card: metadata in a model file that says what the model is.

A `.safetensors` file (weights, to train from) and an `.onnx` file (to run) carry the same card, as JSON under one key
of their metadata. A model is opened from its file alone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from unnoise.denoisers import clipping
from unnoise.denoisers.base import DenoiserInfo
from unnoise.errors import UnnoiseError

KEY = "unnoise.card"
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
    task: str = "supervised"
    recipe: str = ""
    data_licence: str = ""
    trained: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    error_model: dict[str, list[float]] = field(default_factory=dict)
    version: str = ""
    licence: str = "Apache-2.0"

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
            corrects_clipping=self.corrects_clipping,
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
            return cls(**{key: value for key, value in values.items() if key in known})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnnoiseError(f"'{source}' is not an unnoise model: it has no valid card") from error
