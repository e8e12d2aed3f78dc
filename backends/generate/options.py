# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job may ask of generation besides the prompt: types, ranges and defaults, read once from the payload.

Standard library only: it runs where jobs are submitted. Whether the prompt says anything is asked here too, of its reader; how a
motion is made is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from ...queue.contract import Json
from ...queue.errors import MotionQueueError
from ..checks import flag, number, one_of, whole
from .header import Header, read_header
from .prompt import ACTIONS, MAX_CHARACTERS, read_prompt
from .timeline import Timeline

MIN_SECONDS = 1.0
MAX_SECONDS = 60.0
MAX_SEED = 2**32 - 1
MAX_VARIATIONS = 100
MAX_SAMPLING_STEPS = 100
MAX_GUIDANCE = 20.0
MAX_SPEED = 12.0  # metres a second
MIN_SPEED = 0.05
MAX_POINTS = 1_000  # of a path
MAX_WAY = 1_000.0  # metres from the start
FPS = 30.0  # of what the model makes
_LABEL = 60  # characters
_MAX_PATH = 4_096
_MAX_FRAME = 1_048_574


class ModelDevice(StrEnum):
    """Where the networks run."""

    NUMPY = "numpy"  # this program's own Python, nothing else needed
    CPU = "cpu"  # torch, on the processor
    CUDA = "cuda"  # torch, on a graphics card


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionOptions:
    """What a prompt's job was asked for, up to the motion. The inputs "start_pose" and "end_pose" are BVH files."""

    prompt: str
    seconds: float | None = None  # of the whole motion; None: what the prompt says, else an estimate
    seed: int = 1
    variation: int = 0  # added to the seed: 0, 1, 2 … of one prompt differ
    guidance: float | None = None  # None: as the model was tuned; more: closer to the words, less varied
    sampling_steps: int | None = None  # passes through the network; None: as the model was tuned
    model_device: ModelDevice = ModelDevice.NUMPY
    weights: str = ""  # path; empty: the shipped ones
    fps: float | None = None  # None: the model's own 30
    loop: bool = False
    in_place: bool = False
    speed: float | None = None  # metres a second on the way
    bend: float | None = None  # degrees to the left, over the whole way
    path: tuple[tuple[float, float], ...] = ()  # points in metres, left and forward of the start, through which the way goes
    heading: float | None = None  # degrees to the left of +Z, which the motion faces at its beginning
    start_pose_frame: int = 1  # of the input "start_pose", 1-based
    end_pose_frame: int = 1

    @classmethod
    def from_payload(cls, payload: Mapping[str, Json]) -> MotionOptions:
        """Read the options; fields of the payload that are no options are left alone. The prompt itself is not read.

        Raises `MotionQueueError("invalid_options")`, with every wrong field in `details`.
        """
        problems = check_fields(payload)
        if problems:
            listed = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
            raise MotionQueueError("invalid_options", f"The motion's options cannot be used: {listed}.", details=problems)
        values = {f.name: payload[f.name] for f in fields(cls) if payload.get(f.name) is not None}
        if "model_device" in values:
            values["model_device"] = ModelDevice(values["model_device"])
        if "path" in values:
            values["path"] = tuple((float(x), float(z)) for x, z in values["path"])
        return cls(**values)

    @property
    def weights_path(self) -> Path | None:
        return Path(self.weights) if self.weights else None

    @property
    def used_seed(self) -> int:
        return (self.seed + self.variation) % (MAX_SEED + 1)


def check_fields(payload: Mapping[str, Json]) -> dict[str, str]:
    """Field → what is wrong with it; empty when all is well. The prompt is only checked for being a text."""
    found = {name: check(payload[name]) for name, check in _CHECKS.items() if payload.get(name) is not None}
    problems = {name: problem for name, problem in found.items() if problem}
    if payload.get("prompt") is None:
        problems["prompt"] = "is needed: say in words what the character does"
    return problems


def validate(payload: Mapping[str, Json]) -> dict[str, str]:
    """As `check_fields`, and reads the prompt. Takes milliseconds, and no disk once the weights' header was read."""
    problems = check_fields(payload)
    if not problems:
        try:
            understood(payload["prompt"], seconds=payload.get("seconds"), weights=payload.get("weights") or "")
        except MotionQueueError as error:
            field = next(iter(error.details), "prompt")
            problems[field if field in ("prompt", "seconds", "weights") else "prompt"] = f"{error.message} [{error.code}]"
    return problems


