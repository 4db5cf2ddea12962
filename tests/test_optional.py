"""The error message for a missing library."""

from __future__ import annotations

from pathlib import Path

import pytest

from unnoise.errors import UnnoiseError
from unnoise.optional import require


def test_what_is_there_is_returned() -> None:
    assert require("json.decoder", extra="train").JSONDecoder


def test_what_is_missing_is_named_with_its_extra() -> None:
    message = r'^no_such_library is not installed; install it with: pip install "unnoise\[serve\]"$'
    with pytest.raises(UnnoiseError, match=message):
        require("no_such_library.part", extra="serve")


def test_a_broken_library_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        require("broken_library", extra="train")
