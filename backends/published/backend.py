# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervises a published model: has the user's own Python sample features and a child of this package make a clip of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...motion.bvh import read_bvh
from ...motion.errors import MotionError
from ...motion.features import SNAPMOGEN_NAMES, SNAPMOGEN_PARENTS
from ...queue.contract import Estimate, Health, Json, StepContext, StepRequest, StepResult
from ...queue.errors import MotionQueueError
from .. import step_files
from ..child_worker import ChildProgram
from ..children import ChildPool
from ..protocol import ChildKind
from . import check
from .model import ModelDevice, MotionRequest, PublishedModel, Which

NAME = "published_model"
ARTEFACT = "motion.bvh"
_FEATURES = "features.npz"
_KEEP_MB = 8_000.0  # a warm child holds its networks: 1 to 2 GB, and torch's own memory beside a graphics card
_SECONDS = {Which.MOMASK: 11.0, Which.MOMASK_PLUS: 10.0}  # a first guess, on two cores; three quarters of it to load
_MEMORY_MB = {Which.MOMASK: 2_800.0, Which.MOMASK_PLUS: 1_200.0}  # at most, while CLIP is read; half of it later


class PublishedBackend:
    """A prompt in, `motion.bvh` out; data frames, fps, seconds, joints, model, prompt, seed, steps, guidance, device, torch."""

    name = NAME
    lane = "cpu"
    can_pause = False

    def __init__(self, pool: ChildPool, model: PublishedModel) -> None:
        self._pool = pool
        self._model = model

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        wanted = MotionRequest.from_payload(request.payload, self._model.which)
        target = context.store.work_dir(request.job_id, request.step) / ARTEFACT
        data = generate(self._pool, self._model, wanted, target, context)
        artefact = step_files.keep(request, context, target)
        context.store.clear_work(request.job_id, request.step)
        return StepResult(artefacts=(artefact,), data=data)

    def estimate(self, payload: Mapping[str, Json], results: Mapping[str, Json]) -> Estimate:
        which = self._model.which
        steps = payload.get("steps")
        work = float(steps) / which.steps if isinstance(steps, int) and steps > 0 else 1.0
        device = payload.get("device") or self._model.device
        return Estimate(work=work, key=f"{which} {device}", seconds=_SECONDS[which] * work, memory_mb=_MEMORY_MB[which])

    def health(self) -> Health:
        """Whether all files and modules are there; starts the user's Python once."""
        found = check.problems(self._model)
        if found:
            return Health(ok=False, message=" ".join(problem.message for problem in found))
        return Health(ok=True, message=f"{self._model.which.label} in {self._model.checkout}")


def generate(pool: ChildPool, model: PublishedModel, wanted: MotionRequest, target: Path, context: StepContext) -> dict[str, Any]:
    """One motion as a BVH file at `target` (centimetres, Y up); what it is, as JSON. Blocks; cancelled within 0.2 seconds.

    Raises `StepStopped`, `MotionQueueError`: the codes of `check.problems` and of the pool, published_checkpoint_unreadable,
    published_checkpoint_mismatch, published_text_encoder_unreadable, published_torch_old, published_code_failed, cuda_missing,
    cuda_out_of_memory (details["device"]: try again with the device cpu), bad_features.
    """
    check.require(model)
    bones = _bones(model)
    features = target.with_name(_FEATURES)
    steps = wanted.steps or model.which.steps
    arguments = {
        **_network_arguments(model, wanted.device),
        **bones,
        "prompt": wanted.prompt,
        "frames": wanted.frames(model.which),
        "steps": steps,
        "guidance": wanted.guidance,
        "seed": wanted.seed,
        "target": str(features),
    }
    try:
        made = pool.run(
            ChildKind.PYTHON, "generate", arguments, context, memory_limit_mb=model.memory_limit_mb, program=program(model)
        )
        clip = {"which": str(model.which), "features": str(features), "target": str(target), **bones}
        data = pool.run(ChildKind.PYTHON, "backends.published.child:convert", clip, context)
    finally:
        features.unlink(missing_ok=True)
    return {
        **data,
        "model": str(model.which),
        "prompt": wanted.prompt,
        "seed": wanted.seed,
        "steps": steps,
        "guidance": wanted.guidance,
        "device": made["device"],
        "torch": made["torch"],
    }


def try_loading(pool: ChildPool, model: PublishedModel, context: StepContext) -> dict[str, Any]:
    """Load the networks as `generate` would; parameters, device and torch. Takes seconds; raises as `generate`."""
    check.require(model)
    arguments = _network_arguments(model, None)
    return pool.run(ChildKind.PYTHON, "check", arguments, context, memory_limit_mb=model.memory_limit_mb, program=program(model))


def program(model: PublishedModel) -> ChildProgram:
    """The child that runs in the user's own Python. `MotionQueueError` published_python_missing."""
    checkout = str(Path(model.checkout).expanduser().resolve())
    # -E: the PYTHON… variables around this process are meant for its own Python.
    command = (check.interpreter(model), "-E", str(check.MAIN), str(model.which), checkout)
    return ChildProgram(name=f"the {model.which.label} child", command=command, keep_mb=_KEEP_MB)


def _network_arguments(model: PublishedModel, device: ModelDevice | None) -> dict[str, Json]:
    values: dict[str, Json] = {
        "checkpoints": str(model.checkpoints_path.resolve()),
        "transformer": model.transformer_name,
        "text_encoder": str(model.text_encoder_path.resolve()),
        "device": str(device or model.device),
    }
    if model.which is Which.MOMASK:
        return {**values, "residual": model.residual_name}
    return {**values, "refinement": model.refinement_name, "statistics": str(model.statistics_path.resolve())}


def _bones(model: PublishedModel) -> dict[str, Json]:
    """The rest offsets of MoMask++'s skeleton, as the checkout has it in a small file; nothing for MoMask, which says it itself.

    `MotionQueueError` published_checkout_foreign.
    """
    if model.which is Which.MOMASK:
        return {}
    path = Path(model.checkout).expanduser() / check.SKELETON
    try:
        skeleton = read_bvh(path).skeleton
    except MotionError as error:
        raise _foreign(path, str(error)) from error
    sides = [name[:2].lower() if name[:2] in {"L_", "R_"} else "" for name in skeleton.names]
    wanted = [name[:2] if name[:2] in {"l_", "r_"} else "" for name in SNAPMOGEN_NAMES]
    if tuple(skeleton.parents) != SNAPMOGEN_PARENTS or sides != wanted:
        raise _foreign(path, f"its {len(skeleton)} joints hang together in another way")
    return {"offsets": [[float(v) for v in row] for row in skeleton.offsets]}


def _foreign(path: Path, why: str) -> MotionQueueError:
    return MotionQueueError(
        "published_checkout_foreign",
        f"{path} is not the skeleton of MoMask++ ({why}). Take a fresh checkout of SnapMoGen.",
        details={"checkout": str(check.SKELETON)},
    )
