# SPDX-License-Identifier: GPL-3.0-or-later
"""Forward kinematics and resampling in time: arrays in, arrays out. The only loop is over joints, never over frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from . import quat
from .errors import MotionError
from .quat import Array
from .skeleton import Ints, Motion

MAX_FRAMES = 1_000_000


def by_joint(frames: int, joints: int, size: int) -> Array:
    """An empty array [frames, joints, size] that has each joint's values side by side in memory: all work here goes joint by
    joint, and finds them there in half the time."""
    return np.empty((joints, frames, size)).swapaxes(0, 1)


def forward(parents: Ints, rotations: Array, positions: Array) -> tuple[Array, Array]:
    """World rotations [F, J, 4] and positions [F, J, 3] of local ones; parents stand before their children."""
    world_r, world_p = by_joint(*rotations.shape), by_joint(*positions.shape)
    for joint, parent in enumerate(parents):
        if parent < 0:
            world_r[:, joint], world_p[:, joint] = rotations[:, joint], positions[:, joint]
        else:
            world_r[:, joint] = quat.mul(world_r[:, parent], rotations[:, joint])
            world_p[:, joint] = world_p[:, parent] + quat.rotate(world_r[:, parent], positions[:, joint])
    return world_r, world_p


def world(motion: Motion) -> tuple[Array, Array]:
    """World rotations [F, J, 4] and positions [F, J, 3] of a clip."""
    return forward(motion.skeleton.parents, motion.rotations, motion.positions)


def turned(parents: Ints, rotations: Array, turns: Mapping[int, Array]) -> Array:
    """World rotations [F, J, 4] corrected by `turns`, joint → [F, 4] from the left: every joint turns with the nearest of these
    at or above it."""
    known = dict(turns)
    out = rotations.copy(order="K")
    for joint, parent in enumerate(parents):
        turn = known.get(joint, known.get(int(parent)))
        if turn is not None:
            known[joint] = turn
            out[:, joint] = quat.mul(turn, rotations[:, joint])
    return out


def resample(motion: Motion, fps: float) -> Motion:
    """The same motion at another frame rate: rotations along the shortest arc, positions linear.

    The first frame stays; the last new frame lies at or before the last old one, so nothing is invented.
    """
    if not (np.isfinite(fps) and 0.01 <= fps <= 10_000.0):
        raise MotionError("bad_fps", f"{fps} frames per second is out of range: give 0.01 to 10,000.")
    frames = len(motion)
    if frames < 2 or abs(fps * motion.frame_time - 1.0) < 1e-6:
        return replace(motion, frame_time=1.0 / fps)
    count = int(np.floor((frames - 1) * motion.frame_time * fps + 1e-6)) + 1
    if count > MAX_FRAMES:
        raise MotionError("bad_fps", f"{fps} frames per second would make {count} frames of this clip; at most {MAX_FRAMES} fit.")
    at = np.minimum(np.arange(count) / (fps * motion.frame_time), frames - 1)
    low = np.minimum(at.astype(np.int64), frames - 2)
    t = at - low
    positions = motion.positions[low] + t[:, None, None] * (motion.positions[low + 1] - motion.positions[low])
    rotations = quat.slerp(motion.rotations[low], motion.rotations[low + 1], t[:, None])
    return replace(motion, rotations=quat.continuous(rotations), positions=positions, frame_time=1.0 / fps)
