# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person can look at: folders, videos, logs, the text of an error; and the files of a job, to be deleted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import StringProperty

from ..panels import properties, snapshot, words
from ..queue.errors import MotionQueueError
from . import files, session
from .base import JOB_ID, JobOperator, none_finished

if TYPE_CHECKING:
    from bpy.types import Context, Event

LOG_PREFIX = "Log "  # of the texts that show logs
_MOST_LOG = 1 << 20  # bytes
_FEW_LINES = 20  # fit into every text editor
_LIVE_EVERY = 10  # ticks between two looks at logs that are shown

_live: dict[str, tuple[str, int]] = {}  # job id → its text datablock, and how much of the log that holds
_ticks = 0


class MOTION_QUEUE_OT_open_folder(JobOperator, bpy.types.Operator):  # noqa: N801
    """Open the folder with the job's results"""

    bl_idname = "motion_queue.open_folder"
    bl_label = "Open Folder"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(lambda counts: "" if counts.total else "There is no job")
    __annotations__ = {"job_id": JOB_ID}

    def act(self: Any, _context: Context) -> Sequence[str]:
        job = session.app().engine.get(self.chosen())
        folder = files.folder_of(session.app(), job)
        if folder is None:
            raise MotionQueueError("no_output_folder", "The job has no files yet.")
        bpy.ops.wm.path_open(filepath=str(folder))
        return ()


class MOTION_QUEUE_OT_open_file(JobOperator, bpy.types.Operator):  # noqa: N801
    """Open the file with the program of the system"""

    bl_idname = "motion_queue.open_file"
    bl_label = "Open"
    bl_options = {"REGISTER"}  # noqa: RUF012
    __annotations__ = {
        "job_id": JOB_ID,
        "name": StringProperty(name="File", description="Name of the result", options={"SKIP_SAVE", "HIDDEN"}),
    }

    def act(self: Any, _context: Context) -> Sequence[str]:
        path = _result(self.chosen(), self.name)
        bpy.ops.wm.path_open(filepath=str(path))
        return ()


class MOTION_QUEUE_OT_import_file(JobOperator, bpy.types.Operator):  # noqa: N801
    """Import the file into this scene"""

    bl_idname = "motion_queue.import_file"
    bl_label = "Import"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012
    __annotations__ = {
        "job_id": JOB_ID,
        "name": StringProperty(name="File", description="Name of the result", options={"SKIP_SAVE", "HIDDEN"}),
    }

    def act(self: Any, context: Context) -> Sequence[str]:
        path = _result(self.chosen(), self.name)
        suffix = path.suffix.lower()
        try:
            if suffix == ".fbx":
                bpy.ops.import_scene.fbx(filepath=str(path))
            elif suffix == ".bvh":
                bpy.ops.import_anim.bvh(filepath=str(path), global_scale=1.0, update_scene_fps=False)
            elif suffix == ".mp4":
                clip = bpy.data.movieclips.load(str(path), check_existing=True)
                self.report({"INFO"}, f"{clip.name} is in this file now, as a movie clip")
            else:
                raise MotionQueueError("cannot_import", f"{path.name} is nothing that Blender imports.")
        except (RuntimeError, AttributeError) as error:
            # AttributeError: the user switched the importing add-on off.
            raise MotionQueueError("cannot_import", f"{path.name} was not imported: {str(error).strip()}") from error
        return ()


class MOTION_QUEUE_OT_copy_error(JobOperator, bpy.types.Operator):  # noqa: N801
    """Copy what went wrong, with its code, as text"""

    bl_idname = "motion_queue.copy_error"
    bl_label = "Copy Error"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(lambda counts: "" if counts.total else "There is no job")
    __annotations__ = {"job_id": JOB_ID}

    def act(self: Any, context: Context) -> Sequence[str]:
        job = session.app().engine.get(self.chosen())
        text = files.error_text(job, log=session.app().store.log_path(job.id))
        if not text:
            raise MotionQueueError("no_error", "Nothing went wrong with this job.")
        context.window_manager.clipboard = text
        self.report({"INFO"}, "The error was copied")
        return ()


class MOTION_QUEUE_OT_show_log(JobOperator, bpy.types.Operator):  # noqa: N801
    """Show the job's log in a text editor; it grows while the job runs"""

    bl_idname = "motion_queue.show_log"
    bl_label = "Show Log"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(lambda counts: "" if counts.total else "There is no job")
    __annotations__ = {"job_id": JOB_ID}

    def act(self: Any, context: Context) -> Sequence[str]:
        job_id = self.chosen()
        job = session.app().engine.get(job_id)
        log = session.app().store.log_path(job_id)
        name = f"{LOG_PREFIX}{words.clean(job.label)[:40] or job_id[:8]}"
        text = bpy.data.texts.get(_live[job_id][0]) if job_id in _live else None
        if text is None:
            text = bpy.data.texts.new(name)
        content = files.tail(log, _MOST_LOG)
        text.from_string(content.text or "The job has written nothing yet.\n")
        text.cursor_set(max(0, len(text.lines) - 1))
        _live[job_id] = (text.name, content.end)
        session.add_ticker(follow_logs)
        editor = _text_editor(context)
        if editor is None:
            self.report({"INFO"}, f"The log is the text {text.name!r}")
        else:
            editor.text = text
            _show_end(text)
        return ()


