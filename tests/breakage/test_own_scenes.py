# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own scene and camera through the whole program: a Blender with the user's preferences, and what can go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from motion_queue.app import App, Settings
from motion_queue.queue import Job

from .support import SMALL, error_of, run_all, says_what_to_do

_MAKE = """
from motion_queue.backends.character import mannequin
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
mannequin.build(scene)
for name in ("Wide", "Close"):
    camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    camera.location, camera.rotation_euler = (0, -4, 1), (1.57, 0, 0)
    scene.collection.objects.link(camera)
scene.camera = bpy.data.objects["Wide"]
script = bpy.data.texts.new("startup.py")
script.write("raise SystemExit('a script of the file ran')")
script.use_module = True
for name in ("scene", "changed", "no camera"):
    if name == "no camera":
        for camera in [o for o in scene.objects if o.type == "CAMERA"]:
            bpy.data.objects.remove(camera)
    bpy.ops.wm.save_as_mainfile(filepath=f"FOLDER/{name}.blend")
"""

_logs: dict[str, str] = {}  # of each job, by its name here


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, in_blender: Callable[[str], str], walk: Path) -> Iterator[dict[str, Job]]:
    folder = tmp_path_factory.mktemp("scenes")
    in_blender(_MAKE.replace("FOLDER", str(folder)))
    scene = folder / "scene.blend"
    noise = folder / "noise.blend"
    noise.write_bytes(b"noise" * 1000)
    with App.open(Settings(state_dir=tmp_path_factory.mktemp("state"))) as app:
        specs = {
            "its own armature": app.clip_job(walk, {**SMALL, "camera": "Close"}, files={"scene": scene}),
            "the mannequin in it": app.clip_job(walk, {**SMALL, "character": "builtin"}, files={"scene": scene}),
            "the stage": app.clip_job(walk, SMALL),
            "another camera": app.clip_job(walk, {**SMALL, "camera": "Crane"}, files={"scene": scene}),
            "no camera": app.clip_job(walk, SMALL, files={"scene": folder / "no camera.blend"}),
            "changed": app.clip_job(walk, {**SMALL, "character": "builtin"}, files={"scene": folder / "changed.blend"}),
            "noise": app.clip_job(walk, {**SMALL, "character": "builtin"}, files={"scene": noise}),
            "again": app.clip_job(walk, SMALL, files={"scene": scene}),
        }
        (folder / "changed.blend").write_bytes(scene.read_bytes() + b"\n")
        jobs = run_all(app, specs)
        for name, spec in specs.items():
            _logs[name] = app.store.log_path(spec.id).read_text(encoding="utf-8")
        yield jobs


@pytest.mark.parametrize("name", ["its own armature", "the mannequin in it", "the stage", "again"])
def test_scenes_and_stages_are_rendered_side_by_side(ended: dict[str, Job], name: str) -> None:
    job = ended[name]
    assert job.state == "completed"
    assert not job.degraded
    assert job.result["render"]["frames"] == 3


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("another camera", "no_camera"),
        ("no camera", "no_camera"),
        ("changed", "input_changed"),
        ("noise", "scene_unreadable"),
    ],
)
def test_a_scene_that_cannot_be_rendered_says_why_and_the_character_is_delivered(
    ended: dict[str, Job], name: str, code: str
) -> None:
    job = ended[name]
    assert job.state == "completed"
    assert error_of(job).code == code
    assert says_what_to_do(error_of(job).message)
    assert job.degraded.startswith("render: ")
    assert any(a.name == "character.fbx" for a in job.artefacts)


def test_where_preferences_cannot_be_loaded_the_jobs_log_says_so(ended: dict[str, Job]) -> None:
    bpy = pytest.importorskip("bpy")
    without = not bpy.app.binary_path and bpy.app.version < (4, 5, 0)
    said = {name: "preferences were not loaded" in _logs[name] for name in ended}
    assert said["its own armature"] == without
    assert not said["the stage"], "factory settings are what the stage wants"
