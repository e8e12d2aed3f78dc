# SPDX-License-Identifier: GPL-3.0-or-later
"""Characters of all kinds, good and bad, through the whole program."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import InBlender, RunJob

ONLY_RETARGET = {"steps": ["read", "retarget"], "frame_end": 5}

_MANNEQUIN = """
from motion_queue.backends.character import mannequin
bpy.ops.wm.read_factory_settings(use_empty=True)
armature = mannequin.build(bpy.context.scene)
"""


def _error(job: object) -> tuple[str, str]:
    step = next(s for s in job.steps if s.name == "retarget")  # type: ignore[attr-defined]
    assert step.error is not None, f"the step is {step.state}"
    return step.error.code, step.error.message


@pytest.mark.parametrize("kind", ["blend", "fbx", "glb"])
def test_a_character_file_of_each_format_is_retargeted(
    run_job: RunJob, in_blender: InBlender, walk: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"somebody.{kind}"
    save = {
        "blend": f"bpy.ops.wm.save_as_mainfile(filepath={str(path)!r})",
        "fbx": f"bpy.ops.export_scene.fbx(filepath={str(path)!r}, add_leaf_bones=False)",
        "glb": f"bpy.ops.export_scene.gltf(filepath={str(path)!r})",
    }[kind]
    in_blender(_MANNEQUIN + save)

    job = run_job(walk, dict(ONLY_RETARGET), character=path)

    assert job.state == "completed", job.error
    assert not job.degraded
    assert job.result["retarget"]["mapped"] == 22


def test_two_armatures_are_named_and_one_can_be_chosen(
    run_job: RunJob, in_blender: InBlender, walk: Path, tmp_path: Path
) -> None:
    path = tmp_path / "two.blend"
    in_blender(
        _MANNEQUIN + "armature.name = 'First'\nmannequin.build(bpy.context.scene).name = 'Second'\n"
        f"bpy.ops.wm.save_as_mainfile(filepath={str(path)!r})"
    )

    code, message = _error(run_job(walk, dict(ONLY_RETARGET), character=path))
    chosen = run_job(walk, {**ONLY_RETARGET, "armature": "Second"}, character=path)

    assert code == "several_armatures"
    assert "First" in message
    assert "Second" in message
    assert chosen.result["retarget"]["armature"] == "Second"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("bpy.ops.mesh.primitive_cube_add()", "no_armature"),
        ("bpy.ops.object.armature_add()", "unknown_skeleton"),
    ],
)
def test_a_file_without_a_body_is_refused(
    run_job: RunJob, in_blender: InBlender, walk: Path, tmp_path: Path, script: str, code: str
) -> None:
    path = tmp_path / "nobody.blend"
    in_blender(f"bpy.ops.wm.read_factory_settings(use_empty=True)\n{script}\nbpy.ops.wm.save_as_mainfile(filepath={str(path)!r})")

    assert _error(run_job(walk, dict(ONLY_RETARGET), character=path))[0] == code


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("noise.blend", b"\x00\x17noise" * 50, "character_unreadable"),
        ("noise.fbx", b"\x00\x17noise" * 50, "character_unreadable"),
        ("noise.glb", b"\x00\x17noise" * 50, "character_unreadable"),
        ("picture.png", b"\x89PNG", "character_unreadable"),
        ("future.blend", b"BLENDER-v999" + bytes(200), "blend_too_new"),
    ],
)
def test_a_broken_character_file_is_refused(
    run_job: RunJob, walk: Path, tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    assert _error(run_job(walk, dict(ONLY_RETARGET), character=path))[0] == code
