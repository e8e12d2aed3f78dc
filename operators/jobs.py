# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person can do to jobs and to the queue: cancel, pause, reorder, retry, clear. Each is one call of the engine.

Without a job id an operator means the selected job. None of them is an undo step: the queue is no part of the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..app import HOLD_AT_START
from ..backends.generate.options import MAX_SECONDS, MAX_SEED, MIN_SECONDS
from ..backends.generate.prompt import MAX_CHARACTERS
from ..backends.workflows import SHOT
from ..panels import compat, snapshot, words
from ..panels.view import batch_title
from ..queue.contract import JobState
from ..queue.errors import MotionQueueError
from ..queue.model import Job
from . import opening, session
from .base import JOB_ID, JobOperator, none_finished, none_unfinished

if TYPE_CHECKING:
    from bpy.types import Context, Event

WORTH_ASKING = 300.0  # seconds of work that are lost
_MANY = 50  # jobs in one call on the main thread
_PIECE = 10  # jobs in one call on another: the main thread asks the engine too, and waits for its lock
_BREATH = 0.001  # seconds between two calls, so that it gets it


class MOTION_QUEUE_OT_cancel(JobOperator, bpy.types.Operator):  # noqa: N801
    """Cancel the job. What it has made so far is lost"""

    bl_idname = "motion_queue.cancel"
    bl_label = "Cancel Job"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(none_unfinished)

    __annotations__ = {
        "job_id": JOB_ID,
        "batch_id": StringProperty(
            name="Batch", description="Cancel all jobs of this batch instead", options={"SKIP_SAVE", "HIDDEN"}
        ),
    }

    def invoke(self: Any, context: Context, event: Event) -> set[str]:
        try:
            question = self._question()
        except MotionQueueError as error:
            self.report({"ERROR"}, error.message)
            return {"CANCELLED"}
        if question:
            return compat.confirm(self, context, event, title="Cancel?", message=question, button="Cancel Work")
        result: set[str] = self.execute(context)
        return result

    def _question(self: Any) -> str:
        if self.batch_id:
            group = snapshot.current().jobs.group(self.batch_id)
            left = group.total - group.done
            return f"{words.plural(left, 'job')} of {batch_title(self.batch_id)} will be cancelled." if left > 1 else ""
        job = session.app().engine.get(self.chosen())
        if job.finished or job.processing_time <= WORTH_ASKING:
            return ""
        return f"{words.duration(job.processing_time)} of work on {words.clean(job.label)} will be lost."

    def act(self: Any, _context: Context) -> Sequence[str]:
        engine = session.app().engine
        if self.batch_id:
            return engine.cancel_batch(self.batch_id).job_ids[:50]
        job_id = self.chosen()
        if engine.get(job_id).finished:
            raise MotionQueueError("wrong_state", "The job is over already; there is nothing to cancel.")
        return engine.cancel(job_id).job_ids


class MOTION_QUEUE_OT_cancel_all(JobOperator, bpy.types.Operator):  # noqa: N801
    """Cancel everything that runs or waits"""

    bl_idname = "motion_queue.cancel_all"
    bl_label = "Cancel All"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(none_unfinished)

    def invoke(self: Any, context: Context, event: Event) -> set[str]:
        counts = snapshot.current().counts
        if counts.unfinished > 1:
            message = f"{words.plural(counts.unfinished, 'job')} will be cancelled, {counts.running} of them running."
            return compat.confirm(self, context, event, title="Cancel all?", message=message, button="Cancel All")
        result: set[str] = self.execute(context)
        return result

    def act(self: Any, _context: Context) -> Sequence[str]:
        engine = session.app().engine
        every = [row.id for row in snapshot.current().jobs.rows() if not row.over]
        if len(every) <= _MANY:
            engine.cancel_many(every)
            return every
        # Ten thousand take some tenths of a second.
        _in_pieces(every, engine.cancel_many)
        return ()


class MOTION_QUEUE_OT_pause(JobOperator, bpy.types.Operator):  # noqa: N801
    """Pause the job: at once while it waits, at its next stopping point while it runs"""

    bl_idname = "motion_queue.pause"
    bl_label = "Pause Job"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(none_unfinished)
    __annotations__ = {"job_id": JOB_ID}

    def act(self: Any, _context: Context) -> Sequence[str]:
        return session.app().engine.pause(self.chosen()).job_ids


class MOTION_QUEUE_OT_resume(JobOperator, bpy.types.Operator):  # noqa: N801
    """Let the paused job go on"""

    bl_idname = "motion_queue.resume"
    bl_label = "Resume Job"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(none_unfinished)
    __annotations__ = {"job_id": JOB_ID}

    def act(self: Any, _context: Context) -> Sequence[str]:
        return session.app().engine.resume(self.chosen()).job_ids


