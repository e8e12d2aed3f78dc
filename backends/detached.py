# SPDX-License-Identifier: GPL-3.0-or-later
"""A step's context for work in a child that belongs to no step: something a person waits for, beside the queue.

It can be stopped, and keeps what is reported. Nothing is journaled, and nobody else sees it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from ..queue.contract import ArtefactStore, Json, StopReason
from ..queue.errors import StepStopped


class DetachedContext:
    """A `StepContext`. Every method may be called from any thread."""

    def __init__(self, store: ArtefactStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._reason: StopReason | None = None
        self._callbacks: list[Callable[[StopReason], None]] = []
        self.fraction = 0.0
        self.stage = ""
        self.lines: list[tuple[str, str]] = []  # level, message; what a child logs is bounded by its pool

    def stop(self, reason: StopReason = StopReason.CANCEL) -> None:
        """Ask the work to stop. The first reason holds."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            callbacks = tuple(self._callbacks)
        self._stopped.set()
        for callback in callbacks:
            callback(reason)

    @property
    def store(self) -> ArtefactStore:
        return self._store

    @property
    def stop_reason(self) -> StopReason | None:
        return self._reason

    def check(self) -> None:
        if self._reason is not None:
            raise StepStopped(self._reason)

    def wait_stop(self, timeout: float) -> bool:
        return self._stopped.wait(timeout)

    def on_stop(self, callback: Callable[[StopReason], None]) -> None:
        with self._lock:
            reason = self._reason
            if reason is None:
                self._callbacks.append(callback)
        if reason is not None:
            callback(reason)

    def progress(self, fraction: float, stage: str = "", data: Mapping[str, Json] | None = None) -> None:
        self.fraction, self.stage = fraction, stage or self.stage

    def heartbeat(self) -> None:
        """Nobody waits for it here."""

    def log(self, level: str, message: str) -> None:
        self.lines.append((level, message))

    def external_ref(self, ref: str) -> None:
        """Work beside the queue does not survive this process, so there is nothing to go back to."""

    def worker(self, worker_id: str, pid: int = 0) -> None:
        """Not shown anywhere."""

    def memory(self, peak_mb: float) -> None:
        """Not shown anywhere."""
