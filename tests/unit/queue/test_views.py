# SPDX-License-Identifier: GPL-3.0-or-later
"""How other interfaces name states and priorities."""

from __future__ import annotations

import pytest

from motion_queue.queue import JobState, MotionQueueError
from motion_queue.queue.model import Job, Step
from motion_queue.queue.views import (
    async_task_status,
    priority_from_level,
    priority_from_ten,
    progress_percent,
    queue_name,
    task_service_status,
)


def test_every_state_has_a_name_in_both_interfaces() -> None:
    assert {str(s): task_service_status(s) for s in JobState} == {
        "queued": "queued",
        "paused": "queued",
        "running": "processing",
        "stopping": "processing",
        "completed": "completed",
        "failed": "failed",
        "cancelled": "cancelled",
    }
    assert {str(s): async_task_status(s) for s in JobState} == {
        "queued": "pending",
        "paused": "pending",
        "running": "running",
        "stopping": "stopping",
        "completed": "completed",
        "failed": "failed",
        "cancelled": "cancelled",
    }


def test_priorities_of_other_interfaces_map_to_ours_and_others_are_refused() -> None:
    assert [priority_from_level(n) for n in (1, 2, 3)] == [90, 50, 10]
    assert [priority_from_ten(n) for n in (0, 5, 10)] == [0, 50, 100]
    for refused in (lambda: priority_from_level(0), lambda: priority_from_ten(11), lambda: priority_from_ten(-1)):
        with pytest.raises(MotionQueueError) as caught:
            refused()
        assert caught.value.code == "bad_priority"


def test_percent_and_queue_name_come_from_the_job() -> None:
    job = Job.from_record({"id": "a", "progress": 0.426, "steps": [{"name": "render", "backend": "render", "lane": "blender"}]})
    assert progress_percent(job) == 43
    assert queue_name(job) == "blender"
    assert queue_name(Job.from_record({"id": "b", "steps": []})) == ""
    assert isinstance(job.steps[0], Step)
