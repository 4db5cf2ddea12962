"""The command line of the service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from unnoise.cli.clean import Engine
from unnoise.cli.console import print_line, print_note
from unnoise.errors import UnnoiseError
from unnoise.optional import require

KEY = "UNNOISE_KEY"


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to others.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")] = 8000,
    name: Annotated[list[str] | None, typer.Option(help="Host under which it may be called; several may be.")] = None,
    key_file: Annotated[Path | None, typer.Option(help=f"File of the bearer key; else the variable {KEY}.")] = None,
    engine: Engine = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Pictures at work at the same time.")] = None,
    waiting: Annotated[int | None, typer.Option(min=0, help="Pictures that may wait.")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="Of one picture's file.")] = None,
    max_pixels: Annotated[int | None, typer.Option(min=1, help="Of one picture, its pages together.")] = None,
    max_pages: Annotated[int | None, typer.Option(min=1, help="Of one file.")] = None,
    max_seconds: Annotated[float | None, typer.Option(min=0.001, help="Of work on one picture.")] = None,
) -> None:
    """Serve a page to drop pictures on, and an HTTP service.

    Nothing is opened to other machines unless --host says so.
    """
    for module in ("fastapi", "uvicorn", "prometheus_client", "python_multipart"):
        require(module, extra="serve")
    from unnoise.service import server
    from unnoise.service.limits import Limits
    from unnoise.service.middleware import LOCAL

    asked = {"workers": workers, "queue_size": waiting, "body_bytes": max_bytes, "pixels": max_pixels}
    asked |= {"pages": max_pages, "seconds": max_seconds}
    limits = Limits(**{limit: value for limit, value in asked.items() if value is not None})  # type: ignore[arg-type]
    key = _key(key_file)
    if host not in LOCAL and key is None:
        print_note("open to other machines, and no key is asked for: see --key-file")
    if host in LOCAL and port:
        print_line(f"open http://{host}:{port} in a browser; Ctrl-C ends it")
    server.run(host, port, limits=limits, key=key, names=name or (), engine=engine)


def _key(file: Path | None) -> str | None:
    """Return the key that is to be shown, or None; an empty one is a mistake, and not none."""
    if file is None:
        key = os.environ.get(KEY)
    else:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UnnoiseError(f"{file}: no key can be read: {getattr(error, 'strerror', None) or error}") from error
    if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
        raise UnnoiseError("the key must be of printable ASCII characters, and not empty")
    return key
