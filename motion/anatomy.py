# SPDX-License-Identifier: GPL-3.0-or-later
"""Anatomical frames: for each part of the body axes that mean the same on every skeleton. Knows joints and positions, no files.

A frame is a rotation whose x is the body's left, y up and z forward when the person stands in a T-pose; a limb's frame turns
with the limb. Trunk, head and collars keep their rest orientation, limbs point where their bone points, feet lie on the ground.
Keys are canonical joint names; "<name>_plain" is the frame to use when one of two skeletons does not show where the part points.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from . import hands, quat
from .humanoid import JointMap
from .kinematics import world
from .quat import Array, normalize
from .skeleton import Ints, Motion

Frames = Mapping[str, Array]  # name → quaternion [4]


class Joints(Protocol):
    """Which joint is which part of the body: a `JointMap`, or a plain mapping for a part of a skeleton."""

    def __getitem__(self, name: str, /) -> int: ...

    def get(self, name: str, /) -> int | None: ...


_UP = np.array([0.0, 0.0, 1.0])
_STANDING_SHARE = 0.2  # of a clip's frames, the most upright ones: what stands in for a rest pose that is no stance
_SNAP = np.radians(25.0)
_AXIS_ROTATIONS = quat.from_matrix(
    np.array(
        [
            m
            for columns in itertools.permutations(np.eye(3))
            for signs in itertools.product((1.0, -1.0), repeat=3)
            if np.linalg.det(m := np.stack(columns, axis=1) * np.array(signs)) > 0
        ]
    )
)


def leg_length(points: Array, joints: Joints) -> float:
    """Thigh and shin, mean of both sides, in the unit of `points` [J, 3]."""
    bones = [("hip", "knee"), ("knee", "ankle")]
    lengths = [np.linalg.norm(points[joints[f"{s}_{a}"]] - points[joints[f"{s}_{b}"]]) for s in "lr" for a, b in bones]
    return 0.5 * float(np.sum(lengths))


def stands(joints: JointMap, points: Array) -> bool:
    """Whether a pose is a stance: head above the hips, feet below, left hand on the left. BVH offsets in bone space are none."""
    hips = 0.5 * (points[joints["l_hip"]] + points[joints["r_hip"]])
    up = normalize(points[joints["head"]] - hips)
    across = normalize(points[joints["l_hip"]] - points[joints["r_hip"]])
    elbows = points[joints["l_elbow"]] - points[joints["r_elbow"]]
    for side in "lr":
        thigh = normalize(points[joints[f"{side}_knee"]] - points[joints[f"{side}_hip"]])
        shin = normalize(points[joints[f"{side}_ankle"]] - points[joints[f"{side}_knee"]])
        if np.dot(thigh, up) > -0.7 or np.dot(shin, up) > -0.7:
            return False
    return bool(np.dot(elbows, across) > 0.0 and abs(np.dot(across, up)) < 0.5)


def chain_places(points: Array, chain: tuple[int, ...], end: Array) -> Array:
    """How far along a chain each of its joints takes effect, [len(chain)], the last one at 1."""
    if not chain:
        return np.zeros(0)
    ends = np.concatenate([points[list(chain[1:])], end[None]])
    lengths = np.linalg.norm(ends - points[list(chain)], axis=-1)
    total = np.cumsum(lengths + 1e-9)
    return np.asarray(total / total[-1])


def chest_end(points: Array, joints: JointMap) -> Array:
    """Where the trunk ends: the base of the neck [3]."""
    return np.asarray(points[joints.neck[0] if joints.neck else joints["head"]])


def lean(trunk: Array, points: Array, joints: Joints) -> float:
    """Radians by which a trunk [3] leans forward in a stance of joint positions [J, 3], Z up, about the line through the hips."""
    left = normalize(points[joints["l_hip"]] - points[joints["r_hip"]])
    ahead = np.cross(left, _UP)
    return float(np.arctan2(np.dot(trunk, ahead), np.dot(trunk, _UP)))


def rest_frames(joints: JointMap, parents: Ints, points: Array, tips: Array, up: Array | None = None) -> Frames:
    """Frames of a skeleton that stands, from joint positions [J, 3] and tips [J, 3] (nan: unknown)."""
    ankles = 0.5 * (points[joints["l_ankle"]] + points[joints["r_ankle"]])
    up = nearest_axis(points[joints["head"]] - ankles) if up is None else up
    across = points[joints["l_hip"]] - points[joints["r_hip"]] + points[joints["l_shoulder"]] - points[joints["r_shoulder"]]
    body = _upright(across, up)
    out: dict[str, Array] = dict.fromkeys(("pelvis", "head", "l_collar", "r_collar"), body)
    left, forward = quat.rotate(body, [1.0, 0.0, 0.0]), quat.rotate(body, [0.0, 0.0, 1.0])

    for side, sign in (("l", 1.0), ("r", -1.0)):
        at = {part: points[j] for part in _PARTS if (j := joints.get(f"{side}_{part}")) is not None}
        for parts, stretched in ((("shoulder", "elbow", "wrist"), sign * left), (("hip", "knee", "ankle"), -up)):
            for a, b in itertools.pairwise(parts):
                if b in at:
                    out[f"{side}_{a}"] = quat.mul(quat.between(stretched, at[b] - at[a]), body)
        out[f"{side}_elbow_plain"] = out[f"{side}_shoulder"]
        wrist = joints.get(f"{side}_wrist")
        if wrist is not None:
            out[f"{side}_wrist_plain"] = out[f"{side}_elbow"]
            palm = palm_of(joints, points, side)
            pointing = _hand(parents, points - points[wrist], tips - points[wrist], wrist)
            if palm is not None:
                out[f"{side}_wrist"] = palm
            elif pointing is not None:
                # From the forearm on, so that a bent wrist at rest does not twist the hand.
                forearm = out[f"{side}_elbow"]
                turn = quat.between(quat.rotate(forearm, [sign, 0.0, 0.0]), pointing)
                out[f"{side}_wrist"] = quat.mul(turn, forearm)
        out[f"{side}_ankle_plain"] = out[f"{side}_foot_plain"] = body
        toe = at.get("foot", tips[joints[f"{side}_ankle"]])
        flat = toe - at["ankle"] - up * np.dot(toe - at["ankle"], up)
        if (
            np.isfinite(flat).all()
            and np.linalg.norm(flat) > 0.2 * np.linalg.norm(toe - at["ankle"])
            and np.dot(flat, forward) > 0
        ):
            out[f"{side}_ankle"] = out[f"{side}_foot"] = _upright(np.cross(up, flat), up)
    return out


def palm_of(joints: JointMap, points: Array, side: str) -> Array | None:
    """How a hand lies [..., 4], from joint positions [..., J, 3]; nothing where its knuckles do not show it."""
    ends, wrist = hands.palm_ends(joints.fingers, side), joints.get(f"{side}_wrist")
    if ends is None or wrist is None:
        return None
    return hands.palm(points[..., wrist, :], points[..., ends[0], :], points[..., ends[1], :], side)


_PARTS = ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """A clip seen as a body: anatomical frames over time, in a world with Z up and the clip's unit of length."""

    joints: JointMap
    rotations: Array  # [F, J, 4] of the joints in the world
    positions: Array  # [F, J, 3]
    frame_time: float  # seconds
    stance: Array  # [J, 3] where the joints are when the person stands, with their rotations [J, 4] and the limbs' ends [J, 3]
    stance_rotations: Array
    stance_tips: Array
    tips: Mapping[int, Array]  # joint → the end of its limb [3] in its own axes, where no joint is there
    local: Frames  # frame of each part in its joint's own axes
    spine_local: tuple[Array, ...]
    neck_local: tuple[Array, ...]
    spine_at: Array
    neck_at: Array
    middle: Array  # [F, 3] the middle between the hips
    leg_length: float
    notes: tuple[str, ...]

    @classmethod
    def of(cls, motion: Motion, joints: JointMap) -> Performance:
        skeleton = motion.skeleton
        rotations, positions = world(motion)
        rest = skeleton.rest_positions()
        standing = stands(joints, rest)
        notes: list[str] = []
        spine_local: tuple[Array, ...]
        neck_local: tuple[Array, ...]
        up = up_axis(positions, joints, rest if standing else None)
        if up is None:
            up = np.array([0.0, 1.0, 0.0])
            notes.append("The clip does not show which way is up (nobody stands in it); Y was taken, as BVH files have it.")
        to_z = quat.between(up, _UP)
        rotations, positions = quat.mul(to_z, rotations), quat.rotate(to_z, positions)
        tips = np.full((len(skeleton), 3), np.nan)
        if standing:
            stance, stance_rotations = quat.rotate(to_z, rest), np.tile(to_z, (len(skeleton), 1))
            tips[skeleton.end_parents] = rest[skeleton.end_parents] + skeleton.end_offsets
            local = rest_frames(joints, skeleton.parents, rest, tips)
            spine_local = (local["pelvis"],) * len(joints.spine)
            neck_local = (local["pelvis"],) * len(joints.neck)
        else:
            notes.append("The clip's rest pose is no stance; a stance was taken from its most upright frames.")
            ankles = 0.5 * (positions[:, joints["l_ankle"]] + positions[:, joints["r_ankle"]])
            tallest = int(np.argmax((positions[:, joints["head"]] - ankles)[:, 2]))
            stance, stance_rotations = positions[tallest], rotations[tallest]
            tips[skeleton.end_parents] = skeleton.end_offsets
            local, spine_local, neck_local = _calibrate(motion, joints, rotations, positions, tips)
        stance_tips = np.full((len(skeleton), 3), np.nan)
        ends = skeleton.end_parents
        stance_tips[ends] = stance[ends] + quat.rotate(stance_rotations[ends], skeleton.end_offsets)
        # Lengths as the first frame has them: offsets can be overridden by position channels.
        first = positions[0]
        return cls(
            joints=joints,
            rotations=rotations,
            positions=positions,
            frame_time=motion.frame_time,
            stance=stance,
            stance_rotations=stance_rotations,
            stance_tips=stance_tips,
            tips=dict(zip(ends.tolist(), skeleton.end_offsets, strict=True)),
            local=local,
            spine_local=spine_local,
            neck_local=neck_local,
            spine_at=chain_places(first, joints.spine, chest_end(first, joints)),
            neck_at=chain_places(first, joints.neck, first[joints["head"]]),
            middle=0.5 * (positions[:, joints["l_hip"]] + positions[:, joints["r_hip"]]),
            leg_length=leg_length(first, joints),
            notes=tuple(notes),
        )

    @property
    def trunk(self) -> Array:
        """From between the hips to the base of the neck [F, 3]."""
        return np.asarray(self.positions[:, self.joints.neck[0] if self.joints.neck else self.joints["head"]] - self.middle)

    @property
    def left(self) -> Array:
        """Along the line through the hips [F, 3]."""
        return normalize(self.positions[:, self.joints["l_hip"]] - self.positions[:, self.joints["r_hip"]])

    @property
    def lean(self) -> float:
        """How far the trunk leans forward when the person stands, radians."""
        hips = 0.5 * (self.stance[self.joints["l_hip"]] + self.stance[self.joints["r_hip"]])
        return lean(chest_end(self.stance, self.joints) - hips, self.stance, self.joints)

    def has(self, name: str) -> bool:
        return name in self.local and name.removesuffix("_plain") in self.joints.joints

    def frame(self, name: str) -> Array:
        """The part's frame in the world [F, 4]."""
        return quat.mul(self.rotations[:, self.joints[name.removesuffix("_plain")]], self.local[name])

    def palm(self, side: str) -> Array | None:
        """How a hand lies in the world [F, 4], where its fingers show it."""
        return palm_of(self.joints, self.positions, side)

    def finger(self, name: str) -> Array:
        """Where the bones of a finger point [F, N, 3], from the palm outwards."""
        chain = self.joints.fingers[name]
        ends = [*self.positions[:, list(chain[1:])].swapaxes(0, 1)]
        if (tip := self.tips.get(chain[-1])) is not None:
            ends.append(self.positions[:, chain[-1]] + quat.rotate(self.rotations[:, chain[-1]], tip))
        return np.stack([normalize(end - self.positions[:, joint]) for joint, end in zip(chain, ends, strict=False)], axis=1)

    def spine(self, at: float) -> Array:
        """The trunk's frame [F, 4] between pelvis (0) and chest (1)."""
        knots = [quat.mul(self.rotations[:, j], turn) for j, turn in zip(self.joints.spine, self.spine_local, strict=True)]
        return _between_knots([self.frame("pelvis"), *knots], [0.0, *self.spine_at.tolist()], at)

    def neck(self, at: float) -> Array:
        """The neck's frame [F, 4] from above the chest (0) to below the head (1)."""
        if not self.joints.neck:
            return quat.slerp(self.spine(1.0), self.frame("head"), 0.5 * at)
        knots = [quat.mul(self.rotations[:, j], turn) for j, turn in zip(self.joints.neck, self.neck_local, strict=True)]
        return _between_knots([self.spine(1.0), *knots], [0.0, *self.neck_at.tolist()], at)


