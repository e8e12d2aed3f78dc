# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests of the reader of prompts write down what a prompt was read as."""

from __future__ import annotations

from math import degrees

from motion_queue.backends.generate.prompt import lexicon, read_prompt
from motion_queue.backends.generate.timeline import Segment
from motion_queue.queue.errors import MotionQueueError

# What the training split of the motion data teaches: all canonical words but those that only the validation split has.
_NOT_TAUGHT = {"careful", "cartwheel", "diagonal", "flip", "handspring", "pull", "uneven"}
VOCABULARY = frozenset(lexicon.SYNONYMS) - _NOT_TAUGHT


def shown(prompt: str) -> str:
    """One line per segment, then the words that were not used and those that were corrected; or the code of the error."""
    try:
        timeline = read_prompt(prompt, vocabulary=VOCABULARY)
    except MotionQueueError as error:
        return f"  ! {error.code}"
    lines = [f"  {_segment(segment)}" for segment in timeline.segments]
    if timeline.unmatched:
        lines.append("  unused: " + " ".join(timeline.unmatched))
    lines += [f"  {written} -> {taken}" for written, taken in timeline.corrected]
    return "\n".join(lines)


def _segment(segment: Segment) -> str:
    """`action: words` and what the prompt says of time and way: `3s`, `x2`, `forward 1.1`, `left 0.6`, `turn 90`."""
    parts = [f"{segment.action}: {' '.join(segment.words)}"]
    parts += [] if segment.seconds is None else [f"{segment.seconds:g}s"]
    parts += [] if segment.repeats == 1 else [f"x{segment.repeats}"]
    control = segment.control
    parts += [] if control.forward is None else [f"forward {control.forward:g}"]
    parts += [] if not control.left else [f"left {control.left:g}"]
    parts += [] if not control.turn else [f"turn {degrees(control.turn):.0f}"]
    return ", ".join(parts)
