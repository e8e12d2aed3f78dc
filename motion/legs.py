# SPDX-License-Identifier: GPL-3.0-or-later
"""Legs with soles: which joints they have and where heel, ball and toe tip lie on a foot. Knows skeletons, not what legs do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import anatomy, quat
from .anatomy import Joints
from .humanoid import JointMap
from .kinematics import world
from .quat import Array, normalize
from .skeleton import Ints, Motion

HEEL, BALL, TIP = 0, 1, 2
SIDES = ("l", "r")
# Of a foot whose rest pose does not say: shares of the level way from ankle to ball, and of the ball's depth below the ankle.
_HEEL_BEHIND, _TIP_AHEAD, _SOLE_BELOW = 0.35, 0.55, 0.3
_LONGEST = 0.4  # level, from ankle or ball to the end of the foot, in leg lengths; importers give such ends any length
_FOOT, _BALL_OF_TIP = 0.16, 0.65  # ankle to ball in leg lengths; ball on the way from ankle to tip where there is no toe joint


@dataclass(frozen=True, slots=True, kw_only=True)
class Legs:
    """Both legs (left, right) of a skeleton: joints, and points of the soles in the axes of the joints that carry them."""

    hip: Ints  # [2]
    knee: Ints  # [2]
    ankle: Ints  # [2]
    toe: Ints  # [2], -1 where the foot has no toe joint
    heel: Array  # [2, 3] from the ankle, in its axes
    hinge: Array  # [2, 3] from the ankle, in its axes, to where the toes bend: the toe joint; the ball where there is none
    rise: Array  # [2] how high that is above the floor in a stance
    ball: Array  # [2, 3] from the toe joint, in its axes; from the ankle where there is none
    tip: Array  # [2, 3] from the toe joint, in its axes; from the ankle where there is none
    forward: Array  # [2, 3] where the knee points, in the hip joint's axes
    upward: Array  # [2, 3] away from the sole, in the ankle's axes
    length: float  # thigh and shin

    @property
    def flat_ball(self) -> Array:
        """The ball [2, 3] from the ankle, in its axes, as it is in a stance."""
        return np.asarray(self.hinge - self.rise[:, None] * self.upward)

    def soles(self, rotations: Array, positions: Array) -> Array:
        """Heel, ball and tip [F, 2, 3, 3] in the world, from the world pose (rotations [F, J, 4], positions [F, J, 3])."""
        ankle_r, ankle_p = rotations[:, self.ankle], positions[:, self.ankle]
        carrier = np.where(self.toe >= 0, self.toe, self.ankle)
        return np.stack(
            [
                ankle_p + quat.rotate(ankle_r, self.heel),
                positions[:, carrier] + quat.rotate(rotations[:, carrier], self.ball),
                positions[:, carrier] + quat.rotate(rotations[:, carrier], self.tip),
            ],
            axis=2,
        )


def rigid(legs: Legs) -> Legs:
    """Legs whose feet have no toe joint, to be rolled over the tips of their soles: over the balls the tips would sink."""
    on_tips = (legs.toe < 0)[:, None]
    return replace(
        legs,
        hinge=np.where(on_tips, legs.tip, legs.hinge),
        ball=np.where(on_tips, legs.tip, legs.ball),
        rise=np.where(legs.toe < 0, 0.0, legs.rise),
    )


def find_legs(motion: Motion, joints: JointMap, *, up: int) -> Legs:
    """The legs of a clip's skeleton, from its rest pose; from its most upright frame where the rest pose is no stance."""
    skeleton = motion.skeleton
    points, rotations = skeleton.rest_positions(), np.tile(quat.IDENTITY, (len(skeleton), 1))
    if not anatomy.stands(joints, points) or int(np.argmax(np.abs(_tallness(points[None], joints)[0]))) != up:
        world_r, world_p = world(motion)
        frame = int(np.argmax(_tallness(world_p, joints)[:, up]))
        points, rotations = world_p[frame], world_r[frame]
    tips = np.full((len(skeleton), 3), np.nan)
    tips[skeleton.end_parents] = points[skeleton.end_parents] + quat.rotate(rotations[skeleton.end_parents], skeleton.end_offsets)
    return legs_of_stance(joints, points, rotations, tips, up=up)


def _tallness(points: Array, joints: JointMap) -> Array:
    """From the ankles to the head [F, 3]."""
    return np.asarray(points[:, joints["head"]] - 0.5 * (points[:, joints["l_ankle"]] + points[:, joints["r_ankle"]]))


