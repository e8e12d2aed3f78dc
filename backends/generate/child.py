# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes one motion of a prompt and writes it as BVH. Runs in a plain Python child (or in the command line's own process).

The model stays loaded between jobs. Knows files and arrays, no jobs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...motion.bvh import write_bvh
from ...motion.kinematics import resample
from ...queue.errors import MotionQueueError
from ..protocol import ChildContext
from .edits import Edits, read_pose
from .generator import GenerateOptions, Generator, report_json
from .header import SHIPPED, stamp
from .options import ModelDevice, MotionOptions
from .prompt import explain_retrieved
from .sampler import Sampling

_LOADED, _MADE = 0.04, 0.97  # shares of the step's time: until the model is there, until the motion is


def run(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    """Arguments: those of `options.child_arguments`.

    Raises `MotionQueueError` and `MotionError`: those of the weights, the prompt and the poses, invalid_duration, bad_edit,
    torch_missing, cuda_missing, cuda_out_of_memory.
    """
    options = MotionOptions.from_payload(arguments["options"])
    context.progress(0.0, "Loading the motion model")
    generator = _generator(options)
    context.check()

    def tell(share: float, stage: str) -> None:
        context.check()
        context.progress(_LOADED + (_MADE - _LOADED) * share, stage)

    asked = _asked(options, arguments["start_pose"], arguments["end_pose"])
    try:
        made = generator.generate(options.prompt, asked, progress=tell)
    except RuntimeError as error:
        raise _of_torch(error, options.model_device) from error
    motion = made.motion
    if options.fps is not None and abs(options.fps - motion.fps) > 1e-3:
        motion = resample(motion, options.fps)
    context.progress(_MADE, "Writing the motion")
    Path(arguments["target"]).write_bytes(write_bvh(motion))
    data: dict[str, Any] = {
        **report_json(made),
        "frames": len(motion),
        "fps": options.fps or made.motion.fps,
        "joints": len(motion.skeleton),
    }
    context.log("info", f"Made {data['frames']} frames with seed {asked.seed} on {generator.where}.")
    if made.timeline.unmatched:
        context.log("warning", f"Not used, because the model does not know it: {', '.join(made.timeline.unmatched)}.")
    if told := explain_retrieved(data["retrieved"]):
        context.log("info", told)
    context.progress(1.0, "Generated")
    return {**data, "seconds": round(motion.duration, 4), "model": generator.name, "device": str(options.model_device)}


_kept: tuple[tuple[object, ...], Generator] | None = None  # the model of the job before, which is the next one's too


def _generator(options: MotionOptions) -> Generator:
    """The model, as it was left by the job before where that had the same one."""
    global _kept  # noqa: PLW0603 - a warm child is warm by this
    path = options.weights_path or SHIPPED
    key = (path, stamp(path), options.model_device)
    if _kept is None or _kept[0] != key:
        _kept = None  # not two models at once in memory
        _kept = (key, _load(path, options.model_device))
    return _kept[1]


def _load(path: Path, device: ModelDevice) -> Generator:
    if device is not ModelDevice.NUMPY:
        _check_torch(device)
    try:
        return Generator.load(path, device=str(device))
    except RuntimeError as error:
        raise _of_torch(error, device) from error


def _check_torch(device: ModelDevice) -> None:
    try:
        import torch  # noqa: PLC0415 - only where somebody asks for it
    except ImportError as error:
        raise MotionQueueError(
            "torch_missing",
            f"The device {str(device)!r} needs torch, which this Python has not ({error}). Set a Python that has it, or use the "
            "device 'numpy', which needs nothing.",
            details={"model_device": "no torch"},
        ) from error
    if device is ModelDevice.CUDA and not torch.cuda.is_available():
        raise MotionQueueError(
            "cuda_missing",
            "torch finds no graphics card to compute on. Use the device 'cpu' or 'numpy'.",
            details={"model_device": "no graphics card"},
        )


def _of_torch(error: RuntimeError, device: ModelDevice) -> Exception:
    """What an error of torch means for the user; any other as it is."""
    if device is ModelDevice.CUDA and type(error).__name__ == "OutOfMemoryError":
        return MotionQueueError(
            "cuda_out_of_memory",
            "The graphics card has not enough free memory for the motion model. Use the device 'cpu' or 'numpy'.",
            details={"model_device": "cpu"},
        )
    return error


def _asked(options: MotionOptions, start_pose: str, end_pose: str) -> GenerateOptions:
    usual = Sampling()
    sampling = replace(
        usual,
        guidance=usual.guidance if options.guidance is None else options.guidance,
        steps=options.sampling_steps or usual.steps,
    )
    edits = Edits(
        speed=options.speed,
        keep_time=options.seconds is not None,
        bend=options.bend,
        path=options.path,
        loop=options.loop,
        start=read_pose(Path(start_pose), options.start_pose_frame) if start_pose else None,
        end=read_pose(Path(end_pose), options.end_pose_frame) if end_pose else None,
        heading=options.heading,
        in_place=options.in_place,
    )
    return GenerateOptions(seconds=options.seconds, seed=options.used_seed, sampling=sampling, edits=edits)
