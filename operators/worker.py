# SPDX-License-Identifier: GPL-3.0-or-later
"""Does for the interface what would make it wait (reading and copying files, asking backends how they are), on one thread.

A task is plain Python that touches no bpy; what becomes of it is handed back when the main thread calls `deliver`. The thread is
there until `close`: starting one makes the main thread wait until the system lets it run.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from ..queue.errors import MotionQueueError

_log = logging.getLogger(__name__)


class _Task(NamedTuple):
    work: Callable[[], Any]
    done: Callable[[Any, MotionQueueError | None], None]
    weight: int


class Worker:
    """`run` and `deliver` on the main thread, where neither waits for a lock."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()  # None: no more will come
        self._results: deque[tuple[_Task, Any, MotionQueueError | None]] = deque()
        self._weight = 0
        self._given = 0  # tasks, counted by the main thread
        self._finished = 0  # by the other one
        self._idle = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="motion-queue-prepare", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], Any], done: Callable[[Any, MotionQueueError | None], None], *, weight: int = 0) -> None:
        """Do `work` soon and call `done(result, None)` or `done(None, error)` on the main thread. `weight` is for `pending`."""
        if not self._closing:
            self._given += 1
            self._weight += weight
            self._tasks.put(_Task(work, done, weight))

    @property
    def pending(self) -> int:
        """The weight of all tasks whose results were not delivered yet."""
        return self._weight

    @property
    def busy(self) -> bool:
        return self._given != self._finished or bool(self._results)

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
        with self._idle:
            return self._idle.wait_for(lambda: self._given == self._finished, timeout)

    def close(self, timeout: float) -> bool:
        """Take no more, forget what was not begun, wait for what was. True when the thread has ended."""
        self._closing = True
        try:
            while True:
                self._tasks.get_nowait()
        except Empty:
            self._tasks.put(None)
        self._results.clear()
        self._weight = 0
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            result, error = None, None
            try:
                result = task.work()
            except MotionQueueError as problem:
                error = problem
            except Exception as problem:
                _log.exception("Something the interface asked for failed")
                error = MotionQueueError("internal", f"{type(problem).__name__}: {problem}. The engine's log has more.")
            if not self._closing:
                self._results.append((task, result, error))
            with self._idle:
                self._finished += 1
                self._idle.notify_all()
