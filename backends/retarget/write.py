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
from .. import compat

if TYPE_CHECKING:
    import bpy

_LONGEST_NAME = 60


def write_pose(
    armature: bpy.types.Object, rig: Rig, pose: Pose, unit: float, *, name: str, first_frame: int = 1
) -> tuple[bpy.types.Action, list[str]]:
    """The action that plays `pose` on the armature, and what had to be switched off for it.

    `rig` is the armature as `read_rig` found it, `unit` how many metres one of its units is.
    """
    notes = _prepare(armature, rig, pose)
    action = compat.write_action(armature, name[:_LONGEST_NAME], _channels(armature, rig, pose, unit), first_frame)
    action.use_frame_range = True
    action.frame_start, action.frame_end = first_frame, first_frame + len(pose) - 1
    return action, notes


def _prepare(armature: bpy.types.Object, rig: Rig, pose: Pose) -> list[str]:
    """Make the mapped bones follow their keys and nothing else; says what had to be switched off."""
    muted: list[str] = []
    root = rig.names[pose.root]
    if armature.data.bones[root].use_connect:
        _disconnect(armature, root)
    armature.data.bones[root].use_local_location = True
    for i in pose.mapped:
        name = rig.names[i]
        bone = armature.pose.bones[name]
        bone.rotation_mode = "QUATERNION"
        armature.data.bones[name].use_inherit_rotation = True
        for constraint in bone.constraints:
            if not constraint.mute:
                constraint.mute = True
                muted.append(name)
    return [f"Constraints were muted on {len(set(muted))} bones that the motion drives."] if muted else []


def _disconnect(armature: bpy.types.Object, bone: str) -> None:
    """A connected bone cannot be moved, and the root has to."""
    import bpy  # noqa: PLC0415

    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    armature.data.edit_bones[bone].use_connect = False
    bpy.ops.object.mode_set(mode="OBJECT")


def _channels(armature: bpy.types.Object, rig: Rig, pose: Pose, unit: float) -> Iterator[compat.Channel]:
    for place, bone in enumerate(pose.mapped):
        name = rig.names[bone]
        path = armature.pose.bones[name].path_from_id("rotation_quaternion")
        for k in range(4):
            yield compat.Channel(path, k, name, pose.rotations[:, place, k])
    name = rig.names[pose.root]
    path = armature.pose.bones[name].path_from_id("location")
    for k in range(3):
        yield compat.Channel(path, k, name, pose.locations[:, k] / unit)
