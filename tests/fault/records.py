# SPDX-License-Identifier: GPL-3.0-or-later
"""Records as the engine writes them, and the plain fold that any reading is compared with."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from motion_queue.queue.contract import Record


def submitted(seq: int, job: str, label: str = "walk") -> Record:
    fields = {
        "id": job,
        "workflow": "shot",
        "label": label,
        "payload": {"clip": f"{label}.bvh", "fps": 30, "nested": [1, {"a": None}]},
        "priority": 50,
        "state": "queued",
        "steps": [{"name": "retarget", "state": "pending"}, {"name": "render", "state": "pending"}],
    }
    return Record(seq, 1.7e9 + seq, "job_submitted", job, fields)


def history(jobs: int, start: int = 1) -> Iterator[Record]:
    """Jobs that are submitted, started and completed, with the queue's own records and removals in between."""
    numbers = count(start)
    for index in range(jobs):
        job = f"job-{start}-{index}"
        yield submitted(next(numbers), job, f"clip {index} \u00e9\u4e16")
        yield Record(next(numbers), 1.0, "step_started", job, {"state": "running"}, {"0": {"state": "running", "attempt": 1}})
        if index % 3 == 0:
            yield Record(next(numbers), 1.0, "queue_paused", "", {"paused": index, f"key{index % 4}": [index]})
        if index % 5 != 4:
            done = {"state": "completed"}
            yield Record(next(numbers), 1.0, "job_completed", job, {**done, "progress": 1.0}, {"0": done, "1": done})
        if index % 7 == 6:
            yield Record(next(numbers), 1.0, "jobs_removed", "", {"ids": [f"job-{start}-{index - 1}", "nobody"]})


def plain_fold(records: Iterable[Record]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The contract's rules, as simply as they can be written."""
    jobs: dict[str, dict[str, Any]] = {}
    meta: dict[str, Any] = {}
    for record in records:
        fields = copy.deepcopy(dict(record.fields))
        if record.name == "job_submitted":
            jobs[record.job] = fields
        elif record.name == "jobs_removed":
            for job in fields["ids"]:
                jobs.pop(job, None)
            continue
        elif not record.job:
            meta.update(fields)
            continue
        elif record.job not in jobs:
            continue
        else:
            jobs[record.job].update(fields)
        jobs[record.job]["revision"] = record.seq
        for index, changes in (record.steps or {}).items():
            jobs[record.job]["steps"][int(index)].update(copy.deepcopy(dict(changes)))
    return jobs, meta
