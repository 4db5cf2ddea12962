"""Networks in `.onnx` files, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from unnoise.denoisers.base import Sigma
from unnoise.denoisers.exported import ExportedNetwork, portable
from unnoise.denoisers.model_card import Card
from unnoise.errors import UnnoiseError
from unnoise.system import cpu_count


class Onnx(ExportedNetwork):
    """An exported network, run by ONNX Runtime.

    Args:
        path: the `.onnx` file.
        threads: processor threads; 0 for one per core available to this process.

    Raises:
        UnnoiseError: the file cannot be read, or is not an unnoise model.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        try:
            self.session = _Session(path, threads or cpu_count())
        except Exception as error:  # ONNX Runtime raises its own exceptions for each kind of invalid file
            raise UnnoiseError(f"cannot read the model '{path}': {' '.join(str(error).split())}") from error
        super().__init__(Card.from_metadata(self.session.get_modelmeta().custom_metadata_map, str(path)))

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Denoise one image."""
        (clean,) = self.session.run(["clean"], self.feed(noisy, sigma))
        return np.asarray(clean)[0].transpose(1, 2, 0)


class _Session(onnxruntime.InferenceSession):
    """A session that can be pickled, by reopening its model, and whose copies are itself."""

    def __init__(self, model: str | Path | bytes, threads: int) -> None:
        self._model, self._threads = model, threads
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        options.enable_cpu_mem_arena = False  # it would keep the memory of features, some hundred MB for each model
        options.enable_mem_pattern = False  # patterns for different sizes would add a third to the memory
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        source = model if isinstance(model, bytes) else str(model)
        super().__init__(source, options, providers=["CPUExecutionProvider"])

    def __deepcopy__(self, memo: dict[int, Any]) -> _Session:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _Session, (portable(self._model), self._threads)
