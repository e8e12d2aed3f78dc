# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of a prompt with their units: how long, how often, how far, how fast, by what angle.

Finds them among the tokens; knows no actions and does not decide what they belong to. Values out of range are refused here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from math import isfinite, radians

from ....queue.errors import MotionQueueError
from . import lexicon
from .words import Token

MAX_SECONDS = 60.0  # of a whole prompt
MIN_SECONDS = 0.2
MAX_COUNT = 20
MAX_METRES = 100.0
MAX_STEPS = 100.0
MAX_SPEED = 10.0  # metres per second
MAX_DEGREES = 3600.0


class Measure(Enum):
    SECONDS = "seconds"
    COUNT = "count"
    METRES = "metres"
    STEPS = "steps"
    SPEED = "metres per second"
    ANGLE = "radians"


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """One number with its unit, and the tokens it was read from."""

    measure: Measure
    value: float
    first: int  # index of the first token
    last: int  # inclusive
    whole: bool = False  # said of the whole prompt: "in all"
    after: bool = False  # "after 3 seconds": how long what came before lasts

    @property
    def is_bare(self) -> bool:
        """Whether it is one number that counts the action behind it: "two punches"."""
        return self.measure is Measure.COUNT and self.first == self.last


_UNITS: dict[str, tuple[Measure, float]] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), (Measure.SECONDS, 1.0)),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), (Measure.SECONDS, 0.001)),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), (Measure.SECONDS, 60.0)),
    **dict.fromkeys(("h", "hour", "hours"), (Measure.SECONDS, 3600.0)),
    **dict.fromkeys(("x", "×", "times", "time", "repetitions", "repeats", "reps", "rounds"), (Measure.COUNT, 1.0)),
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters"), (Measure.METRES, 1.0)),
    **dict.fromkeys(("cm", "centimetre", "centimetres", "centimeter", "centimeters"), (Measure.METRES, 0.01)),
    **dict.fromkeys(("km", "kilometre", "kilometres", "kilometer", "kilometers"), (Measure.METRES, 1000.0)),
    **dict.fromkeys(("ft",), (Measure.METRES, 0.3048)),
    **dict.fromkeys(("yard", "yards"), (Measure.METRES, 0.9144)),
    **dict.fromkeys(("step", "steps", "pace", "paces", "stride", "strides"), (Measure.STEPS, 1.0)),
    **dict.fromkeys(("°", "deg", "degs", "degree", "degrees"), (Measure.ANGLE, radians(1))),
    **dict.fromkeys(("mps",), (Measure.SPEED, 1.0)),
    **dict.fromkeys(("kmh", "kph"), (Measure.SPEED, 1 / 3.6)),
    **dict.fromkeys(("mph",), (Measure.SPEED, 0.44704)),
}
_VAGUE = {"couple": 2.0, "few": 3.0, "several": 3.0}
_COUNTS = {"once": 1.0, "twice": 2.0, "thrice": 3.0}
_PARTS = {"half": 0.5, "quarter": 0.25}
_ROUND = ("turn", "circle", "rotation", "spin", "pirouette")
_ABOUT = ("about", "approximately", "roughly", "around", "exactly", "nearly", "almost")
_LEAD = ("for", "over", "during", "lasting", "lasts", "within", "in", "by", "at", "after", "through")
_SCENES = ("clip", "animation", "motion", "video", "scene", "sequence", "shot")
_WHOLE = (("in", "all"), ("in", "total"), ("all", "together"), ("altogether",), ("overall",), ("total",))
WORDS = frozenset((*_UNITS, *_VAGUE, *_COUNTS, *_PARTS, *_ROUND, *_SCENES, *_ABOUT, *_LEAD, *(w for ws in _WHOLE for w in ws)))
_LIMITS = {
    Measure.SECONDS: (MIN_SECONDS, MAX_SECONDS),
    Measure.COUNT: (1.0, float(MAX_COUNT)),
    Measure.METRES: (0.1, MAX_METRES),
    Measure.STEPS: (1.0, MAX_STEPS),
    Measure.SPEED: (0.05, MAX_SPEED),
    Measure.ANGLE: (radians(1), radians(MAX_DEGREES)),
}


