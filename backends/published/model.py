# SPDX-License-Identifier: GPL-3.0-or-later
"""Options: where a published model lies on this machine, and what one motion is asked for. Knows no processes and no networks.

Standard library only: it runs where jobs are submitted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from ...queue.contract import Json
from ...queue.errors import MotionQueueError
from ..checks import Check, flag, number, one_of, whole
from ..generate.options import MAX_SPEED, MIN_SPEED

NAME = "published_model"  # of the backend
BUILT_IN = "builtin"  # what a payload's `model` says for the model that comes along, as one without the field does
MAX_PROMPT = 1_000  # characters; the text encoders read some 60 to 100 words
MAX_SEED = 2**32 - 1
MAX_STEPS = 100
MAX_GUIDANCE = 20.0
MIN_SECONDS = 0.5
POSES = ("start_pose", "end_pose")  # inputs that only the built-in model takes
_MAX_PATH = 4_096


class Which(StrEnum):
    """The published models that can be driven."""

    MOMASK = "momask"
    MOMASK_PLUS = "momask++"

    @property
    def label(self) -> str:
        return "MoMask" if self is Which.MOMASK else "MoMask++ (SnapMoGen)"

    @property
    def licence(self) -> str:
        """What a person has to know before using it, as half a sentence."""
        if self is Which.MOMASK:
            return "MIT; the data behind it, HumanML3D and AMASS, has terms of its own"
        return "non-commercial research only, which binds what it makes too"

    @property
    def usual_seconds(self) -> float:
        """About how long a motion is where nobody gave a length."""
        return 7.0 if self is Which.MOMASK else 6.0

    @property
    def max_seconds(self) -> float:
        return 9.8 if self is Which.MOMASK else 10.6

    @property
    def fps(self) -> float:
        return 20.0 if self is Which.MOMASK else 30.0

    @property
    def steps(self) -> int:
        """As published."""
        return 18 if self is Which.MOMASK else 16


class ModelDevice(StrEnum):
    AUTO = "auto"  # the graphics card where torch finds one
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """An installed published model. Empty paths are looked for where the model's own instructions put them."""

    which: Which
    checkout: str  # the folder the repository was cloned into
    python: str  # the interpreter that has torch and what the repository needs
    checkpoints: str = ""  # empty: `checkpoints` or `checkpoint_dir` in the checkout
    text_encoder: str = ""  # MoMask: CLIP's ViT-B-32.pt; MoMask++: the folder of google/t5-v1_1-base
    statistics: str = ""  # MoMask++: the folder of mean.npy and std.npy (the data set's meta_data)
    device: ModelDevice = ModelDevice.AUTO
    memory_limit_mb: float | None = None
    transformer: str = ""  # folder names under the checkpoints; empty: the published ones
    residual: str = ""
    refinement: str = ""

    @classmethod
    def from_options(cls, options: Mapping[str, Json]) -> PublishedModel:
        """Read the options; unknown ones are left alone.

        Raises `MotionQueueError("invalid_options")`, with every wrong field in `details`.
        """
        problems = _problems(options, _MODEL_CHECKS)
        for name in ("which", "checkout", "python"):
            if not options.get(name):
                problems[name] = "is needed"
        _refuse(problems, "The published model's settings cannot be used")
        values = {f.name: options[f.name] for f in fields(cls) if options.get(f.name) is not None}
        values["which"] = Which(values["which"])
        if "device" in values:
            values["device"] = ModelDevice(values["device"])
        return cls(**values)

    def to_options(self) -> dict[str, Json]:
        """What `from_options` makes this of, as JSON, but `which`; only what is set."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "which"}
        return {name: str(v) if isinstance(v, StrEnum) else v for name, v in values.items() if v not in ("", None)}

    @property
    def checkpoints_path(self) -> Path:
        usual = "checkpoints" if self.which is Which.MOMASK else "checkpoint_dir"
        return _path(self.checkpoints) if self.checkpoints else _path(self.checkout) / usual

    @property
    def transformer_name(self) -> str:
        return self.transformer or (
            "t2m_nlayer8_nhead6_ld384_ff1024_cdp0.1_rvq6ns"
            if self.which is Which.MOMASK
            else "momaskplus_hrvq3_nlayer8_cdp0.1_ca_bm"
        )

    @property
    def residual_name(self) -> str:
        return self.residual or "tres_nlayer8_ld384_ff1024_rvq6ns_cdp0.2_sw"

    @property
    def refinement_name(self) -> str:
        return self.refinement or "gmr_d292"

    @property
    def text_encoder_path(self) -> Path:
        """The file or folder of the text encoder: the one named, else where its own library keeps it."""
        if self.which is Which.MOMASK:
            path = _path(self.text_encoder) if self.text_encoder else Path.home() / ".cache" / "clip"
            return path / "ViT-B-32.pt" if path.is_dir() or not self.text_encoder else path
        if self.text_encoder:
            return _path(self.text_encoder)
        cache = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub" / "models--google--t5-v1_1-base"
        snapshots = sorted(cache.glob("snapshots/*"), key=lambda p: p.stat().st_mtime)
        return snapshots[-1] if snapshots else cache

    @property
    def statistics_path(self) -> Path:
        """MoMask++: where mean.npy and std.npy are."""
        if self.statistics:
            path = _path(self.statistics)
            return path / "meta_data" if (path / "meta_data").is_dir() else path
        return self.checkpoints_path / "snapmogen" / "meta_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionRequest:
    """What one motion is asked for. All from `fps` on is done to the motion once the model has made it, by this package."""

    prompt: str
    seconds: float | None = None  # None: MoMask estimates it; MoMask++ makes 6 seconds
    seed: int = 1
    variation: int = 0  # added to the seed
    guidance: float = 4.0
    sampling_steps: int | None = None  # None: as published
    model_device: ModelDevice | None = None  # None: the model's own
    fps: float | None = None  # None: the model's own
    loop: bool = False
    in_place: bool = False
    speed: float | None = None  # metres a second on the way
    heading: float | None = None  # degrees to the left of +Z, which the motion faces at its beginning

    @classmethod
    def from_payload(cls, payload: Mapping[str, Json], which: Which) -> MotionRequest:
        """Read a job's payload; fields that are no options of a motion are left alone. `MotionQueueError` invalid_options."""
        problems = validate(payload, which)
        _refuse(problems, f"The motion's options cannot be used with {which.label}")
        values = {f.name: payload[f.name] for f in fields(cls) if payload.get(f.name) is not None}
        values["prompt"] = str(values["prompt"]).strip()
        if "model_device" in values:
            values["model_device"] = ModelDevice(values["model_device"])
        return cls(**values)

    @property
    def used_seed(self) -> int:
        return (self.seed + self.variation) % (MAX_SEED + 1)

    def frames(self, which: Which) -> int:
        """How many frames of the model's own rate that is; 0 where the model estimates it."""
        if self.seconds is None:
            return 0 if which is Which.MOMASK else round(which.usual_seconds * which.fps)
        return max(1, round(self.seconds * which.fps))


