"""Denoising in tiles equals denoising the full image: neighborhood filters, grids, sigma maps, many sizes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from unnoise.denoisers.base import Denoiser, Sigma
from unnoise.denoisers.tiling import TILE, denoise_tiled, tiles

SIZES = [(1, 1), (1, 7), (7, 5), (30, 8), (33, 47)]


class Neighbourhood(Denoiser):
    """Maximum filter of radius `halo`: each pixel has an effect exactly that far."""

    def __init__(self, halo: int) -> None:
        self.halo = halo

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        side = 2 * self.halo + 1
        return ndimage.maximum_filter(noisy, (side, side, 1), mode="nearest")


class Cells(Denoiser):
    """Maximum over each cell of a grid and the adjacent cells, like a network that folds its input."""

    def __init__(self, cell: int) -> None:
        self.multiple_of = cell
        self.halo = 2 * cell - 1

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        height, width, channels = noisy.shape
        cell = self.multiple_of
        folded = noisy.reshape(height // cell, cell, width // cell, cell, channels).max(axis=(1, 3))
        near = ndimage.maximum_filter(folded, (3, 3, 1), mode="nearest")
        return near.repeat(cell, axis=0).repeat(cell, axis=1)


class Adder(Denoiser):
    """Add sigma to every pixel."""

    halo, wants_sigma = 2, True

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        assert sigma is not None
        return noisy + (sigma[:, :, None] if isinstance(sigma, np.ndarray) else sigma)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 100 + width).random((height, width, 2), dtype=np.float32)


@pytest.mark.parametrize("size", [3, 8, 20, TILE])
@pytest.mark.parametrize("halo", [0, 3, 8])
@pytest.mark.parametrize("multiple_of", [1, 4, 8])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_tiles_cover_the_picture_once(height: int, width: int, size: int, halo: int, multiple_of: int) -> None:
    covered = np.zeros((height, width), int)
    rows, columns = np.indices(covered.shape)
    for tile in tiles(height, width, size=size, halo=halo, multiple_of=multiple_of):
        covered[tile.inner] += 1
        np.testing.assert_array_equal(rows[tile.outer][tile.crop], rows[tile.inner])
        np.testing.assert_array_equal(columns[tile.outer][tile.crop], columns[tile.inner])
        for inner, outer, end in zip(tile.inner, tile.outer, (height, width), strict=True):
            assert inner.start % multiple_of == outer.start % multiple_of == 0
            assert 0 <= outer.start <= max(inner.start - halo, 0)
            assert min(inner.stop + halo, end) <= outer.stop <= end
            assert inner.stop - inner.start <= max(size, multiple_of)
    assert (covered == 1).all()


@pytest.mark.parametrize(
    ("length", "size", "multiple_of", "lengths"),
    [
        (769, 768, 1, [385, 384]),
        (769, 768, 8, [392, 377]),
        (768, 768, 8, [768]),
        (20, 9, 8, [8, 8, 4]),
        (9, 3, 4, [4, 4, 1]),
    ],
)
def test_tiles_are_few_and_even(length: int, size: int, multiple_of: int, lengths: list[int]) -> None:
    across = [tile.inner[1] for tile in tiles(1, length, size=size, multiple_of=multiple_of)]
    assert [columns.stop - columns.start for columns in across] == lengths


@pytest.mark.parametrize(
    ("height", "width", "size", "overlap", "multiple_of"), [(97, 40, 32, 8, 1), (50, 130, 24, 16, 4)]
)
def test_the_tiles_of_a_blend_count_one_everywhere(
    height: int, width: int, size: int, overlap: int, multiple_of: int
) -> None:
    total = np.zeros((height, width, 1), np.float32)
    for tile in tiles(height, width, size=size, halo=overlap, multiple_of=multiple_of):
        weight = tile.weight(overlap)
        assert weight.min() >= 0
        total[tile.outer] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("size", [3, 16, 50])
@pytest.mark.parametrize("halo", [0, 1, 4])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_neighbourhood_sees_in_tiles_what_it_sees_in_the_whole(height: int, width: int, halo: int, size: int) -> None:
    noisy, denoiser = picture(height, width), Neighbourhood(halo)
    np.testing.assert_array_equal(denoise_tiled(denoiser, noisy, halo=halo, size=size), denoiser(noisy))


@pytest.mark.parametrize("size", [1, 20])
@pytest.mark.parametrize("cell", [2, 4, 8])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_grid_falls_in_tiles_where_it_falls_in_the_whole(height: int, width: int, cell: int, size: int) -> None:
    noisy, denoiser = picture(height, width), Cells(cell)
    result = denoise_tiled(denoiser, noisy, halo=denoiser.halo or 0, multiple_of=cell, size=size)
    np.testing.assert_array_equal(result, denoiser(noisy))


def test_a_halo_one_too_small_or_a_missing_grid_is_seen() -> None:
    noisy = picture(64, 64)
    near, cells = Neighbourhood(4), Cells(4)
    assert (denoise_tiled(near, noisy, halo=3, size=16) != near(noisy)).any()
    assert (denoise_tiled(cells, noisy, halo=0, multiple_of=4, size=16) != cells(noisy)).any()
    assert (denoise_tiled(cells, noisy, halo=7, multiple_of=1, size=18) != cells(noisy)).any()


@pytest.mark.parametrize("kind", ["number", "map"])
def test_each_tile_gets_its_own_part_of_a_sigma_map(kind: str) -> None:
    noisy, sigma_map = picture(33, 47), picture(33, 47)[:, :, 1]
    sigma = sigma_map if kind == "map" else 0.1
    np.testing.assert_array_equal(denoise_tiled(Adder(), noisy, sigma, halo=2, size=10), Adder()(noisy, sigma))


def test_progress_rises_to_one_and_the_input_stays() -> None:
    noisy, seen = picture(33, 47), []
    noisy.setflags(write=False)
    result = denoise_tiled(Neighbourhood(2), noisy, halo=2, size=10, progress=seen.append)
    assert seen == sorted(set(seen))
    assert len(seen) == 4 * 5
    assert seen[0] > 0
    assert seen[-1] == 1
    assert result.dtype == np.float32