def _between_knots(frames: list[Array], places: list[float], at: float) -> Array:
    for i in range(1, len(frames)):
        if at <= places[i] + 1e-9:
            return quat.slerp(frames[i - 1], frames[i], (at - places[i - 1]) / max(places[i] - places[i - 1], 1e-9))
    return frames[-1]


def nearest_axis(v: Array) -> Array:
    """The unit vector [3] along an axis, forwards or backwards, that is nearest to a direction [3]."""
    out = np.zeros(3)
    axis = int(np.argmax(np.abs(v)))
    out[axis] = 1.0 if v[axis] >= 0 else -1.0
    return out


def up_axis(positions: Array, joints: JointMap, stance: Array | None) -> Array | None:
    """Which axis of a clip's world, [3], is up; None when nothing shows it.

    That is the axis along which the rest pose (`stance` [J, 3], None: it is no stance) stands. Some exporters write one that
    stands along another axis than the motion: that is believed only of somebody who stands on the origin's level, since a
    person who lies is the commoner case.
    """
    ankles = 0.5 * (positions[:, joints["l_ankle"]] + positions[:, joints["r_ankle"]])
    hips = 0.5 * (positions[:, joints["l_hip"]] + positions[:, joints["r_hip"]])
    mean = normalize(positions[:, joints["head"]] - ankles).mean(axis=0)
    shown = nearest_axis(mean) if float(np.abs(mean).max()) > 0.7 else None
    if stance is None:
        return shown
    rest = nearest_axis(stance[joints["head"]] - 0.5 * (stance[joints["l_ankle"]] + stance[joints["r_ankle"]]))
    if shown is None or np.dot(shown, rest) > 0.5:
        return rest
    leg = leg_length(positions[0], joints)
    hip_level, ankle_level = float(np.median(hips @ shown)), float(np.median(ankles @ shown))
    return shown if 0.7 * leg < hip_level < 1.5 * leg and -0.1 * leg < ankle_level < 0.4 * leg else rest


