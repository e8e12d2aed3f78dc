# SPDX-License-Identifier: GPL-3.0-or-later
"""The job as the engine holds it, as the journal stores it, and as callers submit and read it.

A `Job` keeps only what differs from the defaults in its `__dict__`: ten thousand waiting jobs stay small, and a journal
record is that dictionary. Only the engine changes one, under its lock; callers get copies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from .contract import SHARED_FIELDS, Artefact, DeferredJob, InputRef, JobState, Json, StepSpec, StepState
from .errors import JobError

DEFAULT_PRIORITY = 50
_NO_MAPPING: Mapping[str, Json] = {}

_JOB_STATES = {str(s): s for s in JobState}
_STEP_STATES = {str(s): s for s in StepState}
_OPEN = frozenset({StepState.PENDING, StepState.RUNNING})
_OVER = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


def timestamp() -> float:
    """Now, in seconds since the epoch (UTC), to the millisecond: as it is journaled and read again."""
    return time.time_ns() // 1_000_000 / 1000


def iso(seconds: float | None) -> str | None:
    """A UTC time stamp as ISO 8601 with milliseconds, from seconds since the epoch."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Step:
    """One step of a job: what it is, and how its current or last attempt went."""

    # What it is (from the workflow at submit).
    name: str = ""
    backend: str = ""
    lane: str = ""
    weight: float = 1.0
    optional: bool = False
    needs: tuple[str, ...] = ()
    exclusive_key: str = ""
    timeout: float | None = None
    stall_timeout: float | None = 3600.0
    max_attempts: int = 3
    # How it goes.
    state: StepState = StepState.PENDING
    attempt: int = 0
    progress: float = 0.0
    stage: str = ""
    data: Mapping[str, Json] = _NO_MAPPING
    artefacts: tuple[Artefact, ...] = ()
    result: Mapping[str, Json] = _NO_MAPPING
    error: JobError | None = None
    started_at: float | None = None
    completed_at: float | None = None
    seconds: float = 0.0  # time at work so far in this attempt, over interruptions
    worker: str = ""
    heartbeat_at: float | None = None
    external_ref: str = ""
    peak_memory_mb: float = 0.0

    @classmethod
    def from_spec(cls, spec: StepSpec, lane: str) -> Step:
        step = cls()
        values: dict[str, Any] = step.__dict__
        values["name"] = spec.name
        values["backend"] = spec.backend
        values["lane"] = lane
        if spec.weight != 1.0:
            values["weight"] = spec.weight
        if spec.optional:
            values["optional"] = True
        if spec.needs:
            values["needs"] = spec.needs
        if spec.exclusive_key:
            values["exclusive_key"] = spec.exclusive_key
        if spec.timeout is not None:
            values["timeout"] = spec.timeout
        if spec.stall_timeout != cls.stall_timeout:
            values["stall_timeout"] = spec.stall_timeout
        if spec.max_attempts != cls.max_attempts:
            values["max_attempts"] = spec.max_attempts
        return step

    def copy(self) -> Step:
        # copy.copy takes ten times as long.
        other = Step()
        other.__dict__.update(self.__dict__)
        return other

    def to_record(self) -> dict[str, Json]:
        values = dict(self.__dict__)
        if "artefacts" in values:
            values["artefacts"] = [a.to_json() for a in self.artefacts]
        if values.get("error") is not None:
            values["error"] = values["error"].to_json()
        return values

    @classmethod
    def from_record(cls, record: Mapping[str, Json]) -> Step:
        step = cls()
        values = step.__dict__
        values.update(record)
        if "state" in values:
            values["state"] = _STEP_STATES[values["state"]]
        if "artefacts" in values:
            values["artefacts"] = tuple(Artefact.from_json(a) for a in values["artefacts"])
        if values.get("error") is not None:
            values["error"] = JobError.from_json(values["error"])
        if "needs" in values:
            values["needs"] = tuple(values["needs"])
        return step


class PristineSteps(tuple[Step, ...]):
    """The steps of a plan before anything happened to them, shared by all jobs that wait with that plan."""

    record: list[dict[str, Json]]

    @classmethod
    def from_plan(cls, planned: Iterable[tuple[StepSpec, str]]) -> PristineSteps:
        """From steps and their lanes."""
        steps = cls(Step.from_spec(spec, lane) for spec, lane in planned)
        steps.record = [step.to_record() for step in steps]
        return steps

    @classmethod
    def from_record(cls, record: list[dict[str, Json]]) -> PristineSteps:
        """The inverse of `record`, which must not be changed any more."""
        steps = cls(map(Step.from_record, record))
        steps.record = record
        return steps


