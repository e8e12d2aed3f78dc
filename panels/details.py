# SPDX-License-Identifier: GPL-3.0-or-later
"""The selected job: how far it is, its steps, its files, and what went wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from ..queue.contract import JobState, StepState
from . import compat, snapshot, words
from .job_details import Details
from .job_list import draw_lines
from .redraw import CATEGORY

if TYPE_CHECKING:
    from bpy.types import Context


class _Details:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = CATEGORY

    @classmethod
    def poll(cls, _context: Context) -> bool:
        return snapshot.current().details is not None


class MOTION_QUEUE_PT_details(_Details, bpy.types.Panel):  # noqa: N801
    """The selected job."""

    bl_idname = "MOTION_QUEUE_PT_details"
    bl_label = "Job"
    bl_order = 2

    def draw(self, _context: Context) -> None:
        details = snapshot.current().details
        if details is not None:
            draw_details(self.layout, details)


class MOTION_QUEUE_PT_steps(_Details, bpy.types.Panel):  # noqa: N801
    """The steps of the selected job."""

    bl_idname = "MOTION_QUEUE_PT_steps"
    bl_label = "Steps"
    bl_parent_id = MOTION_QUEUE_PT_details.bl_idname

    def draw(self, _context: Context) -> None:
        details = snapshot.current().details
        if details is not None:
            draw_steps(self.layout, details)


class MOTION_QUEUE_PT_results(_Details, bpy.types.Panel):  # noqa: N801
    """The files of the selected job."""

    bl_idname = "MOTION_QUEUE_PT_results"
    bl_label = "Results"
    bl_parent_id = MOTION_QUEUE_PT_details.bl_idname

    @classmethod
    def poll(cls, _context: Context) -> bool:
        details = snapshot.current().details
        return details is not None and bool(details.files)

    def draw(self, _context: Context) -> None:
        details = snapshot.current().details
        if details is not None:
            draw_results(self.layout, details)


def draw_details(layout: Any, details: Details) -> None:
    draw_lines(layout, details.label, words.STATE_ICONS[details.state], most=2)
    if details.state in (JobState.RUNNING, JobState.STOPPING):
        left = words.eta(details.eta, guess=details.eta_is_guess)
        text = f"{words.percent(details.progress)}{f' · {left}' if left else ''}"
        compat.progress(layout, factor=details.progress, text=text)
    column = layout.column(align=True)
    column.label(text=_state_line(details))
    if details.prompt and details.prompt != details.label:
        draw_lines(column, details.prompt, "TEXT", most=4)
    if details.recovered:
        column.label(text="Went on after an interruption", icon="RECOVER_LAST")
    if details.degraded:
        draw_lines(layout, f"Not all of it was made. {details.degraded}", "INFO")
        layout.label(text="What is there was delivered. Retry for the rest.", icon="BLANK1")
    if details.note:
        draw_lines(layout, details.note.capitalize(), "INFO", most=3)
    if details.error is not None:
        box = layout.box()
        box.alert = True
        draw_lines(box, words.clean(details.error.message), "ERROR", most=10, less=3)
        for name, problem in list(details.error.details.items())[:4]:
            draw_lines(box, f"{words.clean(name)}: {words.clean(problem)}", "DOT", most=3, less=3)
        row = box.row(align=True)
        row.label(text=details.error.code)
        row.operator("motion_queue.copy_error", text="", icon="COPYDOWN").job_id = details.id
    _draw_buttons(layout, details)


def _draw_buttons(layout: Any, details: Details) -> None:
    row = layout.row(align=True)
    if details.over:
        row.operator("motion_queue.retry", icon="FILE_REFRESH").job_id = details.id
        row.operator("motion_queue.retry_edited", text="Edit …").job_id = details.id
    else:
        row.operator("motion_queue.cancel", text="Cancel", icon="X").job_id = details.id
        paused = details.state is JobState.PAUSED
        name, icon = ("motion_queue.resume", "PLAY") if paused else ("motion_queue.pause", "PAUSE")
        row.operator(name, text="Resume" if paused else "Pause", icon=icon).job_id = details.id
    row.operator("motion_queue.show_log", text="Log", icon="TEXT").job_id = details.id


def _state_line(details: Details) -> str:
    parts = [words.STATE_WORDS[details.state]]
    if details.waits_for_disk and details.state is JobState.QUEUED:
        parts[0] = "Saving"
    if details.state is JobState.QUEUED:
        if details.queue_position is not None:
            parts.append(f"{details.queue_position + 1:,}. in line")
        if details.stage:
            parts.append(details.stage)
    elif details.stage:
        parts.append(details.stage)
    if details.processing_time:
        parts.append(words.step_time(details.processing_time))
    if details.attempt > 1:
        parts.append(f"attempt {details.attempt}")
    if details.crash_count:
        parts.append(words.plural(details.crash_count, "crash", "crashes"))
    if details.memory_mb:
        parts.append(f"{details.memory_mb:,.0f} MB")
    return " · ".join(parts)


def draw_steps(layout: Any, details: Details) -> None:
    column = layout.column(align=True)
    for step in details.steps:
        row = column.row(align=True)
        row.label(text=step.title, icon=words.STEP_ICONS[step.state])
        if step.state is StepState.RUNNING:
            compat.progress(row, factor=step.progress, text=step.stage or words.percent(step.progress))
            continue
        parts = []
        if step.seconds:
            parts.append(words.step_time(step.seconds))
        if step.attempt > 1:
            parts.append(f"attempt {step.attempt} of {step.most_attempts}")
        if step.memory_mb:
            parts.append(f"{step.memory_mb:,.0f} MB")
        if step.state is StepState.SKIPPED:
            parts.append("skipped")
        right = row.row()
        right.alignment = "RIGHT"
        right.label(text=" · ".join(parts))
        if step.problem and details.error is None:
            draw_lines(column, step.problem, "BLANK1", most=5)


def draw_results(layout: Any, details: Details) -> None:
    if any(file.kind == "motion" for file in details.files):
        row = layout.row()
        row.scale_y = 1.2
        row.operator("motion_queue.apply", icon="ARMATURE_DATA").job_id = details.id
        operator = row.operator("motion_queue.apply", text="", icon="PREFERENCES")
        operator.job_id, operator.ask = details.id, True
    column = layout.column(align=True)
    for file in details.files:
        row = column.row(align=True)
        row.label(text=f"{file.name} ({words.size(file.size)})", icon=_FILE_ICONS[file.kind])
        if file.kind == "video":
            operator = row.operator("motion_queue.open_file", text="", icon="PLAY")
            operator.job_id, operator.name = details.id, file.name
        if file.kind in ("motion", "video"):
            operator = row.operator("motion_queue.import_file", text="", icon="IMPORT")
            operator.job_id, operator.name = details.id, file.name
    layout.operator("motion_queue.open_folder", icon="FILE_FOLDER").job_id = details.id


_FILE_ICONS = {"motion": "ANIM_DATA", "video": "FILE_MOVIE", "other": "FILE"}

CLASSES = (MOTION_QUEUE_PT_details, MOTION_QUEUE_PT_steps, MOTION_QUEUE_PT_results)
