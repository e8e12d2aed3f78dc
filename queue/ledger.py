# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs, their indexes, and the records that every change to them leaves.

All changes go through here, so that memory, indexes, journal and events cannot disagree. Not thread-safe: the engine calls
it under its lock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from .contract import JobState, Json, Record
from .errors import MotionQueueError
from .index import ArrivalIndex
from .model import DEFAULT_PRIORITY, Job, timestamp
from .order import SortedKeys
from .scheduler import Key, order_key
from .states import ACTIVE, QUEUED, TERMINAL

UNFINISHED = "unfinished"  # pseudo state of queries: everything that is not terminal


class Ledger:
    def __init__(self, append: Callable[[Sequence[Record]], None]) -> None:
        self._append = append
        self._pending: list[Record] = []
        self.seq = 0  # of the newest record
        self.seq_of_sync = 0  # of the newest record that must be durable
        self.jobs: dict[str, Job] = {}
        # Every index holds numbers of arrival: they compare fast, and they are the order in which queries answer.
        self._arrivals: dict[str, int] = {}
        self._by_arrival: dict[int, Job] = {}
        self._arrived = 0
        self.order: SortedKeys[Key] = SortedKeys()  # all jobs that are not over, in the order in which they should run
        self._states = {state: ArrivalIndex() for state in JobState}
        self._indexes: dict[tuple[str, str], ArrivalIndex] = {}  # (workflow, project or batch; its name)
        self._all: ArrivalIndex = ArrivalIndex()
        self._idempotent: dict[tuple[str, str], str] = {}
        self._active_in_project: dict[str, int] = {}
        self._exclusive: dict[str, int] = {}  # exclusive key → unfinished jobs that want it
        self.finished_order: dict[str, None] = {}  # terminal jobs, oldest first

    # Records

    def change(
        self,
        name: str,
        job: Job,
        steps: Mapping[str, Mapping[str, Json]] | None = None,
        *,
        sync: bool = True,
        at: float | None = None,
        **fields: Any,
    ) -> None:
        """Set job fields, keep the indexes right, and leave a record. `steps` was already applied to the steps themselves.

        `at`: the time to record (seconds since the epoch, to the millisecond), where the caller has looked already.
        """
        error = fields.get("error")
        if error is not None:
            fields["error"] = error.to_json()
        self.record(name, job, fields, steps, timestamp() if at is None else at, sync=sync)
        if error is not None:
            job.__dict__["error"] = error

    def record(
        self,
        name: str,
        job: Job,
        fields: Mapping[str, Any],
        steps: Mapping[str, Mapping[str, Json]] | None,
        at: float,
        *,
        sync: bool = True,
    ) -> None:
        """As `change`, with fields that are JSON values already. Records may share them: they are not changed any more."""
        self.seq = seq = self.seq + 1
        if "state" in fields:
            self._move_state(job, fields["state"])
        values = job.__dict__
        values.update(fields)
        values["revision"] = seq
        if sync:
            self.seq_of_sync = seq
        self._pending.append(Record(seq, at, name, values["id"], fields, steps, sync))

    def note(self, name: str, *, sync: bool = True, **fields: Json) -> None:
        """A record of the queue itself."""
        self.seq += 1
        if sync:
            self.seq_of_sync = self.seq
        self._pending.append(Record(self.seq, timestamp(), name, "", fields, None, sync))

    def flush(self) -> int:
        """Hand what gathered to the journal; returns the number of the newest record."""
        if self._pending:
            pending, self._pending = self._pending, []
            self._append(pending)
        return self.seq

    # Jobs in and out

    def submit(self, jobs: Collection[Job]) -> None:
        """Take new jobs in, each with its record."""
        for number, job in enumerate(jobs, self._arrived + 1):
            values = job.__dict__
            values["position"] = float(number)
            self.seq += 1
            fields = job.to_record()
            values["revision"] = self.seq
            del fields["id"]  # the record names it
            self._pending.append(Record(self.seq, job.created_at, "job_submitted", job.id, fields, None, True))
        self.seq_of_sync = self.seq
        self.adopt(jobs)

    def adopt(self, jobs: Collection[Job]) -> None:
        """Take in jobs that have their records already."""
        by_place: dict[tuple[JobState, str, str, str], list[int]] = {}  # jobs that stand in the same indexes
        keys: list[Key] = []
        for job in jobs:
            known = Job.known(job)
            job_id = known["id"]
            state = known.get("state", QUEUED)
            project = known.get("project_id", "")
            self._arrived += 1
            if state in TERMINAL:
                self.finished_order[job_id] = None
            else:
                # A job that comes later never gets a place before one that was there: positions of moved jobs may be higher.
                position = known.get("position", 0.0)
                if position > self._arrived:
                    self._arrived = int(position)
                keys.append(order_key(job_id, known.get("priority", DEFAULT_PRIORITY), position))
                for step in known["steps"]:
                    if step.exclusive_key:
                        self._exclusive[step.exclusive_key] = self._exclusive.get(step.exclusive_key, 0) + 1
            self.jobs[job_id] = job
            self._arrivals[job_id] = self._arrived
            self._by_arrival[self._arrived] = job
            if key := known.get("idempotency_key"):
                self._idempotent[project, key] = job_id
            place = (state, known["workflow"], project, known.get("batch_id", ""))
            numbers = by_place.get(place)
            if numbers is None:
                numbers = by_place[place] = []
            numbers.append(self._arrived)
        by_index: dict[tuple[str, str], list[int]] = {}
        by_state: dict[JobState, list[int]] = {}
        for place, numbers in by_place.items():
            for name in _index_names(*place[1:]):
                by_index.setdefault(name, []).extend(numbers)
            by_state.setdefault(place[0], []).extend(numbers)
            if place[2] and place[0] not in TERMINAL:
                self._active_in_project[place[2]] = self._active_in_project.get(place[2], 0) + len(numbers)
        for name, numbers in by_index.items():
            self._indexes.setdefault(name, ArrivalIndex()).add_many(sorted(numbers))
        for state, numbers in by_state.items():
            self._states[state].add_many(sorted(numbers))
        self._all.add_many(sorted(arrival for numbers in by_place.values() for arrival in numbers))
        self.order.update(keys)

    def remove(self, job_ids: Sequence[str]) -> None:
        """Forget terminal jobs. Their files are nobody's business here."""
        for job_id in job_ids:
            known = Job.known(self.jobs.pop(job_id))
            arrival = self._arrivals.pop(job_id)
            del self._by_arrival[arrival]
            self._all.remove(arrival)
            project = known.get("project_id", "")
            self._states[known["state"]].remove(arrival)
            for index in _index_names(known["workflow"], project, known.get("batch_id", "")):
                keys = self._indexes[index]
                keys.remove(arrival)
                if not keys:
                    del self._indexes[index]
            identity = (project, known.get("idempotency_key", ""))
            if self._idempotent.get(identity) == job_id:
                del self._idempotent[identity]
            del self.finished_order[job_id]
        self.note("jobs_removed", ids=list(job_ids))

    # Looking up

    def get(self, job_id: str) -> Job:
        try:
            return self.jobs[job_id]
        except KeyError:
            raise MotionQueueError("no_such_job", f"There is no job {job_id!r}. It may have been cleared.") from None

    def by_idempotency_key(self, project_id: str, key: str) -> str | None:
        """The id of the job that was submitted with that key, while it is kept."""
        return self._idempotent.get((project_id, key))

    def count(self, state: JobState) -> int:
        return len(self._states[state])

    def in_order(self) -> list[Job]:
        """All jobs that are not over, in the order in which they should run."""
        return [self.jobs[key[2]] for key in self.order]

    def unfinished(self) -> int:
        return len(self.order)

    def active_in_project(self, project_id: str) -> int:
        return self._active_in_project.get(project_id, 0)

    def wants_key(self, exclusive_key: str) -> bool:
        return self._exclusive.get(exclusive_key, 0) > 0

    def batch(self, batch_id: str) -> list[str]:
        keys = self._indexes.get(("batch", batch_id))
        return [self._by_arrival[arrival].id for arrival in keys] if keys else []

    def query(
        self,
        *,
        project: str | None,
        batch: str | None,
        workflow: str | None,
        state: Iterable[str] | None,
        since: float | None,
        offset: int,
        limit: int,
    ) -> tuple[list[Job], int]:
        """Jobs in order of arrival, and how many there are in all.

        One criterion is answered from its index alone. Of several the smallest index is walked and the others are checked.
        """
        wanted: list[list[ArrivalIndex]] = []
        for kind, value in (("project", project), ("batch", batch), ("workflow", workflow)):
            if value is not None:
                wanted.append([self._indexes.get((kind, value), ArrivalIndex())])
        if state is not None:
            wanted.append([self._states[JobState(s)] for s in dict.fromkeys(state)])
        if not wanted:
            wanted.append([self._all])
        if len(wanted) == 1 and len(wanted[0]) == 1:
            return self._page(wanted[0][0], since, offset, limit)
        wanted.sort(key=lambda group: sum(map(len, group)))
        base, others = wanted[0], wanted[1:]
        arrivals = list(base[0]) if len(base) == 1 else sorted(arrival for keys in base for arrival in keys)
        found = [
            job
            for arrival in arrivals
            if all(any(arrival in keys for keys in group) for group in others)
            and ((job := self._by_arrival[arrival]) is not None and (since is None or job.created_at > since))
        ]
        return found[offset : offset + limit], len(found)

    def _page(self, index: ArrivalIndex, since: float | None, offset: int, limit: int) -> tuple[list[Job], int]:
        if since is None:
            return [self._by_arrival[a] for a in index.slice(offset, offset + limit)], len(index)
        # Arrival follows creation: from the newest back to the first that is too old.
        newest: list[Job] = []
        for arrival in index.newest_first():
            job = self._by_arrival[arrival]
            if job.created_at <= since:
                break
            newest.append(job)
        newest.reverse()
        return newest[offset : offset + limit], len(newest)

    # The order in which they run

    def place(self, job: Job, to: int) -> list[tuple[Job, int, float]]:
        """What must change so that `job` is the `to`-th of all unfinished jobs: (job, priority, position) each.

        The job keeps its priority where its neighbours allow and takes the nearer one's where they do not. Where two positions
        have no number between them, the whole priority is numbered anew.
        """
        key = order_key(job.id, job.priority, job.position)
        own = self.order.rank(key)
        to = max(0, min(to, len(self.order) - 1))
        if to == own:
            return []
        # Ranks without the job itself: those behind it move up by one.
        before = to - 1 if to <= own else to
        after = to if to <= own else to + 1
        above = self.jobs[self.order.at(before)[2]] if before >= 0 else None
        below = self.jobs[self.order.at(after)[2]] if after < len(self.order) else None
        priority = job.priority
        if above is not None and priority > above.priority:
            priority = above.priority
        if below is not None and priority < below.priority:
            priority = below.priority
        low = above.position if above is not None and above.priority == priority else None
        high = below.position if below is not None and below.priority == priority else None
        if low is not None and high is not None:
            position = (low + high) / 2
            if not low < position < high:
                return self._renumber(job, priority, above)
        elif low is not None:
            position = low + 1.0
        elif high is not None:
            position = high - 1.0
        else:
            position = job.position
        return [(job, priority, position)]

    def reorder(self, job: Job, priority: int, position: float, name: str = "job_moved") -> None:
        self.order.remove(order_key(job.id, job.priority, job.position))
        self.order.add(order_key(job.id, priority, position))
        # The next job to arrive goes behind this one.
        self._arrived = max(self._arrived, int(position))
        self.change(name, job, priority=priority, position=position)

    def _renumber(self, job: Job, priority: int, above: Job | None) -> list[tuple[Job, int, float]]:
        same = [self.jobs[key[2]] for key in self.order if key[0] == -priority and key[2] != job.id]
        at = same.index(above) + 1 if above is not None and above in same else 0
        same.insert(at, job)
        start = same[0].position if same[0] is not job else same[1].position
        return [(each, priority, start + i) for i, each in enumerate(same)]

    # Indexes

    def _move_state(self, job: Job, new: JobState) -> None:
        old = job.state
        if old is new:
            return
        arrival = self._arrivals[job.id]
        self._states[old].remove(arrival)
        self._states[new].add(arrival)
        if new in TERMINAL:
            self._leave(job)
            self.finished_order[job.id] = None

    def _leave(self, job: Job) -> None:
        self.order.remove(order_key(job.id, job.priority, job.position))
        if job.project_id:
            self._less(self._active_in_project, job.project_id)
        for step in job.steps:
            if step.exclusive_key:
                self._less(self._exclusive, step.exclusive_key)

    @staticmethod
    def _less(counts: dict[str, int], name: str) -> None:
        counts[name] -= 1
        if not counts[name]:
            del counts[name]


def _index_names(workflow: str, project_id: str, batch_id: str) -> list[tuple[str, str]]:
    names = [("workflow", workflow)]
    if project_id:
        names.append(("project", project_id))
    if batch_id:
        names.append(("batch", batch_id))
    return names


def states_of(state: str | JobState | Iterable[str] | None) -> list[str] | None:
    """The states a query asks for: one, several, or `unfinished`."""
    if state is None:
        return None
    asked = [str(state)] if isinstance(state, str) else [str(s) for s in state]
    found: list[str] = []
    for each in asked:
        if each == UNFINISHED:
            found.extend(str(s) for s in sorted(ACTIVE))
        elif each in set(map(str, JobState)):
            found.append(each)
        else:
            raise MotionQueueError(
                "bad_query", f"{each!r} is no job state; ask for one of {', '.join(JobState)} or {UNFINISHED}."
            )
    return found