def understood(prompt: str, *, seconds: float | None = None, weights: str = "") -> Timeline:
    """What the prompt asks for, as far as the model can do it.

    Raises `MotionQueueError`: the codes of `read_prompt` and `read_header`, and invalid_duration for `seconds`.
    """
    if seconds is not None and (problem := number(MIN_SECONDS, MAX_SECONDS)(seconds)):
        raise MotionQueueError(
            "invalid_duration",
            f"A motion can be {MIN_SECONDS:g} to {MAX_SECONDS:g} seconds long, not {seconds}. Ask for such a length.",
            details={"seconds": problem},
        )
    return _timeline(prompt, vocabulary(weights))


@lru_cache(maxsize=1024)
def _timeline(prompt: str, words: tuple[str, ...]) -> Timeline:
    """A prompt is read when it is typed, when its job is made and when that is submitted, and once for each variation."""
    return read_prompt(prompt, vocabulary=words)


def vocabulary(weights: str = "") -> tuple[str, ...]:
    """The words that the model was taught. Raises as `read_header`."""
    return _header(weights).words


def expected_seconds(timeline: Timeline, seconds: float | None = None) -> float:
    """About how long the motion will be, for predictions: the model has the last word where nobody gave a length."""
    if seconds is not None:
        return seconds
    return sum((ACTIONS[s.action].seconds if s.seconds is None else s.seconds) * s.repeats for s in timeline.segments)


def label_of(prompt: str) -> str:
    """What a prompt's job is called: its words, as many as a list has room for."""
    text = " ".join("".join(c if c.isprintable() else " " for c in prompt).split())
    if len(text) <= _LABEL:
        return text
    cut = text[:_LABEL]
    return f"{cut.rsplit(' ', 1)[0] if ' ' in cut else cut} …"


def child_arguments(options: MotionOptions, *, target: Path, start_pose: str = "", end_pose: str = "") -> dict[str, Json]:
    """What `child.run` takes, as JSON: the options, paths of the BVH files with the poses ("": none), and the path to write."""
    values = {f.name: getattr(options, f.name) for f in fields(options)}
    return {"options": values, "start_pose": start_pose, "end_pose": end_pose, "target": str(target)}


def _header(weights: str) -> Header:
    return read_header(Path(weights) if weights else None)


def _text(limit: int) -> Callable[[Json], str]:
    def check(value: Json) -> str:
        if not isinstance(value, str):
            return "must be a text"
        return f"is longer than {limit:,} characters" if len(value) > limit else ""

    return check


def _path(value: Json) -> str:
    if problem := _text(_MAX_PATH)(value):
        return problem
    return "must not contain control characters" if any(ord(c) < 32 or ord(c) == 127 for c in value) else ""


def _points(value: Json) -> str:
    if not isinstance(value, list | tuple) or len(value) > MAX_POINTS:
        return f"must be a list of at most {MAX_POINTS:,} points"
    inside = number(-MAX_WAY, MAX_WAY)
    good = all(isinstance(p, list | tuple) and len(p) == 2 and not any(inside(v) for v in p) for p in value)
    return "" if good else f"must have two numbers from -{MAX_WAY:g} to {MAX_WAY:g} for each point"


_CHECKS: dict[str, Callable[[Json], str]] = {
    "prompt": _text(MAX_CHARACTERS),
    "seconds": number(MIN_SECONDS, MAX_SECONDS),
    "seed": whole(0, MAX_SEED),
    "variation": whole(0, MAX_SEED),
    "guidance": number(0.0, MAX_GUIDANCE),
    "sampling_steps": whole(1, MAX_SAMPLING_STEPS),
    "model_device": one_of(*ModelDevice),
    "weights": _path,
    "fps": number(1.0, 480.0),
    "loop": flag,
    "in_place": flag,
    "speed": number(MIN_SPEED, MAX_SPEED),
    "bend": number(-360.0, 360.0),
    "path": _points,
    "heading": number(-360.0, 360.0),
    "start_pose_frame": whole(1, _MAX_FRAME),
    "end_pose_frame": whole(1, _MAX_FRAME),
}
