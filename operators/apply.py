# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator that applies a job's motion to an armature. What it does is in `applying`; this is its face in Blender."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import bpy
from bpy.app.handlers import persistent

from ..motion.errors import MotionError
from ..panels import preferences
from ..panels.snapshot import Severity
from ..queue.channel import Event
from ..queue.errors import MotionQueueError
from . import applying, session
from .curves import DEFAULT_TOLERANCE, ApplyOptions, Bones, Destination, Place
from .target import active_target, check_target, no_armature

if TYPE_CHECKING:
    from bpy.types import Context

    from ..app import App

_PLACES = (
    (Place.CURRENT, "Current Frame", "Begin at the current frame"),
    (Place.MARKER, "Marker", "Begin at the selected marker, or the one that is named"),
    (Place.ORIGINAL, "Original Frame", "Begin where the motion began in its clip; a generated one begins at frame 1"),
)
_DESTINATIONS = (
    (Destination.ACTION, "Active Action", "A new action that the armature plays; the one before stays in the file"),
    (Destination.NLA, "NLA Strip", "A new action on an NLA track of its own, above the others"),
)
_BONES = (
    (Bones.ALL, "Whole Rig", "Every bone that the motion moves"),
    (Bones.SELECTED, "Selected Bones", "Only the selected bones; all others keep what the active action does with them"),
)


def _items(values: tuple[tuple[Any, str, str], ...]) -> list[tuple[str, str, str]]:
    return [(str(value), name, description) for value, name, description in values]


