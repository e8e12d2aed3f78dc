# SPDX-License-Identifier: GPL-3.0-or-later
"""One attempt at one step, while it runs: what the backend may ask and tell, and what the engine watches.

A `Run` belongs to the engine and to the backend's threads at once; its fields are single assignments, so neither waits for
the other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from .contract import ArtefactStore, Json, StepRequest, StepResult, StopReason
from .errors import MotionQueueError, StepStopped
from .model import Job, Step
from .values import plain_copy

_log = logging.getLogger(__name__)
_MAX_STAGE = 200
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class RunOwner(Protocol):
    """What a run needs of the engine."""

    @property
    def artefact_store(self) -> ArtefactStore: ...

    def write_job_log(self, job_id: str, level: str, message: str) -> None: ...

    def record_external_ref(self, run: Run, ref: str) -> None: ...


class Run:
    """Implements `StepContext`."""

    # What most steps never report stays on the class: making a run costs half as much.
    heartbeat_at: float | None = None
    fraction = 0.0
    stage = ""
    data: Mapping[str, Json] = {}
    peak_memory_mb = 0.0
    worker_id = ""
    pid = 0
    stop_reason: StopReason | None = None
    asked_at: float | None = None
    abandoned = False
    _between = 0.0  # seconds from the last but one rise of the fraction to the last
    _stop: threading.Event | None = None

    def __init__(self, owner: RunOwner, job: Job, index: int, token: str) -> None:
        self._owner = owner
        self.job = job
        self.index = index
        self.step: Step = job.steps[index]
        self.token = token
        self.started = self.last_progress = self._reported = time.monotonic()  # `_reported`: when the fraction last rose
        self.resumed_seconds = self.step.seconds  # at work in this attempt before it was interrupted
        self.samples: list[tuple[float, float]] = []  # (fraction, seconds since start), for the time profile
        self._callbacks: list[Callable[[StopReason], None]] = []
        self._lock = threading.Lock()

    # For the engine

    @property
    def elapsed(self) -> float:
        """Seconds at work in this attempt, earlier parts of it included."""
        return self.resumed_seconds + time.monotonic() - self.started

    @property
    def measured(self) -> float:
        """Seconds at work that it took to come to `fraction`: those since it rose count only once the next rise is overdue.

        Else progress would sink behind the clock from one report to the next, by a whole frame where steps render frames.
        """
        return self.elapsed - min(time.monotonic() - self._reported, self._between)

    def ask_stop(self, reason: StopReason) -> list[Callable[[StopReason], None]]:
        """Ask the backend to stop; returns the callbacks, to be called without the engine's lock. Anything outranks a pause."""
        with self._lock:
            if self.stop_reason is not None and (self.stop_reason is not StopReason.PAUSE or reason is StopReason.PAUSE):
                return []
            self.stop_reason = reason
            self.asked_at = time.monotonic()
            if self._stop is not None:
                self._stop.set()
            callbacks = list(self._callbacks)
            if reason is not StopReason.PAUSE:
                self._callbacks.clear()
            return callbacks

    def request(self) -> StepRequest:
        job, step = self.job, self.step
        return StepRequest(
            job_id=job.id,
            step=step.name,
            attempt=step.attempt,
            token=self.token,
            payload=job.payload,
            inputs=job.inputs,
            # The first step has nothing before it.
            artefacts=job.artefacts if self.index else (),
            results=job.result if self.index else {},
            external_ref=step.external_ref,
        )

    # For the backend (StepContext)

    @property
    def store(self) -> ArtefactStore:
        return self._owner.artefact_store

    def check(self) -> None:
        reason = self.stop_reason
        if reason is not None:
            raise StepStopped(reason)

    def wait_stop(self, timeout: float) -> bool:
        with self._lock:
            if self.stop_reason is not None:
                return True
            if self._stop is None:
                self._stop = threading.Event()
        return self._stop.wait(timeout)

    def on_stop(self, callback: Callable[[StopReason], None]) -> None:
        with self._lock:
            reason = self.stop_reason
            if reason is None or reason is StopReason.PAUSE:
                self._callbacks.append(callback)
        if reason is not None:
            callback(reason)

    def progress(self, fraction: float, stage: str = "", data: Mapping[str, Json] | None = None) -> None:
        now = time.monotonic()
        self.last_progress = now
        self.heartbeat_at = time.time()
        if fraction > self.fraction:  # never backwards within an attempt; NaN is not greater either
            self.fraction = min(fraction, 1.0)
            self._between, self._reported = now - self._reported, now
            if not self.samples or self.fraction - self.samples[-1][0] >= 0.01:
                self.samples.append((self.fraction, now - self.started))
        if stage:
            self.stage = stage[:_MAX_STAGE]
        if data is not None:
            self.data = plain_copy(data, "the progress data of a step")

    def heartbeat(self) -> None:
        self.heartbeat_at = time.time()

    def log(self, level: str, message: str) -> None:
        if level not in _LEVELS:
            raise MotionQueueError("bad_log_level", f"{level!r} is no log level; use one of {', '.join(_LEVELS)}.")
        self._owner.write_job_log(self.job.id, level, message)

    def external_ref(self, ref: str) -> None:
        self._owner.record_external_ref(self, ref)

    def worker(self, worker_id: str, pid: int = 0) -> None:
        self.worker_id = worker_id
        self.pid = pid

    def memory(self, peak_mb: float) -> None:
        self.peak_memory_mb = max(self.peak_memory_mb, peak_mb)


Outcome = StepResult | MotionQueueError


def execute(run: Run, backend: object) -> Outcome:
    """Call the backend; whatever it raises becomes an outcome, and what nobody expected leaves its traceback in the job's log."""
    try:
        result = backend.run(run.request(), run)  # type: ignore[attr-defined]
        if isinstance(result, StepResult) and result.data:
            return result._replace(data=plain_copy(result.data, f"the result of the step {run.step.name!r}"))
    except MotionQueueError as error:
        return error
    except BaseException as error:  # SystemExit too: nobody would ever see it on a pool thread, and the job would hang
        name = getattr(backend, "name", type(backend).__name__)
        _log.exception("Backend %s failed on job %s", name, run.job.id)
        run.log("error", f"{type(error).__name__}: {error}")
        # Errors of this package's other rooms have a code of this kind; SystemExit and HTTP errors have numbers.
        code = getattr(error, "code", None)
        return MotionQueueError(
            code if isinstance(code, str) and code.isidentifier() else "internal",
            f"The step {run.step.name!r} failed with {type(error).__name__}: {error}. The engine's log has the details.",
        )
    if not isinstance(result, StepResult):
        return MotionQueueError(
            "backend_contract", f"The backend of step {run.step.name!r} returned {type(result).__name__} instead of a StepResult."
        )
    return result
