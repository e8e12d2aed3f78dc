# SPDX-License-Identifier: GPL-3.0-or-later
"""The one engine of this Blender: started on request, never by itself in the background, ended on unregister.

Knows when an engine may run here and where its state lies; must not know what the panels show. Only this file and what is
registered from it touch bpy, inside functions.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..app import App

CHILD_VARIABLE = "MOTION_QUEUE_CHILD"  # set for every child that the queue starts: the extension does nothing in those

_app: App | None = None


def register() -> None:
    """Called when the extension is switched on. Starts nothing: a background Blender and a child stay as they are."""


def unregister() -> None:
    """Called when the extension is switched off and on a normal quit. Running work goes back to the queue."""
    stop()


def inert() -> bool:
    """Whether this Blender is one of the queue's own children, in which no engine may run."""
    return os.environ.get(CHILD_VARIABLE) == "1"


def start() -> App:
    """The engine of this Blender, opened on the first call.

    Raises `MotionQueueError` child_is_inert, or why the state folder cannot be used.
    """
    global _app  # noqa: PLW0603 (there is one engine for each Blender)
    if inert():
        from ..queue.errors import MotionQueueError  # noqa: PLC0415 (as below)

        raise MotionQueueError(
            "child_is_inert", "This Blender was started by the queue to do its work; it cannot run a queue of its own."
        )
    if _app is None:
        from ..app import App, Settings  # noqa: PLC0415 (an extension that is only switched on costs nothing)

        _app = App.claim(Settings(state_dir=state_dir(), low_priority=not _in_background()))
    return _app


def stop() -> None:
    """Close the engine, when there is one."""
    global _app
    if _app is not None:
        app, _app = _app, None
        app.close()


def state_dir() -> Path:
    """Where the queues of this user's Blenders are, one folder each.

    MOTION_QUEUE_STATE, else the extension's user folder, else the user's state directory.
    """
    from ..persistence.state import resolve  # noqa: PLC0415

    return resolve(extension=_extension_folder())


def _extension_folder() -> Path | None:
    package = __package__.rpartition(".")[0]
    if not package.startswith("bl_ext."):
        return None  # loaded by path or installed as a plain package: Blender has no folder for that
    import bpy  # noqa: PLC0415

    return Path(bpy.utils.extension_path_user(package, path="state", create=True))


def _in_background() -> bool:
    import bpy  # noqa: PLC0415

    return bool(bpy.app.background)
