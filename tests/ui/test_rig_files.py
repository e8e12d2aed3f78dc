# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that a job gets of an armature in the scene: without its motion, and without a trace in the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from motion_queue.backends import compat  # noqa: E402
from motion_queue.backends.character import mannequin  # noqa: E402
from motion_queue.backends.retarget import load  # noqa: E402
from motion_queue.operators import scene_files  # noqa: E402
from motion_queue.queue.errors import MotionQueueError  # noqa: E402

from .conftest import Interface  # noqa: E402


@pytest.fixture
def armature() -> Any:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return animated(mannequin.build(bpy.context.scene))


def animated(armature: Any, keys: int = 20_000) -> Any:
    """As a capture is, with so many keys in six curves, and posed further; drivers of it and its data ask the armature."""
    bpy.context.view_layer.objects.active = armature
    armature.select_set(True)
    first, second = armature.pose.bones[0], armature.pose.bones[1]
    for frame in (1, 50):
        first.location.x = frame / 100
        first.keyframe_insert("location", frame=frame)
        armature.keyframe_insert("location", frame=frame)
    for curve in compat.all_curves(armature.animation_data.action):
        curve.keyframe_points.add(keys)
        curve.keyframe_points.foreach_set("co", [x for frame in range(1, keys + 3) for x in (frame, frame / 100)])
        curve.update()
    strips = armature.animation_data.nla_tracks.new().strips
    strips.new("Before", 1000, armature.animation_data.action)
    first["stiffness"] = 0.5
    _drive(second.driver_add("scale", 0), armature, first)
    _drive(armature.data.bones[1].driver_add("bbone_easein"), armature, first)
    bpy.context.scene.frame_set(10)
    first.location.x = 7.0  # not keyed
    bpy.context.view_layer.update()
    return armature


def capture(name: str, owner: str) -> Any:
    action = bpy.data.actions.new(name)
    curve = compat.action_curves(action, owner)[0].new("location", index=0)
    curve.keyframe_points.add(120_000)
    curve.keyframe_points.foreach_set("co", [x for frame in range(120_000) for x in (frame, 0.0)])
    curve.update()
    return action


def _drive(curve: Any, armature: Any, bone: Any) -> None:
    variable = curve.driver.variables.new()
    variable.targets[0].id = armature
    variable.targets[0].data_path = f'pose.bones["{bone.name}"]["stiffness"]'
    curve.driver.expression = variable.name


def shown(armature: Any) -> list[Any]:
    """What queuing may not change."""
    animation = armature.animation_data
    blocks = (bpy.data.objects, bpy.data.armatures, bpy.data.actions, bpy.data.meshes)
    return [
        # Of what is linked Blender counts a user too many for each copy of an override, until the file is read again.
        [[(block.name, block.library or block.users) for block in kind] for kind in blocks],
        [(*bone.location, *bone.scale, *bone.rotation_quaternion) for bone in armature.pose.bones],
        [animation.action, getattr(animation, "action_slot", None), animation.use_tweak_mode],
        [strip.action for track in animation.nla_tracks for strip in track.strips],
        asked(armature),
        bpy.context.view_layer.objects.active,
        bpy.context.selected_objects,
    ]


def asked(armature: Any) -> list[Any]:
    """By its drivers and its bones'."""
    drivers = (*armature.animation_data.drivers, *armature.data.animation_data.drivers)
    return [driver.driver.variables[0].targets[0].id for driver in drivers]


def content(path: Path) -> dict[str, list[str]]:
    with bpy.data.libraries.load(str(path)) as (there, _):
        return {"objects": list(there.objects), "armatures": list(there.armatures), "actions": list(there.actions)}


def test_actions_are_left_out_and_the_scene_is_as_it_was(armature: Any, tmp_path: Path) -> None:
    before = shown(armature)
    path = scene_files.write_rig(armature, tmp_path)
    bpy.context.view_layer.update()
    assert shown(armature) == before
    found = content(path)
    assert found["actions"] == [] and len(found["objects"]) == len(found["armatures"]) == 1


def test_a_rig_that_points_at_itself_leaves_no_copy_in_the_scene(armature: Any, tmp_path: Path) -> None:
    armature["itself"] = armature.data["object"] = armature
    armature["data"] = armature.data
    armature.pose.bones[1].constraints.new("COPY_ROTATION").target = armature
    before = shown(armature)
    scene_files.write_rig(armature, tmp_path)
    assert shown(armature) == before


