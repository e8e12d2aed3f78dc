# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies in motion with known rotations, and HumanML3D's features of them, encoded from the layout's definition."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from motion_queue.motion import kinematics, quat
from motion_queue.motion.features import HUMANML3D_NAMES, HUMANML3D_PARENTS, SNAPMOGEN_PARENTS, Landmarks, heading, place_bones
from motion_queue.motion.quat import Array
from motion_queue.motion.skeleton import Motion, Skeleton

X, Y, Z = np.eye(3)
AT = {name: i for i, name in enumerate(HUMANML3D_NAMES)}
LANDMARKS_22 = Landmarks((AT["l_hip"], AT["l_shoulder"]), (AT["r_hip"], AT["r_shoulder"]), (7, 10, 8, 11))
FEET_22 = [AT[name] for name in ("l_ankle", "l_foot", "r_ankle", "r_foot")]
LIMBS = tuple(f"{side}_{bone}" for side in "lr" for bone in ("hip", "knee", "shoulder", "elbow"))

OFFSETS = np.array(  # metres; T-pose, facing +Z
    [
        [0, 0, 0], [0.08, -0.08, 0], [-0.08, -0.08, 0], [0, 0.11, -0.02], [0, -0.39, 0], [0, -0.39, 0], [0, 0.13, 0],
        [0, -0.40, 0], [0, -0.40, 0], [0, 0.06, 0.02], [0, -0.065, 0.13], [0, -0.065, 0.13], [0, 0.21, -0.04],
        [0.075, 0.12, -0.03], [-0.075, 0.12, -0.03], [0, 0.08, 0.04], [0.095, 0.03, -0.01], [-0.095, 0.03, -0.01],
        [0.26, 0, 0], [-0.26, 0, 0], [0.25, 0, 0], [-0.25, 0, 0],
    ]
)  # fmt: skip


class Body(NamedTuple):
    """World rotations [F, J, 4] and places [F, J, 3] in metres at some frames a second."""

    rotations: Array
    positions: Array


def body_of(motion: Motion, fps: float) -> Body:
    """A clip of the motion pack, in HumanML3D's order of joints and in metres."""
    rotations, positions = kinematics.world(kinematics.resample(motion, fps))
    order = [motion.skeleton.names.index(name) for name in HUMANML3D_NAMES]
    return Body(rotations[:, order], positions[:, order] / 100.0)


def animated(kind: str, frames: int = 80) -> Body:
    """A body that walks on the spot, swinging arms and bending knees and elbows, while the whole of it does what `kind` says."""
    time = np.linspace(0.0, 1.0, frames)
    swing = np.sin(6.0 * np.pi * time)
    local = np.tile(quat.IDENTITY, (frames, 22, 1))

    def turn(joint: str, axis: Array, angle: Array) -> None:
        local[:, AT[joint]] = quat.mul(local[:, AT[joint]], quat.from_axis_angle(axis, np.broadcast_to(angle, frames)))

    root = np.tile([0.0, 0.955, 0.0], (frames, 1))
    if kind == "spinning":
        turn("pelvis", Y, 6.0 * np.pi * time)
    elif kind == "back turned":
        turn("pelvis", Y, np.pi + 0.2 * swing)
    elif kind == "lying":
        turn("pelvis", X, -0.5 * np.pi * np.ones(frames))
        root[:, 1] = 0.15
    elif kind == "lying down":
        turn("pelvis", X, 0.5 * np.pi * time)
        root[:, 1] = 0.955 - 0.8 * time
    root[:, 2] += 1.5 * time
    for side, sign in (("l", 1.0), ("r", -1.0)):
        turn(f"{side}_hip", X, -0.5 * sign * swing)
        turn(f"{side}_knee", X, 0.55 + 0.5 * sign * swing)
        turn(f"{side}_shoulder", Z, -1.1 * sign * np.ones(frames))
        turn(f"{side}_shoulder", Y, 0.4 * sign * swing)
        turn(f"{side}_elbow", Y, -sign * (0.7 + 0.4 * swing))
    turn("spine2", Y, 0.3 * swing)
    turn("spine3", X, 0.2 * swing)
    positions = np.tile(OFFSETS, (frames, 1, 1))
    positions[:, 0] = root
    skeleton = Skeleton(names=HUMANML3D_NAMES, parents=np.array(HUMANML3D_PARENTS), offsets=OFFSETS)
    return Body(*kinematics.world(Motion(skeleton=skeleton, rotations=local, positions=positions, frame_time=0.05)))


