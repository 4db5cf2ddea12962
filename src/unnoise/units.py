"""Noise levels in 8-bit units, as the literature gives them, and as shares of the value range.

Users, recipes and tables write `gaussian:25` for a standard deviation of 25/255; arrays and networks use [0, 1].
"""

from __future__ import annotations

from typing import Any, overload

from unnoise.errors import UnnoiseError

FULL_SCALE = 255.0
"""White in 8-bit units."""


@overload
def to_8bit(value: float) -> float: ...
@overload
def to_8bit(value: None) -> None: ...
@overload
def to_8bit(value: float | None) -> float | None: ...


def to_8bit(value: float | None) -> float | None:
    """Convert a level from [0, 1] units to 8-bit units; None stays None.

    >>> to_8bit(0.1)
    25.5
    """
    return None if value is None else value * FULL_SCALE


def as_number(value: Any, name: str) -> float:
    """Return an argument as a number: a number, or the text of one.

    Args:
        value: the argument.
        name: what it is, for the message.

    Raises:
        UnnoiseError: it is neither.

    >>> as_number("25", "sigma")
    25.0
    """
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        shown = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
        raise UnnoiseError(f"{name} must be a number, not {shown}") from error


@overload
def from_8bit(value: float) -> float: ...
@overload
def from_8bit(value: None) -> None: ...
@overload
def from_8bit(value: float | None) -> float | None: ...


def from_8bit(value: float | None) -> float | None:
    """Convert a level from 8-bit units to [0, 1] units; None stays None.

    >>> from_8bit(51)
    0.2
    """
    return None if value is None else value / FULL_SCALE
