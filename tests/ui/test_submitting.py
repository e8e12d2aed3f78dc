# SPDX-License-Identifier: GPL-3.0-or-later
"""Shots are queued by the operators and become motion, in real child processes, while the interface only ticks."""

from __future__ import annotations

from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")

from motion_queue.backends.character import mannequin  # noqa: E402

from .conftest import Interface  # noqa: E402

GZIP = b"\x1f\x8b"


def test_a_prompt_becomes_a_motion_on_the_selected_armature(ui: Interface, tmp_path: Path) -> None:
    armature = mannequin.build(bpy.context.scene)
    bpy.context.view_layer.objects.active = armature
    armature.select_set(True)
    bpy.context.scene.render.fps = 12
    job_id = ui.submit(prompt="a person walks forward and juggles", seconds=2, output=str(tmp_path / "{shot}_{take}_v{version}"))
    row = ui.over(job_id)
    job = ui.engine.get(job_id)
    assert row.state == "completed", job.error
    assert not row.degraded and row.progress == 1.0 and row.label == "a person walks forward and juggles"
    assert job.result["retarget"]["character"] == "file" and job.result["retarget"]["frames"] == 24
    folder = tmp_path / "a person walks forward and juggles_01_v001"
    assert {"motion.bvh", "character.fbx"} <= {path.name for path in folder.iterdir()}
    assert job.source["armature"] == armature.name
    (rig,) = (Path(given.path) for given in job.inputs if given.name == "character")
    assert rig.read_bytes().startswith(GZIP) and [path.name for path in rig.parent.iterdir()] == [rig.name]

    ui.session.select(job_id)
    details = ui.until(lambda: ui.now.details if ui.now.details.over else None)
    assert [step.name for step in details.steps] == ["generate", "retarget", "deliver"]
    assert all(step.seconds >= 0 and step.state == "completed" for step in details.steps)
    assert {file.name for file in details.files} >= {"motion.bvh", "character.fbx"}
    assert all(Path(file.path).is_file() for file in details.files)
    assert details.folder == str(folder) and "juggles" in details.note and details.error is None
    assert ui.until(lambda: ui.now.notices)[0].text.startswith("a person walks forward")


def test_a_clip_becomes_a_video(ui: Interface, checkout: Path, tmp_path: Path) -> None:
    scene = bpy.context.scene
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 192, 128, 50
    scene.frame_start, scene.frame_end = 1, 6
    ui.shot.length = "SCENE"
    ui.shot.scene_rate = False
    job_id = ui.submit(
        clip=str(checkout / "examples" / "walk.bvh"), character="BUILTIN", render=True, output=str(tmp_path), name="Walk"
    )
    row = ui.over(job_id)
    job = ui.engine.get(job_id)
    assert row.state == "completed", job.error
    assert not row.degraded, row.degraded
    assert job.payload["resolution"] == [96, 64] and job.result["render"]["frames"] == 6
    assert (tmp_path / "Walk" / "video.mp4").is_file()


def test_takes_are_a_batch_of_different_motions(held: Interface, tmp_path: Path) -> None:
    assert held.run(
        "submit", prompt="jumps", character="BUILTIN", takes=3, output=str(tmp_path / "{shot}_{take}_v{version}")
    ) == {"FINISHED"}
    held.until(lambda: held.now.counts.waiting == 3)
    rows = sorted(held.now.jobs.rows(), key=lambda row: row.position)
    assert [row.label for row in rows] == ["jumps 01", "jumps 02", "jumps 03"]
    jobs = [held.engine.get(row.id) for row in rows]
    assert [job.payload["variation"] for job in jobs] == [0, 1, 2]
    assert [job.payload["label"] for job in jobs] == ["jumps_01_v001", "jumps_02_v001", "jumps_03_v001"]
    assert len({job.batch_id for job in jobs}) == 1 and jobs[0].batch_id


