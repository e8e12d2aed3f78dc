# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal that keeps nothing: for an engine that need not survive its process. Every record is safe at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from .contract import Record, Recovered
from .errors import StoreError

_GATHER = 0.002  # seconds: listeners take the engine's lock, so they are called for many records at a time


class MemoryJournal:
    def __init__(self) -> None:
        # A SimpleQueue never makes the caller wait: it holds the engine's lock.
        self._pending: SimpleQueue[Sequence[Record] | None] = SimpleQueue()
        self._changed = threading.Condition()
        self._done = 0
        self._closing = threading.Event()
        self._on_durable: Callable[[Sequence[Record]], None] | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> Recovered:
        return Recovered({}, {}, 0, clean=True)

    def listen(self, on_durable: Callable[[Sequence[Record]], None], on_error: Callable[[StoreError | None], None]) -> None:
        self._on_durable = on_durable
        self._thread = threading.Thread(target=self._run, name="motion-queue-journal", daemon=True)
        self._thread.start()

    def append(self, records: Sequence[Record]) -> None:
        self._pending.put(records)

    def wait(self, seq: int, timeout: float | None = None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._done >= seq or self._closing.is_set(), timeout) and self._done >= seq

    def close(self, timeout: float = 2.0) -> None:
        self._closing.set()
        self._pending.put(None)
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        # A thread of its own, as a real journal has: listeners are never called with the engine's lock held.
        ended = False
        while not ended:
            first = self._pending.get()
            self._closing.wait(_GATHER)
            records: list[Record] = list(first or ())
            ended = first is None
            while not self._pending.empty():
                more = self._pending.get()
                ended = ended or more is None
                records.extend(more or ())
            if records and self._on_durable is not None:
                self._on_durable(records)
            with self._changed:
                if records:
                    self._done = records[-1].seq
                self._changed.notify_all()
