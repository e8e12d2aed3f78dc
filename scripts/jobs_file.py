# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a jobs file (`docs/jobs.schema.json`) into `Shot` values, with every mistake named by its place in the file.

Validates by hand, because a Blender's Python has no validator; a test holds this and the schema to the same verdicts. What
the schema cannot say (a last frame before the first, a clip that is not there) is checked here too, before anything runs.
The same value checks serve the command line. Knows no engine and no Blender, of generation only its options. Standard library
only.
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
from ..queue.errors import MotionQueueError
from . import located_json
from .located_json import Mistake, Node, Places

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 16
MAX_JOBS = 10_000
MAX_REPORTED = 50
ENGINES = ("workbench", "eevee", "cycles")
DEVICES = ("auto", "cpu", "gpu")
STEPS = ("retarget", "render")
MODEL_DEVICES = tuple(str(device) for device in motion_options.ModelDevice)

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
    steps: tuple[str, ...] = STEPS
    trust_scripts: bool = False
    priority: int = 50
    # Only of a prompt:
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
    model_device: str = "numpy"

    @property
    def name(self) -> str:
        return self.label or (self.clip.stem if self.clip is not None else motion_options.label_of(self.prompt))


class JobsFileError(MotionQueueError):
    """A jobs file that cannot be used. `mistakes` has each with its place; empty when the file could not be read at all."""

    def __init__(self, code: str, message: str, mistakes: Sequence[Mistake] = ()) -> None:
        super().__init__(code, message)
        self.mistakes = tuple(mistakes)


