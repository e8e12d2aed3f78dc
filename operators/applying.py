# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a finished job's motion onto an armature of the open file, as a new action and one undo step, without freezing the window.

The mathematics runs in a child, the curves are written in slices from the session's timer. Knows the queue by its jobs and its
store; must not change a user's own actions, nor anything while Blender renders.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ..backends import disk
from ..backends.detached import DetachedContext
from ..backends.protocol import ChildKind
from ..backends.retarget import fit, fit_controls
from ..backends.retarget.backend import motion_data
from ..backends.retarget.rig import read_rig
from ..motion.errors import MotionError
from ..motion.rig import Rig
from ..motion.rigify import RigKind, kind
from ..queue.contract import StopReason
from ..queue.errors import MotionQueueError
from . import actions, curves, scene_files
from .curves import ApplyOptions, Bones, Destination, Place
from .target import blocking_mode, check_target, find_target, is_selected, obstacles, some

if TYPE_CHECKING:
    from ..app import App
    from ..queue import Job

_log = logging.getLogger(__name__)

MOTION = "motion.bvh"
_STOP = 0.2  # seconds that the session's end waits for all of them
SLICE = 0.003  # seconds of curves at a time
_SOON, _LATER = 0.02, 0.2  # seconds to the next slice; to the next look while a child computes or Blender renders


