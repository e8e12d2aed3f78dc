# SPDX-License-Identifier: GPL-3.0-or-later
"""What became durable, told on: the retained events, the channel to the pump, completion callbacks, and trouble with the disk."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from .channel import ENDS, Channel, Event, Pump
from .contract import JobState, Record
from .core import Core
from .errors import StoreError
from .model import Job

_log = logging.getLogger(__name__)

_ENDED_BEFORE = "job_ended_before"  # not a journal record: tells a late callback that its job is over already


class Publisher:
    """Listens to the journal, on its thread. Thread-safe."""

    def __init__(self, core: Core, on_finished: Callable[[Sequence[Job]], None] | None) -> None:
        self._core = core
        self._on_finished = on_finished
        self._events: deque[Record] = deque(maxlen=core.limits.events_kept)
        self.first_event = 1  # the oldest event that can be replayed
        self.storage_error: StoreError | None = None  # while the journal cannot be written
        self.channel = Channel()
        self.pump = Pump(self.channel)
        self.pump.subscribe(self._call_back)

    def begin(self, last_seq: int) -> None:
        """The journal holds records up to this one; they are not published again."""
        self._core.durable = last_seq
        self.first_event = last_seq + 1

    def keep(self, events: int) -> None:
        """Retain so many events for replay."""
        if self._events.maxlen != events:
            self._events = deque(self._events, maxlen=events)
            self._note_first_event()

    def on_finished(self, job_id: str, callback: Callable[[Job], None]) -> Callable[[], None]:
        """Call back once, on the pump's thread, when the job is over (or is already). Returns the function that ends it."""
        with self._core.lock:
            job = self._core.ledger.get(job_id)
            self._core.callbacks.setdefault(job_id, []).append(callback)
            if job.finished and job.revision <= self._core.durable:
                # Over and published already: its record goes through the channel once more, for this callback alone.
                self.channel.post([Record(job.revision, job.completed_at or 0.0, _ENDED_BEFORE, job_id, {}, None, True)])

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
            resync = since + 1 < self.first_event or since > self._core.durable
            start = 0 if resync else since + 1 - self.first_event
            return tuple(self._events[i] for i in range(start, min(start + limit, len(self._events)))), resync

    def on_durable(self, records: Sequence[Record]) -> None:
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
        self.channel.post(records)
        if finished and self._on_finished is not None:
            try:
                self._on_finished(finished)
            except Exception:
                # On the journal's thread: it must go on writing whatever its listeners do.
                _log.exception("What was to happen at the end of %d jobs failed", len(finished))

    def _note_first_event(self) -> None:
        self.first_event = self._events[0].seq if self._events else self._core.durable + 1

    def on_journal_error(self, error: StoreError | None) -> None:
        with self._core.lock:
            self.storage_error = error
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