def encode_humanml3d(body: Body) -> Array:
    """HumanML3D features [F-1, 263] of a body as it stands, heading and place of the first frame included in neither.

    Every turn is half an angle, and a step is seen from the heading after it.
    """
    positions, count = body.positions, len(body.positions) - 1
    yaw = heading(positions, LANDMARKS_22)
    back = quat.from_axis_angle(Y, -yaw)
    root = positions[:, 0]
    steps = quat.rotate(back[1:], np.diff(root, axis=0))
    local = positions.copy()
    local[..., [0, 2]] -= root[:, None, [0, 2]]
    local = quat.rotate(back[:, None], local)
    parents = np.array(HUMANML3D_PARENTS)
    turned = quat.mul(quat.inverse(body.rotations[:, parents[1:]]), body.rotations[:, 1:])
    matrix = quat.to_matrix(turned)
    moved = quat.rotate(back[:-1, None], np.diff(positions, axis=0))
    still = (np.diff(positions[:, FEET_22], axis=0) ** 2).sum(axis=-1) < 0.002
    columns = [
        -0.5 * np.diff(yaw)[:, None],
        steps[:, [0, 2]],
        root[:-1, 1:2],
        local[:-1, 1:].reshape(count, 63),
        np.concatenate([matrix[..., 0], matrix[..., 1]], axis=-1)[:-1].reshape(count, 126),
        moved.reshape(count, 66),
        still.astype(float),
    ]
    return np.concatenate(columns, axis=-1).astype(np.float32)


def facing_forward(body: Body, yaw: float) -> Body:
    """The body turned by -yaw about Y, so that it faces +Z where it faced `yaw`, its first root at x = z = 0."""
    back = quat.from_axis_angle(Y, np.array(-yaw))
    start = body.positions[:1, :1] * [1.0, 0.0, 1.0]
    return Body(quat.mul(back, body.rotations), quat.rotate(back, body.positions - start))


# ---- a body in SnapMoGen's order of joints ----

_FROM_22 = (
    "pelvis", "spine1", "spine2", "spine3", "neck", "neck", "head", "l_collar", "l_shoulder", "l_elbow", "l_wrist", "r_collar",
    "r_shoulder", "r_elbow", "r_wrist", "pelvis", "l_hip", "l_knee", "l_ankle", "l_foot", "r_hip", "r_knee", "r_ankle", "r_foot",
)  # fmt: skip
UNIT = 50.0  # of SnapMoGen in a metre


def as_24(body: Body, offsets: Array) -> Body:
    """The same body with 24 joints in SnapMoGen's unit, on bones with those rest `offsets` [24, 3]."""
    rotations = body.rotations[:, [AT[name] for name in _FROM_22]]
    return Body(rotations, place_bones(rotations, body.positions[:, 0] * UNIT, offsets))


def offsets_24() -> Array:
    """Rest offsets of the 24 joints, in SnapMoGen's unit."""
    rest = np.zeros((22, 3))
    for joint, parent in enumerate(HUMANML3D_PARENTS):
        rest[joint] = OFFSETS[joint] + (rest[parent] if parent >= 0 else 0.0)
    places = rest[[AT[name] for name in _FROM_22]]
    places[5] = 0.5 * (places[4] + places[6])
    offsets = np.array([places[j] - places[p] if p >= 0 else np.zeros(3) for j, p in enumerate(SNAPMOGEN_PARENTS)])
    return np.asarray(offsets * UNIT)
