"""The estimated quality of a JPEG against the quality that Pillow wrote it with."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from unnoise.io import jpeg_quality


def written(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("quality", [*range(1, 101, 3), 100])
def test_the_quality_is_estimated(quality: int) -> None:
    assert jpeg_quality.quality(io.BytesIO(written(quality=quality))) == quality


def test_other_tables_have_the_nearest_quality() -> None:
    table = [max(1, level + (-1) ** level) for level in Image.open(io.BytesIO(written(quality=80))).quantization[0]]
    assert abs(jpeg_quality.quality(io.BytesIO(written(qtables=[table]))) - 80) <= 2


def test_thumbnails_are_ignored() -> None:
    tags = Image.Exif()
    tags[0x010E] = written(quality=10).decode("latin-1")  # tables of its own inside a segment
    assert jpeg_quality.quality(io.BytesIO(written(quality=80, exif=tags, comment=written(quality=10)))) == 80


@pytest.mark.parametrize("kept", [0, 2, 3, 5, 20, 30])
def test_a_truncated_file_has_no_quality(kept: int) -> None:
    assert jpeg_quality.quality(io.BytesIO(written()[:kept])) is None


def test_wrong_segment_lengths_are_ignored() -> None:
    for length in (0, 1, 65535):
        assert jpeg_quality.quality(io.BytesIO(b"\xff\xd8\xff\xe0" + length.to_bytes(2, "big") + bytes(40))) is None
