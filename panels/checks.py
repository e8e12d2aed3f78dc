# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said of a new shot before it is queued, and what it will be called and where it will go. Plain values in and out.

The panel shows what is wrong as it is filled in; submitting asks the same functions, so that both say the same. What needs the
disk is asked apart (`disk_problems`), never while something is drawn.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from ..backends.deliver import folder_name
from ..backends.generate import options as motion_options
from ..backends.published import model as published
from ..backends.published.model import Which
from ..queue.errors import MotionQueueError

MOST_LINES = 10_000  # of a shot list, and clips of a folder
CLIP_SUFFIX = ".bvh"
CHARACTER_SUFFIXES = (".blend", ".fbx", ".glb", ".gltf")
_FIELDS = re.compile(r"\{(scene|shot|take|version)\}")
_BRACES = re.compile(r"\{[^{}]*\}?|\}")
_LEAST_FREE = 200 * 1024 * 1024  # bytes on the output's disk


class Source(StrEnum):
    PROMPT = "PROMPT"
    CLIP = "CLIP"
    FOLDER = "FOLDER"
    LIST = "LIST"


class Character(StrEnum):
    SELECTED = "SELECTED"
    BUILTIN = "BUILTIN"
    FILE = "FILE"


class Length(StrEnum):
    MOTION = "MOTION"
    SECONDS = "SECONDS"
    SCENE = "SCENE"
    PREVIEW = "PREVIEW"


class Armature(NamedTuple):
    """What the checks ask of the armature that is selected."""

    name: str
    bones: int = 1
    edited: bool = False  # it is in edit mode: its bones are not what they were
    missing: bool = False  # linked from a library that is not there


class Facts(NamedTuple):
    """What the checks ask of the file and the scene."""

    blend: str = ""  # path of the .blend; empty: never saved
    scene: str = "Scene"
    has_camera: bool = True
    engine: str = "workbench"  # as the queue calls it; empty: one it does not know
    engine_id: str = "BLENDER_WORKBENCH"  # as Blender calls it
    armature: Armature | None = None  # the selected one
    fps: float = 24.0
    frames: tuple[int, int] = (1, 250)
    preview: tuple[int, int] | None = None  # None: switched off
    unbaked: tuple[str, ...] = ()  # simulations in the scene whose cache is not on disk
    text: str | None = None  # the shot list's content; None: there is no such text
    models: tuple[Which, ...] = ()  # published models that are set on this machine


class Draft(NamedTuple):
    """A new shot as it was filled in. Paths are absolute; `output` is the template as it was written.

    A tuple, as are its facts: one is made and compared with the last one for every draw of its panel.
    """

    source: Source = Source.PROMPT
    prompt: str = ""
    model: Which | None = None  # a published one; None: the built-in model
    clip: str = ""
    folder: str = ""
    text: str = ""  # name of the text datablock
    name: str = ""
    character: Character = Character.SELECTED
    character_file: str = ""
    armature: str = ""
    length: Length = Length.MOTION
    seconds: float = 4.0
    seed: int = 1
    takes: int = 1
    priority: int = 50
    scene_rate: bool = True
    render: bool = False
    deliver: bool = True
    output: str = ""
    facts: Facts = Facts()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `field` is the property that it is about."""

    field: str
    message: str
    missing: bool = False  # something is not filled in yet, which is no mistake


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a shot list: a prompt, or the path of a clip."""

    number: int  # 1-based
    prompt: str = ""
    clip: str = ""


def problems(draft: Draft) -> tuple[Problem, ...]:
    """All that keeps the shot from being queued and can be seen without the disk, most important first. Quick."""
    found = [
        *_of_source(draft),
        *_of_model(draft),
        *_of_character(draft),
        *_of_length(draft),
        *_of_render(draft),
        *_of_output(draft),
    ]
    return tuple(found)