def _upright(across: Array, up: Array) -> Array:
    """The rotation [..., 4] with y along `up` and x along what of `across` is level."""
    left = normalize(across - up * np.sum(across * up, axis=-1, keepdims=True))
    up = np.broadcast_to(up, left.shape)
    return quat.from_matrix(np.stack([left, up, np.cross(left, up)], axis=-1))


def _hand(parents: Ints, points: Array, tips: Array, wrist: int) -> Array | None:
    """Where a hand points [3], from vectors to its fingers (thumb left out) or to its tip."""
    fingers = points[np.flatnonzero(parents == wrist)]
    lengths = np.linalg.norm(fingers, axis=-1)
    if len(fingers) and lengths.max() > 1e-6:
        return normalize(fingers[lengths > 0.7 * lengths.max()].mean(axis=0))
    tip = tips[wrist]
    return normalize(tip) if np.isfinite(tip).all() and np.linalg.norm(tip) > 1e-6 else None


# A rest pose that is no stance: the frames come from how the joints move


def _calibrate(
    motion: Motion, joints: JointMap, rotations: Array, positions: Array, tips: Array
) -> tuple[Frames, tuple[Array, ...], tuple[Array, ...]]:
    """Frames in joint axes for a skeleton whose offsets lie in bone space. `tips` [J, 3] are in joint axes here.

    Limb directions are exact (the child's offset). Where a limb bends comes from the hinge it turns about, and how the trunk
    stands from the most upright frames, set straight when that is near the joint's own axes, as riggers lay them.
    """
    offsets, parents = motion.skeleton.offsets, motion.skeleton.parents
    at = {name: positions[:, j] for name, j in joints.joints.items()}
    turn = {name: rotations[:, j] for name, j in joints.joints.items()}
    body = _upright(at["l_hip"] - at["r_hip"] + 0.5 * (at["l_shoulder"] - at["r_shoulder"]), _UP)
    upright = np.sum(normalize(at["head"] - 0.5 * (at["l_hip"] + at["r_hip"])) * _UP, axis=-1)
    for side in "lr":
        upright = upright + 0.5 * np.sum(normalize(at[f"{side}_hip"] - at[f"{side}_ankle"]) * _UP, axis=-1)
    chosen = np.argsort(-upright)[: max(1, int(_STANDING_SHARE * len(upright)))]

    def averaged(joint: int, frames: Ints = chosen, target: Array = body, *, snap: bool = False) -> Array:
        mean = quat.mean(quat.mul(quat.inverse(rotations[frames, joint]), target[frames]))
        nearest = _AXIS_ROTATIONS[int(np.argmin(quat.angle(mean, _AXIS_ROTATIONS)))]
        return nearest if snap and quat.angle(mean, nearest) < _SNAP else mean

    out: dict[str, Array] = {name: averaged(joints[name], snap=True) for name in ("pelvis", "head")}
    for side, sign in (("l", 1.0), ("r", -1.0)):
        if f"{side}_collar" in turn:
            out[f"{side}_collar"] = averaged(joints[f"{side}_collar"])
        for (a, b, c), arm in ((("shoulder", "elbow", "wrist"), True), (("hip", "knee", "ankle"), False)):
            top, middle, end = f"{side}_{a}", f"{side}_{b}", f"{side}_{c}"
            if end not in at:
                continue
            upper, lower = normalize(at[middle] - at[top]), normalize(at[end] - at[middle])
            hinge = np.cross(upper, lower)
            forward = quat.rotate(body, [0.0, 0.0, 1.0])
            for name, pointing in ((top, upper), (middle, lower)):
                back = quat.inverse(turn[name])
                direction = normalize(quat.rotate(back, pointing).mean(axis=0))
                axis = quat.rotate(back, hinge).mean(axis=0)
                if np.linalg.norm(axis) < 0.05:  # a limb that stays straight: forward is where the body looks
                    axis = quat.rotate(back, np.cross(pointing, forward) if arm else np.cross(forward, pointing)).mean(axis=0)
                out[name] = _limb_frame(direction, axis, sign, arm=arm)
        wrist = joints.get(f"{side}_wrist")
        if wrist is not None:
            local = np.where((parents == wrist)[:, None], offsets, np.nan)
            hand = _hand(parents, np.nan_to_num(local), tips, wrist)
            palm = palm_of(joints, positions, side)
            if palm is not None:
                out[f"{side}_wrist"] = quat.mean(quat.mul(quat.inverse(turn[f"{side}_wrist"]), palm))
            elif hand is not None:
                forearm = quat.mul(turn[f"{side}_elbow"], out[f"{side}_elbow"])
                mean = quat.mean(quat.mul(quat.inverse(turn[f"{side}_wrist"]), forearm))
                out[f"{side}_wrist"] = quat.mul(quat.between(quat.rotate(mean, [sign, 0.0, 0.0]), hand), mean)
        toe = joints.get(f"{side}_foot")
        if toe is not None:
            foot, ankle = positions[:, toe], at[f"{side}_ankle"]
            flat = _upright(np.cross(_UP, foot - ankle), _UP)
            low = np.argsort(ankle[:, 2] + foot[:, 2])[: max(1, len(foot) // 4)]  # the foot stands where it is lowest
            out[f"{side}_ankle"] = averaged(joints[f"{side}_ankle"], low, flat)
            out[f"{side}_foot"] = averaged(toe, low, flat)
        else:
            out[f"{side}_ankle_plain"] = averaged(joints[f"{side}_ankle"])
    spine = tuple(averaged(j, snap=True) for j in joints.spine)
    return out, spine, tuple(averaged(j, snap=True) for j in joints.neck)


def _limb_frame(direction: Array, hinge: Array, sign: float, *, arm: bool) -> Array:
    """The frame of a limb in its joint's axes. A knee turns about the body's left, the elbow of a stretched-out arm about its
    vertical (down on the left side, up on the right): so both bend the only way they can."""
    hinge = normalize(hinge - direction * np.dot(hinge, direction))
    if arm:
        left, up = sign * direction, -sign * hinge
        return quat.from_matrix(np.stack([left, up, np.cross(left, up)], axis=-1))
    return quat.from_matrix(np.stack([hinge, -direction, np.cross(hinge, -direction)], axis=-1))