def find_amounts(written: Sequence[Token], countable: Collection[str]) -> tuple[Amount, ...]:
    """Amounts of a prompt, in order. `countable` are base forms of actions: "three jumps" is a count.

    MotionQueueError `invalid_duration`, `invalid_count`, `invalid_amount`: a number that no motion can have.
    """
    texts = [token.base if not token.is_word else token.text.casefold() for token in written]
    found: list[Amount] = []
    place = 0
    while place < len(written):
        amount = _amount(written, texts, place, countable)
        if amount is None:
            place += 1
            continue
        _check(amount, written)
        amount = _with_surroundings(amount, texts)
        if found and found[-1].last >= amount.first:  # the word before was taken already
            amount = _from(amount, found[-1].last + 1)
        found.append(amount)
        place = amount.last + 1
    return tuple(found)


def _amount(written: Sequence[Token], texts: list[str], place: int, countable: Collection[str]) -> Amount | None:
    word = texts[place]
    if word in _COUNTS and not _compares(texts, place + 1):
        return Amount(measure=Measure.COUNT, value=_COUNTS[word], first=place, last=place)
    if word in ("x", "×") and _number(written, place + 1) is not None and _unit(texts, place + 2) is None:
        return Amount(measure=Measure.COUNT, value=_number(written, place + 1) or 0.0, first=place, last=place + 1)
    if word in _PARTS:
        return _fraction(texts, place)
    value, last = _number(written, place), place
    if (
        value is None
        and word in ("a", "an", "another")
        and (_unit(texts, place + 1) or (None,))[0] in (Measure.SECONDS, Measure.STEPS)
    ):
        value = 1.0
    if value is not None and word in ("a", "an", "another") and _at(texts, place + 1) == "pace":
        return None
    if value is None and word in _VAGUE:
        value = _VAGUE[word]
        last += 1 if _at(texts, place + 1) == "of" else 0
    if value is None:
        return None
    if texts[last + 1 : last + 4] == ["and", "a", "half"]:
        value, last = value + 0.5, last + 3
    if place > 0 and texts[place - 1] == "-" and (place == 1 or written[place - 2].number is None):
        value = -value
    if _at(texts, last + 1) == "-":  # "6-second"
        last += 1
    skip = (
        1
        if _at(texts, last + 1) in ("full", "more", "big", "large", "small", "long", "short", "quick", "complete", "whole")
        else 0
    )
    unit = _unit(texts, last + 1 + skip)
    if unit is not None and unit[0] is Measure.COUNT and _compares(texts, last + 2 + skip):
        return None
    if unit is not None:
        measure, factor = unit
        last += 1 + skip
        if measure is Measure.METRES and texts[last + 1 : last + 3] in (
            ["/", "s"],
            ["per", "second"],
            ["a", "second"],
            ["/", "sec"],
        ):
            measure, last = Measure.SPEED, last + 2
        elif measure is Measure.METRES and texts[last + 1 : last + 3] in (["/", "h"], ["per", "hour"], ["an", "hour"]):
            measure, factor, last = Measure.SPEED, factor / 3600, last + 2
        return Amount(measure=measure, value=value * factor, first=place, last=last)
    after = last + 1 + skip
    if word in ("a", "an") or after >= len(written):
        return _bare_angle(value, place, last)
    if value != 1 and _is_counted(written, after, countable):
        return Amount(measure=Measure.COUNT, value=value, first=place, last=last)
    return _bare_angle(value, place, last)


def _is_counted(written: Sequence[Token], place: int, countable: Collection[str]) -> bool:
    """Whether an action follows, perhaps after one word that says which: "three high jumps"."""
    following = written[place : place + 2]
    if not following or not following[0].is_word or following[0].base in lexicon.NEUTRAL:  # "two people walk"
        return False
    return following[0].base in countable or (len(following) > 1 and following[1].is_word and following[1].base in countable)


def _compares(texts: list[str], place: int) -> bool:
    """Whether what follows makes a number a comparison: "twice as fast", "3 times faster"."""
    return _at(texts, place) in ("as", "faster", "slower", "higher", "more", "longer", "further", "the")


