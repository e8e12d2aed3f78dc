# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervises published models: has the user's own Python sample features and a child of this package make a clip of them.

No numpy here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...queue.contract import Estimate, Health, Json, StepContext, StepRequest, StepResult
from ...queue.errors import MotionQueueError
from .. import step_files
from ..child_worker import ChildProgram
from ..children import ChildPool
from ..protocol import ChildKind
from . import check
from .model import NAME, POSES, ModelDevice, MotionRequest, PublishedModel, Which, asked_for, chosen, refuse_poses

ARTEFACT = "motion.bvh"
_FEATURES = "features.npz"
_KEEP_MB = 8_000.0  # a warm child holds its networks: 1 to 2 GB, and torch's own memory beside a graphics card
_SECONDS = {Which.MOMASK: 11.0, Which.MOMASK_PLUS: 10.0}  # a first guess, on two cores; three quarters of it to load
_MEMORY_MB = {Which.MOMASK: 2_800.0, Which.MOMASK_PLUS: 1_200.0}  # at most, while CLIP is read; half of it later


class PublishedBackend:
    """A prompt in, `motion.bvh` out; data frames, fps, seconds, joints, model, licence, prompt, seed, steps, guidance, device,
    torch. The payload's `model` says which of the models does it."""

    name = NAME
    lane = "cpu"
    can_pause = False

    def __init__(self, pool: ChildPool, models: Iterable[PublishedModel] = (), *, memory_limit_mb: float | None = None) -> None:
        """`models`: those that are set on this machine. `memory_limit_mb` is for all of them, beside what each may have."""
        self._pool = pool
        self._models = tuple(_limited(model, memory_limit_mb) for model in models)

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        model = chosen(self._models, _which(request.payload))
        wanted = MotionRequest.from_payload(request.payload, model.which)
        refuse_poses([name for name in POSES if request.input(name) is not None], model.which)
        target = context.store.work_dir(request.job_id, request.step) / ARTEFACT
        data = generate(self._pool, model, wanted, target, context)
        artefact = step_files.keep(request, context, target)
        context.store.clear_work(request.job_id, request.step)
        return StepResult(artefacts=(artefact,), data=data)

    def estimate(self, payload: Mapping[str, Json], results: Mapping[str, Json]) -> Estimate:
        which = _which(payload)
        steps = payload.get("sampling_steps")
        work = float(steps) / which.steps if isinstance(steps, int) and steps > 0 else 1.0
        device = payload.get("model_device") or next((m.device for m in self._models if m.which is which), ModelDevice.AUTO)
        return Estimate(work=work, key=f"{which} {device}", seconds=_SECONDS[which] * work, memory_mb=_MEMORY_MB[which])

    def health(self) -> Health:
        """Whether all files and modules of the models that are set are there; starts their Pythons once. None need be set."""
        found = [problem.message for model in self._models for problem in check.problems(model)]
        if found:
            return Health(ok=False, message=" ".join(found))
        ready = [f"{model.which.label} in {model.checkout}" for model in self._models]
        return Health(ok=True, message="; ".join(ready) or "No published model is set.")


def _which(payload: Mapping[str, Json]) -> Which:
    which = asked_for(payload)
    if which is None:
        raise MotionQueueError(
            "invalid_options", "The job names no published model. Say which in `model`.", details={"model": "is needed"}
        )
    return which


def _limited(model: PublishedModel, memory_limit_mb: float | None) -> PublishedModel:
    limits = [limit for limit in (model.memory_limit_mb, memory_limit_mb) if limit is not None]
    return replace(model, memory_limit_mb=min(limits, default=None))


def generate(pool: ChildPool, model: PublishedModel, wanted: MotionRequest, target: Path, context: StepContext) -> dict[str, Any]:
    """One motion as a BVH file at `target` (centimetres, Y up); what it is, as JSON. Blocks; cancelled within 0.2 seconds.

    Raises `StepStopped`, `MotionQueueError`: the codes of `check.problems` and of the pool, published_checkpoint_unreadable,
    published_checkpoint_mismatch, published_text_encoder_unreadable, published_torch_old, published_code_failed, cuda_missing,
    cuda_out_of_memory (details["model_device"]: try again with the device cpu), bad_features, bad_edit.
    """
    check.require(model)
    bones = _bones(model)
    features = target.with_name(_FEATURES)
    steps = wanted.sampling_steps or model.which.steps
    arguments = {
        **_network_arguments(model, wanted.model_device),
        **bones,
        "prompt": wanted.prompt,
        "frames": wanted.frames(model.which),
        "steps": steps,
        "guidance": wanted.guidance,
        "seed": wanted.used_seed,
        "target": str(features),
    }
    try:
        made = pool.run(
            ChildKind.PYTHON, "generate", arguments, context, memory_limit_mb=model.memory_limit_mb, program=program(model)
        )
        clip = {"which": str(model.which), "features": str(features), "target": str(target), **_edits(wanted), **bones}
        data = pool.run(ChildKind.PYTHON, "backends.published.child:convert", clip, context)
    finally:
        features.unlink(missing_ok=True)
    return {
        **data,
        "model": str(model.which),
        "licence": model.which.licence,
        "prompt": wanted.prompt,
        "seed": wanted.used_seed,
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


def _edits(wanted: MotionRequest) -> dict[str, Json]:
    """What is done to the motion once it is made, as `child.convert` takes it."""
    edits = {
        "speed": wanted.speed,
        "keep_time": wanted.seconds is not None,
        "loop": wanted.loop,
        "in_place": wanted.in_place,
        "heading": wanted.heading,
    }
    asked = any(edits[name] not in (None, False) for name in ("speed", "loop", "in_place", "heading"))
    return {"edits": edits if asked else {}, "fps": wanted.fps}


def _bones(model: PublishedModel) -> dict[str, Json]:
    """The rest offsets of MoMask++'s skeleton, as the checkout has it in a small file; nothing for MoMask, which says it itself.

    `MotionQueueError` published_checkout_foreign.
    """
    if model.which is Which.MOMASK:
        return {}
    # Here and not above: they need numpy, which is not loaded where jobs are only queued.
    from ...motion.bvh import read_bvh  # noqa: PLC0415
    from ...motion.errors import MotionError  # noqa: PLC0415
    from ...motion.features import SNAPMOGEN_NAMES, SNAPMOGEN_PARENTS  # noqa: PLC0415

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
