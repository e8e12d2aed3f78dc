# SPDX-License-Identifier: GPL-3.0-or-later
"""What a BVH file says of its own length, read from its first bytes: for predictions only, the reader has the last word.

Standard library only: it runs where jobs are submitted, and costs a regular expression.
"""

from __future__ import annotations

import re
from typing import NamedTuple

ENOUGH = 1 << 20  # bytes; a skeleton of 2,000 joints takes less
_MOST_FRAMES = 1_000_000  # beyond it the reader refuses
_HEADER = re.compile(
    rb"(?i)^[ \t]*MOTION\s+Frames[ \t]*:?[ \t]*(\d{1,9})\s+Frame[ \t]*Time[ \t]*:?[ \t]*([0-9][0-9.eE+-]{0,30})", re.MULTILINE
)


class Declared(NamedTuple):
    frames: int
    fps: float


def declared(head: bytes) -> Declared | None:
    """Frames and frames a second as the first bytes of a file declare them; None where they say nothing that could be true."""
    found = _HEADER.search(head.replace(b"\r", b"\n"))
    if found is None:
        return None
    frames = int(found[1])
    try:
        seconds = float(found[2])
    except ValueError:
        return None
    if not (0 < frames <= _MOST_FRAMES and 1e-5 <= seconds <= 60.0):
        return None
    return Declared(frames, round(1.0 / seconds, 3))
