# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: what other code asks of the queue. Submit, register, subscribe, query, and everything a person can do to a job.

It knows backends, the journal and the artefact store only by their protocols, does no I/O and imports no bpy.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from . import recovery
from .admission import check_room, checked_limits, checked_priority, new_job
from .channel import Event
from .clock import Clock, health_of
from .contract import ArtefactStore, Backend, Health, JobState, Journal, Json, Record, StepSpec, StopReason, Workflow
from .core import Core
from .errors import MotionQueueError, StoreError
from .ledger import states_of
from .memory_journal import MemoryJournal
from .metrics import Metrics
from .model import Job, JobSpec, Limits, Page, Ticket, timestamp
from .publishing import Publisher
from .scheduler import order_key
from .states import TERMINAL, Trigger, after

_log = logging.getLogger(__name__)

_MANY = 1000  # jobs in one call


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
        checked = checked_limits(limits or Limits())
        self._core = Core(
            journal=journal if journal is not None else MemoryJournal(), store=store, limits=checked, job_log=job_log
        )
        self._publisher = Publisher(self._core, on_finished)
        self.pump = self._publisher.pump
        self._clock = Clock(self._core, self._publisher.channel)
        self._closed = False
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
        core.journal.listen(self._publisher.on_durable, self._publisher.on_journal_error)
        with core.lock:
            core.ledger.seq = recovered.last_seq
            self._publisher.begin(recovered.last_seq)
            jobs, unreadable = recovery.read_jobs(recovered.jobs)
            notes = [*recovered.notes, *recovery.load_meta(core, recovered.meta), *unreadable]
            core.ledger.adopt(jobs)
            self.recovery_notes = tuple(notes)
            recovery.take_up(core, core.ledger.in_order(), clean=recovered.clean)
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
        now = timestamp()
        with core.lock, _collector_off() if len(specs) >= _MANY else nullcontext():
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
                job = new_job(spec, planned.steps, now)
                if job.id in core.ledger.jobs or job.id in new:
                    raise MotionQueueError(
                        "duplicate_id", f"A job with the id {job.id!r} exists already; leave the id empty or choose another."
                    )
                if spec.idempotency_key:
                    same[identity] = job.id
                if planned.exclusive:
                    exclusive.append(planned.specs)
                new[job.id] = job
                ids.append(job.id)
            check_room(core, new.values(), exclusive)
            core.ledger.submit(new.values())
            core.unsaved.extend([(job.revision, job.id) for job in new.values()])
            core.enqueue(new.values())
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
                self._core.enqueue((job,))
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

    def hold(self, reason: str, message: str) -> None:
        """Start nothing more until `release(reason)`; what runs goes on. Not remembered beyond this process.

        Call it before `start` where what an earlier process left is to wait too. `message` is what waiting jobs say.
        """
        with self._core.lock:
            self._core.hold(reason, message)

    def release(self, reason: str) -> None:
        """End a hold, if there is one of that name."""
        with self._core.lock:
            self._core.unhold(reason)
            self._core.ledger.flush()

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
            self._core.reorder(job, checked_priority(priority), job.position, "job_priority")
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

    def adopt(self, records: Mapping[str, Mapping[str, Json]], *, clean: bool) -> Ticket:
        """Take over the unfinished jobs that another journal held (its `Recovered.jobs`), as if they had been this one's.

        Jobs that are known here already are skipped, so that an adoption that was cut off can be repeated. `clean`: that
        journal's owner had closed it; otherwise steps that were running count as crashed.
        """
        core = self._core
        with core.lock:
            self._refuse_if_not_open()
            jobs, unreadable = recovery.read_jobs({i: record for i, record in records.items() if i not in core.ledger.jobs})
            for note in unreadable:
                _log.error("Of another journal: %s", note)
            unfinished = [job for job in jobs if not job.finished]
            core.ledger.submit(unfinished)
            recovery.take_up(core, unfinished, clean=clean)
            ids = [job.id for job in unfinished]
            core.dispatch()
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
            before, limits = self._core.limits, checked_limits(replace(self._core.limits, **changes))
            self._core.limits = limits
            self._core.scheduler.set_limits(total=limits.total, lanes=limits.lanes, memory_mb=limits.memory_mb)
            if limits.memory_mb and not before.memory_mb:
                self._core.ask_for_memory()
            self._publisher.keep(limits.events_kept)
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
        return self._publisher.on_finished(job_id, callback)

    def events(self, since: int, limit: int = 1000) -> tuple[tuple[Record, ...], bool]:
        """Durable records with a larger id than `since`, oldest first, and whether some before them are gone (resync)."""
        return self._publisher.events(since, limit)

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

    def _refuse_if_not_open(self) -> None:
        if self._core.closing:
            raise MotionQueueError("closing", "The queue is closing and takes no more jobs.", retryable=True)
        if not self._clock.started:
            raise MotionQueueError("not_started", "Call start() before the first job.")
        if (error := self._publisher.storage_error) is not None:
            raise StoreError(error.code, error.message, details=error.details, retryable=True)

    def _ticket(self, job_ids: Iterable[str]) -> Ticket:
        return Ticket(tuple(job_ids), self._core.ledger.flush(), self._core.journal.wait)

    def _call_stop_callbacks_soon(self) -> None:
        """Callers may be Blender's main thread: the clock makes these calls."""
        if self._core.stop_callbacks:
            self._core.wake.set()


@contextmanager
def _collector_off() -> Iterator[None]:
    """Taking up thousands of jobs makes a lot of objects and no garbage: looking for it takes longer than the rest.

    What was made counts as old afterwards: freezing moves all objects out of the collector's sight and thawing puts them into its
    oldest generation, neither of which looks at them. Otherwise the first collection after this would go through them all.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():  # what somebody else froze stays frozen
                gc.freeze()
                gc.unfreeze()
            gc.enable()
