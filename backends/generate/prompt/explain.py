# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of a prompt in words, for people: what was understood, when it happens, which words were not used, and what of the
motion is none of the model's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import degrees
from typing import Any

from ..timeline import Control, Segment, Timeline
from .actions import ACTIONS


def known_actions(vocabulary: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Actions that the model was taught, each with a prompt that has it."""
    return tuple((word, action.example) for word, action in ACTIONS.items() if word in vocabulary)


def explain(timeline: Timeline) -> str:
    """Several lines: the parts with their times, then misspelt and unused words."""
    lines = []
    begin, exact = 0.0, True
    for number, segment in enumerate(timeline.segments, 1):
        exact = exact and segment.seconds is not None
        seconds = (ACTIONS[segment.action].seconds if segment.seconds is None else segment.seconds) * segment.repeats
        about = "" if exact else "about "
        lines.append(f"{number}. {about}{begin:.1f}–{begin + seconds:.1f} s: {_said(segment)}")
        begin += seconds
    lines += [f"“{written}” was read as “{taken}”." for written, taken in timeline.corrected]
    if timeline.unmatched:
        lines.append("Not used, because the model does not know it: " + ", ".join(timeline.unmatched) + ".")
    else:
        lines.append("Every word was understood.")
    return "\n".join(lines)


def explain_retrieved(found: Sequence[Mapping[str, Any]]) -> str:
    """Of `retrieved` in a generated motion's record: which stretches are training clips. Empty where none is."""
    parts = []
    for piece in found:
        end = piece["start"] + piece["seconds"]
        parts.append(f"{piece['start']:.1f}–{end:.1f} s {piece['clip']} ({100 * piece['share']:.0f} %)")
    return f"Follows training clips: {', '.join(parts)}." if parts else ""


def _said(segment: Segment) -> str:
    parts = [" ".join(segment.words) or segment.action]
    if segment.repeats > 1:
        parts.append(f"{segment.repeats} times")
    if segment.seconds is None:
        parts.append("length chosen by the model")
    else:
        parts.append(f"{segment.seconds:g} s{' each' if segment.repeats > 1 else ''}")
    return "; ".join(parts + _way(segment.control))


def _way(control: Control) -> list[str]:
    found = []
    if control.forward == 0.0 and control.left == 0.0:
        found.append("stays where it is")
    else:
        if control.forward:
            found.append(f"{abs(control.forward):g} m/s {'forward' if control.forward > 0 else 'backward'}")
        if control.left:
            found.append(f"{abs(control.left):g} m/s to its {'left' if control.left > 0 else 'right'}")
    if control.turn:
        found.append(f"turns {abs(degrees(control.turn)):.0f}° to the {'left' if control.turn > 0 else 'right'}")
    return found
