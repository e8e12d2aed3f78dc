# SPDX-License-Identifier: GPL-3.0-or-later
"""Characters and clips as people have them: what is right nevertheless, what is refused with a word on what to do.

Each character goes through one warm Blender child, as in the queue; what it wrote is looked at in another Blender.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motion_queue.backends.children import ChildPool
from motion_queue.backends.protocol import ChildKind
from motion_queue.queue.errors import MotionQueueError
from motion_queue.scripts.cli.terminal import Terminal

from .conftest import InBlender

FRAMES = 20
_MAKE = """
from mathutils import Vector
from motion_queue.backends.character import mannequin

def fresh():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return mannequin.build(bpy.context.scene)

def save(name):
    bpy.ops.wm.save_as_mainfile(filepath=f"FOLDER/{name}.blend")

def link_to_scene(*found):
    for item in found:
        bpy.context.scene.collection.objects.link(item)

def edited(armature):
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    return armature.data.edit_bones

def aim():
    target = bpy.data.objects.new("aim", None)
    target.location = (1, 2, 3)
    link_to_scene(target)
    return target

def driven(owner, path, *index):
    driver = owner.driver_add(path, *index).driver
    driver.type = "SUM"
    variable = driver.variables.new()
    variable.targets[0].id = bpy.data.objects["Mannequin"]
    variable.targets[0].data_path = '["turn"]'

fresh(); save("plain")
for mode in ("XYZ", "ZXY", "AXIS_ANGLE"):
    armature = fresh()
    for bone in armature.pose.bones:
        bone.rotation_mode = mode
    save("rotation mode " + mode)
armature = fresh()
armature.lock_location = armature.lock_rotation = (True,) * 3
for bone in armature.pose.bones:
    bone.lock_location = bone.lock_rotation = bone.lock_scale = (True,) * 3
    bone.lock_rotation_w = bone.lock_rotations_4d = True
save("locked")
armature = fresh()
for name, kind in (("left_hip", "TRACK_TO"), ("right_elbow", "TRACK_TO"), ("pelvis", "COPY_LOCATION"), ("left_ankle", "IK")):
    armature.pose.bones[name].constraints.new(kind).target = bpy.data.objects.get("aim") or aim()
armature["turn"] = 0.0
driven(armature.pose.bones["left_hip"].constraints[0], "influence")
save("constraints")
armature = fresh()
armature["turn"] = 2.0
for name, path in (("left_shoulder", "rotation_euler"), ("left_hip", "rotation_quaternion"), ("pelvis", "location")):
    for index in range(3):
        driven(armature, f'pose.bones["{name}"].{path}', index)
save("drivers")
armature = fresh(); armature.scale = (-1, 1, 1); save("mirrored")
armature = fresh(); armature.scale = (1, 1.5, 0.7); save("uneven")
armature = fresh(); armature.scale = (0, 0, 0); save("scaled to nothing")
armature = fresh(); armature.scale = (1, 1, 0); save("flat")
armature = fresh(); armature.location = (float("nan"), 0, 0); save("nowhere")

armature = fresh()
root = edited(armature).new("root")
root.head, root.tail = (0, -0.3, 0), armature.data.edit_bones["pelvis"].head
armature.data.edit_bones["pelvis"].parent = root
armature.data.edit_bones["pelvis"].use_connect = True
bpy.ops.object.mode_set(mode="OBJECT")
armature.hide_viewport = armature.hide_select = True
save("hidden and connected")
armature = fresh(); edited(armature); save("saved in edit mode")
armature = fresh()
armature.data.pose_position = "REST"
for bone in armature.pose.bones:
    bone.rotation_quaternion, bone.scale = (0.8, 0.6, 0, 0), (1.1, 1, 1)
save("posed and shown at rest")
armature = fresh()
for bone in armature.data.bones:
    bone.use_inherit_rotation, bone.use_local_location, bone.inherit_scale = False, False, "NONE"
