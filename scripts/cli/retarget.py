# SPDX-License-Identifier: GPL-3.0-or-later
"""`retarget`: one clip onto one character, written as FBX, .blend or BVH by the code that the queue's children run.

The clip is read here, the rest done in a Blender child. What was typed is checked with the standard library alone.
"""

from __future__ import annotations

import json
import shlex
import tempfile
import textwrap
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...backends import disk
from ...motion.travel import Travel
from ...queue.contract import Json
from ...queue.errors import MotionQueueError
from . import exit_codes
from .exit_codes import InputError
from .terminal import Terminal

_CHARACTERS = (".blend", ".fbx", ".glb", ".gltf")
_OUTPUTS = (".fbx", ".blend", ".bvh")
_COLUMNS = 80
_READ = 0.1  # of the time
_CAUSE_IN_THE_LOG = ("export_failed", "child_")  # beginnings of codes
_FOUND = {"words": "by words in names", "shape": "by shape alone", "given": "with the map that was given"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was typed, checked."""

    clip: Path
    character: Path | None  # None: the mannequin
    armature: str
    joint_map: Path | None
    foot_lock: bool
    hand_contacts: bool
    travel: Travel
    start: tuple[float, float] | None  # metres
    heading: float | None  # degrees
    fps: float | None  # None: the clip's own
    out: Path


def run(args: Namespace) -> int:
    """Run the command; its exit code."""
    asked_for = asked(args)
    _report(asked_for, _make(asked_for, args), as_json=args.json)
    return exit_codes.OK


def asked(args: Namespace) -> Asked:
    """What was asked for, checked as far as that goes without reading it. Raises `InputError`."""
    clips: list[Path] = args.clips
    characters: list[Path] = args.character or []
    if len(clips) > 1 or len(characters) > 1:
        words = [*map(str, clips), *(word for path in characters for word in ("--character", str(path)))]
        command = shlex.join(["mq.py", "run", *words, "--steps", "retarget", "--out", "DIR"])
        raise InputError("arguments_conflict", f"This puts one clip onto one character. Many go through the queue: `{command}`.")
    out: Path = args.out.absolute()
    if out.suffix.lower() not in _OUTPUTS or out.is_dir():
        raise InputError("arguments_conflict", f"--out {args.out}: must be a file whose name ends in {', '.join(_OUTPUTS)}.")
    character = characters[0].absolute() if characters else None
    if character is not None and character.suffix.lower() not in _CHARACTERS:
        raise InputError("file_kind_unknown", f"{character.name} is no character file. Use one of {', '.join(_CHARACTERS)}.")
    clip = clips[0].absolute()
    joint_map = args.map.absolute() if args.map is not None else None
    for path, what in ((clip, "clip"), (character, "--character"), (joint_map, "--map")):
        if path is None:
            continue
        if not path.is_file():
            raise InputError("input_missing", f"There is no file {path} ({what}). Check the path.")
        if out.exists() and out.samefile(path):
            raise InputError("arguments_conflict", f"--out {args.out}: is the {what} itself. Give the result another name.")
    return Asked(
        clip=clip,
        character=character,
        armature=args.armature or "",
        joint_map=joint_map,
        foot_lock=args.foot_lock is not False,
        hand_contacts=args.hand_contacts is True,
        travel=Travel(args.travel or Travel.HIPS),
        start=args.start,
        heading=args.heading,
        fps=args.fps,
        out=out,
    )


def _make(asked_for: Asked, args: Namespace) -> dict[str, Any]:
    """Write the result, beside and then in its place; what was done."""
    # Here and not above: they need numpy.
    from . import map_file  # noqa: PLC0415

    if asked_for.joint_map is not None:
        map_file.read(asked_for.joint_map)
    out = asked_for.out
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name[:60]}.", dir=out.parent, ignore_cleanup_errors=True) as name:
            made = Path(name) / f"made{out.suffix.lower()}"
            data = _retarget(asked_for, made, args)
            made.replace(out)
    except OSError as error:
        raise disk.problem(error, out.parent, f"{out.name} could not be written") or InputError(
            "output_not_writable", f"Cannot write {out}: {error.strerror or error}."
        ) from error
    return data


def _retarget(asked_for: Asked, made: Path, args: Namespace) -> dict[str, Any]:
    from ...backends.blender_find import find_blender  # noqa: PLC0415
    from ...backends.children import ChildPool, ChildSettings  # noqa: PLC0415
    from ...backends.protocol import ChildKind  # noqa: PLC0415

    settings = ChildSettings(blender=find_blender(args.blender or None))
    read, clip = _read(asked_for, made, as_json=args.json)
    context, pool = _Share(as_json=args.json, first=_READ, last=1.0), ChildPool(settings)
    try:
        data = pool.run(ChildKind.BLENDER, "backends.retarget.child:run", _arguments(asked_for, read, clip, made), context)
    except MotionQueueError as error:
        if error.code.startswith(_CAUSE_IN_THE_LOG):
            context.clear()
            context.explain()
        raise
    finally:
        context.clear()
        pool.close()
    return {**data, "seconds": read["seconds"], "notes": [*read["notes"], *data["notes"]]}


def _read(asked_for: Asked, made: Path, *, as_json: bool) -> tuple[dict[str, Any], Path]:
    """The clip as the queue would read it: what it is, and where it was written."""
    from ...backends.read import child as read  # noqa: PLC0415
    from ...motion.errors import MotionError  # noqa: PLC0415

    target = made.with_name("motion.bvh")
    context = _Share(as_json=as_json, first=0.0, last=_READ)
    arguments: dict[str, Any] = {"clip": str(asked_for.clip), "name": asked_for.clip.name, "target": str(target)}
    try:
        return read.run({**arguments, "fps": asked_for.fps, "frame_start": None, "frame_end": None}, context), target
    except MotionError as error:
        raise InputError(error.code, error.message, details=error.details) from error
    except MemoryError as error:
        raise InputError("out_of_memory", "There is not enough memory to read the clip. Split it, or close programs.") from error
    finally:
        context.clear()


def _arguments(asked_for: Asked, read: Mapping[str, Any], clip: Path, made: Path) -> dict[str, Json]:
    return {
        "clip": str(clip),
        "character": str(asked_for.character or ""),
        "armature": asked_for.armature,
        "fps": read["fps"],
        "name": asked_for.clip.stem,
        **{kind: str(made) if made.suffix == f".{kind}" else "" for kind in ("blend", "fbx", "bvh")},
        "map": str(asked_for.joint_map or ""),
        "foot_lock": asked_for.foot_lock,
        "hand_contacts": asked_for.hand_contacts,
        "travel": str(asked_for.travel),
        "start": None if asked_for.start is None else list(asked_for.start),
        "heading": asked_for.heading,
    }


class _Share(Terminal):
    """A part of the whole: its progress goes from `first` to `last`."""

    def __init__(self, *, as_json: bool, first: float, last: float) -> None:
        super().__init__(as_json=as_json)
        self._first, self._last = first, last

    def progress(self, fraction: float, stage: str = "", data: Mapping[str, Json] | None = None) -> None:
        super().progress(self._first + (self._last - self._first) * fraction, stage, data)


def _report(asked_for: Asked, data: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": "retargeted", "path": str(asked_for.out), **data}, ensure_ascii=False), flush=True)
        return
    character = "the mannequin" if asked_for.character is None else asked_for.character.name
    lines = [
        f"{data['frames']} frames at {data['fps']:g} a second, {data['seconds']:g} s.",
        f"{data['mapped']} of the {data['bones']} bones of {data['armature']} move; the path is scaled by {data['scale']:.4g}.",
        f"{asked_for.clip.name}: {_how(data['source'])}.",
        f"{character}: {_how(data['target'])}.",
        *data["notes"],
    ]
    print(asked_for.out)
    for line in lines:
        print(textwrap.fill(line, _COLUMNS, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False))


def _how(found: Mapping[str, Any]) -> str:
    """How a body was found, and the joint of it that is least sure."""
    how = _FOUND.get(found["preset"], f"by names, as {found['preset']} has them")
    sure = "all sure" if found["confidence"] >= 1.0 else f"least sure {found['least']} ({100 * found['confidence']:.0f} %)"
    return f"found {how}, {sure}"
