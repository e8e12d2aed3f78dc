# SPDX-License-Identifier: GPL-3.0-or-later
"""The set-up: the button that tests it, and opening the queue anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import bpy

from ..panels import preferences, properties, snapshot
from ..panels.snapshot import Phase, Severity
from ..queue.contract import Health
from ..queue.errors import MotionQueueError
from . import health, session

if TYPE_CHECKING:
    from bpy.types import Context


class MOTION_QUEUE_OT_test_setup(bpy.types.Operator):  # noqa: N801
    """Look whether everything that jobs need is there: the motion model, Blender, torch, memory, the queue's folder"""

    bl_idname = "motion_queue.test_setup"
    bl_label = "Test My Set-up"
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, _context: Context) -> bool:
        if reason := session.why_not():
            cls.poll_message_set(reason)
            return False
        if snapshot.current().testing:
            cls.poll_message_set("The test is under way")
            return False
        return True

    def execute(self, _context: Context) -> set[str]:
        try:
            app, worker = session.app(), session.worker()
        except MotionQueueError as error:
            self.report({"ERROR"}, error.message)
            return {"CANCELLED"}
        torch = preferences.read().torch_python
        online = bpy.app.online_access
        snapshot.publish(replace(snapshot.current(), testing=True))
        worker.run(lambda: health.examine(app, torch_python=torch, online=online), _examined)
        session.wake()
        return {"FINISHED"}


def _examined(result: Mapping[str, Health] | None, error: MotionQueueError | None) -> None:
    found = tuple((result or {}).items())
    snapshot.publish(replace(snapshot.current(), testing=False, health=found))
    if error is not None:
        session.follower().notify(Severity.ERROR, f"The set-up could not be tested: {error}")
    session.changed()


class MOTION_QUEUE_OT_restart(bpy.types.Operator):  # noqa: N801
    """Close the queue and open it again; running work goes on from where it can"""

    bl_idname = "motion_queue.restart"
    bl_label = "Open Queue Again"
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, _context: Context) -> bool:
        if snapshot.current().phase is Phase.STARTING:
            cls.poll_message_set("The queue is starting")
            return False
        return True

    def execute(self, _context: Context) -> set[str]:
        try:
            session.restart()
        except MotionQueueError as error:
            self.report({"ERROR"}, error.message)
            return {"CANCELLED"}
        return {"FINISHED"}


def _publish() -> None:
    session.changed()


def register() -> None:
    preferences.on_change(session.preferences_changed)
    properties.connect(session.select, _publish, session.wake)


def unregister() -> None:
    preferences.on_change(None)
    properties.connect(None, None, None)


CLASSES = (MOTION_QUEUE_OT_test_setup, MOTION_QUEUE_OT_restart)
