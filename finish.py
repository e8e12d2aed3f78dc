# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written when a job is over: its whole record (`job.json`) and its log, into the job's output folder.

On a thread of its own, since neither the journal's nor Blender's main thread may wait for a user's disk.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue

from .backends.deliver import MARKER, folder_name, own_folder
from .persistence.artefacts import FolderStore
from .queue import Engine, Job

_log = logging.getLogger(__name__)

LOG = "job.log"


class Finisher:
    def __init__(self, store: FolderStore, log: Callable[[str, str, str], None]) -> None:
        self._store = store
        self._log = log
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._changed = threading.Condition()
        self._taken = 0
        self._done = 0
        self._thread: threading.Thread | None = None
        self._given_up = False

    def start(self, engine: Engine) -> None:
        """Begin, and make up for jobs that ended just before the last process did."""
        self.put(
            [job for job in engine.query(state=("completed", "failed", "cancelled"), limit=10_000).jobs if not _is_written(job)]
        )
        self._thread = threading.Thread(target=self._run, name="motion-queue-finish", daemon=True)
        self._thread.start()

    def put(self, jobs: Sequence[Job]) -> None:
        with self._changed:
            self._taken += len(jobs)
        for job in jobs:
            self._jobs.put(job)

    def flush(self, timeout: float | None = None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._done >= self._taken, timeout)

    def close(self, timeout: float) -> None:
        """Write what is left, for at most so many seconds; the next start makes up for the rest."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(timeout)
            self._given_up = True
            self._thread.join(timeout)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None and not self._given_up:
            try:
                self._finish(job)
            except OSError as error:
                # The job is over and its results are safe in the store; the missing record is worth a line, no more.
                _log.error("The record of job %s could not be written to its output folder: %s", job.id, error)
                self._log(job.id, "error", f"job.json could not be written: {error}")
            finally:
                with self._changed:
                    self._done += 1
                    self._changed.notify_all()

    def _finish(self, job: Job) -> None:
        for step in job.steps:
            self._store.clear_work(job.id, step.name)
        self._log(job.id, "info", _last_line(job))
        folder = _folder(job)
        if folder is None:
            return
        log = self._store.log_path(job.id)
        if log.exists():
            _replace(folder / LOG, log.read_bytes())
        _replace(folder / MARKER, (json.dumps(job.to_json(), indent=2, ensure_ascii=False) + "\n").encode())


def _folder(job: Job) -> Path | None:
    """Where the job's results go: the folder that was delivered to, or one made now for a job that did not come that far."""
    delivered = str(job.result.get("deliver", {}).get("folder") or "")
    if delivered:
        return Path(delivered)
    parent = Path(str(job.payload.get("output_dir") or ""))
    # A job that was cancelled before it began leaves nothing behind.
    if not parent.is_absolute() or job.started_at is None:
        return None
    return own_folder(parent, folder_name(job.label or job.id), job.id)


def _is_written(job: Job) -> bool:
    delivered = str(job.result.get("deliver", {}).get("folder") or "")
    if not delivered:
        return True
    try:
        value = json.loads((Path(delivered) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and "state" in value


def _last_line(job: Job) -> str:
    text = f"The job is {job.state} after {job.processing_time:.1f} s of work"
    if job.degraded:
        return f"{text}, degraded: {job.degraded}"
    return f"{text}: {job.error.message} [{job.error.code}]" if job.error else text + "."


def _replace(target: Path, data: bytes) -> None:
    waiting = target.with_name(f".{target.name}.tmp")
    try:
        with waiting.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        waiting.replace(target)
    finally:
        waiting.unlink(missing_ok=True)