def _of_source(draft: Draft) -> Iterable[Problem]:
    if draft.source is Source.PROMPT:
        if problem := prompt_problem(draft.prompt, _asked_seconds(draft), draft.model):
            yield Problem("prompt", problem, missing=not draft.prompt.strip())
    elif draft.source is Source.CLIP:
        if not draft.clip:
            yield Problem("clip", "Choose a BVH file.", missing=True)
        elif not draft.clip.lower().endswith(CLIP_SUFFIX):
            yield Problem("clip", f"{Path(draft.clip).name} is no BVH file.")
        elif not is_whole(draft.clip):
            yield Problem("clip", "A path that begins with // needs a saved file. Save the .blend first.")
    elif draft.source is Source.FOLDER:
        if not draft.folder:
            yield Problem("folder", "Choose a folder with BVH files.", missing=True)
        elif not is_whole(draft.folder):
            yield Problem("folder", "A path that begins with // needs a saved file. Save the .blend first.")
    elif draft.facts.text is None:
        said = "Choose a text with one prompt or clip a line." if not draft.text else "That text is gone."
        yield Problem("text", said, missing=not draft.text)
    else:
        yield from _of_list(draft)


def _of_model(draft: Draft) -> Iterable[Problem]:
    if draft.model is not None and draft.source in (Source.PROMPT, Source.LIST) and draft.model not in draft.facts.models:
        yield Problem(
            "model",
            f"{draft.model.label} is not set up on this machine. `mq.py models set {draft.model}` says where it is; "
            "the preferences show how it stands.",
        )


def _of_list(draft: Draft) -> Iterable[Problem]:
    lines = shot_list(draft.facts.text or "", draft.facts.blend)
    if not lines:
        yield Problem("text", "The text has no shot: write one prompt or clip a line.")
    if len(lines) * draft.takes > MOST_LINES:
        yield Problem("text", f"These are more than {MOST_LINES:,} shots. Split the text.")
        return
    wrong = [line for line in lines if line.clip and not is_whole(line.clip)]
    if wrong:
        yield Problem("text", f"Line {wrong[0].number}: a relative path needs a saved file. Save the .blend first.")
    seconds = _asked_seconds(draft)
    bad = ((line, said) for line in lines if line.prompt and (said := prompt_problem(line.prompt, seconds, draft.model)))
    if (first := next(bad, None)) is not None:
        yield Problem("text", f"Line {first[0].number}: {first[1]}")


def prompt_problem(prompt: str, seconds: float | None, model: Which | None = None) -> str:
    """Why the model can do nothing with a prompt; empty when it can. Milliseconds."""
    if not prompt.strip():
        return "Say what the character does."
    if model is not None:
        # It gets the words as they are: nobody can say beforehand which of them it understands.
        asked = {"prompt": prompt} if seconds is None else {"prompt": prompt, "seconds": seconds}
        wrong = published.validate(asked, model)
        return "; ".join(f"{name} {why}" for name, why in wrong.items()).capitalize() + "." if wrong else ""
    return _read(prompt, seconds).problem


def prompt_note(draft: Draft) -> str:
    """What the built-in model will not use of a draft's prompt with which it can do something; empty when it uses all."""
    return _read(draft.prompt, _asked_seconds(draft)).note if draft.prompt.strip() else ""


class _Read(NamedTuple):
    """What the built-in model makes of a prompt: one of the two, or neither."""

    problem: str = ""
    note: str = ""


_read_prompts: dict[tuple[str, float | None], _Read] = {}
_MOST_READ = 12_000


def _read(prompt: str, seconds: float | None) -> _Read:
    key = (prompt, seconds)
    if (known := _read_prompts.get(key)) is not None:
        return known
    try:
        timeline = motion_options.understood(prompt, seconds=seconds)
    except MotionQueueError as error:
        if error.code.startswith("weights_"):
            return _Read(error.message)  # may be mended while this Blender runs
        unused = error.details.get("unmatched", "")
        found = _Read(
            f"Nothing in it is a motion that is known{f' (not understood: {unused})' if unused else ''}."
            if error.code == "prompt_not_understood"
            else error.message
        )
    else:
        parts = []
        if timeline.unmatched:
            parts.append(f"Not used: {', '.join(timeline.unmatched[:8])}")
        if timeline.corrected:
            parts.append("Read as: " + ", ".join(f"{a} → {b}" for a, b in timeline.corrected[:8]))
        found = _Read(note=". ".join(parts))
    if len(_read_prompts) >= _MOST_READ:
        _read_prompts.clear()
    _read_prompts[key] = found
    return found