class MOTION_QUEUE_OT_apply(bpy.types.Operator):  # noqa: N801 - Blender's own pattern
    """Put the motion of a job onto an armature, as a new action"""

    bl_idname = "motion_queue.apply"
    bl_label = "Apply Motion"
    bl_options = {"REGISTER"}  # noqa: RUF012 - no UNDO: the undo step is pushed when the motion is on the armature

    job_id: bpy.props.StringProperty(name="Job", description="The job whose motion is applied", options={"SKIP_SAVE"})  # type: ignore[valid-type]
    armature: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Armature", description="Name of the armature; empty: the active one, or the only one", options={"SKIP_SAVE"}
    )
    ask: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Ask", description="Show the options first", default=False, options={"SKIP_SAVE", "HIDDEN"}
    )
    place: bpy.props.EnumProperty(name="Begin At", description="Where the motion begins", items=_items(_PLACES))  # type: ignore[valid-type]
    marker: bpy.props.StringProperty(name="Marker", description="Name of the marker; empty: the selected one")  # type: ignore[valid-type]
    match_rate: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Match Frame Rate", description="Keep the motion's own speed at the scene's frame rate", default=True
    )
    destination: bpy.props.EnumProperty(name="As", description="What becomes of the motion", items=_items(_DESTINATIONS))  # type: ignore[valid-type]
    bones: bpy.props.EnumProperty(name="Bones", description="Which bones get keys", items=_items(_BONES))  # type: ignore[valid-type]
    tolerance: bpy.props.FloatProperty(  # type: ignore[valid-type]
        name="Reduce Within",
        description="How far a bone may be off between keys; 0 keeps a key in every frame",
        default=DEFAULT_TOLERANCE,
        min=0.0,
        max=0.35,
        step=1,
        precision=2,
        subtype="ANGLE",
    )
    extend_range: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Extend Frame Range", description="Make the scene's frame range long enough for the motion", default=False
    )
    mark_asset: bpy.props.BoolProperty(name="Mark as Asset", description="Show the action in the asset browser", default=False)  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: Context) -> bool:
        # Asked with each redraw: not all objects of a scene are looked at. A name that is given later may still be a target.
        if not bpy.data.armatures:
            cls.poll_message_set(no_armature().message)
            return False
        try:
            if (active := active_target()) is not None:
                check_target(active)
        except MotionQueueError as error:
            if error.code == "armature_in_edit_mode":
                cls.poll_message_set(error.message)
                return False
        return True

    @classmethod
    def description(cls, _context: Context, properties: Any) -> str:
        return "Choose where and how the motion of this job is applied" if properties.ask else cls.__doc__ or ""

    def invoke(self, context: Context, _event: Any) -> set[Any]:
        if self.ask:
            return set(context.window_manager.invoke_props_dialog(self, confirm_text="Apply"))
        return self.execute(context)

    def execute(self, context: Context) -> set[Any]:
        options = ApplyOptions(
            armature=self.armature,
            place=Place(self.place),
            marker=self.marker,
            match_rate=self.match_rate,
            destination=Destination(self.destination),
            bones=Bones(self.bones),
            tolerance=self.tolerance,
            extend_range=self.extend_range,
            mark_asset=self.mark_asset,
        )
        try:
            app = session.start() if bpy.app.background else session.app()
            application = applying.begin(app, app.engine.get(self.job_id), options)
            if bpy.app.background:
                applying.finish(application)
            else:
                _go_on()
        except (MotionQueueError, MotionError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for note in application.notes:
            self.report({"WARNING"}, note)
        self.report({"INFO"}, application.message or f"Applying {application.label} to {application.aim.name}")
        return {"FINISHED"}

    def draw(self, context: Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "place")
        if self.place == Place.MARKER:
            layout.prop_search(self, "marker", context.scene, "timeline_markers")
        for name in ("match_rate", "destination", "bones", "tolerance", "extend_range", "mark_asset"):
            layout.prop(self, name)


CLASSES = (MOTION_QUEUE_OT_apply,)


def _go_on() -> None:
    if not bpy.app.timers.is_registered(_timer):
        # File loads end what is being applied, and that has to be told.
        bpy.app.timers.register(_timer, first_interval=0.1, persistent=True)


def _timer() -> float | None:
    """Goes on with what is being applied; Blender drops it once there is nothing left to do."""
    wait = applying.tick()
    for ended in applying.take_ended():
        _tell(ended)
    return wait


def _tell(ended: applying.Application) -> None:
    try:
        follower = session.follower()
    except MotionQueueError:
        return  # the queue was closed meanwhile, and its notices with it
    if ended.error is not None:
        follower.notify(Severity.ERROR, f"{ended.error.message} [{ended.error.code}]", job_id=ended.job_id)
    else:
        text = " ".join([f"{ended.message}.", *ended.notes])
        follower.notify(Severity.WARNING if ended.notes else Severity.INFO, text, job_id=ended.job_id)
    session.changed()


class _Automatic:
    """Applies what is finished by itself, where that is wished and the file that it was made for is open."""

    def __init__(self) -> None:
        self.opened_at = time.time()  # the file
        self._app: App | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._completed: list[str] = []

    def tick(self, app: App, _follower: Any) -> bool:
        """The session's ticker."""
        if app is not self._app:
            self.stop()
            self._app, self._unsubscribe = app, app.engine.subscribe(self._event)
        completed, self._completed = self._completed, []
        if completed and preferences.read().apply_automatically:
            for job_id in completed:
                self.apply(app, job_id)
        return False

    def stop(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._app = self._unsubscribe = None
        self._completed.clear()

    def apply(self, app: App, job_id: str) -> bool:
        """Begin to apply a job's motion to the armature it was made for; False where that is not in the open scene."""
        try:
            job = app.engine.get(job_id)
        except MotionQueueError:
            return False  # cleared meanwhile
        armature = str(job.source.get("armature") or "")
        here = job.source.get("blend") == bpy.data.filepath and job.source.get("scene") == bpy.context.scene.name
        if not armature or not here or (not bpy.data.filepath and job.created_at < self.opened_at):
            return False
        try:
            applying.begin(app, job, ApplyOptions(armature=armature, place=Place.ORIGINAL))
        except (MotionQueueError, MotionError) as error:
            session.follower().notify(Severity.WARNING, f"{job.label} was not applied by itself: {error}", job_id=job_id)
            return False
        _go_on()
        return True

    def _event(self, event: Event) -> None:
        record = event.record
        if record is not None and record.name == "job_completed":
            self._completed.append(record.job)


_automatic = _Automatic()


@persistent  # type: ignore[untyped-decorator]
def _file_opened(*_: object) -> None:
    _automatic.opened_at = time.time()
    applying.file_opened()


def register() -> None:
    """What is no class."""
    bpy.app.handlers.load_post.append(_file_opened)
    session.add_ticker(_automatic.tick)


def unregister() -> None:
    """Before the engine ends: nothing half-built stays."""
    if bpy.app.timers.is_registered(_timer):
        bpy.app.timers.unregister(_timer)
    session.remove_ticker(_automatic.tick)
    _automatic.stop()
    applying.stop()
    if _file_opened in bpy.app.handlers.load_post:
        bpy.app.handlers.load_post.remove(_file_opened)
