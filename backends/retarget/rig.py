# SPDX-License-Identifier: GPL-3.0-or-later
"""An armature's rest pose as arrays, for the mathematics in `motion`. Runs only inside a Blender, a child or the user's own.

The motion happens where the armature stands and in the direction it faces: the rig is read as if its object stood at the origin.
What the object's rotation tilts (armatures that came in with Y up) and its scale count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...motion import quat
from ...motion.errors import MotionError
from ...motion.quat import Array
from ...motion.rig import Rig
from ...motion.skeleton import Ints

_MOST_VERTICES = 300_000  # of a mesh; reading more would hold up the window
_MOST_POINTS = 400  # of a mesh
_SOLE = 0.02  # of the skin's height: what is lower is a sole's

if TYPE_CHECKING:
    import bpy


def read_rig(armature: bpy.types.Object) -> tuple[Rig, float]:
    """The rig in metres, Z up, and how many metres one unit of the armature's own space is. `MotionError("bad_rig")`."""
    bones: list[bpy.types.Bone] = []
    waiting = [b for b in armature.data.bones if b.parent is None]
    while waiting:
        bone = waiting.pop()
        bones.append(bone)
        waiting.extend(bone.children)
    index = {bone.name: i for i, bone in enumerate(bones)}
    rotation, unit = _turn_and_unit(armature)
    if unit == 0.0:
        raise MotionError("bad_rig", f"The armature {armature.name} is scaled to nothing. Apply its scale in Blender.")
    turn = quat.to_matrix(without_heading(rotation))
    linear = turn * unit

    def placed(points: list[Any]) -> Array:
        return np.asarray(np.array(points, float).reshape(-1, 3) @ linear.T)

    points, carriers = _ground(armature, index, linear)
    rig = Rig(
        names=tuple(b.name for b in bones),
        parents=np.array([index[b.parent.name] if b.parent else -1 for b in bones], dtype=np.int64),
        heads=placed([b.head_local for b in bones]),
        tails=placed([b.tail_local for b in bones]),
        rest=turn @ np.array([b.matrix_local.to_3x3() for b in bones], float).reshape(-1, 3, 3),
        ground=points,
        ground_bones=carriers,
    )
    return rig, unit


def _turn_and_unit(armature: bpy.types.Object) -> tuple[Array, float]:
    """How an armature's object is turned [4], and how many metres its unit is.

    Bones cannot be sheared, so a scale that is not the same in all directions counts by its mean, and what a negative one mirrors
    is animated as if it were not: the left hand does what the left hand does.
    """
    matrix = np.array(armature.matrix_world.to_3x3(), float)
    volume = float(np.linalg.det(matrix))
    if volume < 0.0:
        matrix = matrix * np.array([-1.0, 1.0, 1.0])
    scale = np.linalg.norm(matrix, axis=0)
    if not scale.all():
        return quat.IDENTITY, 0.0
    return quat.from_matrix(matrix / scale), float(abs(volume) ** (1 / 3))


def _ground(armature: bpy.types.Object, index: Mapping[str, int], linear: Array) -> tuple[Array, Ints]:
    """The lowest points [P, 3] of the meshes that the armature moves, in the rig's space, and the bones [P] that carry them."""
    into = armature.matrix_world.inverted_safe()
    skins: list[tuple[bpy.types.Object, Array]] = []
    for skin in _skins(armature):
        count = len(skin.data.vertices)
        if 0 < count <= _MOST_VERTICES:
            flat = np.empty(3 * count, np.float32)
            skin.data.vertices.foreach_get("co", flat)
            matrix = np.array(into @ skin.matrix_world, float)
            skins.append((skin, (flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]) @ linear.T))
    if not skins:
        return np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    lowest = min(float(points[:, 2].min()) for _, points in skins)
    height = max(float(points[:, 2].max()) for _, points in skins) - lowest
    found: list[Array] = []
    carriers: list[int] = []
    for skin, points in skins:
        names = [group.name for group in skin.vertex_groups]
        low = np.flatnonzero(points[:, 2] <= lowest + _SOLE * height)
        for vertex in low[:: max(1, len(low) // _MOST_POINTS)]:
            groups = skin.data.vertices[int(vertex)].groups
            heaviest = max(groups, key=lambda group: group.weight, default=None)
            bone = index.get(names[heaviest.group], -1) if heaviest and heaviest.group < len(names) else -1
            if bone >= 0:
                found.append(points[vertex])
                carriers.append(bone)
    return np.array(found).reshape(-1, 3), np.array(carriers, dtype=np.int64)


def _skins(armature: bpy.types.Object) -> list[bpy.types.Object]:
    """The meshes that an armature moves."""
    import bpy  # noqa: PLC0415

    return [
        o
        for o in bpy.data.objects
        if o.type == "MESH" and any(m.type == "ARMATURE" and m.object == armature for m in o.modifiers)
    ]


def without_heading(rotation: Array) -> Array:
    """What is left of a rotation [4] when its turn about the vertical (Z, applied last) is taken away."""
    heading = quat.normalize(rotation * np.array([1.0, 0.0, 0.0, 1.0]))
    return rotation if not heading.any() else quat.mul(quat.inverse(heading), rotation)
