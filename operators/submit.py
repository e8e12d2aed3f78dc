# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues new shots: from the panel's settings, from what a script says, from files dropped into a 3D View.

What is read of Blender is read here, on the main thread; making the jobs is left to the worker, since it copies and hashes files.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..panels import checks, facts, shot
from ..panels.checks import Character, Draft, Length, Source
from ..panels.snapshot import Severity
from ..queue.errors import MotionQueueError
from . import draft_watch, scene_files, session, submission
from .submission import Plan, Submitted

if TYPE_CHECKING:
    from bpy.types import Context, Event


class _Submitting:
    """What both operators share."""

    @classmethod
    def poll(cls, context: Context) -> bool:
        if reason := session.why_not() or shot.reasons(context):
            cls.poll_message_set(reason)
            return False
        return True

    def hand_over(self: Any, context: Context, draft: Draft, clips: tuple[str, ...] = ()) -> set[str]:
        try:
            found = checks.problems(draft)
            if clips:
                found = tuple(problem for problem in found if problem.field not in ("prompt", "clip", "folder", "text"))
            if found:
                raise MotionQueueError("cannot_queue", found[0].message, details={p.field: p.message for p in found})
            plan = plan_of(context, draft, clips)
        except MotionQueueError as error:
            self.report({"ERROR"}, error.message)
            return {"CANCELLED"}
        if (
            plan.draft.render
            and plan.draft.character is Character.SELECTED
            and plan.files.get("scene") != Path(bpy.data.filepath)
        ):
            self.report({"INFO"}, "The scene was saved as a copy for the queue")
        queue(plan)
        return {"FINISHED"}


def plan_of(context: Context, draft: Draft, clips: tuple[str, ...] = ()) -> Plan:
    """What the jobs of a draft need of this Blender. May write a rig or a copy of the scene: `MotionQueueError`."""
    app = session.app()
    sent = (app.settings.store_dir or app.folder.path / "artefacts") / submission.SENT
    options: dict[str, Any] = scene_files.render_options(context.scene) if draft.render else {}
    files: dict[str, Path] = {}
    source: dict[str, Any] = {"blend": bpy.data.filepath, "scene": context.scene.name}
    if draft.character is Character.FILE:
        files["character"] = Path(draft.character_file)
        options |= {"character": "file", "armature": draft.armature}
    elif draft.character is Character.BUILTIN:
        options["character"] = "builtin"
    else:
        armature = facts.selected_armature(context)
        source["armature"] = armature.name
        options["armature"] = armature.name
        if draft.render:
            options |= {"character": "scene", "camera": context.scene.camera.name}
            files["scene"] = scene_files.saved_scene(sent)
        else:
            options["character"] = "file"
            files["character"] = scene_files.write_rig(armature, sent)
    return Plan(draft=draft, unique=uuid.uuid4().hex[:6], files=files, options=options, source=source, clips=clips)


def queue(plan: Plan) -> None:
    """Have the worker make jobs of a plan; what becomes of it is told when it is done."""
    app = session.app()
    weight = len(plan.clips) or plan.draft.takes
    session.worker().run(lambda: submission.submit(app, plan), _queued, weight=weight)
    session.changed()


def _queued(result: Submitted | None, error: MotionQueueError | None) -> None:
    follower = session.follower()
    if error is not None:
        follower.notify(Severity.ERROR, str(error), loud=True)
    if result is None:
        return
    if result.summary:
        follower.notify(Severity.ERROR, result.summary, loud=True)
    draft_watch.forget()
    if result.job_ids:
        follower.selected = result.job_ids[0]
        session.changed(result.job_ids[:1])  # the others come with their events


