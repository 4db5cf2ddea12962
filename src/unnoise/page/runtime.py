"""ONNX Runtime for browsers: the package onnxruntime-web of npm, in one pinned version, whose files are verified."""

from __future__ import annotations

import base64
import hashlib
import http.client
import importlib.metadata
import io
import os
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

from unnoise.errors import UnnoiseError, system_reason

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the package, in base64, as the registry states it."""
FILES = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
"""The files of the package that the page needs -> their SHA-256."""
REGISTRY = "npm_config_registry"
"""Variable that names another registry, as for npm."""

_DEFAULT = "https://registry.npmjs.org"
_TIMEOUT = 60  # seconds without a byte
_LARGEST = 100 * 2**20  # bytes of the package
_ELSEWHERE = f"download it where there is a network, by `npm pack {PACKAGE}@{VERSION}`, and name the file"


def files(source: Path | None = None) -> dict[str, bytes]:
    """Return the files of the package that the page needs, by name.

    Args:
        source: the package, a `.tgz` file or a folder into which it was unpacked or installed; None to download it.

    Raises:
        UnnoiseError: it cannot be downloaded or read, or is another version, or was changed.
    """
    if source is None:
        return _unpacked(_download(), _url())
    try:
        if source.is_dir():
            folder = next((folder for folder in (source, source / "package") if (folder / "dist").is_dir()), source)
            return {name: _checked(name, (folder / "dist" / name).read_bytes(), str(source)) for name in FILES}
        return _unpacked(source.read_bytes(), str(source))
    except OSError as error:
        raise UnnoiseError(f"{error.filename or source}: {system_reason(error, source)}") from error


def licenses(package: str, *names: str) -> dict[str, str]:
    """Return the texts of the licenses of an installed package: that of npm has none of ONNX Runtime's.

    Raises:
        UnnoiseError: it was installed without them.
    """
    found = {}
    for file in importlib.metadata.files(package) or ():
        if file.name in names and file.name not in found and file.parent.name in (package, "licenses"):
            found[file.name] = file.read_text(encoding="utf-8")
    if missing := [name for name in names if name not in found]:
        raise UnnoiseError(f"the installed package {package} has no file {missing[0]}: install it again")
    return found


def _url() -> str:
    return f"{(os.environ.get(REGISTRY) or _DEFAULT).rstrip('/')}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"


def _download() -> bytes:
    url = _url()
    if not url.startswith(("https://", "http://")):
        raise UnnoiseError(f"{REGISTRY} must be the address of a registry, https://..., not '{os.environ[REGISTRY]}'")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
            return answer.read(_LARGEST)
    except urllib.error.HTTPError as error:
        raise UnnoiseError(f"cannot download {url}: status {error.code}: {_ELSEWHERE}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UnnoiseError(f"cannot download {url}: {reason}: {_ELSEWHERE}") from error


def _unpacked(package: bytes, source: str) -> dict[str, bytes]:
    if base64.b64encode(hashlib.sha512(package).digest()).decode() != INTEGRITY:
        raise UnnoiseError(f"{source} is not {PACKAGE} {VERSION}, or is damaged: its SHA-512 differs")
    found = {}
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for name in FILES:
            member = archive.extractfile(f"package/dist/{name}")
            found[name] = _checked(name, member.read() if member else b"", source)
    return found


def _checked(name: str, data: bytes, source: str) -> bytes:
    if hashlib.sha256(data).hexdigest() != FILES[name]:
        raise UnnoiseError(f"{source}: {name} is not that of {PACKAGE} {VERSION}: its SHA-256 differs")
    return data
