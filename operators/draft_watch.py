# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches the new shot while it is filled in: what only the disk tells of it is asked for on the worker, once it changes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import bpy

from ..panels import checks, facts, snapshot
from ..panels.checks import Draft, Source
from ..panels.snapshot import DraftCheck
from ..queue.errors import MotionQueueError
from . import session

CLASSES: tuple[type, ...] = ()

_EVERY = 0.25  # seconds between two looks at what is filled in
_AGAIN = 3.0  # seconds after which the disk is asked once more while something is wrong

_asked: Draft | None = None
_asked_at = 0.0
_looked_at = 0.0


def look(_app: Any, _follower: Any) -> bool:
    """A ticker."""
    global _asked, _asked_at, _looked_at  # noqa: PLW0603 (there is one new shot)
    now = time.monotonic()
    if bpy.context.scene is None or now - _looked_at < _EVERY:
        return False
    _looked_at = now
    draft = facts.draft(bpy.context, with_text=False)  # a list's lines are checked where they are shown
    check = snapshot.current().draft_check
    mended = check is not None and bool(check.problems) and now - _asked_at > _AGAIN  # perhaps, in another window
    if draft == _asked and not mended:
        return False
    _asked, _asked_at = draft, now
    session.worker().run(lambda: examine(draft), _examined)
    return True


def forget() -> None:
    """Ask again, since something was queued: the next version has another number."""
    global _asked, _looked_at
    _asked, _looked_at = None, 0.0


def examine(draft: Draft) -> DraftCheck:
    """On the worker: no bpy."""
    clips = len(checks.clips_in(draft.folder)) if draft.source is Source.FOLDER and draft.folder else 0
    name = checks.shot_name(draft, prompt=draft.prompt if draft.source is Source.PROMPT else "", clip=draft.clip or "shot")
    folder, shot = checks.output_place(draft, name, 1)
    place = f"{folder}/{shot}" if folder else ""
    return DraftCheck(draft, checks.disk_problems(draft), place, clips)


def _examined(result: DraftCheck | None, error: MotionQueueError | None) -> None:
    if result is not None and error is None:
        snapshot.publish(replace(snapshot.current(), draft_check=result))


def register() -> None:
    forget()
    session.add_ticker(look)


def unregister() -> None:
    session.remove_ticker(look)
    forget()
