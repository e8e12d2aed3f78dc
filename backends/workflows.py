# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflows this package brings along. Knows which backends do which step, and starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..queue.contract import Json, StepSpec, Workflow
from . import deliver, options
from .options import ClipOptions, Device, Engine
from .read import backend as read
from .render import backend as render
from .retarget import backend as retarget

CLIP = "clip"
GPU_LANE = "gpu"

_STEPS = (
    StepSpec(name="read", backend=read.NAME, weight=0.03),
    StepSpec(name="retarget", backend=retarget.NAME, weight=0.22, optional=True, needs=("read",)),
    StepSpec(name="render", backend=render.NAME, weight=0.74, optional=True, needs=("retarget",)),
    StepSpec(name="deliver", backend=deliver.NAME, weight=0.01),
)


def shot_workflow() -> Workflow:
    """A mocap clip onto a character and into a video. Payload: `ClipOptions`; inputs: clip, character, scene."""
    return Workflow(name=CLIP, steps=_STEPS, plan=_plan, validate=options.validate)


def _plan(payload: Mapping[str, Json]) -> Sequence[StepSpec]:
    asked = ClipOptions.from_payload(payload)
    chosen = [
        replace(s, needs=tuple(n for n in s.needs if n in asked.steps)) for s in _STEPS if s.name in (*asked.steps, "deliver")
    ]
    on_card = asked.engine is Engine.EEVEE or (asked.engine is Engine.CYCLES and asked.device is Device.GPU)
    return tuple(replace(s, lane=GPU_LANE) if s.name == "render" and on_card else s for s in chosen)
