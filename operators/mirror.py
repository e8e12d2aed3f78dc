# SPDX-License-Identifier: GPL-3.0-or-later
"""`Scene.motion_queue`: written when a job's state changes and when the file is saved, read when one is opened, so that a .blend
carries its jobs with it.

The queue's journal is the truth and wins wherever both are there. What a file brings that this queue has never had is offered: a
person resumes or discards it. Undo, loading and appending change the copy at most, never the queue.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.app.handlers import persistent

from ..panels import carried as carried_panel
from ..persistence import mirror
from ..persistence.mirror import CarriedJob
from ..queue.errors import MotionQueueError
from . import carrying, scene_files, session
from .carrying import Resumable, TakenUp
from .composing import Composed, Composer, OpenFile

if TYPE_CHECKING:
    from bpy.types import Context

    from ..app import App
    from ..panels.follower import Follower

_log = logging.getLogger(__name__)

NAME = "motion_queue"
_EVERY = 1.0  # seconds between two looks at what has changed
SENT = "carried"  # a folder in the store, for rigs that are taken from the open file


class MOTION_QUEUE_PG_mirror(bpy.types.PropertyGroup):  # noqa: N801
    """The jobs of this file, as it carries them."""

    data: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Jobs", description="Unfinished and last finished jobs of this file, kept up to date by the queue"
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """What the open file carries and this queue does not have."""

    jobs: tuple[CarriedJob, ...] = ()  # unfinished ones; in their order
    finished: tuple[CarriedJob, ...] = ()  # for reading only
    left_out: int = 0  # unfinished ones that were too many for the file
    problem: str = ""  # why nothing, or not all, could be read

    def __bool__(self) -> bool:
        return bool(self.jobs)


class _File:
    """What is known of the open file."""

    def __init__(self) -> None:
        self.opened_at = time.time()
        self.texts: dict[str, str] | None = None  # scene → what it carried when the file was opened; None: not looked at yet
        self.read = False
        self.own: frozenset[str] = frozenset()  # its jobs that are in this queue's journal
        self.offer = Offer()
        self.kept: dict[str, str] = {}  # scene → what it carries and this version cannot read
        self.mirrored: tuple[object, ...] = ()  # of what it carries already; empty: look again
        self.mirrored_at = 0.0  # on the monotonic clock
        self.composing = False  # on the worker


_file = _File()
_composer = Composer()


def offer() -> Offer:
    """What a person may resume or discard; empty where there is nothing."""
    return _file.offer


def look(app: App) -> Offer:
    """Read what the open file carries, once; the session does it where there is a window."""
    if _file.read:
        return _file.offer
    _file.read = True
    owner = session.owner()
    jobs: dict[str, CarriedJob] = {}
    left_out, problems = 0, []
    for scene, text in (_texts() if _file.texts is None else _file.texts).items():
        try:
            carried = mirror.decode(text)
        except MotionQueueError as error:
            problems.append(str(error))
            if error.code == "mirror_too_new":
                _file.kept[scene] = text
            continue
        jobs.update((job.id, job) for job in carried.jobs)
        left_out += carried.left_out
    own = {job.id for job in jobs.values() if job.owner == owner or _known(app, job.id)}
    strange = [job for job in jobs.values() if job.id not in own]
    _file.own |= own
    found = Offer(
        jobs=tuple(job for job in strange if not job.over),
        finished=tuple(job for job in strange if job.over),
        left_out=left_out if strange else 0,
        problem=" ".join(problems),
    )
    return _offer(found)


def resume(app: App, jobs: Sequence[CarriedJob] | None = None) -> TakenUp:
    """Queue what is offered (or some of it) here. Blocks while files are read: for scripts."""
    wanted = _resumables(app, _file.offer.jobs if jobs is None else jobs)
    return _taken(carrying.take_up(app, wanted, bpy.data.filepath))


def discard(jobs: Sequence[CarriedJob] | None = None) -> int:
    """Forget what is offered (or some of it): it leaves the file when that is saved. How many."""
    gone = {job.id for job in (_file.offer.jobs if jobs is None else jobs)}
    left = tuple(job for job in _file.offer.jobs if job.id not in gone)
    count = len(_file.offer.jobs) - len(left)
    _offer(replace(_file.offer, jobs=left, left_out=_file.offer.left_out if left else 0))
    return count


def write(app: App, path: str = "") -> None:
    """Write this file's jobs into its scenes, as they are now. `path`: where the file is saved, if not where it was."""
    look(app)  # what is there and not yet read must not be lost
    if (file := _open_file(path)) is not None:
        _put(_composer.compose(app.engine, session.follower().jobs.rows(), file), file)


