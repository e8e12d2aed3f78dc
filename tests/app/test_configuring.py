# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings change while the queue runs, and a queue that is held at its start touches nothing of what it found."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from motion_queue.app import HOLD_AT_START, App, Settings
from motion_queue.operators.opening import forget_sent
from motion_queue.operators.submission import SENT
from motion_queue.panels.follower import Follower
from motion_queue.queue import JobSpec, MotionQueueError
from motion_queue.queue.channel import Event
from motion_queue.queue.contract import Estimate, Health, InputRef, StepContext, StepRequest, StepResult, StepSpec, Workflow

LIMIT = 60.0  # seconds: only against hanging


class Quick:
    """A backend whose steps are done at once, or fail where they are told to."""

    name = "quick"
    lane = "cpu"
    can_pause = False

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        if request.payload.get("fail"):
            raise MotionQueueError("no_camera", "The scene has no camera. Add one.")
        return StepResult(data={"done": True})

    def estimate(self, payload: object, results: object) -> Estimate:
        return Estimate(seconds=60.0)

    def health(self) -> Health:
        return Health(ok=True)


def ready(app: App) -> App:
    app.engine.register_backend(Quick())
    app.engine.register_workflow(Workflow(name="quick", steps=(StepSpec(name="quick", backend="quick"),)))
    return app


def spec(label: str, **payload: object) -> JobSpec:
    return JobSpec(workflow="quick", label=label, payload=payload)


def test_settings_are_taken_while_the_queue_runs(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    with App.open(settings) as app:
        app.configure(replace(settings, concurrency=7, lanes={"blender": 5}, memory_mb=900.0, finished_kept=3, log_level="debug"))
        limits = app.engine.limits
        assert (limits.total, limits.lanes["blender"], limits.memory_mb, limits.finished_kept) == (7, 5, 900.0, 3)
        assert app.job_logs.chatter and app.settings.concurrency == 7


def test_settings_that_cannot_be_are_refused_and_change_nothing(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    with App.open(settings) as app:
        for wrong in (replace(settings, concurrency=99), replace(settings, concurrency=2, blender=str(tmp_path / "none"))):
            with pytest.raises(MotionQueueError, match=r"total|none"):
                app.configure(wrong)
            assert app.engine.limits.total == 4 and app.settings == settings


def test_a_queue_held_at_its_start_starts_nothing_until_it_is_released(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    with App.open(settings) as app:
        app.engine.pause_queue()
        job_id = ready(app).engine.submit(spec("later")).job_id
        app.engine.hold("mine", "Wait for me.")
        app.engine.resume_queue()
        assert app.engine.held == {"mine": "Wait for me."} and app.engine.get(job_id).stage == "Wait for me."
    app = App.open(replace(settings, hold_at_start=True))
    try:
        ready(app)
        assert list(app.engine.held) == [HOLD_AT_START] and app.engine.get(job_id).state == "queued"
        app.engine.release(HOLD_AT_START)
        assert app.engine.wait(job_id, LIMIT).state == "completed"
    finally:
        app.close()


def test_a_follower_shows_what_was_there_and_what_comes_and_tells_of_ends(tmp_path: Path) -> None:
    with App.open(Settings(state_dir=tmp_path / "state")) as app:
        ready(app).engine.pause_queue()
        before = app.engine.submit(spec("before")).job_id
        follower = Follower(app)
        assert [row.label for row in follower.jobs.rows()] == ["before"]
        failing = app.engine.submit(spec("failing", fail=True)).job_id
        follower.touch((failing, "gone"))
        now = follower.snapshot()
        assert now.counts.waiting == 2 and now.paused and now.status == "2 waiting · paused"
        follower.selected = failing
        follower.changed()
        app.engine.resume_queue()
        assert app.engine.wait_idle(LIMIT)
        follower.touch((before, failing))  # their ends are still to be told
        while follower.tick() or follower.jobs.counts.finished < 2:
            pass
        now = follower.snapshot()
        assert (now.counts.completed, now.counts.failed, now.status) == (1, 1, "")
        assert now.details is not None and now.details.error is not None and now.details.error.code == "no_camera"
        texts = [notice.text for notice in follower.take_fresh()]
        assert any("before is done" in text for text in texts)
        assert any("failing failed: The scene has no camera. Add one. [no_camera]" in text for text in texts)
        assert "The queue is done: 1 job completed, 1 failed." in texts and follower.take_fresh() == []
        assert before in {row.id for row in follower.jobs.rows()}
        same = follower.snapshot()
        assert same.revision == now.revision, "nothing has changed, and so nothing is drawn"
        follower.close()


def test_a_follower_that_lost_events_reads_everything_anew(tmp_path: Path) -> None:
    with App.open(Settings(state_dir=tmp_path / "state")) as app:
        follower = Follower(app)
        ready(app).engine.pause_queue()
        app.engine.submit_many([spec(f"shot {i}") for i in range(120)])
        while len(app.engine.pump._channel):
            app.engine.pump._channel.take()  # the events are gone
        follower.jobs.apply(Event())
        while follower.jobs.counts.waiting < 120:
            follower.tick()
        assert not follower.jobs.resync and follower.snapshot().eta is not None
        follower.close()


def test_files_sent_with_jobs_are_kept_while_a_job_needs_them_and_a_month(tmp_path: Path) -> None:
    with App.open(Settings(state_dir=tmp_path / "state")) as app:
        sent = tmp_path / "state" / "artefacts" / SENT
        sent.mkdir(parents=True)
        for name in ("rig-needed.blend", "rig-unused.blend", "scene-new.blend"):
            (sent / name).write_bytes(b"BLENDER")
        ready(app).engine.pause_queue()
        needed = InputRef(name="character", path=str(sent / "rig-needed.blend"))
        app.engine.submit(JobSpec(workflow="quick", label="needs it", inputs=(needed,)))
        month = time.time() + 31 * 86_400
        assert forget_sent(app) == 0
        os.utime(sent / "scene-new.blend", (month, month))
        assert forget_sent(app, now=month) == 1
        assert sorted(path.name for path in sent.iterdir()) == ["rig-needed.blend", "scene-new.blend"]
