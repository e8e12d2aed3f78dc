# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervises the reading of a clip: finds the file, has a plain Python child read it, keeps the result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...queue.contract import Estimate, Health, Json, StepContext, StepRequest, StepResult
from .. import step_files
from ..children import ChildPool
from ..options import ClipOptions
from ..protocol import ChildKind

NAME = "read_clip"
ARTEFACT = "motion.bvh"


class ReadBackend:
    """BVH in, checked BVH out: artefact `motion.bvh`; data frames, fps, seconds, joints, notes."""

    name = NAME
    lane = "cpu"
    can_pause = False

    def __init__(self, pool: ChildPool, *, memory_limit_mb: float | None = None) -> None:
        self._pool = pool
        self._memory_limit_mb = memory_limit_mb

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        options = ClipOptions.from_payload(request.payload)
        target = context.store.work_dir(request.job_id, request.step) / ARTEFACT
        clip = step_files.input_path(request, context, "clip")
        found = request.input("clip")
        arguments = {
            "clip": str(clip),
            "name": Path(found.path).name if found and found.path else clip.name,  # the store's copy is called by its hash
            "target": str(target),
            "fps": options.fps,
            "frame_start": options.frame_start,
            "frame_end": options.frame_end,
        }
        data = self._pool.run(
            ChildKind.PYTHON, "backends.read.child:run", arguments, context, memory_limit_mb=self._memory_limit_mb
        )
        artefact = step_files.keep(request, context, target)
        context.store.clear_work(request.job_id, request.step)
        return StepResult(artefacts=(artefact,), data=data)

    def estimate(self, payload: Mapping[str, Json], results: Mapping[str, Json]) -> Estimate:
        return Estimate(work=1.0, seconds=0.3, memory_mb=150.0)

    def health(self) -> Health:
        return Health(ok=True)