def _open_file(path: str = "") -> OpenFile | None:
    """As plain values. None where this installation has no name: then its jobs could not be told from another one's."""
    if not (owner := session.owner()):
        return None
    blend = bpy.data.filepath
    return OpenFile(
        owner=owner,
        blend=blend,
        path=path or blend,
        opened_at=_file.opened_at,
        scenes=tuple(scene.name for scene in bpy.data.scenes if scene.library is None and scene.name not in _file.kept),
        own=_file.own,
        offered=(*_file.offer.jobs, *_file.offer.finished),
    )


def _put(composed: Composed, file: OpenFile) -> None:
    """Give the scenes their texts. Writing such a property makes no undo step, and does not mark the file as changed."""
    if _file.own is file.own:
        _file.own = composed.own  # of ten thousand jobs a set is not made anew without need
    else:
        _file.own = _file.own - (file.own - composed.own) | composed.own  # without those that were cleared
    for name, text in composed.texts.items():
        scene: Any = bpy.data.scenes.get(name)
        if scene is not None and scene.library is None and text != _text(scene):
            getattr(scene, NAME).data = text


def _keep_up(app: App, follower: Follower) -> None:
    """Write what has changed since, once a second at most; the texts are made on the interface's worker."""
    now = time.monotonic()
    if _file.composing or now - _file.mirrored_at < _EVERY:
        return
    if bpy.app.is_job_running("RENDER"):
        return  # a render reads the scenes from its own thread
    file = _open_file()
    state = (follower.jobs.settled, file)
    if file is None or state == _file.mirrored:
        return
    opened = _file
    rows = tuple(follower.jobs.rows())

    def done(composed: Composed | None, error: MotionQueueError | None) -> None:
        opened.composing = False
        if error is not None:
            _log.error("The file's jobs could not be gathered for it: %s", error)
        elif composed is not None and opened is _file:
            _put(composed, file)
            opened.mirrored = (state[0], replace(file, own=opened.own))

    opened.composing, opened.mirrored_at = True, now
    session.worker().run(lambda: _composer.compose(app.engine, rows, file), done)


def _offer(found: Offer) -> Offer:
    """Keep it, and show it."""
    _file.offer = found
    carried_panel.offer(tuple(job.label or job.id for job in found.jobs))
    return found


def _known(app: App, job_id: str) -> bool:
    try:
        app.engine.get(job_id)
    except MotionQueueError as error:
        if error.code != "no_such_job":
            raise
        return False
    return True


def _texts() -> dict[str, str]:
    return {scene.name: _text(scene) for scene in bpy.data.scenes}


def _text(scene: bpy.types.Scene) -> str:
    value = getattr(getattr(scene, NAME, None), "data", "")
    return value if isinstance(value, str) else ""


def _resumables(app: App, jobs: Sequence[CarriedJob]) -> list[Resumable]:
    """With rigs of the open file for those whose own is gone. Main thread."""
    found = []
    rigs: dict[str, Any] = {}
    blend = bpy.data.filepath
    for job in jobs:
        files: dict[str, Path] = {}
        armature = bpy.data.objects.get(job.armature) if job.armature else None
        for name in carrying.missing_inputs(job, blend):
            if name in ("character", "scene") and armature is not None and armature.type == "ARMATURE":
                if armature.name not in rigs:
                    folder = (app.settings.store_dir or app.folder.path / "artefacts") / SENT
                    rigs[armature.name] = scene_files.write_rig(armature, folder)
                files[name] = rigs[armature.name]
        found.append(Resumable(job=job, files=files))
    return found


def _taken(result: TakenUp) -> TakenUp:
    done = frozenset(result.job_ids)
    _file.own |= done
    _offer(replace(_file.offer, jobs=tuple(job for job in _file.offer.jobs if job.id not in done)))
    return result


class _Carried:
    @classmethod
    def poll(cls, _context: Context) -> bool:
        if reason := session.why_not():
            cls.poll_message_set(reason)
            return False
        if not _file.offer:
            cls.poll_message_set("The file carries no unfinished jobs of another machine")
            return False
        return True


