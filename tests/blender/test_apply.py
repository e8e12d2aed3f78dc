# SPDX-License-Identifier: GPL-3.0-or-later
"""A finished motion onto an armature of the open file: in this process's Blender, with real jobs and real children."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motion_queue.backends.character import mannequin
from motion_queue.motion.bvh import read_bvh
from motion_queue.motion.kinematics import resample
from motion_queue.motion.retarget import pose_world, retarget
from motion_queue.motion.rigify import posable
from motion_queue.queue import Job, MotionQueueError

from .conftest import LIMIT

bpy = pytest.importorskip("bpy")

from motion_queue.app import App  # noqa: E402
from motion_queue.backends import compat  # noqa: E402
from motion_queue.backends.retarget.rig import read_rig  # noqa: E402
from motion_queue.operators import actions, apply, applying, session  # noqa: E402
from motion_queue.operators.curves import ApplyOptions, Bones, Destination, Place  # noqa: E402

Apply = Callable[..., applying.Application]


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTION_QUEUE_STATE", str(tmp_path_factory.mktemp("state")))
        yield session.start()
        session.unregister()


@pytest.fixture(scope="module")
def job(queue: App, walk: Path) -> Job:
    spec = queue.clip_job(walk, {"steps": ["read"]})
    queue.engine.submit(spec)
    return queue.engine.wait(spec.id, LIMIT)


@pytest.fixture
def armature(queue: App) -> Any:
    """The mannequin alone in a new file at 24 frames a second; the walk has 30."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 24
    made = mannequin.build(bpy.context.scene)
    bpy.context.view_layer.update()
    return made


@pytest.fixture
def put(queue: App, job: Job) -> Apply:
    return lambda **options: applying.finish(applying.begin(queue, job, ApplyOptions(**options)))


def _curves(action: Any) -> list[Any]:
    return [*compat.action_curves(action, "")[0]]


def _heads(armature: Any, frame: float) -> np.ndarray:
    bpy.context.scene.frame_set(int(frame))
    return np.array([armature.matrix_world @ bone.head for bone in armature.pose.bones])


def _code(put: Apply, **options: Any) -> str:
    with pytest.raises(MotionQueueError) as caught:
        put(**options)
    return caught.value.code


def test_the_armature_moves_as_the_clip_does_at_the_scenes_own_rate(armature: Any, put: Apply, walk: Path) -> None:
    bpy.context.scene.frame_set(11)
    rig, _ = read_rig(armature)
    pose = retarget(resample(read_bvh(walk), 24.0), rig)
    wanted = pose_world(rig, pose)[1]
    order = [rig.names.index(bone.name) for bone in armature.pose.bones]

    done = put()

    assert armature.animation_data.action.name == done.action == "walk"
    assert tuple(armature.animation_data.action.frame_range) == (11, 11 + len(pose) - 1)
    off = [np.abs(_heads(armature, 11 + i) - wanted[i, order]).max() for i in range(0, len(pose), 5)]
    assert max(off) < 0.02, "half a degree over a body is a centimetre or so"
    keys = sum(len(curve.keyframe_points) for curve in _curves(armature.animation_data.action))
    assert keys < 0.6 * len(pose) * len(_curves(armature.animation_data.action))


def test_without_reduction_every_frame_is_met_exactly(armature: Any, put: Apply, walk: Path) -> None:
    rig, _ = read_rig(armature)
    pose = retarget(read_bvh(walk), rig)
    wanted = pose_world(rig, pose)[1]
    order = [rig.names.index(bone.name) for bone in armature.pose.bones]

    put(tolerance=0.0, match_rate=False, place=Place.ORIGINAL)

    assert tuple(armature.animation_data.action.frame_range) == (1, len(pose))
    assert max(np.abs(_heads(armature, 1 + i) - wanted[i, order]).max() for i in range(0, len(pose), 9)) < 1e-4


@pytest.mark.parametrize("mode", ["XYZ", "ZYX", "AXIS_ANGLE"])
def test_a_bone_keeps_its_own_rotation_mode(armature: Any, put: Apply, mode: str) -> None:
    put(tolerance=0.0, place=Place.ORIGINAL)
    wanted = [_heads(armature, frame) for frame in (1, 30, 60)]
    for bone in armature.pose.bones:
        bone.rotation_mode = mode

    put(place=Place.ORIGINAL)

    assert {bone.rotation_mode for bone in armature.pose.bones} == {mode}
    for frame, heads in zip((1, 30, 60), wanted, strict=True):
        assert np.abs(_heads(armature, frame) - heads).max() < 0.02


