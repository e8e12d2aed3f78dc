# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's first minutes: the tab is there, a prompt is queued, Blender stays free meanwhile, and quitting does not hang."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .conftest import JOBS, READY, OpenWindow
from .harness import Window

HANGING = 20.0  # seconds; two are the aim, which is measured where nothing else is at work
SUBMIT = """
bpy.ops.motion_queue.submit(prompt={prompt!r}, character='BUILTIN', seconds={seconds}, render={render}, deliver=False)
yield 0.2
"""


def test_the_tab_shows_in_the_sidebar(window: Window, checkout: Path) -> None:
    assert window.run("return region('UI').active_panel_category") == "Motion Queue"
    window.meter(checkout)
    window.run("region('UI').tag_redraw(); yield 0.5")
    drawn = window.run("return kept.meter.report()")["names"]
    assert {"MOTION_QUEUE_PT_shot.draw", "MOTION_QUEUE_PT_queue.draw"} <= set(drawn)
    window.shoot("first-tab")


def test_a_prompt_is_queued_and_done_while_the_view_is_alive(window: Window, checkout: Path) -> None:
    window.meter(checkout)
    window.run(SUBMIT.format(prompt="a person walks forward", seconds=3.0, render=False))
    window.until(f"len({JOBS}) == 1")
    before = window.run("return list(area().spaces.active.region_3d.view_rotation)")
    window.run("""
x, y = region('WINDOW').x + 300, region('WINDOW').y + 300
move(x, y)
yield 0.1
window().event_simulate(type='MIDDLEMOUSE', value='PRESS', x=x, y=y)
for i in range(20):
    move(x + 5 * i, y + 2 * i)
    yield 0.03
window().event_simulate(type='MIDDLEMOUSE', value='RELEASE', x=x + 100, y=y + 40)
yield 0.2
""")
    assert window.run("return list(area().spaces.active.region_3d.view_rotation)") != before, "the view was orbited meanwhile"
    seen = window.run(f"""
seen = []
for _ in range(3000):
    job = {JOBS}[0]
    seen.append((str(job.state), job.progress))
    if job.finished:
        break
    yield 0.1
return seen
""")
    window.shoot("first-done")
    assert seen[-1][0] == "completed", seen[-1]
    progress = [value for _, value in seen]
    assert progress == sorted(progress) and len(set(progress)) > 2, "it moves, and never backwards"
    window.run("kept.meter.stop()")
    report = window.run("return kept.meter.report()")
    assert report["calls"]["tick"]["count"] > 5
    assert not [freeze for freeze in report["freezes"] if any(call["ms"] > 100 for call in freeze["calls"])], report["freezes"]


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
