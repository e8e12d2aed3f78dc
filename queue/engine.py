# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: what other code asks of the queue. Submit, register, subscribe, query, and everything a person can do to a job.

It knows backends, the journal and the artefact store only by their protocols, does no I/O and imports no bpy.
"""

from __future__ import annotations

import gc
import logging
import os
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .channel import ENDS, Channel, Event, Pump
from .clock import Clock, health_of
from .contract import ArtefactStore, Backend, Health, JobState, Journal, Json, Record, StepSpec, StopReason, Workflow
from .core import Core
from .errors import MotionQueueError, StoreError
from .ledger import states_of
from .memory_journal import MemoryJournal
from .metrics import Metrics
from .model import DEFAULT_PRIORITY, Job, JobSpec, Limits, Page, PristineSteps, Ticket
from .pool import THREADS
from .scheduler import order_key
from .states import TERMINAL, Trigger, after
from .values import plain_copy

_log = logging.getLogger(__name__)

# Fields that a new job takes over from its spec where they are not empty.
_COPIED = (
    "label",
    "payload",
    "inputs",
    "project_id",
    "batch_id",
    "metadata",
    "callback_url",
    "idempotency_key",
    "retry_of",
    "source",
)
_JSON = frozenset({"payload", "metadata", "source"})
_ENDED_BEFORE = "job_ended_before"  # not a journal record: tells a late callback that its job is over already


class Engine:
    """Thread-safe. Register backends and workflows, `start`, and at the end `close`."""

    def __init__(
        self,
        *,
        journal: Journal | None = None,
        store: ArtefactStore | None = None,
        limits: Limits | None = None,
        job_log: Callable[[str, str, str], None] | None = None,
        on_finished: Callable[[Sequence[Job]], None] | None = None,
    ) -> None:
        """`job_log(job id, level, line)` writes a job's own log. `on_finished` gets copies of jobs once their end is durable.

        It is called on the journal's thread and must be quick.
        """
        checked = _checked(limits or Limits())
        self._core = Core(
            journal=journal if journal is not None else MemoryJournal(), store=store, limits=checked, job_log=job_log
        )
        self._on_finished = on_finished
        self._events: deque[Record] = deque(maxlen=checked.events_kept)
        self._closed = False
        self._storage_error: StoreError | None = None  # while the journal cannot be written
        self._first_event = 1  # the oldest event that can be replayed
        self._channel = Channel()
        self._clock = Clock(self._core, self._channel)
        self.pump = Pump(self._channel)
        self.pump.subscribe(self._call_back)
        self.recovery_notes: tuple[str, ...] = ()

    # ------------------------------------------------------------------ start and end

    def start(self) -> None:
        """Open the journal, take up what it holds, and begin to run. `StoreError` when the journal cannot be opened.

        Register backends and workflows before: recovered jobs of a backend that comes later wait for it.
        """
        with _collector_off():
            notes = self._take_up()
        for note in notes:
            _log.warning("%s", note)

    def _take_up(self) -> list[str]:
        """Read the journal and continue what it holds; returns notes for people."""
        core = self._core
        recovered = core.journal.open()
        core.journal.listen(self._on_durable, self._on_journal_error)
        with core.lock:
            core.ledger.seq = recovered.last_seq
            core.durable = recovered.last_seq
            self._first_event = recovered.last_seq + 1
            notes = list(recovered.notes)
            self._load_meta(recovered.meta, notes)
            jobs = []
            for job_id, record in recovered.jobs.items():
                try:
                    jobs.append(Job.from_record({**record, "id": job_id}))
                except (KeyError, TypeError, ValueError) as error:
                    notes.append(f"Job {job_id} could not be read ({type(error).__name__}: {error}) and was left out.")
            core.ledger.adopt_many(jobs)
            self.recovery_notes = tuple(notes)
            core.recover_unfinished(clean=recovered.clean)
            core.prune()
            core.dispatch()
            core.ledger.flush()
            self._clock.start()
        return notes

    def begin_close(self) -> None:
        """Start nothing more and ask every running step to stop. `close` does this too; call it to end children meanwhile."""
        core = self._core
        with core.lock:
            if core.closing:
                return
            core.closing = True
            core.hold("closing", "The queue is closing.")
            for run in core.runs.values():
                core.ask(run, StopReason.SHUTDOWN)
        core.call_stop_callbacks()
        core.write_log_lines()

    def close(self, timeout: float = 2.0) -> bool:
        """Stop everything within `timeout` seconds. Running jobs go back to the queue. True when every thread ended by itself."""
        core = self._core
        deadline = time.monotonic() + timeout
        self.begin_close()
        with core.changed:
            if self._closed:
                return True
            self._closed = True
            # Most of the time is for the backends; the rest for the journal and the threads.
            core.changed.wait_for(lambda: not core.runs, max(0.0, (deadline - time.monotonic()) * 0.6))
            for run in list(core.runs.values()):
                core.abandon(run, "did not stop at shutdown")
            core.save_durations()
            core.ledger.flush()
            core.changed.notify_all()
        core.write_log_lines()
        self._clock.join(max(0.1, deadline - time.monotonic()))
        clean = core.end_threads(deadline)
        try:
            core.journal.close(max(0.2, deadline - time.monotonic()))
        except StoreError as error:
            _log.error("The journal could not be closed cleanly: %s", error)
            return False
        return clean

    # ------------------------------------------------------------------ registering

    def register_backend(self, backend: Backend) -> None:
        with self._core.lock:
            self._core.registry.add_backend(backend)
            if getattr(backend, "hold_while_away", False):
                # Its jobs start once it has said that it is there.
                self._core.scheduler.hold_backend(backend.name)
                if self._clock.started:
                    self._clock.ask_health(backend)
            else:
                self._core.scheduler.free_backend(backend.name)
            self._core.dispatch()
            self._core.ledger.flush()
        self._core.wake.set()

    def register_workflow(self, workflow: Workflow) -> None:
        with self._core.lock:
            self._core.registry.add_workflow(workflow)

    def workflows(self) -> tuple[str, ...]:
        with self._core.lock:
            return self._core.registry.workflow_names()

    def check_backends(self) -> dict[str, Health]:
        """Ask every backend how it is. May take a while."""
        with self._core.lock:
            backends = self._core.registry.backends()
        return {backend.name: health_of(backend) for backend in backends}

    # ------------------------------------------------------------------ what callers ask for

    def submit(self, spec: JobSpec) -> Ticket:
        """Queue one job. `MotionQueueError` when it is refused: unknown workflow, wrong payload, queue full, …"""
        return self.submit_many((spec,))

    def submit_many(self, specs: Sequence[JobSpec]) -> Ticket:
        """Queue jobs in one durable write: all of them, or none and an error."""
        core = self._core
        now = round(time.time(), 3)
        with core.lock:
            self._refuse_if_not_open()
            # First everything that may be refused, so that a batch is taken whole or not at all.
            ids: list[str] = []
            new: dict[str, Job] = {}
            exclusive: list[tuple[StepSpec, ...]] = []
            same: dict[tuple[str, str], str] = {}
            for spec in specs:
                identity = (spec.project_id, spec.idempotency_key)
                if spec.idempotency_key:
                    known = same.get(identity) or core.ledger.by_idempotency_key(*identity)
                    if known is not None:
                        ids.append(known)
                        continue
                planned = core.registry.plan(spec)
                job = _new_job(spec, planned.steps, now)
                if job.id in core.ledger.jobs or job.id in new:
                    raise MotionQueueError(
                        "duplicate_id", f"A job with the id {job.id!r} exists already; leave the id empty or choose another."
                    )
                if spec.idempotency_key:
                    same[identity] = job.id
                if any(step.exclusive_key for step in planned.specs):
                    exclusive.append(planned.specs)
                new[job.id] = job
                ids.append(job.id)
            self._check_room(new.values(), exclusive)
            for job in new.values():
                core.ledger.submit(job)
                core.unsaved.append((job.revision, job.id))
                core.enqueue(job)
            core.dispatch()
            return self._ticket(ids)

    def cancel(self, job_id: str) -> Ticket:
        """Cancel a job. A running step is asked to stop; a job that is over stays as it is."""
        return self.cancel_many((job_id,))

    def cancel_many(self, job_ids: Iterable[str]) -> Ticket:
        with self._core.lock:
            ids = list(job_ids)
            for job in [self._core.ledger.get(job_id) for job_id in ids]:
                self._core.cancel(job)
            self._core.dispatch()
            ticket = self._ticket(ids)
        self._call_stop_callbacks_soon()
        return ticket

    def cancel_batch(self, batch_id: str) -> Ticket:
        """Cancel what is not over of a batch."""
        with self._core.lock:
            return self.cancel_many([i for i in self._core.ledger.batch(batch_id) if not self._core.ledger.jobs[i].finished])

    def pause(self, job_id: str) -> Ticket:
        """Pause a job: at once while it waits, at its next checkpoint (or the end of the step) while it runs."""
        with self._core.lock:
            job = self._core.ledger.get(job_id)
            run = self._core.runs.get(job_id)
            if run is not None and job.state is JobState.RUNNING:
                if not job.pause_requested:
                    self._core.ledger.change("job_pausing", job, pause_requested=True)
                    if self._core.registry.backend(run.step.backend).can_pause:
                        self._core.ask(run, StopReason.PAUSE)
            else:
                self._core.pause_now(job)
            ticket = self._ticket([job_id])
        self._call_stop_callbacks_soon()
        return ticket

    def resume(self, job_id: str) -> Ticket:
        """Let a paused job go on, or take back a pause that has not taken effect."""
        with self._core.lock:
            job = self._core.ledger.get(job_id)
            if job.pause_requested and job.state is JobState.RUNNING:
                self._core.ledger.change("job_resumed", job, pause_requested=False)
            else:
                self._core.ledger.change("job_resumed", job, state=after(job.state, Trigger.RESUME), pause_requested=False)
                self._core.enqueue(job)
                self._core.dispatch()
            return self._ticket([job_id])

    def pause_queue(self) -> Ticket:
        """Start nothing more; what runs goes on."""
        with self._core.lock:
            self._core.hold("paused", "The queue is paused.")
            self._core.ledger.note("queue_paused", paused=True)
            return self._ticket([])

    def resume_queue(self) -> Ticket:
        with self._core.lock:
            self._core.ledger.note("queue_resumed", paused=False)
            self._core.unhold("paused")
            return self._ticket([])

    def move(self, job_id: str, to: str | int) -> Ticket:
        """Reorder a waiting job: "up", "down", "top", "bottom", or a 0-based place among all unfinished jobs.

        Its priority changes only where the place asked for lies among jobs of another priority.
        """
        with self._core.lock:
            job = self._core.ledger.get(job_id)
            if job.finished:
                raise MotionQueueError("wrong_state", f"The job is {job.state}; only jobs that are not over can be moved.")
            size = self._core.ledger.unfinished()
            if isinstance(to, bool) or not isinstance(to, str | int):
                raise MotionQueueError("bad_position", f"{to!r} is no place; use up, down, top, bottom or a number from 0.")
            if isinstance(to, str):
                own = self._core.ledger.order.rank(order_key(job.id, job.priority, job.position)) if to in ("up", "down") else 0
                places = {"up": own - 1, "down": own + 1, "top": 0, "bottom": size - 1}
                if to not in places:
                    raise MotionQueueError("bad_position", f"{to!r} is no place; use up, down, top, bottom or a number from 0.")
                to = places[to]
            for each, priority, position in self._core.ledger.place(job, to):
                self._core.reorder(each, priority, position, "job_moved")
            self._core.dispatch()
            return self._ticket([job_id])

    def set_priority(self, job_id: str, priority: int) -> Ticket:
        """0–100, higher first."""
        with self._core.lock:
            job = self._core.ledger.get(job_id)
            if job.finished:
                raise MotionQueueError("wrong_state", f"The job is {job.state}; its priority means nothing any more.")
            self._core.reorder(job, _checked_priority(priority), job.position, "job_priority")
            self._core.dispatch()
            return self._ticket([job_id])

    def retry(self, job_id: str, payload: Mapping[str, Json] | None = None, *, priority: int | None = None) -> Ticket:
        """Queue a job that is over once more, as a new job; with `payload` instead of the old one where given."""
        with self._core.lock:
            job = self._core.ledger.get(job_id)
            if not job.finished:
                raise MotionQueueError("wrong_state", f"The job is {job.state}; only a job that is over can be retried.")
            return self.submit(
                JobSpec(
                    workflow=job.workflow,
                    payload=job.payload if payload is None else payload,
                    label=job.label,
                    project_id=job.project_id,
                    batch_id=job.batch_id,
                    inputs=job.inputs,
                    metadata=job.metadata,
                    priority=job.priority if priority is None else priority,
                    callback_url=job.callback_url,
                    retry_of=job.id,
                    source=job.source,
                )
            )

    def clear_finished(self, states: Iterable[JobState] = TERMINAL) -> Ticket:
        """Forget jobs that are over. No file is touched."""
        chosen = set(states)
        with self._core.lock:
            ids = [
                i
                for i in self._core.ledger.finished_order
                if self._core.ledger.jobs[i].state in chosen and self._core.is_durable(i) and i not in self._core.waited
            ]
            if ids:
                self._core.forget(ids)
            return self._ticket(ids)

    # ------------------------------------------------------------------ looking

    def get(self, job_id: str) -> Job:
        """A copy of a job with its progress, ETA and queue position."""
        with self._core.lock:
            return self._core.view(self._core.ledger.get(job_id))

    def query(
        self,
        *,
        project: str | None = None,
        batch: str | None = None,
        state: str | JobState | Iterable[str] | None = None,
        workflow: str | None = None,
        since: float | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page:
        """Jobs in order of arrival. `since`: created after (seconds since the epoch). Uses indexes; `limit` at most 10,000."""
        if offset < 0 or not 0 <= limit <= 10_000:
            raise MotionQueueError("bad_query", "offset must not be negative and limit must be between 0 and 10,000.")
        states = states_of(state)
        with self._core.lock:
            jobs, total = self._core.ledger.query(
                project=project, batch=batch, workflow=workflow, state=states, since=since, offset=offset, limit=limit
            )
            return Page(tuple(map(self._core.view, jobs)), total, offset)

    def failed(self, *, offset: int = 0, limit: int = 100) -> Page:
        """The failed list: jobs that used up their attempts. Nothing picks them up again by itself."""
        return self.query(state=JobState.FAILED, offset=offset, limit=limit)

    def counts(self) -> dict[str, int]:
        with self._core.lock:
            return {str(state): self._core.ledger.count(state) for state in JobState}

    def order(self, *, offset: int = 0, limit: int = 100) -> tuple[str, ...]:
        """Ids of unfinished jobs in the order in which they should run."""
        with self._core.lock:
            return tuple(key[2] for key in self._core.ledger.order.slice(offset, offset + limit))

    def metrics(self) -> Metrics:
        with self._core.lock:
            meter = self._core.meter
            return Metrics(
                states={str(state): self._core.ledger.count(state) for state in JobState},
                finished=dict(meter.finished),
                waiting=meter.waiting,
                running=meter.running,
                per_minute=meter.per_minute,
                lanes=self._core.scheduler.lane_counts(),
                memory_used_mb=self._core.scheduler.memory_used_mb,
                retries=meter.retries,
                abandoned_threads=meter.abandoned,
            )

    @property
    def limits(self) -> Limits:
        return self._core.limits

    @property
    def held(self) -> dict[str, str]:
        """Why nothing starts, if so: reason → explanation."""
        with self._core.lock:
            return dict(self._core.held)

    def set_limits(self, **changes: Any) -> Limits:
        """Change fields of `Limits` while jobs run. Returns the new limits."""
        with self._core.lock:
            before, limits = self._core.limits, _checked(replace(self._core.limits, **changes))
            self._core.limits = limits
            self._core.scheduler.set_limits(total=limits.total, lanes=limits.lanes, memory_mb=limits.memory_mb)
            if limits.memory_mb and not before.memory_mb:
                self._core.ask_for_memory()
            if self._events.maxlen != limits.events_kept:
                self._events = deque(self._events, maxlen=limits.events_kept)
                self._note_first_event()
            self._core.prune()
            self._core.dispatch()
            self._core.ledger.flush()
            return limits

    # ------------------------------------------------------------------ events and waiting

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back on the pump's thread for every durable state change and for progress; returns the function that ends it."""
        return self.pump.subscribe(callback)

    def on_finished(self, job_id: str, callback: Callable[[Job], None]) -> Callable[[], None]:
        """Call back once, on the pump's thread, when the job is over (or is already). Returns the function that ends it."""
        with self._core.lock:
            job = self._core.ledger.get(job_id)
            self._core.callbacks.setdefault(job_id, []).append(callback)
            if job.finished and job.revision <= self._core.durable:
                # Over and published already: its record goes through the channel once more, for this callback alone.
                self._channel.post([Record(job.revision, job.completed_at or 0.0, _ENDED_BEFORE, job_id, {}, None, True)])

        def unsubscribe() -> None:
            with self._core.lock:
                callbacks = self._core.callbacks.get(job_id, [])
                if callback in callbacks:
                    callbacks.remove(callback)
                if not callbacks:
                    self._core.callbacks.pop(job_id, None)
                    self._core.departed.pop(job_id, None)

        return unsubscribe

    def events(self, since: int, limit: int = 1000) -> tuple[tuple[Record, ...], bool]:
        """Durable records with a larger id than `since`, oldest first, and whether some before them are gone (resync)."""
        with self._core.lock:
            resync = since + 1 < self._first_event or since > self._core.durable
            start = 0 if resync else since + 1 - self._first_event
            return tuple(self._events[i] for i in range(start, min(start + limit, len(self._events)))), resync

    @property
    def last_event(self) -> int:
        """The id of the newest durable event."""
        return self._core.durable

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Block until the job is over and that is durable, or the timeout passed; the job as it then is."""
        with self._core.changed:
            self._core.ledger.get(job_id)
            self._core.waited[job_id] += 1
            try:
                self._core.changed.wait_for(
                    lambda: self._core.closing or job_id not in self._core.ledger.jobs or self._core.is_durable(job_id), timeout
                )
                return self._core.view(self._core.ledger.get(job_id))
            finally:
                self._core.waited[job_id] -= 1
                if not self._core.waited[job_id]:
                    del self._core.waited[job_id]

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Block until no job is unfinished except paused ones, and all that is durable."""
        with self._core.changed:
            return self._core.changed.wait_for(lambda: self._core.closing or self._core.is_idle(), timeout)

    def drain(self, timeout: float | None = None) -> bool:
        """Start no step more and wait for the running ones to end. `undrain` starts again."""
        with self._core.changed:
            self._core.hold("draining", "The queue is draining.")
            return self._core.changed.wait_for(lambda: self._core.closing or not self._core.runs, timeout)

    def undrain(self) -> None:
        with self._core.lock:
            self._core.unhold("draining")
            self._core.ledger.flush()

    # ------------------------------------------------------------------ inside

    def _check_room(self, new: Collection[Job], exclusive: Sequence[tuple[StepSpec, ...]]) -> None:
        """Refuse jobs for which there is no room, or whose exclusive key is taken where they do not want to wait for it."""
        limits, ledger = self._core.limits, self._core.ledger
        waiting = ledger.count(JobState.QUEUED) + ledger.count(JobState.PAUSED)
        if waiting + len(new) > limits.max_queued:
            running = self._core.meter.running
            seconds = max(1.0, running.p50) if running else 10.0
            raise MotionQueueError(
                "queue_full",
                f"The queue holds {waiting} waiting jobs and takes at most {limits.max_queued}. "
                f"Try again in {seconds:.0f} s, or raise the limit.",
                details={"retry_after": f"{seconds:.0f}"},
                retryable=True,
            )
        if limits.max_active_per_project:
            for project, count in Counter(job.project_id for job in new if job.project_id).items():
                active = ledger.active_in_project(project)
                if active + count > limits.max_active_per_project:
                    raise MotionQueueError(
                        "project_full",
                        f"The project {project!r} has {active} unfinished jobs and may have {limits.max_active_per_project}. "
                        "Wait for some, or cancel some.",
                        details={"project_id": project},
                        retryable=True,
                    )
        taken: set[str] = set()
        for steps in exclusive:
            for step in steps:
                key = step.exclusive_key
                if key and step.on_conflict == "reject" and (key in taken or ledger.wants_key(key)):
                    raise MotionQueueError(
                        "key_taken",
                        f"Another job holds or waits for {key!r}, and only one may. Wait for it, or cancel it.",
                        details={"exclusive_key": key},
                        retryable=True,
                    )
            taken.update(step.exclusive_key for step in steps if step.exclusive_key)

    def _refuse_if_not_open(self) -> None:
        if self._core.closing:
            raise MotionQueueError("closing", "The queue is closing and takes no more jobs.", retryable=True)
        if not self._clock.started:
            raise MotionQueueError("not_started", "Call start() before the first job.")
        if self._storage_error is not None:
            error = self._storage_error
            raise StoreError(error.code, error.message, details=error.details, retryable=True)

    def _ticket(self, job_ids: Iterable[str]) -> Ticket:
        return Ticket(tuple(job_ids), self._core.ledger.flush(), self._core.journal.wait)

    def _load_meta(self, meta: Mapping[str, Json], notes: list[str]) -> None:
        if meta.get("paused"):
            self._core.hold("paused", "The queue is paused.")
        learned = meta.get("durations")
        if learned is not None:
            try:
                self._core.durations.load(learned)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                notes.append(
                    f"The learned durations could not be read ({type(error).__name__}: {error}); times are learned anew."
                )

    def _on_durable(self, records: Sequence[Record]) -> None:
        finished: list[Job] = []
        with self._core.changed:
            self._core.durable = records[-1].seq
            while self._core.unsaved and self._core.unsaved[0][0] <= self._core.durable:
                self._core.unsaved.popleft()
            self._events.extend(records)
            self._note_first_event()
            if self._on_finished is not None:
                for record in records:
                    if record.name in ENDS and (job := self._core.ledger.jobs.get(record.job)) is not None:
                        finished.append(self._core.view(job))
            self._core.changed.notify_all()
        self._channel.post(records)
        if finished and self._on_finished is not None:
            try:
                self._on_finished(finished)
            except Exception:
                # On the journal's thread: it must go on writing whatever its listeners do.
                _log.exception("What was to happen at the end of %d jobs failed", len(finished))

    def _note_first_event(self) -> None:
        self._first_event = self._events[0].seq if self._events else self._core.durable + 1

    def _on_journal_error(self, error: StoreError | None) -> None:
        with self._core.lock:
            self._storage_error = error
            if error is None:
                _log.warning("The journal can be written again")
                self._core.unhold("storage")
                self._core.ledger.flush()
                return
            _log.error("The journal cannot be written: %s", error)
            self._core.hold("storage", error.message)
            # Whoever submitted these was told that they are not safe; they must not run as if they were.
            unsaved, self._core.unsaved = self._core.unsaved, deque()
            for _seq, job_id in unsaved:
                job = self._core.ledger.jobs.get(job_id)
                if job is not None and job.state is JobState.QUEUED:
                    self._core.unqueue(job)
                    self._core.fail(job, None, error)
            self._core.ledger.flush()

    def _call_stop_callbacks_soon(self) -> None:
        """Callers may be Blender's main thread: the clock makes these calls."""
        if self._core.stop_callbacks:
            self._core.wake.set()

    def _call_back(self, event: Event) -> None:
        """Subscribed to the pump: completion callbacks."""
        record = event.record
        if event.resync:
            with self._core.lock:
                due = [i for i in self._core.callbacks if i in self._core.departed or self._core.is_durable(i)]
        elif record is not None and (record.name in ENDS or record.name == _ENDED_BEFORE):
            due = [record.job]
        else:
            return
        for job_id in due:
            with self._core.lock:
                callbacks = self._core.callbacks.pop(job_id, None)
                known = self._core.departed.pop(job_id, None) or self._core.ledger.jobs.get(job_id)
                job = self._core.view(known) if callbacks and known is not None else None
            for callback in callbacks or ():
                if job is None:
                    continue
                try:
                    callback(job)
                except Exception:
                    _log.exception("The completion callback of job %s failed", job_id)


