# SPDX-License-Identifier: GPL-3.0-or-later
"""The text in Blender's status bar: what runs and waits, or for some seconds what just happened.

Set only where it changes, and at most once a second; it takes the place of the key hints, so it is there only while it says
something, and a preference switches it off.
"""

from __future__ import annotations

import time
from typing import Any

import bpy

from . import preferences

_EVERY = 1.0  # seconds
_NOTICE = 8.0  # seconds that something that happened stays

_set: dict[str, str] = {}  # workspace → our text in it
_set_at = 0.0
_said = ""
_said_until = 0.0


def say(text: str) -> None:
    """Show this for some seconds instead of the counts."""
    global _said, _said_until
    _said, _said_until = text, time.monotonic() + _NOTICE


def show(status: str) -> None:
    """Bring the bar up to date."""
    global _set_at  # noqa: PLW0603
    now = time.monotonic()
    if now - _set_at < _EVERY:
        return
    text = _said if now < _said_until else status
    if not preferences.status_bar():
        text = ""
    spaces = {window.workspace.name: window.workspace for window in _windows()}
    for name, space in spaces.items():
        if _set.get(name, "") != text:
            _set_at = now
            space.status_text_set(f"Motion Queue: {text}" if text else None)
            _set[name] = text
    for name in [name for name in _set if name not in spaces]:
        _clear_one(name)


def clear() -> None:
    """Give the bar back to Blender."""
    global _said_until, _set_at  # noqa: PLW0603
    for name in list(_set):
        _clear_one(name)
    _said_until = _set_at = 0.0


def _clear_one(name: str) -> None:
    text = _set.pop(name)
    space: Any = bpy.data.workspaces.get(name)
    if text and space is not None:
        space.status_text_set(None)


def _windows() -> list[Any]:
    manager = bpy.context.window_manager
    return list(manager.windows) if manager is not None else []
