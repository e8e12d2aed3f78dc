# SPDX-License-Identifier: GPL-3.0-or-later
"""Has those regions drawn again that show the queue, and no others."""

from __future__ import annotations

import bpy

from .compat import sidebar_category

CATEGORY = "Motion Queue"  # the tab


def sidebars() -> None:
    """The open sidebars of 3D Views whose tab is ours; the preferences where they are open."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI" and region.width > 1 and sidebar_category(region) in ("", CATEGORY):
                        region.tag_redraw()
            elif area.type == "PREFERENCES":
                area.tag_redraw()
