# SPDX-License-Identifier: GPL-3.0-or-later
"""What crosses the engine's borders: values and protocols for backends, workflows, the journal and the artefact store.

The engine knows backends and stores only by what stands here. Everything is plain and serialisable, so that a step
runs the same in this process, in a child process or in a worker elsewhere. Standard library only, no I/O, no bpy.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from .errors import JobError, StoreError

Json = Any  # a JSON value: None, bool, int, float, str, list, dict with string keys


class JobState(StrEnum):
    __hash__ = str.__hash__  # Enum's own is written in Python, and states are looked up all the time

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepState(StrEnum):
    __hash__ = str.__hash__

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # an optional step it builds on failed, or the job ended before it


class StopReason(StrEnum):
    """Why the engine asks a running step to stop."""

    CANCEL = "cancel"
    PAUSE = "pause"
    TIMEOUT = "timeout"
    STALLED = "stalled"  # no progress for longer than the step allows
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file in the artefact store, named by job, step and attempt."""

    name: str  # what the user sees: "motion.bvh"
    key: str  # where the store has it: "jobs/<job>/<step>/<attempt>/motion.bvh"
    media_type: str = "application/octet-stream"
    size: int = 0  # bytes
    sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "key": self.key, "media_type": self.media_type, "size": self.size, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Artefact:
        return cls(
            name=str(value["name"]),
            key=str(value["key"]),
            media_type=str(value.get("media_type", "application/octet-stream")),
            size=int(value.get("size", 0)),
            sha256=str(value.get("sha256", "")),
        )


@dataclass(frozen=True, slots=True)
class InputRef:
    """A file a job reads. Copied into the store (`key`) or, where a copy would break it, only hashed (`path` + `sha256`)."""

    name: str  # its role in the payload: "clip", "character", "scene"
    path: str = ""  # absolute path of the user's file
    key: str = ""  # the copy in the artefact store, when there is one
    sha256: str = ""
    size: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "path": self.path, "key": self.key, "sha256": self.sha256, "size": self.size}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> InputRef:
        return cls(
            name=str(value["name"]),
            path=str(value.get("path", "")),
            key=str(value.get("key", "")),
            sha256=str(value.get("sha256", "")),
            size=int(value.get("size", 0)),
        )


_NOTHING: Mapping[str, Json] = MappingProxyType({})


# Named tuples, as records are: one of each is made for every step, and a frozen dataclass takes four times as long.
class StepRequest(NamedTuple):
    """One attempt at one step. `token` names the attempt; a result with another token is refused."""

    job_id: str
    step: str
    attempt: int
    token: str
    payload: Mapping[str, Json] = _NOTHING
    inputs: tuple[InputRef, ...] = ()
    artefacts: tuple[Artefact, ...] = ()  # what earlier steps of this job made
    results: Mapping[str, Json] = _NOTHING  # earlier step name → its StepResult.data
    external_ref: str = ""  # set when an earlier run of this attempt started something remote: reattach to it

    def artefact(self, name: str) -> Artefact | None:
        """The newest artefact of that name made by an earlier step."""
        return next((a for a in reversed(self.artefacts) if a.name == name), None)

    def input(self, name: str) -> InputRef | None:
        return next((i for i in self.inputs if i.name == name), None)


class StepResult(NamedTuple):
    artefacts: tuple[Artefact, ...] = ()
    data: Mapping[str, Json] = _NOTHING  # small; merged into the job's result under the step's name


