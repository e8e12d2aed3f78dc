# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's first minutes: the tab is there, a prompt is queued, Blender stays free meanwhile, and quitting does not hang."""

from __future__ import annotations

from collections.abc import Callable

from motion_queue.scripts.window.harness import Window

from .conftest import JOBS, READY, SESSION, OpenWindow

HANGING = 20.0  # seconds; two are the aim, which is measured where nothing else is at work
MODEST = """
import os
children = [int(p) for task in os.listdir('/proc/self/task') for p in open(f'/proc/self/task/{task}/children').read().split()]
return bool(children) and all(os.sched_getscheduler(child) == os.SCHED_IDLE for child in children)
"""  # the kernel gives them time while nobody else wants it
ORBIT = """
x, y = region('WINDOW').x + 300, region('WINDOW').y + 300
move(x, y)
yield 0.1
window().event_simulate(type='MIDDLEMOUSE', value='PRESS', x=x, y=y)
for i in range(20):
    move(x + 5 * i, y + 2 * i)
    yield 0.03
window().event_simulate(type='MIDDLEMOUSE', value='RELEASE', x=x + 100, y=y + 40)
yield 0.2
"""
SUBMIT = """
bpy.ops.motion_queue.submit(prompt={prompt!r}, character='BUILTIN', seconds={seconds}, render={render}, deliver=False)
yield 0.2
"""


def test_the_tab_shows_in_the_sidebar(window: Window) -> None:
    assert window.run("return region('UI').active_panel_category") == "Motion Queue"
    window.meter()
    window.run("region('UI').tag_redraw(); yield 0.5")
    drawn = window.run("return kept.meter.report()")["names"]
    assert {"MOTION_QUEUE_PT_shot.draw", "MOTION_QUEUE_PT_queue.draw"} <= set(drawn)
    window.shoot("first-tab")


def test_a_prompt_is_queued_and_done_while_the_view_is_alive(
    window: Window, record_property: Callable[[str, object], None]
) -> None:
    window.meter()
    # Everything that the list ever shows of a job, whenever that is: looking now and then would miss it on a fast machine.
    window.run(f"""
kept.shown = shown = {{}}
def ticker(app, follower):
    for row in follower.jobs.rows():
        values = shown.setdefault(row.id, [])
        if not values or values[-1] != (str(row.state), row.progress):
            values.append((str(row.state), row.progress))
    return False
{SESSION}.add_ticker(ticker)
""")
    # The long one is still at work when the short one is done, however fast the machine is.
    window.run(SUBMIT.format(prompt="a person walks in a circle", seconds=30.0, render=True))
    long = window.until(f"[j.id for j in {JOBS} if str(j.state) == 'running']")[0]
    window.run(SUBMIT.format(prompt="a person walks forward", seconds=3.0, render=False))
    short = window.until(f"[j.id for j in {JOBS} if j.id != {long!r}]")[0]

    before = window.run("return list(area().spaces.active.region_3d.view_rotation)")
    window.run(ORBIT)
    assert window.run("return list(area().spaces.active.region_3d.view_rotation)") != before, "the view was orbited"
    window.run("bpy.context.scene.objects['Cube'].location.x = 2.5; bpy.context.scene.frame_set(7); yield 0.2")
    assert str(window.run(f"return {SESSION}.app().engine.get({long!r}).state")) == "running", "and a job ran meanwhile"

    window.until(f"{SESSION}.app().engine.get({short!r}).finished")
    window.until(f"kept.shown[{short!r}][-1][0] == 'completed'")
    window.shoot("first-done")
    window.run(f"bpy.ops.motion_queue.cancel(job_id={long!r})")
    window.until(f"kept.shown[{long!r}][-1][0] == 'cancelled'")
    shown = window.run("return kept.shown")
    for values in shown.values():
        progress = [value for _, value in values]
        assert progress == sorted(progress), "it never goes backwards"
    assert any(0.0 < value < 1.0 for _, value in shown[short]), "it is seen to move"

    window.run("kept.meter.stop()")
    report = window.run("return kept.meter.report()")
    record_property("gaps of the event loop", report["gaps"])
    record_property("own calls", report["calls"])
    assert report["calls"]["tick"]["count"] > 5
    # How long is measured by the benchmark; here only that nothing of ours computes in the window.
    assert all(call["worked_ms"] < 1000.0 * HANGING for call in report["longest_calls"]), report["longest_calls"]


def test_children_leave_the_processor_to_everybody_else(open_window: OpenWindow) -> None:
    window = open_window()
    window.until(READY)
    window.run(SUBMIT.format(prompt="a person walks in a circle", seconds=30.0, render=False))
    window.until(f"any(str(j.state) == 'running' for j in {JOBS})")
    window.come(MODEST)


def test_quitting_with_a_running_job_does_not_hang_and_does_not_lose_it(
    window: Window, open_window: OpenWindow, record_property: Callable[[str, object], None]
) -> None:
    window.run(SUBMIT.format(prompt="a person walks in a circle", seconds=20.0, render=True))
    window.until(f"any(str(j.state) == 'running' for j in {JOBS})")
    seconds = window.quit()
    record_property("seconds until the window was gone", round(seconds, 2))
    assert seconds < HANGING
    assert window.process.returncode == 0, window.output()

    again = open_window()
    again.until(READY)
    assert len(again.until(f"[j.label for j in {JOBS} if not j.finished]")) == 1


def test_after_a_kill_the_job_is_there_again_and_said_to_be_recovered(window: Window, open_window: OpenWindow) -> None:
    window.run(SUBMIT.format(prompt="a person walks in a circle", seconds=20.0, render=True))
    job = window.until(f"[j.id for j in {JOBS} if str(j.state) == 'running']")
    window.kill()

    again = open_window()
    again.until(READY)
    again.run("yield from show_tab('Motion Queue')")
    assert again.until(f"[j.id for j in {JOBS} if j.recovered and not j.finished]") == job
    again.shoot("recovered")
    assert again.quit() < HANGING
