# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension's preferences: how much runs at once, where things lie, what a start brings, who tells of an end.

A change takes effect at once: the session hears of it (`on_change`) and gives it to the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from ..backends.published.model import Which
from . import snapshot, words
from .choices import DEFAULT_OUTPUT, HAS_NOTIFICATIONS, LANES, Choices, Notify, OnStart, default_lanes

PACKAGE = __package__.rpartition(".")[0]

_DEFAULTS = Choices()
_LANE_NOTES = {
    "cpu": "Generating and reading motion",
    "blender": "Retargeting, and rendering without the graphics card",
    "gpu": "Rendering with the graphics card",
    "network": "Work on other machines",
    "io": "Copying results",
}
_WIDTH = 90  # characters of a line

_on_change: Callable[[], None] | None = None


def on_change(callback: Callable[[], None] | None) -> None:
    """Call back after every change."""
    global _on_change  # noqa: PLW0603 (there are one set of preferences)
    _on_change = callback


def _changed(_self: Any, _context: Any) -> None:
    if _on_change is not None:
        _on_change()


def _lane(name: str) -> Any:
    return IntProperty(
        name=name.upper() if name in ("cpu", "gpu", "io") else name.capitalize(),
        description=f"{_LANE_NOTES[name]}: how many steps at once. 0 lets none of them start",
        min=0,
        max=8,
        default=default_lanes()[name],
        update=_changed,
    )


class MotionQueuePreferences(bpy.types.AddonPreferences):
    """Drawn by Blender in Preferences › Add-ons."""

    bl_idname = PACKAGE

    __annotations__ = {
        "concurrency": IntProperty(
            name="Concurrent Jobs",
            description="How many steps of jobs run at once, in all lanes together",
            min=1,
            max=8,
            default=_DEFAULTS.concurrency,
            update=_changed,
        ),
        **{f"lane_{name}": _lane(name) for name in LANES},
        "memory_mb": IntProperty(
            name="Memory Limit (MB)",
            description="What running steps may expect to take together, in MB; others wait. 0: no limit",
            min=0,
            soft_max=65536,
            step=256,
            default=_DEFAULTS.memory_mb,
            update=_changed,
        ),
        "job_memory_mb": IntProperty(
            name="Limit per Job (MB)",
            description="A step that takes more memory than this is stopped, in MB. 0: no limit",
            min=0,
            soft_max=65536,
            step=256,
            default=_DEFAULTS.job_memory_mb,
            update=_changed,
        ),
        "finished_kept": IntProperty(
            name="Finished Jobs Kept",
            description="How many jobs that are over stay in the list. Their files are never deleted",
            min=0,
            max=10_000,
            default=_DEFAULTS.finished_kept,
            update=_changed,
        ),
        "output": StringProperty(
            name="Output",
            description="Where results go unless a shot says otherwise. // is the folder of the .blend; "
            "{scene}, {shot}, {take} and {version} are filled in",
            default=DEFAULT_OUTPUT,
            maxlen=1000,
        ),
        "state_folder": StringProperty(
            name="Queue Folder",
            description="Where the queue keeps its journal and unfinished work. Empty: the extension's own folder",
            subtype="DIR_PATH",
            maxlen=1000,
            update=_changed,
        ),
        "on_start": EnumProperty(
            name="Unfinished Work",
            description="What becomes of jobs that the last session did not finish",
            items=(
                (OnStart.RESUME, "Resume", "They go on by themselves"),
                (OnStart.ASK, "Ask", "Nothing starts before you have decided, in the sidebar"),
                (OnStart.LEAVE, "Leave", "They are paused until you resume them"),
            ),
            default=OnStart.RESUME,
        ),
        "notify": EnumProperty(
            name="Notifications",
            description="Who tells you that a job or the queue is done, or has failed",
            items=(
                (Notify.NONE, "None", "Only the list shows it"),
                (Notify.BLENDER, "In Blender", "The status bar says it for some seconds"),
                (
                    Notify.SYSTEM,
                    "System",
                    "A notification of the desktop as well. On Linux and macOS; Windows has none of it yet",
                ),
            ),
            default=Notify.BLENDER,
        ),
        "status_bar": BoolProperty(
            name="Show in Status Bar",
            description="Show what runs and waits in the status bar, instead of key hints, while there is something",
            default=True,
        ),
        "apply_automatically": BoolProperty(
            name="Apply Automatically",
            description="Put a finished motion onto the armature it was made for, while its file is open. "
            "Otherwise it waits until you apply it",
            default=False,
        ),
        "torch_python": StringProperty(
            name="Python with torch",
            description="An interpreter that has torch, for motion models on a graphics card. Empty: Blender's own Python",
            subtype="FILE_PATH",
            maxlen=1000,
            update=_changed,
        ),
        "blender": StringProperty(
            name="Blender for Jobs",
            description="The Blender that retargets and renders. Empty: this one",
            subtype="FILE_PATH",
            maxlen=1000,
            update=_changed,
        ),
        "log_level": EnumProperty(
            name="Log",
            description="How much the queue's own log tells",
            items=(
                ("debug", "Everything", "Also what children print"),
                ("info", "Normal", "What happened"),
                ("warning", "Warnings", "Only what went wrong or nearly did"),
                ("error", "Errors", "Only what went wrong"),
            ),
            default="info",
            update=_changed,
        ),
    }

    def draw(self, _context: Any) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False

        column = layout.column()
        column.prop(self, "concurrency")
        column.prop(self, "memory_mb")
        column.prop(self, "job_memory_mb")
        layout.label(text="Steps at Once in Each Lane")
        column = layout.column(align=True)
        for name in LANES:
            column.prop(self, f"lane_{name}")

        column = layout.column()
        column.prop(self, "on_start")
        column.prop(self, "finished_kept")
        column.prop(self, "notify")
        if self.notify == Notify.SYSTEM and not HAS_NOTIFICATIONS:
            column.label(text="There are none on this system: Blender's status bar tells you instead", icon="INFO")
        column.prop(self, "status_bar")
        column.prop(self, "apply_automatically")

        column = layout.column()
        column.prop(self, "output")
        column.prop(self, "state_folder")
        column.prop(self, "blender")
        column.prop(self, "torch_python")
        column.prop(self, "log_level")

        now = snapshot.current()
        layout.label(text="Published Motion Models")
        box = layout.box().column(align=True)
        for which in Which:
            text = f"{which.label}: {'set up' if which in now.models else 'not set up'}. Licence: {which.licence}"
            draw_wrapped(box, text, "CHECKMARK" if which in now.models else "BLANK1")
        draw_wrapped(box, "“mq.py models set” says where they are; New Shot then offers them.", "INFO")
        row = layout.row()
        row.enabled = not now.testing
        row.operator("motion_queue.test_setup", icon="CHECKMARK", text="Testing …" if now.testing else "Test My Set-up")
        if now.health:
            box = layout.box().column(align=True)
            for name, health in now.health:
                text = f"{name}: {words.clean(health.message) or 'works'}"
                draw_wrapped(box, text, "CHECKMARK" if health.ok else "ERROR")


