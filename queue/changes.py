# SPDX-License-Identifier: GPL-3.0-or-later
"""What the start and the end of a step change, as records hold it.

In a stream of short steps many start and end in the same millisecond. They get the same objects, which the journal encodes once;
nobody changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from .contract import JobState, Json, StepState

StepChanges = Mapping[str, Mapping[str, Json]]  # step index as text → fields that changed

_KEPT = 64  # a few for each step that may run at once


@lru_cache(_KEPT)
def step_started(index: int, now: float, attempt: int) -> StepChanges:
    return {str(index): {"state": StepState.RUNNING, "started_at": now, "attempt": attempt}}


@lru_cache(_KEPT)
def step_completed(index: int, now: float, seconds: float) -> StepChanges:
    """`seconds`: at work."""
    return {str(index): {"seconds": seconds, "state": StepState.COMPLETED, "progress": 1.0, "completed_at": now}}


@lru_cache(_KEPT)
def job_started(state: JobState, now: float | None, was_delayed: bool) -> Mapping[str, Json]:
    """`now`: of the job's first start, else None."""
    fields: dict[str, Json] = {"state": state}
    if now is not None:
        fields["started_at"] = now
    if was_delayed:
        fields["not_before"] = None
    return fields


@lru_cache(_KEPT)
def job_ended(state: JobState, now: float) -> Mapping[str, Json]:
    return {"state": state, "completed_at": now}
