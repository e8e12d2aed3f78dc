# SPDX-License-Identifier: GPL-3.0-or-later
"""How other interfaces name what the engine knows: one function each way, so that no two of them can disagree."""

from __future__ import annotations

from .contract import JobState
from .errors import MotionQueueError
from .model import Job

_TASK_SERVICE = {
    JobState.QUEUED: "queued",
    JobState.PAUSED: "queued",
    JobState.RUNNING: "processing",
    JobState.STOPPING: "processing",
}
_ASYNC_TASK = {JobState.QUEUED: "pending", JobState.PAUSED: "pending"}
_LEVELS = {1: 90, 2: 50, 3: 10}


def task_service_status(state: JobState) -> str:
    """queued, processing, completed, failed or cancelled."""
    return _TASK_SERVICE.get(state, str(state))


def async_task_status(state: JobState) -> str:
    """pending, running, stopping, completed, failed or cancelled."""
    return _ASYNC_TASK.get(state, str(state))


def progress_percent(job: Job) -> int:
    return round(100 * job.progress)


def queue_name(job: Job) -> str:
    """The lane of the step that runs or runs next."""
    step = job.current
    return step.lane if step else ""


def priority_from_level(level: int) -> int:
    """1 high, 2 normal, 3 low → 90, 50, 10."""
    try:
        return _LEVELS[level]
    except KeyError:
        raise MotionQueueError("bad_priority", f"Priority {level!r} is none of 1 (high), 2 (normal), 3 (low).") from None


def priority_from_ten(value: int) -> int:
    """0–10 → 0–100."""
    if not 0 <= value <= 10:
        raise MotionQueueError("bad_priority", f"Priority {value!r} is not between 0 and 10.")
    return value * 10
