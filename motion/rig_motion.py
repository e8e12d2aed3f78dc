# SPDX-License-Identifier: GPL-3.0-or-later
"""A posed character as a clip of its own skeleton, for files that hold clips. Knows no files."""

from __future__ import annotations

import numpy as np

from . import quat
from .quat import Array
from .retarget import Pose, pose_world
from .rig import Rig
from .skeleton import Motion, Skeleton

_CENTIMETRES = 100.0
_TO_Y_UP = quat.from_axis_angle(np.array([1.0, 0.0, 0.0]), -0.5 * np.pi)


def to_motion(rig: Rig, pose: Pose, fps: float) -> Motion:
    """The pose as a clip: all bones, centimetres, Y up, the rest pose where all rotations are zero.

    A rig with several roots gets one above them all, since a clip has one.
    """
    names, parents, heads = rig.names, rig.parents, rig.heads
    turned, positions = pose_world(rig, pose)
    turned = quat.mul(turned, quat.inverse(quat.from_matrix(rig.rest)))
    if int(np.count_nonzero(parents < 0)) > 1:
        names, parents = (_free_name(names), *names), np.concatenate([[-1], np.maximum(parents, -1) + 1])
        heads = np.concatenate([np.zeros((1, 3)), heads])
        turned = np.concatenate([np.broadcast_to(quat.IDENTITY, (len(pose), 1, 4)), turned], axis=1)
        positions = np.concatenate([np.zeros((len(pose), 1, 3)), positions], axis=1)
    turned = quat.mul(_TO_Y_UP, quat.mul(turned, quat.inverse(_TO_Y_UP)))
    heads, positions = (_CENTIMETRES * quat.rotate(_TO_Y_UP, points) for points in (heads, positions))
    above = np.maximum(parents, 0)
    offsets = np.where((parents >= 0)[:, None], heads - heads[above], 0.0)
    root = parents < 0
    local = quat.mul(quat.inverse(turned[:, above]), turned)
    local[:, root] = turned[:, root]
    moved = np.broadcast_to(offsets, (len(pose), *offsets.shape)).copy()
    inner = np.flatnonzero(~root)
    moved[:, inner] = quat.rotate(quat.inverse(turned[:, above[inner]]), positions[:, inner] - positions[:, above[inner]])
    moved[:, root] = positions[:, root]
    drawn = np.flatnonzero(~np.isin(np.arange(len(names)), parents))
    ends = _ends(rig, len(names) - len(rig.names))
    skeleton = Skeleton(
        names=names,
        parents=parents.astype(np.int64),
        offsets=offsets,
        channels=tuple("XYZzxy" if _moves(moved[:, bone], offsets[bone]) or root[bone] else "zxy" for bone in range(len(names))),
        end_parents=drawn,
        end_offsets=ends[drawn],
    )
    return Motion(skeleton=skeleton, rotations=quat.continuous(local), positions=moved, frame_time=1.0 / fps)


def _moves(positions: Array, offset: Array) -> bool:
    """Whether a bone leaves its place at the end of its parent."""
    return float(np.abs(positions - offset).max()) > 1e-3


def _ends(rig: Rig, more: int) -> Array:
    """From each bone's head to its tail, in the clip's axes."""
    ends = _CENTIMETRES * quat.rotate(_TO_Y_UP, rig.tails - rig.heads)
    return np.concatenate([np.zeros((more, 3)), ends])


def _free_name(names: tuple[str, ...]) -> str:
    name = "Scene"
    while name in names:
        name += "_"
    return name
