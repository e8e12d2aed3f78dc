# SPDX-License-Identifier: GPL-3.0-or-later
"""What the interface keeps in Blender, on the window manager and so outside undo: the settings of a new shot, and of the list.

The list's lines hold nothing: line number i draws the i-th entry of the snapshot, so that another order or a changed job costs no
writing here. What is filtered and selected goes straight to the list and the session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..backends.generate.options import MAX_SECONDS, MAX_SEED, MAX_VARIATIONS, MIN_SECONDS
from ..backends.generate.prompt import MAX_CHARACTERS
from ..backends.published.model import Which
from ..queue.contract import JobState
from . import snapshot
from .checks import Character, Length, Source
from .view import Filter, Group, Order, Row

NAME = "motion_queue"  # on the window manager
BUILT_IN = "BUILTIN"  # of the property `model`: none of the published ones
_FEW = 64  # lines that are removed one by one; it takes longer the more there are

STATES: dict[str, frozenset[JobState]] = {
    "ALL": frozenset(JobState),
    "UNFINISHED": frozenset({JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.STOPPING}),
    "WAITING": frozenset({JobState.QUEUED, JobState.PAUSED}),
    "RUNNING": frozenset({JobState.RUNNING, JobState.STOPPING}),
    "COMPLETED": frozenset({JobState.COMPLETED}),
    "FAILED": frozenset({JobState.FAILED}),
    "CANCELLED": frozenset({JobState.CANCELLED}),
}

_select: Callable[[str], None] | None = None
_publish: Callable[[], object] | None = None
_drafted: Callable[[], None] | None = None


def connect(
    select: Callable[[str], None] | None, publish: Callable[[], object] | None, drafted: Callable[[], None] | None
) -> None:
    """Whom to tell that another job was selected, that the list shows something else, and that the new shot is another one."""
    global _select, _publish, _drafted
    _select, _publish, _drafted = select, publish, drafted


def _get_line(_self: Any) -> int:
    now = snapshot.current()
    return now.jobs.index_of(now.selected)


def _set_line(_self: Any, line: int) -> None:
    entry = snapshot.current().jobs.entry(line)
    if isinstance(entry, Row) and _select is not None:
        _select(entry.id)
    elif isinstance(entry, Group):
        fold(entry.batch_id)


def _marked(self: Any, _context: Any) -> None:
    """A person has chosen this line."""
    _set_line(None, self.line)
    _mark(interface().jobs)  # where that selects no job, the one that is selected stays marked


def fold(batch_id: str) -> None:
    """Hide the jobs of a batch, or show them again."""
    jobs = snapshot.current().jobs
    before = jobs.filter
    jobs.show(_with(before, folded=before.folded ^ {batch_id}))
    if _publish is not None:
        _publish()


def _with(before: Filter, **changes: Any) -> Filter:
    values = {
        "states": before.states,
        "text": before.text,
        "order": before.order,
        "reverse": before.reverse,
        "grouped": before.grouped,
        "folded": before.folded,
    }
    return Filter(**{**values, **changes})


def _filtered(self: Any, _context: Any) -> None:
    jobs = snapshot.current().jobs
    apply_filter(self, jobs)
    if _publish is not None:
        _publish()


def apply_filter(of: Any, jobs: Any) -> None:
    """Have a list show what is asked for here."""
    jobs.show(
        Filter(
            states=STATES[of.states],
            text=of.text,
            order=Order(of.order),
            reverse=of.reverse,
            grouped=of.grouped,
            folded=jobs.filter.folded,
        )
    )


def _shot_changed(_self: Any, _context: Any) -> None:
    if _drafted is not None:
        _drafted()


class MOTION_QUEUE_PG_line(bpy.types.PropertyGroup):  # noqa: N801 (Blender's way to name classes)
    """One line of the list. Empty: see above."""


class MOTION_QUEUE_PG_mark(bpy.types.PropertyGroup):  # noqa: N801
    """The line that is marked in the list as the selected one.

    A stored number, since Blender asks for it twice for every line that it draws. It is in a collection of one, because
    `foreach_set` is how a number is changed without every editor being drawn again.
    """

    __annotations__ = {"line": IntProperty(name="Job", description="The selected job", update=_marked, options={"SKIP_SAVE"})}


class MOTION_QUEUE_PG_list(bpy.types.PropertyGroup):  # noqa: N801
    """The list: how many lines, which is active, what is shown."""

    __annotations__ = {
        "lines": CollectionProperty(type=MOTION_QUEUE_PG_line),
        "marks": CollectionProperty(type=MOTION_QUEUE_PG_mark),
        "line": IntProperty(name="Job", description="The selected job", get=_get_line, set=_set_line, options={"SKIP_SAVE"}),
        "states": EnumProperty(
            name="Show",
            description="Which jobs are shown",
            items=(
                ("ALL", "All", "Every job"),
                ("UNFINISHED", "Unfinished", "What runs, waits or is paused"),
                ("RUNNING", "Running", "What runs or is being stopped"),
                ("WAITING", "Waiting", "What waits or is paused"),
                ("COMPLETED", "Completed", "What is done"),
                ("FAILED", "Failed", "What failed"),
                ("CANCELLED", "Cancelled", "What was cancelled"),
            ),
            update=_filtered,
            options={"SKIP_SAVE"},
        ),
        "text": StringProperty(
            name="Search",
            description="Show jobs with these words in their name, batch or id",
            maxlen=200,
            options={"TEXTEDIT_UPDATE", "SKIP_SAVE"},
            update=_filtered,
        ),
        "order": EnumProperty(
            name="Sort By",
            description="The order of the list",
            items=(
                (Order.QUEUE, "Queue", "What runs, what waits in the order in which it will run, what is over"),
                (Order.NEWEST, "Newest", "The newest first"),
                (Order.NAME, "Name", "By name"),
                (Order.STATE, "State", "By state"),
            ),
            update=_filtered,
        ),
        "reverse": BoolProperty(name="Reverse", description="Turn the order round", update=_filtered),
        "grouped": BoolProperty(name="Group by Batch", description="Gather the jobs of a batch", update=_filtered),
    }


class MOTION_QUEUE_PG_shot(bpy.types.PropertyGroup):  # noqa: N801
    """A new shot, as it is being filled in."""

    __annotations__ = {
        "source": EnumProperty(
            name="Source",
            description="Where the motion comes from",
            items=(
                (Source.PROMPT, "Prompt", "Say in words what the character does", "TEXT", 0),
                (Source.CLIP, "BVH File", "One mocap clip", "ANIM_DATA", 1),
                (Source.FOLDER, "Folder", "Every BVH file in a folder, as a batch", "FILE_FOLDER", 2),
                (Source.LIST, "Shot List", "A text in this file: one prompt or clip a line", "LINENUMBERS_ON", 3),
            ),
            update=_shot_changed,
        ),
        "prompt": StringProperty(
            name="Prompt",
            description="What the character does, in English: “a person walks forward and waves”",
            maxlen=MAX_CHARACTERS,
            update=_shot_changed,
        ),
        "model": EnumProperty(
            name="Model",
            description="Which motion model makes the motion of a prompt",
            items=(
                (BUILT_IN, "Built-in", "The model that comes with the queue: quick, and free to use for anything"),
                *((each.name, each.label, f"A published model. Licence: {each.licence}") for each in Which),
            ),
            update=_shot_changed,
        ),
        "clip": StringProperty(name="Clip", description="A BVH file", subtype="FILE_PATH", maxlen=1000, update=_shot_changed),
        "folder": StringProperty(
            name="Folder", description="A folder with BVH files", subtype="DIR_PATH", maxlen=1000, update=_shot_changed
        ),
        "text": StringProperty(
            name="Text",
            description="A text datablock: one prompt or path of a clip a line; # begins a comment",
            update=_shot_changed,
        ),
        "name": StringProperty(
            name="Name",
            description="What the shot is called. Empty: the prompt's words, or the clip's name",
            maxlen=60,
            update=_shot_changed,
        ),
        "character": EnumProperty(
            name="Character",
            description="Who moves",
            items=(
                (Character.SELECTED, "Selected", "The selected armature of this scene", "ARMATURE_DATA", 0),
                (Character.BUILTIN, "Built-in", "The mannequin that comes with the queue", "OUTLINER_OB_ARMATURE", 1),
                (Character.FILE, "File", "A .blend, .fbx or .glb file with an armature", "FILE_BLEND", 2),
            ),
            default=Character.SELECTED,
            update=_shot_changed,
        ),
        "character_file": StringProperty(
            name="File", description="A .blend, .fbx, .glb or .gltf file", subtype="FILE_PATH", maxlen=1000, update=_shot_changed
        ),
        "armature": StringProperty(
            name="Armature", description="Which armature of the file. Empty: its only one", maxlen=60, update=_shot_changed
        ),
        "length": EnumProperty(
            name="Length",
            description="How long the motion is, or which part of a clip is taken",
            items=(
                (Length.MOTION, "From Motion", "What the prompt says, else a good guess; the whole clip"),
                (Length.SECONDS, "Seconds", "As long as is given here"),
                (Length.SCENE, "Scene Range", "The scene's frame range"),
                (Length.PREVIEW, "Preview Range", "The scene's preview range"),
            ),
            update=_shot_changed,
        ),
        "seconds": FloatProperty(
            name="Seconds",
            description="Length of the motion",
            min=MIN_SECONDS,
            max=MAX_SECONDS,
            default=4.0,
            step=50,
            precision=1,
            update=_shot_changed,
        ),
        "seed": IntProperty(
            name="Seed",
            description="Another number, another motion of the same prompt",
            min=0,
            max=min(MAX_SEED, 2**31 - 1),
            default=1,
        ),
        "takes": IntProperty(
            name="Takes",
            description="So many different motions of the same prompt",
            min=1,
            max=MAX_VARIATIONS,
            default=1,
            update=_shot_changed,
        ),
        "priority": IntProperty(
            name="Priority", description="Higher runs earlier; 50 is normal", min=0, max=100, default=50, subtype="NONE"
        ),
        "scene_rate": BoolProperty(
            name="Scene Frame Rate", description="Convert the motion to the scene's frame rate", default=True
        ),
        "render": BoolProperty(
            name="Render",
            description="Render a video of the shot, with the scene's render settings. What of the scene is not saved is saved "
            "as a copy when the shot is queued, which takes as long as saving",
            update=_shot_changed,
        ),
        "output": StringProperty(
            name="Output",
            description="Where the results go; empty: as the preferences say. // is the folder of the .blend; "
            "{scene}, {shot}, {take} and {version} are filled in",
            maxlen=1000,
            update=_shot_changed,
        ),
        "deliver": BoolProperty(
            name="Save Files",
            description="Copy the results to the output folder. Without, they stay with the queue until you apply them",
            default=True,
            update=_shot_changed,
        ),
    }


class MOTION_QUEUE_PG_interface(bpy.types.PropertyGroup):  # noqa: N801
    """All of it: `context.window_manager.motion_queue`."""

    __annotations__ = {
        "jobs": PointerProperty(type=MOTION_QUEUE_PG_list),
        "shot": PointerProperty(type=MOTION_QUEUE_PG_shot),
    }


def interface() -> Any:
    """The property group on the window manager, or None where there is none."""
    return getattr(bpy.context.window_manager, NAME, None)


def fit() -> None:
    """Give the list as many lines as are shown, and mark the selected one. Never called while something is drawn."""
    found = interface()
    if found is None:
        return
    lines = found.jobs.lines
    count = len(snapshot.current().jobs)
    less = len(lines) - count
    if less > _FEW:
        lines.clear()
    elif less > 0:
        for _ in range(less):
            lines.remove(len(lines) - 1)
    for _ in range(count - len(lines)):
        lines.add()
    _mark(found.jobs)


def _mark(jobs: Any) -> None:
    line = _get_line(None)
    if not jobs.marks:
        jobs.marks.add()
    if jobs.marks[0].line != line:
        jobs.marks.foreach_set("line", (line,))


def register() -> None:
    setattr(bpy.types.WindowManager, NAME, PointerProperty(type=MOTION_QUEUE_PG_interface))


def unregister() -> None:
    if hasattr(bpy.types.WindowManager, NAME):
        delattr(bpy.types.WindowManager, NAME)
    connect(None, None, None)


CLASSES = (MOTION_QUEUE_PG_line, MOTION_QUEUE_PG_mark, MOTION_QUEUE_PG_list, MOTION_QUEUE_PG_shot, MOTION_QUEUE_PG_interface)
