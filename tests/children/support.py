# SPDX-License-Identifier: GPL-3.0-or-later
"""A small real StepContext, and looks at processes, for the tests of the children."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from motion_queue.queue.contract import ArtefactStore, StopReason
from motion_queue.queue.errors import StepStopped

BOUND = 60.0  # seconds after which a test counts as hanging
ENTRIES = "tests.children.entries"


class Context:
    """Keeps all that is reported, wakes who waits for it, and stops on demand."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._reason: StopReason | None = None
        self._callbacks: list[Callable[[StopReason], None]] = []
        self.reports: list[tuple[float, str, Any]] = []
        self.lines: list[tuple[str, str]] = []
        self.workers: list[tuple[str, int]] = []
        self.heartbeats = 0
        self.peak_mb = 0.0

    @property
    def store(self) -> ArtefactStore:
        raise AssertionError("a child pool needs no store")

    @property
    def stop_reason(self) -> StopReason | None:
        return self._reason

    def check(self) -> None:
        if self._reason is not None:
            raise StepStopped(self._reason)

    def wait_stop(self, timeout: float) -> bool:
        with self._condition:
            return self._condition.wait_for(lambda: self._reason is not None, timeout)

    def on_stop(self, callback: Callable[[StopReason], None]) -> None:
        with self._condition:
            self._callbacks.append(callback)
            reason = self._reason
        if reason is not None:
            callback(reason)

    def progress(self, fraction: float, stage: str = "", data: Mapping[str, Any] | None = None) -> None:
        with self._condition:
            self.reports.append((fraction, stage, data))
            self._condition.notify_all()

    def heartbeat(self) -> None:
        with self._condition:
            self.heartbeats += 1
            self._condition.notify_all()

    def log(self, level: str, message: str) -> None:
        with self._condition:
            self.lines.append((level, message))
            self._condition.notify_all()

    def external_ref(self, ref: str) -> None:
        raise AssertionError("a child pool starts nothing elsewhere")

    def worker(self, worker_id: str, pid: int = 0) -> None:
        with self._condition:
            self.workers.append((worker_id, pid))
            self._condition.notify_all()

    def memory(self, peak_mb: float) -> None:
        with self._condition:
            self.peak_mb = max(self.peak_mb, peak_mb)

    # ---- for tests ----

    def stop(self, reason: StopReason = StopReason.CANCEL) -> None:
        with self._condition:
            self._reason = reason
            callbacks = list(self._callbacks)
            self._condition.notify_all()
            for callback in callbacks:  # with the lock held, as an engine might: the pool must stand it
                callback(reason)

    def wait_line(self, start: str) -> str:
        """The first log line that begins so, as soon as it is there."""
        with self._condition:
            assert self._condition.wait_for(lambda: self._line(start) is not None, BOUND), self.lines
            line = self._line(start)
        assert line is not None
        return line

    def wait_until(self, holds: Callable[[], bool]) -> None:
        with self._condition:
            assert self._condition.wait_for(holds, BOUND), (self.lines, self.workers)

    def text(self) -> str:
        return "\n".join(message for _, message in self.lines)

    def _line(self, start: str) -> str | None:
        return next((message for _, message in self.lines if message.startswith(start)), None)


class Call(threading.Thread):
    """`function` on a thread of its own, as on a pool thread of the engine; its value or error when it is over."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self.join(BOUND)
        assert not self.is_alive(), "the call hangs"
        if self._error is not None:
            raise self._error
        return self._value


def alive(pid: int) -> bool:
    """Whether a process lives; zombies do not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"


def wait_gone(pids: list[int]) -> None:
    """Wait until none of them lives. Other processes' ends send no event here, so this looks again and again."""
    end = time.monotonic() + BOUND
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < end, f"still alive: {left}"
        time.sleep(0.02)


def own_descendants() -> list[int]:
    found, unvisited = [], [os.getpid()]
    while unvisited:
        parent = unvisited.pop()
        for name in os.listdir("/proc"):  # noqa: PTH208
            if name.isdigit() and _parent(int(name)) == parent:
                found.append(int(name))
                unvisited.append(int(name))
    return found


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return -1
    return int(stat[stat.rindex(")") + 2 :].split()[1])
