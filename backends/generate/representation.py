# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers a motion is to the networks: per frame, the root's path in its own frame, every joint's rotation, foot contacts.

Both ways between a motion of the 22-joint body and its features, as arrays. Knows no networks, words or files.

Per frame (30 a second), `FEATURES` numbers: heading velocity (radians a frame, left positive), root velocity in the frame
of the heading (metres a frame: to the left, forward), root height (metres), the rotation of each joint in the world with
the heading taken out (first two columns of its matrix), and four contacts (left heel, left toe, right heel, right toe; 0–1).

Rotations are of the world, not of the parent: a wrong spine does not turn the arms, and positions are sums of turned
offsets. The heading is smoothed, so that the sway of the pelvis in a walk stays in the pelvis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...motion import quat
from ...motion.skeleton import Motion, Skeleton

Floats = NDArray[np.float32]

FPS = 30.0
NAMES = (
    "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot", "r_foot",
    "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
)  # fmt: skip
PARENTS = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19])
# An adult of 1.70 m in the T-pose, metres: Y up, +Z forward, +X to the left of the figure.
OFFSETS = (
    np.array(
        [
            [0, 95.5, 0], [8, -8, 0], [-8, -8, 0], [0, 11, -2], [0, -39, 0], [0, -39, 0], [0, 13, 0], [0, -40, 0],
            [0, -40, 0], [0, 6, 2], [0, -6.5, 13], [0, -6.5, 13], [0, 21, -4], [7.5, 12, -3], [-7.5, 12, -3], [0, 8, 4],
            [9.5, 3, -1], [-9.5, 3, -1], [26, 0, 0], [-26, 0, 0], [25, 0, 0], [-25, 0, 0],
        ]
    )
    / 100.0
)  # fmt: skip
JOINTS = len(NAMES)
ENDS = ((10, (0, 0, 0.07)), (11, (0, 0, 0.07)), (15, (0, 0.14, 0.02)), (20, (0.16, 0, 0)), (21, (-0.16, 0, 0)))
# Where the soles are: below the ankle at the heel, and at the ball of the foot (joint "foot").
HEEL = np.array([0.0, -0.065, -0.045])

YAW, VELOCITY, HEIGHT = slice(0, 1), slice(1, 3), slice(3, 4)
ROTATIONS, CONTACTS = slice(4, 4 + 6 * JOINTS), slice(4 + 6 * JOINTS, 8 + 6 * JOINTS)
FEATURES = 8 + 6 * JOINTS  # 140

_HEADING_SIGMA = 5.0  # frames
_CONTACT_HEIGHT = 0.06  # metres above the sole's usual height
_CONTACT_SPEED = 0.45  # metres a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A motion of the 22 joints as plain arrays."""

    rotations: NDArray[np.float64]  # [F, 22, 4] w x y z, local to the parent
    root: NDArray[np.float64]  # [F, 3] metres

    def __len__(self) -> int:
        return len(self.rotations)


def skeleton() -> Skeleton:
    """The body as a skeleton in centimetres, as BVH files have it; the root's offset is zero, its channels are absolute."""
    offsets = OFFSETS * 100.0
    offsets[0] = 0.0
    return Skeleton(
        names=NAMES,
        parents=PARENTS.astype(np.int64),
        offsets=offsets,
        end_parents=np.array([joint for joint, _ in ENDS], dtype=np.int64),
        end_offsets=np.array([offset for _, offset in ENDS], dtype=np.float64) * 100.0,
    )


def to_motion(body: Body) -> Motion:
    """A motion in centimetres, 30 frames a second."""
    target = skeleton()
    positions = np.repeat(target.offsets[None], len(body), axis=0)
    positions[:, 0] = body.root * 100.0
    return Motion(skeleton=target, rotations=quat.continuous(body.rotations), positions=positions, frame_time=1.0 / FPS)


def from_motion(motion: Motion) -> Body:
    """The arrays of a motion of this very body (centimetres, 30 frames a second), as `to_motion` makes them."""
    return Body(rotations=motion.rotations, root=motion.positions[:, 0] / 100.0)


def world(body: Body) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World rotations [F, 22, 4] and joint positions [F, 22, 3] in metres."""
    turned = np.empty_like(body.rotations)
    points = np.empty((len(body), JOINTS, 3))
    turned[:, 0], points[:, 0] = body.rotations[:, 0], body.root
    for joint in range(1, JOINTS):
        parent = PARENTS[joint]
        turned[:, joint] = quat.mul(turned[:, parent], body.rotations[:, joint])
        points[:, joint] = points[:, parent] + quat.rotate(turned[:, parent], OFFSETS[joint])
    return turned, points


def heading(pelvis: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smoothed direction [F] the pelvis [F, 4] faces, in radians about the vertical, 0 along +Z, continuous."""
    pelvis = quat.continuous(pelvis)
    angle = np.unwrap(2.0 * np.arctan2(pelvis[:, 2], pelvis[:, 0]))
    return smooth(angle, _HEADING_SIGMA)