def test_the_motion_happens_where_the_armature_stands_and_faces(armature: Any, put: Apply) -> None:
    put(tolerance=0.0, place=Place.ORIGINAL)
    here = _heads(armature, 50)
    armature.location = (5.0, -2.0, 1.0)
    armature.rotation_euler = (0.0, 0.0, np.pi / 2)
    bpy.context.view_layer.update()

    put(tolerance=0.0, place=Place.ORIGINAL)

    turned = np.stack([5.0 - here[:, 1], here[:, 0] - 2.0, here[:, 2] + 1.0], axis=-1)
    np.testing.assert_allclose(_heads(armature, 50), turned, atol=1e-4)


def test_a_small_armature_with_another_up_axis_moves_in_its_own_units(armature: Any, put: Apply) -> None:
    put(tolerance=0.0, place=Place.ORIGINAL)
    wanted = _heads(armature, 50)
    data = armature.data
    from mathutils import Matrix  # noqa: PLC0415

    other = Matrix.Rotation(-np.pi / 2, 4, "X") @ Matrix.Scale(100.0, 4)
    data.transform(other)
    for skin in armature.children:
        skin.data.transform(other)
    armature.rotation_euler = (np.pi / 2, 0.0, 0.0)
    armature.scale = (0.01, 0.01, 0.01)
    bpy.context.view_layer.update()

    put(tolerance=0.0, place=Place.ORIGINAL)

    np.testing.assert_allclose(_heads(armature, 50), wanted, atol=1e-3)


def test_a_root_under_another_bone_goes_the_same_way_without_local_location(armature: Any, put: Apply) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    above = armature.data.edit_bones.new("Above")
    above.head, above.tail, above.roll = (0.0, 0.0, 0.0), (0.3, 0.5, 0.2), 0.7
    root = next(bone for bone in armature.data.edit_bones if bone.parent is None and bone != above)
    name = root.name
    root.parent = above
    bpy.ops.object.mode_set(mode="OBJECT")
    heads = []
    for local in (True, False):
        armature.data.bones[name].use_local_location = local
        bpy.context.scene.frame_set(1)
        put()
        heads.append([_heads(armature, frame) for frame in (1, 9, 20)])
    np.testing.assert_allclose(heads[0], heads[1], atol=0.01)


def test_a_users_own_action_is_neither_changed_nor_lost(armature: Any, put: Apply) -> None:
    own = bpy.data.actions.new("mine")
    curves, _ = compat.action_curves(own, armature.name)
    curves.new('pose.bones["Head"].location', index=0).keyframe_points.insert(1, 0.5)
    compat.assign_action(armature, own)

    done = put()

    assert armature.animation_data.action != own
    assert own.use_fake_user and [c.data_path for c in _curves(own)] == ['pose.bones["Head"].location']
    assert any("mine" in note for note in done.notes)


def test_selected_bones_alone_are_replaced_in_a_copy_of_the_active_action(armature: Any, put: Apply) -> None:
    put(place=Place.ORIGINAL)
    before = armature.animation_data.action
    count = len(_curves(before))
    for bone in armature.pose.bones:
        target = bone if "select" in bone.bl_rna.properties else bone.bone
        target.select = bone.name.endswith("Forearm.L") or bone.name == armature.pose.bones[0].name
    chosen = {b.name for b in armature.pose.bones if (b if "select" in b.bl_rna.properties else b.bone).select}

    put(bones=Bones.SELECTED, place=Place.CURRENT, tolerance=0.0)

    after = armature.animation_data.action
    assert after != before and len(_curves(before)) == len(_curves(after)) == count
    full = {c.group.name for c in _curves(after) if len(c.keyframe_points) > 90}
    assert full and full <= chosen


def test_a_strip_goes_above_the_others_and_the_active_action_stays(armature: Any, put: Apply) -> None:
    put()
    active = armature.animation_data.action
    bpy.context.scene.frame_set(40)

    done = put(destination=Destination.NLA)

    strip = armature.animation_data.nla_tracks[-1].strips[0]
    assert armature.animation_data.action == active
    assert strip.action.name == done.action and strip.frame_start == 40
    assert any("covers" in note for note in done.notes)
    armature.animation_data.action = None
    moved = [_heads(armature, frame) for frame in (45, 75)]
    assert np.abs(moved[0] - moved[1]).max() > 0.1


def test_place_range_and_asset_are_as_wished(armature: Any, put: Apply) -> None:
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 20
    scene.timeline_markers.new("go", frame=15)

    done = put(place=Place.MARKER, marker="go", extend_range=True, mark_asset=True)

    action = bpy.data.actions[done.action]
    assert action.asset_data is not None
    assert action.frame_range[0] == 15
    assert (scene.frame_start, scene.frame_end) == (1, int(action.frame_range[1]))