def draw_wrapped(layout: Any, text: str, icon: str) -> None:
    """A text over several lines, with an icon before the first."""
    for number, line in enumerate(words.wrapped(text, _WIDTH)):
        layout.label(text=line, icon="BLANK1" if number else icon)


def read() -> Choices:
    """What is chosen; the defaults where Blender has no preferences for this package (it was loaded by path)."""
    found = stored()
    if found is None:
        return _DEFAULTS
    return Choices(
        concurrency=found.concurrency,
        lanes={name: getattr(found, f"lane_{name}") for name in LANES},
        memory_mb=found.memory_mb,
        job_memory_mb=found.job_memory_mb,
        finished_kept=found.finished_kept,
        output=found.output or DEFAULT_OUTPUT,
        state_folder=_absolute(found.state_folder),
        on_start=OnStart(found.on_start),
        notify=Notify(found.notify),
        status_bar=found.status_bar,
        apply_automatically=found.apply_automatically,
        torch_python=_absolute(found.torch_python),
        blender=_absolute(found.blender),
        log_level=found.log_level,
    )


def status_bar() -> bool:
    """Whether the status bar is ours to use. For every tick, in which reading all would be much."""
    found = stored()
    return _DEFAULTS.status_bar if found is None else bool(found.status_bar)


def output() -> str:
    """Where results go unless a shot says otherwise. For every draw, as above."""
    found = stored()
    return _DEFAULTS.output if found is None else str(found.output) or DEFAULT_OUTPUT


def stored() -> Any:
    """Blender's own preferences of this package, or None."""
    addon: Any = bpy.context.preferences.addons.get(PACKAGE)
    return None if addon is None else addon.preferences


def _absolute(path: str) -> str:
    """`//` means a file's folder, which preferences have none of: only whole paths count."""
    return bpy.path.abspath(path, start="/") if path.startswith("//") else path


CLASSES = (MotionQueuePreferences,)
