# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervises retargeting: finds clip and character, has a Blender child do the work, keeps the results."""

from __future__ import annotations

from collections.abc import Mapping

from ...queue.contract import Estimate, Health, Json, StepContext, StepRequest, StepResult
from ...queue.errors import MotionQueueError
from .. import step_files
from ..children import ChildPool
from ..options import MOTION_STEPS, Character, ClipOptions
from ..protocol import ChildKind

NAME = "retarget"
BLEND = "character.blend"
FBX = "character.fbx"
JOINT_MAP = "joint_map"  # the input with which a person says which bone is which
_USUAL_FRAMES = 120  # while nothing is known


class RetargetBackend:
    """`motion.bvh` onto a character: artefacts `character.blend` (for rendering) and `character.fbx`."""

    name = NAME
    lane = "blender"
    can_pause = False

    def __init__(self, pool: ChildPool, *, memory_limit_mb: float | None = None) -> None:
        self._pool = pool
        self._memory_limit_mb = memory_limit_mb

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        options = ClipOptions.from_payload(request.payload)
        source = options.character_source(
            has_character=request.input("character") is not None, has_scene=request.input("scene") is not None
        )
        character = "" if source is Character.BUILTIN else str(step_files.input_path(request, context, _INPUTS[source]))
        work = context.store.work_dir(request.job_id, request.step)
        arguments = {
            "clip": str(step_files.artefact_path(request, context, "motion.bvh")),
            "character": character,
            "armature": options.armature,
            "fps": float(motion_data(request.results).get("fps") or 0.0),
            "name": options.label or "Motion",
            "blend": str(work / BLEND),
            "fbx": str(work / FBX),
            "bvh": "",
            "map": str(step_files.input_path(request, context, JOINT_MAP)) if request.input(JOINT_MAP) else "",
            "foot_lock": options.foot_lock,
            "hand_contacts": options.hand_contacts,
            "travel": str(options.travel),
            "start": None,
            "heading": None,
        }
        data = self._pool.run(
            ChildKind.BLENDER, "backends.retarget.child:run", arguments, context, memory_limit_mb=self._memory_limit_mb
        )
        artefacts = tuple(step_files.keep(request, context, work / name) for name in (BLEND, FBX))
        context.store.clear_work(request.job_id, request.step)
        return StepResult(artefacts=artefacts, data={"character": str(source), **data})

    def estimate(self, payload: Mapping[str, Json], results: Mapping[str, Json]) -> Estimate:
        frames = clip_frames(payload, results)
        key = "file" if payload.get("character") not in (None, str(Character.BUILTIN)) else "builtin"
        # Loading and exporting cost as much as some 150 frames.
        return Estimate(work=150.0 + frames, key=key, seconds=1.0 + 0.008 * frames, memory_mb=600.0)

    def health(self) -> Health:
        return blender_health(self._pool)


def motion_data(results: Mapping[str, Json]) -> Mapping[str, Json]:
    """What the step that made motion.bvh says of it (frames, fps, …); empty before it has."""
    return next((dict(found) for step in MOTION_STEPS if (found := results.get(step))), {})


def clip_frames(payload: Mapping[str, Json], results: Mapping[str, Json]) -> int:
    """How many frames there will be, as far as is known: made, else declared by the clip and asked for, else four seconds."""
    made = motion_data(results)
    if made.get("frames"):
        return int(made["frames"])
    declared = payload.get("clip_frames")
    start, end = int(payload.get("frame_start") or 1), payload.get("frame_end")
    if isinstance(declared, int) and declared > 0:
        last = min(int(end), declared) if end else declared
    elif end:
        last = int(end)
    else:
        return _USUAL_FRAMES
    frames = max(1, last - start + 1)
    rate, wanted = payload.get("clip_fps"), payload.get("fps")
    return max(1, round(frames * wanted / rate)) if rate and wanted else frames


def blender_health(pool: ChildPool) -> Health:
    """Whether there is a Blender to work with: the one the pool was told to use, or the one it would find."""
    try:
        found = pool.blender()
    except MotionQueueError as error:
        return Health(ok=False, message=error.message)
    return Health(ok=True, message=f"Blender {found.version_text}")


_INPUTS = {Character.FILE: "character", Character.SCENE: "scene"}
