# SPDX-License-Identifier: GPL-3.0-or-later
"""What the details of the selected job show, as one immutable value made from the engine's copy of it. No Blender."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..backends.workflows import note_of
from ..queue.contract import Artefact, JobState, Json, StepState
from ..queue.errors import JobError
from ..queue.model import Job, Step
from .words import STEP_WORDS, clean

LOST = "deliver"  # the step whose data names the output folder
_MOTIONS = (".bvh", ".fbx")
_VIDEOS = (".mp4",)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    name: str
    title: str
    state: StepState
    seconds: float  # at work
    attempt: int
    most_attempts: int
    progress: float
    stage: str
    memory_mb: float  # at its peak; 0: not measured
    worker: str
    optional: bool
    problem: str  # code and message of its error


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    name: str
    path: str
    size: int  # bytes
    kind: str  # "motion", "video", "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """One job, as a person reads it."""

    id: str
    label: str
    state: JobState
    progress: float
    stage: str
    eta: float | None
    eta_is_guess: bool
    queue_position: int | None  # 0-based, within the lane of its next step
    priority: int
    attempt: int
    crash_count: int
    recovered: bool
    waits_for_disk: bool  # not safe yet: "saving"
    steps: tuple[StepLine, ...]
    files: tuple[ResultFile, ...]
    folder: str  # where the results were delivered to; empty: nowhere
    degraded: str
    note: str  # what a person should know though nothing failed
    error: JobError | None
    log: str  # path
    prompt: str
    source: Mapping[str, Json]
    retry_of: str
    processing_time: float  # seconds
    revision: int

    @property
    def memory_mb(self) -> float:
        return max((step.memory_mb for step in self.steps), default=0.0)

    @property
    def over(self) -> bool:
        return self.state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


def details_of(job: Job, *, durable: int, local: Callable[[Artefact], Path], log: Path) -> Details:
    """`durable`: the engine's newest durable event; `local`: where the store has an artefact; `log`: the job's own log."""
    delivered = job.result.get(LOST, {})
    return Details(
        id=job.id,
        label=clean(job.label) or job.id[:8],
        state=JobState(job.state),
        progress=1.0 if job.state is JobState.COMPLETED else job.progress,
        stage=clean(job.stage),
        eta=job.eta_seconds,
        eta_is_guess=job.eta_is_guess,
        queue_position=job.queue_position,
        priority=job.priority,
        attempt=job.attempt,
        crash_count=job.crash_count,
        recovered=job.recovered,
        waits_for_disk=job.revision > durable,
        steps=tuple(map(_line, job.steps)),
        files=_files(job, local, delivered.get("files") or ()),
        folder=str(delivered.get("folder") or ""),
        degraded=clean(job.degraded),
        note=clean(note_of(job.metadata, job.result)),
        error=job.error,
        log=str(log),
        prompt=clean(str(job.payload.get("prompt") or "")),
        source=job.source,
        retry_of=job.retry_of,
        processing_time=job.processing_time,
        revision=job.revision,
    )


def _line(step: Step) -> StepLine:
    return StepLine(
        name=step.name,
        title=STEP_WORDS.get(step.name, step.name.replace("_", " ").capitalize()),
        state=StepState(step.state),
        seconds=step.seconds,
        attempt=step.attempt,
        most_attempts=step.max_attempts,
        progress=step.progress,
        stage=clean(step.stage),
        memory_mb=step.peak_memory_mb,
        worker=clean(step.worker),
        optional=step.optional,
        problem=clean(f"{step.error.message} [{step.error.code}]") if step.error else "",
    )


def _files(job: Job, local: Callable[[Artefact], Path], delivered: tuple[str, ...]) -> tuple[ResultFile, ...]:
    """What was delivered where that happened, else what the store has: the newest of each name."""
    found: dict[str, ResultFile] = {}
    places = {Path(path).name: path for path in map(str, delivered)}
    for artefact in job.artefacts:
        path = places.get(artefact.name) or str(local(artefact))
        found[artefact.name] = ResultFile(name=clean(artefact.name), path=path, size=artefact.size, kind=_kind(artefact.name))
    return tuple(found.values())


def _kind(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return "motion" if suffix in _MOTIONS else "video" if suffix in _VIDEOS else "other"
