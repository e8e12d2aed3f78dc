# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the peers as their best user would: the clip's armature posed like the target's rest, and the right bones paired.

Their code is loaded from folders named by whoever measures, and never written to. Runs only inside a Blender.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ....backends import compat
from .judge import SIDES
from .rigs import RigTable
from .sources import Skeleton

if TYPE_CHECKING:
    import bpy

ROKOKO, KEEMAP = "rokoko", "keemap"
DETECTED = "rokoko, detected"
POSED = 0  # the frame in which the clip's armature stands like the target
_LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))


class PeerFailed(Exception):
    """A peer refused or broke; the message is its own."""


def import_clip(clip: Path, unit: float = 0.01) -> tuple[bpy.types.Object, float]:
    """The clip by Blender's own importer, its first frame at 1, and how many seconds that took."""
    import bpy  # noqa: PLC0415

    begin = time.perf_counter()
    bpy.ops.import_anim.bvh(
        filepath=str(clip), target="ARMATURE", global_scale=unit, frame_start=1, use_fps_scale=False, update_scene_fps=True,
        update_scene_duration=False, rotate_mode="QUATERNION", axis_forward="-Z", axis_up="Y",
    )  # fmt: skip
    return bpy.context.object, time.perf_counter() - begin


def lift(armature: bpy.types.Object, skeleton: Skeleton, metres: float) -> None:
    """Raise an imported clip, as its user would who sees it under the floor."""
    bone = armature.pose.bones[skeleton.mapped()["hips"]]
    turn = np.array((armature.matrix_world @ bone.bone.matrix_local).to_3x3().normalized())
    over = turn.T @ np.array([0.0, 0.0, metres])
    curves, _ = compat.action_curves(armature.animation_data.action, armature.name)
    for axis in range(3):
        curve = curves.find(bone.path_from_id("location"), index=axis)
        for key in curve.keyframe_points:
            key.co.y += over[axis]
        curve.update()


def load(peers: Mapping[str, str]) -> dict[str, Any]:
    """Load and register the peers whose folders are given."""
    sys.dont_write_bytecode = True  # their folders stay as they are
    loaders: dict[str, Callable[[Path], Any]] = {ROKOKO: _load_rokoko, KEEMAP: _load_keemap}
    return {name: loaders[name](Path(folder)) for name, folder in peers.items()}


def retarget(
    maker: str, peer: Any, source: bpy.types.Object, target: bpy.types.Object, skeleton: Skeleton, table: RigTable, frames: int
) -> float:
    """Put the source's action on the target; the seconds that the peer's own operator took. `PeerFailed`."""
    import bpy  # noqa: PLC0415

    pairs = _pairs(skeleton, table)
    _use_forward_kinematics(target)
    try:
        if maker == DETECTED:
            return _rokoko(peer, source, target, None)
        scale = (
            1.0 if maker == ROKOKO else _legs(target, table.bones(), posed=False) / _legs(source, skeleton.mapped(), posed=True)
        )
        source.scale = (scale, scale, scale)
        _pose_alike(source, target, skeleton, table)
        if maker == ROKOKO:
            return _rokoko(peer, source, target, pairs)
        return _keemap(source, target, pairs, frames)
    except (RuntimeError, KeyError, AttributeError, IndexError, TypeError) as error:  # whatever their code raises
        raise PeerFailed(str(error).strip().splitlines()[-1] or type(error).__name__) from error
    finally:
        if bpy.context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")


def _pairs(skeleton: Skeleton, table: RigTable) -> dict[str, str]:
    """Source bone → target bone, parents first, each once."""
    order = ("hips", "spine1", "spine2", "spine3", "neck", "head")
    sided = [
        f"{joint}_{side}" for side in SIDES for joint in ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe")
    ]
    have, want = skeleton.mapped(), table.keyed()
    found: dict[str, str] = {}
    for joint in (*order, *sided):
        if joint in have and joint in want and want[joint] not in found.values():
            found[have[joint]] = want[joint]
    return found


def _use_forward_kinematics(target: bpy.types.Object) -> None:
    """Rigify's limbs follow what is keyed."""
    for bone in target.pose.bones:
        if bone.get("IK_FK") is not None:
            bone["IK_FK"] = 1.0


# --- the pose of the best user


