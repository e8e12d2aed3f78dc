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
from pathlib import Path
from types import FrameType

from ..installed import installed
from ..shots import Shot
from . import arguments, exit_codes
from .display import Display, Row, make_display
from .exit_codes import InputError
from .request import output_folder, shots_of
from .session import Session, SessionSettings


def run(args: Namespace) -> int:
    """Queue what was asked for and watch it. Everything is checked before anything is started."""
    shots = shots_of(args)
    _check_maps(shots)
    out = output_folder(args.out)
    display = make_display(sys.stdout, as_json=args.json)
    with _Interrupts() as interrupts, Session(_settings(args, jobs=len(shots))) as session:
        for note in session.notes():
            display.note(note)
        session.submit(shots, out)
        return _watch(session, display, interrupts, args)


def resume(args: Namespace) -> int:
    """Go on with what a state folder holds that is not finished."""
    state = args.state or arguments.default_state()
    if not state.is_dir():
        raise InputError(
            "state_missing", f"There is no state folder {state}: nothing to resume. `--state DIR` names another one."
        )
    display = make_display(sys.stdout, as_json=args.json)
    with _Interrupts() as interrupts, Session(_settings(args)) as session:
        for note in session.notes():
            display.note(note)
        if session.adopt_unfinished() == 0:
            display.note(f"Nothing to resume: every job in {state} is finished.")
            return exit_codes.OK
        return _watch(session, display, interrupts, args)


def _check_maps(shots: Sequence[Shot]) -> None:
    """Raise what is wrong with the first joint map that cannot be used, whatever the character."""
    paths = dict.fromkeys(shot.map for shot in shots if shot.map is not None)
    if paths:
        from . import map_file  # noqa: PLC0415 - it needs numpy

        for path in paths:
            map_file.read(path)


def _settings(args: Namespace, jobs: int = 0) -> SessionSettings:
    return SessionSettings(
        state_dir=(args.state or arguments.default_state()).absolute(),
        blender=args.blender or "",
        concurrency=args.concurrency,
        memory_mb=args.memory,
        max_crashes=args.max_crashes,
        jobs=jobs,
        torch_python=args.torch_python or "",
        published=installed(),
    )


def _watch(session: Session, display: Display, interrupts: _Interrupts, args: Namespace) -> int:
    """Show the jobs of this run until all are over, or until it is interrupted."""
    rows = session.rows
    shown: dict[str, Row] = {}
    display.tick(rows)
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
            # None: it was not set from Python (Blender sets its own) and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

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
