# SPDX-License-Identifier: GPL-3.0-or-later
"""The threads that supervise running steps: a ThreadPoolExecutor whose threads can never keep a process from ending."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import thread as _executor_threads
from typing import Any

_log = logging.getLogger(__name__)

THREADS = 8  # an executor cannot be resized: this is the most that may ever run; the scheduler limits below it


class WorkerPool:
    """Made on first use. Not thread-safe: the engine calls it under its lock."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._replaced: list[ThreadPoolExecutor] = []  # each has a thread that never came back

    def submit(self, work: Callable[[Any], None], argument: object) -> None:
        if self._executor is None:
            self._executor = _daemon_executor()
        self._executor.submit(work, argument)

    def replace(self) -> None:
        """A stuck thread occupies one of the eight places for good: go on with fresh ones."""
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._replaced = [e for e in self._replaced if any(t.is_alive() for t in e._threads)]
            self._replaced.append(self._executor)
            self._executor = None

    def end(self, deadline: float) -> bool:
        """Wait for the threads until `deadline` (monotonic seconds). True when all ended; others no longer hold up the exit."""
        executors = [*self._replaced, *([self._executor] if self._executor else [])]
        for executor in executors:
            executor.shutdown(wait=False, cancel_futures=True)
        clean = True
        for executor in executors:
            for thread in list(executor._threads):
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive():
                    clean = False
                    # The interpreter joins every thread listed here at exit, daemon or not, also one that will never end.
                    _executor_threads._threads_queues.pop(thread, None)  # type: ignore[attr-defined]
                    _log.error("Thread %s did not end and was left behind", thread.name)
        return clean


def _daemon_executor() -> ThreadPoolExecutor:
    """Threads inherit being daemons from the thread that starts them, so all eight are started from one that is."""
    executor = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="motion-queue")
    barrier = threading.Barrier(THREADS)

    def fill() -> None:
        for _ in range(THREADS):
            executor.submit(barrier.wait)

    starter = threading.Thread(target=fill, daemon=True)
    starter.start()
    starter.join()
    return executor
