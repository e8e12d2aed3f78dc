# SPDX-License-Identifier: GPL-3.0-or-later
"""What a value in a payload may be: functions that say what is wrong with it, in words, or nothing. Knows no option by name."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..queue.contract import Json

Check = Callable[[Json], str]


def number(low: float, high: float) -> Check:
    def check(value: Json) -> str:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high
        return "" if good else f"must be a number from {low:g} to {high:g}"

    return check


def whole(low: int, high: int) -> Check:
    def check(value: Json) -> str:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return "" if good else f"must be a whole number from {low} to {high}"

    return check


def flag(value: Json) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def one_of(*allowed: str) -> Check:
    def check(value: Json) -> str:
        return "" if isinstance(value, str) and value in allowed else f"must be one of {', '.join(allowed)}"

    return check
