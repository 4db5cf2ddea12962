"""What is shown while work goes on: lines, and on a terminal bars below them.

Bars are drawn on standard error. Where standard output is a terminal too, rich takes the lines for it and draws them
above the bar; a pipe gets every line as it is.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from unnoise.training.trainer import ProgressEvent


def print_line(text: object) -> None:
    """Print a line, at once; `typer.echo` would write into the bar, since it goes round what rich puts before it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_error(text: str) -> None:
    """Tell an error, in one line."""
    sys.stderr.write(f"unnoise: {text}\n")


def print_note(text: str) -> None:
    """Tell, in one line, what is neither a result nor an error."""
    sys.stderr.write(f"unnoise: {text}\n")


@contextlib.contextmanager
def over_files(count: int) -> Iterator[Callable[[str, float], None]]:
    """Show a bar over `count` files; what is yielded is called with the file at hand and how many files are done."""
    if not sys.stderr.isatty():
        yield lambda name, done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TimeRemainingColumn

    amount = MofNCompleteColumn() if count > 1 else TaskProgressColumn()
    with _drawn(_text("description"), BarColumn(), amount, TimeRemainingColumn()) as progress:
        bar = progress.add_task("", total=count)
        yield lambda name, done: progress.update(bar, description=name, completed=done)


@contextlib.contextmanager
def line() -> Iterator[Callable[[str], None]]:
    """Show the line that was said last."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.progress import SpinnerColumn

    with _drawn(SpinnerColumn(), _text("description")) as progress:
        spinner = progress.add_task("")
        yield lambda text: progress.update(spinner, description=text)


@contextlib.contextmanager
def over_training() -> Iterator[Callable[[ProgressEvent], None]]:
    """Show a bar with loss, PSNR and time left, and a line for every validation; in a pipe, the lines alone."""
    if not sys.stderr.isatty():
        yield _tell
        return
    from rich.progress import BarColumn, TimeElapsedColumn

    columns = (_text("description"), BarColumn(), TimeElapsedColumn(), _text("fields[left]"))
    with _drawn(*columns, transient=False) as progress:
        bar = progress.add_task("", total=1.0, left="")

        def watch(look: ProgressEvent) -> None:
            left = f"{datetime.timedelta(seconds=round(look.seconds_left))} left"
            progress.update(bar, completed=look.share, description=_told(look, "loss", "psnr"), left=left)
            if look.validated:
                progress.console.print(_told(look))

        yield watch


def _drawn(*columns: ProgressColumn, transient: bool = True) -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    return Progress(*columns, console=console, transient=transient, redirect_stdout=sys.stdout.isatty())


def _text(field: str) -> Any:
    from rich.progress import TextColumn

    return TextColumn(f"{{task.{field}}}", markup=False)  # a file may be called [red]


def _tell(look: ProgressEvent) -> None:
    if look.validated:
        sys.stderr.write(f"{_told(look)}\n")


def _told(look: ProgressEvent, *keys: str) -> str:
    values = (f"{key} {value:.4g}" for key, value in look.values.items() if key in (keys or look.values))
    return f"step {look.step}: {', '.join(values)}"