class Phase(StrEnum):
    FITTING = "fitting"  # a child computes the keys
    BUILDING = "building"  # the curves are written
    WAITING = "waiting"  # for Blender to end a render, or for a mode in which an undo step holds the change
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What of the open file a motion goes to, by values that survive undo and renaming."""

    object_uid: int
    scene_uid: int
    name: str
    bone_names: tuple[str, ...]
    bones: frozenset[str] | None  # None: all
    first_frame: int
    rate: float  # the scene's, frames a second


class Application:
    """One motion on its way onto one armature. Main thread only, except for `_fit`."""

    def __init__(self, app: App, job: Job, options: ApplyOptions) -> None:
        """Raises what `find_target`, `check_target` and `motion_of` raise, and no_marker; `MotionError("bad_rig")`."""
        self.job_id = job.id
        self.label = job.label or "Motion"
        self.options = options
        self.phase = Phase.FITTING
        self.message = ""
        self.error: MotionQueueError | MotionError | None = None
        self.notes: list[str] = []
        self.action = ""  # its name, once it is there
        self.seconds: dict[str, float] = {}  # what took how long on the main thread: prepare, slices, longest_slice, assign, undo
        began = time.perf_counter()
        clip = motion_of(app, job)
        target = find_target(options.armature)
        check_target(target)
        scene = bpy.context.scene
        rate = scene.render.fps / scene.render.fps_base
        rig, self._unit = read_rig(target)
        self.aim = Aim(
            object_uid=target.session_uid,
            scene_uid=scene.session_uid,
            name=target.name,
            bone_names=rig.names,
            bones=_wanted_bones(target, options),
            first_frame=_first_frame(scene, options, job, rate),
            rate=rate,
        )
        bones = [target.pose.bones[name] for name in rig.names]
        self._paths = {bone.name: bone.path_from_id() for bone in bones}
        self._root_turns = _root_turns(target)
        self._context = DetachedContext(app.store)
        temporary = Path(bpy.app.tempdir)
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="motion-queue-apply-", dir=temporary)
            folder = Path(self._folder.name)
            self._keys = folder / "keys.npz"
            self._child, rig_argument = _hand_over(target, rig, folder)
        except OSError as error:
            raise disk.problem(error, temporary, "The armature could not be handed over") or MotionQueueError(
                "output_not_writable",
                f"Blender's folder for temporary files, {temporary}, cannot be written to ({error.strerror or error}). Save your "
                "work and restart Blender, or choose another one in the preferences (File Paths).",
            ) from error
        self._arguments = {
            **rig_argument,
            "clip": str(clip),
            "target": str(self._keys),
            "fps": rate if options.match_rate else None,
            "tolerance": options.tolerance,
        }
        self._frames = 0
        self._root = ""
        self._made: list[curves.Curve] | None = None
        self._failure: Exception | None = None
        self._builder: actions.ActionBuilder | None = None
        self._children = app.children
        self._thread = threading.Thread(target=self._fit, name="motion-queue-apply", daemon=True)
        self._thread.start()
        self.seconds["prepare"] = time.perf_counter() - began

    @property
    def over(self) -> bool:
        return self.phase in (Phase.DONE, Phase.FAILED)

    @property
    def progress(self) -> float:
        """0–1."""
        if self._builder is None:
            return 0.0 if not self.over else 1.0
        return 0.5 + 0.5 * self._builder.done / max(1, self._builder.total)

    def advance(self, budget: float) -> float:
        """Do what can be done within about `budget` seconds; returns in how many seconds to come again."""
        try:
            return self._advance(budget)
        except (MotionQueueError, MotionError) as error:
            self.fail(error)
        except Exception as error:  # whatever Blender refuses is this motion's failure, not the timer's
            _log.exception("Applying %s failed", self.label)
            self.fail(
                MotionQueueError(
                    "apply_failed",
                    f"The motion {self.label!r} could not be put onto {self.aim.name}: {error}. The log has more; try again.",
                )
            )
        return _SOON

    def fail(self, error: MotionQueueError | MotionError) -> None:
        """End without a trace in the file."""
        self._context.stop(StopReason.CANCEL)
        if self._builder is not None:
            self._builder.discard()
        self.error, self.message, self.phase = error, error.message, Phase.FAILED
        self._made = None

    def wait_fitted(self, timeout: float | None = None) -> bool:
        """Block until the child has computed the keys, or failed: only where no window is."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """The session ends: let the child go."""
        self._context.stop(StopReason.SHUTDOWN)

    def join(self, timeout: float) -> None:
        """Wait for the thread a moment."""
        self._thread.join(max(0.0, timeout))

    def _fit(self) -> None:
        """On a thread of its own, without Blender: wait for the child and make arrays of what it computed."""
        try:
            self._children.run(*self._child, self._arguments, self._context)
            fitted = fit.load_fitted(self._keys)
            self._frames, self._root = fitted.frames, fitted.root
            self.notes += fitted.notes
            made = curves.make_curves(
                fitted,
                first_frame=self.aim.first_frame,
                unit=self._unit,
                paths=self._paths,
                bones=self.aim.bones,
                root_turn=self._root_turns.get(fitted.root),
            )
            if not made:
                raise MotionQueueError(
                    "no_bones_selected",
                    f"The motion moves none of the selected bones of {self.aim.name}. Select others, or apply it whole.",
                )
            self._made = made
        except Exception as error:  # it is raised again on the main thread
            self._failure = error
        finally:
            self._folder.cleanup()

    def _advance(self, budget: float) -> float:
        if self.over:
            return _LATER
        if self._thread.is_alive():
            return _LATER
        if self._failure is not None:
            raise self._failure
        if bpy.app.is_job_running("RENDER"):
            # A render reads the file from its own thread while it runs.
            return self._wait("Waiting until Blender has rendered")
        target, scene = self._found()
        if self._builder is None:
            base = None
            if (
                self.aim.bones is not None
                and self.options.destination is Destination.ACTION
                and target.animation_data is not None
            ):
                base = target.animation_data.action
            assert self._made is not None
            self._builder = actions.ActionBuilder(self.label[:60], target, self._made, base=base)
        began = time.perf_counter()
        built = self._builder.action() is not None and self._builder.done == self._builder.total
        if not built:
            self.phase, self.message = Phase.BUILDING, "Writing the curves"
            built = self._builder.step(budget)
            spent = time.perf_counter() - began
            self.seconds["slices"] = self.seconds.get("slices", 0.0) + spent
            self.seconds["longest_slice"] = max(self.seconds.get("longest_slice", 0.0), spent)
            return 0.0 if built else _SOON  # assigning is a slice of its own
        if (mode := blocking_mode(target)) is not None:
            return self._wait(f"Waiting until you leave {mode}")
        self._assign(target, scene)
        return _LATER

    def _wait(self, why: str) -> float:
        self.phase, self.message = Phase.WAITING, why
        return _LATER

    def _found(self) -> tuple[bpy.types.Object, bpy.types.Scene | None]:
        """The target as it is now. MotionQueueError: armature_gone, armature_changed, and those of `check_target`."""
        target = actions.by_uid(bpy.data.objects, self.aim.object_uid)
        if target is None or target.type != "ARMATURE":
            raise MotionQueueError(
                "armature_gone",
                f"The armature {self.aim.name} is gone, so the motion {self.label!r} was not applied. Apply it to another one.",
            )
        if target.mode != "EDIT":  # in Edit Mode the bones are out of reach, and nothing of it is settled yet
            check_target(target)
            missing = sorted(set(self.aim.bone_names) - {bone.name for bone in target.data.bones})
            if missing:
                raise MotionQueueError(
                    "armature_changed",
                    f"{target.name} has lost bones since the motion was fitted to it ({some(missing)}). Apply the motion again.",
                )
        return target, actions.by_uid(bpy.data.scenes, self.aim.scene_uid)

    def _assign(self, target: bpy.types.Object, scene: bpy.types.Scene | None) -> None:
        """Everything that a person sees, in one go and one undo step."""
        assert self._builder is not None
        began = time.perf_counter()
        action = self._builder.action()
        action.name = self._builder.name
        first, last = self.aim.first_frame, self.aim.first_frame + self._frames - 1
        action.use_frame_range = True
        action.frame_start, action.frame_end = first, max(last, first)
        if self.options.destination is Destination.NLA:
            note = actions.add_strip(target, action, first)
        else:
            note = actions.play(target, action)
        if note:
            self.notes.append(note)
        self.notes += obstacles(target, {curve.group for curve in self._made or ()}, self._root)
        if self.options.extend_range and scene is not None and scene.library is None:
            scene.frame_start, scene.frame_end = max(0, min(scene.frame_start, first)), max(scene.frame_end, last)
        if self.options.mark_asset:
            action.asset_mark()
        self.action = action.name
        pushed = time.perf_counter()
        self.seconds["assign"] = pushed - began
        _push_undo(f"Apply {self.label}"[:63])
        self.seconds["undo"] = time.perf_counter() - pushed
        self.phase, self.message = Phase.DONE, f"{self.action} is on {target.name}, frames {first} to {last}"
        _log.info(
            "%s; longest slice %.1f ms, undo %.1f ms", self.message, *(1e3 * self.seconds[n] for n in ("longest_slice", "undo"))
        )
        self._made = None


# What is being applied in this Blender, in order, and what has ended and was not asked about yet.
_going: list[Application] = []
_ended: list[Application] = []


def begin(app: App, job: Job, options: ApplyOptions | None = None) -> Application:
    """Start to apply a job's motion; the session's timer does the rest. Raises as `Application` does."""
    application = Application(app, job, options or ApplyOptions())
    _going.append(application)
    return application


def tick(budget: float = SLICE) -> float | None:
    """Go on with what is being applied; returns in how many seconds to come again, None when there is nothing to do."""
    if not _going:
        return None
    wait = _going[0].advance(budget)
    if _going[0].over:
        _ended.append(_going.pop(0))
    return wait if _going else None


def finish(application: Application) -> Application:
    """Apply to the end, blocking: for scripts and Blenders without a window. Raises what it failed with."""
    while not application.over:
        application.wait_fitted()
        if application.advance(budget=1.0) >= _LATER and not application.over and application.phase is Phase.WAITING:
            message = application.message
            application.fail(
                MotionQueueError("apply_blocked", f"The motion could not be applied now. {message}, then apply it again.")
            )
    if application in _going:
        _going.remove(application)
    if application.error is not None:
        raise application.error
    return application


def going() -> tuple[Application, ...]:
    """What is being applied, in order."""
    return tuple(_going)


def take_ended() -> list[Application]:
    """What has ended since the last call, well or badly."""
    ended = _ended.copy()
    _ended.clear()
    return ended


def file_opened() -> None:
    """Another file is open: what was meant for the one before is not put into this one."""
    for application in _going:
        application.fail(
            MotionQueueError(
                "file_closed",
                f"Another file was opened before the motion {application.label!r} was on {application.aim.name}. Open that file "
                "and apply it again.",
            )
        )
    _ended.extend(_going)
    _going.clear()


def stop() -> None:
    """The session ends: nothing half-built stays, no thread goes on."""
    deadline = time.monotonic() + _STOP
    for application in _going:
        application.stop()
    for application in _going:
        application.join(deadline - time.monotonic())
    _going.clear()
    _ended.clear()


def motion_of(app: App, job: Job) -> Path:
    """The file with the job's motion. MotionQueueError: no_motion, artefact_missing."""
    found = next((a for a in reversed(job.artefacts) if a.name == MOTION), None)
    if found is None:
        raise MotionQueueError(
            "no_motion", f"The job {job.label or job.id!r} has no motion to apply: it is {job.state}. Wait until it has made one."
        )
    path = app.store.path(found.key)
    if not path.is_file():
        raise MotionQueueError(
            "artefact_missing", f"{MOTION} of {job.label or job.id!r} is no longer there ({path}). Run the job again."
        )
    return path


