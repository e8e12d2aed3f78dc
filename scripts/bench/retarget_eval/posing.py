# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge looks at: the poses that Blender itself evaluates, frame by frame. Runs only inside a Blender."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .judge import SIDES, Array, Body
from .rigs import RigTable

if TYPE_CHECKING:
    import bpy

_NEAR = 0.06  # metres above zero, at which the lowest joint of a foot stands on it with its flesh


def look(armature: bpy.types.Object, table: RigTable, *, first: int, frames: int, fps: float) -> Body:
    """The body of an armature while its action plays, as the dependency graph has it."""
    bones = table.bones()
    rest_turns, rest = rest_of(armature, bones)
    sides = {side: _foot(armature, table, rest, side) for side in SIDES}
    floor = _floor(sides)
    matrices = sample(armature, sorted(set(bones.values())), first=first, frames=frames)
    rotations = {joint: _straight(matrices[bone][:, :3, :3]) for joint, bone in bones.items()}
    joints = {joint: matrices[bone][:, :3, 3] for joint, bone in bones.items()}
    soles = {}
    for side, points in sides.items():
        carried = []
        for holder, point in points:
            local = rest_turns[holder].T @ (np.array([point[0], point[1], floor]) - rest[holder])
            carried.append(joints[holder] + rotations[holder] @ local)
        soles[side] = np.stack(carried, axis=1)
        if f"toe_{side}" not in joints:
            joints[f"toe_{side}"] = soles[side][:, 1]
            rest[f"toe_{side}"] = points[1][1]
    return Body(joints=joints, rotations=rotations, fps=fps, rest=rest, rest_rotations=rest_turns, soles=soles, floor=floor)


def sample(armature: bpy.types.Object, names: list[str], *, first: int, frames: int) -> dict[str, Array]:
    """World matrices [F, 4, 4] of pose bones, evaluated in each frame."""
    import bpy  # noqa: PLC0415

    scene = bpy.context.scene
    found = {name: np.empty((frames, 4, 4)) for name in names}
    for number in range(frames):
        scene.frame_set(first + number)
        seen = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        world = seen.matrix_world
        for name in names:
            found[name][number] = np.array(world @ seen.pose.bones[name].matrix)
    return found


def rest_of(armature: bpy.types.Object, bones: Mapping[str, str]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Rotation [3, 3] and place [3] of each joint in the world, at rest."""
    world = np.array(armature.matrix_world)
    turns, places = {}, {}
    for joint, bone in bones.items():
        matrix = world @ np.array(armature.data.bones[bone].matrix_local)
        turns[joint] = _straight(matrix[None, :3, :3])[0]
        places[joint] = matrix[:3, 3]
    return turns, places


def _foot(armature: bpy.types.Object, table: RigTable, rest: Mapping[str, Array], side: str) -> list[tuple[str, Array]]:
    """What carries heel, ball and tip of the toes, and where they are at rest (still at their own heights)."""
    ankle, toe = f"ankle_{side}", f"toe_{side}"
    if table.ball is not None:
        ball = rest[ankle] + np.array(table.ball)
        return [(ankle, rest[ankle]), (ankle, ball), (ankle, ball + np.array([0.0, -table.tip, 0.0]))]
    bone = armature.data.bones[table.bones()[toe]]
    tip = np.array(armature.matrix_world @ bone.tail_local)
    return [(ankle, rest[ankle]), (ankle, rest[toe]), (toe, tip)]


def _floor(sides: Mapping[str, list[tuple[str, Array]]]) -> float:
    """Of a rig whose feet are near zero at rest: zero. Else as low as they reach."""
    heights = [float(point[2]) for points in sides.values() for _, point in points]
    return 0.0 if 0.0 <= min(heights) < _NEAR else min(heights)


def _straight(matrices: Array) -> Array:
    """Rotation matrices without the scale of what they came from."""
    return np.asarray(matrices / np.linalg.norm(matrices, axis=-2, keepdims=True))
