# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives an armature an action from arrays: a key in every frame of all bones that move. Runs only inside a Blender.

Changes the armature where the motion could not be seen otherwise (rotation modes, constraints, a connected root), so it is for
an armature that may be changed: that of a child.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...motion.retarget import Pose
from ...motion.rig import Rig
from ...motion.rigify import RigKind, kind
from .. import compat
from .controls import write_controls

if TYPE_CHECKING:
    import bpy

_LONGEST_NAME = 60
_TRANSFORMS = ("location", "rotation_quaternion", "rotation_euler", "rotation_axis_angle", "scale")


def write_pose(
    armature: bpy.types.Object, rig: Rig, pose: Pose, unit: float, *, name: str, first_frame: int = 1
) -> tuple[bpy.types.Action, list[str]]:
    """The action that plays `pose` on the armature, and what had to be switched off for it.

    Of a rig that Rigify generated its controls are keyed. `rig` is the `posable` part of the armature as `read_rig` found it,
    `unit` how many metres one of its units is.
    """
    name = name[:_LONGEST_NAME]
    if kind(armature.data.bones.keys()) is RigKind.RIGIFY_CONTROL:
        action, notes = write_controls(armature, rig, pose, unit, name=name, first_frame=first_frame)
    else:
        notes = _prepare(armature, rig, pose)
        action = compat.write_action(armature, name, _channels(armature, rig, pose, unit), first_frame)
    action.use_frame_range = True
    action.frame_start, action.frame_end = first_frame, first_frame + len(pose) - 1
    return action, notes


def _prepare(armature: bpy.types.Object, rig: Rig, pose: Pose) -> list[str]:
    """Make the bones that move follow their keys and nothing else; says what had to be switched off."""
    moved = [rig.names[bone] for bone in pose.locations]
    _disconnect(armature, [name for name in moved if armature.data.bones[name].use_connect])
    for name in moved:
        armature.data.bones[name].use_local_location = True
    for bone in pose.mapped:
        name = rig.names[bone]
        armature.pose.bones[name].rotation_mode = "QUATERNION"
        armature.data.bones[name].use_inherit_rotation = True
    # What the bones hang on must stay where it is too.
    in_the_way = [rig.names[bone] for bone in rig.part(pose.mapped)[1]]
    notes = []
    if muted := _mute_constraints(armature, in_the_way):
        notes.append(f"Constraints were muted on {muted} bones that the motion drives.")
    if muted := _mute_drivers(armature, in_the_way):
        notes.append(f"Drivers were muted on {muted} properties of bones that the motion drives.")
    return notes


def _mute_constraints(armature: bpy.types.Object, bones: list[str]) -> int:
    """On how many of the bones constraints were at work."""
    count = 0
    for name in bones:
        active = [constraint for constraint in armature.pose.bones[name].constraints if not constraint.mute]
        for constraint in active:
            constraint.mute = True
        count += bool(active)
    return count


def _mute_drivers(armature: bpy.types.Object, bones: list[str]) -> int:
    """How many drivers of the bones' own transforms were at work."""
    if armature.animation_data is None:
        return 0
    paths = tuple(f"{armature.pose.bones[name].path_from_id()}.{kind}" for name in bones for kind in _TRANSFORMS)
    active = [driver for driver in armature.animation_data.drivers if driver.data_path in paths and not driver.mute]
    for driver in active:
        driver.mute = True
    return len(active)


def _disconnect(armature: bpy.types.Object, bones: list[str]) -> None:
    """A connected bone cannot be moved, and these have to."""
    import bpy  # noqa: PLC0415

    if not bones:
        return
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for name in bones:
        armature.data.edit_bones[name].use_connect = False
    bpy.ops.object.mode_set(mode="OBJECT")


def _channels(armature: bpy.types.Object, rig: Rig, pose: Pose, unit: float) -> Iterator[compat.Channel]:
    for place, bone in enumerate(pose.mapped):
        name = rig.names[bone]
        path = armature.pose.bones[name].path_from_id("rotation_quaternion")
        for k in range(4):
            yield compat.Channel(path, k, name, pose.rotations[:, place, k])
    for bone, locations in pose.locations.items():
        name = rig.names[bone]
        path = armature.pose.bones[name].path_from_id("location")
        for k in range(3):
            yield compat.Channel(path, k, name, locations[:, k] / unit)
