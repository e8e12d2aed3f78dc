# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's clock: one thread that does what time brings.

Retries that are due, jobs that expire, timeouts, workers that do not stop, progress for the pump, what is saved now and then,
and the health of backends whose jobs wait while they are away.
"""

from __future__ import annotations

import logging
import threading
import time

from .channel import Channel
from .contract import Backend, Health, StopReason
from .core import Core
from .errors import MotionQueueError
from .model import Progress
from .states import WAITING

_log = logging.getLogger(__name__)

_TICK = 0.1  # seconds between looks at running steps
_PROGRESS_SAVED_EVERY = 1.0
_DURATIONS_SAVED_EVERY = 5.0
_HEALTH_EVERY = 15.0


class Clock:
    def __init__(self, core: Core, channel: Channel) -> None:
        self._core = core
        self._channel = channel
        self._thread: threading.Thread | None = None
        self._asking: set[str] = set()  # backends whose health is being asked for; guarded by the core's lock

    @property
    def started(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="motion-queue-clock", daemon=True)
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait for its end, which `core.closing` and a wake-up bring."""
        if self._thread is not None:
            self._core.wake.set()
            self._thread.join(timeout)

    def _run(self) -> None:
        progress_saved = durations_saved = health_asked = 0.0
        shown: dict[str, tuple[float, str]] = {}
        while True:
            wait: float | None = _TICK
            with self._core.lock:
                if self._core.closing:
                    return
                self._core.wake.clear()
                self._core.clock_sleeps = False
                try:
                    now, mono = time.time(), time.monotonic()
                    self._release_delayed(now)
                    self._expire(now)
                    self._watch_runs(mono)
                    self._show_progress(shown)
                    if mono - progress_saved >= _PROGRESS_SAVED_EVERY:
                        progress_saved = mono
                        self._save_progress(now)
                    if mono - durations_saved >= _DURATIONS_SAVED_EVERY:
                        durations_saved = mono
                        self._core.save_durations()
                    if mono - health_asked >= _HEALTH_EVERY:
                        health_asked = mono
                        self._ask_health()
                    self._core.prune()
                    self._core.dispatch()
                    self._core.ledger.flush()
                    wait = self._next_look(now)
                except Exception:
                    # Without a clock nothing would ever time out or be tried again: it must outlive any mistake.
                    _log.critical("The queue's clock failed and goes on", exc_info=True)
            self._core.call_stop_callbacks()
            self._core.write_log_lines()
            self._core.wake.wait(wait)

    def _next_look(self, now: float) -> float | None:
        """Seconds until the clock has something to do; None when only a wake-up can bring work."""
        if self._core.stop_callbacks:
            return 0.0
        # A stream of short steps starts and ends between two looks: go on ticking, or every start would wake the clock.
        started, self._core.started_something = self._core.started_something, False
        if self._core.runs or started:
            return _TICK
        self._core.clock_sleeps = True
        times = list(self._core.delayed.values())
        times.extend(at for job_id, at in self._core.expiring.items() if job_id in self._core.ledger.jobs)
        if self._core.registry.holding():
            times.append(now + _HEALTH_EVERY)
        return max(0.0, min(times) - now) if times else None

    def _release_delayed(self, now: float) -> None:
        for job_id in [job_id for job_id, at in self._core.delayed.items() if at <= now]:
            del self._core.delayed[job_id]
            self._core.enqueue((self._core.ledger.jobs[job_id],))

    def _expire(self, now: float) -> None:
        for job_id in [job_id for job_id, at in self._core.expiring.items() if at <= now]:
            del self._core.expiring[job_id]
            job = self._core.ledger.jobs.get(job_id)
            if job is None or job.started_at is not None or job.state not in WAITING:
                continue
            self._core.unqueue(job)
            error = MotionQueueError(
                "expired", "The job waited longer than it was allowed to. Submit it again if it is still wanted."
            )
            self._core.fail(job, None, error)

    def _watch_runs(self, now: float) -> None:
        """Timeouts, steps without progress, and workers that do not stop when asked."""
        for run in list(self._core.runs.values()):
            step = run.step
            if run.asked_at is None or run.stop_reason is StopReason.PAUSE:
                if step.timeout is not None and run.elapsed > step.timeout:
                    self._core.ask(run, StopReason.TIMEOUT)
                elif step.stall_timeout is not None and now - run.last_progress > step.stall_timeout:
                    self._core.ask(run, StopReason.STALLED)
            elif now - run.asked_at > self._core.limits.grace:
                self._core.abandon(run, f"did not stop within {self._core.limits.grace:g} s")

    def _show_progress(self, shown: dict[str, tuple[float, str]]) -> None:
        for job_id in [job_id for job_id in shown if job_id not in self._core.runs]:
            del shown[job_id]
        for job_id, run in self._core.runs.items():
            forecast = self._core.forecaster.of(run.job, run)
            stage = run.stage or run.step.name
            value = (round(forecast.progress, 3), stage)
            if shown.get(job_id) != value:
                shown[job_id] = value
                self._channel.post_progress(
                    Progress(job_id, forecast.progress, stage, forecast.eta, forecast.guess, dict(run.data))
                )

    def _save_progress(self, now: float) -> None:
        for run in self._core.runs.values():
            if run.fraction > run.step.progress:
                changes = {"progress": round(run.fraction, 4), "stage": run.stage, "seconds": round(run.elapsed, 3)}
                run.step.__dict__["progress"] = changes["progress"]
                self._core.ledger.change("job_progress", run.job, {str(run.index): changes}, sync=False, last_progress_at=now)

    def _ask_health(self) -> None:
        """Hold back the jobs of backends that want that while they are away. Asking may take a while: on threads of their own."""
        for backend in self._core.registry.holding():
            self.ask_health(backend)

    def ask_health(self, backend: Backend) -> None:
        """Once at a time: a backend that does not answer must not gather threads. Expects the core's lock to be held."""
        if backend.name in self._asking:
            return
        self._asking.add(backend.name)
        threading.Thread(
            target=self._apply_health, args=(backend,), name=f"motion-queue-health-{backend.name}", daemon=True
        ).start()

    def _apply_health(self, backend: Backend) -> None:
        health = health_of(backend)
        with self._core.lock:
            self._asking.discard(backend.name)
            if self._core.closing or backend not in self._core.registry.holding():
                return  # another backend may have taken its name meanwhile
            if health.ok:
                self._core.scheduler.free_backend(backend.name)
                self._core.dispatch()
                self._core.ledger.flush()
            else:
                if not self._core.scheduler.is_away(backend.name):
                    _log.warning("Backend %s is away: %s", backend.name, health.message)
                self._core.scheduler.hold_backend(backend.name)


def health_of(backend: Backend) -> Health:
    try:
        return backend.health()
    except Exception as error:
        _log.exception("Backend %s could not say how it is", backend.name)
        return Health(ok=False, message=f"{type(error).__name__}: {error}")
