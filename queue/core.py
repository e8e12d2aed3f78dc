# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a job's steps: queued, started on a pool thread, settled, gone on with, stopped, recovered.

`Core` holds the state that the engine, the clock and the worker threads share, under one lock that is never held while a backend,
a callback or the disk is at work. Methods here expect the lock to be held, except `work`, which runs on the pool's threads.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from .changes import StepChanges, job_ended, job_started, step_completed, step_started
from .contract import ArtefactStore, JobState, Journal, Json, StepResult, StepState, StopReason
from .errors import JobError, MotionQueueError, StepStopped
from .eta import Durations
from .forecast import Forecaster
from .ledger import Ledger
from .metrics import Meter
from .model import DEFAULT_PRIORITY, Job, Limits, PristineSteps, Step, timestamp
from .pool import WorkerPool
from .registry import Registry
from .run import Outcome, Run, execute
from .scheduler import Scheduler, Waiting, order_key
from .states import Trigger, after

_log = logging.getLogger(__name__)

_WORTH_LEARNING = 0.01  # seconds
_LEFT_TO_CLOCK = 500  # finished jobs over the limit that wait for the clock's next look
_SHORT = 0.0005  # seconds: a step that takes less costs less than starting it
_STREAM = 20  # that many short steps in a row, on all threads, are a stream