def smooth(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Values [F, ...] under a Gaussian of `sigma` frames; at the ends the line through the last values is continued."""
    reach = int(3 * sigma)
    if len(values) < 3 or reach < 1:
        return values.copy()
    reach = min(reach, len(values) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    before = 2.0 * values[0] - values[reach:0:-1]
    after = 2.0 * values[-1] - values[-2 : -reach - 2 : -1]
    padded = np.concatenate([before, values, after])
    flat = padded.reshape(len(padded), -1)
    out = np.stack([np.convolve(column, kernel, mode="valid") for column in flat.T], axis=-1)
    return out.reshape(values.shape)


def contacts(turned: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 or 1 [F, 4]: left heel, left toe, right heel, right toe are near their lowest level and slow."""
    soles = np.stack(
        [
            points[:, 7] + quat.rotate(turned[:, 7], HEEL),
            points[:, 10],
            points[:, 8] + quat.rotate(turned[:, 8], HEEL),
            points[:, 11],
        ],
        axis=1,
    )
    speed = np.linalg.norm(np.gradient(soles, axis=0), axis=-1) * FPS if len(soles) > 1 else np.zeros(soles.shape[:2])
    low = soles[..., 1] < np.percentile(soles[..., 1], 5, axis=0) + _CONTACT_HEIGHT
    return np.asarray(low & (speed < _CONTACT_SPEED), dtype=np.float64)


def encode(body: Body) -> Floats:
    """Features [F, 140] of a motion. The start (position, heading) is forgotten; the last frame repeats the velocity before."""
    turned, points = world(body)
    facing = heading(turned[:, 0])
    out = np.zeros((len(body), FEATURES))
    if len(body) > 1:
        step = np.diff(body.root, axis=0)
        out[:-1, YAW] = np.diff(facing)[:, None]
        out[:-1, VELOCITY] = _into_heading(step, facing[:-1])
        out[-1, 0:3] = out[-2, 0:3]
    out[:, HEIGHT] = body.root[:, 1:2]
    undo = quat.from_axis_angle(np.array([0.0, 1.0, 0.0]), -facing)
    matrices = quat.to_matrix(quat.mul(undo[:, None], turned))
    out[:, ROTATIONS] = np.concatenate([matrices[..., 0], matrices[..., 1]], axis=-1).reshape(len(body), -1)
    out[:, CONTACTS] = contacts(turned, points)
    return out.astype(np.float32)


def decode(features: NDArray[np.floating], *, facing: float = 0.0, start: tuple[float, float] = (0.0, 0.0)) -> Body:
    """The motion of features [F, 140]; it begins at `start` (x, z in metres) and faces `facing` (radians, 0 along +Z)."""
    values = np.asarray(features, dtype=np.float64)
    frames = len(values)
    angle = facing + np.concatenate([[0.0], np.cumsum(values[:-1, 0])])
    left, forward = values[:, 1], values[:, 2]
    x = left * np.cos(angle) + forward * np.sin(angle)
    z = forward * np.cos(angle) - left * np.sin(angle)
    root = np.zeros((frames, 3))
    root[:, 0] = start[0] + np.concatenate([[0.0], np.cumsum(x[:-1])])
    root[:, 2] = start[1] + np.concatenate([[0.0], np.cumsum(z[:-1])])
    root[:, 1] = values[:, 3]
    matrices = matrices_of(values[:, ROTATIONS].reshape(frames, JOINTS, 6))
    turned = quat.mul(quat.from_axis_angle(np.array([0.0, 1.0, 0.0]), angle)[:, None], quat.from_matrix(matrices))
    local = turned.copy()
    local[:, 1:] = quat.mul(quat.inverse(turned[:, PARENTS[1:]]), turned[:, 1:])
    return Body(rotations=quat.continuous(quat.normalize(local)), root=root)


def matrices_of(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices [..., 3, 3] of their first two columns [..., 6], made orthogonal (Gram and Schmidt)."""
    a = quat.normalize(columns[..., :3])
    b = columns[..., 3:]
    b = quat.normalize(b - np.sum(a * b, axis=-1, keepdims=True) * a)
    return np.stack([a, b, np.cross(a, b)], axis=-1)


def mirror(body: Body) -> Body:
    """Left and right exchanged."""
    swap = [NAMES.index(_other_side(name)) for name in NAMES]
    return Body(rotations=body.rotations[:, swap] * np.array([1.0, 1.0, -1.0, -1.0]), root=body.root * np.array([-1.0, 1.0, 1.0]))


def _other_side(name: str) -> str:
    return {"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:]


def _into_heading(step: NDArray[np.float64], facing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Steps [N, 3] seen from the heading [N]: to the left, forward."""
    left = step[:, 0] * np.cos(facing) - step[:, 2] * np.sin(facing)
    forward = step[:, 0] * np.sin(facing) + step[:, 2] * np.cos(facing)
    return np.stack([left, forward], axis=-1)
