# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of jobs in the sidebar of the 3D View, with its buttons and its menu. Draws what the snapshot has, no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import bpy

from ..queue.contract import JobState
from . import compat, properties, snapshot, words
from .redraw import CATEGORY
from .snapshot import Phase, Severity, Snapshot
from .view import Group, Row

if TYPE_CHECKING:
    from bpy.types import Context

_IN_BOX = 3  # characters that a frame takes
_SEVERITY_ICONS = {Severity.INFO: "INFO", Severity.WARNING: "ERROR", Severity.ERROR: "CANCEL"}
_MOVABLE = (JobState.QUEUED, JobState.PAUSED, JobState.RUNNING)
_MOVES = (("TOP", "TRIA_UP_BAR"), ("UP", "TRIA_UP"), ("DOWN", "TRIA_DOWN"), ("BOTTOM", "TRIA_DOWN_BAR"))
_AT_WORK = (JobState.RUNNING, JobState.STOPPING)
_BUTTONS = {  # at the end of the selected job's row
    JobState.RUNNING: ("motion_queue.cancel", "X"),
    JobState.QUEUED: ("motion_queue.cancel", "X"),
    JobState.PAUSED: ("motion_queue.resume", "PLAY"),
    JobState.FAILED: ("motion_queue.retry", "FILE_REFRESH"),
    JobState.CANCELLED: ("motion_queue.retry", "FILE_REFRESH"),
}


class MOTION_QUEUE_UL_jobs(bpy.types.UIList):  # noqa: N801
    """One line for each job: state, name, how far it is.

    What is shown, and its order, is settled in the snapshot. There is no `filter_items`: Blender would call it with each draw.
    """

    def draw_item(
        self,
        _context: Any,
        layout: Any,
        _data: Any,
        _item: Any,
        _icon: Any,
        _active_data: Any,
        _active_property: Any,
        index: int = 0,
        _flags: int = 0,
    ) -> None:
        now = snapshot.current()
        entry = now.jobs.entry(index)
        if entry is None:
            return
        if isinstance(entry, Group):
            draw_group(layout, entry)
            return
        if now.jobs.filter.grouped:
            layout.separator(factor=2.0)
        draw_row(layout, entry, saving=entry.revision > now.durable, selected=entry.id == now.selected)

    def draw_filter(self, _context: Any, layout: Any) -> None:
        found = properties.interface().jobs
        row = layout.row(align=True)
        row.prop(found, "text", text="", icon="VIEWZOOM")
        row.prop(found, "reverse", text="", icon="SORT_DESC" if found.reverse else "SORT_ASC")
        row = layout.row(align=True)
        row.prop(found, "states", text="")
        row.prop(found, "order", text="")
        row.prop(found, "grouped", text="", icon="OUTLINER")


def draw_group(layout: Any, group: Group) -> None:
    row = layout.row(align=True)
    operator = row.operator("motion_queue.fold", text="", icon="RIGHTARROW" if group.folded else "DOWNARROW_HLT", emboss=False)
    operator.batch_id = group.batch_id
    row.label(text=group.title, icon="FILE_FOLDER")
    text = f"{group.done:,} of {group.total:,}"
    row.label(text=f"{text}, {group.failed:,} failed" if group.failed else text)
    if group.batch_id and group.done < group.total:
        row.operator("motion_queue.cancel", text="", icon="X", emboss=False).batch_id = group.batch_id


def draw_row(layout: Any, row: Row, *, saving: bool, selected: bool = False) -> None:
    """Into a row of its own. Few calls, since eight rows are drawn ten times a second."""
    saving = saving and row.state is JobState.QUEUED
    if saving:
        icon = "FILE_REFRESH"
    elif row.state is JobState.COMPLETED and row.degraded:
        icon = words.DEGRADED_ICON
    else:
        icon = words.STATE_ICONS[row.state]
    # In a split no text is measured, as in a row each is. Names are a person's own: nothing to translate.
    halves = layout.split(factor=0.42 if row.state in _AT_WORK else 0.6, align=True)
    halves.label(text=row.label, translate=False, icon_value=compat.icon(icon))
    if row.state in _AT_WORK:
        compat.progress(halves, factor=row.progress, text=row_text(row))
    else:
        halves.label(text="Saving" if saving else row_text(row))
    if selected and row.state in _BUTTONS:
        name, icon = _BUTTONS[row.state]
        layout.operator(name, text="", icon_value=compat.icon(icon), emboss=False).job_id = row.id


