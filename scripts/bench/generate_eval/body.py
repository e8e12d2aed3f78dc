# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip as the evaluation sees it: joints and soles in metres, heading, travel. Knows no files, prompts or generators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....motion import kinematics, quat
from ....motion.quat import Array
from ....motion.skeleton import Motion
from ...cli.exit_codes import InputError

FPS = 30.0
JOINTS = (
    "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot", "r_foot",
    "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
)  # fmt: skip
INDEX = {name: number for number, name in enumerate(JOINTS)}
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
MIRRORED = np.array([INDEX[{"l": "r", "r": "l"}[n[0]] + n[1:] if n[1] == "_" else n] for n in JOINTS])
SOLES = ("l_heel", "l_ball", "r_heel", "r_ball", "l_toes", "r_toes")
MIRRORED_SOLES = np.array([2, 3, 0, 1, 5, 4])
STANDING = slice(0, 4)  # heels and balls: what a person stands on
_CM = 0.01
# The undersides of heel, ball and toes of the pack's skeleton, in centimetres in the frame of a joint.
_UNDER = (
    ("l_ankle", (0.0, -8.5, -4.5)), ("l_foot", (0.0, -2.0, 0.0)), ("r_ankle", (0.0, -8.5, -4.5)), ("r_foot", (0.0, -2.0, 0.0)),
    ("l_foot", (0.0, -2.0, 7.0)), ("r_foot", (0.0, -2.0, 7.0)),
)  # fmt: skip
_ENDS = 6  # frames (0.2 s) that stand for "at the beginning" and "at the end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """World positions over time, Y up, floor at 0, at 30 frames per second."""

    joints: Array  # [F, 22, 3] metres, in the order of JOINTS
    soles: Array  # [F, 6, 3] metres, in the order of SOLES
    heading: Array  # [F] radians, unwrapped: 0 faces +Z, positive to the left

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def seconds(self) -> float:
        return len(self) / FPS

    def joint(self, name: str) -> Array:
        """One joint's path [F, 3]."""
        return self.joints[:, INDEX[name]]

    def height(self, name: str) -> Array:
        """One joint's height [F] above the floor."""
        return self.joints[:, INDEX[name], 1]

    def cut(self, start: int, stop: int) -> Track:
        return Track(joints=self.joints[start:stop], soles=self.soles[start:stop], heading=self.heading[start:stop])


def track(motion: Motion) -> Track:
    """The track of a clip on the 22-joint skeleton in centimetres, resampled to 30 fps where it has another rate.

    `InputError("not_the_body")` for another skeleton.
    """
    if motion.skeleton.names != JOINTS:
        raise InputError(
            "not_the_body",
            f"The evaluation knows the 22-joint body (pelvis, l_hip, … r_wrist), not a skeleton of {len(motion.skeleton)} joints "
            f"that begins with {motion.skeleton.names[0]}.",
        )
    if abs(motion.fps - FPS) > 0.01:
        motion = kinematics.resample(motion, FPS)
    rotations, joints = kinematics.world(motion)
    soles = np.stack([joints[:, INDEX[name]] + quat.rotate(rotations[:, INDEX[name]], under) for name, under in _UNDER], axis=1)
    joints = joints * _CM
    return Track(joints=joints, soles=soles * _CM, heading=facing(joints))


def facing(joints: Array) -> Array:
    """Heading [F] in radians of the trunk: square to the line from right to left hip and shoulder, smoothed over 0.2 s."""
    across = (
        joints[:, INDEX["l_hip"]]
        - joints[:, INDEX["r_hip"]]
        + 0.5 * (joints[:, INDEX["l_shoulder"]] - joints[:, INDEX["r_shoulder"]])
    )
    return smooth(np.unwrap(np.arctan2(-across[:, 2], across[:, 0])), 7)


def mirrored(source: Track) -> Track:
    """Left and right exchanged."""
    flip = np.array([-1.0, 1.0, 1.0])
    return Track(joints=source.joints[:, MIRRORED] * flip, soles=source.soles[:, MIRRORED_SOLES] * flip, heading=-source.heading)


def turned(source: Track, angle: float, shift: Sequence[float] = (0.0, 0.0, 0.0)) -> Track:
    """The whole scene turned about the vertical axis through the origin (radians, left positive), then moved (metres)."""
    q = quat.from_axis_angle([0.0, 1.0, 0.0], np.asarray(angle))
    move = np.asarray(shift)
    return replace(
        source,
        joints=quat.rotate(q, source.joints) + move,
        soles=quat.rotate(q, source.soles) + move,
        heading=source.heading + angle,
    )


def spliced(parts: Sequence[Track]) -> Track:
    """Clips one after the other, each begun where and in the heading in which the one before ended. Poses are not blended."""
    whole = parts[0]
    for part in parts[1:]:
        aligned = turned(part, float(whole.heading[-1] - part.heading[0]))
        gap = (whole.joints[-1, 0] - aligned.joints[0, 0]) * np.array([1.0, 0.0, 1.0])
        aligned = turned(aligned, 0.0, gap)
        whole = Track(
            joints=np.concatenate([whole.joints, aligned.joints]),
            soles=np.concatenate([whole.soles, aligned.soles]),
            heading=np.concatenate([whole.heading, aligned.heading]),
        )
    return whole


def smooth(values: Array, width: int) -> Array:
    """Running mean over `width` (odd) frames along the first axis; the ends are held."""
    width = min(width, 2 * ((len(values) - 1) // 2) + 1)
    if width < 3:
        return values
    half = width // 2
    padded = np.concatenate([np.repeat(values[:1], half, axis=0), values, np.repeat(values[-1:], half, axis=0)])
    sums = np.cumsum(np.concatenate([np.zeros_like(padded[:1]), padded]), axis=0)
    return np.asarray((sums[width:] - sums[:-width]) / width)


def velocity(positions: Array) -> Array:
    """Central differences [F, …] in units per second; zero for a single frame."""
    return np.asarray(np.gradient(positions, 1.0 / FPS, axis=0)) if len(positions) > 1 else np.zeros_like(positions)


def into_heading(vectors: Array, heading: Array) -> Array:
    """World vectors [F, …, 3] as (left, up, forward) of a body that faces `heading` [F]."""
    shape = (len(heading),) + (1,) * (vectors.ndim - 2)
    cos, sin = np.cos(heading).reshape(shape), np.sin(heading).reshape(shape)
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return np.stack([cos * x - sin * z, y, sin * x + cos * z], axis=-1)


def turn(source: Track) -> float:
    """Net change of heading in radians, left positive."""
    ends = min(_ENDS, max(1, len(source) // 4))
    return float(source.heading[-ends:].mean() - source.heading[:ends].mean())


def travel(source: Track) -> tuple[float, float, float]:
    """Metres forward and to the left, as the body faced in every moment, and the length of the path."""
    local = into_heading(velocity(smooth(source.joint("pelvis"), 5)), source.heading) / FPS
    return float(local[:, 2].sum()), float(local[:, 0].sum()), float(np.linalg.norm(local[:, [0, 2]], axis=1).sum())
