# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs as the list shows them: one row each, kept up to date from the engine's events, filtered, sorted and grouped.

Rows never change, they are replaced; between two calls of `apply` nothing does, so whatever is drawn from here is of one piece.
Everything is on Blender's main thread. Knows the engine's values and no Blender. At 10,000 jobs a change takes microseconds and
only another filter or order looks at all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from ..queue.channel import Event
from ..queue.contract import JobState, Record, StepState
from ..queue.model import DEFAULT_PRIORITY, Job, Progress
from ..queue.order import SortedKeys
from ..queue.states import TERMINAL
from .words import clean

Key = tuple[int, float, str]

_RUNNING = frozenset({JobState.RUNNING, JobState.STOPPING})
_WAITING = frozenset({JobState.QUEUED, JobState.PAUSED})
_SHIFT = 1e9  # moves positions, which may be below zero, to where their text sorts as they do
_CUT = "\0"  # between what a key sorts by and whose it is


class Row(NamedTuple):
    """What the list knows of a job. Times in seconds since the epoch (UTC)."""

    id: str
    label: str
    state: JobState = JobState.QUEUED
    progress: float = 0.0  # 0–1
    stage: str = ""
    eta: float | None = None  # seconds
    eta_is_guess: bool = True
    priority: int = DEFAULT_PRIORITY
    position: float = 0.0
    batch_id: str = ""
    created_at: float = 0.0
    completed_at: float | None = None
    degraded: str = ""
    error_code: str = ""
    recovered: bool = False
    pausing: bool = False  # it pauses at its next checkpoint
    resting: bool = False  # it runs, but has made a step and waits until there is room for the next one
    revision: int = 0  # of the job: the number of its newest record that is in here
    blend: str = ""  # the file it was queued from

    @property
    def over(self) -> bool:
        return self.state in TERMINAL


class Group(NamedTuple):
    """The header of a batch, and how its jobs stand."""

    batch_id: str
    title: str
    total: int
    done: int  # over, however they ended
    failed: int
    folded: bool


class Order(StrEnum):
    QUEUE = "QUEUE"  # what runs, what waits in its order, what is over
    NEWEST = "NEWEST"
    NAME = "NAME"
    STATE = "STATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows are shown and in what order."""

    states: frozenset[JobState] = frozenset(JobState)
    text: str = ""  # every word must occur in the label or the batch, or begin the id
    order: Order = Order.QUEUE
    reverse: bool = False
    grouped: bool = False
    folded: frozenset[str] = frozenset()  # batches whose jobs are not shown


class Counts(NamedTuple):
    """How many jobs there are of each kind."""

    running: int = 0
    waiting: int = 0
    paused: int = 0
    stopping: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    resting: int = 0  # of those that run: between two steps

    @property
    def unfinished(self) -> int:
        return self.running + self.waiting + self.paused + self.stopping

    @property
    def finished(self) -> int:
        return self.completed + self.failed + self.cancelled

    @property
    def total(self) -> int:
        return self.unfinished + self.finished


def row_of(job: Job) -> Row:
    """From the engine's copy of a job."""
    return Row(
        id=job.id,
        label=clean(job.label) or job.id[:8],
        state=JobState(job.state),
        progress=1.0 if job.state is JobState.COMPLETED else job.progress,
        stage=clean(job.stage),
        eta=job.eta_seconds,
        eta_is_guess=job.eta_is_guess,
        priority=job.priority,
        position=job.position,
        batch_id=job.batch_id,
        created_at=job.created_at,
        completed_at=job.completed_at,
        degraded=clean(job.degraded),
        error_code=job.error.code if job.error else "",
        recovered=job.recovered,
        pausing=job.pause_requested,
        resting=job.state is JobState.RUNNING and all(step.state is not StepState.RUNNING for step in job.steps),
        revision=job.revision,
        blend=str(job.source.get("blend") or ""),
    )


