# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue in Blender's Render menu, where it is at hand in every editor, and where the search (F3) finds it: that looks for
what menus have, not for operators."""

from __future__ import annotations

from typing import Any

import bpy

from . import snapshot
from .job_list import draw_job_menu


class MOTION_QUEUE_MT_queue(bpy.types.Menu):  # noqa: N801
    """What can be done with the queue and with the selected job."""

    bl_idname = "MOTION_QUEUE_MT_queue"
    bl_label = "Motion Queue"

    def draw(self, _context: Any) -> None:
        layout: Any = self.layout
        layout.operator("motion_queue.submit", icon="ADD")
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("motion_queue.submit_clips", text="Queue Clips …", icon="FILE_FOLDER")
        layout.separator()
        layout.operator("motion_queue.pause_queue", icon="PAUSE")
        layout.operator("motion_queue.resume_queue", icon="PLAY")
        layout.separator()
        draw_job_menu(layout, snapshot.current())


def _draw(menu: Any, _context: Any) -> None:
    menu.layout.separator()
    menu.layout.menu(MOTION_QUEUE_MT_queue.bl_idname)


def register() -> None:
    bpy.types.TOPBAR_MT_render.append(_draw)


def unregister() -> None:
    bpy.types.TOPBAR_MT_render.remove(_draw)


CLASSES = (MOTION_QUEUE_MT_queue,)
