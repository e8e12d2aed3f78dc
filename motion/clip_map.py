# SPDX-License-Identifier: GPL-3.0-or-later
"""The body in a clip's skeleton: from its rest pose where that is a stance, else from its frames. Knows no files."""

from __future__ import annotations

import numpy as np

from . import anatomy, quat
from .errors import MotionError
from .humanoid import JointMap, find_joints
from .kinematics import world
from .quat import Array
from .skeleton import Motion

_LOOKED_AT = 12  # frames of a clip whose rest pose shows no body


def map_motion(motion: Motion) -> JointMap:
    """The body in a clip's skeleton; where its rest pose is no stance, in the frame in which it stands tallest.

    Raises `MotionError("unknown_skeleton")` when neither the rest pose nor any frame that is looked at shows one.
    """
    skeleton = motion.skeleton
    rest = skeleton.rest_positions()
    tips = np.full((len(skeleton), 3), np.nan)
    tips[skeleton.end_parents] = rest[skeleton.end_parents] + skeleton.end_offsets
    found, trouble = _try(motion, rest, tips)
    if len(motion) == 0 or (found is not None and anatomy.stands(found, rest)):
        if found is None:
            raise trouble or AssertionError
        return found
    rotations, positions = world(motion)

    def ends(frame: int) -> Array:
        out = np.full((len(skeleton), 3), np.nan)
        turned = quat.rotate(rotations[frame, skeleton.end_parents], skeleton.end_offsets)
        out[skeleton.end_parents] = positions[frame, skeleton.end_parents] + turned
        return out

    if found is None:
        # Offsets that lie in bone space are no pose at all; a frame is one.
        tried = [_try(motion, positions[f], ends(f)) for f in np.unique(np.linspace(0, len(motion) - 1, _LOOKED_AT).astype(int))]
        bodies = [body for body, _ in tried if body is not None]
        if not bodies:
            raise trouble or AssertionError
        found = max(bodies, key=lambda body: sum(body.confidence.values()))
    ankles = 0.5 * (positions[:, found["l_ankle"]] + positions[:, found["r_ankle"]])
    tallest = int(np.argmax(np.linalg.norm(positions[:, found["head"]] - ankles, axis=-1)))
    return find_joints(skeleton.names, skeleton.parents, positions[tallest], ends(tallest))


def _try(motion: Motion, points: Array, tips: Array) -> tuple[JointMap | None, MotionError | None]:
    try:
        return find_joints(motion.skeleton.names, motion.skeleton.parents, points, tips), None
    except MotionError as error:
        if error.code != "unknown_skeleton":
            raise
        return None, error
