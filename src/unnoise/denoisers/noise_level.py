"""The network that reads a map of the noise level off a picture, in an ONNX file.

It looks at a picture twice: at a sample of windows, for the statistics of the whole picture, and then at every place,
with these statistics given. So all tiles and strips of a picture are judged alike, whatever their size.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np
from scipy import ndimage

from unnoise import interruption
from unnoise.denoisers.model_card import Card
from unnoise.errors import UnnoiseError
from unnoise.system import cpu_count

BUNDLED = Path(__file__).parent / "weights" / "noise_level.onnx"
WHOLE = 512 * 512
"""Pictures of up to so many pixels are looked at as a whole for the statistics."""
_WINDOW = 128  # side of a window, pixels: that of the patches that the network learned from
_WINDOWS = 6  # along each side of the picture


class NoiseLevelEstimator:
    """Noise level of pictures, by the network of `networks.noise_estimator`.

    Args:
        path: the `.onnx` file.
        threads: processor threads; 0 for one per core that this process may use.

    Raises:
        UnnoiseError: the file cannot be read, or is not a model of ours.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        import onnxruntime

        self.path = Path(path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or cpu_count()
        options.enable_cpu_mem_arena = False  # it would keep the memory of features, some hundred MB for each model
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a family of its own for every way a file can be wrong
            raise UnnoiseError(f"cannot read the model '{path}': {' '.join(str(error).split())}") from error
        self._outputs = [output.name for output in self.session.get_outputs()]
        self.card = Card.from_metadata(self.session.get_modelmeta().custom_metadata_map, str(path))
        self.channels, self.multiple_of, self.halo = self.card.channels, self.card.multiple_of, self.card.reach or 0

    def statistics(self, pixels: np.ndarray) -> np.ndarray:
        """Return mean and deviation of each feature over a picture, float32 `[1, 2 * features]`.

        Args:
            pixels: float32 `[H, W, C]`, nominally in [0, 1]; of large pictures, a sample of windows is looked at.
        """
        return combine_statistics(np.concatenate([self._run(one, None)[1] for one in _sample(pixels)]))

    def level(self, pixels: np.ndarray, statistics: np.ndarray | None = None) -> np.ndarray:
        """Return the noise level at every pixel, standard deviation in [0, 1] units, float32 `[H, W]`.

        Args:
            pixels: float32 `[H, W, C]`, nominally in [0, 1]; a tile of a picture, where its statistics are given.
            statistics: of the whole picture, as `statistics` returned them; None where `pixels` is that.
        """
        return self._run(pixels, self.statistics(pixels) if statistics is None else statistics)[0]

    def measure(self, pixels: np.ndarray) -> tuple[float, float]:
        """Return level and correlation of the noise in a picture, of large ones in a sample of windows.

        The level is the root mean square over the picture, in [0, 1] units; the correlation is that between neighboring
        pixels, -1 to 1.
        """
        found = [self._run(one, None) for one in _sample(pixels)]
        if len(found) > 1:
            statistics = combine_statistics(np.concatenate([own for _, own, _ in found]))
            found = [self._run(one, statistics) for one in _sample(pixels)]
        level = float(np.sqrt(np.mean([np.mean(np.square(level, dtype=np.float64)) for level, _, _ in found])))
        return level, float(found[0][2][0])

    def __reduce__(self) -> tuple[type, tuple[str]]:
        """Pickle and copy it as its file."""
        return type(self), (str(self.path),)

    def _run(self, pixels: np.ndarray, statistics: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the level `[H, W]`, the statistics `[1, N]` and the correlation `[1]`."""
        interruption.check()
        height, width, have = pixels.shape
        pixels = _filled(pixels)
        if have == 1:
            pixels = np.repeat(pixels, self.channels, axis=2)
        elif have != self.channels:
            raise UnnoiseError(f"the noise level is estimated on pictures of 1 or {self.channels} channels, not {have}")
        beyond = (-height % self.multiple_of, -width % self.multiple_of)
        if any(beyond):
            pixels = np.pad(pixels, ((0, beyond[0]), (0, beyond[1]), (0, 0)), mode="symmetric")
        inputs = {"noisy": np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)[None]}
        if statistics is not None:
            inputs["statistics"] = statistics
        found = dict(zip(self._outputs, map(np.asarray, self.session.run(self._outputs, inputs)), strict=True))
        correlation = found.get("correlation", np.zeros(1, np.float32))
        return found["level"][0, 0, :height, :width], found["own_statistics"], correlation


@functools.cache
def level_estimator() -> NoiseLevelEstimator:
    """Return the bundled estimator of the noise level, opened once."""
    return NoiseLevelEstimator(BUNDLED)


def combine_statistics(found: np.ndarray) -> np.ndarray:
    """Return mean and deviation of each feature over several windows of a picture, float32 `[1, 2 * features]`.

    Args:
        found: those of each window, `[windows, 2 * features]`.
    """
    if len(found) == 1:
        return found
    mean, deviation = np.split(found.astype(np.float64), 2, axis=1)
    mean_square = (deviation**2 + mean**2).mean(axis=0)
    mean = mean.mean(axis=0)
    variance = np.maximum(mean_square - mean**2, 0)
    return np.concatenate([mean, np.sqrt(variance)])[None].astype(np.float32)


def _sample(pixels: np.ndarray) -> list[np.ndarray]:
    """Return windows of a large picture, a small one as a whole; but parts that show no noise are left out.

    Such are missing values, borders and clipped skies: their constant values would make the rest seem free of noise.
    """
    small = pixels.shape[0] * pixels.shape[1] <= WHOLE
    windows = (_grid if small else _windows)(*pixels.shape[:2])
    chosen = [window for window in windows if _is_informative(pixels[window])]
    if small and len(chosen) == len(windows):
        return [pixels]
    if not chosen and small:
        return [pixels]
    chosen = chosen or windows  # of a large picture not all: that would take memory and time for each of its pixels
    return [pixels[window] for window in chosen[:: -(-len(chosen) // _WINDOWS**2)]]


def _is_informative(pixels: np.ndarray) -> bool:
    return float(np.isfinite(pixels).all(axis=2).mean()) > 0.5 and flat_fraction(pixels) < 0.5


def _filled(pixels: np.ndarray) -> np.ndarray:
    """Return pixels `[H, W, C]` whose missing values are those of the nearest pixels; 0 if all are missing."""
    finite = np.isfinite(pixels).all(axis=2)
    if finite.all():
        return pixels
    if not finite.any():
        return np.zeros_like(pixels)
    nearest: np.ndarray = ndimage.distance_transform_edt(~finite, return_distances=False, return_indices=True)  # type: ignore[assignment]
    return pixels[tuple(nearest)]


def flat_fraction(pixels: np.ndarray) -> float:
    """Return the fraction of pixels that equal the next ones to the right and below.

    Of noise of sigma 2/255, rounded to 8 bits, it is about 2 % in gray images, and less in color.
    """
    here = pixels[:-1, :-1]
    return float(((here == pixels[1:, :-1]) & (here == pixels[:-1, 1:])).all(axis=2).mean()) if here.size else 0.0


def _grid(height: int, width: int) -> list[tuple[slice, slice]]:
    """Return squares of half a window that cover a picture, but for what is left at its right and lower ends."""
    side = _WINDOW // 2
    corners = itertools.product(range(0, height - side + 1, side), range(0, width - side + 1, side))
    return [(slice(top, top + side), slice(left, left + side)) for top, left in corners]


def _windows(height: int, width: int) -> list[tuple[slice, slice]]:
    """Return windows spread evenly over a picture, on a grid of 16 pixels; fewer along a side that they would cover."""
    return [
        (slice(top, top + _WINDOW), slice(left, left + _WINDOW))
        for top, left in itertools.product(_spread(height), _spread(width))
    ]


def _spread(length: int) -> list[int]:
    last = max(length - _WINDOW, 0)
    count = min(_WINDOWS, -(-length // _WINDOW))
    return [index * last // max(count - 1, 1) // 16 * 16 for index in range(count)]