save("inherits nothing")
armature = fresh()
armature.pose.bones["pelvis"].location = (0, 0, 1)
armature.pose.bones["pelvis"].keyframe_insert("location", frame=1)
data = armature.animation_data
track = data.nla_tracks.new()
track.strips.new("old", 1, data.action).select = True
data.action, track.select, data.nla_tracks.active = None, True, track
data.use_tweak_mode = True
assert data.use_tweak_mode
save("saved in tweak mode")
armature = fresh()
hidden = bpy.data.collections.new("Hidden")
bpy.context.scene.collection.children.link(hidden)
for item in list(bpy.context.scene.collection.objects):
    hidden.objects.link(item)
    bpy.context.scene.collection.objects.unlink(item)
bpy.context.view_layer.layer_collection.children["Hidden"].exclude = hidden.hide_viewport = True
save("in an excluded collection")

fresh(); mannequin.build(bpy.context.scene).name = "Second"; save("two armatures")
armature = fresh()
for bone in edited(armature):
    bone.head, bone.tail = (0, 0, 0), (0, 0, 1e-4)
bpy.ops.object.mode_set(mode="OBJECT")
save("all in one place")
armature = fresh()
for bone in edited(armature):
    bone.head = bone.tail = (0, 0, 0)
bpy.ops.object.mode_set(mode="OBJECT")
save("bones without length")
bpy.ops.wm.read_factory_settings(use_empty=True)
link_to_scene(bpy.data.objects.new("Empty", bpy.data.armatures.new("Empty")))
save("no bones")
bpy.ops.wm.read_factory_settings(use_empty=True)
dog = bpy.data.objects.new("Dog", bpy.data.armatures.new("Dog"))
link_to_scene(dog)
bones = edited(dog)
def bone(name, head, tail, parent=None):
    made = bones.new(name)
    made.head, made.tail, made.parent = head, tail, bones.get(parent or "")
bone("spine", (0, 0.5, 0.6), (0, -0.5, 0.6))
bone("head", (0, -0.5, 0.6), (0, -0.9, 0.8), "spine")
bone("tail", (0, 0.5, 0.6), (0, 1, 0.7), "spine")
for side, x in (("L", 0.15), ("R", -0.15)):
    for where, y in (("front", -0.45), ("hind", 0.45)):
        bone(f"{where}_upper.{side}", (x, y, 0.55), (x, y, 0.3), "spine")
        bone(f"{where}_lower.{side}", (x, y, 0.3), (x, y, 0.05), f"{where}_upper.{side}")
        bone(f"{where}_paw.{side}", (x, y, 0.05), (x, y - 0.1, 0), f"{where}_lower.{side}")
bpy.ops.object.mode_set(mode="OBJECT")
save("dog")

hero = fresh()
hero.name = "Hero"
collection = bpy.data.collections.new("Hero")
bpy.context.scene.collection.children.link(collection)
for item in list(bpy.context.scene.collection.objects):
    collection.objects.link(item)
    bpy.context.scene.collection.objects.unlink(item)
save("library")
def linked(kind, file="library"):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(f"FOLDER/{file}.blend", link=True, relative=True) as (source, target):
        setattr(target, kind, list(getattr(source, kind)))
    return list(getattr(target, kind))
link_to_scene(*linked("objects")); save("linked objects")
(collection,) = linked("collections")
bpy.context.scene.collection.children.link(collection); save("linked collection")
(collection,) = linked("collections")
instance = bpy.data.objects.new("instance", None)
instance.instance_type, instance.instance_collection, instance.location = "COLLECTION", collection, (5, 0, 0)
link_to_scene(instance); save("linked instance")
(collection,) = linked("collections")
collection.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer); save("library override")
linked("scenes", "linked objects"); save("linked twice over")
(armature,) = linked("armatures")
link_to_scene(bpy.data.objects.new("Own", armature)); save("linked armature data")
link_to_scene(*linked("objects"))
bpy.data.libraries[0].filepath = "//gone.blend"; save("library gone")
"""
_LOOK = """
import json
import numpy as np
from pathlib import Path