class _Meanwhile:
    """What happens while all jobs are read."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}  # asked of the engine
        self.records: list[Record] = []
        self.gone: set[str] = set()  # removed; ids do not come twice


class JobList:
    """All rows, and the part of them that is shown. `entry(i)` is what the i-th line of the list draws."""

    def __init__(self) -> None:
        self.revision = 0  # rises with every change that can be seen
        self.settled = 0  # rises with those of them that are more than progress
        self.resync = False  # events were lost: read everything anew, then `install`
        self._rows: dict[str, Row] = {}
        self._filter = Filter()
        self._words: tuple[str, ...] = ()
        self._shown: SortedKeys[Key] = SortedKeys()
        self._keys: dict[str, Key] = {}  # job or header → its place among what is shown
        self._states: Counter[JobState] = Counter()
        self._running: set[str] = set()  # few, and asked for often
        self._resting: set[str] = set()
        self._batches: dict[str, Counter[JobState]] = {}
        self._batch_times: dict[str, float] = {}  # when the first job of it was made
        self._matching: Counter[str] = Counter()  # batch → its rows that match, folded or not; kept while grouped
        self._meanwhile: _Meanwhile | None = None  # while a reader reads

    # What is shown

    def __len__(self) -> int:
        """Lines of the list."""
        return len(self._shown)

    def entry(self, index: int) -> Row | Group | None:
        """The line at a place, None behind the end."""
        try:
            found = self._shown.at(len(self._shown) - 1 - index if self._turned else index)
        except IndexError:
            return None
        owner = _owner(found)
        row = self._rows.get(owner)
        return self.group(owner) if row is None else row

    def index_of(self, job_id: str) -> int:
        """The line of a job; -1 when it is not shown."""
        key = self._keys.get(job_id)
        if key is None:
            return -1
        rank = self._shown.rank(key)
        return len(self._shown) - 1 - rank if self._turned else rank

    def group(self, batch_id: str) -> Group:
        states = self._batches.get(batch_id, Counter())
        return Group(
            batch_id,
            batch_title(batch_id),
            states.total(),
            sum(states[s] for s in TERMINAL),
            states[JobState.FAILED],
            batch_id in self._filter.folded,
        )

    # All of them

    def get(self, job_id: str) -> Row | None:
        return self._rows.get(job_id)

    def rows(self) -> Iterable[Row]:
        """All rows, whether shown or not, in no order."""
        return self._rows.values()

    @property
    def counts(self) -> Counts:
        states = self._states
        return Counts(
            running=states[JobState.RUNNING],
            waiting=states[JobState.QUEUED],
            paused=states[JobState.PAUSED],
            stopping=states[JobState.STOPPING],
            completed=states[JobState.COMPLETED],
            failed=states[JobState.FAILED],
            cancelled=states[JobState.CANCELLED],
            resting=len(self._resting),
        )

    def running(self) -> list[Row]:
        return [self._rows[job_id] for job_id in self._running]

    # Changes

    def apply(self, event: Event) -> Row | None:
        """Take an event of the engine in. The new row where the event ended a job, else None."""
        if event.progress is not None:
            self._progress(event.progress)
            return None
        if event.record is None:
            self.resync = True
            return None
        return self._record(event.record)

    def put(self, row: Row) -> None:
        """Take a row that was asked of the engine, unless a newer one is here."""
        if self._meanwhile is not None:
            self._meanwhile.rows[row.id] = row
        old = self._rows.get(row.id)
        if old is None or old.revision <= row.revision:
            self._replace(old, row)

    def begin_reading(self) -> None:
        """Somebody starts to read all jobs, because events were lost or there was nothing yet."""
        self._meanwhile = _Meanwhile()
        self.resync = False

    def install(self, rows: Iterable[Row]) -> None:
        """Take what was read since `begin_reading`, and on top of it what came meanwhile.

        Not what is here already: where an event of a job was lost, one that came after it makes a row new, but not true.
        """
        meanwhile, self._meanwhile = self._meanwhile or _Meanwhile(), None
        found = {row.id: row for row in rows}
        for job_id, row in meanwhile.rows.items():
            if job_id not in found or found[job_id].revision < row.revision:
                found[job_id] = row
        for record in meanwhile.records:
            old = found.get(record.job)
            if old is None:
                if record.name == "job_submitted":
                    found[record.job] = _submitted(record)
            elif record.seq > old.revision:
                found[record.job] = _folded(old, record)
        for job_id in meanwhile.gone:
            found.pop(job_id, None)
        self._rows = found
        self.settled += 1
        self._states = Counter(row.state for row in found.values())
        self._running = {row.id for row in found.values() if row.state in _RUNNING}
        self._resting = {row.id for row in found.values() if row.resting}
        self._batches, self._batch_times = {}, {}
        for row in found.values():
            self._count_in_batch(row, 1)
        self._arrange()

    def show(self, wanted: Filter) -> None:
        """Filter and sort anew, where that is not what is shown already."""
        if wanted != self._filter:
            self._filter = wanted
            self._words = tuple(wanted.text.casefold().split())
            self._arrange()

    @property
    def filter(self) -> Filter:
        return self._filter

    # Inside

    @property
    def _turned(self) -> bool:
        return self._filter.reverse and not self._filter.grouped  # headers stay above what is theirs

    def _progress(self, progress: Progress) -> None:
        row = self._rows.get(progress.job_id)
        if row is None or row.state not in _RUNNING:
            return
        new = row._replace(
            progress=max(row.progress, progress.progress),
            stage=clean(progress.stage),
            eta=progress.eta_seconds,
            eta_is_guess=progress.eta_is_guess,
        )
        if new != row:
            self._rows[row.id] = new
            self.revision += 1

    def _record(self, record: Record) -> Row | None:
        if record.name == "jobs_removed":
            for job_id in record.fields.get("ids", ()):
                self._remove(job_id)
            return None
        if not record.job:
            self.revision += 1  # the queue itself: paused, resumed
            return None
        if self._meanwhile is not None and record.name != "job_progress":
            self._meanwhile.records.append(record)
        old = self._rows.get(record.job)
        if record.name == "job_submitted":
            if old is None:
                self._replace(None, _submitted(record))
            else:
                self.revision += 1  # it is safe now, which the row says
            return None
        if old is None or record.name == "job_progress":
            return None
        if record.seq <= old.revision:
            self.revision += 1
            return old if old.over and "state" in record.fields else None
        new = _folded(old, record)
        self._replace(old, new)
        return new if new.over and not old.over else None

    def _replace(self, old: Row | None, new: Row) -> None:
        self._rows[new.id] = new
        self.revision += 1
        self.settled += 1
        if old is None or old.state is not new.state:
            if old is not None:
                self._states[old.state] -= 1
                self._count_in_batch(old, -1)
            self._states[new.state] += 1
            self._count_in_batch(new, 1)
            (self._running.add if new.state in _RUNNING else self._running.discard)(new.id)
        (self._resting.add if new.resting else self._resting.discard)(new.id)
        self._match(old, -1)
        self._match(new, 1)
        self._place(new.id, self._key(new) if self._matches(new) else None)
        self._header(new.batch_id)

    def _remove(self, job_id: str) -> None:
        if self._meanwhile is not None:
            self._meanwhile.gone.add(job_id)
        row = self._rows.pop(job_id, None)
        if row is None:
            return
        self.revision += 1
        self.settled += 1
        self._states[row.state] -= 1
        self._running.discard(job_id)
        self._resting.discard(job_id)
        self._match(row, -1)
        self._count_in_batch(row, -1)
        self._place(job_id, None)
        self._header(row.batch_id)

    def _place(self, owner: str, key: Key | None) -> None:
        """Give a job or a header its place among what is shown; None: take it out."""
        before = self._keys.get(owner)
        if key == before:
            return
        if before is not None:
            self._shown.remove(before)
            del self._keys[owner]
        if key is not None:
            self._keys[owner] = key
            self._shown.add(key)

    def _match(self, row: Row | None, by: int) -> None:
        if row is not None and self._filter.grouped and self._matches(row, also_folded=True):
            self._matching[row.batch_id] += by

    def _count_in_batch(self, row: Row, by: int) -> None:
        states = self._batches.get(row.batch_id)
        if states is None:
            states = self._batches[row.batch_id] = Counter()
            self._batch_times[row.batch_id] = row.created_at
        states[row.state] += by
        if by < 0 and not states.total():
            del self._batches[row.batch_id], self._batch_times[row.batch_id]

    def _matches(self, row: Row, *, also_folded: bool = False) -> bool:
        wanted = self._filter
        if row.state not in wanted.states:
            return False
        if wanted.grouped and not also_folded and row.batch_id in wanted.folded:
            return False
        if not self._words:
            return True
        # Any few letters are somewhere in some of a thousand ids: of an id only its beginning counts.
        text = f"{row.label} {row.batch_id}".casefold()
        return all(word in text or row.id.startswith(word) for word in self._words)

    def _key(self, row: Row) -> Key:
        wanted = self._filter
        if wanted.grouped:
            within = f"{_rank(row):05d}{_within(row) + _SHIFT:024.6f}"
            time = self._batch_times.get(row.batch_id, row.created_at)
            return (bool(row.batch_id), -time, f"{row.batch_id}{_CUT}{within}{_CUT}{row.id}")
        match wanted.order:
            case Order.QUEUE:
                return (_rank(row), _within(row), f"{_CUT}{row.id}")
            case Order.NEWEST:
                return (-round(row.created_at * 1000), -row.position, f"{_CUT}{row.id}")
            case Order.NAME:
                return (0, 0.0, f"{row.label.casefold()}{_CUT}{row.id}")
            case Order.STATE:
                return (_STATE_RANKS[row.state], -row.created_at, f"{_CUT}{row.id}")

    def _header(self, batch_id: str) -> None:
        """Show the header of a batch while it has rows that match, else not."""
        if self._filter.grouped:
            self._place(batch_id, self._header_key(batch_id) if self._matching[batch_id] > 0 else None)

    def _header_key(self, batch_id: str) -> Key:
        return (bool(batch_id), -self._batch_times[batch_id], f"{batch_id}{_CUT}{_CUT}{batch_id}")

    def _arrange(self) -> None:
        rows = self._rows.values()
        self._keys = {row.id: self._key(row) for row in rows if self._matches(row)}
        if self._filter.grouped:
            self._matching = Counter(row.batch_id for row in rows if self._matches(row, also_folded=True))
            self._keys.update({batch_id: self._header_key(batch_id) for batch_id in self._matching})
        self._shown = SortedKeys(self._keys.values())
        self.revision += 1


_STATE_RANKS = {
    state: rank
    for rank, state in enumerate(
        (
            JobState.RUNNING,
            JobState.STOPPING,
            JobState.QUEUED,
            JobState.PAUSED,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.COMPLETED,
        )
    )
}


def _rank(row: Row) -> int:
    """Running before waiting before over; within those by priority, as the engine orders them."""
    if row.state in _RUNNING:
        return 100 - row.priority
    return 1100 - row.priority if row.state in _WAITING else 2000


def _within(row: Row) -> float:
    """What is over: the newest first."""
    return -(row.completed_at or 0.0) / 10.0 if row.over else row.position


def _owner(key: Key) -> str:
    return key[2].rpartition(_CUT)[2]


def batch_title(batch_id: str) -> str:
    """What a person called the batch; see `new_batch_id`."""
    return clean(batch_id.rpartition("#")[0] or batch_id) if batch_id else "Single shots"


def new_batch_id(title: str, unique: str) -> str:
    """`title` is shown; `unique` tells batches of one title apart."""
    return f"{title.replace(_CUT, ' ')}#{unique}"


def _submitted(record: Record) -> Row:
    fields = record.fields
    return Row(
        id=record.job,
        label=clean(str(fields.get("label", ""))) or record.job[:8],
        state=JobState(fields.get("state", JobState.QUEUED)),
        priority=fields.get("priority", DEFAULT_PRIORITY),
        position=fields.get("position", 0.0),
        batch_id=str(fields.get("batch_id", "")),
        created_at=fields.get("created_at", record.at),
        completed_at=fields.get("completed_at"),
        recovered=bool(fields.get("recovered", False)),
        revision=record.seq,
        blend=str((fields.get("source") or {}).get("blend") or ""),
    )


def _folded(row: Row, record: Record) -> Row:
    fields: Mapping[str, Any] = record.fields
    changes: dict[str, Any] = {"revision": record.seq}
    for name in ("priority", "position", "completed_at", "recovered"):
        if name in fields:
            changes[name] = fields[name]
    if "pause_requested" in fields:
        changes["pausing"] = bool(fields["pause_requested"])
    if "degraded" in fields:
        changes["degraded"] = clean(str(fields["degraded"]))
    if "error" in fields:
        changes["error_code"] = str((fields["error"] or {}).get("code", ""))
    if "state" in fields:
        state = changes["state"] = JobState(fields["state"])
        if state is JobState.COMPLETED:
            changes["progress"] = 1.0
        if state not in _RUNNING:
            changes.update(stage="", eta=None)
        if state is not JobState.RUNNING:
            changes["resting"] = False
    if changes.get("state", row.state) is JobState.RUNNING:
        states = [StepState(step["state"]) for step in (record.steps or {}).values() if "state" in step]
        if states:
            changes["resting"] = StepState.RUNNING not in states
    return row._replace(**changes)


__all__ = [
    "Counts",
    "Filter",
    "Group",
    "JobList",
    "Order",
    "Row",
    "batch_title",
    "new_batch_id",
    "row_of",
]
