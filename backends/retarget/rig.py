# SPDX-License-Identifier: GPL-3.0-or-later
"""An armature's rest pose as arrays, for the mathematics in `motion`. Runs only inside a Blender, a child or the user's own.

The motion happens where the armature stands and in the direction it faces: the rig is read as if its object stood at the origin.
What the object's rotation tilts (armatures that came in with Y up) and its scale count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...motion import quat
from ...motion.errors import MotionError
from ...motion.quat import Array
from ...motion.rig import Rig

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
    _, rotation, scale = armature.matrix_world.decompose()
    unit = float(abs(scale[0] * scale[1] * scale[2]) ** (1 / 3))
    if unit == 0.0:
        raise MotionError("bad_rig", f"The armature {armature.name} is scaled to nothing. Apply its scale in Blender.")
    turn = quat.to_matrix(without_heading(np.array(rotation)))
    linear = turn * np.array(scale)

    def placed(points: list[Any]) -> Array:
        return np.asarray(np.array(points, float).reshape(-1, 3) @ linear.T)

    rig = Rig(
        names=tuple(b.name for b in bones),
        parents=np.array([index[b.parent.name] if b.parent else -1 for b in bones], dtype=np.int64),
        heads=placed([b.head_local for b in bones]),
        tails=placed([b.tail_local for b in bones]),
        rest=turn @ np.array([b.matrix_local.to_3x3() for b in bones], float).reshape(-1, 3, 3),
    )
    return rig, unit


def without_heading(rotation: Array) -> Array:
    """What is left of a rotation [4] when its turn about the vertical (Z, applied last) is taken away."""
    heading = quat.normalize(rotation * np.array([1.0, 0.0, 0.0, 1.0]))
    return rotation if not heading.any() else quat.mul(quat.inverse(heading), rotation)