class MOTION_QUEUE_OT_delete_files(JobOperator, bpy.types.Operator):  # noqa: N801
    """Delete the files that the job has made, also those in its output folder"""

    bl_idname = "motion_queue.delete_files"
    bl_label = "Delete Files"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(none_finished)
    __annotations__ = {"job_id": JOB_ID}

    def invoke(self: Any, context: Context, _event: Event) -> set[str]:
        try:
            self.job_id = self.chosen()
            self._found = files.made_by(session.app(), session.app().engine.get(self.job_id))
        except MotionQueueError as error:
            self.report({"ERROR"}, error.message)
            return {"CANCELLED"}
        result: set[str] = context.window_manager.invoke_props_dialog(self, width=500)
        return result

    def draw(self: Any, _context: Context) -> None:
        column = self.layout.column(align=True)
        for each in self._found[:12]:
            column.label(text=f"{each.path.name}: {words.size(each.size)}", icon="FILE")
        if len(self._found) > 12:
            column.label(text=f"… and {len(self._found) - 12} more", icon="BLANK1")
        whole = words.size(sum(each.size for each in self._found))
        column.label(text=f"{words.plural(len(self._found), 'file')}, {whole}. This cannot be undone.", icon="ERROR")

    def act(self: Any, _context: Context) -> Sequence[str]:
        app = session.app()
        job = app.engine.get(self.chosen())
        if not job.finished:
            raise MotionQueueError("wrong_state", f"The job is {job.state}; its files are in use.")
        follower = session.follower()

        def done(result: Any, error: MotionQueueError | None) -> None:
            if error is not None:
                follower.notify(snapshot.Severity.ERROR, str(error))
            else:
                count, size = result
                follower.notify(
                    snapshot.Severity.INFO, f"{words.plural(count, 'file')} of {job.label} deleted ({words.size(size)})."
                )
            session.changed((job.id,))

        session.worker().run(lambda: files.delete(app, job), done)
        return ()


class MOTION_QUEUE_OT_select(JobOperator, bpy.types.Operator):  # noqa: N801
    """Show this job's details"""

    bl_idname = "motion_queue.select"
    bl_label = "Select Job"
    bl_options = {"INTERNAL"}  # noqa: RUF012
    __annotations__ = {"job_id": JOB_ID}

    def act(self: Any, _context: Context) -> Sequence[str]:
        session.app().engine.get(self.job_id)
        session.follower().selected = self.job_id
        return ()


class MOTION_QUEUE_OT_fold(JobOperator, bpy.types.Operator):  # noqa: N801
    """Hide the jobs of this batch, or show them again"""

    bl_idname = "motion_queue.fold"
    bl_label = "Fold Batch"
    bl_options = {"INTERNAL"}  # noqa: RUF012
    __annotations__ = {"batch_id": StringProperty(options={"SKIP_SAVE", "HIDDEN"})}

    def act(self: Any, _context: Context) -> Sequence[str]:
        properties.fold(self.batch_id)
        return ()


class MOTION_QUEUE_OT_clear_notices(JobOperator, bpy.types.Operator):  # noqa: N801
    """Take these notices away"""

    bl_idname = "motion_queue.clear_notices"
    bl_label = "Clear Notices"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    def act(self: Any, _context: Context) -> Sequence[str]:
        session.follower().clear_notices()
        return ()


def follow_logs(app: Any, follower: Any) -> bool:
    """A ticker: logs that are shown grow, once a second."""
    global _ticks  # noqa: PLW0603
    _ticks = (_ticks + 1) % _LIVE_EVERY
    if _ticks:
        return bool(_live)
    for job_id, (name, end) in list(_live.items()):
        text: Any = bpy.data.texts.get(name)
        row = follower.jobs.get(job_id)
        if text is None:
            del _live[job_id]  # deleted, or another file was opened
            continue
        content = files.tail(app.store.log_path(job_id), _MOST_LOG, start=end)
        if content.text:
            if content.from_start:
                text.from_string(content.text)
            else:
                text.cursor_set(len(text.lines) - 1, character=len(text.lines[-1].body))
                text.write(content.text)
            _show_end(text)
            _live[job_id] = (name, content.end)
        elif row is None or row.over:
            del _live[job_id]
    if not _live:
        session.remove_ticker(follow_logs)
    return bool(_live)


def _result(job_id: str, name: str) -> Path:
    details = snapshot.current().details
    if details is None or details.id != job_id:
        session.select(job_id)
        details = snapshot.current().details
    found = next((file for file in details.files if file.name == name), None) if details is not None else None
    if found is None:
        raise MotionQueueError("no_output_folder", f"The job has made no {name or 'such file'}.")
    if not Path(found.path).is_file():
        raise MotionQueueError("artefact_missing", f"{found.path} is no longer there. Retry the job to make it anew.")
    return Path(found.path)


def _text_editor(context: Context) -> Any:
    """A text editor's space: one that is open, else the area under the mouse where that may become one; None without a window."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "TEXT_EDITOR":
                return area.spaces.active
    if bpy.app.background or context.window is None:
        return None
    bpy.ops.screen.userpref_show("INVOKE_DEFAULT")
    area = context.window_manager.windows[-1].screen.areas[0]
    area.ui_type = "TEXT_EDITOR"
    return area.spaces.active


def _show_end(text: Any) -> None:
    """Have editors show as many of a text's last lines as there is room for: Blender puts the cursor's line at the top."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            space: Any = area.spaces.active
            if area.type == "TEXT_EDITOR" and space.text == text:
                room = space.visible_lines or _FEW_LINES  # before it is drawn it does not know
                space.top = max(0, len(text.lines) - room + 1)


def unregister() -> None:
    _live.clear()


CLASSES = (
    MOTION_QUEUE_OT_open_folder,
    MOTION_QUEUE_OT_open_file,
    MOTION_QUEUE_OT_import_file,
    MOTION_QUEUE_OT_copy_error,
    MOTION_QUEUE_OT_show_log,
    MOTION_QUEUE_OT_delete_files,
    MOTION_QUEUE_OT_select,
    MOTION_QUEUE_OT_fold,
    MOTION_QUEUE_OT_clear_notices,
)
