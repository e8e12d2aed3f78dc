# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread that shortens the journal while the queue runs. Knows when; `compaction` knows how."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from ..queue.errors import StoreError
from .compaction import Abandoned, Pace, compact
from .files import FileLayer, store_error

_log = logging.getLogger("motion_queue.journal")


class Compactor:
    """The thread that folds closed segments, one request at a time. What failed is tried again after a while."""

    RETRY = 30.0  # seconds

    def __init__(self, files: FileLayer, folder: Path, settle: float) -> None:
        """`settle`: seconds after opening in which the queue that just started gets the processor."""
        self._files = files
        self._folder = folder
        self._settle = settle
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._wanted = 0
        self._done = 0
        self._announced = 0
        self._answered = 0
        self._answer: int | None = None
        self._failed = False
        self.snapshot_size = 0
        self._thread: threading.Thread | None = None

    def start(self, *, folded: int, closed: int, snapshot_size: int) -> None:
        """`folded`: the last segment in the snapshot; `closed`: the last one that is no longer written to; size in bytes."""
        self._done = folded
        self._wanted = closed
        self.snapshot_size = snapshot_size
        self._thread = threading.Thread(target=self._run, name="motion-queue-compactor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def join(self, timeout: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    def fold_through(self, number: int | None, *, asked: bool) -> None:
        """Fold up to that segment, soon. `asked`: for those who announced themselves; None tells them that it cannot be."""
        with self._changed:
            if asked:
                self._answered, self._answer = self._announced, number
            if number is not None:
                self._wanted = max(self._wanted, number)
                self._failed = False
            self._changed.notify_all()

    def announce(self) -> Callable[[float | None], bool]:
        """Say that somebody waits for what is folded next, before it is asked for; the wait: True when it was folded."""
        with self._changed:
            self._announced += 1
            ticket = self._announced

        def over() -> bool:
            if self._answered < ticket:
                return self._stop.is_set()
            return self._answer is None or self._failed or self._done >= self._answer or self._stop.is_set()

        def wait(timeout: float | None) -> bool:
            with self._changed:
                self._changed.wait_for(over, timeout)
                return self._answered >= ticket and self._answer is not None and self._done >= self._answer

        return wait

    def wait_idle(self, timeout: float | None) -> bool:
        """Wait until all that was asked for is folded; False when it took too long, failed, or the journal is being closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._done >= self._wanted or self._failed or self._stop.is_set(), timeout)
            return self._done >= self._wanted

    def _run(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stop.is_set() or self._announced, self._settle)
        while True:
            with self._changed:
                while not self._stop.is_set() and (self._wanted <= self._done or self._failed):
                    if not self._changed.wait(self.RETRY if self._failed else None):
                        self._failed = False
                if self._stop.is_set():
                    return
                wanted = self._wanted
                behind = wanted - self._done
            failed = True
            try:
                # Far behind, speed counts more than a window's last half millisecond: else the journal would grow without bound.
                pace = Pace(self._stop) if behind <= 2 else Pace(self._stop, work=0.002, rest=0.0001)
                folded, size = compact(self._files, self._folder, wanted, pace)
                failed = False
                self.snapshot_size = size
            except Abandoned:
                return
            except OSError as error:
                _log.warning(
                    "The journal could not be shortened: %s", store_error(error, f"writing a snapshot in {self._folder}")
                )
            except StoreError as error:
                _log.warning("The journal could not be shortened: %s", error)
            with self._changed:
                self._failed = failed
                if not failed:
                    self._done = folded
                self._changed.notify_all()


__all__ = ["Compactor"]
