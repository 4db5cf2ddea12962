"""The one exception whose message is meant for the user."""

from __future__ import annotations


class UnnoiseError(ValueError):
    """A mistake in the call or its input; the message is one line: what is wrong and what to do.

    The command line prints it and exits with a status; the service returns it as a problem document. Any other
    exception is a bug in this package.
    """


UNEXPECTED = "unexpected error"
"""Ends, in parentheses, the line of an error that is not the user's."""


def one_line(error: Exception) -> str:
    """Format any exception as one line; a bug is marked as `UNEXPECTED`."""
    if isinstance(error, UnnoiseError):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = "out of memory: use a smaller image or a larger machine"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = f"{type(error).__name__}: {error} ({UNEXPECTED})"
    return " ".join(text.split())
