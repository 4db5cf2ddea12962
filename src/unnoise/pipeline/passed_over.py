"""Files of input folders that are not touched, and why: nothing is passed over in silence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unnoise.io import formats
from unnoise.io.unreadable import Unreadable


@dataclass(frozen=True)
class Reason:
    """Why a file is passed over.

    Attributes:
        kind: what it is, such as "heic", "txt" or "hidden".
        hint: what to do about it, or "".
        picture: whether it is an image, so that something remains to be done.
    """

    kind: str
    hint: str = ""
    picture: bool = False

    def __str__(self) -> str:
        """Return kind and hint: `heic (pip install 'unnoise[heif]')`."""
        return f"{self.kind} ({self.hint})" if self.hint else self.kind


HIDDEN = Reason("hidden")
EARLIER = Reason("outputs of earlier runs")


@dataclass
class PassedOver:
    """The files that are passed over, with their reasons."""

    files: dict[Path, Reason] = field(default_factory=dict)

    def add(self, path: Path, reason: Reason) -> None:
        """Add a file."""
        self.files.setdefault(path, reason)

    @property
    def pictures(self) -> int:
        """Number of images among the files."""
        return sum(reason.picture for reason in self.files.values())

    def since(self, earlier: PassedOver) -> PassedOver:
        """Return the files that are not among earlier ones."""
        return PassedOver({path: reason for path, reason in self.files.items() if path not in earlier.files})

    def _counts(self) -> list[tuple[Reason, int]]:
        """Return each reason with its number of files: images first, then by number."""
        counts = Counter(self.files.values())
        return sorted(counts.items(), key=lambda item: (not item[0].picture, -item[1], item[0].kind))

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON has them."""
        kinds = [
            {"kind": reason.kind, "files": count, "pictures": reason.picture, "hint": reason.hint or None}
            for reason, count in self._counts()
        ]
        return {"passed_over": {"files": len(self.files), "pictures": self.pictures, "kinds": kinds}}

    def __str__(self) -> str:
        """Return one line: `112 files passed over: 90 heic (pip install 'unnoise[heif]'), 22 txt`."""
        parts = (
            f"{count} {reason.kind}" + (f" ({reason.hint})" if reason.hint else "") for reason, count in self._counts()
        )
        files = "1 file" if len(self.files) == 1 else f"{len(self.files)} files"
        return f"{files} passed over: {', '.join(parts)}"


def reason_for(path: Path, kind: formats.Format | Unreadable | None) -> Reason:
    """Return why a file of a folder is passed over.

    Args:
        path: the file.
        kind: of its content, which cannot be read here; None if it is no image.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if kind is None:
        return Reason(suffix or "without suffix")
    hint = formats.missing_extra(kind) or (kind.reason if isinstance(kind, Unreadable) else "")
    return Reason(suffix or kind.name, hint, picture=True)