class MOTION_QUEUE_OT_pause_queue(JobOperator, bpy.types.Operator):  # noqa: N801
    """Start nothing more; what runs goes on"""

    bl_idname = "motion_queue.pause_queue"
    bl_label = "Pause Queue"
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: Context) -> bool:
        if snapshot.current().paused:
            cls.poll_message_set("The queue is paused already")
            return False
        return super().poll(context)

    def act(self: Any, _context: Context) -> Sequence[str]:
        return session.app().engine.pause_queue().job_ids


class MOTION_QUEUE_OT_resume_queue(JobOperator, bpy.types.Operator):  # noqa: N801
    """Start waiting jobs again"""

    bl_idname = "motion_queue.resume_queue"
    bl_label = "Resume Queue"
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: Context) -> bool:
        if not snapshot.current().paused:
            cls.poll_message_set("The queue is not paused")
            return False
        return super().poll(context)

    def act(self: Any, _context: Context) -> Sequence[str]:
        return session.app().engine.resume_queue().job_ids


class MOTION_QUEUE_OT_move(JobOperator, bpy.types.Operator):  # noqa: N801
    """Let the job run earlier or later"""

    bl_idname = "motion_queue.move"
    bl_label = "Move Job"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(none_unfinished)

    __annotations__ = {
        "job_id": JOB_ID,
        "to": EnumProperty(
            name="To",
            items=(
                ("TOP", "Top", "Before all others"),
                ("UP", "Up", "One place earlier"),
                ("DOWN", "Down", "One place later"),
                ("BOTTOM", "Bottom", "After all others"),
            ),
            default="UP",
        ),
    }

    @classmethod
    def description(cls, _context: Context, properties: Any) -> str:
        return {
            "TOP": "Let the job run before all others that wait",
            "UP": "Let the job run one place earlier",
            "DOWN": "Let the job run one place later",
            "BOTTOM": "Let the job run after all others",
        }[properties.to]

    def act(self: Any, _context: Context) -> Sequence[str]:
        return session.app().engine.move(self.chosen(), self.to.lower()).job_ids


class MOTION_QUEUE_OT_set_priority(JobOperator, bpy.types.Operator):  # noqa: N801
    """Change the job's priority: higher runs earlier, 50 is normal"""

    bl_idname = "motion_queue.set_priority"
    bl_label = "Set Priority"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(none_unfinished)
    __annotations__ = {
        "job_id": JOB_ID,
        "priority": IntProperty(name="Priority", description="0 to 100", min=0, max=100, default=50),
    }

    def invoke(self: Any, context: Context, event: Event) -> set[str]:
        row = snapshot.current().jobs.get(self.job_id or snapshot.current().selected)
        if row is not None and not self.properties.is_property_set("priority"):
            self.priority = row.priority
        result: set[str] = context.window_manager.invoke_props_dialog(self)
        return result

    def act(self: Any, _context: Context) -> Sequence[str]:
        return session.app().engine.set_priority(self.chosen(), self.priority).job_ids


class MOTION_QUEUE_OT_retry(JobOperator, bpy.types.Operator):  # noqa: N801
    """Queue the job once more, with the same settings"""

    bl_idname = "motion_queue.retry"
    bl_label = "Retry"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(none_finished)
    __annotations__ = {"job_id": JOB_ID}

    def act(self: Any, _context: Context) -> Sequence[str]:
        ticket = session.app().engine.retry(self.chosen())
        session.follower().selected = ticket.job_id
        return ticket.job_ids


