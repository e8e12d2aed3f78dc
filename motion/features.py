# SPDX-License-Identifier: GPL-3.0-or-later
"""The two published feature layouts of text-to-motion models as arrays: HumanML3D's 263 numbers a frame and SnapMoGen's 296.

Arrays in, arrays out, Y up, facing +Z. It knows no files, no networks and no skeleton beyond an order of joints. It also runs in
the Python of a published model, which may be as old as 3.7 with numpy 1.21: nothing newer is used here or in `quat`.

HumanML3D, 20 frames a second, metres: 0 half the heading's turn to the next frame, 1–2 the root's step to the next frame, seen
from the next frame's heading, 3 root height, 4–66 places of 21 joints beside the root in the heading's frame, 67–192 local
rotations, 193–258 steps of 22 joints, 259–262 contacts. SnapMoGen, 30 frames a second: 0 the heading's turn, 1–2 the root's step
seen from this frame's heading, 3 root height, 4–147 world rotations without the heading, 148–219 places, 220–291 steps,
292–295 contacts. A rotation is six numbers: the first two columns of its matrix.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence  # noqa: UP035 - old Pythons have no generic one in collections.abc

import numpy as np

from . import quat
from .errors import MotionError
from .quat import Array

HUMANML3D_WIDTH = 263
HUMANML3D_FPS = 20.0
HUMANML3D_NAMES = (
    "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot", "r_foot",
    "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
)  # fmt: skip
HUMANML3D_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)

SNAPMOGEN_WIDTH = 296
SNAPMOGEN_FPS = 30.0
SNAPMOGEN_NAMES = (
    "root", "spine_a", "spine_b", "spine_c", "neck_a", "neck_b", "head",
    "l_clavicle", "l_upper_arm", "l_lower_arm", "l_hand", "r_clavicle", "r_upper_arm", "r_lower_arm", "r_hand",
    "hips", "l_thigh", "l_shin", "l_ankle", "l_ball", "r_thigh", "r_shin", "r_ankle", "r_ball",
)  # fmt: skip
SNAPMOGEN_PARENTS = (-1, 0, 1, 2, 3, 4, 5, 3, 7, 8, 9, 3, 11, 12, 13, 0, 15, 16, 17, 18, 15, 20, 21, 22)
SNAPMOGEN_JOINTS = len(SNAPMOGEN_NAMES)
SNAPMOGEN_STEP = slice(1, 3)  # what the global motion refinement estimates anew
_ROTATIONS, _PLACES = slice(4, 148), slice(148, 220)

MAX_FRAMES = 10_000
_FAR = 1e5  # units; a place or a step beyond it is no motion
_HEADING_WIDTH = 5.0  # frames, standard deviation: how SnapMoGen smooths the heading
_CONTACT_SPEED = 0.11  # squared units a frame, and heights in units, below which a foot counts as standing
_CONTACT_HEIGHTS = (9.0, 4.0)
_LOWEST = 0.1  # share of the feet's heights that makes the floor


class Landmarks(NamedTuple):
    """Joints that give a body its heading and its floor."""

    left: Sequence[int]  # hip, clavicle
    right: Sequence[int]
    feet: Sequence[int]  # left ankle, left ball, right ankle, right ball


SNAPMOGEN_LANDMARKS = Landmarks((16, 7), (20, 11), (18, 19, 22, 23))


class Pose(NamedTuple):
    """What features say of a body in the world."""

    rotations: Array  # [F, J, 4] world
    positions: Array  # [F, J, 3] world, as the features have them; bone lengths may vary from frame to frame


def humanml3d_positions(features: Array) -> Array:
    """World places [F, 22, 3] in metres of HumanML3D features [F, 263]. `MotionError` bad_features."""
    features = _checked(features, HUMANML3D_WIDTH)
    turned = _headings(2.0 * features[:, 0])
    steps = np.zeros((len(features), 3))
    steps[1:, [0, 2]] = features[:-1, 1:3]
    root = np.cumsum(quat.rotate(turned, steps), axis=0)
    places = quat.rotate(turned[:, None], features[:, 4:67].reshape(len(features), 21, 3))
    places[..., [0, 2]] += root[:, None, [0, 2]]
    root[:, 1] = features[:, 3]
    return np.concatenate([root[:, None], places], axis=1)


def snapmogen_pose(features: Array) -> Pose:
    """The body in SnapMoGen features [F, 296], in the features' unit (a hip height is about 48.6). `MotionError` bad_features.

    The root's step is turned by the heading of its own frame, as where the features were taken from.
    """
    features = _checked(features, SNAPMOGEN_WIDTH)
    frames = len(features)
    turned = _headings(features[:, 0])
    steps = np.zeros((frames, 3))
    steps[:, [0, 2]] = features[:, SNAPMOGEN_STEP]
    root = np.zeros((frames, 3))
    root[1:] = np.cumsum(quat.rotate(turned, steps), axis=0)[:-1]
    rotations = quat.from_matrix(_orthonormal(features[:, _ROTATIONS].reshape(frames, SNAPMOGEN_JOINTS, 6)))
    positions = quat.rotate(turned[:, None], features[:, _PLACES].reshape(frames, SNAPMOGEN_JOINTS, 3))
    positions[..., [0, 2]] += root[:, None, [0, 2]]
    positions[:, 0, 1] = features[:, 3]
    return Pose(quat.mul(turned[:, None], rotations), positions)


def bone_offsets(pose: Pose, rest: Array) -> Array:
    """Rest offsets [24, 3] under which the pose's rotations give its places, as long as those of `rest` [24, 3].

    Which way a bone points at rest differs between exports of the same body; the features themselves say it. Where they
    contradict themselves (a network's first epochs), the direction of `rest` stays.
    """
    offsets: Array = np.asarray(rest, dtype=np.float64).copy()
    for joint, parent in enumerate(SNAPMOGEN_PARENTS):
        if parent < 0:
            continue
        seen = pose.positions[:, joint] - pose.positions[:, parent]
        mean = quat.normalize(quat.rotate(quat.inverse(pose.rotations[:, parent]), seen)).mean(axis=0)
        if np.linalg.norm(mean) > 0.8:
            offsets[joint] = quat.normalize(mean) * np.linalg.norm(offsets[joint])
    return offsets


def place_bones(rotations: Array, root: Array, offsets: Array) -> Array:
    """World places [F, 24, 3] of bones under world rotations [F, 24, 4], their root at `root` [F, 3]."""
    positions = np.empty((len(rotations), SNAPMOGEN_JOINTS, 3))
    for joint, parent in enumerate(SNAPMOGEN_PARENTS):
        if parent < 0:
            positions[:, joint] = root
        else:
            positions[:, joint] = positions[:, parent] + quat.rotate(rotations[:, parent], offsets[joint])
    return positions


def encode_snapmogen(pose: Pose) -> Array:
    """SnapMoGen features [F-1, 296] of a body of 24 joints, standing on its floor and facing +Z in the first frame.

    The global motion refinement wants them taken anew from a decoded motion. `MotionError` bad_features under two frames.
    """
    rotations, positions = pose.rotations, pose.positions.copy()
    if len(positions) < 2 or positions.shape[1:] != (SNAPMOGEN_JOINTS, 3):
        raise MotionError(
            "bad_features", f"SnapMoGen features need at least 2 frames of 24 joints, not places {positions.shape}."
        )
    feet = list(SNAPMOGEN_LANDMARKS.feet)
    heights = np.sort(positions[:, feet, 1], axis=None)
    positions[..., 1] -= heights[: max(1, int(len(heights) * _LOWEST))].mean()
    yaw = heading(positions, SNAPMOGEN_LANDMARKS, smooth=_HEADING_WIDTH)
    rotations = quat.mul(_about_y(-yaw[:1])[:, None], rotations)
    positions = quat.rotate(_about_y(-yaw[:1])[:, None], positions)
    back = _about_y(yaw[0] - yaw)[:, None]
    six = _six(quat.mul(back, rotations))
    local = positions.copy()
    local[..., [0, 2]] -= positions[:, :1, [0, 2]]
    local = quat.rotate(back, local)
    steps = quat.rotate(back[:-1, 0], np.diff(positions[:, 0], axis=0))
    moved = (np.diff(positions[:, feet], axis=0) ** 2).sum(axis=-1)
    standing = (moved < _CONTACT_SPEED) & (positions[:-1, feet, 1] < np.tile(_CONTACT_HEIGHTS, 2))
    count = len(positions) - 1
    return np.concatenate(
        [
            -np.diff(yaw)[:, None],
            steps[:, [0, 2]],
            local[:-1, 0, 1:2],
            six[:-1].reshape(count, -1),
            local[:-1].reshape(count, -1),
            np.diff(local, axis=0).reshape(count, -1),
            standing.astype(np.float64),
        ],
        axis=-1,
    )


def heading(positions: Array, landmarks: Landmarks, *, smooth: float = 0.0) -> Array:
    """Where a body faces [F], radians about Y from +Z towards +X, continuous over frames.

    From the lines through hips and shoulders; `smooth` is the standard deviation in frames of a Gaussian over the direction.
    """
    across = (positions[:, list(landmarks.left)] - positions[:, list(landmarks.right)]).sum(axis=1)
    forward = quat.normalize(np.stack([-across[:, 2], across[:, 0]], axis=-1))  # (x, z) of across × up
    if smooth > 0.0:
        forward = _gaussian(forward, smooth)
    return np.asarray(np.unwrap(np.arctan2(forward[:, 0], forward[:, 1])))


def _headings(turns: Array) -> Array:
    """The body's heading [F, 4] from its turns: the published angle turns the body back to +Z, so its inverse is the heading."""
    back = np.concatenate([[0.0], np.cumsum(turns[:-1])])
    return _about_y(-back)


def _about_y(angles: Array) -> Array:
    return quat.from_axis_angle(np.array([0.0, 1.0, 0.0]), np.asarray(angles))


def _gaussian(values: Array, width: float) -> Array:
    """`values` [F, N] smoothed over frames; the first and the last one go on beyond the ends."""
    reach = int(4.0 * width + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    padded = np.concatenate([np.repeat(values[:1], reach, axis=0), values, np.repeat(values[-1:], reach, axis=0)])
    columns = [np.convolve(padded[:, i], kernel / kernel.sum(), mode="valid") for i in range(values.shape[1])]
    return np.stack(columns, axis=-1)


def _six(rotations: Array) -> Array:
    """The first two columns of the matrices of `rotations` [..., 4], as [..., 6]."""
    matrix = quat.to_matrix(rotations)
    return np.concatenate([matrix[..., 0], matrix[..., 1]], axis=-1)


def _orthonormal(six: Array) -> Array:
    """Rotation matrices [..., 3, 3] of six numbers that need not be of unit length or at a right angle; never nan."""
    x = quat.normalize(np.where(np.linalg.norm(six[..., :3], axis=-1, keepdims=True) < 1e-6, [1.0, 0.0, 0.0], six[..., :3]))
    y = six[..., 3:] - (six[..., 3:] * x).sum(axis=-1, keepdims=True) * x
    flat = np.linalg.norm(y, axis=-1, keepdims=True) < 1e-6
    side = np.cross(np.where(np.abs(x[..., :1]) < 0.8, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]), x)
    y = quat.normalize(np.where(flat, side, y))
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _checked(features: Array, width: int) -> Array:
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or features.shape[1] != width or not 1 <= len(features) <= MAX_FRAMES:
        raise MotionError(
            "bad_features",
            f"The features have the shape {tuple(features.shape)}; expected 1 to {MAX_FRAMES:,} frames of {width} numbers. "
            "Is the model of the kind that was named?",
        )
    if not bool(np.all(np.isfinite(features))) or float(np.max(np.abs(features))) > _FAR:
        raise MotionError(
            "bad_features", "The features hold nan, inf or absurd numbers. The checkpoint is damaged or belongs to another model."
        )
    return features