def load(path: Path, *, check_files: bool = True) -> tuple[Shot, ...]:
    """Read and check a jobs file; relative paths in it are taken from its folder. `JobsFileError` names all mistakes."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise JobsFileError("jobs_file_too_large", f"{path} has {size:,} bytes, the limit is {MAX_BYTES:,}. Split it.")
        data = path.read_bytes()
    except OSError as error:
        raise JobsFileError("jobs_file_unreadable", f"Cannot read the jobs file {path}: {error.strerror or error}.") from error
    except ValueError as error:
        raise JobsFileError("jobs_file_unreadable", f"Cannot read the jobs file {str(path)!r}: {error}.") from error
    return parse(data, name=path.name, folder=path.resolve().parent, check_files=check_files)


def parse(data: bytes, *, name: str, folder: Path, check_files: bool = False) -> tuple[Shot, ...]:
    """Check the bytes of a jobs file. Raises `JobsFileError`, never anything else, whatever the bytes."""
    if len(data) > MAX_BYTES:
        raise JobsFileError("jobs_file_too_large", f"{name} has {len(data):,} bytes, the limit is {MAX_BYTES:,}. Split it.")
    try:
        text = data.decode("utf-8-sig")  # with or without the mark that some editors put first
    except UnicodeDecodeError as error:
        raise JobsFileError(
            "jobs_file_not_json", f"{name} is not UTF-8 text (byte {error.start}): save it as UTF-8, without any other encoding."
        ) from error
    try:
        document = located_json.parse(text, max_depth=MAX_DEPTH)
    except located_json.SyntaxMistake as error:
        raise JobsFileError("jobs_file_not_json", error.mistake.text(name), [error.mistake]) from error
    check = _Check(document.places, folder, check_files)
    check.mistakes.extend(document.mistakes)
    shots = check.document(document.root)
    if check.mistakes:
        raise _invalid(name, check.mistakes)
    try:
        return varied(shots)
    except MotionQueueError as error:
        mistake = document.places.mistake(0, "$.jobs", error.message)
        raise _invalid(name, [mistake]) from error


def _invalid(name: str, mistakes: Sequence[Mistake]) -> JobsFileError:
    ordered = sorted(mistakes, key=lambda m: (m.line, m.column))
    lines = [mistake.text(name) for mistake in ordered[:MAX_REPORTED]]
    if len(ordered) > MAX_REPORTED:
        lines.append(f"… and {len(ordered) - MAX_REPORTED} more")
    return JobsFileError("jobs_file_invalid", "\n".join(lines), ordered)


def varied(shots: Iterable[Shot]) -> tuple[Shot, ...]:
    """Each shot as often as it has variations, with a number in its name and a seed of its own each.

    `MotionQueueError("too_many_jobs")` for more than MAX_JOBS in all.
    """
    found: list[Shot] = []
    for shot in shots:
        if shot.variations == 1:
            found.append(shot)
        else:
            found += [replace(shot, label=f"{shot.name}_{i + 1:02d}", variations=1, variation=i) for i in range(shot.variations)]
        if len(found) > MAX_JOBS:
            raise MotionQueueError(
                "too_many_jobs", f"With all variations these are more than {MAX_JOBS:,} jobs. Ask for less at once."
            )
    return tuple(found)


# --- one value at a time: each returns the value, or raises ValueError with what is wrong ---------------------------------


def _plain(value: object, longest: int = 4096) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {_kind(value)}")
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
        raise ValueError(f"must be text, not {_kind(value)}")
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


def read_device(value: object) -> str:
    return _choice(value, DEVICES)


def read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {_kind(value)}")
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
        raise ValueError(f"must be a list of steps, not {_kind(value)}")
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
        raise ValueError(f"must be a whole number, not {_kind(value)}")
    if not low <= value <= high:
        raise ValueError(f"must be between {low:,} and {high:,}")
    return value


def _real(value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {_kind(value)}")
    if not low <= value <= high:  # nan is not either
        raise ValueError(f"must be between {low:g} and {high:g}")
    return float(value)


def _pair(value: object, what: str, low: int, high: int) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"must be a list of two whole numbers, {what}")
    return _integer(value[0], low, high), _integer(value[1], low, high)


def _choice(value: object, choices: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be one of {', '.join(choices)}, not {_kind(value)}")
    if value not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}{_meant(value, choices)}")
    return value


def _meant(word: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(word[:64], choices, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a fraction", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


PROMPT_OPTIONS: Mapping[str, Callable[[object], Any]] = {
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
    return found


def prompt_problems(shot: Shot) -> dict[str, str]:
    """Field → what is wrong with what a shot's prompt says; needs the model's vocabulary."""
    if shot.clip is not None:
        return {}
    try:
        motion_options.understood(shot.prompt, seconds=shot.seconds, weights=str(shot.weights or ""))
    except MotionQueueError as error:
        field = next(iter(error.details), "prompt")
        return {field if field in ("seconds", "weights") and getattr(shot, field) is not None else "prompt": str(error)}
    return {}


def files_of(shot: Shot) -> dict[str, Path]:
    """Field → file that a shot reads."""
    paths = {"clip": shot.clip, "character": shot.character, "scene": shot.scene}
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


class _Check:
    """Walks one document and collects mistakes."""

    def __init__(self, places: Places, folder: Path, check_files: bool) -> None:
        self.places = places
        self.folder = folder
        self.check_files = check_files
        self.mistakes: list[Mistake] = []
        self._seen: dict[Path, str] = {}

    def wrong(self, offset: int, path: str, message: str) -> None:
        self.mistakes.append(self.places.mistake(offset, path, message))

    def document(self, root: Node) -> tuple[Shot, ...]:
        """The shots; of one with variations only the first: `varied` makes the others."""
        members = self.members(root, "$", ("$schema", "version", "defaults", "jobs"), ("version", "jobs"))
        if members is None:
            return ()
        if "$schema" in members:
            self.value(members["$schema"], "$['$schema']", _read_schema)
        if "version" in members:
            self.value(members["version"], "$.version", _read_version)
        defaults: dict[str, _Given] = {}
        if "defaults" in members:
            defaults = self.given(members["defaults"], "$.defaults", OPTIONS, ())
        if "jobs" not in members:
            return ()
        node = members["jobs"]
        if not isinstance(node.value, list):
            self.wrong(node.offset, "$.jobs", f"must be a list of jobs, not {_kind(plain(node))}")
            return ()
        if not 1 <= len(node.value) <= MAX_JOBS:
            self.wrong(node.offset, "$.jobs", f"has {len(node.value):,} jobs; between 1 and {MAX_JOBS:,} are allowed")
            return ()
        return tuple(
            shot for index, job in enumerate(node.value) if (shot := self.job(job, f"$.jobs[{index}]", defaults)) is not None
        )

    def job(self, node: Node, path: str, defaults: Mapping[str, _Given]) -> Shot | None:
        before = len(self.mistakes)
        own = self.given(node, path, JOB_FIELDS, ())
        if isinstance(node.value, dict):
            self.one_motion(node, path, node.value)
        if len(self.mistakes) > before or not {"clip", "prompt"} & set(own):
            return None
        is_prompt = "prompt" in own
        usable = applicable(OPTIONS, to_prompt=is_prompt)
        for name in own.keys() & (OPTIONS.keys() - usable):
            self.wrong(own[name].offset, own[name].path, f"is only for {'clips' if is_prompt else 'prompts'}")
        if len(self.mistakes) > before:
            return None
        # Defaults may be there for jobs of the other kind.
        merged = {**{name: given for name, given in defaults.items() if name in usable}, **own}
        shot = Shot(**{name: given.value for name, given in merged.items()})
        shot = replace(
            shot,
            clip=self.folder / shot.clip if shot.clip is not None else None,
            character=self.folder / shot.character if shot.character is not None else None,
            scene=self.folder / shot.scene if shot.scene is not None else None,
            weights=self.folder / shot.weights if shot.weights is not None else None,
        )
        found = problems(shot)
        if self.check_files:
            found |= self.files(shot) | prompt_problems(shot)
        for name, message in found.items():
            # A mistake in a default is reported where it stands, once for each job it spoils would only be noise.
            given = merged[name]
            if not any(m.path == given.path and m.message == message for m in self.mistakes[-64:]):
                self.wrong(given.offset, given.path, message)
        return shot

    def one_motion(self, node: Node, path: str, members: Mapping[str, Node]) -> None:
        given = [name for name in ("clip", "prompt") if name in members]
        if not given:
            self.wrong(node.offset, path, "`clip` or `prompt` is missing")
        elif len(given) > 1:
            self.wrong(members["prompt"].key_offset, f"{path}.prompt", "stands beside `clip`; a job has one of both")

    def files(self, shot: Shot) -> dict[str, str]:
        """`file_problems`, asking the disk once for each file however many jobs read it."""
        found: dict[str, str] = {}
        paths = files_of(shot)
        if not self._seen.keys() >= set(paths.values()):
            answers = file_problems(shot)
            self._seen.update({path: answers.get(name, "") for name, path in paths.items()})
        for name, path in paths.items():
            if self._seen[path]:
                found[name] = self._seen[path]
        return found

    def given(
        self, node: Node, path: str, readers: Mapping[str, Callable[[object], Any]], required: Sequence[str]
    ) -> dict[str, _Given]:
        members = self.members(node, path, tuple(readers), required)
        values: dict[str, _Given] = {}
        for name, member in (members or {}).items():
            if name in readers:
                where = located_json.step(path, name)
                ok, value = self.value(member, where, readers[name])
                if ok:
                    values[name] = _Given(value, member.offset, where)
        return values

    def members(self, node: Node, path: str, known: Sequence[str], required: Sequence[str]) -> dict[str, Node] | None:
        if not isinstance(node.value, dict):
            self.wrong(node.offset, path, f"must be an object, not {_kind(plain(node))}")
            return None
        for name, member in node.value.items():
            if name not in known:
                self.wrong(member.key_offset, located_json.step(path, name[:64]), f"is no known field{_meant(name, known)}")
        for name in required:
            if name not in node.value:
                self.wrong(node.offset, path, f"`{name}` is missing")
        return node.value

    def value(self, node: Node, path: str, read: Callable[[object], Any]) -> tuple[bool, Any]:
        try:
            return True, read(plain(node))
        except ValueError as error:
            self.wrong(node.offset, path, str(error))
            return False, None


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that a job or the defaults give, with its place."""

    value: Any
    offset: int
    path: str


def _read_version(value: object) -> int:
    if isinstance(value, bool) or value != 1:
        raise ValueError(
            "must be 1, the only format there is"
            if not isinstance(value, int) or value < 2
            else "is newer than this program: update it"
        )
    return 1


def _read_schema(value: object) -> str:
    if not isinstance(value, str) or len(value) > 4096:
        raise ValueError("must be text of at most 4096 characters")
    return value


def plain(node: Node) -> Any:
    """A node without its places: what `json.loads` gives."""
    if isinstance(node.value, dict):
        return {name: plain(member) for name, member in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value
