# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the pictures of the user guide, in a real window with real jobs: `python -m motion_queue.scripts.window.pictures DIR`.

They show what an animator sees: look at each before it goes into docs/images.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from motion_queue.scripts import build

from .harness import NEEDED, SIZE, VARIABLE, Screen, Window, install, module, runner

SESSION = module("operators.session")
SNAPSHOT = f"{module('panels.snapshot')}.current()"
JOBS = f"{SESSION}.app().engine.query(limit=1000).jobs"
SHOT = "bpy.context.window_manager.motion_queue.shot"
LIST = "bpy.context.window_manager.motion_queue.jobs"
LIGHT = """
import os
bpy.context.preferences.view.ui_scale = 1.0
folders = bpy.utils.preset_paths('interface_theme')
theme = next(p for f in folders for n in sorted(os.listdir(f)) if n.lower().endswith('light.xml') for p in [os.path.join(f, n)])
bpy.ops.script.execute_preset(filepath=theme, menu_idname='USERPREF_MT_interface_theme_presets')
yield 0.8
"""
PREFERENCES = """
area('VIEW_3D').type = 'PREFERENCES'
yield 0.8
bpy.context.preferences.active_section = 'ADDONS'
bpy.context.window_manager.addon_search = 'Motion Queue'
bpy.ops.preferences.addon_expand(module=package())
yield 0.5
bpy.ops.motion_queue.test_setup()
"""  # with the test of the set-up under way
_FILM = "/home/animator/film"  # on the machine with the window

_CHARACTER = """
mannequin = __import__('importlib').import_module(package() + '.backends.character.mannequin')
for thing in list(bpy.data.objects):
    bpy.data.objects.remove(thing)
armature = mannequin.build(bpy.context.scene)
for thing in bpy.context.scene.objects:
    thing.select_set(False)
armature.select_set(True)
bpy.context.view_layer.objects.active = armature
view = area().spaces.active.region_3d
view.view_location, view.view_distance = (0, 0, 0.9), 4.6
yield 0.2
bpy.ops.ed.undo_push(message='Character')
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go; the window must see it (below /tmp, say)")
    parser.add_argument("--film", default=_FILM, help="folder of the .blend whose path the pictures show (default %(default)s)")
    options = parser.parse_args()
    prefix = runner()
    if prefix is None:
        parser.error(f"a Blender with a window is needed: install {', '.join(NEEDED)}, or say in {VARIABLE} what runs them")
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="motion-queue-pictures-", ignore_cleanup_errors=True) as made:
        home = Path(made) / "home"
        home.mkdir()
        install(prefix, build.build(Path(made) / "zip", blender=None), home)
        screen = Screen(prefix)
        try:
            with Window(prefix, screen, home, simulated=False) as window:
                _guide(Pictures(screen, window, options.folder), Path(made), options.film)
                window.kill()
            with Window(prefix, screen, home, simulated=False) as window:
                _after_a_crash(Pictures(screen, window, options.folder))
        finally:
            screen.close()
    return 0


class Pictures:
    def __init__(self, screen: Screen, window: Window, folder: Path) -> None:
        self._screen = screen
        self._window = window
        self._folder = folder
        window.until(f"bool(package()) and not {SESSION}.why_not()")
        window.run(f"app = {SESSION}.app(); app.configure(__import__('dataclasses').replace(app.settings, low_priority=False))")

    def run(self, body: str) -> None:
        self._window.run(body)

    def until(self, condition: str) -> None:
        self._window.until(condition)

    def take(self, name: str) -> None:
        self._screen.do("mousemove", "5", str(SIZE[1] // 2))  # nothing is under the mouse
        self.run("for a in window().screen.areas: a.tag_redraw()\nyield 1.5")
        print(self._screen.shoot(self._folder / f"guide-{name}.png"), flush=True)

    def enlarge(self) -> None:
        """The 3D View alone, with the sidebar."""
        self.run("""
with bpy.context.temp_override(window=window(), area=area(), region=region('WINDOW')):
    bpy.ops.screen.screen_full_area()
