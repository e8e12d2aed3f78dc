# SPDX-License-Identifier: GPL-3.0-or-later
"""The fold: how records become the state of the queue, by the four rules of the journal's contract and no others.

`job_submitted` creates the job, `jobs_removed` drops jobs, a record without a job merges into meta, any other record merges into
its job and that job's steps. Values come from disk, so their shape is checked here; what does not fit is dropped and counted.

Records can be folded decoded (`add`) or as lines of which only the head was read (`defer`): those are decoded when somebody looks
at their job, which for thousands of finished jobs nobody does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from ..queue.contract import DeferredJob, Json
from .lines import MAX_DEPTH, SHARED_MARK, Head, decode_at, parse_line

MAX_JOBS = 1_000_000
_SPECIAL = frozenset({"job_submitted", "jobs_removed"})
_log = logging.getLogger("motion_queue.journal")


class FoldedJob(DeferredJob):
    """A job as the lines that tell of it, in order, their CRCs checked. Decoded once, at the first look."""

    __slots__ = ("_fields", "heads", "shared")

    def __init__(self, head: Head, shared: dict[str, Json]) -> None:
        """`head`: of its submission; `shared`: what that ends with, decoded, and the same object for many jobs."""
        self.heads = [head]  # of all its records
        self._fields: dict[str, Json] | None = None
        self.shared = shared

    @property
    def last(self) -> str:
        return self.heads[-1][2].decode("ascii")

    @property
    def revision(self) -> int:
        return int(self.heads[-1][1])

    @property
    def position(self) -> float | None:
        text = self.heads[0][4]
        return None if text is None else float(text)

    def fields(self) -> dict[str, Json]:
        if self._fields is None:
            self._fields = self._decoded()
        return self._fields

    def _decoded(self) -> dict[str, Json]:
        submission, *changes = self.heads
        line = submission.string
        fields: dict[str, Json] | None = None
        if line.count(b"{") + line.count(b"[") < MAX_DEPTH:
            text = line.decode("ascii", "replace")
            try:
                own, end = decode_at(text, submission.end())
                if end == line.rfind(SHARED_MARK):
                    fields = {**self.shared, **own}
                    if submission[4] is not None:
                        fields["position"] = self.position
            except (ValueError, RecursionError):
                _log.warning("Record %s of the journal cannot be decoded in parts.", submission[1].decode("ascii"))
        if fields is not None and not changes:
            fields["revision"] = self.revision
            return fields
        # Changes are merged into its steps: it must not share them any longer.
        fold = Fold(int(submission[1]) - 1)
        values = [parse_line(head.string) for head in self.heads]
        fold.add([value for value in values if value is not None])
        if fold.malformed or None in values:
            _log.error("Job %s: records about it that do not have the shape of one were dropped.", submission[3].decode("ascii"))
        return dict(next(iter(fold.jobs.values()), {}))

    def own_fields(self) -> dict[str, Json]:
        """Its fields for somebody who changes them: steps may be shared with other jobs."""
        fields = dict(self.fields())
        if type(fields.get("steps")) is list:
            fields["steps"] = [dict(step) for step in fields["steps"]]
        return fields

    def __getitem__(self, name: str) -> Json:
        return self.fields()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields())

    def __len__(self) -> int:
        return len(self.fields())

    def __repr__(self) -> str:
        return f"FoldedJob({self.fields()!r})"


class Fold:
    """The state after the records so far. `notes()` says what was dropped."""

    __slots__ = ("_shared", "gaps", "jobs", "last_seq", "malformed", "meta", "orphans", "removed", "repeats")

    def __init__(self, last_seq: int = 0) -> None:
        self.jobs: dict[str, dict[str, Json] | FoldedJob] = {}
        self._shared: dict[bytes, dict[str, Json]] = {}  # ends of submissions, decoded
        self.meta: dict[str, Json] = {}
        self.last_seq = last_seq
        self.removed: set[str] = set()
        self.gaps: list[tuple[int, int]] = []  # first and last missing sequence number
        self.malformed = 0  # records whose shape is not a record's
        self.orphans: dict[str, int] = {}  # job id → records about it, though its submission is missing
        self.repeats = 0

    def defer(self, records: Iterable[Head | dict[str, Any]]) -> None:
        """Fold lines in without decoding those of which there is the head, in the order they were written."""
        jobs = self.jobs
        last = self.last_seq
        for record in records:
            if isinstance(record, dict):
                value = record
            else:
                number, name, id_, _position = record.groups()
                seq = int(number)
                if seq == last + 1:
                    job = id_.decode("ascii")
                    known = jobs.get(job)
                    if name == b"job_submitted":
                        line = record.string
                        shared = self._shared.get(line[line.rfind(SHARED_MARK) :]) or self._shared_part(line)
                        if shared is not None and len(jobs) < MAX_JOBS:
                            jobs[job] = FoldedJob(record, shared)
                            last = seq
                            continue
                    elif type(known) is FoldedJob and name != b"jobs_removed":
                        known.heads.append(record)
                        last = seq
                        continue
                decoded = parse_line(record.string)
                if decoded is None:
                    self.malformed += 1
                    continue
                value = decoded
            self.last_seq = last
            self.add((value,))
            last = self.last_seq
        self.last_seq = last

    def _shared_part(self, line: bytes) -> dict[str, Json] | None:
        """What a submission's line ends with, decoded; None where it does not end like that."""
        end = line[line.rfind(SHARED_MARK) :]
        if not end.startswith(SHARED_MARK):
            return None
        text = end.decode("ascii", "replace")
        try:
            value, stop = decode_at(text, len(SHARED_MARK))
        except (ValueError, RecursionError):
            return None  # this was not the line's end but something inside it
        if stop != len(text) - 1 or type(value) is not dict or not is_steps(value.get("steps", [])):
            return None
        self._shared[end] = value
        return value

    def add(self, records: Iterable[dict[str, Any]]) -> None:
        """Fold records in, in the order they were written."""
        jobs = self.jobs
        last = self.last_seq
        for record in records:
            try:
                seq = record["seq"]
                name = record["name"]
                job = record["job"]
                fields = record["fields"]
            except KeyError:
                self.malformed += 1
                continue
            if type(seq) is not int or type(job) is not str or type(fields) is not dict:
                self.malformed += 1
                continue
            if seq != last + 1:
                if seq <= last:
                    self.repeats += 1
                    continue
                self.gaps.append((last + 1, seq - 1))
            last = seq
            known = jobs.get(job)
            if isinstance(known, FoldedJob):
                known = jobs[job] = known.own_fields()
            target = known
            if target is None or name in _SPECIAL:
                if name == "job_submitted" and job:
                    submitted = submitted_fields(record)
                    if submitted is None or (len(jobs) >= MAX_JOBS and target is None):
                        self.malformed += 1
                        continue
                    jobs[job] = target = submitted
                elif name == "jobs_removed":
                    for gone in ids_of(fields):
                        jobs.pop(gone, None)
                        self.removed.add(gone)
                    continue
                elif not job:
                    self.meta.update(fields)
                    continue
                else:
                    if job not in self.removed:  # a late record of a removed job is no loss
                        self.orphans[job] = self.orphans.get(job, 0) + 1
                    continue
            elif "steps" in fields and not is_steps(fields["steps"]):
                self.malformed += 1
                continue
            else:
                target.update(fields)
            target["revision"] = seq
            if "steps" in record:
                changes = record["steps"]
                steps = target.get("steps")
                if type(changes) is not dict or type(steps) is not list:
                    self.malformed += bool(changes)
                    continue
                for index, change in changes.items():
                    if type(change) is dict and index.isdecimal() and len(index) < 6 and int(index) < len(steps):
                        steps[int(index)].update(change)
                    else:
                        self.malformed += 1
        self.last_seq = last

    def notes(self) -> list[str]:
        found = []
        for first, last in self.gaps[:20]:
            what = f"Record {first} is" if first == last else f"Records {first} to {last} are"
            found.append(f"{what} missing from the journal; what they changed is lost.")
        if len(self.gaps) > 20:
            found.append(f"{len(self.gaps) - 20} further gaps in the journal's numbers.")
        if self.orphans:
            found.append(
                f"{sum(self.orphans.values())} records were dropped because the submission of their job is missing: "
                + ", ".join(list(self.orphans)[:5])
                + (" …" if len(self.orphans) > 5 else "")
            )
        if self.malformed:
            found.append(f"{self.malformed} records or step changes do not have the shape of one and were dropped.")
        if self.repeats:
            found.append(f"{self.repeats} records repeat an earlier number and were dropped.")
        return found


def submitted_fields(record: dict[str, Any]) -> dict[str, Json] | None:
    """The fields of a decoded submission, or None where they do not have the shape of a job's."""
    shared = record.get("shared", {})
    if type(shared) is not dict:
        return None
    fields = {**shared, **record["fields"]}
    if "position" in record:
        fields["position"] = record["position"]
    return fields if "steps" not in fields or is_steps(fields["steps"] or []) else None


def is_steps(value: Json) -> bool:
    return type(value) is list and all(type(step) is dict for step in value)


def ids_of(fields: dict[str, Any]) -> list[str]:
    """The job ids a `jobs_removed` record names."""
    ids = fields.get("ids")
    return [job for job in ids if type(job) is str] if type(ids) is list else []
