"""`unnoise serve`: the HTTP service and its web page."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from unnoise.cli.console import print_line, print_note
from unnoise.cli.options import Engine
from unnoise.errors import UnnoiseError
from unnoise.optional import require
from unnoise.service.limits import Limits

KEY = "UNNOISE_KEY"
SHORTEST_KEY = 16
"""Characters: 64 bits as hexadecimal digits, which cannot be found by trying at any rate that a service answers at."""
LIMITS = Limits()
"""The defaults of the options."""


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 accepts connections from other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free port.")] = 8000,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            envvar="UNNOISE_ALLOWED_HOST",
            help="Accept requests for this host name; may be repeated.",
        ),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help=f"File that holds the bearer key. Default: the variable {KEY}.")
    ] = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Serve other machines without a key and for any host name.")
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="[NAME=]FILE",
            help="Let requests name this model file, too; may be repeated. Default name: that of the file.",
        ),
    ] = None,
    engine: Engine = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Images processed at the same time. Default: one per core, at most 4.")
    ] = None,
    queue_size: Annotated[int, typer.Option(min=0, help="Images that may wait for a worker.")] = LIMITS.queue_size,
    max_bytes: Annotated[int, typer.Option(min=1, help="Largest file, in bytes.")] = LIMITS.body_bytes,
    max_pixels: Annotated[int, typer.Option(min=1, help="Most pixels per image, all pages together.")] = LIMITS.pixels,
    max_pages: Annotated[int, typer.Option(min=1, help="Most pages per file.")] = LIMITS.pages,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory of the service, such as 4G. Default: three quarters of what the process may use.",
        ),
    ] = None,
    max_seconds: Annotated[float, typer.Option(min=0.001, help="Longest processing time per image.")] = LIMITS.seconds,
) -> None:
    """Start a web page and an HTTP service for denoising.

    By default it is reachable from this machine only; see --host.
    """
    for module in ("fastapi", "uvicorn", "prometheus_client", "python_multipart"):
        require(module, extra="serve")
    from unnoise.service import server
    from unnoise.service.memory import for_work
    from unnoise.service.middleware import LOCAL

    limits = Limits(
        memory=LIMITS.memory if memory is None else _size(memory),
        body_bytes=max_bytes,
        pixels=max_pixels,
        pages=max_pages,
        seconds=max_seconds,
        workers=workers or LIMITS.workers,
        queue_size=queue_size,
    )
    key = _read_key(key_file)
    if host not in LOCAL and key is None and not allowed_host:
        if not open_:
            raise UnnoiseError(
                f"other machines could use this service without a key: set {KEY} or --key-file, name the host by "
                "--allowed-host or UNNOISE_ALLOWED_HOST, or allow it by --open"
            )
        print_note("other machines can use this service without a key")
    for_work(limits.memory, limits.bodies)  # before models are opened

    def announce(address: str, work: int) -> None:
        total = limits.memory / 2**30
        print_line(f"memory: {total:.2f} GiB, of which {work / 2**30:.2f} for images; --memory changes it")
        print_line(f"open {address} in a browser; Ctrl-C stops the service")

    server.run(
        host, port, limits=limits, key=key, names=allowed_host or (), engine=engine, files=model or (),
        announce=announce,
    )  # fmt: skip


def _size(text: str) -> int:
    """Return the bytes of a size such as 4G, 512M or 2147483648; units are powers of 1024."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), flags=re.IGNORECASE)
    if found is None:
        raise UnnoiseError(f"--memory must be a size such as 4G or 512M, got '{text}'")
    return round(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


def _read_key(file: Path | None) -> str | None:
    """Return the bearer key, or None if there is none; an empty key is an error."""
    if file is None:
        key = os.environ.get(KEY)
    else:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UnnoiseError(f"{file}: cannot read the key: {getattr(error, 'strerror', None) or error}") from error
    if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
        raise UnnoiseError("the key must be printable ASCII text and not empty")
    if key is not None and len(key) < SHORTEST_KEY:
        raise UnnoiseError(f"the key must have at least {SHORTEST_KEY} characters: openssl rand -hex 32 makes one")
    return key