yield 1.0
yield from show_tab('Motion Queue')
""")

    def move_log(self, x: int, y: int) -> None:
        """Nobody places windows on a screen without a desktop."""
        self._screen.do("search", "--sync", "--name", "Text Editor|Preferences", "windowmove", str(x), str(y))

    def fold_first_panel(self) -> None:
        x, y, height = self._window.run("r = region('UI'); return (r.x + 80, r.y + r.height - 14, window().height)")
        self._screen.do("mousemove", str(x), str(height - y), "click", "1")
        self.run("yield 0.8")


def _guide(pictures: Pictures, made: Path, film: str) -> None:
    pictures.run(_CHARACTER)
    pictures.run(
        f"__import__('os').makedirs({film!r}, exist_ok=True); bpy.ops.wm.save_as_mainfile(filepath='{film}/dance.blend')"
    )
    pictures.enlarge()
    pictures.run(f"{SHOT}.prompt = 'a person walks forward and waves'; yield 1.5")
    pictures.take("first-shot")

    pictures.fold_first_panel()
    broken = made / "Kick 07.bvh"
    broken.write_text("HIERARCHY\nROOT nothing\n")
    pictures.run(f"bpy.ops.motion_queue.submit(clip={str(broken)!r}, character='BUILTIN', deliver=False)")
    pictures.run("bpy.ops.motion_queue.submit(prompt='a person jumps twice', character='SELECTED', deliver=False, name='Jump')")
    pictures.until(f"sum(job.finished for job in {JOBS}) == 2")
    pictures.run("""
render = bpy.context.scene.render
render.engine, render.resolution_x, render.resolution_y = 'BLENDER_WORKBENCH', 640, 360
options = dict(character='BUILTIN', deliver=False)
bpy.ops.motion_queue.submit(prompt='a person walks in a circle', seconds=4.0, render=True, name='Circle', **options)
yield 0.5
bpy.ops.motion_queue.submit(prompt='a person runs forward', seconds=6.0, render=True, name='Run', **options)
bpy.ops.motion_queue.submit(prompt='a person kicks', takes=4, name='Kick', **options)
yield 1.0
""")
    pictures.until(f"any(job.label == 'Circle' and job.progress > 0.3 for job in {JOBS})")
    pictures.run(f"{SESSION}.select([job.id for job in {JOBS} if job.label == 'Circle'][0])")
    pictures.take("list")
    pictures.run(f"{SESSION}.select([job.id for job in {JOBS} if str(job.state) == 'failed'][0])")
    pictures.take("failed")
    pictures.run(f"{LIST}.grouped = True; {SESSION}.select([job.id for job in {JOBS} if job.batch_id][0])")
    pictures.take("batch")
    pictures.run(f"{LIST}.grouped = False")

    pictures.run(f"""
job = [job.id for job in {JOBS} if job.label == 'Jump'][0]
{SESSION}.select(job)
bpy.ops.motion_queue.apply(job_id=job, extend_range=True)
""")
    pictures.until("(lambda found: bool(found and found.action))(bpy.data.objects['Mannequin'].animation_data)")
    pictures.run("bpy.context.scene.frame_set(24); yield 0.5")
    pictures.take("apply")

    pictures.run(f"""
job = [job.id for job in {JOBS} if str(job.state) == 'failed'][0]
bpy.ops.motion_queue.show_log(job_id=job)
yield 1.0
""")
    pictures.move_log(60, 120)
    pictures.take("log")
    pictures.run("""
with bpy.context.temp_override(window=bpy.context.window_manager.windows[-1]):
    bpy.ops.wm.window_close()
yield 0.5
""")
    pictures.run("bpy.context.preferences.view.ui_scale = 2.0; yield 1.0")
    pictures.take("2x")
    pictures.run(LIGHT)
    pictures.take("light")
    pictures.run("bpy.ops.wm.save_mainfile()")


def _after_a_crash(pictures: Pictures) -> None:
    pictures.enlarge()
    pictures.take("recovery")
    pictures.run(f"bpy.ops.motion_queue.cancel_all()\n{PREFERENCES}")
    pictures.until(f"not {SNAPSHOT}.testing and {SNAPSHOT}.health")
    pictures.take("preferences")


if __name__ == "__main__":
    raise SystemExit(main())
