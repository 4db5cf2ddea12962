"""A model in an ONNX file as a denoiser, on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from unnoise.denoisers.base import Sigma
from unnoise.denoisers.exported import ExportedNetwork
from unnoise.denoisers.model_card import Card
from unnoise.errors import UnnoiseError
from unnoise.system import cpu_count


class Onnx(ExportedNetwork):
    """An exported network.

    Args:
        path: the `.onnx` file.
        threads: processor threads; 0 for one per core that this process may use.

    Raises:
        UnnoiseError: the file cannot be read, or is not a model of ours.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or cpu_count()
        options.enable_mem_pattern = False  # patterns of sizes that differ would add a third to the memory
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a family of its own for every way a file can be wrong
            raise UnnoiseError(f"cannot read the model '{path}': {' '.join(str(error).split())}") from error
        super().__init__(Card.from_metadata(self.session.get_modelmeta().custom_metadata_map, str(path)))

    def run(self, noisy: np.ndarray, sigma: Sigma | None) -> np.ndarray:
        """Clean one picture."""
        (clean,) = self.session.run(["clean"], self.feed(noisy, sigma))
        return np.asarray(clean)[0].transpose(1, 2, 0)