def test_one_undo_takes_the_motion_away_and_redo_brings_it_back(armature: Any, put: Apply) -> None:
    bpy.ops.ed.undo_push(message="before")
    put()

    bpy.ops.ed.undo()
    found = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    assert (found.animation_data is None or found.animation_data.action is None) and not bpy.data.actions
    bpy.ops.ed.redo()
    found = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    assert found.animation_data.action.name == "walk"


def test_an_undo_between_two_slices_costs_only_the_time_to_build_again(armature: Any, queue: App, job: Job) -> None:
    bpy.ops.ed.undo_push(message="one")
    bpy.context.scene.frame_set(2)
    bpy.ops.ed.undo_push(message="two")
    application = applying.begin(queue, job)
    application.wait_fitted(LIMIT)
    for _ in range(5):
        application.advance(0.0)
    assert application.phase is applying.Phase.BUILDING and len(bpy.data.actions) == 1
    bpy.ops.ed.undo()
    assert len(bpy.data.actions) == 0

    applying.finish(application)

    found = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    assert [a.name for a in bpy.data.actions] == ["walk"]
    assert len(_curves(found.animation_data.action)) == 22 * 4 + 3


def test_a_half_built_action_that_an_undo_brings_back_is_not_gone_on_with(armature: Any, queue: App, job: Job) -> None:
    application = applying.begin(queue, job)
    application.wait_fitted(LIMIT)
    application.advance(0.0)
    bpy.ops.ed.undo_push(message="half")
    for _ in range(5):
        application.advance(0.0)
    bpy.ops.ed.undo_push(message="more")
    bpy.ops.ed.undo()

    applying.finish(application)

    found = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    assert [a.name for a in bpy.data.actions] == ["walk"]
    assert len(_curves(found.animation_data.action)) == 22 * 4 + 3


def test_an_armature_that_is_renamed_meanwhile_still_gets_its_motion(armature: Any, queue: App, job: Job) -> None:
    application = applying.begin(queue, job)
    armature.name = "Somebody"
    applying.finish(application)
    assert bpy.data.objects["Somebody"].animation_data.action.name == application.action


def test_what_cannot_take_a_motion_is_refused_with_a_code_and_leaves_nothing(
    armature: Any, put: Apply, queue: App, job: Job
) -> None:
    assert _code(put, armature="nobody") == "no_armature"
    assert _code(put, place=Place.MARKER) == "no_marker"

    application = applying.begin(queue, job)
    bpy.ops.object.mode_set(mode="EDIT")
    assert _code(put) == "armature_in_edit_mode"
    with pytest.raises(MotionQueueError) as caught:
        applying.finish(application)
    assert caught.value.code == "apply_blocked"
    armature.data.edit_bones.remove(armature.data.edit_bones[-1])
    bpy.ops.object.mode_set(mode="OBJECT")

    application = applying.begin(queue, job)
    bpy.data.objects.remove(armature)
    with pytest.raises(MotionQueueError) as caught:
        applying.finish(application)
    assert caught.value.code == "armature_gone"

    assert _code(put) == "no_armature"
    empty = bpy.data.objects.new("Empty Rig", bpy.data.armatures.new("Empty Rig"))
    bpy.context.collection.objects.link(empty)
    assert _code(put) == "no_bones"
    mannequin.build(bpy.context.scene)
    bpy.context.view_layer.objects.active = None
    assert _code(put) == "several_armatures"
    assert not bpy.data.actions