def row_text(row: Row) -> str:
    """What stands to the right of a job's name."""
    if row.state is JobState.RUNNING:
        # What does not fit is cut at its end: what matters least comes last.
        parts = [words.percent(row.progress), words.eta(row.eta, guess=row.eta_is_guess), row.stage]
        if row.pausing:
            parts[1:] = ["Pausing"]
        elif row.resting:
            parts[1:] = [words.STATE_WORDS[JobState.QUEUED]]
        return " · ".join(part for part in parts if part)
    if row.state is JobState.FAILED:
        return row.error_code.replace("_", " ").capitalize() or words.STATE_WORDS[row.state]
    if row.state is JobState.COMPLETED and row.degraded:
        return "Incomplete"
    if row.state is JobState.PAUSED and row.progress > 0:
        return f"Paused at {words.percent(row.progress)}"
    return words.STATE_WORDS[row.state]


class MOTION_QUEUE_MT_job(bpy.types.Menu):  # noqa: N801
    """What can be done with the selected job and with all of them."""

    bl_idname = "MOTION_QUEUE_MT_job"
    bl_label = "Jobs"

    def draw(self, _context: Any) -> None:
        draw_job_menu(self.layout, snapshot.current())


def draw_job_menu(layout: Any, now: Snapshot) -> None:
    row = now.jobs.get(now.selected)
    if row is not None:
        if row.over:
            layout.operator("motion_queue.retry", icon="FILE_REFRESH").job_id = row.id
            layout.operator("motion_queue.retry_edited", icon="GREASEPENCIL").job_id = row.id
            layout.operator("motion_queue.open_folder", icon="FILE_FOLDER").job_id = row.id
            if row.error_code or row.degraded:
                layout.operator("motion_queue.copy_error", icon="COPYDOWN").job_id = row.id
        else:
            layout.operator("motion_queue.cancel", icon="X").job_id = row.id
            if row.state is JobState.PAUSED or row.pausing:
                layout.operator("motion_queue.resume", icon="PLAY").job_id = row.id
            else:
                layout.operator("motion_queue.pause", icon="PAUSE").job_id = row.id
            layout.separator()
            for to, text, icon in (
                ("TOP", "Move to Top", "TRIA_UP_BAR"),
                ("UP", "Move Up", "TRIA_UP"),
                ("DOWN", "Move Down", "TRIA_DOWN"),
                ("BOTTOM", "Move to Bottom", "TRIA_DOWN_BAR"),
            ):
                operator = layout.operator("motion_queue.move", text=text, icon=icon)
                operator.job_id, operator.to = row.id, to
            layout.operator("motion_queue.set_priority", text="Set Priority …", icon="SORTBYEXT").job_id = row.id
        layout.operator("motion_queue.show_log", icon="TEXT").job_id = row.id
        if row.over:
            layout.operator("motion_queue.delete_files", text="Delete Files …", icon="TRASH").job_id = row.id
        layout.separator()
    layout.operator("motion_queue.clear_finished", icon="BRUSH_DATA")
    layout.operator("motion_queue.cancel_all", icon="CANCEL")


class MOTION_QUEUE_PT_queue(bpy.types.Panel):  # noqa: N801
    """All jobs of this Blender."""

    bl_idname = "MOTION_QUEUE_PT_queue"
    bl_label = "Queue"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = CATEGORY
    bl_order = 1

    def draw(self, _context: Context) -> None:
        draw_queue(self.layout, snapshot.current(), properties.interface())


def draw_queue(layout: Any, now: Snapshot, found: Any) -> None:
    if now.phase is not Phase.READY:
        draw_not_ready(layout, now)
        return
    draw_recovery(layout, now)
    row = layout.row(align=True)
    row.label(text=now.status or summary(now))
    name, icon = ("motion_queue.resume_queue", "PLAY") if now.paused else ("motion_queue.pause_queue", "PAUSE")
    row.operator(name, text="", icon_value=compat.icon(icon))
    if not (now.recovery and now.recovery.asks):  # what is asked above says it
        for text in now.held.values():
            draw_lines(layout, text, "PAUSE" if now.paused else "INFO")
    row = layout.row()
    jobs = found.jobs
    marked = jobs.marks[0] if jobs.marks else jobs
    row.template_list("MOTION_QUEUE_UL_jobs", "", jobs, "lines", marked, "line", rows=6, maxrows=8, sort_lock=True)
    selected = now.jobs.get(now.selected)
    column = row.column(align=True)
    column.menu(MOTION_QUEUE_MT_job.bl_idname, text="", icon_value=compat.icon("DOWNARROW_HLT"))
    column.separator()
    moves = column.column(align=True)
    moves.enabled = selected is not None and selected.state in _MOVABLE
    for to, icon in _MOVES:
        moves.operator("motion_queue.move", text="", icon_value=compat.icon(icon)).to = to
    column.separator()
    column.operator("motion_queue.clear_finished", text="", icon_value=compat.icon("BRUSH_DATA"))


