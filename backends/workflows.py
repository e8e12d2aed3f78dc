# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflows this package brings along. Knows which backends do which step, and starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..queue.contract import Json, StepSpec, Workflow
from ..queue.errors import MotionQueueError
from . import deliver, options
from .generate import backend as generate
from .generate import options as motion_options
from .options import ClipOptions, Device, Engine
from .published import model as published
from .read import backend as read
from .render import backend as render
from .retarget import backend as retarget

CLIP = "clip"
SHOT = "shot"
GPU_LANE = "gpu"


def clip_workflow() -> Workflow:
    """A mocap clip onto a character and into a video. Payload: `ClipOptions`; inputs: clip, character, scene."""
    steps = _steps(StepSpec(name="read", backend=read.NAME, weight=0.03))
    return Workflow(name=CLIP, steps=steps, plan=lambda payload: _plan(steps, payload), validate=lambda p: _wrong(steps, p))


def shot_workflow() -> Workflow:
    """A prompt into a motion, onto a character and into a video. Payload: `MotionOptions` and `ClipOptions`; inputs: character,
    scene, start_pose, end_pose. With `model` in the payload a published model makes the motion: `MotionRequest`, no poses."""
    steps = _steps(StepSpec(name="generate", backend=generate.NAME, weight=0.06))
    others = _steps(StepSpec(name="generate", backend=published.NAME, weight=0.2))
    return Workflow(
        name=SHOT,
        steps=steps,
        plan=lambda payload: _plan(steps if published.asked_for(payload) is None else others, payload),
        validate=lambda payload: {**_wrong(steps, payload), **_of_clips(payload), **_of_motion(payload)},
    )


def note_of(metadata: Mapping[str, Json], result: Mapping[str, Json]) -> str:
    """What a person should know of a job though nothing failed: words of its prompt that were not used. Empty: nothing.

    The job's metadata says it as soon as it is submitted, its result once the motion is made.
    """
    for said in (result.get("generate"), metadata):
        unused = said.get("unmatched") if isinstance(said, Mapping) else None
        if isinstance(unused, list | tuple) and unused:
            return (
                f"not used: {', '.join(str(word) for word in unused[:_MOST_NOTED])}{', …' if len(unused) > _MOST_NOTED else ''}"
            )
    return ""


_MOST_NOTED = 12


def _steps(first: StepSpec) -> tuple[StepSpec, ...]:
    """All steps of a job whose motion is made by the first one."""
    return (
        first,
        StepSpec(name="retarget", backend=retarget.NAME, weight=0.22, optional=True, needs=(first.name,)),
        StepSpec(name="render", backend=render.NAME, weight=0.74, optional=True, needs=("retarget",)),
        StepSpec(name="deliver", backend=deliver.NAME, weight=0.01),
    )


def _wrong(steps: Sequence[StepSpec], payload: Mapping[str, Json]) -> dict[str, str]:
    problems = options.validate(payload)
    others = set(options.MOTION_STEPS) - {step.name for step in steps}
    if "steps" not in problems and others & set(payload.get("steps") or ()):
        problems["steps"] = f"has no step called {', '.join(map(repr, others))} here; this workflow has {steps[0].name!r}"
    return problems


def _of_clips(payload: Mapping[str, Json]) -> dict[str, str]:
    asked = (name for name in ("frame_start", "frame_end") if payload.get(name) is not None)
    return dict.fromkeys(asked, "is for clips; a prompt's motion has `seconds`")


def _of_motion(payload: Mapping[str, Json]) -> Mapping[str, str]:
    try:
        which = published.asked_for(payload)
    except MotionQueueError as error:
        return error.details
    return motion_options.validate(payload) if which is None else published.validate(payload, which)


def _plan(steps: Sequence[StepSpec], payload: Mapping[str, Json]) -> Sequence[StepSpec]:
    asked = ClipOptions.from_payload(payload)
    names = {*(asked.steps or (s.name for s in steps)), "deliver"}
    chosen = [replace(s, needs=tuple(n for n in s.needs if n in names)) for s in steps if s.name in names]
    on_card = asked.engine is Engine.EEVEE or (asked.engine is Engine.CYCLES and asked.device is Device.GPU)
    return tuple(replace(s, lane=GPU_LANE) if s.name == "render" and on_card else s for s in chosen)
