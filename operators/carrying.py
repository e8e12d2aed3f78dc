# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes up the jobs that a .blend carries from elsewhere: jobs of this queue, made of what is still there. No bpy; any thread.

A foreign file says what to do, but not where to write nor what to run: options that name such things are not taken over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..backends.generate.options import MotionOptions
from ..backends.options import ClipOptions
from ..backends.workflows import CLIP, SHOT
from ..persistence.mirror import CarriedJob, beside, input_path
from ..queue import JobSpec, MotionQueueError
from ..queue.contract import Json

if TYPE_CHECKING:
    from ..app import App

OUTPUT = "motion"  # a folder beside the .blend, for results that were meant for a place on another machine
_NOT_TAKEN = {"trust_scripts", "weights", "output_dir", "prompt"}
_TAKEN = {f.name for kind in (ClipOptions, MotionOptions) for f in fields(kind)} - _NOT_TAKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumable:
    """A carried job, and the files that stand for those it had: input → where it is now."""

    job: CarriedJob
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TakenUp:
    job_ids: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()  # label and why


def missing_inputs(job: CarriedJob, blend: str) -> list[str]:
    """The inputs of a job whose files are in neither place, by their names."""
    return [i.name for i in job.inputs if i.path != job.blend and input_path(i, blend) is None]


def take_up(app: App, wanted: Sequence[Resumable], blend: str) -> TakenUp:
    """Submit carried jobs anew, in their order; those that cannot be are named with the reason, and hold up nothing."""
    ids: list[str] = []
    refused: list[tuple[str, str]] = []
    for resumable in wanted:
        try:
            ids.append(app.engine.submit(make_spec(app, resumable, blend)).job_id)
        except MotionQueueError as error:
            refused.append((resumable.job.label or resumable.job.id, str(error)))
    return TakenUp(tuple(ids), tuple(refused))


def make_spec(app: App, resumable: Resumable, blend: str) -> JobSpec:
    """The job as one of this queue. MotionQueueError: unknown_workflow, input_missing, input_changed, and what `app.clip_job` and
    `app.prompt_job` raise."""
    job = resumable.job
    if job.workflow not in (CLIP, SHOT):
        raise MotionQueueError(
            "unknown_workflow", f"{job.label or job.id} is a job of {job.workflow!r}, which is taken up only where it was queued."
        )
    files = {i.name: _file(resumable, i.name, blend) for i in job.inputs}
    options: dict[str, Json] = {name: value for name, value in job.payload.items() if name in _TAKEN}
    if job.payload.get("output_dir") and blend:
        inside = beside(str(job.payload["output_dir"]), job.blend)
        options["output_dir"] = str(_within(Path(blend).parent, inside or OUTPUT))
    source = {"blend": blend, "scene": job.scene, **({"armature": job.armature} if job.armature else {})}
    more: dict[str, Json] = {"priority": job.priority, "batch_id": job.batch_id, "source": source}
    if job.workflow == CLIP:
        if "clip" not in files:
            raise MotionQueueError("input_missing", f"{job.label or job.id} names no clip. Queue it again with one.")
        spec = app.clip_job(files.pop("clip"), options, files=files, **more)
    else:
        spec = app.prompt_job(str(job.payload.get("prompt") or ""), options, files=files, **more)
    _check_unchanged(resumable, spec)
    # With its own id it is not offered again, and a second time it is refused.
    return replace(spec, id=job.id, label=job.label or spec.label)


def _file(resumable: Resumable, name: str, blend: str) -> Path:
    job = resumable.job
    given = resumable.files.get(name)
    if given is not None:
        return given
    carried = next(i for i in job.inputs if i.name == name)
    found = Path(blend) if blend and carried.path == job.blend else input_path(carried, blend)
    if found is None:
        raise MotionQueueError(
            "input_missing",
            f"{job.label or job.id} needs {carried.path or 'a file'} (for {name!r}), which is not on this machine. Put it there "
            "or beside the .blend, or queue the shot again.",
            details={name: "no such file"},
        )
    return found


def _check_unchanged(resumable: Resumable, spec: JobSpec) -> None:
    job = resumable.job
    now = {i.name: i.sha256 for i in spec.inputs}
    for carried in job.inputs:
        if carried.name in resumable.files or carried.path == job.blend or not carried.sha256:
            continue
        if now.get(carried.name) != carried.sha256:
            raise MotionQueueError(
                "input_changed",
                f"The file of {job.label or job.id} for {carried.name!r} is not the one that it was queued with. Queue the shot "
                "again to use it as it is now.",
                details={carried.name: "changed"},
            )


def _within(folder: Path, inside: str) -> Path:
    """A folder's inside; what would lead out of it becomes the usual place."""
    found = folder / inside
    return found if found.resolve().is_relative_to(folder.resolve()) else folder / OUTPUT
