# SPDX-License-Identifier: GPL-3.0-or-later
"""The one table of job states: every transition, what causes it, and who wins the races.

Nothing else in the package decides what may follow what; it asks `after`.
"""

from __future__ import annotations

from enum import StrEnum

from .contract import JobState
from .errors import MotionQueueError

QUEUED, RUNNING, PAUSED, STOPPING = JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.STOPPING
COMPLETED, FAILED, CANCELLED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED

TERMINAL = frozenset({COMPLETED, FAILED, CANCELLED})
WAITING = frozenset({QUEUED, PAUSED})
ACTIVE = frozenset({QUEUED, RUNNING, PAUSED, STOPPING})


class Trigger(StrEnum):
    __hash__ = str.__hash__

    START = "start"  # the scheduler gives the next step a slot
    FINISH = "finish"  # the last step is done
    FAIL = "fail"  # a step that is not optional failed for good, or the job can never run
    RETRY = "retry"  # a step failed in a way worth another attempt, later
    CANCEL = "cancel"  # a person asked
    STOPPED = "stopped"  # the running step has stopped because of that
    PAUSE = "pause"  # a person asked, and no step is running (any more)
    RESUME = "resume"
    INTERRUPT = "interrupt"  # clean shutdown, or recovery after a crash: the work goes on later


TRANSITIONS: dict[tuple[JobState, Trigger], JobState] = {
    # A waiting job starts. Between two steps it stays running and only waits for the next lane.
    (QUEUED, Trigger.START): RUNNING,
    (RUNNING, Trigger.START): RUNNING,
    (RUNNING, Trigger.FINISH): COMPLETED,
    (RUNNING, Trigger.FAIL): FAILED,
    # The job can never run: crash loop, unknown backend, expired, disk full at submit.
    (QUEUED, Trigger.FAIL): FAILED,
    (PAUSED, Trigger.FAIL): FAILED,
    # All that is left of the job is optional and can never run: it is as complete as it will ever be.
    (QUEUED, Trigger.FINISH): COMPLETED,
    # Automatic retry: the same job, one attempt more, not before a while.
    (RUNNING, Trigger.RETRY): QUEUED,
    # Cancel: at once where nothing runs, else through stopping.
    (QUEUED, Trigger.CANCEL): CANCELLED,
    (PAUSED, Trigger.CANCEL): CANCELLED,
    (RUNNING, Trigger.CANCEL): STOPPING,
    (STOPPING, Trigger.CANCEL): STOPPING,
    (STOPPING, Trigger.STOPPED): CANCELLED,
    # Race: the last step finished before the stop reached it. The work is there, so the job is completed.
    (STOPPING, Trigger.FINISH): COMPLETED,
    # Race: the step failed, or its process died or was shut down, while stopping. The person wanted it gone.
    (STOPPING, Trigger.FAIL): CANCELLED,
    (STOPPING, Trigger.RETRY): CANCELLED,
    (STOPPING, Trigger.INTERRUPT): CANCELLED,
    # Pause takes effect where no step runs; a running step is asked to stop at its next checkpoint first.
    (QUEUED, Trigger.PAUSE): PAUSED,
    (RUNNING, Trigger.PAUSE): PAUSED,
    (PAUSED, Trigger.PAUSE): PAUSED,
    (PAUSED, Trigger.RESUME): QUEUED,
    # Shutdown or crash: back to the queue, to go on at the first unfinished step.
    (RUNNING, Trigger.INTERRUPT): QUEUED,
    (QUEUED, Trigger.INTERRUPT): QUEUED,
}


class IllegalTransition(MotionQueueError):
    """The job is in a state in which this cannot be done (a terminal state never changes)."""


def after(state: JobState, trigger: Trigger) -> JobState:
    """The state that `trigger` leads to from `state`, or `IllegalTransition`."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        raise IllegalTransition(
            "wrong_state", f"A job that is {state} cannot {trigger}.", details={"state": str(state)}
        ) from None