def test_a_strip_that_is_edited_stays_so(armature: Any, tmp_path: Path) -> None:
    animation = armature.animation_data
    animation.action = None
    animation.nla_tracks[0].strips[0].select = True
    animation.nla_tracks.active = animation.nla_tracks[0]
    animation.use_tweak_mode = True
    before = shown(armature)
    path = scene_files.write_rig(armature, tmp_path)
    assert shown(armature) == before and animation.use_tweak_mode
    assert content(path)["actions"] == []


def test_a_full_disk_is_told_and_leaves_no_copy_in_the_scene(armature: Any, small: Path) -> None:
    (small / "full").write_bytes(bytes(4 << 20))
    before = shown(armature)
    with pytest.raises(MotionQueueError, match=r"cannot be written.*another queue folder") as told:
        scene_files.write_rig(armature, small)
    assert told.value.code == "output_not_writable"
    assert shown(armature) == before


def test_a_rig_with_little_or_no_motion_is_written_itself(tmp_path: Path) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    made = mannequin.build(bpy.context.scene)
    assert content(scene_files.write_rig(made, tmp_path))["objects"] == [made.name]
    animated(made, keys=100)
    assert content(scene_files.write_rig(made, tmp_path))["objects"] == [made.name]


def test_a_rig_that_comes_along_after_all_is_told_from_its_copy(ui: Interface, state: Path) -> None:
    armature = animated(mannequin.build(bpy.context.scene))
    target = bpy.data.objects.new("Held by the rig", None)
    bpy.context.scene.collection.objects.link(target)
    target.parent = armature
    armature.pose.bones[-1].constraints.new("COPY_ROTATION").target = target
    job_id = ui.submit(prompt="a person walks forward", seconds=1, deliver=False)
    (rig,) = (state / "artefacts" / "sent").iterdir()
    assert len(content(rig)["armatures"]) == 2
    assert ui.over(job_id).state == "completed", ui.engine.get(job_id).error
    assert ui.engine.get(job_id).result["retarget"]["armature"] == armature.name


def test_an_animated_rig_keeps_its_name_and_its_drivers_in_the_job(ui: Interface, state: Path) -> None:
    armature = animated(mannequin.build(bpy.context.scene))
    name = armature.name
    job_id = ui.submit(prompt="a person walks forward", seconds=1, deliver=False)
    armature.name = "Somebody Else"
    assert ui.over(job_id).state == "completed", ui.engine.get(job_id).error
    job = ui.engine.get(job_id)
    assert job.result["retarget"]["armature"] == name and not job.degraded
    (made,) = state.rglob("character.blend")
    bpy.ops.wm.open_mainfile(filepath=str(made))
    armature = bpy.data.objects[name]
    assert [block.name for block in bpy.data.objects if block.type == "ARMATURE"] == [name]
    assert load.STANDS_FOR not in armature
    assert asked(armature) == [armature, armature]


def test_an_override_of_a_linked_rig_is_queued_without_its_actions(ui: Interface, state: Path, tmp_path: Path) -> None:
    library = tmp_path / "characters.blend"
    bpy.data.libraries.write(str(library), {animated(mannequin.build(bpy.context.scene))})
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(library), link=True) as (source, target):
        target.objects = source.objects
    (linked,) = (each for each in bpy.data.objects if each.type == "ARMATURE")
    bpy.context.scene.collection.objects.link(linked)
    armature = linked.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer, do_fully_editable=True)
    assert armature.override_library and armature.data.override_library
    bpy.context.view_layer.objects.active = armature
    armature.select_set(True)
    compat.assign_action(armature, capture("Of This File", armature.name))
    name = armature.name
    bpy.context.view_layer.update()
    before = shown(armature)

    job_id = ui.submit(prompt="a person walks forward", seconds=1, deliver=False)

    assert shown(armature) == before
    (rig,) = (state / "artefacts" / "sent").iterdir()
    assert content(rig)["actions"] == []
    assert ui.over(job_id).state == "completed", ui.engine.get(job_id).error
    assert ui.engine.get(job_id).result["retarget"]["armature"] == name
    (made,) = state.rglob("character.blend")
    bpy.ops.wm.open_mainfile(filepath=str(made))
    armature = bpy.data.objects[name]
    assert asked(armature) == [armature, armature]
