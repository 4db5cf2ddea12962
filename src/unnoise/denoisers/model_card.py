"""The card that travels inside a model file and says what the model is.

A `.safetensors` file (to learn on) and an `.onnx` file (to run) carry the same card in their metadata, as JSON under
one key; loading a model needs nothing but its file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from unnoise.errors import UnnoiseError

KEY = "unnoise.card"


@dataclass(frozen=True)
class Card:
    """What a model is, what it learned from, and how well it does.

    Attributes:
        name: of the model.
        summary: what it is for, one line.
        network: spec of the network.
        channels: 1 for grey, 3 for colour.
        multiple_of: sides of its input are multiples of this.
        halo: its reach in pixels; None when it sees the whole picture.
        wants_sigma: whether it is told the noise level.
        margin: mirrored pixels that it is given beyond each border.
        noise: spec of the noise that it learned to remove; "" for that of its training pairs.
        task: how it learned.
        recipe: the recipe, as YAML.
        terms: its training data and their terms.
        trained: steps, hours and machine of its training.
        scores: "data, noise" -> PSNR in dB, as `unnoise evaluate` printed it.
        version: of unnoise, when it was made.
        licence: of the weights.
    """

    name: str
    network: str
    channels: int
    noise: str
    summary: str = ""
    multiple_of: int = 1
    halo: int | None = None
    wants_sigma: bool = False
    margin: int = 8
    task: str = "supervised"
    recipe: str = ""
    terms: str = ""
    trained: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    version: str = ""
    licence: str = "Apache-2.0"

    @property
    def corrects_clipping(self) -> bool:
        """Whether what files cut off at black and white is made up for behind it, see `declipping`.

        That is where it is told the level, and has learned white Gaussian noise that was never cut off.
        """
        return self.wants_sigma and all(
            kind.strip().startswith("gaussian") and "+" not in kind for kind in self.noise.split("|")
        )

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata of a model file."""
        return {KEY: json.dumps(dataclasses.asdict(self), ensure_ascii=False)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None, source: str) -> Card:
        """Read the card from the metadata of `source`.

        Raises:
            UnnoiseError: there is no card, or it is not one of ours.
        """
        try:
            fields = json.loads((metadata or {})[KEY])
            known = {one.name for one in dataclasses.fields(cls)}
            return cls(**{key: value for key, value in fields.items() if key in known})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnnoiseError(f"'{source}' is no unnoise model: it carries no card") from error
