# SPDX-License-Identifier: GPL-3.0-or-later
"""How the root moves for what a segment says: speeds, directions and turns, from words to numbers.

Knows actions and their usual pace, but no sentences.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from math import pi, sqrt

from ..timeline import Control
from .actions import ACTIONS, FULL_TURN, PACES, SLIGHT_TURN, TURN, TURN_AROUND, Action, Kind, Pace

SIDES = ("left", "right")
WAYS = frozenset(("forward", "backward", *SIDES, "sideways", "diagonal"))
ARM_POSES = ("raise", "hold", "stretch", "lower", "reach", "swing")
PATHS = frozenset(("in-place", "circle", "curve", "around", "full", "three-quarter", "slight"))


@dataclass(slots=True, kw_only=True)
class Entry:
    """One action of a segment, with what was said of its way."""

    word: str
    ways: list[str] = field(default_factory=list)  # of WAYS
    paths: set[str] = field(default_factory=set)  # of PATHS
    angle: float | None = None  # radians, not negative

    @property
    def action(self) -> Action:
        return ACTIONS[self.word]

    @property
    def rank(self) -> float:
        """How much of the body it takes. "Moves" and "raises the arm" say less than what is done meanwhile."""
        if self.word == "move":
            return 2.5
        return self.action.kind.value - (0.5 if self.word in ARM_POSES else 0.0)


def control_of(main: Entry, entries: Sequence[Entry], words: Collection[str], speed: float | None) -> Control:
    """The root's motion in a segment. `words` are its canonical words, `speed` what the prompt says in metres per second."""
    turn = _turn(main, entries)
    if main.action.kind is Kind.TURN:
        return Control(forward=0.0, left=0.0, turn=turn)
    if main.word in ("lie", "fall", "rise"):
        return Control(turn=turn)
    if main.action.kind in (Kind.STATIC, Kind.UPPER, Kind.POSTURE) or main.word == "bow":
        return Control(forward=0.0, left=0.0, turn=turn)
    if any("in-place" in entry.paths for entry in entries):
        return Control(forward=0.0, left=0.0, turn=turn)
    going = main if main.ways or main.action.travels else next((e for e in entries if e.word == "move"), main)
    pace = PACES.get(main.word) or (PACES["dance"] if main.action.tag == "dance" else None)
    if pace is None or not (going.ways or main.action.travels):
        return Control(turn=turn)
    forward, left = _velocity(going, pace, words, speed)
    return Control(forward=forward, left=left, turn=turn if turn is not None else 0.0 if main.action.travels else None)


def metres_per_second(control: Control) -> float:
    """The speed of the root over the ground; 0 where it stays or is free."""
    return sqrt((control.forward or 0.0) ** 2 + (control.left or 0.0) ** 2)


def _velocity(entry: Entry, pace: Pace, words: Collection[str], speed: float | None) -> tuple[float, float]:
    """Forward and left, in metres per second."""
    ways = set(entry.ways)
    if "circle" in entry.paths or "curve" in entry.paths:
        ways -= set(SIDES)  # they say which way it bends
    side = 1.0 if "left" in ways or ("sideways" in ways and "right" not in ways) else -1.0 if "right" in ways else 0.0
    along = -1.0 if "backward" in ways else 1.0 if "forward" in ways or not side or "diagonal" in ways else 0.0
    usual = pace.sideways if side and not along else pace.backward if along < 0 else pace.forward
    if speed is None:
        manner = pace.slow if "slow" in words else pace.fast if "fast" in words else pace.forward
        speed = usual * manner / pace.forward
    share = speed / sqrt(along**2 + side**2)
    return round(along * share, 3), round(side * share, 3)


def _turn(main: Entry, entries: Sequence[Entry]) -> float | None:
    """Radians of the whole segment, left positive; None where nothing is said."""
    found: float | None = None
    for entry in entries:
        angle = _angle(entry)
        if angle is None:
            continue
        ways = entry.ways
        if not set(ways) & set(SIDES):  # "a spin kick to the right"
            ways = [way for other in entries if not other.action.travels for way in other.ways]
        sign = -1.0 if "right" in ways and "left" not in ways else 1.0
        found = (found or 0.0) + sign * angle
    return None if found is None else round(found, 4)


def _angle(entry: Entry) -> float | None:
    turning = entry.action.kind is Kind.TURN
    if not turning and not entry.action.turns:
        return None
    if entry.angle is not None:
        return entry.angle
    if "three-quarter" in entry.paths:
        return 1.5 * pi
    if "circle" in entry.paths or "full" in entry.paths:
        return FULL_TURN
    if "curve" in entry.paths:
        return TURN
    if not turning:
        return None
    if entry.word == "spin":
        return FULL_TURN
    if "slight" in entry.paths:
        return SLIGHT_TURN
    return TURN_AROUND if "around" in entry.paths else TURN
