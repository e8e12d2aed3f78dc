# SPDX-License-Identifier: GPL-3.0-or-later
"""What was typed for `run`, as checked `Shot` values, and the folder for their results. Standard library only."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from .. import jobs_file
from ..jobs_file import Shot
from . import arguments
from .exit_codes import InputError

_OPTIONS = (*jobs_file.OPTIONS,)


def shots_of(args: Namespace) -> tuple[Shot, ...]:
    """The shots that were asked for, checked as far as that goes without opening a Blender. Raises `MotionQueueError`."""
    given = {name: value for name in _OPTIONS if (value := getattr(args, name, None)) is not None}
    if args.jobs is not None:
        if args.clips:
            raise InputError("arguments_conflict", "Give clips or --jobs, not both: add the clips to the jobs file.")
        if given:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise InputError(
                "arguments_conflict", f"{flags}: with --jobs the options of a shot stand in the jobs file (see its `defaults`)."
            )
        return jobs_file.load(args.jobs)
    if not args.clips:
        raise InputError(
            "clip_missing", "Name at least one clip (a BVH file), or a jobs file with --jobs. `mq.py run --help` has examples."
        )
    prompts = arguments.unknown_words(args.clips)
    if prompts:
        raise InputError(
            "prompt_not_supported",
            f"{prompts[0]!r} is neither an existing path nor a name that ends in .bvh, so it is a prompt, and motion "
            "from a prompt is not available yet. Give a BVH file.",
        )
    shots = tuple(replace(Shot(clip=Path(clip).absolute()), **given) for clip in args.clips)
    wrong: list[str] = []
    for shot in shots:
        wrong += [
            f"--{name}: {text}" if name != "clip" else text
            for name, text in {**jobs_file.problems(shot), **jobs_file.file_problems(shot)}.items()
        ]
    if wrong:
        code = "input_unreadable" if not any(jobs_file.problems(shot) for shot in shots) else "arguments_conflict"
        raise InputError(code, "\n".join(dict.fromkeys(wrong)))
    return tuple(
        replace(
            shot,
            character=shot.character.absolute() if shot.character else None,
            scene=shot.scene.absolute() if shot.scene else None,
        )
        for shot in shots
    )


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
