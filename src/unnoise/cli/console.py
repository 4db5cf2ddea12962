"""Terminal output: lines, and progress bars below them.

Bars are drawn on standard error. If standard output is a terminal too, rich prints its lines above the bar; a pipe
gets every line unchanged.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from unnoise.errors import UNEXPECTED

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from unnoise.training.state import ProgressEvent


def print_line(text: object) -> None:
    """Print a line and flush; `typer.echo` would bypass rich's redirection and write into the bar."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_error(text: str) -> None:
    """Print an error message, one line on standard error."""
    if text.endswith(f"({UNEXPECTED})"):
        text += "; run it with --debug for a traceback"
    sys.stderr.write(f"unnoise: {text}\n")


def print_note(text: str) -> None:
    """Print a note, neither a result nor an error, one line on standard error."""
    sys.stderr.write(f"unnoise: {text}\n")


@contextlib.contextmanager
def over_files(count: int) -> Iterator[Callable[[str, float], None]]:
    """Show a progress bar over `count` files; yields a function of the current file and the number of files done."""
    if not sys.stderr.isatty():
        yield lambda name, done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TimeRemainingColumn

    amount = MofNCompleteColumn() if count > 1 else TaskProgressColumn()
    with _progress(_text("description"), BarColumn(), amount, TimeRemainingColumn()) as progress:
        bar = progress.add_task("", total=count)
        yield lambda name, done: progress.update(bar, description=name, completed=done)


@contextlib.contextmanager
def line() -> Iterator[Callable[[str], None]]:
    """Show the latest status line beside a spinner."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.progress import SpinnerColumn

    with _progress(SpinnerColumn(), _text("description")) as progress:
        spinner = progress.add_task("")
        yield lambda text: progress.update(spinner, description=text)


@contextlib.contextmanager
def over_training() -> Iterator[Callable[[ProgressEvent], None]]:
    """Show a bar with loss, PSNR and time left, and a line per validation; in a pipe, only the lines."""
    if not sys.stderr.isatty():
        yield _print_validation
        return
    from rich.progress import BarColumn, TimeElapsedColumn

    columns = (_text("description"), BarColumn(), TimeElapsedColumn(), _text("fields[left]"))
    with _progress(*columns, transient=False) as progress:
        bar = progress.add_task("", total=1.0, left="")

        def show(event: ProgressEvent) -> None:
            left = f"{datetime.timedelta(seconds=round(event.seconds_left))} left"
            progress.update(bar, completed=event.share, description=_values(event, "loss", "psnr"), left=left)
            if event.validated:
                progress.console.print(_values(event))

        yield show


def _progress(*columns: ProgressColumn, transient: bool = True) -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    return Progress(*columns, console=console, transient=transient, redirect_stdout=sys.stdout.isatty())


def _text(field: str) -> Any:
    from rich.progress import TextColumn

    return TextColumn(f"{{task.{field}}}", markup=False)  # a file may be called [red]


def _print_validation(event: ProgressEvent) -> None:
    if event.validated:
        sys.stderr.write(f"{_values(event)}\n")


def _values(event: ProgressEvent, *keys: str) -> str:
    values = (f"{key} {value:.4g}" for key, value in event.values.items() if key in (keys or event.values))
    return f"step {event.step}: {', '.join(values)}"
