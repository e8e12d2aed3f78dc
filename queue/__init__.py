# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of the queue. This is its public face: submit, register, subscribe, query.

Example: docs/api.md. Standard library only; importable without Blender.
"""

from .channel import Event
from .contract import (
    Artefact,
    ArtefactStore,
    Backend,
    Estimate,
    Health,
    InputRef,
    JobState,
    Journal,
    Record,
    Recovered,
    StepContext,
    StepRequest,
    StepResult,
    StepSpec,
    StepState,
    StopReason,
    Workflow,
)
from .engine import Engine
from .errors import JobError, MotionQueueError, StepStopped, StoreError
from .metrics import Metrics, Percentiles
from .model import Job, JobSpec, Limits, Page, Progress, Step, Ticket

__all__ = [
    "Artefact",
    "ArtefactStore",
    "Backend",
    "Engine",
    "Estimate",
    "Event",
    "Health",
    "InputRef",
    "Job",
    "JobError",
    "JobSpec",
    "JobState",
    "Journal",
    "Limits",
    "Metrics",
    "MotionQueueError",
    "Page",
    "Percentiles",
    "Progress",
    "Record",
    "Recovered",
    "Step",
    "StepContext",
    "StepRequest",
    "StepResult",
    "StepSpec",
    "StepState",
    "StepStopped",
    "StopReason",
    "StoreError",
    "Ticket",
    "Workflow",
]
