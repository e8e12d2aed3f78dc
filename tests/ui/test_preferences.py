# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences take effect at once, on the engine that runs, and survive nothing they should not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from motion_queue.operators import session  # noqa: E402
from motion_queue.panels import preferences as own  # noqa: E402
from motion_queue.panels.choices import Choices  # noqa: E402

from .conftest import Interface  # noqa: E402


@pytest.fixture
def chosen(state: Path, preferences: Any) -> Iterator[Any]:
    """The preferences as Blender keeps them, with the classes registered and no engine yet."""
    session.show()
    found = preferences()
    yield found
    session.unregister()


@pytest.fixture
def ready(chosen: Any) -> Interface:
    session.start()
    return Interface()


def test_the_defaults_are_the_same_with_and_without_blenders_preferences(chosen: Any) -> None:
    assert own.read() == Choices()
    session.unregister()
    session.show()


def test_concurrency_lanes_and_memory_take_effect_at_once(ready: Interface, chosen: Any) -> None:
    assert ready.engine.limits.total == 4
    chosen.concurrency, chosen.lane_blender, chosen.memory_mb, chosen.finished_kept = 7, 3, 4096, 12
    ready.until(lambda: ready.engine.limits.total == 7 and ready.engine.limits.finished_kept == 12)
    limits = ready.engine.limits
    assert limits.lanes["blender"] == 3 and limits.memory_mb == 4096
    chosen.concurrency = 99
    assert chosen.concurrency == 8, "1 to 8"


def test_a_lower_limit_keeps_jobs_waiting(ready: Interface, chosen: Any) -> None:
    chosen.lane_cpu = 0
    ready.until(lambda: ready.engine.limits.lanes["cpu"] == 0)
    job_id = ready.submit(prompt="jumps", character="BUILTIN", deliver=False, seconds=1)
    for _ in range(5):
        ready.tick()
    assert ready.now.jobs.get(job_id).state == "queued"
    chosen.lane_cpu = 2
    assert ready.over(job_id).state == "completed"


def test_programs_log_level_and_memory_of_a_job_take_effect(ready: Interface, chosen: Any, tmp_path: Path) -> None:
    import sys  # noqa: PLC0415

    chosen.torch_python, chosen.log_level, chosen.job_memory_mb = sys.executable, "debug", 900
    app = session.app()
    ready.until(lambda: app.settings.torch_python == sys.executable and app.settings.log_level == "debug")
    assert app.settings.job_memory_mb == 900 and app.job_logs.chatter
    chosen.blender = str(tmp_path / "no-blender")
    ready.until(lambda: ready.now.notices)
    assert "no-blender" in ready.now.notices[0].text and ready.now.notices[0].severity == "ERROR"
    chosen.blender, chosen.concurrency = "", 2
    ready.until(lambda: ready.engine.limits.total == 2)


def test_another_state_folder_opens_another_queue(ready: Interface, chosen: Any, tmp_path: Path) -> None:
    ready.run("pause_queue")
    ready.submit(prompt="jumps", character="BUILTIN", deliver=False)
    before = session.app()
    chosen.state_folder = str(tmp_path / "elsewhere")
    ready.until(lambda: session._app is not None and session.app() is not before)
    assert session.app().folder.path.parent == tmp_path / "elsewhere" and ready.now.counts.total == 0
    chosen.state_folder = ""
    ready.until(lambda: ready.now.counts.total == 1, "the first queue again")


@pytest.mark.parametrize(
    ("on_start", "action"), [("RESUME", ""), ("LEAVE", ""), ("ASK", "RESUME"), ("ASK", "LEAVE"), ("ASK", "DISCARD")]
)
def test_unfinished_work_of_the_last_session_does_what_is_chosen(chosen: Any, on_start: str, action: str) -> None:
    ui = Interface()
    session.start()
    chosen.lane_cpu = 0
    ui.until(lambda: ui.engine.limits.lanes["cpu"] == 0)
    ids = [ui.submit(prompt="jumps", character="BUILTIN", deliver=False, seconds=1, seed=seed) for seed in range(2)]
    session.stop()
    chosen.on_start = on_start
    session.start()
    assert ui.now.recovery.unfinished == 2 and ui.now.recovery.asks is (on_start == "ASK")
    if action:
        assert "start" in ui.now.held
        assert ui.run("recovered", action=action) == {"FINISHED"}
        ui.until(lambda: not ui.now.held)
        assert ui.now.recovery is None
    assert not ui.now.held
    expected = {"DISCARD": "cancelled", "LEAVE": "paused"}.get(action or on_start, "queued")
    ui.until(lambda: all(ui.now.jobs.get(job_id).state == expected for job_id in ids), expected)


def test_the_set_up_is_tested_by_a_button(ready: Interface, chosen: Any) -> None:
    import sys  # noqa: PLC0415

    chosen.torch_python = sys.executable
    assert ready.run("test_setup") == {"FINISHED"}
    assert ready.now.testing and not bpy.ops.motion_queue.test_setup.poll()
    ready.until(lambda: not ready.now.testing)
    found = dict(ready.now.health)
    assert found["Motion model"].ok and found["Queue folder"].ok and "GB free" in found["Queue folder"].message
    assert not found["Python with torch"].ok and "cannot import torch" in found["Python with torch"].message
    assert "Network" in found


def test_no_thread_looks_at_the_preferences(ready: Interface) -> None:
    """What the engine gets is a plain value, made on the main thread."""
    settings = session._applied
    assert settings is not None and settings.blender == "bpy" and settings.python[0]
