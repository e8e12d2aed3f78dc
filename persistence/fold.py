# SPDX-License-Identifier: GPL-3.0-or-later
"""The fold: how records become the state of the queue, by the four rules of the journal's contract and no others.

`job_submitted` creates the job, `jobs_removed` drops jobs, a record without a job merges into meta, any other record merges into
its job and that job's steps. Values come from disk, so their shape is checked here; what does not fit is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..queue.contract import Json

MAX_JOBS = 1_000_000
_SPECIAL = frozenset({"job_submitted", "jobs_removed"})


class Fold:
    """The state after the records so far. `notes()` says what was dropped."""

    __slots__ = ("gaps", "jobs", "last_seq", "malformed", "meta", "orphans", "removed", "repeats")

    def __init__(self, last_seq: int = 0) -> None:
        self.jobs: dict[str, dict[str, Json]] = {}
        self.meta: dict[str, Json] = {}
        self.last_seq = last_seq
        self.removed: set[str] = set()
        self.gaps: list[tuple[int, int]] = []  # first and last missing sequence number
        self.malformed = 0  # records whose shape is not a record's
        self.orphans: dict[str, int] = {}  # job id → records about it, though its submission is missing
        self.repeats = 0

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
            target = jobs.get(job)
            if target is None or name in _SPECIAL:
                if name == "job_submitted" and job:
                    if "steps" in fields and not is_steps(fields["steps"] or []):
                        self.malformed += 1
                        continue
                    if len(jobs) >= MAX_JOBS and target is None:
                        self.malformed += 1
                        continue
                    jobs[job] = target = fields
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


def is_steps(value: Json) -> bool:
    return type(value) is list and all(type(step) is dict for step in value)


def ids_of(fields: dict[str, Any]) -> list[str]:
    """The job ids a `jobs_removed` record names."""
    ids = fields.get("ids")
    return [job for job in ids if type(job) is str] if type(ids) is list else []
