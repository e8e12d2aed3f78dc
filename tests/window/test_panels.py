# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels in a real window: with jobs in every state, at twice the size and in the light theme; drawn without an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from motion_queue.scripts.window.harness import Window
from motion_queue.scripts.window.pictures import LIGHT, PREFERENCES

from .conftest import JOBS, READY, SESSION, OpenWindow

SHOT = "bpy.context.window_manager.motion_queue.shot"
LIST = "bpy.context.window_manager.motion_queue.jobs"
SNAPSHOT = "__import__('importlib').import_module(package() + '.panels.snapshot').current()"
SUBMIT = "bpy.ops.motion_queue.submit(prompt={prompt!r}, character='BUILTIN', deliver=False, seconds=2.0)"


def errors(window: Window) -> list[str]:
    """What Blender says of panels that fail to draw."""
    return [line for line in window.output().splitlines() if "Traceback" in line or "Error" in line or "rna_uiItem" in line]


def shoot(window: Window, name: str) -> None:
    window.run("region('UI').tag_redraw(); yield 0.6")
    window.shoot(name)


@pytest.fixture
def filled(window: Window, tmp_path: Path) -> Window:
    """A queue with a job in each state that comes soon: failed, cancelled, paused, waiting, running."""
    broken = tmp_path / "broken.bvh"
    broken.write_text("HIERARCHY\nROOT nothing\n")
    window.run(f"bpy.ops.motion_queue.submit(clip={str(broken)!r}, character='BUILTIN', deliver=False)")
    window.until(f"sum(j.finished for j in {JOBS}) == 1")
    window.run("""
bpy.ops.motion_queue.submit(prompt='a person walks in a circle', character='BUILTIN', deliver=False, seconds=30.0, render=True)
bpy.ops.motion_queue.submit(prompt='a person jumps', character='BUILTIN', deliver=False, takes=4)
yield 1.0
""")
    window.until(f"len({JOBS}) == 6")
    window.run(f"""
takes = [j.id for j in {JOBS} if j.batch_id]
bpy.ops.motion_queue.pause(job_id=takes[-1])
bpy.ops.motion_queue.cancel(job_id=takes[-2])
yield 0.3
""")
    return window


def test_jobs_in_every_state_are_drawn(filled: Window) -> None:
    filled.until(f"any(str(j.state) == 'running' for j in {JOBS})")
    filled.run(f"{SESSION}.select([j.id for j in {JOBS} if str(j.state) == 'running'][0])")
    shoot(filled, "panels-queue")
    filled.run(f"{SESSION}.select([j.id for j in {JOBS} if str(j.state) == 'failed'][0])")
    shoot(filled, "panels-failed")
    filled.run(f"{LIST}.grouped = True")
    shoot(filled, "panels-grouped")
    filled.run(f"{SHOT}.prompt = 'a person walks and juggles'; {SHOT}.source = 'PROMPT'")
    shoot(filled, "panels-shot")
    assert filled.run("return region('UI').active_panel_category") == "Motion Queue"
    assert errors(filled) == []


def test_twice_the_size_and_in_the_light_theme(filled: Window) -> None:
    filled.run("bpy.context.preferences.view.ui_scale = 2.0; yield 0.5")
    shoot(filled, "panels-2x")
    filled.run(LIGHT)
    shoot(filled, "panels-light")
    assert errors(filled) == []


def test_the_preferences_are_drawn_with_the_test_of_the_set_up(window: Window) -> None:
    window.run(PREFERENCES)
    window.until(f"not {SNAPSHOT}.testing and {SNAPSHOT}.health")
    window.run("yield 1.0")
    window.shoot("panels-preferences")
    found: dict[str, Any] = dict(window.run(f"return [(name, health.ok) for name, health in {SNAPSHOT}.health]"))
    assert found["Motion model"] and found["Queue folder"] and found["Blender for retargeting"]
    assert errors(window) == []


def test_the_status_bar_says_what_runs(filled: Window) -> None:
    bar = "__import__('importlib').import_module(package() + '.panels.status_bar')"
    filled.until(f"any('running' in text for text in {bar}._set.values())")
    filled.run("bpy.ops.motion_queue.cancel_all()")
    filled.until(f"not any('running' in text for text in {bar}._set.values())")


def test_unfinished_work_is_asked_about(window: Window, open_window: OpenWindow) -> None:
    window.run("bpy.context.preferences.addons[package()].preferences.on_start = 'ASK'; bpy.ops.wm.save_userpref()")
    window.run("bpy.ops.motion_queue.pause_queue()")
    window.run(SUBMIT.format(prompt="a person jumps"))
    window.until(f"{SNAPSHOT}.counts.waiting == 1")  # in the list too, which operators go by
    window.run("bpy.ops.motion_queue.resume_queue(); bpy.ops.motion_queue.cancel(); yield 0.2")
    window.run(SUBMIT.format(prompt="a person walks in a circle").replace("2.0", "30.0"))
    window.until(f"any(str(j.state) == 'running' for j in {JOBS})")
    window.kill()
    again = open_window()
    again.until(READY)
    again.run("yield from show_tab('Motion Queue')")
    shoot(again, "panels-recovery")
    assert again.run(f"return 'start' in {SESSION}.app().engine.held")
    again.run("bpy.ops.motion_queue.recovered(action='RESUME')")
    again.until(f"any(j.recovered and str(j.state) == 'running' for j in {JOBS})")
    assert errors(again) == []
