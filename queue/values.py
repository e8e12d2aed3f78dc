# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON values that come from outside the engine: copied and checked where they come in.

A copy, because the caller may go on changing what it handed over while another thread writes it to disk. Checked, because one
value that JSON cannot express would otherwise be found only there, when it is too late to refuse it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from .contract import Json
from .errors import MotionQueueError

MAX_DEPTH = 32
MAX_VALUES = 100_000
MAX_CHARACTERS = 4_000_000

_LEAVES = frozenset({str, int, bool, type(None)})


def plain_copy(value: Mapping[str, Json], what: str) -> dict[str, Json]:
    """An independent copy of a JSON object. `MotionQueueError` bad_value, naming the place, when it is none or is too large."""
    if not value:
        return {}
    budget = [MAX_VALUES, MAX_CHARACTERS]
    if not isinstance(value, Mapping):
        raise _bad(what, "", f"is {type(value).__name__} and not an object")
    return _object(value, what, "", 0, budget)


def _object(value: Mapping[str, Json], what: str, place: str, depth: int, budget: list[int]) -> dict[str, Json]:
    copy: dict[str, Json] = {}
    for key, item in value.items():
        if type(key) is not str:
            if not isinstance(key, str):
                raise _bad(what, place, f"has the key {key!r}, which is no text")
            key = str(key)  # noqa: PLW2901
        budget[1] -= len(key)
        characters = len(item) if type(item) is str else 0
        if type(item) in _LEAVES and budget[0] > 0 and budget[1] >= characters:
            # Most values; nobody will ask for their place.
            budget[0] -= 1
            budget[1] -= characters
            copy[key] = item
        else:
            copy[key] = _copy(item, what, f"{place}.{key}" if place else key, depth, budget)
    return copy


def _copy(value: Json, what: str, place: str, depth: int, budget: list[int]) -> Json:
    budget[0] -= 1
    kind = type(value)
    if kind is str:
        budget[1] -= len(value)
    if budget[0] < 0 or budget[1] < 0:
        raise _bad(
            what, "", f"is too large (at most {MAX_VALUES} values and {MAX_CHARACTERS} characters; keep large data in files)"
        )
    if kind in _LEAVES:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise _bad(what, place, f"is {value!r}, which JSON cannot express")
        return value
    if depth >= MAX_DEPTH:
        raise _bad(what, place, f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return _object(value, what, place, depth + 1, budget)
    if isinstance(value, list | tuple):
        return [_copy(item, what, f"{place}[{i}]", depth + 1, budget) for i, item in enumerate(value)]
    # Enum members and other subclasses are stored as what they are made of.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _copy(float(value), what, place, depth, budget)
    raise _bad(what, place, f"is a {kind.__name__}, which is no JSON value")


def _bad(what: str, place: str, problem: str) -> MotionQueueError:
    return MotionQueueError(
        "bad_value",
        f"{what[0].upper()}{what[1:]} cannot be stored: {place or 'it'} {problem}.",
        details={place: problem} if place else None,
    )
