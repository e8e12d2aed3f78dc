# SPDX-License-Identifier: GPL-3.0-or-later
"""A shot: one prompt or clip and what is to be made of it; and the checks of its values, one by one and together.

The same checks serve the jobs file, the file of prompts and the command line. Knows no engine and no Blender, of generation
only its options. Standard library only.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..backends.generate import options as motion_options
from ..backends.generate.prompt import MAX_CHARACTERS
from ..backends.published import model as published
from ..motion.travel import Travel
from ..queue.contract import Json
from ..queue.errors import MotionQueueError
from .installed import installed

MAX_SHOTS = 10_000
ENGINES = ("workbench", "eevee", "cycles")
DEVICES = ("auto", "cpu", "gpu")
STEPS = ("retarget", "render")
MODELS = (published.BUILT_IN, *(str(which) for which in published.Which))
MODEL_DEVICES = tuple(dict.fromkeys(str(d) for d in (*motion_options.ModelDevice, *published.ModelDevice)))

_BLANK = " \t\r\n"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CHARACTER = re.compile(r"\.([bB][lL][eE][nN][dD]|[fF][bB][xX]|[gG][lL][bB])$")
_BLEND = re.compile(r"\.[bB][lL][eE][nN][dD]$")
_PROMPT_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # a prompt may have tabs and line ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One clip or prompt and what is to be made of it: the same value from a jobs file and from the command line."""

    clip: Path | None = None
    prompt: str = ""  # instead of a clip
    label: str = ""  # empty: the clip's name, or the prompt's words
    character: Path | None = None  # None: the built-in mannequin
    scene: Path | None = None  # None: the neutral stage
    camera: str = ""  # empty: the scene's active camera
    armature: str = ""  # empty: the only one
    engine: str = "workbench"
    device: str = "auto"
    resolution: tuple[int, int] = (960, 540)  # pixels, even
    fps: float | None = None  # None: the clip's own
    frames: tuple[int, int] | None = None  # first and last of the clip, counted from 1
    samples: int | None = None
    foot_lock: bool = True  # feet that stand in the motion stand on the character
    hand_contacts: bool = False  # hands that touch something in the motion touch it on the character
    travel: str = str(Travel.HIPS)  # which bone carries the path
    map: Path | None = None  # a joint map of the character; None: found
    steps: tuple[str, ...] = STEPS
    trust_scripts: bool = False
    priority: int = 50
    # Only of a prompt:
    model: str = published.BUILT_IN
    seconds: float | None = None  # None: what the prompt says, else an estimate
    seed: int = 1
    variations: int = 1  # that many motions of it, with one seed after another
    variation: int = 0  # which of them this is, from 0
    guidance: float | None = None
    speed: float | None = None  # metres a second
    bend: float | None = None  # degrees
    heading: float | None = None  # degrees
    loop: bool = False
    in_place: bool = False
    weights: Path | None = None  # None: the shipped ones
    model_device: str = ""  # empty: numpy, or what a published model is set to

    @property
    def published(self) -> published.Which | None:
        """The published model that makes its motion; None for the built-in one, and for a clip."""
        return None if self.clip is not None or self.model == published.BUILT_IN else published.Which(self.model)

    @property
    def name(self) -> str:
        return self.label or (self.clip.stem if self.clip is not None else motion_options.label_of(self.prompt))


def varied(shots: Iterable[Shot]) -> tuple[Shot, ...]:
    """Each shot as often as it has variations, with a number in its name and a seed of its own each.

    `MotionQueueError("too_many_jobs")` for more than MAX_SHOTS in all.
    """
    found: list[Shot] = []
    for shot in shots:
        if shot.variations == 1:
            found.append(shot)
        else:
            found += [replace(shot, label=f"{shot.name}_{i + 1:02d}", variations=1, variation=i) for i in range(shot.variations)]
        if len(found) > MAX_SHOTS:
            raise MotionQueueError(
                "too_many_jobs", f"With all variations these are more than {MAX_SHOTS:,} jobs. Ask for less at once."
            )
    return tuple(found)


# --- one value at a time: each returns the value, or raises ValueError with what is wrong ---------------------------------


def _plain(value: object, longest: int = 4096) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {kind_of(value)}")
    if not value:
        raise ValueError("must not be empty")
    if len(value) > longest:
        raise ValueError(f"is longer than {longest} characters")
    if _CONTROL.search(value):
        raise ValueError("must not contain control characters")
    return value


def read_clip(value: object) -> Path:
    return Path(_plain(value))


