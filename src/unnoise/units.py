"""Noise levels in 8-bit units, as the literature gives them, and as shares of the value range.

Users, recipes and tables write `gaussian:25` for a standard deviation of 25/255; arrays and networks use [0, 1].
"""

from __future__ import annotations

from typing import overload

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