class MOTION_QUEUE_PT_notices(bpy.types.Panel):  # noqa: N801
    """What happened lately."""

    bl_idname = "MOTION_QUEUE_PT_notices"
    bl_label = "Lately"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = CATEGORY
    bl_parent_id = MOTION_QUEUE_PT_queue.bl_idname

    @classmethod
    def poll(cls, _context: Context) -> bool:
        return bool(snapshot.current().notices)

    def draw_header_preset(self, _context: Context) -> None:
        self.layout.operator("motion_queue.clear_notices", text="", icon_value=compat.icon("X"), emboss=False)

    def draw(self, _context: Context) -> None:
        draw_notices(self.layout, snapshot.current())


def summary(now: Snapshot) -> str:
    """Of a queue in which nothing runs or waits."""
    counts = now.counts
    parts = [
        f"{count:,} {name}"
        for name, count in (
            ("paused", counts.paused),
            ("completed", counts.completed),
            ("failed", counts.failed),
            ("cancelled", counts.cancelled),
        )
        if count
    ]
    return " · ".join(parts) or "No jobs yet"


def draw_not_ready(layout: Any, now: Snapshot) -> None:
    if now.phase is Phase.STARTING:
        layout.label(text="The queue is starting …", icon="TIME")
    elif now.phase is Phase.FAILED:
        draw_lines(layout, now.problem, "ERROR")
        layout.operator("motion_queue.restart", icon="FILE_REFRESH")
    else:
        layout.label(text="The queue is not open in this Blender", icon="INFO")
        layout.operator("motion_queue.restart", text="Open Queue", icon="PLAY")


def draw_recovery(layout: Any, now: Snapshot) -> None:
    recovery = now.recovery
    if recovery is None:
        return
    box = layout.box()
    text = f"{words.plural(recovery.unfinished, 'job')} of the last session {'wait' if recovery.asks else 'came back'}"
    if recovery.unfinished == 1:
        text = text.replace("wait", "waits")
    if recovery.interrupted:
        text += f", {recovery.interrupted:,} of them interrupted" if recovery.unfinished > 1 else "; it was interrupted"
    if recovery.unfinished:
        draw_lines(box, f"{text}.", "RECOVER_LAST", less=_IN_BOX)
    for note in recovery.notes[:3]:
        draw_lines(box, note, "INFO", less=_IN_BOX)
    row = box.row(align=True)
    if recovery.asks:
        for action in ("RESUME", "LEAVE", "DISCARD"):
            row.operator("motion_queue.recovered", text=action.capitalize()).action = action
    else:
        if recovery.unfinished:
            row.operator("motion_queue.recovered", text="Discard").action = "DISCARD"
        row.operator("motion_queue.recovered", text="OK").action = "DISMISS"


def draw_notices(layout: Any, now: Snapshot) -> None:
    width = compat.line_length() - _IN_BOX
    for notice in now.notices:
        row = layout.row()
        _draw_wrapped(row, words.wrapped(notice.text, width), _SEVERITY_ICONS[notice.severity], most=3)
        if notice.job_id and now.jobs.get(notice.job_id) is not None:
            icon = compat.icon("VIEWZOOM")
            row.operator("motion_queue.select", text="", icon_value=icon, emboss=False).job_id = notice.job_id


def draw_lines(layout: Any, text: str, icon: str, *, most: int = 8, less: int = 0) -> None:
    """A text over several lines, with an icon before the first; `less`: so many characters fewer than fit into the sidebar."""
    _draw_wrapped(layout, words.wrapped(text, compat.line_length() - less), icon, most=most)


def _draw_wrapped(layout: Any, lines: Sequence[str], icon: str, *, most: int) -> None:
    column = layout.column(align=True) if len(lines) > 1 else layout
    for number, line in enumerate(lines[:most]):
        cut = " …" if number + 1 == most < len(lines) else ""
        column.label(text=line + cut, icon_value=compat.icon("BLANK1" if number else icon))


CLASSES = (MOTION_QUEUE_UL_jobs, MOTION_QUEUE_MT_job, MOTION_QUEUE_PT_queue, MOTION_QUEUE_PT_notices)