class Job:
    """What a person asked for: one row, one priority, one cancel button. Times are seconds since the epoch (UTC)."""

    id: str = ""
    project_id: str = ""
    batch_id: str = ""
    workflow: str = ""
    label: str = ""
    payload: Mapping[str, Json] = _NO_MAPPING
    inputs: tuple[InputRef, ...] = ()
    metadata: Mapping[str, Json] = _NO_MAPPING
    priority: int = DEFAULT_PRIORITY
    position: float = 0.0  # ties in priority: smaller first; set by arrival, changed by reordering
    state: JobState = JobState.QUEUED
    steps: tuple[Step, ...] = ()
    attempt: int = 1
    crash_count: int = 0
    not_before: float | None = None
    expires_at: float | None = None
    degraded: str = ""
    error: JobError | None = None
    callback_url: str = ""
    idempotency_key: str = ""
    retry_of: str = ""
    recovered: bool = False
    pause_requested: bool = False
    source: Mapping[str, Json] = _NO_MAPPING  # {"blend": path, "scene": name}
    created_at: float = 0.0
    queued_at: float = 0.0  # 0: when it was created
    started_at: float | None = None
    last_progress_at: float | None = None
    completed_at: float | None = None
    revision: int = 0
    # Views, filled in on the copies that callers get.
    progress: float = 0.0
    stage: str = ""
    estimated_duration: float | None = None
    eta_seconds: float | None = None
    eta_is_guess: bool = True  # True: no job like this one has been timed yet
    queue_position: int | None = None

    VIEWS: ClassVar[tuple[str, ...]] = (
        "progress",
        "stage",
        "estimated_duration",
        "eta_seconds",
        "eta_is_guess",
        "queue_position",
    )

    @property
    def current(self) -> Step | None:
        """The first step that is not over: the one that runs or runs next."""
        steps = self.steps
        if type(steps) is PristineSteps:
            return steps[0]
        for step in steps:
            if step.state in _OPEN:
                return step
        return None

    @property
    def artefacts(self) -> tuple[Artefact, ...]:
        return tuple(a for step in self.steps for a in step.artefacts)

    @property
    def result(self) -> dict[str, Json]:
        """Step name → the data its backend returned."""
        return {step.name: step.result for step in self.steps if step.result}

    @property
    def processing_time(self) -> float:
        """Seconds at work, without waiting."""
        seconds = 0.0
        for step in self.steps:
            seconds += step.seconds
        return seconds

    @property
    def finished(self) -> bool:
        return self.state in _OVER

    def own_steps(self) -> tuple[Step, ...]:
        """The steps, no longer shared with other jobs: call it before one is changed."""
        if type(self.steps) is PristineSteps:
            self.__dict__["steps"] = tuple(map(Step.copy, self.steps))
        return self.steps

    def copy(self) -> Job:
        """An independent copy for a caller. Payloads are shared: nobody changes them."""
        other = Job()
        other.__dict__.update(self.__dict__)
        other.__dict__["steps"] = tuple(map(Step.copy, self.steps))
        return other

    def to_record(self) -> dict[str, Json]:
        """All fields that differ from their defaults, as JSON values."""
        values = dict(self.__dict__)
        steps = self.steps
        values["steps"] = steps.record if type(steps) is PristineSteps else [step.to_record() for step in steps]
        if "inputs" in values:
            values["inputs"] = [i.to_json() for i in self.inputs]
        if values.get("error") is not None:
            values["error"] = values["error"].to_json()
        return values

    @classmethod
    def from_record(cls, record: Mapping[str, Json]) -> Job:
        """The inverse of `to_record`. KeyError, TypeError or ValueError when it is no job."""
        job = cls()
        values = job.__dict__
        values.update(record)
        if "state" in values:
            values["state"] = _JOB_STATES[values["state"]]
        values["steps"] = tuple(map(Step.from_record, record["steps"]))
        if "inputs" in values:
            values["inputs"] = tuple(InputRef.from_json(i) for i in values["inputs"])
        if values.get("error") is not None:
            values["error"] = JobError.from_json(values["error"])
        return job

    @staticmethod
    def known(job: Job) -> Mapping[str, Any]:
        """Its fields without the defaults; of an `UnreadJob` those that are known without reading it."""
        known: dict[str, Any] = object.__getattribute__(job, "__dict__")
        return known

    def to_json(self) -> dict[str, Json]:
        """The whole record for people and other programs, with every field and ISO times (job.json, --json, REST)."""
        steps = []
        for step in self.steps:
            steps.append(
                {
                    "name": step.name,
                    "backend": step.backend,
                    "lane": step.lane,
                    "state": str(step.state),
                    "optional": step.optional,
                    "attempt": step.attempt,
                    "progress": round(step.progress, 4),
                    "stage": step.stage,
                    "data": dict(step.data),
                    "artefacts": [a.to_json() for a in step.artefacts],
                    "result": dict(step.result),
                    "error": step.error.to_json() if step.error else None,
                    "started_at": iso(step.started_at),
                    "completed_at": iso(step.completed_at),
                    "seconds": round(step.seconds, 3),
                    "worker": step.worker,
                    "heartbeat_at": iso(step.heartbeat_at),
                    "external_ref": step.external_ref,
                    "peak_memory_mb": round(step.peak_memory_mb, 1),
                }
            )
        return {
            "id": self.id,
            "project_id": self.project_id,
            "batch_id": self.batch_id,
            "workflow": self.workflow,
            "label": self.label,
            "payload": dict(self.payload),
            "inputs": [i.to_json() for i in self.inputs],
            "metadata": dict(self.metadata),
            "priority": self.priority,
            "position": self.position,
            "queue_position": self.queue_position,
            "state": str(self.state),
            "progress": round(self.progress, 4),
            "stage": self.stage,
            "steps": steps,
            "estimated_duration": self.estimated_duration,
            "eta_seconds": self.eta_seconds,
            "eta_is_guess": self.eta_is_guess,
            "attempt": self.attempt,
            "crash_count": self.crash_count,
            "not_before": iso(self.not_before),
            "expires_at": iso(self.expires_at),
            "degraded": self.degraded,
            "result": self.result,
            "artefacts": [a.to_json() for a in self.artefacts],
            "error": self.error.to_json() if self.error else None,
            "callback_url": self.callback_url,
            "idempotency_key": self.idempotency_key,
            "retry_of": self.retry_of,
            "recovered": self.recovered,
            "source": dict(self.source),
            "created_at": iso(self.created_at),
            "queued_at": iso(self.queued_at or self.created_at),
            "started_at": iso(self.started_at),
            "last_progress_at": iso(self.last_progress_at),
            "completed_at": iso(self.completed_at),
            "processing_time": round(self.processing_time, 3),
            "revision": self.revision,
        }