def legs_of_stance(
    joints: Joints,
    points: Array,
    rotations: Array,
    tips: Array,
    *,
    up: int,
    lowest: float | None = None,
    soles: Array | None = None,
) -> Legs:
    """The legs of somebody who stands: joint positions [J, 3], world rotations [J, 4], ends of limbs [J, 3] (nan: unknown).

    `up` is the index of the axis that points up. Each sole is taken as level, at the height `lowest`; where that is not known, at
    the lowest point that is known of its foot. `soles` [2, 2, 3] are the rear and front ends of both, where they are known (nan:
    not).
    """
    above = np.zeros(3)
    above[up] = 1.0
    across = normalize(_level(points[joints["l_hip"]] - points[joints["r_hip"]], up))
    ahead = np.cross(across, above)
    length = anatomy.leg_length(points, joints)

    heel, hinge, ball, tip, forward, upward = (np.zeros((2, 3)) for _ in range(6))
    rise = np.zeros(2)
    toes = [joints.get(f"{side}_foot") for side in SIDES]
    toe = np.array([-1 if joint is None else joint for joint in toes], dtype=np.int64)
    for i, side in enumerate(SIDES):
        ankle = joints[f"{side}_ankle"]
        at, back = points[ankle], quat.inverse(rotations[ankle])
        joint = points[toe[i]] if toe[i] >= 0 else None
        end = _believable(tips[toe[i]], joint, length, up) if joint is not None else _believable(tips[ankle], at, length, up)
        end_known = bool(np.isfinite(end).all())
        if joint is not None:
            to_ball, sole = _level(joint - at, up), joint[up] - _SOLE_BELOW * max(at[up] - joint[up], 0.0)
        elif end_known:
            to_ball, sole = _BALL_OF_TIP * _level(end - at, up), float(end[up])
        else:
            to_ball, sole = _FOOT * length * ahead, float(at[up]) - 0.1 * length
        if np.linalg.norm(to_ball) < 0.03 * length:  # a foot that points down, or none to speak of
            to_ball, joint = _FOOT * length * ahead, None
        sole = min(sole, float(end[up])) if end_known else sole
        sole = sole if lowest is None else lowest
        to_tip = _level(end - at, up) if end_known else (1.0 + _TIP_AHEAD) * to_ball
        if np.dot(to_tip, to_ball) <= 1.1 * np.dot(to_ball, to_ball):
            to_tip = (1.0 + _TIP_AHEAD) * to_ball
        down = above * (sole - at[up])
        behind = -_HEEL_BEHIND * to_ball
        if soles is not None and np.isfinite(soles[i]).all():
            behind, to_tip = (_along(soles[i, end] - at, to_ball, up) for end in range(2))
            if joint is None:
                to_ball = _BALL_OF_TIP * to_tip
        heel[i] = quat.rotate(back, down + behind)
        carrier = int(toe[i]) if toe[i] >= 0 else ankle
        hinge[i] = quat.rotate(back, down + to_ball if joint is None else joint - at)
        rise[i] = 0.0 if joint is None else joint[up] - sole
        ball[i] = quat.rotate(quat.inverse(rotations[carrier]), at + down + to_ball - points[carrier])
        tip[i] = quat.rotate(quat.inverse(rotations[carrier]), at + down + to_tip - points[carrier])
        forward[i] = quat.rotate(quat.inverse(rotations[joints[f"{side}_hip"]]), ahead)
        upward[i] = quat.rotate(back, above)

    def both(part: str) -> Ints:
        return np.array([joints[f"{side}_{part}"] for side in SIDES], dtype=np.int64)

    return Legs(
        hip=both("hip"), knee=both("knee"), ankle=both("ankle"), toe=toe, heel=heel, hinge=hinge, rise=rise, ball=ball, tip=tip,
        forward=forward, upward=upward, length=length,
    )  # fmt: skip


def _along(v: Array, forward: Array, up: int) -> Array:
    """What of a vector lies along the level direction `forward`."""
    ahead = normalize(_level(forward, up))
    return np.asarray(ahead * np.dot(v, ahead))


def _believable(end: Array, start: Array, leg: float, up: int) -> Array:
    """The end of a foot, or no numbers where no foot is that long."""
    return end if float(np.linalg.norm(_level(end - start, up))) <= _LONGEST * leg else np.full(3, np.nan)


def _level(v: Array, up: int) -> Array:
    out = np.array(v, dtype=np.float64)
    out[..., up] = 0.0
    return out