def _bare_angle(value: float, place: int, last: int) -> Amount | None:
    """ "Does a 360", "turns 180": numbers that only an angle has."""
    if value in (90.0, 180.0, 270.0, 360.0, 540.0, 720.0):
        return Amount(measure=Measure.ANGLE, value=radians(value), first=place, last=last)
    return None


def _fraction(texts: list[str], place: int) -> Amount | None:
    part = _PARTS[texts[place]]
    at = place + 1
    if _at(texts, at) == "of":
        at += 1
    if _at(texts, at) in ("a", "an", "-"):
        at += 1
    word = _at(texts, at)
    if word.removesuffix("s") in _ROUND:
        return Amount(measure=Measure.ANGLE, value=radians(360) * part, first=place, last=at - 1)
    unit = _unit(texts, at)
    if unit is not None and unit[0] in (Measure.SECONDS, Measure.METRES):
        return Amount(measure=unit[0], value=part * unit[1], first=place, last=at)
    return None


def _with_surroundings(amount: Amount, texts: list[str]) -> Amount:
    """The same with the words around it that belong to it: "for about … in all"."""
    first, last, whole, after = amount.first, amount.last, amount.whole, False
    if first and texts[first - 1] == "-":
        first -= 1
    if first and texts[first - 1] in ("a", "an", "the", "next", "last") and amount.measure is not Measure.COUNT:
        first -= 1
    if amount.measure is not Measure.COUNT:
        first -= 1 if first and texts[first - 1] in _ABOUT else 0
        first -= 1 if first and texts[first - 1] in _LEAD else 0
        after = texts[first] == "after"
    if amount.measure is Measure.SECONDS:
        if _at(texts, last + 1) == "long":
            last += 1
        if _at(texts, last + 1) in _SCENES:
            whole = True
        for words in _WHOLE:
            if tuple(texts[last + 1 : last + 1 + len(words)]) == words:
                whole, last = True, last + len(words)
                break
            if tuple(texts[max(first - len(words), 0) : first]) == words:
                whole, first = True, first - len(words)
                break
    return Amount(measure=amount.measure, value=amount.value, first=first, last=last, whole=whole, after=after)


def _from(amount: Amount, first: int) -> Amount:
    return Amount(
        measure=amount.measure, value=amount.value, first=first, last=amount.last, whole=amount.whole, after=amount.after
    )


def _number(written: Sequence[Token], place: int) -> float | None:
    return written[place].number if place < len(written) else None


def _unit(texts: list[str], place: int) -> tuple[Measure, float] | None:
    return _UNITS.get(_at(texts, place))


def _at(texts: list[str], place: int) -> str:
    return texts[place] if 0 <= place < len(texts) else ""


def _check(amount: Amount, written: Sequence[Token]) -> None:
    low, high = _LIMITS[amount.measure]
    if isfinite(amount.value) and low - 1e-9 <= amount.value <= high + 1e-9 and not _is_broken_count(amount):
        return
    said = " ".join(token.text for token in written[amount.first : amount.last + 1])
    if amount.measure is Measure.SECONDS:
        raise MotionQueueError(
            "invalid_duration",
            f"“{said}” is no length for a motion. Ask for {low:g} to {high:g} seconds.",
            details={"prompt": f"{said}: outside {low:g} to {high:g} seconds"},
        )
    if amount.measure is Measure.COUNT:
        raise MotionQueueError(
            "invalid_count",
            f"“{said}” is more or less often than a motion can be repeated. Ask for 1 to {MAX_COUNT} times, in whole numbers.",
            details={"prompt": f"{said}: outside 1 to {MAX_COUNT}"},
        )
    shown = (low, high) if amount.measure is not Measure.ANGLE else (1.0, MAX_DEGREES)
    unit = "degrees" if amount.measure is Measure.ANGLE else amount.measure.value
    raise MotionQueueError(
        "invalid_amount",
        f"“{said}” is out of range. Ask for {shown[0]:g} to {shown[1]:g} {unit}.",
        details={"prompt": f"{said}: outside {shown[0]:g} to {shown[1]:g} {unit}"},
    )


def _is_broken_count(amount: Amount) -> bool:
    return amount.measure in (Measure.COUNT, Measure.STEPS) and amount.value != int(amount.value)
