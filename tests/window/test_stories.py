# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does to jobs, to files and to windows while the queue works: it goes on, and the list shows the truth.

One Blender for all of it, in the order of the page, since that is how it is used; each test makes its own jobs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from motion_queue.scripts.window.harness import Screen, Window, module

from .conftest import READY, SESSION, OpenWindow, made_ready
from .test_first_shot import HANGING

ENGINE = f"{SESSION}.app().engine"
# What the list shows is what the engine has.
TRUE = f"""
rows = {{row.id: str(row.state) for row in {SESSION}.follower().jobs.rows()}}
return rows == {{job.id: str(job.state) for job in {ENGINE}.query(limit=1000).jobs}}
"""


@pytest.fixture(scope="module")
def blender(
    prefix: tuple[str, ...], screen: Screen, installed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Window]:
    home = shutil.copytree(installed, tmp_path_factory.mktemp("stories") / "home", symlinks=True)
    with Window(prefix, screen, home) as window:
        yield made_ready(window)


@pytest.fixture(scope="module")
def long(blender: Window) -> str:
    """A job that runs during all of this: it takes minutes."""
    job = submitted(blender, "The long one", "a person walks in a circle", seconds=30.0, render=True, priority=100)
    # In its longest step, the last one that a pause of the queue could come before.
    blender.until(f"(lambda step: step is not None and step.name == 'render')({ENGINE}.get({job!r}).current)")
    blender.until(f"str({ENGINE}.get({job!r}).state) == 'running' and not {ENGINE}.get({job!r}).stage.startswith('waiting')")
    return job


def submitted(window: Window, name: str, prompt: str, **options: object) -> str:
    """Queue a shot by the operator; its id, once it is in the list."""
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    window.run(f"bpy.ops.motion_queue.submit(prompt={prompt!r}, name={name!r}, character='BUILTIN', deliver=False{given})")
    found: list[str] = window.until(f"[row.id for row in {SESSION}.follower().jobs.rows() if row.label == {name!r}]")
    return found[-1]


def state(window: Window, job: str) -> str:
    return str(window.run(f"return str({ENGINE}.get({job!r}).state)"))


def goes_on(window: Window, job: str) -> None:
    """The job still runs, comes further from here, and is in the list as it is in the engine."""
    before = window.run(f"return {ENGINE}.get({job!r}).processing_time")
    window.until(f"{ENGINE}.get({job!r}).processing_time > {before}")
    assert state(window, job) == "running"
    window.come(TRUE)


def test_jobs_are_reordered_cancelled_and_retried(blender: Window, long: str) -> None:
    blender.run("bpy.ops.motion_queue.pause_queue()")
    names = ("First", "Second", "Third")
    first, second, third = (submitted(blender, name, "a person jumps", seconds=2.0) for name in names)
    blender.run(f"bpy.ops.motion_queue.move(job_id={third!r}, to='TOP')")
    waiting = f"[row.id for row in sorted(({ENGINE}.get(i) for i in {[first, second, third]!r}), key=lambda j: j.position)]"
    assert blender.run(f"return {waiting}") == [third, first, second]
    shown = f"[row.id for row in {SESSION}.follower().jobs.rows() if row.id in {[first, second, third]!r}]"
    entries = (
        f"[e.id for e in (__import__('importlib').import_module(package() + '.panels.snapshot').current().jobs.entry(i)"
        f" for i in range(10)) if e is not None and e.id in {shown}]"
    )
    blender.until(f"{entries} == {[third, first, second]!r}")
    blender.run(f"bpy.ops.motion_queue.cancel(job_id={second!r}); yield 0.5")
    assert state(blender, second) == "cancelled"
    blender.run(f"bpy.ops.motion_queue.retry(job_id={second!r})")
    again = blender.until(f"[j.id for j in {ENGINE}.query(limit=100).jobs if j.retry_of == {second!r}]")[0]
    blender.run("region('UI').tag_redraw(); yield 0.6")
    blender.shoot("story-reordered")
    blender.run("bpy.ops.motion_queue.resume_queue()")
    for job in (first, third, again):
        blender.until(f"str({ENGINE}.get({job!r}).state) == 'completed'")
    started = f"[{ENGINE}.get(i).started_at for i in {[third, first]!r}]"
    one, other = blender.run(f"return {started}")
    assert one <= other, "what was moved to the top began first"
    blender.come(TRUE)


