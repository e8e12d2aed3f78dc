# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that is done without a queue, on this terminal: its stage in place on the standard error, or JSON lines.

Serves a child's own code as its `ChildContext` and the pool of children as its `StepContext`. Standard library only.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping

from ...queue.contract import ArtefactStore, Json, StopReason
from ...queue.errors import MotionQueueError

_KEPT = 400  # log lines


class Terminal:
    threads = 0
    stop_reason: StopReason | None = None  # Ctrl-C is an exception here

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._shows = not as_json and sys.stderr.isatty()
        self._lines: deque[str] = deque(maxlen=_KEPT)

    @property
    def store(self) -> ArtefactStore:
        raise MotionQueueError("no_store", "Work without a queue has no store for its results. Run it as a job.")

    def check(self) -> None:
        """Nothing: nobody asks to stop but by a signal."""

    def wait_stop(self, timeout: float) -> bool:
        time.sleep(timeout)
        return False

    def on_stop(self, callback: Callable[[StopReason], None]) -> None:
        """Never calls back: nobody asks to stop but by a signal."""

    def progress(self, fraction: float, stage: str = "", data: Mapping[str, Json] | None = None) -> None:
        if self._json:
            print(json.dumps({"event": "progress", "progress": round(fraction, 4), "stage": stage}), flush=True)
        elif self._shows:
            print(f"\r\x1b[K{100 * fraction:3.0f} %  {stage}", end="", file=sys.stderr, flush=True)

    def log(self, level: str, message: str) -> None:
        """Kept for `explain`: what matters is in the report."""
        self._lines.append(f"{level}: {message}")

    def heartbeat(self) -> None:
        """Nothing: a child that hangs is ended by its pool."""

    def external_ref(self, ref: str) -> None:
        raise MotionQueueError("no_store", f"Work without a queue cannot remember {ref!r}. Run it as a job.")

    def worker(self, worker_id: str, pid: int = 0) -> None:
        """Nothing: there is no list in which that would stand."""

    def memory(self, peak_mb: float) -> None:
        """Nothing: it is only for predictions."""

    def clear(self) -> None:
        if self._shows:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def explain(self) -> None:
        """Print the log, for an error whose cause stands there alone."""
        for line in self._lines:
            print(line, file=sys.stderr)