def _pose_alike(source: bpy.types.Object, target: bpy.types.Object, skeleton: Skeleton, table: RigTable) -> None:
    """Key the source in frame POSED so that it stands where the target stands at rest, limb by limb."""
    import bpy  # noqa: PLC0415
    from mathutils import Matrix, Vector  # noqa: PLC0415

    scene, bones = bpy.context.scene, skeleton.mapped()
    rest = {joint: target.matrix_world @ target.data.bones[bone].head_local for joint, bone in table.bones().items()}
    _stand(source, skeleton)

    def head(joint: str) -> Vector:
        return source.matrix_world @ source.pose.bones[bones[joint]].head

    def turn(joint: str, rotation: Any) -> None:
        bone = source.pose.bones[bones[joint]]
        world = source.matrix_world @ bone.matrix
        place = Matrix.Translation(world.translation)
        bone.matrix = source.matrix_world.inverted() @ place @ rotation.to_matrix().to_4x4() @ place.inverted() @ world
        bpy.context.view_layer.update()

    level = head("hip_l") - head("hip_r")
    turn("hips", Vector((level.x, level.y, 0.0)).rotation_difference(Vector((1.0, 0.0, 0.0))))
    for side in SIDES:
        flat = (source.matrix_world @ source.pose.bones[bones[f"ankle_{side}"]].matrix).to_quaternion()
        for start, end in _LIMBS:
            a, b = f"{start}_{side}", f"{end}_{side}"
            turn(a, (head(b) - head(a)).rotation_difference(rest[b] - rest[a]))
        now = (source.matrix_world @ source.pose.bones[bones[f"ankle_{side}"]].matrix).to_quaternion()
        turn(f"ankle_{side}", flat @ now.inverted())
        toe = f"toe_{side}"
        if toe in bones and toe in rest:
            ahead, wanted = head(toe) - head(f"ankle_{side}"), rest[toe] - rest[f"ankle_{side}"]
            turn(f"ankle_{side}", Vector((ahead.x, ahead.y, 0.0)).rotation_difference(Vector((wanted.x, wanted.y, 0.0))))
    over = 0.5 * (rest["hip_l"] + rest["hip_r"]) - 0.5 * (head("hip_l") + head("hip_r"))
    hips = source.pose.bones[bones["hips"]]
    hips.matrix = source.matrix_world.inverted() @ Matrix.Translation(over) @ source.matrix_world @ hips.matrix
    bpy.context.view_layer.update()
    _with_action(source)
    for bone in source.pose.bones:
        bone.keyframe_insert("rotation_quaternion", frame=POSED)
    hips.keyframe_insert("location", frame=POSED)
    scene.frame_set(POSED)


def _stand(source: bpy.types.Object, skeleton: Skeleton) -> None:
    """Take the action away, with the body at rest, or as it stands tallest where its rest pose is no stance."""
    import bpy  # noqa: PLC0415

    scene, names = bpy.context.scene, skeleton.mapped()
    if not skeleton.stands:
        action = source.animation_data.action
        first, last = (int(f) for f in action.frame_range)
        heights = []
        for frame in range(first, last + 1):
            scene.frame_set(frame)
            bones = source.pose.bones
            feet = 0.5 * (bones[names["ankle_l"]].head + bones[names["ankle_r"]].head)
            heights.append(((bones[names["head"]].head - feet).length, frame))
        scene.frame_set(max(heights)[1])
    source["kept"] = source.animation_data.action.name
    source.animation_data.action = None
    if skeleton.stands:
        for bone in source.pose.bones:
            bone.matrix_basis.identity()
    bpy.context.view_layer.update()


def _with_action(source: bpy.types.Object) -> None:
    import bpy  # noqa: PLC0415

    data = source.animation_data
    data.action = bpy.data.actions[source["kept"]]
    if hasattr(data, "action_slot") and data.action_slot is None:
        data.action_slot = data.action_suitable_slots[0]


def _legs(armature: bpy.types.Object, bones: Mapping[str, str], *, posed: bool) -> float:
    """Hip to knee to ankle in the world, of both legs together."""
    world = np.array(armature.matrix_world)
    total = 0.0
    for side in SIDES:
        heads = [
            np.array(
                armature.pose.bones[bones[f"{j}_{side}"]].head if posed else armature.data.bones[bones[f"{j}_{side}"]].head_local
            )
            for j in ("hip", "knee", "ankle")
        ]
        places = [world[:3, :3] @ head for head in heads]
        total += float(sum(np.linalg.norm(b - a) for a, b in pairwise(places)))
    return total


# --- Rokoko Studio Live


