"""The one exception that is meant for the person at the keyboard."""

from __future__ import annotations


class UnnoiseError(ValueError):
    """A mistake in the call or its input, told in one line: what is wrong and what to do.

    The command line prints the line and exits with a status; the service turns it into a problem document.
    Anything else that is raised is a bug of ours.
    """