class MOTION_QUEUE_OT_resume_carried(_Carried, bpy.types.Operator):  # noqa: N801
    """Queue the unfinished jobs that this file brought from another machine"""

    bl_idname = "motion_queue.resume_carried"
    bl_label = "Resume Carried Jobs"
    bl_options = {"REGISTER"}  # noqa: RUF012

    def execute(self, _context: Context) -> set[Any]:
        try:
            app = session.app()
            if bpy.app.background:
                _told(resume(app), None)
            else:
                wanted, blend = _resumables(app, _file.offer.jobs), bpy.data.filepath
                session.worker().run(lambda: carrying.take_up(app, wanted, blend), _told, weight=len(wanted))
        except MotionQueueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class MOTION_QUEUE_OT_discard_carried(_Carried, bpy.types.Operator):  # noqa: N801
    """Forget the unfinished jobs that this file brought from another machine; saving the file removes them from it"""

    bl_idname = "motion_queue.discard_carried"
    bl_label = "Discard Carried Jobs"
    bl_options = {"REGISTER"}  # noqa: RUF012

    def execute(self, _context: Context) -> set[Any]:
        count = discard()
        self.report({"INFO"}, f"{count} carried jobs were discarded")
        session.changed()
        return {"FINISHED"}


def _told(result: TakenUp | None, error: MotionQueueError | None) -> None:
    from ..panels.snapshot import Severity  # noqa: PLC0415 (only where there are panels)

    follower = session.follower()
    if error is not None:
        follower.notify(Severity.ERROR, str(error), loud=True)
    if result is None:
        return
    _taken(result)
    for label, why in result.refused[:5]:
        follower.notify(Severity.ERROR, f"{label} was not resumed: {why}")
    if result.job_ids:
        follower.notify(Severity.INFO, f"{len(result.job_ids)} jobs of this file were resumed.")
    session.changed(result.job_ids[:50])


def _ticker(app: App, follower: Follower) -> bool:
    """Read the open file as soon as there is a queue to compare it with; from then on, keep what it carries up to date."""
    from ..panels.snapshot import Severity  # noqa: PLC0415 (as above)

    if _file.read:
        _keep_up(app, follower)
        return False
    found = look(app)
    if found.problem:
        follower.notify(Severity.WARNING, found.problem)
    if found:
        more = f" ({found.left_out} more did not fit into the file)" if found.left_out else ""
        follower.notify(
            Severity.WARNING,
            f"This file carries {len(found.jobs)} unfinished jobs of another machine{more}: resume or discard them.",
            loud=True,
        )
    return False


@persistent  # type: ignore[untyped-decorator]
def _saving(*arguments: Any) -> None:
    try:
        app = session.app()
    except MotionQueueError:
        return  # without a queue nothing has changed: the file keeps what it carries
    try:
        path = next((a for a in arguments if isinstance(a, str) and a), "")
        write(app, path)
    except Exception:
        # Nothing that the queue keeps for itself may keep a person from saving.
        _log.exception("The file's jobs could not be written into it")


@persistent  # type: ignore[untyped-decorator]
def _undone(*_: Any) -> None:
    """Undo brings scenes back as they were, with the jobs of that time."""
    _file.mirrored = ()


@persistent  # type: ignore[untyped-decorator]
def _opened(*_: Any) -> None:
    global _file  # noqa: PLW0603 (there is one open file)
    _file = _File()
    _offer(Offer())
    _file.texts = _texts()  # before scenes of other files can be appended


_HANDLERS = (("save_pre", _saving), ("load_post", _opened), ("undo_post", _undone), ("redo_post", _undone))
CLASSES = (MOTION_QUEUE_PG_mirror, MOTION_QUEUE_OT_resume_carried, MOTION_QUEUE_OT_discard_carried)


def register() -> None:
    """What is no class."""
    global _file  # noqa: PLW0603 (there is one open file)
    setattr(bpy.types.Scene, NAME, bpy.props.PointerProperty(type=MOTION_QUEUE_PG_mirror))
    _file = _File()  # while Blender starts, its data is out of reach
    _offer(Offer())
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)
    session.add_ticker(_ticker)


def unregister() -> None:
    """The files keep what they carry."""
    session.remove_ticker(_ticker)
    for name, handler in _HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if handler in handlers:
            handlers.remove(handler)
    if hasattr(bpy.types.Scene, NAME):
        delattr(bpy.types.Scene, NAME)
