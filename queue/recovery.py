# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of jobs that another process left behind: they wait on, go on at their first unfinished step, or are given up.

Called with the core's lock held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .contract import DeferredJob, JobState, Json, StepState
from .core import Core
from .errors import JobError
from .model import Job, PristineSteps, UnreadJob
from .states import Trigger, after

# Nothing changes a job after these: its state is known without reading the rest.
_END_STATES = {"job_completed": JobState.COMPLETED, "job_failed": JobState.FAILED, "job_cancelled": JobState.CANCELLED}


def read_jobs(records: Mapping[str, Mapping[str, Json]]) -> tuple[list[Job], list[str]]:
    """Jobs from a journal's fold, and notes for people about those that cannot be read."""
    jobs: list[Job] = []
    notes: list[str] = []
    plans: dict[int, PristineSteps] = {}  # by the identity of the list that many records share
    for job_id, record in records.items():
        try:
            if not isinstance(record, DeferredJob):
                jobs.append(Job.from_record({**record, "id": job_id}))
                continue
            last = record.last
            if last in _END_STATES:
                jobs.append(UnreadJob(job_id, record, _END_STATES[last], None))
            elif last == "job_submitted" and "state" not in record.shared:
                planned = record.shared["steps"]
                steps = plans.get(id(planned))
                if steps is None:
                    steps = plans[id(planned)] = PristineSteps.from_record(planned)
                jobs.append(UnreadJob(job_id, record, JobState.QUEUED, steps))
            else:
                jobs.append(Job.from_record({**record.fields(), "id": job_id}))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            notes.append(f"Job {job_id} could not be read ({type(error).__name__}: {error}) and was left out.")
    return jobs, notes


def load_meta(core: Core, meta: Mapping[str, Json]) -> list[str]:
    """The queue's own fields; returns notes for people."""
    if meta.get("paused"):
        core.hold("paused", "The queue is paused.")
    learned = meta.get("durations")
    if learned is not None:
        try:
            core.durations.load(learned)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return [f"The learned durations could not be read ({type(error).__name__}: {error}); times are learned anew."]
    return []


def take_up(core: Core, jobs: Iterable[Job], *, clean: bool) -> None:
    """Put waiting jobs in line; those that ran when their process ended go on at their first unfinished step.

    `clean`: that process closed its queue, and a job between two steps has nothing to recover from.
    """
    waiting = []
    for job in jobs:
        known = Job.known(job)  # of a job that waits, without asking it: that takes longer than all the rest
        if known.get("state") in (JobState.RUNNING, JobState.STOPPING):
            _recover(core, job, clean=clean)
        if known.get("state", JobState.QUEUED) is JobState.QUEUED:
            waiting.append(job)
    core.enqueue(waiting)


def _recover(core: Core, job: Job, *, clean: bool) -> None:
    """Its process ended while the job ran: back to the queue, or the end for one that keeps taking the process down."""
    crashed: dict[str, dict[str, Json]] = {}
    for index, step in enumerate(job.steps):
        if step.state is StepState.RUNNING:
            step.__dict__["state"] = StepState.PENDING
            crashed[str(index)] = {"state": StepState.PENDING}
    if job.state is JobState.STOPPING:
        core.end(job, "job_cancelled", after(job.state, Trigger.INTERRUPT), crashed)
        return
    count = job.crash_count + len(crashed)
    limit = core.limits.max_crashes
    if crashed and limit and count >= limit:
        name = job.steps[int(next(iter(crashed)))].name
        error = JobError(
            "crash_loop",
            f"The program ended {count} times while the step {name!r} of this job was running. It is not tried again by "
            "itself; read its log, then retry it or change it.",
        )
        core.end(job, "job_failed", after(job.state, Trigger.FAIL), crashed, error=error, crash_count=count, recovered=True)
        return
    fields: dict[str, Any] = {"state": after(job.state, Trigger.INTERRUPT)}
    if job.pause_requested:
        # The step that was to be finished first is not running any more: the pause takes effect now.
        fields = {"state": after(job.state, Trigger.PAUSE), "pause_requested": False}
    if crashed or not clean:
        fields["recovered"] = True
    if crashed:
        fields["crash_count"] = count
    core.ledger.change("job_recovered", job, crashed or None, **fields)