@runtime_checkable
class StepContext(Protocol):
    """What a running step may ask of the engine. Every method may be called from any thread."""

    @property
    def store(self) -> ArtefactStore: ...

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the step should stop now, or None."""

    def check(self) -> None:
        """Raise `StepStopped` when the step should stop."""

    def wait_stop(self, timeout: float) -> bool:
        """Sleep up to `timeout` seconds; True as soon as the step should stop."""

    def on_stop(self, callback: Callable[[StopReason], None]) -> None:
        """Call back (from the engine's thread, must not block) when the step should stop; at once if it already should.

        Called once, or twice when something more urgent follows a pause.
        """

    def progress(self, fraction: float, stage: str = "", data: Mapping[str, Json] | None = None) -> None:
        """Report progress 0–1 of this step. Also counts as a heartbeat. Cheap: latest value wins."""

    def heartbeat(self) -> None:
        """Say that the worker is alive though there is no progress to report."""

    def log(self, level: str, message: str) -> None:
        """One line into the job's own log. Levels: debug, info, warning, error."""

    def external_ref(self, ref: str) -> None:
        """Journal, durably, the name of something started elsewhere, before it is polled."""

    def worker(self, worker_id: str, pid: int = 0) -> None:
        """Say who does the work."""

    def memory(self, peak_mb: float) -> None:
        """Report the peak memory of the work so far, in MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a step is expected to take. `work` is in the backend's own unit and makes durations comparable."""

    work: float = 1.0  # e.g. frames × megapixels for a render
    key: str = ""  # variant whose times compare: "cycles 960x540"; one that begins with the same word stands in for an unseen one
    seconds: float | None = None  # a first guess, used until times have been learned
    memory_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Health:
    ok: bool
    message: str = ""  # shown to the user: what is missing and what to do


@runtime_checkable
class Backend(Protocol):
    """Does one kind of step. `run` is called on a pool thread; more than a few milliseconds of Python belong in a child."""

    name: str
    lane: str
    can_pause: bool  # stops at a checkpoint when asked and goes on from there when run again
    # Optional: `hold_while_away = True` lets its jobs wait while `health` is bad, instead of failing.

    def run(self, request: StepRequest, context: StepContext) -> StepResult: ...

    def estimate(self, payload: Mapping[str, Json], results: Mapping[str, Json]) -> Estimate:
        """Quick and pure: no I/O. `results` maps finished step names to their data."""

    def health(self) -> Health:
        """May take a while; called on a pool thread, never with the engine's lock held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """One step of a workflow."""

    name: str
    backend: str
    lane: str = ""  # empty: the backend's own
    weight: float = 1.0  # share of the job's progress until times are known
    optional: bool = False  # when it fails, the job completes with what there is and says so in `degraded`
    needs: tuple[str, ...] = ()  # steps that must have completed; if one was skipped or failed, so is this one
    exclusive_key: str = ""  # at most one running step holds it
    on_conflict: str = "queue"  # or "reject": submit fails while another job holds or waits for the key
    timeout: float | None = None  # seconds in all
    stall_timeout: float | None = 3600.0  # seconds without progress
    max_attempts: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A registered name with its ordered steps. `plan` chooses the steps for a payload; `validate` returns field → problem."""

    name: str
    steps: tuple[StepSpec, ...] = ()
    plan: Callable[[Mapping[str, Json]], Sequence[StepSpec]] | None = None
    validate: Callable[[Mapping[str, Json]], Mapping[str, str]] | None = None


class Record(NamedTuple):
    """One state change: what the journal stores and, once durable, what subscribers receive. `seq` is the event id."""

    seq: int
    at: float  # seconds since the epoch, UTC
    name: str  # "job_submitted", "step_started", "job_completed", "queue_paused", …
    job: str  # job id, or "" for the queue itself
    fields: Mapping[str, Json]  # job fields that changed (all non-default ones for job_submitted); JSON values
    steps: Mapping[str, Mapping[str, Json]] | None = None  # step index as text → step fields that changed
    sync: bool = True  # False: progress and other records that may be lost in a crash


# What the indexes and the scheduler have to know of a job that waits as it was submitted, beside its position. Mostly the same
# for all jobs of a batch.
SHARED_FIELDS = (
    "workflow",
    "steps",
    "project_id",
    "batch_id",
    "idempotency_key",
    "priority",
    "created_at",
    "not_before",
    "expires_at",
    "state",  # of a job that was taken over from another journal: only then a submission has one
)


class DeferredJob(Mapping[str, Json]):
    """A job's merged fields, not decoded before somebody looks inside. What an index needs is known without that."""

    __slots__ = ()
    shared: Mapping[str, Json]  # of SHARED_FIELDS what it was submitted with

    @property
    @abstractmethod
    def position(self) -> float | None:
        """That it was submitted with."""

    @abstractmethod
    def fields(self) -> dict[str, Json]:
        """All of them. Not to be changed."""

    @property
    @abstractmethod
    def last(self) -> str:
        """The name of its newest record."""

    @property
    @abstractmethod
    def revision(self) -> int:
        """The number of its newest record."""


class Recovered(NamedTuple):
    """What a journal found when it was opened: the fold of its records."""

    # Job id → merged fields, in order of submission; "steps" is a list of dicts. Not to be changed: jobs may share values.
    jobs: dict[str, Mapping[str, Json]]
    meta: dict[str, Json]  # the queue's own fields, merged
    last_seq: int
    clean: bool  # False: the last owner did not close it (crash, kill, power)
    notes: tuple[str, ...] = ()  # what was dropped or mended, for people


class Journal(Protocol):
    """Durable, ordered storage of records. Folds them by these rules, and knows no others:

    `job_submitted` creates the job from `fields`; `jobs_removed` drops the ids in `fields["ids"]`; a record with `job == ""`
    merges `fields` into meta; any other record shallow-merges `fields` into the job and `steps[i]` into its i-th step. A record
    about a job sets its `revision` to the record's number.
    """

    def open(self) -> Recovered: ...

    def append(self, records: Sequence[Record]) -> None:
        """Take records for writing, in order of `seq`. Never blocks on the disk. Any thread."""

    def wait(self, seq: int, timeout: float | None = None) -> bool:
        """Block until the record `seq` is durable (True), `timeout` seconds are over (False), or it failed (`StoreError`)."""

    def listen(self, on_durable: Callable[[Sequence[Record]], None], on_error: Callable[[StoreError | None], None]) -> None:
        """Both are called on the writer's thread. `on_durable` gets every record once it is safe (sync=False ones with the batch
        that follows them); `on_error` gets the error when writing fails (records stay pending and are retried), and None when it
        works again.
        """

    def close(self, timeout: float = 2.0) -> None: ...


class ArtefactStore(Protocol):
    """Result files. A folder now, an object store later."""

    def put(self, key: str, source: Path, *, name: str = "", media_type: str = "", move: bool = False) -> Artefact:
        """Store a file: written beside, fsynced, renamed. `move` may consume the source. `StoreError` on failure."""

    def path(self, key: str) -> Path:
        """A local path to read it from (an object store fetches it into its cache first)."""

    def url(self, key: str) -> str: ...

    def delete(self, prefix: str) -> int:
        """Remove everything under a key prefix; how many files that were."""

    def work_dir(self, job_id: str, step: str) -> Path:
        """A scratch folder that survives crashes and attempts, so that a half-done step can go on. Made on demand."""

    def clear_work(self, job_id: str, step: str = "") -> None: ...

    def log_path(self, job_id: str) -> Path:
        """The job's own log file. Neither it nor its folder need be there: whoever writes makes them."""


__all__ = [
    "Artefact",
    "ArtefactStore",
    "Backend",
    "DeferredJob",
    "Estimate",
    "Health",
    "InputRef",
    "JobError",
    "JobState",
    "Journal",
    "Json",
    "Record",
    "Recovered",
    "StepContext",
    "StepRequest",
    "StepResult",
    "StepSpec",
    "StepState",
    "StopReason",
    "StoreError",
    "Workflow",
]
