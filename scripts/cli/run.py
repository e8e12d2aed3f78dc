# SPDX-License-Identifier: GPL-3.0-or-later
"""`run` and `resume`: from what was typed to jobs in the queue, and watching them until they are over.

Also what `scripts/batch.py` runs inside a Blender. Talks to the engine through `session` alone.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from .. import jobs_file
from ..jobs_file import Shot
from . import arguments, exit_codes
from .display import Display, Row, make_display
from .exit_codes import InputError
from .session import Session, SessionSettings

_OPTIONS = ("character", "armature", "scene", "camera", "engine", "device", "samples", "resolution", "fps", "frames", "steps")
_OPTIONS_AND_REST = (*_OPTIONS, "priority", "trust_scripts")


def run(args: Namespace) -> int:
    """Queue what was asked for and watch it. Everything is checked before anything is started."""
    shots = _shots(args)
    out = _output_folder(args.out)
    folders = output_folders(shots, out)
    display = make_display(sys.stdout, as_json=args.json)
    with _Interrupts() as interrupts, Session(_settings(args, jobs=len(shots))) as session:
        for note in session.notes():
            display.note(note)
        session.submit(list(zip(shots, folders, strict=True)))
        return _watch(session, display, interrupts, args)


def resume(args: Namespace) -> int:
    """Go on with what a state folder holds that is not finished."""
    state = args.state or arguments.default_state()
    if not state.is_dir():
        raise InputError("state_missing", f"There is no state folder {state}: nothing to resume. `--state DIR` names another one.")
    display = make_display(sys.stdout, as_json=args.json)
    with _Interrupts() as interrupts, Session(_settings(args)) as session:
        for note in session.notes():
            display.note(note)
        if session.adopt_unfinished() == 0:
            display.note(f"Nothing to resume: every job in {state} is finished.")
            return exit_codes.OK
        return _watch(session, display, interrupts, args)


def output_folders(shots: Sequence[Shot], out: Path) -> list[Path]:
    """A folder for each shot, named by it; equal names get a number."""
    taken: set[str] = set()
    folders: list[Path] = []
    for shot in shots:
        base = _folder_name(shot.name)
        name, number = base, 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name.casefold())
        folders.append(out / name)
    return folders


def _folder_name(label: str) -> str:
    """A label as the name of a folder on any system: no separators, no leading dot, of bounded length."""
    kept = "".join(char if char.isalnum() or char in " ._-+()" else "_" for char in label).strip(" .")
    encoded = kept.encode("utf-8")[:120]
    return encoded.decode("utf-8", "ignore").strip(" .") or "shot"


def _shots(args: Namespace) -> tuple[Shot, ...]:
    given = {name: value for name in _OPTIONS_AND_REST if (value := getattr(args, name, None)) is not None}
    if args.jobs is not None:
        if args.clips:
            raise InputError("arguments_conflict", "Give clips or --jobs, not both: add the clips to the jobs file.")
        if given:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise InputError("arguments_conflict", f"{flags}: with --jobs the options of a shot stand in the jobs file (see its `defaults`).")
        return jobs_file.load(args.jobs)
    if not args.clips:
        raise InputError("clip_missing", "Name at least one clip (a BVH file), or a jobs file with --jobs. `mq.py run --help` has examples.")
    prompts = arguments.unknown_words(args.clips)
    if prompts:
        raise InputError(
            "prompt_not_supported",
            f"{prompts[0]!r} is neither an existing path nor a name that ends in .bvh, so it is a prompt, and motion from a prompt "
            "is not available yet. Give a BVH file.",
        )
    shots = tuple(replace(Shot(clip=Path(clip).absolute()), **given) for clip in args.clips)
    wrong: list[str] = []
    for shot in shots:
        wrong += [f"--{name}: {text}" if name != "clip" else text for name, text in {**jobs_file.problems(shot), **jobs_file.file_problems(shot)}.items()]
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


def _output_folder(out: Path) -> Path:
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


def _settings(args: Namespace, jobs: int = 0) -> SessionSettings:
    return SessionSettings(
        state_dir=(args.state or arguments.default_state()).absolute(),
        blender=args.blender or "",
        concurrency=args.concurrency,
        memory_mb=args.memory,
        max_crashes=args.max_crashes,
        jobs=jobs,
    )


def _watch(session: Session, display: Display, interrupts: _Interrupts, args: Namespace) -> int:
    """Show the jobs of this run until all are over, or until it is interrupted."""
    rows = session.rows
    shown: dict[str, Row] = {}
    while True:
        for row in session.changes(timeout=0.1):
            before = shown.get(row.id)
            shown[row.id] = row
            display.changed(row, before)
        if interrupts.asked or all(row.over for row in rows.values()):
            break
        display.tick(rows)
    unfinished = sum(not row.over for row in rows.values())
    if unfinished:
        session.close()
    display.close(rows)
    if unfinished:
        command = ["python3", str(Path("scripts") / "mq.py"), "resume", "--state", str(session.state_dir)]
        if args.blender:
            command += ["--blender", args.blender]
        display.note(f"Interrupted; {unfinished} unfinished. Go on with: {shlex.join(command)}")
        return exit_codes.INTERRUPTED
    return exit_codes.FAILED if any(row.bad for row in rows.values()) else exit_codes.OK


class _Interrupts:
    """Ctrl-C and SIGTERM ask once for a clean stop; the second time the process ends at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> _Interrupts:
        self._before = {number: signal.signal(number, self._caught) for number in self._signals()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @staticmethod
    def _signals() -> Iterator[signal.Signals]:
        yield signal.SIGINT
        yield signal.SIGTERM
        if sys.platform != "win32":
            yield signal.SIGHUP

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            with contextlib.suppress(OSError):  # a terminal that is gone cannot be told
                os.write(2, b"\nmq.py: stopped at once; `resume` goes on with what was taken into the queue.\n")
            os._exit(exit_codes.INTERRUPTED)
        self.asked = True
