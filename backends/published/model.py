# SPDX-License-Identifier: GPL-3.0-or-later
"""Options: where a published model lies on this machine, and what one motion is asked for. Knows no processes and no networks."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from ...queue.contract import Json
from ...queue.errors import MotionQueueError

MAX_PROMPT = 1_000  # characters; the text encoders read some 60 to 100 words
MAX_SEED = 2**32 - 1
MAX_STEPS = 100
MAX_GUIDANCE = 20.0
MIN_SECONDS = 0.5
_MAX_PATH = 4_096


class Which(StrEnum):
    """The published models that can be driven."""

    MOMASK = "momask"
    MOMASK_PLUS = "momask++"

    @property
    def label(self) -> str:
        return "MoMask" if self is Which.MOMASK else "MoMask++ (SnapMoGen)"

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
        _refuse(problems, "The published model's settings")
        values = {f.name: options[f.name] for f in fields(cls) if options.get(f.name) is not None}
        values["which"] = Which(values["which"])
        if "device" in values:
            values["device"] = ModelDevice(values["device"])
        return cls(**values)

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
    """What one motion is asked for."""

    prompt: str
    seconds: float | None = None  # None: MoMask estimates it; MoMask++ makes 6 seconds
    seed: int = 0
    steps: int | None = None  # None: as published
    guidance: float = 4.0
    device: ModelDevice | None = None  # None: the model's own

    @classmethod
    def from_payload(cls, payload: Mapping[str, Json], which: Which) -> MotionRequest:
        """Read a job's payload; fields that are no options are left alone. `MotionQueueError` invalid_options."""
        problems = validate(payload, which)
        _refuse(problems, "The motion's options")
        values = {f.name: payload[f.name] for f in fields(cls) if payload.get(f.name) is not None}
        values["prompt"] = str(values["prompt"]).strip()
        if "device" in values:
            values["device"] = ModelDevice(values["device"])
        return cls(**values)

    def frames(self, which: Which) -> int:
        """How many frames that is; 0 where the model estimates it."""
        if self.seconds is None:
            return 0 if which is Which.MOMASK else round(6.0 * which.fps)
        return max(1, round(self.seconds * which.fps))


def validate(payload: Mapping[str, Json], which: Which) -> dict[str, str]:
    """Field → what is wrong with it; empty when all is well."""
    problems = _problems(payload, _MOTION_CHECKS)
    if payload.get("prompt") is None:
        problems["prompt"] = "is needed: say in words what the person does"
    seconds = payload.get("seconds")
    if seconds is not None and (problem := _number(MIN_SECONDS, which.max_seconds)(seconds)):
        problems["seconds"] = problem
    return problems


def _refuse(problems: Mapping[str, str], what: str) -> None:
    if problems:
        listed = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        raise MotionQueueError("invalid_options", f"{what} cannot be used: {listed}.", details=problems)


def _path(text: str) -> Path:
    return Path(text).expanduser()


Check = Callable[[Json], str]


def _problems(values: Mapping[str, Json], checks: Mapping[str, Check]) -> dict[str, str]:
    found = {name: check(values[name]) for name, check in checks.items() if values.get(name) is not None}
    return {name: problem for name, problem in found.items() if problem}


def _one_of(*allowed: str) -> Check:
    return lambda value: "" if isinstance(value, str) and value in allowed else f"must be one of {', '.join(allowed)}"


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


def _number(low: float, high: float) -> Check:
    def check(value: Json) -> str:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high
        return "" if good else f"must be a number from {low:g} to {high:g}"

    return check


def _whole(low: int, high: int) -> Check:
    def check(value: Json) -> str:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return "" if good else f"must be a whole number from {low} to {high}"

    return check


_MODEL_CHECKS: dict[str, Check] = {
    "which": _one_of(*Which),
    "checkout": _text(_MAX_PATH),
    "python": _text(_MAX_PATH),
    "checkpoints": _text(_MAX_PATH),
    "text_encoder": _text(_MAX_PATH),
    "statistics": _text(_MAX_PATH),
    "device": _one_of(*ModelDevice),
    "memory_limit_mb": _number(100.0, 1e7),
    "transformer": _folder_name,
    "residual": _folder_name,
    "refinement": _folder_name,
}
_MOTION_CHECKS: dict[str, Check] = {
    "prompt": _text(MAX_PROMPT, empty=False),
    "seed": _whole(0, MAX_SEED),
    "steps": _whole(1, MAX_STEPS),
    "guidance": _number(0.0, MAX_GUIDANCE),
    "device": _one_of(*ModelDevice),
}
