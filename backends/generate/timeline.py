# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prompt asks for, as a list of segments in time: the values that the prompt's reader makes and the generator follows.

Knows neither words nor networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...queue.contract import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """How the root moves in a segment. What is None is left to the model.

    The figure's own frame: forward is where it faces, left is its left. A turn is spread over the segment.
    """

    forward: float | None = None  # metres per second, negative backward
    left: float | None = None  # metres per second, negative to the right
    turn: float | None = None  # radians over the whole segment, left positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One thing after the other: what is done, for how long and where to."""

    text: str  # the part of the prompt it was read from
    words: tuple[str, ...]  # canonical words the model is given, in the prompt's order
    action: str  # the canonical word of the main action, "walk"
    seconds: float | None = None  # None: the model's estimate
    repeats: int = 1  # "twice" is 2
    control: Control = field(default_factory=Control)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A prompt that was understood, at least in part."""

    prompt: str
    segments: tuple[Segment, ...]  # at least one
    matched: tuple[str, ...]  # words of the prompt that were used, as written
    unmatched: tuple[str, ...]  # words of the prompt that mean nothing to the model, as written, in order
    corrected: tuple[tuple[str, str], ...] = ()  # misspelt words as written, and what they were taken for

    def to_json(self) -> Mapping[str, Json]:
        """The timeline as it is shown in the job's record."""
        return {
            "prompt": self.prompt,
            "segments": [
                {
                    "text": s.text,
                    "words": list(s.words),
                    "action": s.action,
                    "seconds": s.seconds,
                    "repeats": s.repeats,
                    "forward": s.control.forward,
                    "left": s.control.left,
                    "turn": s.control.turn,
                }
                for s in self.segments
            ],
            "matched": list(self.matched),
            "unmatched": list(self.unmatched),
            "corrected": [list(pair) for pair in self.corrected],
        }
