# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervises generation: a prompt in, has a plain Python child make the motion, keeps the result. No numpy here."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path

from ...queue.contract import Estimate, Health, Json, StepContext, StepRequest, StepResult
from ...queue.errors import MotionQueueError
from .. import step_files
from ..child_worker import ChildProgram
from ..children import ChildPool
from ..protocol import ChildKind
from .header import read_header
from .options import FPS, ModelDevice, MotionOptions, child_arguments

NAME = "generate_motion"
ARTEFACT = "motion.bvh"
POSES = ("start_pose", "end_pose")
_ENTRY = "backends.generate.child:run"
_CHILD = Path(__file__).resolve().parents[1] / "child_main.py"
_KEEP_MB = 4_000.0  # torch's own memory beside a graphics card is some 2 GB
_USUAL_SECONDS = 4.0  # while nothing is known
_STRIDE = 4  # frames a token
_USUAL_STEPS = 10  # passes through the network
# On two cores: what a token costs in one pass, and what comes before and after.
_GUESS = {ModelDevice.NUMPY: (0.0006, 0.4), ModelDevice.CPU: (0.0006, 3.0), ModelDevice.CUDA: (0.00005, 5.0)}
_MEMORY_MB = {ModelDevice.NUMPY: 300.0, ModelDevice.CPU: 700.0, ModelDevice.CUDA: 1_500.0}


class GenerateBackend:
    """A prompt in: artefact `motion.bvh`; data: the timeline (prompt, segments, parts, matched, unmatched, corrected), frames,
    fps, seconds, joints, seed, agreement, path_error, turn_error, model, device."""

    name = NAME
    lane = "cpu"
    can_pause = False

    def __init__(self, pool: ChildPool, *, memory_limit_mb: float | None = None, torch_python: str = "") -> None:
        """`torch_python`: an interpreter (3.11 or newer, with numpy and torch) for the devices cpu and cuda; empty: this one."""
        self._pool = pool
        self._memory_limit_mb = memory_limit_mb
        self._torch_python = torch_python

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        options = MotionOptions.from_payload(request.payload)
        target = context.store.work_dir(request.job_id, request.step) / ARTEFACT
        poses = {name: str(step_files.input_path(request, context, name)) for name in POSES if request.input(name) is not None}
        data = self._pool.run(
            ChildKind.PYTHON,
            _ENTRY,
            child_arguments(options, target=target, **poses),
            context,
            memory_limit_mb=self._memory_limit_mb,
            program=self._program(options.model_device),
        )
        artefact = step_files.keep(request, context, target)
        context.store.clear_work(request.job_id, request.step)
        return StepResult(artefacts=(artefact,), data=data)

    def estimate(self, payload: Mapping[str, Json], results: Mapping[str, Json]) -> Estimate:
        """Work is tokens times passes through the network."""
        frames, seconds = payload.get("clip_frames"), payload.get("seconds")
        if isinstance(seconds, int | float):
            tokens = ceil(seconds * FPS / _STRIDE)
        else:
            tokens = ceil((frames if isinstance(frames, int) else _USUAL_SECONDS * FPS) / _STRIDE)
        device = ModelDevice(payload.get("model_device") or ModelDevice.NUMPY)
        work = float(tokens * int(payload.get("sampling_steps") or _USUAL_STEPS))
        a_token, once = _GUESS[device]
        return Estimate(work=work, key=str(device), seconds=once + a_token * work, memory_mb=_MEMORY_MB[device])

    def health(self) -> Health:
        """Whether the shipped weights are there and can be read."""
        try:
            header = read_header(fresh=True)
        except MotionQueueError as error:
            return Health(ok=False, message=error.message)
        return Health(ok=True, message=f"Motion model {header.name!r}, {len(header.words)} words")

    def _program(self, device: ModelDevice) -> ChildProgram | None:
        if device is ModelDevice.NUMPY or not self._torch_python:
            return None
        # -E: the PYTHON… variables around this process are meant for its own Python.
        command = (self._torch_python, "-E", "-P", str(_CHILD))
        return ChildProgram(name="the torch child", command=command, keep_mb=_KEEP_MB)
