# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes jobs of a shot that was filled in, and queues them. Plain values only, on the interface's worker: files are copied and
hashed here, and folders are looked at. No bpy.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..app import App
from ..panels import checks
from ..panels.checks import Character, Draft, Source
from ..panels.view import new_batch_id
from ..queue.contract import Json
from ..queue.errors import MotionQueueError
from ..queue.model import JobSpec

SENT = "sent"  # folder of what the window wrote for its jobs: rigs and copies of scenes
_AT_ONCE = 200  # jobs in one durable write


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A draft, and what only the main thread could say."""

    draft: Draft
    unique: str  # tells this submission from others
    files: Mapping[str, Path] = field(default_factory=dict)  # inputs "character", "scene"
    options: Mapping[str, Json] = field(default_factory=dict)  # of every job: character, camera, resolution, …
    source: Mapping[str, Json] = field(default_factory=dict)
    clips: tuple[str, ...] = ()  # instead of the draft's source: files that were dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    job_ids: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()  # shot → why it is no job

    @property
    def summary(self) -> str:
        """For people, where not everything was taken."""
        if not self.refused:
            return ""
        shown = "; ".join(f"{name}: {why}" for name, why in self.refused[:3])
        more = f" … and {len(self.refused) - 3} more" if len(self.refused) > 3 else ""
        whole = len(self.refused) + len(self.job_ids)
        return shown if whole == 1 else f"{len(self.refused)} of {whole} shots were not queued: {shown}{more}"


@dataclass(frozen=True, slots=True)
class _Shot:
    name: str
    take: int
    prompt: str = ""
    clip: str = ""


def submit(app: App, plan: Plan) -> Submitted:
    """Queue all shots of a plan; those that cannot be are named, and do not hold up the others."""
    if plan.draft.character is Character.SELECTED and "character" in plan.files:
        pack(plan.files["character"])
    if not plan.clips and (found := checks.disk_problems(plan.draft)):
        return Submitted(refused=tuple((plan.draft.name or "The shot", problem.message) for problem in found))
    shots = tuple(_shots(plan))
    batch = ""
    if len(shots) > 1:
        batch = new_batch_id(_batch_name(plan, shots), plan.unique)
    taken: dict[str, list[str]] = {}
    ids: list[str] = []
    refused: list[tuple[str, str]] = []
    specs: list[JobSpec] = []
    for shot in shots:
        try:
            specs.append(_spec(app, plan, shot, batch, taken))
        except MotionQueueError as error:
            refused.append((shot.name, str(error)))
        if len(specs) >= _AT_ONCE:
            _queue(app, specs, ids, refused)
    _queue(app, specs, ids, refused)
    return Submitted(job_ids=tuple(ids), refused=tuple(refused))


def pack(rig: Path) -> None:
    """Compress a .blend where it is, in a way that Blender reads too; it is durable then.

    `MotionQueueError` output_not_writable: the file is as it was.
    """
    packed = rig.with_name(rig.name + ".packed")
    try:
        with packed.open("wb") as file:
            file.write(gzip.compress(rig.read_bytes(), compresslevel=1))
            file.flush()
            os.fsync(file.fileno())
        packed.replace(rig)
    except OSError as error:
        packed.unlink(missing_ok=True)
        raise cannot_write(packed, error) from error


def cannot_write(path: Path, error: Exception) -> MotionQueueError:
    """For a file of the queue's own that Blender or we could not write."""
    return MotionQueueError(
        "output_not_writable",
        f"{path} cannot be written ({getattr(error, 'strerror', None) or str(error).strip()}). "
        "Free some space, or choose another queue folder in the preferences.",
    )


def _queue(app: App, specs: list[JobSpec], ids: list[str], refused: list[tuple[str, str]]) -> None:
    if not specs:
        return
    try:
        ids.extend(app.engine.submit_many(specs).job_ids)
    except MotionQueueError as error:
        refused.extend((spec.label, str(error)) for spec in specs)
    specs.clear()


def _shots(plan: Plan) -> Iterator[_Shot]:
    for name, prompt, clip in _sources(plan):
        takes = plan.draft.takes if prompt else 1  # a clip has one motion
        for take in range(1, takes + 1):
            yield _Shot(f"{name} {take:02d}" if takes > 1 else name, take, prompt, clip)


def _sources(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Name, prompt or else clip."""
    draft = plan.draft
    if plan.clips:
        yield from ((Path(clip).stem, "", clip) for clip in plan.clips)
    elif draft.source is Source.PROMPT:
        yield checks.shot_name(draft, prompt=draft.prompt), draft.prompt, ""
    elif draft.source is Source.CLIP:
        yield checks.shot_name(draft, clip=draft.clip), "", draft.clip
    elif draft.source is Source.FOLDER:
        yield from ((Path(clip).stem, "", clip) for clip in checks.clips_in(draft.folder))
    else:
        for number, line in enumerate(checks.shot_list(draft.facts.text or "", draft.facts.blend), 1):
            name = f"{draft.name} {number:02d}" if draft.name else ""
            unnamed = draft._replace(name="")
            yield name or checks.shot_name(unnamed, prompt=line.prompt, clip=line.clip), line.prompt, line.clip


def _batch_name(plan: Plan, shots: Sequence[_Shot]) -> str:
    draft = plan.draft
    if plan.clips:
        return f"{Path(plan.clips[0]).parent.name or 'Clips'}"
    if draft.source is Source.FOLDER:
        return Path(draft.folder).name or draft.folder
    if draft.source is Source.LIST:
        return draft.name or draft.text
    return shots[0].name.rpartition(" ")[0]


def _spec(app: App, plan: Plan, shot: _Shot, batch: str, taken: dict[str, list[str]]) -> JobSpec:
    draft = plan.draft
    base = shot.name.rpartition(" ")[0] if shot.prompt and draft.takes > 1 else shot.name
    folder, name = checks.output_place(draft, base, shot.take, taken)
    taken.setdefault(folder, []).append(name)
    steps = ["generate" if shot.prompt else "read", "retarget", *(["render"] if draft.render else [])]
    if folder:
        steps.append("deliver")
    options: dict[str, Json] = {**plan.options, "label": name, "steps": steps, "output_dir": folder}
    if draft.scene_rate:
        options["fps"] = draft.facts.fps
    span = checks.frame_range(draft)
    if shot.prompt:
        seconds = checks.motion_seconds(draft)
        options |= {"seconds": seconds, "seed": draft.seed, "variation": shot.take - 1}
        if draft.model is not None:
            options["model"] = str(draft.model)
    elif span is not None:
        options["frame_start"], options["frame_end"] = max(1, span[0]), max(1, span[1])
    options = {key: value for key, value in options.items() if value not in (None, "")}
    fields: dict[str, Json] = {"priority": draft.priority, "batch_id": batch, "source": plan.source}
    if shot.prompt:
        spec = app.prompt_job(shot.prompt, options, files=plan.files, **fields)
    else:
        spec = app.clip_job(Path(shot.clip), options, files=plan.files, **fields)
    return replace(spec, label=shot.name)