def seen(path):
    bpy.ops.wm.open_mainfile(filepath=str(path))
    scene = bpy.context.scene
    (armature,) = [o for o in scene.objects if o.type == "ARMATURE"]
    moving = armature.animation_data is not None and armature.animation_data.action is not None
    heads, skin = [], []
    for frame in (1, 10, 20):
        scene.frame_set(frame)
        graph = bpy.context.evaluated_depsgraph_get()
        found = armature.evaluated_get(graph)
        names = sorted(b.name for b in found.pose.bones if b.name != "root")
        heads.append([list(found.matrix_world @ found.pose.bones[n].head) for n in names])
        for mesh in (o for o in scene.objects if o.type == "MESH"):
            shown = mesh.evaluated_get(graph)
            skin += [list(shown.matrix_world @ v.co) for v in list(shown.data.vertices)[::50]]
    return {"moving": moving, "heads": heads, "skin": skin, "libraries": [l.filepath for l in bpy.data.libraries]}

print("LOOK" + json.dumps({p.stem: seen(p) for p in sorted(Path("FOLDER").glob("*.blend"))}))
"""
AS_PLAIN = (
    "rotation mode XYZ", "rotation mode ZXY", "rotation mode AXIS_ANGLE", "locked", "constraints", "drivers",
    "hidden and connected", "saved in edit mode", "posed and shown at rest", "inherits nothing", "saved in tweak mode",
    "in an excluded collection", "two armatures", "linked objects", "linked collection", "linked instance",
    "library override", "linked twice over",
)  # fmt: skip
REFUSED = {
    "dog": {"unknown_skeleton"},
    "all in one place": {"unknown_skeleton"},
    "bones without length": {"bad_rig", "unknown_skeleton"},  # some Blenders keep them
    "no bones": {"bad_rig"},
    "scaled to nothing": {"bad_rig"},
    "flat": {"bad_rig"},
    "nowhere": {"bad_rig"},
    "library gone": {"character_unreadable"},
}


class _Context(Terminal):
    """Notes how much memory the child takes."""

    def __init__(self) -> None:
        super().__init__(as_json=False)
        self.peak_mb = 0.0

    def memory(self, peak_mb: float) -> None:
        self.peak_mb = max(self.peak_mb, peak_mb)


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of all the characters."""

    folder: Path
    before: dict[str, bytes]  # the files as they were
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, MotionQueueError] = field(default_factory=dict)
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder.parent / "out"

    def heads(self, name: str) -> np.ndarray[Any, Any]:
        """[3, bones, 3], metres"""
        return np.array(self.seen[name]["heads"])


@pytest.fixture(scope="module")
def pool() -> Iterator[ChildPool]:
    pytest.importorskip("bpy", reason="this environment has no bpy")
    pool = ChildPool()
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, walk: Path) -> Path:
    return _repeated(walk, FRAMES, tmp_path_factory.mktemp("clip") / "short.bvh")


def _repeated(source: Path, frames: int, target: Path) -> Path:
    """A clip of so many frames, from those of another again and again."""
    lines = source.read_text(encoding="utf-8").splitlines()
    motion = lines.index("MOTION")
    rows = [line for line in lines[motion + 3 :] if line.strip()]
    header = [*lines[: motion + 1], f"Frames: {frames}", lines[motion + 2]]
    target.write_text("\n".join([*header, *(rows[i % len(rows)] for i in range(frames)), ""]), encoding="utf-8")
    return target


def _arguments(clip: Path, **others: Any) -> dict[str, Any]:
    none = {"character": "", "armature": "", "fps": 0.0, "name": "Motion", "blend": "", "fbx": "", "bvh": "", "map": ""}
    return {
        "clip": str(clip),
        **none,
        "foot_lock": False,
        "hand_contacts": False,
        "travel": "hips",
        "start": None,
        "heading": None,
        **others,
    }


