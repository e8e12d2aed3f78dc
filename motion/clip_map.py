# SPDX-License-Identifier: GPL-3.0-or-later
"""The body in a clip's skeleton: from its rest pose where that is a stance, else from its frames. Knows no files."""

from __future__ import annotations

import numpy as np

from . import anatomy, quat
from .errors import MotionError
from .humanoid import JointMap, find_joints
from .joint_maps import StoredMap, joint_map_from_names
from .kinematics import world
from .quat import Array
from .skeleton import Motion

_LOOKED_AT = 12  # frames of a clip whose rest pose shows no body


def map_motion(motion: Motion, wanted: StoredMap | None = None) -> JointMap:
    """The body in a clip's skeleton, seen as it stands; with a map, what that says and the rest found.

    Raises `MotionError`: unknown_skeleton when neither the rest pose nor any frame that is looked at shows a body; with a map
    those of `joint_map_from_names`.
    """
    skeleton = motion.skeleton
    try:
        points, tips = stance(motion)
    except MotionError as error:
        if wanted is None or error.code != "unknown_skeleton":
            raise
        points, tips = _rest(motion)
    if wanted is None:
        return find_joints(skeleton.names, skeleton.parents, points, tips)
    return joint_map_from_names(wanted, skeleton.names, skeleton.parents, points, tips)


def stance(motion: Motion) -> tuple[Array, Array]:
    """Joint positions [J, 3] and ends of limbs [J, 3] (nan: unknown) of a clip's skeleton as it stands.

    The rest pose where that is a stance, else the frame in which it stands tallest. `MotionError("unknown_skeleton")`.
    """
    skeleton = motion.skeleton
    rest, tips = _rest(motion)
    found, trouble = _try(motion, rest, tips)
    if found is not None and (anatomy.stands(found, rest) or len(motion) == 0):
        return rest, tips
    rotations, positions = world(motion)

    def ends(frame: int) -> Array:
        out = np.full((len(skeleton), 3), np.nan)
        turned = quat.rotate(rotations[frame, skeleton.end_parents], skeleton.end_offsets)
        out[skeleton.end_parents] = positions[frame, skeleton.end_parents] + turned
        return out

    if found is None:
        # Offsets that lie in bone space are no pose at all; a frame is one.
        frames = np.unique(np.linspace(0, max(len(motion) - 1, 0), min(_LOOKED_AT, len(motion))).astype(int))
        tried = [_try(motion, positions[f], ends(f)) for f in frames.tolist()]
        bodies = [body for body, _ in tried if body is not None]
        if not bodies:
            assert trouble is not None
            raise trouble
        found = max(bodies, key=lambda body: sum(body.confidence.values()))
    ankles = 0.5 * (positions[:, found["l_ankle"]] + positions[:, found["r_ankle"]])
    tallest = int(np.argmax(np.linalg.norm(positions[:, found["head"]] - ankles, axis=-1)))
    return positions[tallest], ends(tallest)


def _rest(motion: Motion) -> tuple[Array, Array]:
    skeleton = motion.skeleton
    points = skeleton.rest_positions()
    tips = np.full((len(skeleton), 3), np.nan)
    tips[skeleton.end_parents] = points[skeleton.end_parents] + skeleton.end_offsets
    return points, tips


def _try(motion: Motion, points: Array, tips: Array) -> tuple[JointMap | None, MotionError | None]:
    try:
        return find_joints(motion.skeleton.names, motion.skeleton.parents, points, tips), None
    except MotionError as error:
        if error.code != "unknown_skeleton":
            raise
        return None, error
