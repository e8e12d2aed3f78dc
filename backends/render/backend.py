# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervises rendering: says what to render and where to, has a Blender child do the work, keeps the video.

The frames lie in the step's scratch folder, which survives crashes and pauses: a half-rendered shot goes on at its first
missing frame.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from ...queue.contract import Estimate, Health, Json, StepContext, StepRequest, StepResult
from ...queue.errors import MotionQueueError
from .. import step_files
from ..children import ChildPool
from ..options import Character, ClipOptions, Engine
from ..protocol import ChildKind
from ..retarget.backend import BLEND, blender_health, clip_frames

NAME = "render"
ARTEFACT = "video.mp4"
# Seconds for one frame of one megapixel and one sample, a first guess: on two cores, and for EEVEE between a small graphics card
# (some hundredths) and none (5), which would frighten everybody who has one.
_GUESS = {Engine.WORKBENCH: 1.0, Engine.EEVEE: 0.3, Engine.CYCLES: 3.0}
_MEMORY_MB = {Engine.WORKBENCH: 700.0, Engine.EEVEE: 1100.0, Engine.CYCLES: 1000.0}


class RenderBackend:
    """A retargeted character on the built-in stage, or in the user's own scene: artefact `video.mp4`."""

    name = NAME
    lane = "blender"
    can_pause = True

    def __init__(self, pool: ChildPool, *, memory_limit_mb: float | None = None) -> None:
        self._pool = pool
        self._memory_limit_mb = memory_limit_mb

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        options = ClipOptions.from_payload(request.payload)
        has_scene = request.input("scene") is not None
        character = request.artefact(BLEND)
        if character is None and not has_scene:
            raise MotionQueueError(
                "nothing_to_render",
                "There is neither a retargeted character nor a scene file to render. Add the step 'retarget' or a scene.",
            )
        source = options.character_source(has_character=request.input("character") is not None, has_scene=has_scene)
        settings = {
            "character": str(step_files.artefact_path(request, context, BLEND)) if character else "",
            "scene": str(step_files.input_path(request, context, "scene")) if has_scene else "",
            "in_scene": source is Character.SCENE,
            "armature": str(dict(request.results.get("retarget") or {}).get("armature") or options.armature),
            "camera": options.camera,
            "trust_scripts": options.trust_scripts,
            "engine": str(options.engine),
            "device": str(options.device),
            "samples": options.samples_per_pixel,
            "resolution": list(options.resolution),
            # Without a clip the range and the rate are those of the scene.
            "fps": float(dict(request.results.get("read") or {}).get("fps") or options.fps or 0.0),
            "frame_start": None if character else options.frame_start,
            "frame_end": None if character else options.frame_end,
        }
        work = context.store.work_dir(request.job_id, request.step)
        arguments = {
            **settings,
            "frames": str(work / "frames"),
            "fingerprint": _fingerprint(settings, request),
            "video": str(work / ARTEFACT),
        }
        data = self._pool.run(
            ChildKind.BLENDER,
            "backends.render.child:run",
            arguments,
            context,
            memory_limit_mb=self._memory_limit_mb,
            user_preferences=has_scene,
        )
        artefact = step_files.keep(request, context, work / ARTEFACT)
        context.store.clear_work(request.job_id, request.step)
        return StepResult(artefacts=(artefact,), data=data)

    def estimate(self, payload: Mapping[str, Json], results: Mapping[str, Json]) -> Estimate:
        options = ClipOptions.from_payload(payload)
        work = clip_frames(payload, results) * options.megapixels * options.samples_per_pixel
        width, height = options.resolution
        key = f"{options.engine} {width}x{height} {options.samples_per_pixel} {options.device}"
        return Estimate(
            work=work,
            key=key,
            seconds=1.5 + work * _GUESS[options.engine],
            memory_mb=_MEMORY_MB[options.engine] + 60.0 * options.megapixels,
        )

    def health(self) -> Health:
        return blender_health(self._pool)


def _fingerprint(settings: Mapping[str, Json], request: StepRequest) -> str:
    """Of everything that changes a picture: settings, and contents instead of paths."""
    pictured = {k: v for k, v in settings.items() if k not in ("character", "scene")}
    character, scene = request.artefact(BLEND), request.input("scene")
    pictured["character"] = (character.sha256 or character.key) if character else ""
    pictured["scene"] = (scene.sha256 or scene.path) if scene else ""
    return hashlib.sha256(json.dumps(pictured, sort_keys=True).encode()).hexdigest()