def validate(payload: Mapping[str, Json], which: Which) -> dict[str, str]:
    """Field → what is wrong with it; empty when all is well."""
    problems = _problems(payload, _MOTION_CHECKS)
    problems |= {name: f"is only for the model {BUILT_IN!r}" for name in _ONLY_BUILT_IN if payload.get(name) not in _NOT_ASKED}
    if payload.get("prompt") is None:
        problems["prompt"] = "is needed: say in words what the person does"
    seconds = payload.get("seconds")
    if seconds is not None and (problem := number(MIN_SECONDS, which.max_seconds)(seconds)):
        problems["seconds"] = problem
    return problems


def asked_for(payload: Mapping[str, Json]) -> Which | None:
    """The published model that a payload's `model` asks for; None for the built-in one. `MotionQueueError` invalid_options."""
    name = payload.get("model")
    if name is None or name == BUILT_IN:
        return None
    problem = one_of(BUILT_IN, *Which)(name)
    _refuse({"model": problem} if problem else {}, "The motion model cannot be used")
    return Which(name)


def refuse_poses(names: Iterable[str], which: Which) -> None:
    """Raise `MotionQueueError` invalid_options for inputs that give a published model a pose."""
    given = [name for name in POSES if name in set(names)]
    _refuse(
        dict.fromkeys(given, f"is only for the model {BUILT_IN!r}"), f"The motion's options cannot be used with {which.label}"
    )


