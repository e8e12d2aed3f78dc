# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own .blend and camera: the child's code, in a fresh Blender with factory settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from .conftest import InBlender

_RENDER = """
import json, sys
from motion_queue.backends.render import child
from motion_queue.backends.retarget import child as retarget
from motion_queue.queue.errors import MotionQueueError

class Context:
    threads = 0
    def check(self): return None
    def progress(self, fraction, stage="", data=None): assert 0 <= fraction <= 1
    def log(self, level, message): return None

arguments = json.loads({arguments!r})
bpy.ops.wm.read_factory_settings(use_empty=True)
if arguments["character"]:
    retarget.run({{"clip": arguments.pop("clip"), "armature": "",
        "character": arguments["scene"] if arguments["in_scene"] else "",
        "fps": 0, "name": "x", "blend": arguments["character"], "fbx": arguments["character"] + ".fbx",
        "bvh": "", "map": "", "foot_lock": True, "hand_contacts": False, "travel": "hips", "start": None,
        "heading": None}}, Context())
try:
    result = child.run(arguments, Context())
except MotionQueueError as error:
    result = {{"error": error.code}}
print(json.dumps(result))
"""


@pytest.fixture
def scene(in_blender: InBlender, tmp_path: Path) -> Path:
    """A mannequin before a camera, in a file that would write elsewhere, and only a part of the picture."""
    path = tmp_path / "shot.blend"
    in_blender(f"""
from motion_queue.backends.character import mannequin
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
mannequin.build(scene)
for name in ("Wide", "Close"):
    camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    camera.location, camera.rotation_euler = (0, -4, 1), (1.57, 0, 0)
    scene.collection.objects.link(camera)
scene.camera = bpy.data.objects["Wide"]
scene.frame_start, scene.frame_end, scene.frame_step = 5, 7, 2
scene.render.filepath = {str(tmp_path / "elsewhere_")!r}
scene.render.use_border = scene.render.use_crop_to_border = True
scene.render.border_max_x = 0.5
bpy.ops.wm.save_as_mainfile(filepath={str(path)!r})
""")
    return path


def _render(in_blender: InBlender, scene: Path, **changes: Any) -> Mapping[str, Any]:
    arguments = {
        "scene": str(scene), "character": "", "in_scene": False, "armature": "", "camera": "", "trust_scripts": False,
        "engine": "workbench", "device": "cpu", "samples": 1, "resolution": [64, 48], "fps": 0.0, "frame_start": None,
        "frame_end": None, "frames": str(scene.parent / "frames"), "fingerprint": "x", "video": str(scene.parent / "video.mp4"),
        **changes,
    }  # fmt: skip
    answer: Mapping[str, Any] = json.loads(in_blender(_RENDER.format(arguments=json.dumps(arguments))).splitlines()[-1])
    return answer


def test_a_scene_alone_renders_its_own_range_and_only_where_told(in_blender: InBlender, scene: Path) -> None:
    result = _render(in_blender, scene, camera="Close")

    assert result["frames"] == 3
    assert (scene.parent / "video.mp4").stat().st_size > 0
    assert {p.name for p in (scene.parent / "frames").glob("*.png")} == {"0005.png", "0006.png", "0007.png"}
    assert not list(scene.parent.glob("elsewhere*"))


@pytest.mark.parametrize("in_scene", [True, False])
def test_the_clip_plays_in_the_users_scene(in_blender: InBlender, scene: Path, walk: Path, in_scene: bool) -> None:
    result = _render(
        in_blender,
        scene,
        character=str(scene.parent / "character.blend"),
        clip=str(walk),
        in_scene=in_scene,
        frame_end=2,
        frame_start=1,
    )

    assert result["frames"] == 2
    frames = scene.parent / "frames"
    assert (frames / "0001.png").read_bytes() != (frames / "0002.png").read_bytes()


def test_a_camera_that_is_not_there_is_an_error(in_blender: InBlender, scene: Path) -> None:
    assert _render(in_blender, scene, camera="Crane") == {"error": "no_camera"}


def test_a_scene_that_cannot_be_opened_is_named_as_such(in_blender: InBlender, tmp_path: Path) -> None:
    broken = tmp_path / "broken.blend"
    broken.write_bytes(b"noise" * 100)
    assert _render(in_blender, broken) == {"error": "scene_unreadable"}
