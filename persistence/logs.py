# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs: the engine's own, rotating, and one per job that keeps its beginning and its end within a size.

Times are UTC. A log that cannot be written must not stop the work it tells of: that is said once, on standard error.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

ENGINE_LOG = "engine.log"
_LEFT_OUT = re.compile(rb"^\.\.\. (\d+) lines \((\d+) bytes\) left out \.\.\.\n", re.MULTILINE)


class _UtcFormatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  (logging's own name)
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class EngineLog:
    """The engine's log in a folder, until `close`. Attaches to the logger `motion_queue` and leaves the root logger alone."""

    def __init__(self, folder: Path, *, level: int | str = logging.INFO, max_bytes: int = 5 << 20, backups: int = 3) -> None:
        """`max_bytes` of one file; `backups` older ones are kept. `OSError` when the file cannot be opened."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / ENGINE_LOG
        self.logger = logging.getLogger("motion_queue")
        self._handler = logging.handlers.RotatingFileHandler(
            self.path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8", errors="backslashreplace"
        )
        self._handler.setFormatter(_UtcFormatter("%(asctime)s %(levelname)-7s %(threadName)s %(name)s: %(message)s"))
        self._level_before = self.logger.level
        self.logger.addHandler(self._handler)
        self.set_level(level)

    def set_level(self, level: int | str) -> None:
        self._handler.setLevel(level)
        self.logger.setLevel(level)

    def close(self) -> None:
        self.logger.removeHandler(self._handler)
        self.logger.setLevel(self._level_before)
        self._handler.close()


class JobLog:
    """Appends lines to a job's log. Past `max_bytes` the middle goes: a third from the beginning stays, a third from the end,
    and between them a line says how much was left out. Any thread; one object per file."""

    def __init__(self, path: Path, max_bytes: int = 1 << 20) -> None:
        self.path = path
        self._max = max(max_bytes, 4096)
        self._lock = threading.Lock()
        self._failed = False

    def write(self, level: str, message: str, at: float | None = None) -> None:
        """One line; newlines inside the message are kept as indented lines. `at`: seconds since the epoch, UTC."""
        stamp = datetime.fromtimestamp(time.time() if at is None else at, UTC).isoformat(timespec="milliseconds")
        text = message.rstrip("\n").replace("\r", "").replace("\n", "\n    ")
        if len(text) > self._max // 8:
            text = f"{text[: self._max // 8]} ({len(text) - self._max // 8} characters cut)"
        line = f"{stamp.replace('+00:00', 'Z')} {level.upper():7} {text}\n".encode("utf-8", "backslashreplace")
        with self._lock:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
                try:
                    os.write(fd, line)
                    size = os.fstat(fd).st_size
                finally:
                    os.close(fd)
                if size > self._max:
                    self._shorten()
                self._failed = False
            except OSError as error:
                if not self._failed:
                    print(f"Motion Queue cannot write the log {self.path}: {error}", file=sys.stderr)
                self._failed = True

    def tail(self, max_bytes: int = 8192) -> str:
        """The last lines, at most that many bytes; empty when there is no log."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - max_bytes))
                data = file.read(max_bytes)
        except FileNotFoundError:
            return ""
        if size > max_bytes:
            data = data.partition(b"\n")[2]
        return data.decode("utf-8", "replace")

    def _shorten(self) -> None:
        data = self.path.read_bytes()
        third = self._max // 3
        lines = size = 0
        marker = _LEFT_OUT.search(data)
        if marker is not None:  # shortened before: the beginning is already chosen
            lines, size = int(marker[1]), int(marker[2])
            head, rest = data[: marker.start()], data[marker.end() :]
        else:
            end = data.rfind(b"\n", 0, third) + 1
            head, rest = data[:end], data[end:]
        start = rest.find(b"\n", max(0, len(rest) - third)) + 1 or len(rest)
        gone, kept = rest[:start], rest[start:]
        note = f"... {lines + gone.count(10)} lines ({size + len(gone)} bytes) left out ...\n".encode("ascii")
        temp = self.path.with_name(self.path.name + ".new")
        temp.write_bytes(head + note + kept)
        temp.replace(self.path)


__all__ = ["ENGINE_LOG", "EngineLog", "JobLog"]
