# SPDX-License-Identifier: GPL-3.0-or-later
"""Has those regions drawn again that show the queue, and no others; the less often, the longer Blender takes over it."""

from __future__ import annotations

import statistics
import time
from collections import deque

import bpy

from .compat import sidebar_category

CATEGORY = "Motion Queue"  # the tab

_OFTEN, _SELDOM = 0.09, 0.5  # seconds between two redraws: at least (less than a tenth, since timers come late), and at most
_SHARE = 0.2  # of Blender's time, for rounds of its event loop in which we have something drawn
_tagged_at = 0.0
_took: deque[float] = deque(maxlen=5)  # seconds of the last of these rounds


def sidebars() -> None:
    """The open sidebars of 3D Views whose tab is ours; the preferences where they are open."""
    global _tagged_at  # noqa: PLW0603 (Blender has one event loop)
    _tagged_at = time.monotonic()
    if not bpy.app.background and not bpy.app.timers.is_registered(_drawn):
        bpy.app.timers.register(_drawn, first_interval=0.0)
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI" and region.width > 1 and sidebar_category(region) in ("", CATEGORY):
                        region.tag_redraw()
            elif area.type == "PREFERENCES":
                area.tag_redraw()


def wait() -> float:
    """Seconds until it is time for another redraw; 0 where it is."""
    slow = statistics.median(_took) / _SHARE if _took else 0.0
    return max(0.0, _tagged_at + min(max(_OFTEN, slow), _SELDOM) - time.monotonic())


def forget() -> None:
    """Measure nothing any more."""
    _took.clear()
    if bpy.app.timers.is_registered(_drawn):
        bpy.app.timers.unregister(_drawn)


def _drawn() -> None:
    """Called in the next round, when all of this one is over."""
    _took.append(time.monotonic() - _tagged_at)
