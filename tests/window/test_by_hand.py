# SPDX-License-Identifier: GPL-3.0-or-later
"""With a mouse and keys, in Blender's own event loop: the search, a button, a dialog, the log in a text editor; and the meter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from motion_queue.scripts.window.harness import LIMIT, Screen, Window

from .conftest import JOBS, SESSION, OpenWindow, made_ready
from .dragging import Drag

SHOT = "bpy.context.window_manager.motion_queue.shot"
LONG_AGO = 60.0  # seconds in which a hand's work shows, on a busy machine too
UNDER_THE_MOUSE = """
yield 0.15
copy = bpy.ops.ui.copy_python_command_button
with bpy.context.temp_override(window=window(), area=area(), region=region('UI')):
    return copy() == {'FINISHED'} and bpy.context.window_manager.clipboard if copy.poll() else ''
"""


@pytest.fixture
def blender(open_window: OpenWindow) -> Window:
    return made_ready(open_window(simulated=False))


def point_at(window: Window, screen: Screen, operator: str) -> None:
    """Move the mouse down the sidebar until it is over the button of an operator."""
    x, top, bottom = window.run("""
r, whole = region('UI'), window().height
return (r.x + r.width // 2, whole - r.y - r.height, whole - r.y)
""")
    for y in range(top + 40, bottom, 9):
        screen.do("mousemove", str(x), str(y))
        if operator in window.run(UNDER_THE_MOUSE):
            return
    raise AssertionError(f"there is no button of {operator} in the sidebar")


def test_the_button_queues_what_was_filled_in(blender: Window, screen: Screen) -> None:
    blender.run(f"{SHOT}.character = 'BUILTIN'; {SHOT}.deliver = False; {SHOT}.prompt = 'a person jumps'; yield 1.0")
    point_at(blender, screen, "motion_queue.submit")
    screen.do("click", "1")
    assert blender.until(f"[job.payload['prompt'] for job in {JOBS}]", limit=LONG_AGO) == ["a person jumps"]


def test_the_search_pauses_the_queue(blender: Window, screen: Screen) -> None:
    x, y = blender.run("r = region('WINDOW'); return (r.x + 200, window().height - r.y - 200)")
    screen.do("mousemove", str(x), str(y))
    blender.run("yield 0.3")
    blender.run("""
with bpy.context.temp_override(window=window(), area=area(), region=region('WINDOW')):
    bpy.ops.wm.search_menu('INVOKE_DEFAULT')  # as F3 does
""")
    blender.run("yield 4.0")  # it goes through every menu first
    screen.do("type", "--delay", "50", "Pause Queue")
    blender.run("yield 1.0")
    blender.shoot("by-hand-search")
    screen.do("key", "Return")
    blender.until(f"'paused' in {SESSION}.app().engine.held", limit=LONG_AGO)


def test_edit_and_retry_asks_with_the_old_values(blender: Window, screen: Screen) -> None:
    blender.run("bpy.ops.motion_queue.pause_queue()")
    blender.run("bpy.ops.motion_queue.submit(prompt='a person jumps', character='BUILTIN', seconds=2.0, seed=7, deliver=False)")
    blender.until(f"len({JOBS}) == 1")
    job = blender.run(f"return {JOBS}[0].id")
    blender.until(f"{SESSION}.follower().jobs.get({job!r}) is not None")
    blender.run(f"bpy.ops.motion_queue.cancel(job_id={job!r})")
    x, y = blender.run("r = region('WINDOW'); return (r.x + 300, window().height - r.y - 300)")
    screen.do("mousemove", str(x), str(y))
    blender.run("yield 0.3")
    blender.run(f"""
with bpy.context.temp_override(window=window(), area=area(), region=region('WINDOW')):
    bpy.ops.motion_queue.retry_edited('INVOKE_DEFAULT', job_id={job!r})
yield 1.0
""")
    blender.shoot("by-hand-edit")
    screen.do("key", "Return")
    blender.until(f"len({JOBS}) == 2", limit=LONG_AGO)
    again = blender.run(f"return [(j.payload['prompt'], j.payload['seed']) for j in {JOBS} if j.id != {job!r}]")
    assert again == [["a person jumps", 7]]


def test_the_log_is_read_in_a_text_editor(blender: Window, screen: Screen) -> None:
    blender.run("bpy.ops.motion_queue.submit(prompt='a person jumps', character='BUILTIN', seconds=2.0, deliver=False)")
    blender.until(f"any(job.finished for job in {JOBS})", limit=LIMIT)
    blender.run(f"bpy.ops.motion_queue.show_log(job_id={JOBS}[0].id); yield 1.5")
    screen.do("search", "--name", "Text Editor|Preferences", "windowmove", "60", "60")
    blender.run("yield 1.0")
    blender.shoot("by-hand-log")
    shown = blender.run("""
found = [a for w in bpy.context.window_manager.windows for a in w.screen.areas if a.type == 'TEXT_EDITOR'][0].spaces.active
return [line.body for line in found.text.lines[found.top:found.top + found.visible_lines]]
""")
    assert any("done" in line or "completed" in line for line in shown), shown


def test_the_meter_finds_a_freeze_and_whose_it_is(blender: Window) -> None:
    blender.meter()
    blender.run("kept.meter.clear(); yield 0.5; time.sleep(0.4); yield 0.5")
    somebody = blender.run("return kept.meter.report()")
    assert somebody["gaps"]["max"] >= 400.0 and somebody["freeze_counts"]["all"] >= 1
    blender.run(f"""
own = {SESSION}._tick
def slow():
    time.sleep(0.4)
    return own()
kept.meter.clear()
{SESSION}._tick = slow
yield 1.2
{SESSION}._tick = own
""")
    ours = blender.run("return kept.meter.report()")
    assert ours["freeze_counts"]["of_ours"] >= 1
    assert ours["calls"]["tick"]["max"] >= 400.0 and ours["worked"]["tick"]["max"] < 400.0
    assert any(call["name"].endswith("tick") for freeze in ours["freezes"] for call in freeze["calls"])


def test_clips_are_dragged_from_the_desktop(blender: Window, screen: Screen, checkout: Path, tmp_path: Path) -> None:
    clips = [Path(shutil.copy(checkout / "examples" / "walk.bvh", tmp_path / f"{name}.bvh")) for name in ("one", "a second")]
    blender.run(f"{SHOT}.character = 'BUILTIN'; {SHOT}.deliver = False; yield 1.0")
    x, y = blender.run("r = region('WINDOW'); return (r.x + 300, window().height - r.y - 300)")
    dragged = Drag(screen.name, clips)  # from now on Blender answers to nothing else, until they are dropped
    assert dragged.over(x, y)
    dragged.drop()
    blender.until(f"sorted(job.label for job in {JOBS}) == ['a second', 'one']", limit=LONG_AGO)
    blender.shoot("by-hand-dropped")
