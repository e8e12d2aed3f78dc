# SPDX-License-Identifier: GPL-3.0-or-later
"""All that Blender is told of the extension, in one list: classes, handlers, the timer; and how it is taken back.

Every module named here has CLASSES, and may have `register()` and `unregister()` for what are no classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ..panels import carried, details, job_list, menu, preferences, properties, redraw, shot, status_bar
from . import apply, draft_watch, jobs, look, mirror, session, setup, submit

# In this order, and back: what others refer to comes first.
MODULES: tuple[ModuleType, ...] = (
    preferences,
    properties,
    submit,
    jobs,
    look,
    setup,
    apply,
    mirror,
    carried,
    job_list,
    menu,
    shot,
    details,
    draft_watch,
)

_FIRST = 0.1  # seconds
_registered: list[ModuleType] = []


def classes() -> Sequence[type]:
    """Every class that Blender knows while the extension is on."""
    return [each for module in MODULES for each in module.CLASSES]


def register() -> None:
    """All of it, or nothing and the error."""
    try:
        for module in MODULES:
            _registered.append(module)
            for each in module.CLASSES:
                bpy.utils.register_class(each)
            if hasattr(module, "register"):
                module.register()
        for name, handler in _HANDLERS:
            getattr(bpy.app.handlers, name).append(handler)
        bpy.app.timers.register(session.tick, first_interval=_FIRST, persistent=True)
    except BaseException:
        unregister()
        raise


def unregister() -> None:
    """Whatever of it is there."""
    if bpy.app.timers.is_registered(session.tick):
        bpy.app.timers.unregister(session.tick)
    for name, handler in _HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if handler in handlers:
            handlers.remove(handler)
    status_bar.clear()
    redraw.forget()
    while _registered:
        module = _registered.pop()
        if hasattr(module, "unregister"):
            module.unregister()
        for each in reversed(module.CLASSES):
            if each.is_registered:
                bpy.utils.unregister_class(each)


def hasten(seconds: float) -> None:
    """Let the timer tick in so long, however long it wanted to sleep."""
    if bpy.app.timers.is_registered(session.tick):
        bpy.app.timers.unregister(session.tick)
    bpy.app.timers.register(session.tick, first_interval=seconds, persistent=True)


@persistent
def _after_load(*_: Any) -> None:
    """Another file brings another window manager, with lists of its own."""
    status_bar.clear()
    session.changed()


@persistent
def _after_undo(*_: Any) -> None:
    """Undo changes what a shot would be made of (the armature, the scene), never the queue."""
    session.changed()


_HANDLERS = (("load_post", _after_load), ("undo_post", _after_undo), ("redo_post", _after_undo))
