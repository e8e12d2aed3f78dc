# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel in which a new shot is filled in, with all that is wrong with it in plain sight."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import bpy

from . import checks, compat, facts, properties, snapshot, words
from .checks import Character, Draft, Length, Problem, Source
from .job_list import draw_lines, draw_not_ready
from .redraw import CATEGORY
from .snapshot import Phase, Snapshot

if TYPE_CHECKING:
    from bpy.types import Context

_AGAIN = 1.0  # seconds after which what is wrong is looked for once more, and a shot list read, while they are shown
_MOST_PROBLEMS = 3

BUTTON = "motion_queue_new_shot"  # in the context of the panel's button, whose poll says why it cannot be pressed
_reasons: tuple[str, ...] = ()  # as they were drawn last
_checked: tuple[float, Draft | None, tuple[Problem, ...]] = (0.0, None, ())  # when, which shot, what was found
_list: tuple[float, str, tuple[Problem, ...], int] = (0.0, "", (), 0)  # when, which text, its problems, its shots


class MOTION_QUEUE_PT_shot(bpy.types.Panel):  # noqa: N801
    """What to make next."""

    bl_idname = "MOTION_QUEUE_PT_shot"
    bl_label = "New Shot"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = CATEGORY
    bl_order = 0

    def draw(self, context: Context) -> None:
        now = snapshot.current()
        if now.phase is not Phase.READY:
            draw_not_ready(self.layout, now)
            return
        draw_shot(self.layout, now, properties.interface().shot, facts.draft(context, with_text=False))


def reasons(context: Any) -> str:
    """Why the shot that is filled in cannot be queued, for the panel's button; empty for every other way to queue one."""
    return "\n".join(_reasons) if hasattr(context, BUTTON) else ""


def draw_shot(layout: Any, now: Snapshot, shot: Any, draft: Draft) -> None:
    global _reasons  # noqa: PLW0603 (there is one new shot)
    found, shots = _problems(now, draft)
    layout.use_property_split = True
    layout.use_property_decorate = False
    wrong = {problem.field for problem in found if not problem.missing}  # what is still empty is no mistake

    def line(name: str, **options: Any) -> None:
        place = layout
        if name in wrong:
            place = layout.row()
            place.alert = True
        place.prop(shot, name, **options)

    line("source")
    if draft.source is Source.PROMPT:
        line("prompt", text="", placeholder="A person walks forward and waves")
        if draft.model is None and "prompt" not in wrong and (note := checks.prompt_note(draft)):
            draw_lines(layout, note, "INFO", most=3)
    elif draft.source is Source.CLIP:
        line("clip")
    elif draft.source is Source.FOLDER:
        line("folder")
    else:
        row = layout.row()
        row.alert = "text" in wrong
        row.prop_search(shot, "text", bpy.data, "texts")
    if shots:
        layout.label(text=words.plural(shots, "shot"), icon_value=compat.icon("BLANK1"))

    if draft.source in (Source.PROMPT, Source.LIST) and (now.models or draft.model is not None):
        line("model")
        if draft.model is not None:
            draw_lines(layout, f"Licence: {draft.model.licence}.", "INFO", most=3)
    line("name")
    line("character")
    if draft.character is Character.SELECTED:
        armature = draft.facts.armature
        layout.label(text=armature.name if armature else "None selected", icon_value=compat.icon("ARMATURE_DATA"))
    elif draft.character is Character.FILE:
        line("character_file")
        line("armature")

    line("length")
    if draft.length is Length.SECONDS and draft.source in (Source.PROMPT, Source.LIST):
        line("seconds")
    if draft.source in (Source.PROMPT, Source.LIST):
        column = layout.column(align=True)
        column.prop(shot, "seed")
        column.prop(shot, "takes")
    line("scene_rate")
    line("priority")
    line("render")
    line("deliver")
    if draft.deliver:
        line("output", placeholder=draft.output)
        check = now.draft_check
        if check is not None and check.place and check.draft.output == draft.output and "output" not in wrong:
            draw_lines(layout, check.place, "FILE_FOLDER", most=3)

    _reasons = tuple(problem.message for problem in found)
    for problem in [problem for problem in found if not problem.missing][:_MOST_PROBLEMS]:
        draw_lines(layout, problem.message, "ERROR", most=4)
    # What is still empty is no mistake: one hint at a time says what comes next, and the button says the rest.
    hint = next((problem for problem in found if problem.missing), None)
    if hint is not None:
        draw_lines(layout, hint.message, "INFO", most=4)
    row = layout.row()
    row.scale_y = 1.4
    row.context_pointer_set(BUTTON, shot)
    many = shots * (draft.takes if draft.source is not Source.FOLDER else 1) if shots else draft.takes
    several = many > 1 and draft.source is not Source.CLIP
    text = f"Queue {many:,} Shots" if several else "Queue Shot"
    row.operator("motion_queue.submit", text=text, icon_value=compat.icon("ADD"))


def _problems(now: Snapshot, draft: Draft) -> tuple[tuple[Problem, ...], int]:
    """What is wrong, and how many shots there are where they are not typed in here."""
    check = now.draft_check
    shots = 0
    found: tuple[Problem, ...]
    if draft.source is Source.LIST:
        found, shots = _list_problems(draft)
    else:
        found = _check(draft)
    if check is not None and check.draft.source is draft.source:
        fields = {problem.field for problem in found}
        same = ("clip", "folder", "character_file", "output", "deliver")
        if all(getattr(check.draft, name) == getattr(draft, name) for name in same):
            found += tuple(problem for problem in check.problems if problem.field not in fields)
            shots = check.clips if draft.source is Source.FOLDER else shots
    return found, shots


def _check(draft: Draft) -> tuple[Problem, ...]:
    """What was found the last time, where the shot is the same; what is wrong may be mended elsewhere meanwhile."""
    global _checked  # noqa: PLW0603 (there is one new shot)
    now = time.monotonic()
    at, known, found = _checked
    if draft != known or (now - at > _AGAIN and not all(problem.missing for problem in found)):
        found = checks.problems(draft)
        _checked = (now, draft, found)
    return found


def _list_problems(draft: Draft) -> tuple[tuple[Problem, ...], int]:
    """Ten thousand lines are not read for every redraw."""
    global _list  # noqa: PLW0603 (there is one new shot)
    now = time.monotonic()
    at, text, found, shots = _list
    if text != draft.text or now - at > _AGAIN:
        whole = facts.with_text(draft)
        found = tuple(problem for problem in checks.problems(whole) if problem.field == "text")
        shots = len(checks.shot_list(whole.facts.text or "", whole.facts.blend))
        _list = (now, draft.text, found, shots)
    others = tuple(problem for problem in _check(draft) if problem.field != "text")
    return (*found, *others), shots


CLASSES = (MOTION_QUEUE_PT_shot,)
