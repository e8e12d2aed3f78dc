# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps Blender's Python from making the window wait for the queue: for the garbage collector, and for threads to take turns.

A job is some dozen objects that the collector looks at in each full collection: at 10,000 jobs 0.15 s on the main thread,
whenever anybody in this Blender allocates enough. They are no garbage, so they are put out of its sight (`gc.freeze`, which takes
microseconds) as they become many, and back as they become few. What else there is at that moment goes with them: garbage in
cycles waits until then.

A thread that computes gives Python's lock away when it is asked to, but the one that asks waits 5 ms first
(`sys.setswitchinterval`), and the main thread asks whenever it comes back from the system or from a lock. While the queue's
threads are there it waits a tenth of that.

Knows numbers only; main thread.
"""

from __future__ import annotations

import gc
import sys

_STEP = 1_000  # jobs; fewer cost less than 20 ms
_TURN = 0.0005  # seconds until a thread that computes lets another one in


class Interpreter:
    """`open` as the queue opens, `look` now and then, `close` at its end: then everything is as it was.

    Leaves the collector alone where somebody else froze objects before, and threads where they take shorter turns already.
    """

    def __init__(self) -> None:
        self._frozen_at = 0  # jobs, when it froze last
        self._turn_before: float | None = None

    def open(self) -> None:
        turn = sys.getswitchinterval()
        if self._turn_before is None and turn > _TURN:
            self._turn_before = turn
            sys.setswitchinterval(_TURN)

    def look(self, jobs: int) -> None:
        if jobs >= self._frozen_at + _STEP:
            if self._frozen_at or not gc.get_freeze_count():
                gc.freeze()
                self._frozen_at = jobs
        elif jobs < self._frozen_at // 2:
            self._thaw()

    def close(self) -> None:
        self._thaw()
        if self._turn_before is not None:
            sys.setswitchinterval(self._turn_before)
            self._turn_before = None

    def _thaw(self) -> None:
        if self._frozen_at:
            self._frozen_at = 0
            gc.unfreeze()