def test_a_folder_of_clips_is_a_batch_and_a_bad_one_does_not_hold_it_up(held: Interface, checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mocap"
    folder.mkdir()
    clip = (checkout / "examples" / "walk.bvh").read_bytes()
    for name in ("b.bvh", "a.BVH"):
        (folder / name).write_bytes(clip)
    (folder / "notes.txt").write_text("no clip")
    (folder / "c.bvh").symlink_to(folder / "a.BVH")
    assert held.run("submit", folder=str(folder), character="BUILTIN", deliver=False) == {"FINISHED"}
    held.until(lambda: held.now.counts.waiting == 3)
    assert sorted(row.label for row in held.now.jobs.rows()) == ["a", "b", "c"]


def test_a_shot_list_has_prompts_and_clips(held: Interface, checkout: Path) -> None:
    text = bpy.data.texts.new("Film")
    text.from_string(f"# act one\na person walks forward\n\n{checkout / 'examples' / 'walk.bvh'}\nwaves\n")
    assert held.run("submit", text="Film", character="BUILTIN", deliver=False, priority=80) == {"FINISHED"}
    held.until(lambda: held.now.counts.waiting == 3)
    rows = sorted(held.now.jobs.rows(), key=lambda row: row.position)
    assert [(row.label, row.priority) for row in rows] == [("a person walks forward", 80), ("walk", 80), ("waves", 80)]
    assert [held.engine.get(row.id).workflow for row in rows] == ["shot", "clip", "shot"]


def test_dropped_clips_are_queued_with_the_panels_settings(held: Interface, checkout: Path) -> None:
    held.shot.character, held.shot.deliver, held.shot.priority = "BUILTIN", False, 70
    files = [{"name": "walk.bvh"}, {"name": "other.txt"}]
    assert held.run("submit_clips", directory=str(checkout / "examples"), files=files) == {"FINISHED"}
    held.until(lambda: held.now.counts.waiting == 1)
    row = next(iter(held.now.jobs.rows()))
    assert (row.label, row.priority) == ("walk", 70)


def test_the_scene_itself_is_rendered_from_a_copy_where_it_is_not_saved(held: Interface) -> None:
    armature = mannequin.build(bpy.context.scene)
    bpy.context.view_layer.objects.active = armature
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    bpy.context.scene.collection.objects.link(camera)
    with pytest.raises(RuntimeError, match="no camera"):
        held.run("submit", prompt="jumps", render=True, deliver=False)
    bpy.context.scene.camera = camera
    job_id = held.submit(prompt="jumps", render=True, deliver=False)
    job = held.engine.get(job_id)
    assert job.payload["character"] == "scene" and job.payload["camera"] == "Camera"
    scene = next(Path(found.path) for found in job.inputs if found.name == "scene")
    assert scene.is_file() and scene != Path(bpy.data.filepath) and job.payload["armature"] == armature.name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prompt": "xyzzy", "character": "BUILTIN", "deliver": False}, "is a motion that is known"),
        ({"prompt": "jumps", "deliver": False}, "No armature is selected"),
        ({"prompt": "jumps", "character": "BUILTIN"}, "never saved"),
        ({"clip": "/no/where.png", "character": "BUILTIN", "deliver": False}, "no BVH file"),
        ({"text": "Nothing", "character": "BUILTIN", "deliver": False}, "text"),
    ],
)
def test_what_can_be_seen_at_once_is_refused_at_once(held: Interface, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        held.run("submit", **arguments)
    assert held.now.counts.total == 0


def test_a_file_that_is_not_there_is_told_soon(held: Interface) -> None:
    assert held.run("submit", clip="/no/where.bvh", character="BUILTIN", deliver=False) == {"FINISHED"}
    held.until(lambda: held.now.notices)
    assert "/no/where.bvh" in held.now.notices[0].text and held.now.notices[0].severity == "ERROR"
    assert held.now.counts.total == 0
