# SPDX-License-Identifier: GPL-3.0-or-later
"""What was typed for `run`, as checked `Shot` values, and the folder for their results. Standard library only."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...backends.generate import options as motion_options
from ...backends.published import model as published
from ...queue.errors import MotionQueueError
from .. import jobs_file, prompts_file
from ..installed import installed
from ..shots import (
    CLIP_OPTIONS,
    MAX_SHOTS,
    OPTIONS,
    Shot,
    applicable,
    file_problems,
    problems,
    prompt_problems,
    understand,
    varied,
)
from . import arguments
from .exit_codes import InputError

_LONGEST_PART = 120  # characters of a label's halves; the whole may have 255


def shots_of(args: Namespace) -> tuple[Shot, ...]:
    """The shots that were asked for, checked as far as that goes without opening a Blender. Raises `MotionQueueError`."""
    given = {name: value for name in OPTIONS if (value := getattr(args, name, None)) is not None}
    prompts_path: Path | None = getattr(args, "prompts", None)
    if args.jobs is not None:
        if args.clips or prompts_path is not None:
            raise InputError("arguments_conflict", "Give clips and prompts or --jobs, not both: add them to the jobs file.")
        if given:
            raise InputError(
                "arguments_conflict",
                f"{_flags(given)}: with --jobs the options of a shot stand in the jobs file (see its `defaults`).",
            )
        return jobs_file.load(args.jobs)
    characters: Sequence[Path] = given.pop("character", ())
    words = arguments.unknown_words(args.clips)
    shots = [_shot(word, given, is_prompt=word in words) for word in args.clips]
    _check_prompts([shot for shot in shots if shot.clip is None])
    if prompts_path is not None:
        shots += _from_file(prompts_path, given)
    if not shots:
        raise InputError(
            "clip_missing",
            "Say what the character does, or name a clip (a BVH file) or a jobs file (--jobs). `mq.py run --help` has examples.",
        )
    shots = _onto(shots, characters)
    _check_options(shots, given)
    return varied(_absolute(shot) for shot in shots)


def output_folder(out: Path) -> Path:
    """The folder for results, made and tried. `InputError` when nothing can be written there."""
    out = out.absolute()
    probe = out / f".motion-queue-{os.getpid()}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise InputError("output_not_writable", f"Cannot write to the output folder {out}: {error.strerror or error}.") from error
    return out


def _shot(word: str, given: Mapping[str, Any], *, is_prompt: bool) -> Shot:
    usable = applicable(given, to_prompt=is_prompt)
    shot = Shot(prompt=word) if is_prompt else Shot(clip=Path(word))
    return replace(shot, **{name: value for name, value in given.items() if name in usable})


def _onto(shots: list[Shot], characters: Sequence[Path]) -> list[Shot]:
    """Every motion onto every character; with several, both are in the label."""
    if len(characters) < 2:
        return [replace(shot, character=character) for shot in shots for character in characters] or shots
    if len(shots) * len(characters) > MAX_SHOTS:
        raise InputError(
            "too_many_jobs",
            f"{len(shots):,} motions onto {len(characters):,} characters are more than {MAX_SHOTS:,} jobs. Ask for less at once.",
        )
    whole = [character.absolute() for character in characters]
    if twice := next((path for path in whole if whole.count(path) > 1), None):
        raise InputError("arguments_conflict", f"--character {twice}: is given twice. Leave one out.")
    clips = dict.fromkeys(shot.clip.absolute() for shot in shots if shot.clip is not None)
    called = _telling(list(clips)) | _telling(whole)
    return [
        replace(shot, character=path, label=f"{_called(shot, called)[:_LONGEST_PART]}_{called[path][:_LONGEST_PART]}")
        for shot in shots
        for path in whole
    ]


def _called(shot: Shot, names: Mapping[Path, str]) -> str:
    return shot.name if shot.clip is None else names[shot.clip.absolute()]


def _telling(paths: Sequence[Path]) -> dict[Path, str]:
    """The shortest names that tell files apart; by their numbers where nothing short does."""
    names: list[str] = []
    for name in (lambda p: p.stem, lambda p: p.name, lambda p: f"{p.parent.name}_{p.name}"):
        names = [name(path) for path in paths]
        if len({called.casefold() for called in names}) == len(names):
            break
    else:
        names = [f"{path.stem}_{i + 1}" for i, path in enumerate(paths)]
    return dict(zip(paths, names, strict=True))


def _check_prompts(shots: Sequence[Shot]) -> None:
    """Raise what is wrong with the first prompt of which nothing can be used, as its reader says it."""
    single_words = len(shots) > 1 and not any(" " in shot.prompt for shot in shots)
    for shot in shots:
        try:
            understand(shot)
        except MotionQueueError as error:
            if single_words and shot.published is None:
                hint = "If these words are one prompt, put them in quotes."
                raise InputError(error.code, f"{shot.prompt!r}: {error.message} {hint}") from error
            raise
    if single_words and (which := shots[0].published) is not None:
        # It would make something of each, where the built-in model's vocabulary tells that the quotes were forgotten.
        raise InputError(
            "arguments_conflict",
            f"Without quotes these are {len(shots)} prompts of one word each, and {which.label} makes something of any word. Put "
            "them in quotes if they are one prompt; give prompts of one word in a file (--prompts).",
        )


def _from_file(path: Path, given: Mapping[str, Any]) -> list[Shot]:
    # What is wrong with the model is said once and not of every line.
    if (which := _shot("", given, is_prompt=True).published) is not None:
        published.chosen(installed(), which)
    else:
        motion_options.vocabulary(str(given.get("weights") or ""))
    shots, wrong = [], []
    for line in prompts_file.load(path):
        shot = _shot(line.prompt, given, is_prompt=True)
        found = problems(shot).get("prompt", "") if which is not None else "\n".join(prompt_problems(shot).values())
        wrong += [f"{path.name}:{line.number}: {found}"] if found else []
        shots.append(shot)
    prompts_file.refuse(wrong)
    return shots


def _check_options(shots: Sequence[Shot], given: Mapping[str, Any]) -> None:
    """Options that fit none of the shots, or not each other, and files that cannot be read."""
    usable = set().union(*(applicable(given, to_prompt=shot.clip is None) for shot in shots))
    if idle := {name: value for name, value in given.items() if name not in usable}:
        kind = "clips" if set(idle) <= set(CLIP_OPTIONS) else "prompts"
        raise InputError("arguments_conflict", f"{_flags(idle)}: only for {kind}, and none is given.")
    wrong: list[str] = []
    together: dict[str, str] = {}
    for shot in shots:
        together |= (found := problems(shot))
        wrong += [_named(name, text) for name, text in (*found.items(), *file_problems(shot).items())]
    if wrong:
        raise InputError("arguments_conflict" if together else "input_unreadable", "\n".join(dict.fromkeys(wrong)))


def _named(name: str, text: str) -> str:
    """What is wrong, with the option that it is about."""
    return text if name == "clip" else f"The prompt {text}" if name == "prompt" else f"{_flags({name: text})}: {text}"


def _flags(options: Mapping[str, Any]) -> str:
    return ", ".join("--no-foot-lock" if name == "foot_lock" else "--" + name.replace("_", "-") for name in options)


def _absolute(shot: Shot) -> Shot:
    return replace(
        shot,
        **{
            name: path.absolute()
            for name in ("clip", "character", "scene", "map", "weights")
            if (path := getattr(shot, name)) is not None
        },
    )