def _load_rokoko(folder: Path) -> Any:
    """Its retargeting alone: the rest of the add-on signs in, installs libraries and listens on ports."""
    import bpy  # noqa: PLC0415

    root = "peer_rokoko"
    for name in ("", ".core", ".operators", ".panels"):
        package = ModuleType(root + name)
        package.__path__ = [str(folder / name.lstrip("."))]
        sys.modules[root + name] = package
    main = ModuleType(f"{root}.panels.main")
    vars(main)["ToolPanel"] = type("ToolPanel", (), {})
    sys.modules[f"{root}.panels.main"] = main
    detection = importlib.import_module(f"{root}.core.detection_manager")
    schemes = importlib.import_module(f"{root}.core.custom_schemes_manager")
    core = importlib.import_module(f"{root}.core.retargeting")
    operators = importlib.import_module(f"{root}.operators.retargeting")
    panels = importlib.import_module(f"{root}.panels.retargeting")
    # It would write the pairs into its folder, and detect better the next time
    vars(schemes)["save_retargeting_to_list"] = lambda: None
    for kind in (panels.BoneListItem, operators.BuildBoneList, operators.RetargetAnimation):
        bpy.utils.register_class(kind)
    scene, props = bpy.types.Scene, bpy.props
    scene.rsl_retargeting_armature_source = props.PointerProperty(type=bpy.types.Object, update=core.clear_bone_list)
    scene.rsl_retargeting_armature_target = props.PointerProperty(type=bpy.types.Object, update=core.clear_bone_list)
    scene.rsl_retargeting_auto_scaling = props.BoolProperty(default=True)
    scene.rsl_retargeting_use_pose = props.EnumProperty(items=[("REST", "Rest", ""), ("CURRENT", "Current", "")])
    scene.rsl_retargeting_bone_list = props.CollectionProperty(type=panels.BoneListItem)
    detection.load_detection_lists()
    return operators


def _rokoko(peer: Any, source: bpy.types.Object, target: bpy.types.Object, pairs: Mapping[str, str] | None) -> float:
    """With pairs: in the pose that both stand in now. Without: what it does by itself."""
    import bpy  # noqa: PLC0415

    scene = bpy.context.scene
    scene.rsl_retargeting_armature_source, scene.rsl_retargeting_armature_target = source, target
    scene.rsl_retargeting_use_pose = "REST" if pairs is None else "CURRENT"
    if pairs is None:
        bpy.ops.rsl.build_bone_list()
        mapped = [item for item in scene.rsl_retargeting_bone_list if item.bone_name_target]
        if not mapped:
            raise PeerFailed("It detected no bone.")
    else:
        for bone, onto in pairs.items():
            item = scene.rsl_retargeting_bone_list.add()
            item.bone_name_source, item.bone_name_target = bone, onto
    begin = time.perf_counter()
    bpy.ops.rsl.retarget_animation()
    return time.perf_counter() - begin


# --- KeeMap


def _load_keemap(folder: Path) -> Any:
    found = sorted(folder.rglob("KeeMapBoneOperators.py"))
    if not found:
        raise FileNotFoundError(f"{folder} has no KeeMapBoneOperators.py: give the checkout of KeeMap's repository.")
    init = found[0].with_name("__init__.py")
    spec = importlib.util.spec_from_file_location("peer_keemap", init, submodule_search_locations=[str(init.parent)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["peer_keemap"] = module
    spec.loader.exec_module(module)
    module.register()
    return module


def _keemap(source: bpy.types.Object, target: bpy.types.Object, pairs: Mapping[str, str], frames: int) -> float:
    import bpy  # noqa: PLC0415

    scene = bpy.context.scene
    settings, listed = scene.keemap_settings, scene.keemap_bone_mapping_list
    settings.source_rig_name, settings.destination_rig_name = source.name, target.name
    settings.start_frame_to_apply, settings.number_of_frames_to_apply, settings.keyframe_every_n_frames = 1, frames, 1
    settings.bone_rotation_mode = "QUATERNION"
    listed.clear()
    for number, (bone, onto) in enumerate(pairs.items()):
        item = listed.add()
        item.name, item.SourceBoneName, item.DestinationBoneName = onto, bone, onto
        item.set_bone_position = number == 0
    for number in range(len(listed)):
        scene.keemap_bone_mapping_list_index = number
        bpy.ops.wm.get_bone_rotation_correction()
        bpy.context.view_layer.update()
        if listed[number].set_bone_position:
            bpy.ops.wm.get_bone_location_correction()
            bpy.context.view_layer.update()
    begin = time.perf_counter()
    bpy.ops.wm.perform_animation_transfer()
    return time.perf_counter() - begin
