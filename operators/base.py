# SPDX-License-Identifier: GPL-3.0-or-later
"""What all operators on jobs have in common: which job is meant, why something cannot be done, errors that are reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bpy.props import StringProperty

from ..panels import snapshot
from ..panels.view import Counts
from ..queue.errors import MotionQueueError
from . import session

if TYPE_CHECKING:
    from bpy.types import Context

JOB_ID = StringProperty(name="Job", description="Id of the job; empty: the selected one", options={"SKIP_SAVE", "HIDDEN"})


class JobOperator:
    """The common part: a poll that says why not, errors that are reported, the list brought up to date."""

    needs: Callable[[Counts], str] = staticmethod(lambda _counts: "")  # why there is nothing to do, if so

    @classmethod
    def poll(cls, _context: Context) -> bool:
        reason = session.why_not() or cls.needs(snapshot.current().jobs.counts)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self: Any, context: Context) -> set[str]:
        try:
            changed: Sequence[str] = self.act(context)
        except MotionQueueError as error:
            self.report({"ERROR"}, error.message)
            return {"CANCELLED"}
        session.changed(changed)
        return {"FINISHED"}

    def chosen(self: Any) -> str:
        """The job that is meant."""
        job_id: str = self.job_id or snapshot.current().selected
        if not job_id:
            raise MotionQueueError("no_such_job", "No job is selected. Select one in the list.")
        return job_id


def none_unfinished(counts: Counts) -> str:
    return "" if counts.unfinished else "Nothing runs or waits"


def none_finished(counts: Counts) -> str:
    return "" if counts.finished else "No job is over yet"