class UnreadJob(Job):
    """A job of an earlier process whose record was not decoded yet, because it is over or waits as it was submitted.

    Of thousands of them nobody looks at more than a page at a time. It answers from what is known without decoding, and with the
    first question that goes further it becomes an ordinary `Job`, with everything in its place.
    """

    def __init__(self, job_id: str, record: DeferredJob, state: JobState, steps: PristineSteps | None) -> None:
        """`steps`: of a job that waits; what became of the steps of a finished one is in its record."""
        values = object.__getattribute__(self, "__dict__")
        values.update(record.shared)
        if steps is None:
            del values["steps"]
        else:
            values["steps"] = steps
            position = record.position
            if position is not None:
                values["position"] = position
        values["id"] = job_id
        values["state"] = state
        values["revision"] = record.revision
        values["_record"] = record

    def __getattribute__(self, name: str) -> Any:
        values = object.__getattribute__(self, "__dict__")
        if name in values:
            return values[name]
        if name in _KNOWN_UNREAD or (name == "current" and "steps" in values):
            return object.__getattribute__(self, name)
        record, steps = values.pop("_record"), values.pop("steps", None)
        # From here on it is an ordinary job, and no question passes through this method any more.
        self.__class__ = Job  # type: ignore[assignment]
        try:
            values.update(Job.from_record({**record.fields(), "id": values["id"]}).__dict__)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            values["error"] = JobError("damaged", f"The record of this job cannot be read ({type(error).__name__}: {error}).")
        if steps is not None:
            values["steps"] = steps
        return getattr(self, name)


_KNOWN_UNREAD = frozenset({*SHARED_FIELDS, "finished"}) - {"steps"}  # where one is missing, the default holds


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a caller submits. Plain values only; the payload must be JSON and is not changed afterwards."""

    workflow: str
    payload: Mapping[str, Json] = field(default_factory=dict)
    label: str = ""
    id: str = ""  # chosen by the caller when something (copied inputs, say) was already named after it
    project_id: str = ""
    batch_id: str = ""
    inputs: tuple[InputRef, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    priority: int = DEFAULT_PRIORITY  # 0–100, higher first
    callback_url: str = ""
    idempotency_key: str = ""
    retry_of: str = ""
    not_before: float | None = None  # seconds since the epoch
    expires_after: float | None = None  # seconds of waiting after which the job fails with `expired`
    source: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ticket:
    """The receipt of an operation: taken, and durable once `wait_durable` says so."""

    job_ids: tuple[str, ...]
    seq: int  # the event id of its last record
    _wait: Callable[[int, float | None], bool]

    @property
    def job_id(self) -> str:
        return self.job_ids[0]

    def wait_durable(self, timeout: float | None = None) -> bool:
        """True once it is on disk, False after `timeout` seconds; `StoreError` if it could not be written."""
        return self._wait(self.seq, timeout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may run at once and how much is kept. Every value may change while jobs run."""

    total: int = 4  # running steps in all lanes together, 1–8
    lanes: Mapping[str, int] = field(default_factory=lambda: {"cpu": 2, "blender": 2, "gpu": 1, "network": 8, "io": 2})
    memory_mb: float = 0.0  # budget for what running steps expect to take; 0: no limit
    max_queued: int = 10_000
    max_active_per_project: int = 0  # 0: no limit
    finished_kept: int = 100
    max_crashes: int = 3  # 0: never give a job up because of crashes
    retry_base: float = 2.0  # seconds before the first automatic retry; doubles each time
    retry_cap: float = 300.0
    grace: float = 10.0  # seconds between asking a step to stop and giving its worker up
    events_kept: int = 3_000  # for replay


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query: copies of jobs, and how many there are in all."""

    jobs: tuple[Job, ...]
    total: int
    offset: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running job is: pushed through the pump, latest value wins."""

    job_id: str
    progress: float
    stage: str
    eta_seconds: float | None
    eta_is_guess: bool
    data: Mapping[str, Json]