class MOTION_QUEUE_OT_retry_edited(JobOperator, bpy.types.Operator):  # noqa: N801
    """Queue the job once more, with other settings"""

    bl_idname = "motion_queue.retry_edited"
    bl_label = "Edit and Retry"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(none_finished)

    __annotations__ = {
        "job_id": JOB_ID,
        "name": StringProperty(name="Name", maxlen=60, options={"SKIP_SAVE"}),
        "prompt": StringProperty(name="Prompt", maxlen=MAX_CHARACTERS, options={"SKIP_SAVE"}),
        "own_length": BoolProperty(name="Own Length", description="Give the motion's length", options={"SKIP_SAVE"}),
        "seconds": FloatProperty(name="Seconds", min=MIN_SECONDS, max=MAX_SECONDS, default=4.0, options={"SKIP_SAVE"}),
        "seed": IntProperty(name="Seed", min=0, max=min(MAX_SEED, 2**31 - 1), default=1, options={"SKIP_SAVE"}),
        "first": IntProperty(name="First Frame", description="Of the clip; 0: its beginning", min=0, options={"SKIP_SAVE"}),
        "last": IntProperty(name="Last Frame", description="Of the clip; 0: its end", min=0, options={"SKIP_SAVE"}),
        "render": BoolProperty(name="Render", options={"SKIP_SAVE"}),
        "width": IntProperty(name="Width", min=16, max=16384, default=960, step=2, options={"SKIP_SAVE"}),
        "height": IntProperty(name="Height", min=16, max=16384, default=540, step=2, options={"SKIP_SAVE"}),
        "priority": IntProperty(name="Priority", min=0, max=100, default=50, options={"SKIP_SAVE"}),
    }

    def invoke(self: Any, context: Context, _event: Event) -> set[str]:
        try:
            job = session.app().engine.get(self.chosen())
            if not job.finished:
                raise MotionQueueError("wrong_state", f"The job is {job.state}; only a job that is over can be retried.")
        except MotionQueueError as error:
            self.report({"ERROR"}, error.message)
            return {"CANCELLED"}
        self._take(job)
        result: set[str] = context.window_manager.invoke_props_dialog(self, width=compat.popover_width())
        return result

    def draw(self: Any, _context: Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        row = snapshot.current().jobs.get(self.job_id)
        layout.prop(self, "name", placeholder=row.label if row else "")
        if self.prompt:
            layout.prop(self, "prompt")
            layout.prop(self, "own_length")
            column = layout.column()
            column.active = self.own_length
            column.prop(self, "seconds")
            layout.prop(self, "seed")
        else:
            column = layout.column(align=True)
            column.prop(self, "first")
            column.prop(self, "last")
        layout.prop(self, "render")
        column = layout.column(align=True)
        column.active = self.render
        column.prop(self, "width")
        column.prop(self, "height")
        layout.prop(self, "priority")

    def act(self: Any, _context: Context) -> Sequence[str]:
        app = session.app()
        job = app.engine.get(self.chosen())
        if not job.finished:
            raise MotionQueueError("wrong_state", f"The job is {job.state}; only a job that is over can be retried.")
        given = {name for name in self.__annotations__ if self.properties.is_property_set(name)}
        payload = self._payload(job, given)
        fields: dict[str, Any] = {
            "priority": self.priority if "priority" in given else job.priority,
            "batch_id": job.batch_id,
            "project_id": job.project_id,
            "retry_of": job.id,
            "source": job.source,
            "callback_url": job.callback_url,
        }
        label = self.name or job.label
        if job.workflow == SHOT:
            prompt = str(payload.pop("prompt"))
            spec = replace(app.prompt_job(prompt, payload, **fields), inputs=job.inputs, label=label)
            ticket = app.engine.submit(spec)
        else:
            ticket = app.engine.retry(job.id, payload, priority=fields["priority"])
        session.follower().selected = ticket.job_id
        return ticket.job_ids

    def _take(self: Any, job: Job) -> None:
        """The old values, as far as nothing else was given."""
        payload = job.payload
        width, height = payload.get("resolution") or (960, 540)
        values = {
            "job_id": job.id,
            "name": job.label,
            "prompt": payload.get("prompt", ""),
            "own_length": payload.get("seconds") is not None,
            "seconds": payload.get("seconds") or 4.0,
            "seed": min(payload.get("seed", 1), 2**31 - 1),
            "first": payload.get("frame_start") or 0,
            "last": payload.get("frame_end") or 0,
            "render": "render" in (payload.get("steps") or ("render",)),
            "width": width,
            "height": height,
            "priority": job.priority,
        }
        for name, value in values.items():
            if not self.properties.is_property_set(name):
                setattr(self, name, value)

    def _payload(self: Any, job: Job, given: set[str]) -> dict[str, Any]:
        payload = {
            key: value for key, value in job.payload.items() if key not in ("clip_frames", "clip_fps") or job.workflow != SHOT
        }
        if "name" in given and self.name and self.name != job.label:
            payload["label"] = self.name
        if job.workflow == SHOT:
            if "prompt" in given:
                payload["prompt"] = self.prompt
            if "own_length" in given and not self.own_length:
                payload.pop("seconds", None)
            elif "seconds" in given:
                payload["seconds"] = self.seconds
            if "seed" in given:
                payload["seed"] = self.seed
        else:
            for name, key in (("first", "frame_start"), ("last", "frame_end")):
                if name in given:
                    payload.pop(key, None)
                    if getattr(self, name):
                        payload[key] = getattr(self, name)
        if "render" in given:
            steps = list(payload.get("steps") or [step.name for step in job.steps])
            if self.render and "render" not in steps:
                steps.insert(steps.index("retarget") + 1 if "retarget" in steps else 1, "render")
            payload["steps"] = [step for step in steps if step != "render" or self.render]
        if {"width", "height"} & given:
            payload["resolution"] = [self.width // 2 * 2, self.height // 2 * 2]
        return payload


class MOTION_QUEUE_OT_clear_finished(JobOperator, bpy.types.Operator):  # noqa: N801
    """Take jobs that are over out of the list. No file is deleted"""

    bl_idname = "motion_queue.clear_finished"
    bl_label = "Clear Finished"
    bl_options = {"REGISTER"}  # noqa: RUF012
    needs = staticmethod(none_finished)

    __annotations__ = {
        "states": EnumProperty(
            name="Which",
            items=(
                ("COMPLETED", "Completed", "Those that are done", 1),
                ("FAILED", "Failed", "Those that failed", 2),
                ("CANCELLED", "Cancelled", "Those that were cancelled", 4),
            ),
            default={"COMPLETED", "FAILED", "CANCELLED"},
            options={"ENUM_FLAG", "SKIP_SAVE"},
        ),
    }

    def act(self: Any, _context: Context) -> Sequence[str]:
        ticket = session.app().engine.clear_finished([JobState(state.lower()) for state in self.states])
        self.report({"INFO"}, f"{words.plural(len(ticket.job_ids), 'job')} cleared; their files stay")
        return ()


class MOTION_QUEUE_OT_recovered(JobOperator, bpy.types.Operator):  # noqa: N801
    """Decide what becomes of the work that the last session left"""

    bl_idname = "motion_queue.recovered"
    bl_label = "Unfinished Work"
    bl_options = {"REGISTER"}  # noqa: RUF012

    __annotations__ = {
        "action": EnumProperty(
            name="Action",
            items=(
                ("RESUME", "Resume", "Go on with it"),
                ("LEAVE", "Leave", "Pause it; new work runs"),
                ("DISCARD", "Discard", "Cancel it"),
                ("DISMISS", "Dismiss", "I have read this"),
            ),
        ),
    }

    @classmethod
    def description(cls, _context: Context, properties: Any) -> str:
        return {
            "RESUME": "Go on with the work of the last session",
            "LEAVE": "Pause the work of the last session; new work runs",
            "DISCARD": "Cancel the work of the last session",
            "DISMISS": "Take this notice away",
        }[properties.action]

    def act(self: Any, _context: Context) -> Sequence[str]:
        app, follower = session.app(), session.follower()
        asked = follower.recovery is not None and follower.recovery.asks
        follower.recovery = None
        left = [row.id for row in follower.jobs.rows() if not row.over]
        if self.action == "LEAVE":
            _in_pieces(
                left, lambda piece: [opening.leave(app, each) for each in piece], lambda: app.engine.release(HOLD_AT_START)
            )
        elif self.action == "DISCARD":
            _in_pieces(left, app.engine.cancel_many, lambda: app.engine.release(HOLD_AT_START))
        elif asked:
            app.engine.release(HOLD_AT_START)
        return left[:50]


def _in_pieces(job_ids: Sequence[str], act: Callable[[Sequence[str]], object], end: Callable[[], object] | None = None) -> None:
    """At once where they are few, else on the interface's worker, some at a time."""
    size = _MANY if len(job_ids) <= _MANY else _PIECE
    pieces = [job_ids[at : at + size] for at in range(0, len(job_ids), size)]

    def work() -> None:
        for piece in pieces:
            act(piece)
            if len(pieces) > 1:
                time.sleep(_BREATH)
        if end is not None:
            end()

    if len(pieces) <= 1:
        work()
        return
    follower = session.follower()

    def done(_result: object, error: MotionQueueError | None) -> None:
        if error is not None:
            follower.notify(snapshot.Severity.ERROR, str(error))
        session.changed()

    session.worker().run(work, done)


CLASSES = (
    MOTION_QUEUE_OT_cancel,
    MOTION_QUEUE_OT_cancel_all,
    MOTION_QUEUE_OT_pause,
    MOTION_QUEUE_OT_resume,
    MOTION_QUEUE_OT_pause_queue,
    MOTION_QUEUE_OT_resume_queue,
    MOTION_QUEUE_OT_move,
    MOTION_QUEUE_OT_set_priority,
    MOTION_QUEUE_OT_retry,
    MOTION_QUEUE_OT_retry_edited,
    MOTION_QUEUE_OT_clear_finished,
    MOTION_QUEUE_OT_recovered,
)