def _of_character(draft: Draft) -> Iterable[Problem]:
    if draft.character is Character.FILE:
        if not draft.character_file:
            yield Problem("character_file", "Choose a character file.", missing=True)
        elif not draft.character_file.lower().endswith(CHARACTER_SUFFIXES):
            yield Problem("character_file", f"A character is one of {', '.join(CHARACTER_SUFFIXES)}.")
        elif not is_whole(draft.character_file):
            yield Problem("character_file", "A path that begins with // needs a saved file. Save the .blend first.")
        return
    if draft.character is not Character.SELECTED:
        return
    armature = draft.facts.armature
    if armature is None:
        yield Problem("character", "No armature is selected. Select one, or take the built-in character.", missing=True)
    elif armature.missing:
        yield Problem("character", f"{armature.name} comes from a library file that is missing.")
    elif not armature.bones:
        yield Problem("character", f"{armature.name} has no bones.")
    elif armature.edited:
        yield Problem("character", f"{armature.name} is in edit mode. Leave it first.")


def _of_length(draft: Draft) -> Iterable[Problem]:
    if draft.length is Length.PREVIEW and draft.facts.preview is None:
        yield Problem("length", "The scene has no preview range.")
        return
    span = frame_range(draft)
    if span is not None and draft.source in (Source.PROMPT, Source.LIST):
        seconds = (span[1] - span[0] + 1) / draft.facts.fps
        low, high = motion_options.MIN_SECONDS, motion_options.MAX_SECONDS
        if draft.model is not None:
            low, high = published.MIN_SECONDS, draft.model.max_seconds
        if not low <= seconds <= high:
            yield Problem("length", f"The range is {seconds:.1f} s long; a prompt's motion has {low:g} to {high:g} s.")


def _of_render(draft: Draft) -> Iterable[Problem]:
    if not draft.render:
        return
    facts = draft.facts
    if not facts.engine:
        name = facts.engine_id.replace("BLENDER_", "").replace("_", " ").title()
        yield Problem("render", f"{name} cannot render in the queue. Choose Workbench, EEVEE or Cycles.")
    if draft.character is Character.SELECTED:
        if not facts.has_camera:
            yield Problem("render", f"The scene {facts.scene} has no camera.")
        if facts.unbaked:
            names = ", ".join(facts.unbaked[:4])
            yield Problem("render", f"Simulations are not baked to disk: {names}. Bake them, so that every frame has them.")


def _of_output(draft: Draft) -> Iterable[Problem]:
    if not draft.deliver:
        return
    if not draft.output:
        yield Problem("output", "Say where the results go.")
        return
    unknown = [brace for brace in _BRACES.findall(draft.output) if not _FIELDS.fullmatch(brace)]
    if unknown:
        yield Problem(
            "output", f"{unknown[0]} is nothing that can be filled in: there are {{scene}}, {{shot}}, {{take}}, {{version}}."
        )
    elif draft.output.startswith("//") and not draft.facts.blend:
        yield Problem(
            "output", "The output lies beside the .blend, which was never saved. Save it, or give a whole path.", missing=True
        )
    elif not draft.output.startswith("//") and not Path(draft.output).is_absolute():
        yield Problem("output", "The output must begin with // or be a whole path.")


def disk_problems(draft: Draft) -> tuple[Problem, ...]:
    """What only the disk tells: files that are not there, no space. May wait for a network disk."""
    found = []
    if draft.source is Source.CLIP and draft.clip and not Path(draft.clip).is_file():
        found.append(Problem("clip", f"There is no file {draft.clip}."))
    if draft.source is Source.FOLDER and draft.folder:
        if not Path(draft.folder).is_dir():
            found.append(Problem("folder", f"There is no folder {draft.folder}."))
        elif not clips_in(draft.folder):
            found.append(Problem("folder", "The folder has no BVH file."))
    if draft.character is Character.FILE and draft.character_file and not Path(draft.character_file).is_file():
        found.append(Problem("character_file", f"There is no file {draft.character_file}."))
    if draft.deliver and (problem := _space_problem(draft)):
        found.append(Problem("output", problem))
    return tuple(found)