def chosen(models: Iterable[PublishedModel], which: Which) -> PublishedModel:
    """The one of that kind among those that are set. `MotionQueueError` published_not_set."""
    for model in models:
        if model.which is which:
            return model
    raise MotionQueueError(
        "published_not_set",
        f"{which.label} was asked for, but nobody has said where it is on this machine. "
        f"`mq.py models set {which} --checkout DIR --python PATH` says it once; docs/published-models.md has the rest.",
        details={"model": "is not set"},
    )


def models_of(settings: Mapping[str, Mapping[str, Json]], source: str) -> tuple[PublishedModel, ...]:
    """The models that settings name: which → the options of `PublishedModel`, as they stand in a file of the name `source`.

    `MotionQueueError` published_settings_invalid, with all that is wrong in its message, for anything that is no option.
    """
    known = {f.name for f in fields(PublishedModel)} - {"which"}
    made: list[PublishedModel] = []
    wrong: dict[str, str] = {}
    for name, options in settings.items():
        if name not in set(Which):
            wrong[name[:80]] = f"is no published model; there are {', '.join(Which)}"
            continue
        unknown = [option for option in options if option not in known]
        if unknown:
            wrong[f"{name}.{unknown[0][:80]}"] = "is no option"
            continue
        try:
            made.append(PublishedModel.from_options({**options, "which": name}))
        except MotionQueueError as error:
            wrong |= {f"{name}.{option}": problem for option, problem in error.details.items()}
    if wrong:
        listed = "; ".join(f"{name} {problem}" for name, problem in wrong.items())
        raise MotionQueueError(
            "published_settings_invalid",
            f"{source} cannot be used: {listed}. Correct it, or delete it and set the models again with `mq.py models set`.",
            details=wrong,
        )
    return tuple(made)


def _refuse(problems: Mapping[str, str], what: str) -> None:
    if problems:
        listed = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        raise MotionQueueError("invalid_options", f"{what}: {listed}.", details=problems)


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _problems(values: Mapping[str, Json], checks: Mapping[str, Check]) -> dict[str, str]:
    found = {name: check(values[name]) for name, check in checks.items() if values.get(name) is not None}
    return {name: problem for name, problem in found.items() if problem}


def _text(limit: int, *, empty: bool = True) -> Check:
    def check(value: Json) -> str:
        if not isinstance(value, str):
            return "must be a text"
        if len(value) > limit:
            return f"is longer than {limit:,} characters"
        if any(ord(c) < 32 or ord(c) == 127 for c in value):
            return "must not contain control characters or line breaks"
        return "" if empty or value.strip() else "is empty"

    return check


def _folder_name(value: Json) -> str:
    plain = isinstance(value, str) and len(value) <= 255 and "/" not in value and "\\" not in value and value not in {".", ".."}
    return _text(255)(value) if plain else "must be the name of one folder"


_MODEL_CHECKS: dict[str, Check] = {
    "which": one_of(*Which),
    "checkout": _text(_MAX_PATH),
    "python": _text(_MAX_PATH),
    "checkpoints": _text(_MAX_PATH),
    "text_encoder": _text(_MAX_PATH),
    "statistics": _text(_MAX_PATH),
    "device": one_of(*ModelDevice),
    "memory_limit_mb": number(100.0, 1e7),
    "transformer": _folder_name,
    "residual": _folder_name,
    "refinement": _folder_name,
}
_MOTION_CHECKS: dict[str, Check] = {
    "prompt": _text(MAX_PROMPT, empty=False),
    "seed": whole(0, MAX_SEED),
    "variation": whole(0, MAX_SEED),
    "guidance": number(0.0, MAX_GUIDANCE),
    "sampling_steps": whole(1, MAX_STEPS),
    "model_device": one_of(*ModelDevice),
    "fps": number(1.0, 480.0),
    "loop": flag,
    "in_place": flag,
    "speed": number(MIN_SPEED, MAX_SPEED),
    "heading": number(-360.0, 360.0),
}
_ONLY_BUILT_IN = ("weights", "bend", "path", "start_pose_frame", "end_pose_frame")
_NOT_ASKED: tuple[Json, ...] = (None, "", [], ())
