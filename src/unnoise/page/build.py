"""Write the folder of the page without a server."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import os
import tempfile
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from unnoise import denoisers
from unnoise.denoisers import onnx_graph
from unnoise.errors import UnnoiseError, system_reason
from unnoise.io.paths import check_folder, make_folder
from unnoise.page import runtime, settings

POLICY = {
    "default-src": "'none'", "script-src": "'self' 'wasm-unsafe-eval'", "worker-src": "'self' blob:",
    "style-src": "'self'", "img-src": "'self' blob: data:", "connect-src": "'self'", "base-uri": "'none'",
    "form-action": "'none'",
}  # fmt: skip
"""Content security policy. When its own files are loaded, the page forbids itself all connections (`files.js`)."""
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Headers that the service worker adds, with the policy: a static host cannot, and threads need the first two."""

_ENGINES = {
    "wasm": ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": (
        *("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs"),
        "ort-wasm-simd-threaded.asyncify.wasm",
    ),
}
"""Engine -> the module, that of its threads, and the program."""
_SERVICE_WORKER = "sw.js"
_LICENSES = "licenses"
_LICENSED = {"onnxruntime": ("LICENSE", "ThirdPartyNotices.txt"), "unnoise": ("LICENSE",)}


def build(folder: Path, package: Path | None = None, *, overwrite: bool = False) -> int:
    """Write the page; returns the size of its files in bytes.

    Args:
        folder: the folder; it is created.
        package: the package onnxruntime-web, see `runtime.files`.
        overwrite: replace a folder that this function has written.

    Raises:
        UnnoiseError: the folder cannot be written, is not empty, or is none of ours; or as `runtime.files`.
    """
    _check(folder, overwrite=overwrite)
    files = collect(package)
    make_folder(folder.parent)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            made = Path(temporary) / "page"
            for name, data in files.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_bytes(data)
            if folder.is_dir():
                os.rename(folder, Path(temporary) / "before")
            os.rename(made, folder)
    except OSError as error:
        raise UnnoiseError(f"{error.filename or folder}: {system_reason(error, folder)}") from error
    return sum(map(len, files.values()))


def collect(package: Path | None = None) -> dict[str, bytes]:
    """Return the files of the page, path in the folder -> contents; `package` as for `build`."""
    engine = runtime.files(package)
    files = dict(_static("unnoise.service")) | dict(_static("unnoise.page"))
    names = (*settings.MODELS, denoisers.ESTIMATOR)
    models = {name: f"models/{name}.onnx" for name in names}
    files |= {path: _network(name) for name, path in models.items()}
    places = {name: f"onnxruntime/{name.replace('.mjs', '.js')}" for name in engine}  # every host knows the type of .js
    files |= {places[name]: data for name, data in engine.items()}
    for licensed, texts in _LICENSED.items():
        files |= {
            f"{_LICENSES}/{licensed}/{name}": text.encode() for name, text in runtime.licenses(licensed, *texts).items()
        }
    engines = {
        name: dict(zip(("runtime", "module", "binary"), map(places.__getitem__, parts), strict=True))
        for name, parts in _ENGINES.items()
    }
    values = {**settings.collect(), "files": models, "runtime": engines}
    files["local/settings.js"] = f"export default {json.dumps(values)};\n".encode()
    files["index.html"] = _with_policy(files["index.html"].decode()).encode()
    later = [places[name] for name in _ENGINES["webgpu"]]
    files[_SERVICE_WORKER] = _service_worker(files, later)
    return files


def _network(name: str) -> bytes:
    return onnx_graph.without_default((denoisers.WEIGHTS / f"{name}.onnx").read_bytes(), settings.STATISTICS)


def _static(package: str) -> Iterator[tuple[str, bytes]]:
    """Yield path and contents of the files in the folder `static` of a package."""

    def walk(folder: Traversable, lead: str) -> Iterator[tuple[str, bytes]]:
        for entry in folder.iterdir():
            if entry.is_dir():
                yield from walk(entry, f"{lead}{entry.name}/")
            else:
                yield lead + entry.name, entry.read_bytes()

    return walk(importlib.resources.files(package) / "static", "")


def _policy(**changes: str) -> str:
    directives = {**POLICY, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def _with_policy(page: str) -> str:
    """Return the page with its policy before anything that is loaded, marked as the one without a server."""
    first, charset = "<html ", '<meta charset="utf-8">'
    if page.count(first) != 1 or page.count(charset) != 1:
        raise ValueError("index.html has no place for the policy")
    tag = f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'
    return page.replace(first, f"{first}data-local ").replace(charset, f"{charset}\n  {tag}")


def _service_worker(files: dict[str, bytes], later: list[str]) -> bytes:
    """Return the service worker with the list of what it keeps; `later` are files to keep when they are first used."""
    program = files[_SERVICE_WORKER]
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
    left_out = (_SERVICE_WORKER, "index.html", *later)
    kept = [name for name in files if name not in left_out and not name.startswith(_LICENSES)]
    values: dict[str, Any] = {
        "VERSION": digest.hexdigest()[:16],
        "FILES": ["", *sorted(kept)],
        "LATER": later,
        "HEADERS": {**HEADERS, "Content-Security-Policy": _policy()},
        "WORKER_POLICY": _policy(connect_src="'none'"),
    }
    return b"self.BUILD = " + json.dumps(values).encode() + b";\n" + program


def _check(folder: Path, *, overwrite: bool) -> None:
    """Check, before anything is downloaded, that a folder can be written or replaced."""
    if folder.exists() and not folder.is_dir():
        raise UnnoiseError(f"{folder}: is a file: give the name of a folder")
    check_folder(folder.absolute().parent)
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / _SERVICE_WORKER).is_file() or not (folder / "local" / "settings.js").is_file():
        raise UnnoiseError(f"{folder}: is not empty, and holds something else than this page: choose another name")
    if not overwrite:
        raise UnnoiseError(f"{folder}: already exists: choose another name, or allow overwriting")


__all__ = ["HEADERS", "POLICY", "build", "collect"]