def read_prompt(value: object) -> str:
    """A prompt's form; what it says is for its reader."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {kind_of(value)}")
    if not value.strip(_BLANK):
        raise ValueError("must not be empty")
    if len(value) > MAX_CHARACTERS:
        raise ValueError(f"is longer than {MAX_CHARACTERS} characters")
    if _PROMPT_CONTROL.search(value):
        raise ValueError("must not contain control characters")
    return value


def read_seconds(value: object) -> float:
    return _real(value, motion_options.MIN_SECONDS, motion_options.MAX_SECONDS)


def read_seed(value: object) -> int:
    return _integer(value, 0, motion_options.MAX_SEED)


def read_variations(value: object) -> int:
    return _integer(value, 1, motion_options.MAX_VARIATIONS)


def read_guidance(value: object) -> float:
    return _real(value, 0, motion_options.MAX_GUIDANCE)


def read_speed(value: object) -> float:
    return _real(value, motion_options.MIN_SPEED, motion_options.MAX_SPEED)


def read_degrees(value: object) -> float:
    return _real(value, -360, 360)


def read_weights(value: object) -> Path:
    return Path(_plain(value))


def read_model(value: object) -> str:
    return _choice(value, MODELS)


def read_model_device(value: object) -> str:
    return _choice(value, MODEL_DEVICES)


def read_label(value: object) -> str:
    return _plain(value, 200)


def read_character(value: object) -> Path:
    text = _plain(value)
    if not _CHARACTER.search(text):
        raise ValueError("must be a .blend, .fbx or .glb file")
    return Path(text)


def read_scene(value: object) -> Path:
    text = _plain(value)
    if not _BLEND.search(text):
        raise ValueError("must be a .blend file")
    return Path(text)


def read_name(value: object) -> str:
    """The name of an object in a .blend file."""
    return _plain(value, 255)


def read_travel(value: object) -> str:
    return _choice(value, tuple(map(str, Travel)))


def read_map(value: object) -> Path:
    return Path(_plain(value))


def read_device(value: object) -> str:
    return _choice(value, DEVICES)


def read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {kind_of(value)}")
    return value


def read_engine(value: object) -> str:
    return _choice(value, ENGINES)


def read_resolution(value: object) -> tuple[int, int]:
    width, height = _pair(value, "[width, height]", 16, 7680)
    if width % 2 or height % 2:
        raise ValueError("must be even numbers of pixels, which H.264 needs")
    return width, height


def read_fps(value: object) -> float:
    return _real(value, 1, 240)


def read_frames(value: object) -> tuple[int, int]:
    return _pair(value, "[first, last]", 1, 1_000_000)


def read_samples(value: object) -> int:
    return _integer(value, 1, 65536)


def read_steps(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of steps, not {kind_of(value)}")
    if not value:
        raise ValueError("must name at least one step")
    names = [_choice(item, STEPS) for item in value]
    if len(set(names)) != len(names):
        raise ValueError("names a step twice")
    return tuple(name for name in STEPS if name in names)


def read_priority(value: object) -> int:
    return _integer(value, 0, 100)


def _integer(value: object, low: int, high: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON knows one kind of number: 3.0 is 3
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a whole number, not {kind_of(value)}")
    if not low <= value <= high:
        raise ValueError(f"must be between {low:,} and {high:,}")
    return value


def _real(value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {kind_of(value)}")
    if not low <= value <= high:  # nan is not either
        raise ValueError(f"must be between {low:g} and {high:g}")
    return float(value)


def _pair(value: object, what: str, low: int, high: int) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"must be a list of two whole numbers, {what}")
    return _integer(value[0], low, high), _integer(value[1], low, high)


def _choice(value: object, choices: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be one of {', '.join(choices)}, not {kind_of(value)}")
    if value not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}{meant(value, choices)}")
    return value


def meant(word: str, choices: Sequence[str]) -> str:
    """For a message: the choice that a misspelt word was probably meant to be; empty where none is near."""
    near = difflib.get_close_matches(word[:64], choices, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def kind_of(value: object) -> str:
    """For a message: what a JSON value is."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a fraction", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


