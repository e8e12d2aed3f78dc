# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine takes in and what it refuses: new jobs, room in the queue, exclusive keys, priorities, limits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from .contract import JobState, StepSpec
from .core import Core
from .errors import MotionQueueError
from .model import DEFAULT_PRIORITY, Job, JobSpec, Limits, PristineSteps
from .pool import THREADS
from .values import plain_copy

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


def new_job(spec: JobSpec, steps: PristineSteps, now: float) -> Job:
    job = Job()
    values: dict[str, Any] = job.__dict__
    values["id"] = spec.id or _new_id()
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


def _new_id() -> str:
    """A random UUID (version 4), as `uuid.uuid4` makes it in three times the time."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def checked_priority(priority: int) -> int:
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= 100:
        raise MotionQueueError("bad_priority", f"Priority {priority!r} is not a whole number between 0 and 100.")
    return priority


def checked_limits(limits: Limits) -> Limits:
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


def check_room(core: Core, new: Collection[Job], exclusive: Sequence[tuple[StepSpec, ...]]) -> None:
    """Refuse jobs for which there is no room, or whose exclusive key is taken where they do not want to wait for it."""
    limits, ledger = core.limits, core.ledger
    waiting = ledger.count(JobState.QUEUED) + ledger.count(JobState.PAUSED)
    if waiting + len(new) > limits.max_queued:
        running = core.meter.running
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
