# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps a warm Blender clean: every job finds an empty file and factory settings, or the user's preferences where asked for.

Runs only inside a child that is, or has imported, a Blender; `child_loop` calls it on the main thread.
"""

from __future__ import annotations

from typing import Any

import bpy

_MODULE_READS_PREFERENCES = (4, 5, 0)  # 4.2.23 ends with a segmentation fault


class CleanBlender:
    """Brings this Blender back to where it began. Made once, before the first job."""

    def __init__(self, *, user_preferences: bool) -> None:
        self.version = ".".join(map(str, bpy.app.version))
        self.warning = ""  # for the log of every job
        module = not bpy.app.binary_path
        if user_preferences and module and bpy.app.version < _MODULE_READS_PREFERENCES:
            user_preferences = False
            self.warning = (
                f"The user's preferences were not loaded: the bpy module {self.version} crashes when it reads them. "
                "Factory settings are used (no add-ons, Cycles on the processor). If the scene needs them, use an installed "
                "Blender, or Blender 4.5 or newer."
            )
        self._user_preferences = user_preferences
        if user_preferences and module:
            bpy.ops.wm.read_userpref()  # the module, unlike the program, always begins with factory settings
        self._handlers = {name: list(handlers) for name, handlers in _handler_lists().items()}

    def reset(self) -> None:
        """Forget the file, its data and, with factory settings, the preferences. Raises RuntimeError where Blender refuses."""
        for name, handlers in _handler_lists().items():
            handlers[:] = self._handlers[name]
        if self._user_preferences:
            bpy.ops.wm.read_userpref()
            result = bpy.ops.wm.read_homefile(use_empty=True, load_ui=False)
        else:
            result = bpy.ops.wm.read_factory_settings(use_empty=True)
        if "FINISHED" not in result:
            raise RuntimeError(f"Blender could not be reset: {result}")


def _handler_lists() -> dict[str, list[Any]]:
    found = {name: getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers)}
    return {name: value for name, value in found.items() if isinstance(value, list)}
