# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps Python's garbage collector from going through thousands of jobs, which would stop the window for tenths of a second.

A job is some dozen objects that the collector looks at in each full collection: at 10,000 jobs 0.15 s on the main thread,
whenever anybody in this Blender allocates enough. They are no garbage, so they are put out of its sight (`gc.freeze`, which takes
microseconds) as they become many, and back as they become few. What else there is at that moment goes with them: garbage in
cycles waits until then. Knows numbers only; main thread.
"""

from __future__ import annotations

import gc

_STEP = 1_000  # jobs; fewer cost less than 20 ms


class Freezer:
    """`look` now and then, `thaw` at the end. Leaves everything as it is where somebody else froze objects before."""

    def __init__(self) -> None:
        self._frozen_at = 0  # jobs, when it froze last

    def look(self, jobs: int) -> None:
        if jobs >= self._frozen_at + _STEP:
            if self._frozen_at or not gc.get_freeze_count():
                gc.freeze()
                self._frozen_at = jobs
        elif jobs < self._frozen_at // 2:
            self.thaw()

    def thaw(self) -> None:
        if self._frozen_at:
            self._frozen_at = 0
            gc.unfreeze()
