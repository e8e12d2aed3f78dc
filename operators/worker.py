# SPDX-License-Identifier: GPL-3.0-or-later
"""Does for the interface what would make it wait (reading and copying files, asking backends how they are), on one thread.

A task is plain Python that touches no bpy; what becomes of it is handed back when the main thread calls `deliver`. The thread
ends when there is nothing to do.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ..queue.errors import MotionQueueError

_log = logging.getLogger(__name__)

_LEAVING = 0.05  # seconds an idle thread waits for another task


class _Task(NamedTuple):
    work: Callable[[], Any]
    done: Callable[[Any, MotionQueueError | None], None]
    weight: int


class Worker:
    """`run` and `deliver` on the main thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._tasks: deque[_Task] = deque()
        self._results: deque[tuple[_Task, Any, MotionQueueError | None]] = deque()
        self._thread: threading.Thread | None = None
        self._weight = 0
        self._closing = False

    def run(self, work: Callable[[], Any], done: Callable[[Any, MotionQueueError | None], None], *, weight: int = 0) -> None:
        """Do `work` soon and call `done(result, None)` or `done(None, error)` on the main thread. `weight` is for `pending`."""
        with self._changed:
            if self._closing:
                return
            self._tasks.append(_Task(work, done, weight))
            self._weight += weight
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="motion-queue-prepare", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def pending(self) -> int:
        """The weight of all tasks whose results were not delivered yet."""
        return self._weight

    @property
    def busy(self) -> bool:
        return self._thread is not None or bool(self._results)

    def deliver(self) -> bool:
        """Hand finished tasks back; whether there was one."""
        any_done = False
        while self._results:
            task, result, error = self._results.popleft()
            self._weight -= task.weight
            any_done = True
            task.done(result, error)
        return any_done

    def wait(self, timeout: float) -> bool:
        """Until all tasks are done, though not delivered. For scripts and tests; the window only delivers."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def close(self, timeout: float) -> bool:
        """Take no more, forget what was not begun, wait for what was. True when the thread has ended."""
        with self._changed:
            self._closing = True
            self._tasks.clear()
            self._results.clear()
            self._weight = 0
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._tasks or self._closing, _LEAVING) or self._closing:
                    self._thread = None
                    self._changed.notify_all()
                    return
                task = self._tasks.popleft()
            result, error = None, None
            try:
                result = task.work()
            except MotionQueueError as problem:
                error = problem
            except Exception as problem:
                _log.exception("Something the interface asked for failed")
                error = MotionQueueError("internal", f"{type(problem).__name__}: {problem}. The engine's log has more.")
            with self._changed:
                if not self._closing:
                    self._results.append((task, result, error))
