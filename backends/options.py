# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a job from the motion on: types, ranges and defaults, read once from the payload.

What makes the motion has options of its own (`generate.options`). Knows no Blender, files or processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from ..motion.travel import Travel
from ..queue.contract import Json
from ..queue.errors import MotionQueueError
from .checks import flag, number, one_of, whole

STEPS = ("read", "generate", "retarget", "render", "deliver")
MOTION_STEPS = ("read", "generate")  # one of them makes motion.bvh
MAX_FRAME = 1_048_574  # Blender's own last frame
MAX_SIDE = 16_384  # pixels
MIN_SIDE = 16
MAX_PIXELS = 64_000_000
MAX_SAMPLES = 65_536
MAX_FPS = 480.0
MAX_NAME = 255  # characters
MAX_PATH = 4_096


class Engine(StrEnum):
    WORKBENCH = "workbench"
    EEVEE = "eevee"
    CYCLES = "cycles"


class Device(StrEnum):
    """Where Cycles computes: AUTO takes the graphics card the preferences name, if there is one."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class Character(StrEnum):
    BUILTIN = "builtin"  # the mannequin
    FILE = "file"  # the input "character"
    SCENE = "scene"  # an armature of the input "scene"


# Workbench with one sample smooths edges afterwards (FXAA), a third of the time of five samples without a graphics card.
_DEFAULT_SAMPLES = {Engine.WORKBENCH: 1, Engine.EEVEE: 32, Engine.CYCLES: 32}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOptions:
    """What a job was asked for. Frames are 1-based and count in the clip as it was read, before any resampling."""

    steps: tuple[str, ...] = ()  # in order; empty: all that the workflow has
    character: Character | None = None  # None: the input "character", else an armature of the input "scene", else the mannequin
    armature: str = ""  # which armature of the character file; needed when it has several
    foot_lock: bool = True  # feet that stand in the motion stand on the character
    hand_contacts: bool = False  # hands that touch something in the motion touch it on the character
    travel: Travel = Travel.HIPS
    camera: str = ""  # which camera of the scene file; empty: its active one
    engine: Engine = Engine.WORKBENCH
    device: Device = Device.AUTO
    samples: int = 0  # per pixel; 0: the engine's default
    resolution: tuple[int, int] = (960, 540)  # pixels, both even
    fps: float | None = None  # None: the clip's own
    frame_start: int | None = None  # first frame of the clip, inclusive
    frame_end: int | None = None  # last frame of the clip, inclusive
    output_dir: str = ""  # absolute; empty: results stay in the artefact store
    label: str = ""
    trust_scripts: bool = False  # let the user's own scene file run its scripts and drivers

    @classmethod
    def from_payload(cls, payload: Mapping[str, Json]) -> ClipOptions:
        """Read the options; fields of the payload that are no options are left alone.

        Raises `MotionQueueError("invalid_options")`, with every wrong field in `details`.
        """
        problems = validate(payload)
        if problems:
            listed = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
            raise MotionQueueError("invalid_options", f"The job's options cannot be used: {listed}.", details=problems)
        values = {f.name: payload[f.name] for f in fields(cls) if payload.get(f.name) is not None}
        for name, make in _TYPES.items():
            if name in values:
                values[name] = make(values[name])
        return cls(**values)

    @property
    def samples_per_pixel(self) -> int:
        return self.samples or _DEFAULT_SAMPLES[self.engine]

    @property
    def megapixels(self) -> float:
        return self.resolution[0] * self.resolution[1] / 1e6

    def character_source(self, *, has_character: bool, has_scene: bool) -> Character:
        """Where the character comes from, given which inputs the job has."""
        if self.character is not None:
            return self.character
        if has_character:
            return Character.FILE
        return Character.SCENE if has_scene else Character.BUILTIN


_TYPES: dict[str, Callable[[Json], object]] = {
    "steps": lambda v: tuple(s for s in STEPS if s in v),
    "character": Character,
    "travel": Travel,
    "engine": Engine,
    "device": Device,
    "resolution": lambda v: (int(v[0]), int(v[1])),
    "fps": float,
}


def validate(payload: Mapping[str, Json]) -> dict[str, str]:
    """Field → what is wrong with it; empty when all is well."""
    problems: dict[str, str] = {}
    for name, check in _CHECKS.items():
        value = payload.get(name)
        if value is not None and (problem := check(value)):
            problems[name] = problem
    start, end = payload.get("frame_start"), payload.get("frame_end")
    if start is not None and end is not None and not {"frame_start", "frame_end"} & set(problems) and end < start:
        problems["frame_end"] = f"is {end}, before frame_start ({start})"
    return problems


def _steps(value: Json) -> str:
    if not isinstance(value, list | tuple) or not value or any(not isinstance(s, str) for s in value):
        return "must be a list with at least one step name"
    unknown = sorted({s for s in value if s not in STEPS})
    if unknown:
        return f"has no step called {', '.join(repr(s[:40]) for s in unknown[:4])}; there are {', '.join(STEPS)}"
    if "retarget" in value and not set(MOTION_STEPS) & set(value):
        return "needs 'read' (of a clip) or 'generate' (of a prompt) for 'retarget'"
    return "has both 'read' and 'generate'; a job has one motion" if set(MOTION_STEPS) <= set(value) else ""


def _text(limit: int) -> Callable[[Json], str]:
    def check(value: Json) -> str:
        if not isinstance(value, str):
            return "must be a text"
        if len(value) > limit:
            return f"is longer than {limit} characters"
        return "must not contain control characters" if any(ord(c) < 32 or ord(c) == 127 for c in value) else ""

    return check


def _rate(value: Json) -> str:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return "" if good else "must be a number above 0"


def _resolution(value: Json) -> str:
    if (
        not isinstance(value, list | tuple)
        or len(value) != 2
        or any(isinstance(v, bool) or not isinstance(v, int) for v in value)
    ):
        return "must be two whole numbers, width and height in pixels"
    if any(not MIN_SIDE <= v <= MAX_SIDE for v in value):
        return f"must be from {MIN_SIDE} to {MAX_SIDE} pixels a side"
    if any(v % 2 for v in value):
        return "must be even in both directions (H.264 needs it)"
    return f"must not exceed {MAX_PIXELS // 10**6} megapixels" if value[0] * value[1] > MAX_PIXELS else ""


_CHECKS: dict[str, Callable[[Json], str]] = {
    "steps": _steps,
    "character": one_of(*Character),
    "armature": _text(MAX_NAME),
    "foot_lock": flag,
    "hand_contacts": flag,
    "travel": one_of(*Travel),
    "camera": _text(MAX_NAME),
    "engine": one_of(*Engine),
    "device": one_of(*Device),
    "samples": whole(0, MAX_SAMPLES),
    "resolution": _resolution,
    "fps": number(1.0, MAX_FPS),
    "frame_start": whole(1, MAX_FRAME),
    "frame_end": whole(1, MAX_FRAME),
    "output_dir": _text(MAX_PATH),
    "label": _text(MAX_NAME),
    "trust_scripts": flag,
    # Not asked for but found out, for predictions: what the clip declares, or what a prompt leads one to expect.
    "clip_frames": whole(1, 10**9),
    "clip_fps": _rate,
}
