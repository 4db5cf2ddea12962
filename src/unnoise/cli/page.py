"""`unnoise page`: the web page as static files, which needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unnoise.cli.console import print_line


def page(
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder; any web host can serve it.")],
    onnxruntime: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.tgz|DIR",
            help="The npm package onnxruntime-web, as `npm pack` or `npm install` left it. Default: it is downloaded.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a folder that this command has written.")
    ] = False,
) -> None:
    """Write the web page as static files: the browser itself denoises, and no image leaves it.

    ONNX Runtime for browsers is downloaded from the registry of npm (npm_config_registry names another one).
    """
    from unnoise.page.build import build

    size = build(out, onnxruntime, overwrite=overwrite)
    print_line(f"{out}: {size / 1e6:.0f} MB; to try it: python -m http.server -d {out}, and open http://localhost:8000")