def _space_problem(draft: Draft) -> str:
    folder = output_place(draft, "shot", 1)[0]
    if not folder:
        return ""
    there = Path(folder)
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return f"{there} cannot be looked at ({error.strerror or error})."
    if not os.access(there, os.W_OK):
        return f"{there} may not be written to."
    return "" if free >= _LEAST_FREE else f"Only {free >> 20} MB are free where the results go."


# What a shot becomes


def frame_range(draft: Draft) -> tuple[int, int] | None:
    """First and last frame of the scene that are asked for; None: the motion's own length, or seconds."""
    if draft.length is Length.SCENE:
        return draft.facts.frames
    return draft.facts.preview if draft.length is Length.PREVIEW else None


def _asked_seconds(draft: Draft) -> float | None:
    return draft.seconds if draft.length is Length.SECONDS else None


def motion_seconds(draft: Draft) -> float | None:
    """Length of a prompt's motion; None: what the prompt says."""
    span = frame_range(draft)
    return _asked_seconds(draft) if span is None else (span[1] - span[0] + 1) / draft.facts.fps


def shot_list(text: str, blend: str = "") -> tuple[Line, ...]:
    """The shots of a text: a line that ends in .bvh is a clip, any other a prompt; # begins a comment."""
    found = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.lower().endswith(CLIP_SUFFIX):
            found.append(Line(number, clip=beside(line, blend)))
        else:
            found.append(Line(number, prompt=line))
    return tuple(found)


def beside(path: str, blend: str) -> str:
    """A path as Blender means it: `//` and relative ones begin at the .blend. As it is where that was never saved."""
    if path.startswith("//"):
        path = path[2:]
        return str(Path(blend).parent / path) if blend else f"//{path}"
    path = str(Path(path).expanduser())
    return str(Path(blend).parent / path) if blend and not Path(path).is_absolute() else path


def is_whole(path: str) -> bool:
    """Whether a path says all of where a file is; `//` of a file that was never saved does not."""
    return Path(path).is_absolute() and not path.startswith("//")


def clips_in(folder: str) -> tuple[str, ...]:
    """The BVH files of a folder by name, at most MOST_LINES. Empty where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.lower().endswith(CLIP_SUFFIX) and entry.is_file()]
    except OSError:
        return ()  # the check of the disk says why
    return tuple(str(Path(folder) / name) for name in sorted(names)[:MOST_LINES])


def shot_name(draft: Draft, *, prompt: str = "", clip: str = "") -> str:
    """What a shot is called in the list."""
    if draft.name:
        return draft.name
    return motion_options.label_of(prompt) if prompt else Path(clip).stem


def output_place(draft: Draft, shot: str, take: int, taken: Mapping[str, Sequence[str]] | None = None) -> tuple[str, str]:
    """Folder, and name of the shot's own folder in it; ("", name) where nothing is delivered.

    `{version}` is the first whose folder is neither there nor in `taken` (folder → names). Looks at the disk.
    """
    if not draft.deliver:
        return "", folder_name(shot)
    scene = folder_name(draft.facts.scene)
    template = draft.output or "{shot}"
    if not _FIELDS.search(template.rpartition("/")[2]):
        template = f"{template.rstrip('/')}/{{shot}}"
    values = {"scene": scene, "shot": folder_name(shot), "take": f"{take:02d}"}
    filled = _FIELDS.sub(lambda m: values.get(m[1], m[0]), template)
    whole = Path(beside(filled, draft.facts.blend))
    parent, name = whole.parent, whole.name
    if "{version}" in str(parent):
        parent = Path(str(parent).replace("{version}", "001"))
    if "{version}" not in name:
        return str(parent), name
    there = {*_names(parent), *((taken or {}).get(str(parent), ()))}
    version = 1
    while (made := name.replace("{version}", f"{version:03d}")) in there:
        version += 1
    return str(parent), made


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()  # not there yet: every name is free