def _retarget(pool: ChildPool, clip: Path, context: Terminal | None = None, **others: Any) -> dict[str, Any]:
    return pool.run(
        ChildKind.BLENDER, "backends.retarget.child:run", _arguments(clip, **others), context or Terminal(as_json=False)
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, in_blender: InBlender, pool: ChildPool, clip: Path) -> _Done:
    folder = tmp_path_factory.mktemp("bad") / "characters"
    folder.mkdir()
    in_blender(_MAKE.replace("FOLDER", str(folder)))
    done = _Done(folder, {path.name: path.read_bytes() for path in folder.iterdir()})
    done.out.mkdir()
    for path in sorted(folder.glob("*.blend")):
        wanted = "Mannequin" if path.stem == "two armatures" else ""
        try:
            done.made[path.stem] = _retarget(pool, clip, character=str(path), armature=wanted, blend=str(done.out / path.name))
        except MotionQueueError as error:
            done.refused[path.stem] = error
    printed = in_blender(_LOOK.replace("FOLDER", str(done.out)))
    done.seen.update(json.loads(next(line for line in printed.splitlines() if line.startswith("LOOK"))[4:]))
    return done


@pytest.mark.parametrize("name", AS_PLAIN)
def test_the_motion_is_that_of_a_plain_character(done: _Done, name: str) -> None:
    assert name not in done.refused, done.refused[name]
    seen = done.seen[name]
    assert seen["moving"] and not seen["libraries"]
    assert np.ptp(done.heads("plain"), axis=0).max() > 0.3, "the plain one walks"
    assert np.abs(done.heads(name) - done.heads("plain")).max() < 1e-4
    assert np.abs(np.array(seen["skin"]) - np.array(done.seen["plain"]["skin"])).max() < 1e-4


def test_linked_bones_without_their_skin_move_too(done: _Done) -> None:
    assert done.seen["linked armature data"]["moving"] and not done.seen["linked armature data"]["libraries"]
    assert np.abs(done.heads("linked armature data") - done.heads("plain")).max() < 1e-3


def test_what_was_switched_off_is_said(done: _Done) -> None:
    assert done.made["plain"]["notes"] == []
    assert done.made["constraints"]["notes"] == ["Constraints were muted on 4 bones that the motion drives."]
    assert done.made["drivers"]["notes"] == ["Drivers were muted on 9 properties of bones that the motion drives."]


def test_a_mirrored_character_moves_as_in_a_mirror(done: _Done) -> None:
    assert np.abs(done.heads("mirrored") * [-1, 1, 1] - done.heads("plain")).max() < 1e-4


def test_a_stretched_character_has_the_same_pose_stretched(done: _Done) -> None:
    """Also where the pelvis is: bones cannot be sheared, so a stretched one turns as one that is not."""
    names = {name: done.heads(name) - done.heads(name)[:, :1] for name in ("uneven", "plain")}
    assert np.abs(names["uneven"] / [1, 1.5, 0.7] - names["plain"]).max() < 1e-3


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_character_is_refused_and_nothing_is_written(done: _Done, name: str) -> None:
    error = done.refused[name]
    assert error.code in REFUSED[name], error
    assert error.message.count(". ") >= 1 and error.message.endswith("."), "what happened, and what to do"
    assert not (done.out / f"{name}.blend").exists()


def test_messages_name_what_is_meant(done: _Done) -> None:
    assert "Empty in no bones.blend" in done.refused["no bones"].message
    assert "//gone.blend" in done.refused["library gone"].message
    assert "l_knee" in done.refused["dog"].message


def test_nothing_else_is_refused_and_no_file_is_changed(done: _Done) -> None:
    assert set(done.refused) == set(REFUSED)
    assert {path.name: path.read_bytes() for path in done.folder.iterdir()} == done.before