PROMPT_OPTIONS: Mapping[str, Callable[[object], Any]] = {
    "model": read_model,
    "seconds": read_seconds,
    "seed": read_seed,
    "variations": read_variations,
    "guidance": read_guidance,
    "speed": read_speed,
    "bend": read_degrees,
    "heading": read_degrees,
    "loop": read_flag,
    "in_place": read_flag,
    "weights": read_weights,
    "model_device": read_model_device,
}
CLIP_OPTIONS = ("frames",)
OPTIONS: Mapping[str, Callable[[object], Any]] = {
    "character": read_character,
    "scene": read_scene,
    "camera": read_name,
    "armature": read_name,
    "foot_lock": read_flag,
    "hand_contacts": read_flag,
    "travel": read_travel,
    "map": read_map,
    "engine": read_engine,
    "device": read_device,
    "resolution": read_resolution,
    "fps": read_fps,
    "frames": read_frames,
    "samples": read_samples,
    "steps": read_steps,
    "trust_scripts": read_flag,
    "priority": read_priority,
    **PROMPT_OPTIONS,
}
JOB_FIELDS: Mapping[str, Callable[[object], Any]] = {
    "clip": read_clip,
    "prompt": read_prompt,
    "label": read_label,
    **OPTIONS,
}


def applicable(options: Iterable[str], *, to_prompt: bool) -> set[str]:
    """Of options, those that mean something for a prompt, or for a clip."""
    return set(options) - set(CLIP_OPTIONS if to_prompt else PROMPT_OPTIONS)


def problems(shot: Shot) -> dict[str, str]:
    """Field → what is wrong with a shot as a whole: what no single value shows. Empty when it can run."""
    found: dict[str, str] = {}
    if shot.frames is not None and shot.frames[1] < shot.frames[0]:
        found["frames"] = f"the last frame ({shot.frames[1]}) comes before the first ({shot.frames[0]})"
    if shot.camera and shot.scene is None:
        found["camera"] = "needs a `scene` that has this camera"
    if shot.samples is not None and shot.engine == "workbench":
        found["samples"] = "are for eevee and cycles; Workbench takes none"
    if (which := shot.published) is not None:
        wrong = published.validate({"prompt": shot.prompt, **motion_payload(shot)}, which)
        found |= {name: f"{problem} (with the model {which})" for name, problem in wrong.items()}
    elif shot.model_device == published.ModelDevice.AUTO:
        found["model_device"] = f"`{shot.model_device}` is only for published models"
    return found


def motion_payload(shot: Shot) -> dict[str, Json]:
    """What a prompt's shot asks of the model, as the payload of a job has it; only what is asked for."""
    values: dict[str, Json] = {name: getattr(shot, name) for name in ("seconds", "seed", "variation", "guidance")}
    values |= {name: getattr(shot, name) for name in ("speed", "bend", "heading")}
    values |= {"loop": shot.loop or None, "in_place": shot.in_place or None}
    values |= {"weights": str(shot.weights or ""), "model_device": shot.model_device}
    values |= {"model": shot.model if shot.published is not None else ""}
    return {name: value for name, value in values.items() if value not in (None, "")}


def understand(shot: Shot) -> None:
    """Whether the shot's model can make something of its prompt, or of any, as far as can be said here.

    `MotionQueueError`: the codes of prompts and of weights; for a published model published_not_set and those of its settings.
    """
    if (which := shot.published) is not None:
        published.chosen(installed(), which)
    elif shot.clip is None:
        motion_options.understood(shot.prompt, seconds=shot.seconds, weights=str(shot.weights or ""))


def prompt_problems(shot: Shot) -> dict[str, str]:
    """Field → what is wrong with what a shot's prompt says, or with the model that should read it."""
    try:
        understand(shot)
    except MotionQueueError as error:
        if shot.published is not None:
            return {"model": str(error)}
        if error.code == "prompt_not_understood":
            # Without the list of all that is known, which would stand there once for each prompt of a file.
            unused = error.details.get("unmatched", "")
            said = f"nothing in it is a motion that is known{f' (not understood: {unused})' if unused else ''}"
            return {"prompt": f"{said}; `mq.py generate --known` lists what is [{error.code}]"}
        field = next(iter(error.details), "prompt")
        return {field if field in ("seconds", "weights") and getattr(shot, field) is not None else "prompt": str(error)}
    return {}


def files_of(shot: Shot) -> dict[str, Path]:
    """Field → file that a shot reads."""
    paths = {"clip": shot.clip, "character": shot.character, "scene": shot.scene, "map": shot.map}
    return {name: path for name, path in paths.items() if path is not None}


def file_problems(shot: Shot) -> dict[str, str]:
    """Field → what is wrong with a file that a shot reads."""
    found: dict[str, str] = {}
    for name, path in files_of(shot).items():
        try:
            if path.is_dir():
                found[name] = f"{path} is a folder, not a file"
                continue
            with path.open("rb"):
                pass  # opening is the check
        except FileNotFoundError:
            found[name] = f"there is no file {path}"
        except OSError as error:
            found[name] = f"cannot read {path}: {error.strerror or error}"
        except ValueError as error:
            found[name] = f"cannot read {str(path)!r}: {error}"
    return found