def test_a_linked_armature_is_refused(armature: Any, put: Apply, tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (there, here):
        here.objects = [name for name in there.objects if name == "Mannequin"]
    bpy.context.collection.objects.link(here.objects[0])
    assert _code(put) == "armature_linked"


def test_another_file_ends_what_was_meant_for_the_one_before(armature: Any, queue: App, job: Job) -> None:
    application = applying.begin(queue, job)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert application.error is not None and application.error.code == "file_closed"
    assert application not in applying.going() and not bpy.data.actions


def test_the_operator_applies_and_says_what_is_wrong(armature: Any, job: Job) -> None:
    assert bpy.ops.motion_queue.apply(job_id=job.id, extend_range=True) == {"FINISHED"}
    assert armature.animation_data.action.name == "walk"
    with pytest.raises(RuntimeError, match="no_marker"):
        bpy.ops.motion_queue.apply(job_id=job.id, place="MARKER")
    with pytest.raises(RuntimeError, match=r"\[\w+\]"):
        bpy.ops.motion_queue.apply(job_id="nothing")


def test_a_job_without_a_motion_is_refused(armature: Any, queue: App, tmp_path: Path) -> None:
    broken = tmp_path / "broken.bvh"
    broken.write_text("HIERARCHY nothing")
    spec = queue.clip_job(broken, {"steps": ["read"]})
    queue.engine.submit(spec)
    failed = queue.engine.wait(spec.id, LIMIT)
    with pytest.raises(MotionQueueError) as caught:
        applying.begin(queue, failed)
    assert caught.value.code == "no_motion"


def test_the_file_of_a_motion_that_vanished_is_named(armature: Any, queue: App, walk: Path) -> None:
    spec = queue.clip_job(walk, {"steps": ["read"]})
    queue.engine.submit(spec)
    gone = queue.engine.wait(spec.id, LIMIT)
    queue.store.path(gone.artefacts[0].key).unlink()
    with pytest.raises(MotionQueueError) as caught:
        applying.begin(queue, gone)
    assert caught.value.code == "artefact_missing"


def test_data_is_found_by_what_renaming_does_not_change(armature: Any) -> None:
    uid = armature.session_uid
    armature.name = "x"
    assert actions.by_uid(bpy.data.objects, uid) == armature
    assert actions.by_uid(bpy.data.objects, -1) is None


def test_a_finished_motion_goes_onto_its_armature_by_itself_only_where_its_file_is_open(
    armature: Any, queue: App, walk: Path, tmp_path: Path
) -> None:
    blend = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    bpy.context.scene.frame_set(50)
    source = {"blend": str(blend), "scene": "Scene", "armature": armature.name}
    made = []
    for where in (source, {**source, "blend": str(tmp_path / "other.blend")}, {**source, "armature": ""}):
        spec = queue.clip_job(walk, {"steps": ["read"]}, source=where)
        queue.engine.submit(spec)
        made.append(queue.engine.wait(spec.id, LIMIT).id)

    assert [apply._automatic.apply(queue, job_id) for job_id in made] == [True, False, False]
    applying.finish(applying.going()[0])

    assert armature.animation_data.action.frame_range[0] == 1, "where the motion begins, not wherever the playhead is"


def test_a_hidden_armature_and_one_in_pose_mode_get_their_motion(armature: Any, put: Apply) -> None:
    bpy.ops.object.mode_set(mode="POSE")
    assert put().action == armature.animation_data.action.name
    bpy.ops.object.mode_set(mode="OBJECT")
    armature.hide_set(True)
    armature.hide_viewport = True
    assert put(armature=armature.name).action == armature.animation_data.action.name


def test_a_folder_for_temporary_files_that_vanished_is_named(armature: Any, put: Apply) -> None:
    folder = Path(bpy.app.tempdir)
    aside = folder.with_name("aside")
    folder.rename(aside)
    try:
        assert _code(put) == "output_not_writable"
    finally:
        aside.rename(folder)


def test_a_rig_with_controls_gets_them_keyed_and_moves_as_the_clip_does(
    queue: App, put: Apply, walk: Path, control_rig: Path
) -> None:
    bpy.ops.wm.open_mainfile(filepath=str(control_rig), load_ui=False)
    target = next(o for o in bpy.data.objects if o.type == "ARMATURE" and "torso" in o.pose.bones)
    bpy.context.view_layer.objects.active = target
    target.select_set(True)
    bpy.context.scene.render.fps = 24
    constraints = sum(not c.mute for bone in target.pose.bones for c in bone.constraints)
    rig = posable(read_rig(target)[0])
    pose = retarget(resample(read_bvh(walk), 24.0), rig)
    wanted = pose_world(rig, pose)[1]

    done = put(place=Place.ORIGINAL)

    assert done.error is None, done.message
    keyed = {curve.data_path.split('"')[1] for curve in _curves(target.animation_data.action)}
    assert {"torso", "thigh_fk.L", "foot_ik.L"} <= keyed
    assert not [name for name in keyed if name.startswith(("DEF-", "ORG-", "MCH-"))]
    assert sum(not c.mute for bone in target.pose.bones for c in bone.constraints) == constraints
    legs = [rig.names.index(f"DEF-{part}.{side}") for part in ("thigh", "shin", "foot") for side in "LR"]
    for frame in range(0, len(pose), 15):
        bpy.context.scene.frame_set(1 + frame)
        heads = np.array([target.matrix_world @ target.pose.bones[rig.names[bone]].head for bone in legs])
        assert np.abs(heads - wanted[frame, legs]).max() < 0.03, "half a degree over a body is a centimetre or so"

    first = target.animation_data.action
    again = put(place=Place.ORIGINAL)
    assert again.error is None and target.animation_data.action.name == again.action != first.name
    values = [
        [(c.data_path, c.array_index, c.evaluate(20.0)) for c in _curves(bpy.data.actions[name])]
        for name in (first.name, again.action)
    ]
    assert values[0] == values[1], "what the rig plays already changes nothing"
