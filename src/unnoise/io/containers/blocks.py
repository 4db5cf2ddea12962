"""Metadata of a file in the pieces that its container has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 2**26
"""Most bytes of metadata that are carried; what is over it is left out, and named."""
FIELDS = {
    "exif-data": "EXIF",
    "xmp-data": "XMP",
    "iptc-data": "IPTC",
    "icc-profile-data": "a color profile",
    "comment": "a comment",
}
"""Metadata that several formats can hold, and how messages name them."""


@dataclass(frozen=True)
class Block:
    """A chunk, segment or extension.

    Attributes:
        name: as the specification of the container calls it, `gAMA` or `APP1`.
        data: its content; if it holds a field, what stands before that.
        field: of `FIELDS`, whose present value is its content; "" if the content is only carried.
        title: what it is, for messages.
    """

    name: str
    data: bytes
    field: str = ""
    title: str = ""

    def content(self, fields: Mapping[str, Any]) -> bytes | None:
        """Return the content with the present value of its field; None if that has been removed."""
        if not self.field:
            return self.data
        value = fields.get(self.field)
        return None if value is None else self.data + value


@dataclass(frozen=True)
class Blocks:
    """What a file holds beside its pixels.

    Attributes:
        kind: the name of the format, `PNG`.
        blocks: in the order of the file.
        left_out: names of what is not carried even to the same format, with the reason.
        extra: other facts that the container's module needs to write them.
        noisy: names of pictures that are carried as they are, with their noise.
    """

    kind: str
    blocks: tuple[Block, ...] = ()
    left_out: tuple[str, ...] = ()
    extra: bytes = b""
    noisy: tuple[str, ...] = ()

    def titles(self) -> list[str]:
        """Return the names of all blocks without a field, which only the same format can hold."""
        return list(
            dict.fromkeys(block.title or f"{self.kind} {block.name}" for block in self.blocks if not block.field)
        )
