# SPDX-License-Identifier: GPL-3.0-or-later
"""Offers what the open file brought from another machine: resume it here, or discard it. Shows only while there is something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from . import words
from .redraw import CATEGORY

if TYPE_CHECKING:
    from bpy.types import Context

_MOST_NAMES = 4

_labels: tuple[str, ...] = ()


def offer(labels: tuple[str, ...]) -> None:
    """What is offered now, by the names of the shots."""
    global _labels  # noqa: PLW0603 (there is one open file)
    _labels = labels


class MOTION_QUEUE_PT_carried(bpy.types.Panel):  # noqa: N801
    """Unfinished jobs that the file brought along."""

    bl_idname = "MOTION_QUEUE_PT_carried"
    bl_label = "From Another Machine"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = CATEGORY
    bl_order = 0

    @classmethod
    def poll(cls, _context: Context) -> bool:
        return bool(_labels)

    def draw(self, _context: Context) -> None:
        layout: Any = self.layout
        layout.label(text=f"This file brought {words.plural(len(_labels), 'job')}:", icon="URL")
        column = layout.column(align=True)
        for label in _labels[:_MOST_NAMES]:
            column.label(text=words.clean(label), icon="BLANK1")
        if len(_labels) > _MOST_NAMES:
            column.label(text=f"and {len(_labels) - _MOST_NAMES:,} more", icon="BLANK1")
        row = layout.row(align=True)
        row.operator("motion_queue.resume_carried", text="Resume")
        row.operator("motion_queue.discard_carried", text="Discard")


CLASSES = (MOTION_QUEUE_PT_carried,)