def _wanted_bones(target: bpy.types.Object, options: ApplyOptions) -> frozenset[str] | None:
    if options.bones is Bones.ALL:
        return None
    selected = frozenset(bone.name for bone in target.pose.bones if is_selected(bone))
    if not selected:
        raise MotionQueueError(
            "no_bones_selected", f"No bone of {target.name} is selected. Select some in Pose Mode, or apply to the whole rig."
        )
    return selected


def _first_frame(scene: bpy.types.Scene, options: ApplyOptions, job: Job, rate: float) -> int:
    if options.place is Place.CURRENT:
        return int(scene.frame_current)
    if options.place is Place.MARKER:
        markers = scene.timeline_markers
        wanted = [m for m in markers if (m.name == options.marker if options.marker else m.select)]
        if not wanted:
            what = f"no marker called {options.marker!r}" if options.marker else "no selected marker"
            raise MotionQueueError(
                "no_marker",
                f"The scene {scene.name} has {what}. Set one in the timeline (M), or place the motion at the current frame.",
                details={"marker": "not in the scene"},
            )
        return int(min(m.frame for m in wanted))
    made = motion_data(job.result).get("fps") or job.payload.get("clip_fps")
    return curves.original_frame(job.payload, float(made) if made else None, rate)


def _hand_over(target: bpy.types.Object, rig: Rig, folder: Path) -> tuple[tuple[ChildKind, str], dict[str, str]]:
    """Write what a child needs of the armature; which child that is, and its arguments.

    A plain armature goes as arrays. One with controls goes as it is: only a Blender can show what they do.
    """
    if kind(rig.names) is RigKind.RIGIFY_CONTROL:
        path = folder / "rig.blend"
        scene_files.save_rig(target, path)
        return (ChildKind.BLENDER, fit_controls.ENTRY), {"character": str(path), "armature": target.name}
    path = folder / "rig.npz"
    fit.save_rig(path, rig, tuple(target.pose.bones[name].rotation_mode for name in rig.names))
    return (ChildKind.PYTHON, fit.ENTRY), {"rig": str(path)}


def _root_turns(target: bpy.types.Object) -> dict[str, Any]:
    """Of bones whose location is keyed in their parent's axes (or the armature's) instead of their own: the turn between them."""
    return {
        bone.name: np.array(
            (bone.parent.matrix_local.inverted() @ bone.matrix_local if bone.parent else bone.matrix_local).to_3x3()
        )
        for bone in target.data.bones
        if not bone.use_local_location
    }


def _push_undo(message: str) -> None:
    """One undo step.

    A timer has no window, and none is made up by `temp_override`: an operator lets go of Python's lock, and under an override
    Blender looks into that without taking it again where the Python is 3.11 (Blender 4.2 to 5.0). With the queue's threads at
    work that ends in a segmentation fault. None is needed either: `blocking_mode` has seen to it that no window is in a mode
    whose undo steps hold less than the whole file.
    """
    bpy.ops.ed.undo_push(message=message)
