# SPDX-License-Identifier: GPL-3.0-or-later
"""From a timeline to what the token model is asked: how many tokens each part has, and where the root goes in them.

Knows the timeline and what words lead one to expect; neither networks nor how tokens are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...motion.quat import Array
from ...queue.errors import MotionQueueError
from .network import CONTROLS, STRIDE, Expected, Floats
from .options import MAX_SECONDS, MIN_SECONDS
from .representation import FPS
from .timeline import Segment, Timeline

TOKEN_SECONDS = STRIDE / FPS
_SHORTEST_GUESS, _LONGEST_GUESS = 2.0, 6.0  # seconds of one part that nobody gave a length
_SHORTEST_WAY = 3.6  # of one that goes somewhere: clips of walks are cut short, and a way takes some steps to be seen
_TURN_PER_SECOND = np.radians(70.0)  # how fast people turn who are only told to turn
_EASE = 2.0  # tokens over which one part's path becomes the next one's


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One segment, once: words and tokens. Its place in the control track is from `start` on."""

    segment: Segment
    start: int  # first token
    tokens: int

    @property
    def stop(self) -> int:
        return self.start + self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    parts: tuple[Part, ...]
    control: Floats  # [T, 6]: metres a second to the left and forward, radians a second of turn, then which are given
    frames: int  # of the motion; at most four a token

    @property
    def tokens(self) -> int:
        return self.parts[-1].stop

    @property
    def seconds(self) -> float:
        return self.frames / FPS


def make_plan(timeline: Timeline, expected: Sequence[Expected], seconds: float | None) -> Plan:
    """Lengths and paths of all parts. `seconds` is the whole length a person asked for; parts with a length of their own keep it
    where that is possible.

    Raises `MotionQueueError("invalid_duration")`.
    """
    asked = [(segment, guess) for segment, guess in zip(timeline.segments, expected, strict=True) for _ in range(segment.repeats)]
    lengths = np.array([_length(segment, guess) for segment, guess in asked])
    if seconds is not None:
        if not (np.isfinite(seconds) and MIN_SECONDS <= seconds <= MAX_SECONDS):
            raise MotionQueueError(
                "invalid_duration",
                f"A motion can be {MIN_SECONDS:g} to {MAX_SECONDS:g} seconds long, not {seconds:g}. Ask for such a length.",
            )
        lengths = _fitted(lengths, np.array([segment.seconds is not None for segment, _ in asked]), seconds)
    total = float(lengths.sum())
    if total > MAX_SECONDS + 1e-6:  # lengths that were fitted add up to a little more
        raise MotionQueueError(
            "invalid_duration",
            f"The prompt asks for {total:.0f} seconds in all; {MAX_SECONDS:g} is the most. Ask for less, or for several motions.",
        )
    # Edges are rounded, not lengths, so that what is lost or won does not add up; the last token may be cut.
    edges = np.concatenate([[0.0], np.round(np.cumsum(lengths)[:-1] / TOKEN_SECONDS), [np.ceil(total / TOKEN_SECONDS - 1e-6)]])
    tokens = np.maximum(np.diff(edges).astype(int), round(MIN_SECONDS / TOKEN_SECONDS) // 2)
    parts, start = [], 0
    for (segment, _), count in zip(asked, tokens.tolist(), strict=True):
        parts.append(Part(segment=segment, start=start, tokens=count))
        start += count
    return Plan(parts=tuple(parts), control=_control(parts), frames=min(start * STRIDE, round(total * FPS)))


def _length(segment: Segment, guess: Expected) -> float:
    if segment.seconds is not None:
        return segment.seconds
    turn = segment.control.turn
    if turn is not None and segment.action == "turn":
        return float(np.clip(abs(turn) / _TURN_PER_SECOND + 0.6, 1.4, _LONGEST_GUESS))
    goes = bool(segment.control.forward or segment.control.left)
    return float(np.clip(guess.seconds, _SHORTEST_WAY if goes else _SHORTEST_GUESS, _LONGEST_GUESS))


def _fitted(lengths: Array, fixed: NDArray[np.bool_], seconds: float) -> Array:
    """Lengths that sum to `seconds`: what has no length of its own gives or takes first."""
    rest = seconds - float(lengths[fixed].sum())
    free = lengths[~fixed]
    if len(free) and rest >= 0.5 * MIN_SECONDS * len(free):
        out = lengths.copy()
        out[~fixed] = free * (rest / free.sum())
        return out
    return np.asarray(lengths * (seconds / lengths.sum()))


def _control(parts: Sequence[Part]) -> Floats:
    total = parts[-1].stop
    values, given = np.zeros((total, CONTROLS)), np.zeros((total, CONTROLS))
    for part in parts:
        asked = part.segment.control
        moves = asked.forward is not None or asked.left is not None
        # Who names a direction and no turn means a straight path.
        row = (
            asked.left if asked.left is not None else 0.0 if moves else None,
            asked.forward if asked.forward is not None else 0.0 if moves else None,
            asked.turn / (part.tokens * TOKEN_SECONDS) if asked.turn is not None else 0.0 if moves else None,
        )
        for channel, value in enumerate(row):
            if value is not None:
                values[part.start : part.stop, channel] = value
                given[part.start : part.stop, channel] = 1.0
    return np.concatenate([_eased(values, given, parts), given], axis=1).astype(np.float32)


def _eased(values: Array, given: Array, parts: Sequence[Part]) -> Array:
    """Paths without a step from one part to the next; what a part turns in all stays what was asked."""
    reach = int(3 * _EASE)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _EASE) ** 2)
    out = values.copy()
    for channel in range(CONTROLS):
        if len(parts) > 1:
            # Not mode="same": of a track shorter than the kernel that is as long as the kernel.
            weight, mixed = (np.convolve(track[:, channel], kernel)[reach : reach + len(track)] for track in (given, values))
            mixed /= np.maximum(weight, 1e-9)
            out[:, channel] = np.where(given[:, channel] > 0, mixed, 0.0)
    for part in parts:
        where = slice(part.start, part.stop)
        wanted, found = values[where, 2].sum(), out[where, 2].sum()
        if abs(found) > 1e-6 and abs(wanted) > 1e-6:
            out[where, 2] *= np.clip(wanted / found, 0.5, 2.0)
    return out
