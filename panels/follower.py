# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows one engine: takes its events in, within a budget of time, and makes snapshots. No Blender, so that tests can.

Made on the thread that opens the engine, which reads the jobs that are there; from then on everything is on one thread, Blender's
main one, except that a reader of its own reads all jobs anew should events have been lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping

from ..app import App
from ..queue.channel import Event
from ..queue.contract import JobState
from ..queue.engine import Engine
from ..queue.errors import MotionQueueError
from ..queue.model import Job
from . import words
from .job_details import Details, details_of
from .snapshot import Notice, Phase, Recovery, Severity, Snapshot
from .view import Counts, JobList, Row, row_of

_log = logging.getLogger(__name__)

_PAGE = 50  # jobs read at once: the engine's lock is held for about 3 ms
_READINGS = 3
_NOTICES = 3
_SAMPLE = 6  # waiting jobs from whose times that of all is guessed; one is asked for at a time
_FIRST_EVERY, _SAMPLE_EVERY = 0.15, 0.5  # seconds between two of them: until there are enough, and from then on
_ETA_EVERY = 1.0
_DETAILS_EVERY = 0.25  # while the job runs; its row is drawn as often as it changes


class Follower:
    """`tick` on the main thread; then `snapshot`."""

    def __init__(self, app: App) -> None:
        """Subscribes before it reads, so that nothing falls between. Takes a while: not for the main thread."""
        self.app = app
        self.jobs = JobList()
        self.selected = ""
        self.recovery: Recovery | None = None
        self._events = 0
        self._reader: threading.Thread | None = None
        self._read: tuple[Row, ...] | None = None
        self._notices: deque[Notice] = deque(maxlen=_NOTICES)
        self._fresh: list[Notice] = []
        self._details: Details | None = None
        self._details_of: tuple[Row, bool] | None = None  # the row that they were made beside, and if that was on disk
        self._details_at = 0.0
        self._eta: tuple[float | None, bool] = (None, True)
        self._eta_at = 0.0
        self._waits: deque[tuple[float, bool]] = deque(
            maxlen=_SAMPLE
        )  # seconds that waiting jobs will take, and if it is a guess
        self._asked = 0  # of those, ever
        self._asked_at = 0.0
        self._ended: list[Row] = []  # since the queue had nothing to do
        self._extra = 0  # changes that the list does not count
        self._held: Mapping[str, str] = {}
        self._unsubscribe = app.engine.subscribe(self._event)
        self.jobs.begin_reading()
        self.jobs.install(_read_all(app.engine))

    def close(self) -> None:
        self._unsubscribe()

    # Main thread

    def tick(self, budget: float = 0.002) -> bool:
        """Take in what happened, for at most about `budget` seconds. True when more is there already."""
        more = self.app.pump(budget)
        if self.jobs.resync and self._reader is None:
            self._start_reader()
        if self._read is not None:
            read, self._read, self._reader = self._read, None, None
            self.jobs.install(read)
        self._look_at_end()
        return more

    def touch(self, job_ids: Iterable[str]) -> None:
        """Ask the engine for these jobs now, rather than wait for their events: a person has just changed them."""
        for job_id in job_ids:
            try:
                job = self.app.engine.get(job_id)
            except MotionQueueError as error:
                if error.code != "no_such_job":
                    raise
                continue
            row = row_of(job)
            # Nobody completes or fails a job by hand. It did so by itself since: its event is on the way, and is told of.
            if row.state not in (JobState.COMPLETED, JobState.FAILED):
                self.jobs.put(row)
                if row.id == self.selected and self.jobs.get(row.id) is row:
                    self._show(job, row)

    def look_ahead(self) -> None:
        """Ask how long one of the waiting jobs will take, now and then, each time another one from all over the queue."""
        now, counts = time.monotonic(), self.jobs.counts
        every = _SAMPLE_EVERY if len(self._waits) == _SAMPLE else _FIRST_EVERY
        if not counts.waiting:
            self._waits.clear()
        elif not self._waits or now - self._asked_at >= every:
            self._asked_at = now
            at = self._asked * max(1, counts.unfinished // _SAMPLE) % counts.unfinished
            self._asked += 1
            for job_id in self.app.engine.order(offset=at, limit=1):
                try:
                    job = self.app.engine.get(job_id)
                except MotionQueueError:
                    continue  # over and cleared since
                if job.state is JobState.QUEUED and job.eta_seconds is not None:
                    self._waits.append((job.eta_seconds, job.eta_is_guess))

    def look_closer(self) -> None:
        """Bring the details of the selected job up to date, which change with each of its reports."""
        row = self.jobs.get(self.selected)
        if row is None:
            return
        if row.state in (JobState.RUNNING, JobState.STOPPING):
            again = time.monotonic() - self._details_at >= _DETAILS_EVERY
        else:
            again = (row, self.app.engine.last_event >= row.revision) != self._details_of
        if again:
            self._read_details(row)

    def notify(self, severity: Severity, text: str, *, job_id: str = "", loud: bool = False) -> None:
        """Something to tell that is no event of the engine."""
        self._add(Notice(severity, text, time.time(), job_id, loud))

    def clear_notices(self) -> None:
        self._notices.clear()
        self._extra += 1

    def take_fresh(self) -> list[Notice]:
        """Notices since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def snapshot(self, *, preparing: int = 0) -> Snapshot:
        """As things are now. The same revision means: nothing that can be seen has changed."""
        now = time.monotonic()
        counts = self.jobs.counts
        engine = self.app.engine
        durable = engine.last_event
        held = engine.held
        if held != self._held:
            self._held = held
            self._extra += 1
            self._eta_at = 0.0
        if now - self._eta_at >= _ETA_EVERY:
            self._eta_at = now
            self._eta = self._time_left(counts)
        self._look_at_selected()
        eta, guess = self._eta
        return Snapshot(
            phase=Phase.READY,
            jobs=self.jobs,
            counts=counts,
            held=held,
            eta=eta,
            eta_is_guess=guess,
            selected=self.selected,
            details=self._details,
            durable=durable,
            notices=tuple(reversed(self._notices)),
            recovery=self.recovery,
            preparing=preparing,
            models=tuple(model.which for model in self.app.settings.published),
            revision=self.jobs.revision + self._extra,
        )

    def changed(self) -> None:
        """Something of what is set from outside (selection, recovery) is new."""
        self._extra += 1

    # Inside

    def _event(self, event: Event) -> None:
        ended = self.jobs.apply(event)
        if ended is not None:
            self._ended.append(ended)
            self._tell_end(ended)

    def _tell_end(self, row: Row) -> None:
        alone = not self.jobs.counts.unfinished and len(self._ended) == 1
        if row.state is JobState.FAILED:
            try:
                error = self.app.engine.get(row.id).error
            except MotionQueueError:
                error = None  # cleared meanwhile; its row says that it failed
            why = f": {words.clean(error.message)} [{error.code}]" if error else "."
            self._add(Notice(Severity.ERROR, f"{row.label} failed{why}", time.time(), row.id, loud=True))
        elif row.state is JobState.COMPLETED:
            text = f"{row.label} is done"
            if row.degraded:
                self._add(Notice(Severity.WARNING, f"{text}, but not all of it: {row.degraded}", time.time(), row.id, loud=alone))
            else:
                self._add(Notice(Severity.INFO, f"{text}.", time.time(), row.id, loud=alone))

    def _look_at_end(self) -> None:
        counts = self.jobs.counts
        if self._ended and counts.unfinished == counts.paused:
            done = sum(row.state is JobState.COMPLETED for row in self._ended)
            failed = sum(row.state is JobState.FAILED for row in self._ended)
            if len(self._ended) > 1 and done + failed:
                text = f"The queue is done: {words.plural(done, 'job')} completed"
                text += f", {failed:,} failed." if failed else "."
                self._add(Notice(Severity.WARNING if failed else Severity.INFO, text, time.time(), loud=True))
            self._ended.clear()

    def _add(self, notice: Notice) -> None:
        self._notices.append(notice)
        self._fresh.append(notice)
        self._extra += 1

    def _look_at_selected(self) -> None:
        """The details are those of the job that is selected, in the state that its row has."""
        row = self.jobs.get(self.selected)
        if row is None:
            if self._details is not None:
                self._details, self._details_of = None, None
                self._extra += 1
            return
        before = self._details_of and self._details_of[0]
        if self._details is None or before is None or before.id != row.id or before.state is not row.state:
            self._read_details(row)

    def _read_details(self, row: Row) -> None:
        try:
            job = self.app.engine.get(row.id)
        except MotionQueueError:
            self._details = None  # cleared; its row follows
            return
        self._show(job, row)

    def _show(self, job: Job, row: Row) -> None:
        """The details of the selected job, which is at hand."""
        durable = self.app.engine.last_event
        self._details_of, self._details_at = (row, durable >= row.revision), time.monotonic()
        details = details_of(
            job,
            durable=durable,
            local=lambda artefact: self.app.store.path(artefact.key),
            log=self.app.store.log_path(job.id),
        )
        if details != self._details:
            self._details = details
            self._extra += 1

    def _time_left(self, counts: Counts) -> tuple[float | None, bool]:
        """Seconds until all that runs and waits is done, as far as anybody knows, and whether that is a guess."""
        if not counts.running + counts.waiting:
            return None, True
        running = [row.eta for row in self.jobs.running()]
        known = [eta for eta in running if eta is not None]
        if len(known) < len(running) and not known:
            return None, True
        work, guess = sum(known), len(known) < len(running)
        if counts.waiting:
            if not self._waits:
                self.look_ahead()
            if not self._waits:
                return None, True
            work += counts.waiting * sum(seconds for seconds, _ in self._waits) / len(self._waits)
            guess = guess or any(guessed for _, guessed in self._waits)
        at_once = max(1, len(running) - counts.resting)
        return max([work / at_once, *known]), guess

    def _start_reader(self) -> None:
        self.jobs.begin_reading()

        def read() -> None:
            try:
                self._read = _read_all(self.app.engine)
            except MotionQueueError as error:
                _log.error("The jobs could not be read anew: %s", error)
                self._reader = None

        self._reader = threading.Thread(target=read, name="motion-queue-read", daemon=True)
        self._reader.start()


def _read_all(engine: Engine) -> tuple[Row, ...]:
    """Page by page. Jobs that are pruned meanwhile move others over a page's edge: then once more."""
    for _ in range(_READINGS - 1):
        read, whole = _read_once(engine)
        if whole:
            return read
    return _read_once(engine)[0]


def _read_once(engine: Engine) -> tuple[tuple[Row, ...], bool]:
    rows: dict[str, Row] = {}
    offset = 0
    while True:
        page = engine.query(offset=offset, limit=_PAGE)
        rows.update((job.id, row_of(job)) for job in page.jobs)
        offset += len(page.jobs)
        if not page.jobs or offset >= page.total:
            return tuple(rows.values()), len(rows) >= page.total