@contextmanager
def _collector_off() -> Iterator[None]:
    """Taking up thousands of jobs makes a lot of objects and no garbage: looking for it takes longer than the rest."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _new_job(spec: JobSpec, steps: PristineSteps, now: float) -> Job:
    job = Job()
    values: dict[str, Any] = job.__dict__
    values["id"] = spec.id or str(uuid.UUID(bytes=os.urandom(16), version=4))
    values["workflow"] = spec.workflow
    values["steps"] = steps
    values["created_at"] = now
    for name in _COPIED:
        value = getattr(spec, name)
        if value:
            values[name] = plain_copy(value, f"the {name} of a job") if name in _JSON else value
    if spec.priority != DEFAULT_PRIORITY:
        values["priority"] = spec.priority
    if spec.not_before is not None:
        values["not_before"] = spec.not_before
    if spec.expires_after is not None:
        values["expires_at"] = now + spec.expires_after
    return job


def _checked_priority(priority: int) -> int:
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= 100:
        raise MotionQueueError("bad_priority", f"Priority {priority!r} is not a whole number between 0 and 100.")
    return priority


def _checked(limits: Limits) -> Limits:
    problems = {}
    if not 1 <= limits.total <= THREADS:
        problems["total"] = f"must be between 1 and {THREADS}"
    problems |= {f"lanes.{name}": "must not be negative" for name, limit in limits.lanes.items() if limit < 0}
    problems |= {
        name: "must not be negative"
        for name in (
            "memory_mb",
            "max_queued",
            "max_active_per_project",
            "finished_kept",
            "max_crashes",
            "retry_base",
            "retry_cap",
            "grace",
            "events_kept",
        )
        if not getattr(limits, name) >= 0
    }
    if problems:
        raise MotionQueueError("bad_limits", "These limits are out of range: " + ", ".join(problems) + ".", details=problems)
    return limits