def test_undo_and_redo_change_the_scene_and_not_the_queue(blender: Window, long: str) -> None:
    blender.run("""
bpy.context.scene.objects['Cube'].location.z = 3.0
bpy.ops.ed.undo_push(message='Lift')
bpy.ops.motion_queue.pause_queue()  # what is queued meanwhile still waits when it is cancelled
yield 0.2
""")
    job = submitted(blender, "Meanwhile", "a person jumps", seconds=2.0)
    blender.run("yield from key('Z', ctrl=True); yield 0.5")
    height = "return bpy.context.scene.objects['Cube'].location.z"
    assert blender.run(height) == 0.0
    goes_on(blender, long)
    blender.run(f"bpy.ops.motion_queue.cancel(job_id={job!r})")
    blender.run("yield from key('Z', ctrl=True, shift=True); yield 0.5")
    assert blender.run(height) == 3.0
    blender.until(f"{ENGINE}.get({job!r}).finished")
    blender.run("bpy.ops.motion_queue.resume_queue()")
    goes_on(blender, long)


def test_scenes_windows_and_workspaces_change_nothing(blender: Window, long: str) -> None:
    blender.run("""
bpy.data.scenes.new('Other')
window().scene = bpy.data.scenes['Other']
yield 0.3
window().scene = bpy.data.scenes[0]
with bpy.context.temp_override(window=window()):
    bpy.ops.wm.window_new()
yield 1.0
kept.count = len(bpy.context.window_manager.windows)
window().workspace = bpy.data.workspaces['Animation']
yield 1.0
""")
    assert blender.run("return kept.count") == 2
    goes_on(blender, long)
    blender.shoot("story-windows")
    blender.run("""
other = bpy.context.window_manager.windows[1]
with bpy.context.temp_override(window=other):
    bpy.ops.wm.window_close()
yield 0.3
window().scene = bpy.data.scenes['Scene']
window().workspace = bpy.data.workspaces['Layout']
yield 0.5
yield from show_tab('Motion Queue')
""")
    goes_on(blender, long)


def test_a_render_by_f12_goes_on_beside_the_queue(blender: Window, long: str, tmp_path: Path) -> None:
    target = str(tmp_path / "still.png")
    blender.run(f"""
scene = bpy.context.scene
scene.render.engine = 'BLENDER_WORKBENCH'
scene.render.resolution_x, scene.render.resolution_y = 320, 240
scene.render.filepath = {target!r}
kept.rendered = []
bpy.app.handlers.render_complete.append(lambda *_: kept.rendered.append(True))
bpy.context.preferences.view.render_display_type = 'NONE'
with bpy.context.temp_override(window=window(), area=area(), region=region('WINDOW')):
    bpy.ops.render.render('INVOKE_DEFAULT', write_still=True)
""")
    blender.until("bool(kept.rendered)")
    assert Path(target).stat().st_size > 0
    goes_on(blender, long)