class MOTION_QUEUE_OT_submit(_Submitting, bpy.types.Operator):  # noqa: N801
    """Queue this shot. Blender stays free while it is made"""

    bl_idname = "motion_queue.submit"
    bl_label = "Queue Shot"
    bl_options = {"REGISTER"}  # noqa: RUF012

    __annotations__ = {
        # A script may give these instead of filling in the panel; what is not given is taken from there.
        "source": EnumProperty(name="Source", items=[(s, s.title(), "") for s in Source], options={"SKIP_SAVE", "HIDDEN"}),
        "prompt": StringProperty(name="Prompt", options={"SKIP_SAVE", "HIDDEN"}),
        "clip": StringProperty(name="Clip", subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"}),
        "folder": StringProperty(name="Folder", subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"}),
        "text": StringProperty(name="Text", options={"SKIP_SAVE", "HIDDEN"}),
        "name": StringProperty(name="Name", options={"SKIP_SAVE", "HIDDEN"}),
        "character": EnumProperty(
            name="Character", items=[(c, c.title(), "") for c in Character], options={"SKIP_SAVE", "HIDDEN"}
        ),
        "character_file": StringProperty(name="Character File", subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"}),
        "seconds": FloatProperty(name="Seconds", description="0: as the panel says", options={"SKIP_SAVE", "HIDDEN"}),
        "seed": IntProperty(name="Seed", min=0, options={"SKIP_SAVE", "HIDDEN"}),
        "takes": IntProperty(name="Takes", min=1, default=1, max=100, options={"SKIP_SAVE", "HIDDEN"}),
        "priority": IntProperty(name="Priority", min=0, max=100, default=50, options={"SKIP_SAVE", "HIDDEN"}),
        "render": BoolProperty(name="Render", options={"SKIP_SAVE", "HIDDEN"}),
        "deliver": BoolProperty(name="Save Files", default=True, options={"SKIP_SAVE", "HIDDEN"}),
        "output": StringProperty(name="Output", options={"SKIP_SAVE", "HIDDEN"}),
    }

    def execute(self: Any, context: Context) -> set[str]:
        draft = facts.draft(context)
        given = {name: getattr(self, name) for name in _GIVEN if self.properties.is_property_set(name)}
        if "source" not in given:
            # A script that gives a prompt means a prompt, whatever the panel shows.
            named = [source for name, source in _SOURCES if name in given]
            if named:
                given["source"] = named[0]
        if "source" in given:
            given["source"] = Source(given["source"])
        if "character" in given:
            given["character"] = Character(given["character"])
        if given.get("seconds"):
            given["length"] = Length.SECONDS
        else:
            given.pop("seconds", None)
        if "text" in given:
            draft = draft._replace(facts=facts.facts(context, text=given["text"]))
        draft = draft._replace(**given)
        if draft.render and draft.character is Character.SELECTED:
            draft = draft._replace(facts=draft.facts._replace(unbaked=scene_files.unbaked(context.scene)))
        result: set[str] = self.hand_over(context, draft)
        return result


_GIVEN = tuple(name for name in MOTION_QUEUE_OT_submit.__annotations__)
_SOURCES = (("prompt", Source.PROMPT), ("clip", Source.CLIP), ("folder", Source.FOLDER), ("text", Source.LIST))


class MOTION_QUEUE_OT_submit_clips(_Submitting, bpy.types.Operator):  # noqa: N801
    """Queue BVH files, with the settings of the new shot in the sidebar"""

    bl_idname = "motion_queue.submit_clips"
    bl_label = "Queue Clips"
    bl_options = {"REGISTER"}  # noqa: RUF012

    __annotations__ = {
        "directory": StringProperty(subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"}),
        "files": CollectionProperty(type=bpy.types.OperatorFileListElement, options={"SKIP_SAVE", "HIDDEN"}),
        "filter_glob": StringProperty(default="*.bvh", options={"HIDDEN"}),
    }

    def invoke(self: Any, context: Context, _event: Event) -> set[str]:
        if self.directory and len(self.files):
            result: set[str] = self.execute(context)
            return result
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self: Any, context: Context) -> set[str]:
        folder = Path(bpy.path.abspath(self.directory))
        clips = tuple(str(folder / file.name) for file in self.files if file.name.lower().endswith(checks.CLIP_SUFFIX))
        if not clips:
            self.report({"ERROR"}, "There is no BVH file among these.")
            return {"CANCELLED"}
        if len(clips) > checks.MOST_LINES:
            self.report({"ERROR"}, f"These are more than {checks.MOST_LINES:,} clips. Queue less at once.")
            return {"CANCELLED"}
        draft = facts.draft(context)._replace(source=Source.CLIP, clip=clips[0])
        if len(clips) > 1:
            draft = draft._replace(name="")
        result: set[str] = self.hand_over(context, draft, clips)
        return result


class MOTION_QUEUE_FH_clips(bpy.types.FileHandler):  # noqa: N801
    """BVH files that are dropped into a 3D View."""

    bl_idname = "MOTION_QUEUE_FH_clips"
    bl_label = "Queue for Motion Queue"
    bl_import_operator = "motion_queue.submit_clips"
    bl_file_extensions = ".bvh"

    @classmethod
    def poll_drop(cls, context: Context) -> bool:
        return bool(context.area and context.area.type == "VIEW_3D" and not session.why_not())


CLASSES = (MOTION_QUEUE_OT_submit, MOTION_QUEUE_OT_submit_clips, MOTION_QUEUE_FH_clips)
