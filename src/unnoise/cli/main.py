"""The command line: parse, call, print.

`unnoise PATH...` denoises files; every other command has a name. Errors are one line on standard error, with a
traceback only if `--debug` is given. Exit status: 0 success, 1 some inputs failed and the others are done, 2 wrong
usage or every input failed, 130 interrupted.
"""

from __future__ import annotations

import difflib
import io
import logging
import os
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from unnoise._version import __version__
from unnoise.cli import calibrate, clean, data, demo, evaluate, inspect, list as listing, page, serve, table, train
from unnoise.cli.console import print_error, print_line
from unnoise.cli.options import with_address
from unnoise.errors import UnnoiseError, one_line

HELP = ("-h", "--help")
_SEVERAL = ("--noise", "--dark", "--metrics", "--labels")
"""Options that several values may follow."""
COMPLETION = ("--install-completion", "--show-completion")

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": list(HELP)},
)

log = logging.getLogger(__name__)


def _show_version(value: bool) -> None:
    if value:
        print_line(f"unnoise {__version__}")
        raise typer.Exit


@app.callback()
def unnoise(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_show_version)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print a traceback with an error; for every command.")] = False,
) -> None:
    """Remove noise from images.

    To denoise images, no command is needed: unnoise PATH... [-o OUT]. Its options: unnoise clean --help.
    """


app.command()(clean.clean)
app.command()(inspect.inspect)
app.command()(inspect.add)
app.command()(calibrate.calibrate)
app.command()(inspect.models)
app.command("list")(listing.list_members)
app.command()(evaluate.evaluate)
app.command()(train.train)
app.command()(train.export)
app.command()(train.quantize)
app.add_typer(table.app, name="table")
app.add_typer(data.app, name="data")
app.command()(serve.serve)
app.command()(page.page)
app.command()(demo.demo)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "--debug" in words:
        words.remove("--debug")
        logging.basicConfig(level=logging.WARNING)
        logging.getLogger("unnoise").setLevel(logging.DEBUG)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # file names need not be valid text
    command: Any = typer.main.get_command(app)
    _complete_clean(command.commands)
    try:
        expanded = _with_command(_spread(with_address(words)), command.commands) if words else ["--help"]
        status = command.main(expanded, prog_name="unnoise", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        log.debug("", exc_info=True)
        print_error(_usage_line(error) if hasattr(error, "format_message") else one_line(error))
        sys.exit(2)
    sys.exit((status or 0) if words else 2)


def _with_command(words: list[str], commands: Collection[str]) -> list[str]:
    """Insert `clean` where no command is given.

    Raises:
        UnnoiseError: the first word is nearly a command, and no such file exists.
    """
    first = words[0]
    if first in (*commands, *HELP, "--version", *COMPLETION):
        return words
    near = difflib.get_close_matches(first, [*commands, "--help", "--version"], n=1)
    if near and first.isalpha() and not Path(first).exists():
        raise UnnoiseError(f"no file, folder or command '{first}': did you mean unnoise {near[0]}?")
    return ["clean", *words]


def _complete_clean(commands: Collection[str]) -> None:
    """Let a shell complete the options of `clean` where no command is given: insert it into the line to complete."""
    if "_UNNOISE_COMPLETE" not in os.environ:
        return
    for variable in ("COMP_WORDS", "_TYPER_COMPLETE_ARGS"):  # of bash; of zsh, fish and PowerShell
        line = re.fullmatch(r"(\S+\s+)(\S+)(\s.*)", os.environ.get(variable, ""), re.DOTALL)
        if line and line[2] not in (*commands, *HELP):
            os.environ[variable] = f"{line[1]}clean {line[2]}{line[3]}"
            if variable == "COMP_WORDS":
                os.environ["COMP_CWORD"] = str(int(os.environ.get("COMP_CWORD", "0")) + 1)


def _spread(words: list[str]) -> list[str]:
    """Let several values follow one option of `_SEVERAL`: repeat it before each of them."""
    spread: list[str] = []
    repeating = ""
    for word in words:
        if word.startswith("-") and word != "-":
            repeating = word if word in _SEVERAL else ""
            if repeating:
                continue
        elif repeating:
            spread.append(repeating)
        spread.append(word)
    return spread


def _usage_line(error: Any) -> str:
    """Format a usage error of the parser, such as an unknown option, with the command whose help explains it."""
    context = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split()).rstrip(".")
    return f"{text}; see {context.command_path if context else 'unnoise'} --help"