def test_two_armatures_are_named_so_that_one_can_be_chosen(done: _Done, pool: ChildPool, clip: Path) -> None:
    with pytest.raises(MotionQueueError) as caught:
        _retarget(pool, clip, character=str(done.folder / "two armatures.blend"), blend=str(done.out / "none.blend"))
    assert caught.value.code == "several_armatures" and "Mannequin, Second" in caught.value.message
    assert not (done.out / "none.blend").exists()


def test_a_clip_of_one_frame_is_a_pose(pool: ChildPool, walk: Path, tmp_path: Path, in_blender: InBlender) -> None:
    out = tmp_path / "out" / "pose.blend"
    out.parent.mkdir()
    made = _retarget(pool, _repeated(walk, 1, tmp_path / "one.bvh"), blend=str(out), foot_lock=True)
    assert made["frames"] == 1
    printed = in_blender(_LOOK.replace("FOLDER", str(out.parent)))
    heads = np.array(json.loads(printed[printed.index("LOOK") + 4 :])["pose"]["heads"])
    assert np.isfinite(heads).all() and np.ptp(heads, axis=0).max() < 1e-5 and np.ptp(heads[0, :, 2]) > 1.2


def test_a_few_values_that_are_no_numbers_are_bridged_and_many_are_refused(pool: ChildPool, walk: Path, tmp_path: Path) -> None:
    lines = _repeated(walk, 40, tmp_path / "clip.bvh").read_text(encoding="utf-8").splitlines()
    first = lines.index("MOTION") + 3
    few, many = list(lines), list(lines)
    few[first + 7] = " ".join(["nan", *lines[first + 7].split()[1:]])
    many[first:] = [" ".join(["nan"] * len(line.split())) for line in lines[first:]]
    paths = {name: tmp_path / f"{name}.bvh" for name in ("few", "many")}
    for path, changed in zip(paths.values(), (few, many), strict=True):
        path.write_text("\n".join(changed) + "\n", encoding="utf-8")
    out = tmp_path / "out.bvh"

    assert _retarget(pool, paths["few"], bvh=str(out))["frames"] == 40
    assert "nan" not in out.read_text(encoding="utf-8").lower()
    with pytest.raises(MotionQueueError) as caught:
        _retarget(pool, paths["many"], bvh=str(tmp_path / "none.bvh"))
    assert caught.value.code == "bvh_not_finite" and not (tmp_path / "none.bvh").exists()


def test_a_map_that_names_bones_that_are_not_there_is_refused(pool: ChildPool, clip: Path, tmp_path: Path) -> None:
    joint_map = tmp_path / "map.json"
    joint_map.write_text('{"format": "motion_queue.joint_map", "version": 1, "joints": {"l_hip": "Thigh.L"}}', encoding="utf-8")
    with pytest.raises(MotionQueueError) as caught:
        _retarget(pool, clip, map=str(joint_map), blend=str(tmp_path / "none.blend"))
    assert caught.value.code == "joint_map_unknown_bones" and "'Thigh.L' (l_hip)" in caught.value.message
    assert not (tmp_path / "none.blend").exists()


@pytest.mark.parametrize("kind", ["blend", "fbx", "bvh"])
def test_a_folder_that_is_not_there_is_said(pool: ChildPool, clip: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(MotionQueueError) as caught:
        _retarget(pool, clip, None, **{kind: str(tmp_path / "none" / f"out.{kind}")})
    assert caught.value.code in ("export_failed", "output_not_writable"), caught.value


def test_a_long_clip_takes_bounded_memory(pool: ChildPool, walk: Path, tmp_path: Path) -> None:
    """About 15 kB a frame, of which 3 are the clip's own arrays: 100,000 frames take some 1.8 GB."""
    context = _Context()
    clip = _repeated(walk, 20_000, tmp_path / "long.bvh")
    made = _retarget(pool, clip, context, blend=str(tmp_path / "long.blend"), foot_lock=True)
    assert made["frames"] == 20_000
    assert 0 < context.peak_mb < 1_200, context.peak_mb
