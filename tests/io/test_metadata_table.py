"""The table of what becomes of the metadata of every format: nothing is lost, and the documentation shows it."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from tests.conftest import ROOT
from unnoise.evaluation import report

FOLDER = ROOT / "benchmarks" / "robustness"


@pytest.fixture(scope="module")
def rows() -> list[Any]:
    if not FOLDER.exists():
        pytest.skip("the benchmarks are not in the source distribution")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        return list(importlib.import_module("metadata").rows())


def test_no_metadata_are_lost(rows: list[Any]) -> None:
    assert [row for row in rows if "lost" in vars(row).values()] == []
    own = {"HEIC", "JXL", "JP2", "EXR", "HDR", "DICOM", "FITS"}
    assert {row.source for row in rows} == {"JPEG", "PNG", "TIFF", "WebP", "AVIF", "GIF", *own}


def test_the_documentation_shows_the_table(rows: list[Any]) -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert report.markdown(rows) in page, "python benchmarks/robustness/metadata.py prints another table"
