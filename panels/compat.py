# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between Blender 4.2 and 5.2 that the interface meets, each behind one function."""

from __future__ import annotations

from functools import cache
from typing import Any

import bpy

_ENGINES = {
    "BLENDER_WORKBENCH": "workbench",
    "BLENDER_EEVEE": "eevee",
    "BLENDER_EEVEE_NEXT": "eevee",
    "CYCLES": "cycles",
}


def sidebar_category(region: bpy.types.Region) -> str:
    """The open tab of a sidebar; empty where this Blender does not tell (before 4.2.1) or nothing was drawn yet."""
    return str(getattr(region, "active_panel_category", "") or "")


def progress(layout: Any, *, factor: float, text: str) -> None:
    """A bar with a text in it; since 4.0."""
    layout.progress(factor=factor, text=text)


@cache
def icon(name: str) -> int:
    """The number of an icon, for what is drawn often: for a name Blender goes through those of a thousand icons, each time."""
    icons: Any = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"]
    number: int = icons.enum_items[name].value
    return number


def popover_width() -> int:
    """Of dialogs, in pixels at a resolution scale of 1."""
    return 400


def line_length() -> int:
    """How many characters fit into a line of the region that is drawn, beside an icon: labels do not wrap by themselves."""
    region = bpy.context.region
    if region is None or region.width <= 1:
        return 46
    width = region.width / bpy.context.preferences.system.ui_scale
    return max(16, int((width - 70) / 6.5))


def confirm(operator: Any, context: Any, event: Any, *, title: str, message: str, button: str) -> set[str]:
    """Ask before something is lost."""
    # The same since 4.1: before, there was no message.
    result: set[str] = context.window_manager.invoke_confirm(
        operator, event, title=title, message=message, confirm_text=button, icon="WARNING"
    )
    return result


def engine_name(scene: bpy.types.Scene) -> str:
    """The scene's render engine, as the queue calls it; empty for one that the queue does not know.

    EEVEE is BLENDER_EEVEE_NEXT from 4.2 to 4.5 and BLENDER_EEVEE from 5.0.
    """
    return _ENGINES.get(scene.render.engine, "")


def samples(scene: bpy.types.Scene) -> int:
    """Of the scene's engine for a final render; 0: the queue's default."""
    name = engine_name(scene)
    if name == "cycles":
        return int(getattr(getattr(scene, "cycles", None), "samples", 0))
    return int(getattr(scene.eevee, "taa_render_samples", 0)) if name == "eevee" else 0