def test_dropped_clips_are_queued(blender: Window, long: str, checkout: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copy(checkout / "examples" / "walk.bvh", tmp_path / f"{name}.bvh")
    blender.run(f"""
bpy.context.window_manager.motion_queue.shot.character = 'BUILTIN'
bpy.context.window_manager.motion_queue.shot.deliver = False
kept.files = [{{'name': 'one.bvh'}}, {{'name': 'two.bvh'}}]
with bpy.context.temp_override(window=window(), area=area(), region=region('WINDOW')):
    bpy.ops.wm.drop_import_file('INVOKE_DEFAULT', directory={str(tmp_path)!r}, files=kept.files)
yield 0.5
""")
    labels = f"[j.label for j in {ENGINE}.query(limit=100).jobs if j.label in ('one', 'two')]"
    blender.until(f"len({labels}) == 2")
    blender.until(f"all(j.finished for j in {ENGINE}.query(limit=100).jobs if j.label in ('one', 'two'))")
    assert {"completed"} == set(
        blender.run(f"return [str(j.state) for j in {ENGINE}.query(limit=100).jobs if j.label in ('one', 'two')]")
    )
    blender.come(TRUE)


def test_another_file_a_new_one_and_an_append_change_nothing(blender: Window, long: str, tmp_path: Path) -> None:
    saved, other = str(tmp_path / "shot.blend"), str(tmp_path / "other.blend")
    blender.run(f"bpy.ops.wm.save_as_mainfile(filepath={saved!r}, copy=False); yield 0.3")
    assert long in blender.run("return bpy.context.scene.motion_queue.data"), "the file carries its jobs"
    goes_on(blender, long)
    blender.run(f"bpy.ops.wm.save_as_mainfile(filepath={other!r}, copy=True)")
    blender.run(f"bpy.ops.wm.open_mainfile(filepath={other!r}); yield 1.0")
    assert blender.run("return bpy.data.filepath") == other
    goes_on(blender, long)
    blender.run("bpy.ops.wm.read_homefile(); yield 1.0")
    assert blender.run("return bpy.data.filepath") == ""
    goes_on(blender, long)
    blender.run(f"bpy.ops.wm.append(directory={saved + '/Object/'!r}, filename='Cube'); yield 0.5")
    assert blender.run("return 'Cube.001' in bpy.data.objects")
    goes_on(blender, long)
    blender.run("yield from show_tab('Motion Queue')")
    blender.shoot("story-new-file")
    offered = blender.run(f"return len({module('operators.mirror')}.offer().jobs)")
    assert offered == 0, "its own jobs are not offered as somebody else's"


def test_a_job_that_does_not_stop_does_not_keep_the_window(
    blender: Window, record_property: Callable[[str, object], None]
) -> None:
    """The last one: this Blender is gone afterwards."""
    blender.run(f"""
import time
contract = __import__('importlib').import_module(package() + '.queue')
class Deaf:
    name, lane, can_pause = 'deaf', 'cpu', False
    def run(self, request, context):
        while True:
            time.sleep(0.1)
    def estimate(self, payload, results):
        return contract.Estimate()
    def health(self):
        return contract.Health(ok=True)
engine = {ENGINE}
engine.register_backend(Deaf())
engine.register_workflow(contract.Workflow(name='deaf', steps=(contract.StepSpec(name='deaf', backend='deaf'),)))
kept.deaf = engine.submit(contract.JobSpec(workflow='deaf', payload={{}}, priority=100)).job_id
""")
    blender.until(f"str({ENGINE}.get(kept.deaf).state) == 'running'")
    seconds = blender.quit()
    record_property("seconds until the window was gone", round(seconds, 2))
    assert seconds < HANGING
    assert blender.process.returncode == 0, blender.output()


def test_a_saved_file_and_its_jobs_survive_a_kill(window: Window, open_window: OpenWindow, tmp_path: Path) -> None:
    blend = tmp_path / "shot.blend"
    window.run(f"bpy.ops.wm.save_as_mainfile(filepath={str(blend)!r})")
    job = submitted(window, "Long", "a person walks in a circle", seconds=30.0, render=True)
    waiting = submitted(window, "Waiting", "a person jumps", seconds=2.0, priority=1)
    window.until(f"str({ENGINE}.get({job!r}).state) == 'running'")
    window.run("bpy.ops.wm.save_mainfile()")
    window.kill()

    again = open_window(blend)
    again.until(READY)
    again.run("yield from show_tab('Motion Queue')")
    assert again.run(f"return [{ENGINE}.get({job!r}).recovered, bool({ENGINE}.get({waiting!r}).id)]") == [True, True]
    again.until(f"str({ENGINE}.get({job!r}).state) == 'running'")
    again.come(TRUE)
    again.shoot("story-recovered")
    assert job in again.run("return bpy.context.scene.motion_queue.data")
    assert again.run(f"return len({module('operators.mirror')}.offer().jobs)") == 0
