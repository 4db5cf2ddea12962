"""The one exception that is meant for the person at the keyboard."""

from __future__ import annotations


class UnnoiseError(ValueError):
    """A mistake in the call or its input, told in one line: what is wrong and what to do.

    The command line prints the line and exits with a status; the service turns it into a problem document.
    Anything else that is raised is a bug of ours.
    """


def one_line(error: Exception) -> str:
    """Tell any error in one line; one that nobody foresaw is told as ours."""
    if isinstance(error, UnnoiseError):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = "out of memory: take a smaller picture, or a larger machine"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = f"{type(error).__name__}: {error} (nobody foresaw this; unnoise --debug ... shows where it happened)"
    return " ".join(text.split())
