# SPDX-License-Identifier: GPL-3.0-or-later
"""From the threads to the main thread: the channel carries state changes and progress, the pump hands them out.

State changes are never lost: when more gather than the channel holds, the consumer is told to read everything anew
(`resync`). Of progress only the latest value of a job is kept. The pump runs on whatever thread calls `tick`: Blender's timer
in the window, a plain loop elsewhere.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .contract import Record
from .model import Progress

_log = logging.getLogger(__name__)

ENDS = frozenset({"job_completed", "job_failed", "job_cancelled"})  # records after which a job never changes


class Event(NamedTuple):
    """What subscribers receive: one of the two is set, or neither: then state was skipped and must be read anew."""

    record: Record | None = None
    progress: Progress | None = None

    @property
    def resync(self) -> bool:
        return self.record is None and self.progress is None


class Channel:
    """Bounded and thread-safe."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._lock = threading.Lock()
        self._capacity = capacity
        self._records: deque[Record] = deque()
        self._progress: dict[str, Progress] = {}
        self._resync = False
        self._ready = threading.Event()

    def post(self, records: Sequence[Record]) -> None:
        with self._lock:
            self._records.extend(records)
            if self._progress:
                # What a job reported before its end must not be read after it.
                for record in records:
                    if record.name in ENDS:
                        self._progress.pop(record.job, None)
            if len(self._records) > self._capacity:
                self._records.clear()
                self._resync = True
        self._ready.set()

    def post_progress(self, progress: Progress) -> None:
        with self._lock:
            self._progress[progress.job_id] = progress
        self._ready.set()

    def take(self) -> Event | None:
        """The oldest state change, else a resync, else some job's latest progress, else None."""
        with self._lock:
            if self._resync:
                self._resync = False
                return Event()
            if self._records:
                return Event(record=self._records.popleft())
            if self._progress:
                return Event(progress=self._progress.pop(next(iter(self._progress))))
            self._ready.clear()
            return None

    def wait(self, timeout: float) -> bool:
        """Sleep until something is there."""
        return self._ready.wait(timeout)

    def __len__(self) -> int:
        with self._lock:
            return len(self._records) + len(self._progress) + self._resync


class Pump:
    """Hands events to subscribers, within a time budget. All of it on the thread that calls `tick`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._subscribers: dict[int, Callable[[Event], None]] = {}
        self._next = 0
        self._lock = threading.Lock()

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back for every event; returns the function that ends it."""
        with self._lock:
            self._next += 1
            number = self._next
            self._subscribers[number] = callback

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(number, None)

        return unsubscribe

    def tick(self, budget: float = 0.002) -> bool:
        """Hand out what is there, for at most `budget` seconds (one event at least). True when something is left."""
        deadline = time.perf_counter() + budget
        while (event := self._channel.take()) is not None:
            with self._lock:
                callbacks = list(self._subscribers.values())
            for callback in callbacks:
                try:
                    callback(event)
                except Exception:
                    # A subscriber's mistake is its own: the others and the queue go on.
                    _log.exception("A subscriber of the queue's events failed")
            if time.perf_counter() >= deadline:
                return len(self._channel) > 0
        return False