class Core:
    def __init__(
        self, *, journal: Journal, store: ArtefactStore | None, limits: Limits, job_log: Callable[[str, str, str], None] | None
    ) -> None:
        self.journal = journal
        self.limits = limits
        self._store = store
        self._job_log = job_log
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)  # something became durable, or a step ended while someone waits for that
        self.wake = threading.Event()  # the clock has something to do before its next look
        self.registry = Registry()
        self.ledger = Ledger(journal.append)
        self.scheduler = Scheduler(total=limits.total, lanes=limits.lanes, memory_mb=limits.memory_mb)
        self.held: dict[str, str] = {}  # why nothing starts: reason → for people
        self.runs: dict[str, Run] = {}  # job id → its running step
        self.delayed: dict[str, float] = {}  # job id → not before (seconds since the epoch)
        self.expiring: dict[str, float] = {}  # job id → when it expires if it has not started
        self.unsaved: deque[tuple[int, str]] = deque()  # (record, job id) of submitted jobs that are not durable yet
        self.stop_callbacks: deque[tuple[Callable[[StopReason], None], StopReason]] = deque()  # for the clock to call
        self.waited: Counter[str] = Counter()  # jobs that someone waits for are not pruned
        self.callbacks: dict[str, list[Callable[[Job], None]]] = {}  # job id → whom to tell when it is over
        self.durations = Durations()
        self.forecaster = Forecaster(self.registry, self.durations)
        self.meter = Meter()
        self.durable = 0  # the newest record on disk
        self.closing = False
        self.started_something = False  # since the clock looked last
        self.clock_sleeps = True  # it waits for a wake-up, without ticking
        self._log_lines: deque[tuple[str, str, str]] = deque()  # for the jobs' own logs, written without the lock
        self.departed: dict[str, Job] = {}  # cleared before their callbacks were called
        self._pool = WorkerPool()
        self._token_prefix = uuid.uuid4().hex[:12]
        self._tokens = 0
        self._short_steps = 0  # in a row, on all threads
        self._random = random.Random()  # jitter only

    # ------------------------------------------------------------------ for running steps (RunOwner)

    @property
    def artefact_store(self) -> ArtefactStore:
        if self._store is None:
            raise MotionQueueError("no_store", "This engine was made without an artefact store, and a step asked for it.")
        return self._store

    def write_job_log(self, job_id: str, level: str, message: str) -> None:
        if self._job_log is not None:
            try:
                self._job_log(job_id, level, message)
            except Exception:
                # A log that cannot be written (disk full) must not decide how a job ends.
                _log.exception("The log of job %s could not be written: %s", job_id, message)
        else:
            _log.log(logging.getLevelNamesMapping().get(level.upper(), logging.INFO), "%s: %s", job_id, message)

    def record_external_ref(self, run: Run, ref: str) -> None:
        with self.lock:
            if self.runs.get(run.job.id) is not run:
                return  # given up, or over: the attempt has no say any more
            run.step.__dict__["external_ref"] = ref
            self.ledger.change("step_external", run.job, {str(run.index): {"external_ref": ref}})
            seq = self.ledger.flush()
        self.journal.wait(seq)

    # ------------------------------------------------------------------ starting and settling steps

    def enqueue(self, jobs: Iterable[Job]) -> None:
        """Put each job's next step in line. Called in every state in which it should run when its turn comes."""
        self.scheduler.add([waiting for job in jobs if (waiting := self._line_up(job)) is not None])

    def _line_up(self, job: Job) -> Waiting | None:
        """What the scheduler has to know of the job's next step; None when it comes later (`not_before`) or can never run."""
        known = Job.known(job)  # of thousands of jobs at a start, none is decoded for this
        steps = known.get("steps")
        step = steps[0] if type(steps) is PristineSteps else job.current
        if step is None:
            raise AssertionError(f"job {job.id} has no step left to run")
        expires_at = known.get("expires_at")
        if expires_at is not None and job.started_at is None:
            self.expiring[job.id] = expires_at
            self.wake.set()
        not_before = known.get("not_before")
        if not_before is not None and not_before > time.time():
            self.delayed[job.id] = not_before
            self.wake.set()
            return None
        if not self.registry.has_backend(step.backend):
            # A recovered job whose add-on is not there (yet). Submitting one is refused.
            self.scheduler.hold_backend(step.backend)
        memory = 0.0
        if budget := self.limits.memory_mb:
            memory = self.forecaster.estimate(job, step).memory_mb
            if memory > budget:
                error = MotionQueueError(
                    "memory_budget",
                    f"The step {step.name!r} expects to take {memory:.0f} MB and the memory limit is {budget:.0f} MB. "
                    "Raise the limit, or make the work smaller (resolution, samples).",
                )
                self.fail(job, step, error)
                return None
        return self._waiting(job, step, memory)

    @staticmethod
    def _waiting(job: Job, step: Step, memory_mb: float) -> Waiting:
        known = Job.known(job)
        key = order_key(known["id"], known.get("priority", DEFAULT_PRIORITY), known.get("position", 0.0))
        return Waiting(key, step.lane, step.backend, memory_mb, step.exclusive_key)

    def ask_for_memory(self) -> None:
        """A memory budget came: without one nobody asked what steps take. What does not fit waits for more."""
        for key in list(self.ledger.order):
            job = self.ledger.jobs[key[2]]
            step = job.current
            if step is None:
                continue
            if self.scheduler.is_waiting(job.id):
                self.scheduler.discard(job.id)
                waiting = self._waiting(job, step, self.forecaster.estimate(job, step).memory_mb)
                self.scheduler.add((waiting,))
            elif job.id in self.runs:
                self.scheduler.takes(job.id, self.forecaster.estimate(job, step).memory_mb)

    def unqueue(self, job: Job) -> None:
        self.scheduler.discard(job.id)
        self.delayed.pop(job.id, None)

    def dispatch(self) -> None:
        """Start what may start, each on a thread of the pool."""
        while (run := self.next_run()) is not None:
            self._pool.submit(self.work, run)

    def next_run(self) -> Run | None:
        job_id = self.scheduler.pick()
        if job_id is None:
            return None
        job = self.ledger.jobs[job_id]
        step = job.current
        if step is None:
            raise AssertionError(f"job {job_id} was scheduled without a step to run")
        index = job.steps.index(step) if len(job.steps) > 1 else 0
        step = job.own_steps()[index]
        self._tokens += 1
        run = Run(self, job, index, f"{self._token_prefix}-{self._tokens}")
        self.runs[job_id] = run
        self.started_something = True
        if self.clock_sleeps:
            self.clock_sleeps = False
            self.wake.set()
        now = timestamp()
        steps = step_started(index, now, step.attempt or 1)
        step.__dict__.update(steps[str(index)])
        first = job.started_at is None
        if first:
            self.expiring.pop(job_id, None)
        fields = job_started(after(job.state, Trigger.START), now if first else None, job.not_before is not None)
        self.ledger.record("step_started", job, fields, steps, now)
        return run

    def work(self, run: Run | None) -> None:
        """On a pool thread: run a step, then whatever is next, until nothing may start."""
        while run is not None:
            if run.abandoned:
                return
            backend = self.registry.backend(run.step.backend)
            began = time.perf_counter()
            outcome = execute(run, backend)
            short = time.perf_counter() - began < _SHORT
            del backend
            # In a stream of steps that take no time, threads would do little but hand the lock to each other.
            crowded = not self.lock.acquire(blocking=False)
            if crowded:
                self.lock.acquire()
            try:
                self._short_steps = self._short_steps + 1 if short else 0
                run = self.finish(run, outcome, stream=self._short_steps > _STREAM, crowded=crowded)
            except Exception:
                # Nobody looks at the executor's futures: without this line a mistake in here would leave no trace.
                _log.critical("The end of a step could not be processed", exc_info=True)
                raise
            finally:
                self.lock.release()
            if self._log_lines:
                self.write_log_lines()

    def finish(self, run: Run, outcome: Outcome, *, stream: bool = False, crowded: bool = False) -> Run | None:
        """Take the outcome of a step; returns the step that this thread runs next, if any.

        In a stream of very short steps this thread leaves the next step to another one where they are in each other's way, and
        starting further threads to the clock's next look.
        """
        if run.abandoned:
            # Someone else has the job by now. The late result counts for nothing.
            _log.info("Job %s: a late result of step %s (attempt given up) was refused", run.job.id, run.step.name)
            return None
        self.settle(run, outcome)
        # The clock prunes: what many threads free stays behind in the allocator's caches of each of them, for good.
        if len(self.ledger.finished_order) > self.limits.finished_kept + _LEFT_TO_CLOCK:
            self.prune()
        mine = None
        if not self.closing and not (stream and crowded and self.runs):
            mine = self.next_run()
        if not stream:
            self.dispatch()
        self.ledger.flush()
        if self.closing or self.held:
            self.changed.notify_all()
        return mine

    def settle(self, run: Run, outcome: Outcome) -> None:
        """What a step's end means for its job."""
        job, step = run.job, run.step
        del self.runs[job.id]
        self.scheduler.release(job.id)
        seconds = run.elapsed
        changes: dict[str, Json] = {}
        if run.stage or run.data:
            changes["stage"], changes["data"] = run.stage, dict(run.data)
        if run.worker_id:
            changes["worker"] = run.worker_id
        if run.peak_memory_mb:
            changes["peak_memory_mb"] = round(run.peak_memory_mb, 1)
        if isinstance(outcome, StepResult):
            # An interrupted step says nothing about a whole one; of steps that take no time it is enough to know that.
            if not run.resumed_seconds and (seconds > _WORTH_LEARNING or not self.durations.knows(step.backend)):
                estimate = self.forecaster.estimate(job, step)
                self.durations.observe(step.backend, estimate.key, estimate.work, seconds, run.samples)
            self.complete_step(job, run, outcome, seconds, changes)
            return
        changes["seconds"] = round(seconds, 3)
        step.__dict__.update(changes)
        if isinstance(outcome, StepStopped) and run.stop_reason is not None:
            reason = run.stop_reason
            if reason in (StopReason.TIMEOUT, StopReason.STALLED):
                outcome = _timed_out(step, reason)
            else:
                self.stopped(job, run, changes)
                return
        elif isinstance(outcome, StepStopped):
            outcome = MotionQueueError(
                "backend_contract", f"The backend of step {step.name!r} stopped without having been asked to."
            )
        self.step_failed(job, run, outcome, changes)

    def complete_step(self, job: Job, run: Run, result: StepResult, seconds: float, changes: dict[str, Json]) -> None:
        step = run.step
        now = timestamp()
        steps = step_completed(run.index, now, round(seconds, 3))
        if result.artefacts:
            changes["artefacts"] = [a.to_json() for a in result.artefacts]
        if result.data:
            changes["result"] = dict(result.data)
        if step.error is not None:  # of an earlier attempt
            changes["error"] = None
        if changes:
            steps = {str(run.index): {**steps[str(run.index)], **changes}}
        step.__dict__.update(steps[str(run.index)])
        if result.artefacts:
            step.__dict__["artefacts"] = result.artefacts
        self.go_on(job, steps, "step_completed", at=now)

    def go_on(self, job: Job, steps: StepChanges, name: str, *, at: float | None = None, **fields: Any) -> None:
        """A step is over and the job is not lost: skip what cannot run, then the next step, a pause, or the end.

        `at`: when that was, to the millisecond; None: now.
        """
        while (step := job.current) is not None and step.needs:
            done = {s.name for s in job.steps if s.state is StepState.COMPLETED}
            if done.issuperset(step.needs):
                break
            step.__dict__["state"] = StepState.SKIPPED
            steps = {**steps, str(job.steps.index(step)): {"state": StepState.SKIPPED}}
        if step is None:
            if degraded := _degraded(job):
                fields["degraded"] = degraded
            self.end(job, "job_completed", after(job.state, Trigger.FINISH), steps, at=at, **fields)
        elif job.state is JobState.STOPPING:
            self.end(job, "job_cancelled", after(job.state, Trigger.STOPPED), steps, **fields)
        elif job.pause_requested:
            self.ledger.change("job_paused", job, steps, state=after(job.state, Trigger.PAUSE), pause_requested=False, **fields)
        else:
            self.ledger.change(name, job, steps, **fields)
            self.enqueue((job,))

    def stopped(self, job: Job, run: Run, changes: dict[str, Json]) -> None:
        """The step stopped because it was asked to: cancel, pause or shutdown."""
        if job.state is JobState.STOPPING:
            changes["state"] = StepState.CANCELLED
            run.step.__dict__["state"] = StepState.CANCELLED
            self.end(job, "job_cancelled", after(job.state, Trigger.STOPPED), {str(run.index): changes})
            return
        changes |= {"state": StepState.PENDING, "progress": round(run.fraction, 4)}
        run.step.__dict__.update(changes)
        if job.pause_requested:
            self.ledger.change(
                "job_paused", job, {str(run.index): changes}, state=after(job.state, Trigger.PAUSE), pause_requested=False
            )
            return
        self.ledger.change("job_interrupted", job, {str(run.index): changes}, state=after(job.state, Trigger.INTERRUPT))
        self.enqueue((job,))

    def step_failed(self, job: Job, run: Run, error: MotionQueueError, changes: dict[str, Json]) -> None:
        step = run.step
        value = self._job_error(job, error)
        self._log_lines.append((job.id, "error", f"Step {step.name} (attempt {step.attempt}) failed: {error}"))
        changes["error"] = value.to_json()
        if job.state is JobState.STOPPING:
            changes["state"] = StepState.CANCELLED
            step.__dict__.update(state=StepState.CANCELLED, error=value)
            self.end(job, "job_cancelled", after(job.state, Trigger.FAIL), {str(run.index): changes})
            return
        if error.retryable and step.attempt < step.max_attempts:
            wait = min(self.limits.retry_cap, self.limits.retry_base * 2.0 ** (step.attempt - 1)) * self._random.uniform(0.5, 1.5)
            changes |= {
                "state": StepState.PENDING,
                "attempt": step.attempt + 1,
                "progress": 0.0,
                "seconds": 0.0,
                "external_ref": "",
            }
            step.__dict__.update({**changes, "error": value})
            self.meter.retries += 1
            self.ledger.change(
                "job_retrying",
                job,
                {str(run.index): changes},
                state=after(job.state, Trigger.RETRY),
                attempt=job.attempt + 1,
                not_before=time.time() + wait,
            )
            self.forecaster.forget(job.id)
            if job.pause_requested:
                self.pause_now(job)
            else:
                self.enqueue((job,))
            return
        changes |= {"state": StepState.FAILED, "completed_at": time.time()}
        step.__dict__.update({**changes, "error": value})
        if step.optional:
            self.go_on(job, {str(run.index): changes}, "step_failed")
            return
        self.end(job, "job_failed", after(job.state, Trigger.FAIL), {str(run.index): changes}, error=value)

    def fail(self, job: Job, step: Step | None, error: MotionQueueError) -> None:
        """The job's next step can never run. An optional step is given up alone."""
        value = self._job_error(job, error)
        steps: dict[str, dict[str, Json]] = {}
        if step is not None:
            index = job.steps.index(step)
            step = job.own_steps()[index]
            step.__dict__.update(state=StepState.FAILED, error=value)
            steps[str(index)] = {"state": StepState.FAILED, "error": value.to_json()}
            if step.optional:
                self.go_on(job, steps, "step_failed")
                return
        self._log_lines.append((job.id, "error", str(error)))
        self.wake.set()
        self.end(job, "job_failed", after(job.state, Trigger.FAIL), steps, error=value)

    def _job_error(self, job: Job, error: MotionQueueError) -> JobError:
        """The error as a value that names the job's log, by its place in the store: asking the store could touch the disk."""
        return replace(error.as_job_error(), log="" if self._store is None else f"logs/{job.id}.log")

    def end(
        self,
        job: Job,
        name: str,
        state: JobState,
        steps: StepChanges,
        *,
        at: float | None = None,
        **fields: Any,
    ) -> None:
        """A terminal state: it never changes again. `at`: when that was, to the millisecond; None: now."""
        if name != "job_completed":  # then nothing is left
            for index, step in enumerate(job.own_steps()):
                if step.state is StepState.PENDING:
                    step.__dict__["state"] = StepState.SKIPPED
                    steps = {**steps, str(index): {**steps.get(str(index), {}), "state": StepState.SKIPPED}}
        if job.pause_requested:
            fields["pause_requested"] = False
        now = timestamp() if at is None else at
        waited = None if job.started_at is None else job.started_at - (job.queued_at or job.created_at)
        if fields:
            self.ledger.change(name, job, steps or None, at=now, state=state, completed_at=now, **fields)
        else:
            self.ledger.record(name, job, job_ended(state, now), steps or None, now)
        self.expiring.pop(job.id, None)
        self.meter.ended(str(state), waited, job.processing_time)
        self.forecaster.forget(job.id)

    def cancel(self, job: Job) -> None:
        if job.finished:
            return
        run = self.runs.get(job.id)
        if run is None:
            self.unqueue(job)
            # Between two steps a running job has nothing that must stop first.
            state = after(job.state, Trigger.CANCEL)
            if state is JobState.STOPPING:
                state = after(state, Trigger.STOPPED)
            self.end(job, "job_cancelled", state, {})
            return
        if job.state is not JobState.STOPPING:
            self.ledger.change("job_stopping", job, state=after(job.state, Trigger.CANCEL))
        self.ask(run, StopReason.CANCEL)

    def pause_now(self, job: Job) -> None:
        state = after(job.state, Trigger.PAUSE)
        self.unqueue(job)
        self.ledger.change("job_paused", job, state=state, pause_requested=False)

    def ask(self, run: Run, reason: StopReason) -> None:
        for callback in run.ask_stop(reason):
            self.stop_callbacks.append((callback, run.stop_reason or reason))

    def abandon(self, run: Run, why: str) -> None:
        """Give up a worker that does not stop. Its thread may go on; its token is stale, and its slot is free."""
        run.abandoned = True
        self.meter.abandoned += 1
        _log.error("Job %s: step %s %s; its worker was given up", run.job.id, run.step.name, why)
        self._log_lines.append((run.job.id, "error", f"Step {run.step.name} {why}; its worker was given up."))
        self.settle(run, StepStopped(run.stop_reason or StopReason.CANCEL))
        if not self.closing:
            self._pool.replace()
        self.changed.notify_all()

    def reorder(self, job: Job, priority: int, position: float, name: str) -> None:
        self.ledger.reorder(job, priority, position, name)
        self.scheduler.rekey(job.id, order_key(job.id, priority, position))

    def hold(self, reason: str, message: str) -> None:
        self.held[reason] = message
        self.scheduler.held = True

    def unhold(self, reason: str) -> None:
        self.held.pop(reason, None)
        self.scheduler.held = bool(self.held)
        self.dispatch()

    def prune(self) -> None:
        finished = self.ledger.finished_order
        over = len(finished) - self.limits.finished_kept
        # Some slack, so that a stream of short jobs is pruned in batches.
        if over <= self.limits.finished_kept // 4:
            return
        ids: list[str] = []
        for job_id in finished:
            if len(ids) == over or not self.is_durable(job_id):
                break
            if job_id not in self.waited:
                ids.append(job_id)
        if ids:
            self.forget(ids)

    def forget(self, ids: Sequence[str]) -> None:
        for job_id in ids:
            if job_id in self.callbacks:
                self.departed[job_id] = self.ledger.jobs[job_id]
        self.ledger.remove(ids)

    def is_durable(self, job_id: str) -> bool:
        """The job is over, and that is on disk."""
        return job_id in self.ledger.finished_order and Job.known(self.ledger.jobs[job_id])["revision"] <= self.durable

    def is_idle(self) -> bool:
        return self.ledger.unfinished() == self.ledger.count(JobState.PAUSED) and self.durable >= self.ledger.seq_of_sync

    def stage(self, job: Job, run: Run | None) -> str:
        if run is not None:
            return run.stage or run.step.name
        if job.finished:
            return ""
        step = job.current
        if job.id in self.delayed:
            return "waiting to try again" if job.attempt > 1 else "waiting for its time"
        if step is not None and not self.registry.has_backend(step.backend):
            return f"waiting for backend {step.backend}, which is not registered"
        if self.scheduler.is_too_large(job.id):
            return f"waiting for a memory limit above {self.limits.memory_mb:.0f} MB"
        if step is not None and job.state in (JobState.RUNNING, JobState.QUEUED):
            return self.held_text() or f"waiting for {step.lane}"
        return str(job.state)

    def held_text(self) -> str:
        return next(iter(self.held.values()), "")

    def view(self, job: Job) -> Job:
        view = job.copy()
        forecast = self.forecaster.of(job, self.runs.get(job.id))
        run = self.runs.get(job.id)
        if run is not None:
            view.steps[run.index].__dict__.update(
                progress=run.fraction,
                stage=run.stage,
                data=dict(run.data),
                seconds=run.elapsed,
                worker=run.worker_id,
                heartbeat_at=run.heartbeat_at,
                peak_memory_mb=run.peak_memory_mb,
            )
        view.__dict__.update(
            progress=forecast.progress,
            stage=self.stage(job, run),
            estimated_duration=forecast.total,
            eta_seconds=forecast.eta,
            eta_is_guess=forecast.guess,
            queue_position=self.scheduler.position(job.id),
        )
        return view

    def call_stop_callbacks(self) -> None:
        """Without the lock; the clock and `close` may do this at the same time."""
        while True:
            try:
                callback, reason = self.stop_callbacks.popleft()
            except IndexError:
                return
            try:
                callback(reason)
            except Exception:
                _log.exception("A backend's stop callback failed")

    def write_log_lines(self) -> None:
        """Without the lock."""
        while self._log_lines:
            try:
                line = self._log_lines.popleft()
            except IndexError:
                return  # another thread was faster
            self.write_job_log(*line)

    def save_durations(self) -> None:
        if self.durations.changed:
            self.durations.changed = False
            self.ledger.note("durations_learned", sync=False, durations=self.durations.to_json())

    def end_threads(self, deadline: float) -> bool:
        """Wait for the pool's threads until `deadline`; True when all ended. Without the lock."""
        return self._pool.end(deadline)


def _degraded(job: Job) -> str:
    """What is missing of a job that completes, and why; empty when nothing is."""
    if len(job.steps) == 1 and job.steps[0].state is StepState.COMPLETED:
        return ""
    lost = [s for s in job.steps if s.state in (StepState.FAILED, StepState.SKIPPED)]
    return "; ".join(f"{s.name}: {s.error.message} [{s.error.code}]" if s.error else f"{s.name}: not run" for s in lost)


def _timed_out(step: Step, reason: StopReason) -> MotionQueueError:
    if reason is StopReason.TIMEOUT:
        return MotionQueueError(
            "timeout",
            f"The step {step.name!r} took longer than its limit of {step.timeout:g} s and was stopped. "
            "Raise the limit, or make the work smaller.",
            retryable=True,
        )
    return MotionQueueError(
        "stalled",
        f"The step {step.name!r} made no progress for {step.stall_timeout:g} s and was stopped. "
        "The job's log says how far it was; retry it, or give it more time without progress.",
        retryable=True,
    )
