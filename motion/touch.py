# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that touch: what a hand touches in the clip (the floor, the body, the other hand) it touches on the character.

Works on palms, points between wrist and knuckles. Where one is near a part of the source's body and goes along with it, the
character's is brought to the same place of the same part, as far off as its body is broader; arms follow by two-bone IK and
hands keep their directions. World is the target's: metres, Z up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from . import ik, quat
from .anatomy import Joints, Performance
from .contacts import ContactOptions, close_gaps, drop_short, find_contacts, hysteresis, runs, velocity
from .hands import KNUCKLES
from .humanoid import JointMap
from .legs import SIDES
from .quat import Array
from .smooth import ease, envelope

_UP = 2
_ADULT_ARM = 0.55  # metres, shoulder to wrist
_PALM = 0.5  # of the way from the wrist to the knuckles
_HAND = 0.35  # of the forearm: how far the knuckles are from the wrist where nothing shows them
# Parts of the body by their ends, and how far off the line between these (metres, of an adult) a palm is that touches them.
_PARTS = (
    ("hips", "chest", 0.2),
    ("chest", "head", 0.15),
    ("head", "crown", 0.15),
    ("l_hip", "l_knee", 0.13),
    ("r_hip", "r_knee", 0.13),
    ("l_knee", "l_ankle", 0.1),
    ("r_knee", "r_ankle", 0.1),
    ("l_shoulder", "l_elbow", 0.1),
    ("r_shoulder", "r_elbow", 0.1),
    ("l_elbow", "l_wrist", 0.1),
    ("r_elbow", "r_wrist", 0.1),
)
_TOGETHER = 0.12  # the same between two palms
_CROWN = 0.9  # of the way from chest to head, on from there
_LASTS = 1.25  # a touch lasts to this multiple of the distance at which it begins …
_SLOW, _FAST = 0.3, 0.6  # … and begins and lasts at these speeds against what is touched, metres per second
_SHORTEST, _GAP = 0.15, 0.15  # seconds
_FLOOR = ContactOptions(low=0.1, slow=0.3, high=0.14, fast=0.6)
_THICK = 0.02  # metres, of an adult's hand: no palm is nearer to the floor
_BLEND = 0.12  # seconds
_HOLD = 400.0  # weight of a touch against the wish to leave the arm as it is
_LONGEST = 0.6  # of the arm's length: no hand is brought further


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """A body that moves, as far as hands can touch it."""

    points: Mapping[str, Array]  # [F, 3] the ends of its parts
    palms: Array  # [F, 2, 3]; nan: there is no such hand
    breadth: float  # between the shoulder joints
    arm: float  # upper arm and forearm

    @classmethod
    def of(cls, joints: Joints, rotations: Array, positions: Array, palms: Array) -> Hands:
        """From the world pose (rotations [F, J, 4], positions [F, J, 3]); `palms` [2, 3] are in the wrists' own axes."""
        names = {end for *ends, _ in _PARTS for end in ends}
        points = {name: positions[:, joint] for name in names if (joint := joints.get(name)) is not None}
        points["hips"], points["chest"] = (
            0.5 * (positions[:, joints[f"l_{part}"]] + positions[:, joints[f"r_{part}"]]) for part in ("hip", "shoulder")
        )
        points["crown"] = points["head"] + _CROWN * (points["head"] - points["chest"])
        at = np.full((len(positions), 2, 3), np.nan)
        for i, side in enumerate(SIDES):
            if (wrist := joints.get(f"{side}_wrist")) is not None:
                at[:, i] = positions[:, wrist] + quat.rotate(rotations[:, wrist], palms[i])
        first = positions[0]
        arms = [
            np.linalg.norm(first[joints[f"{s}_elbow"]] - first[joint])
            for s in SIDES
            for name in ("shoulder", "wrist")
            if (joint := joints.get(f"{s}_{name}")) is not None
        ]
        return cls(
            points=points,
            palms=at,
            breadth=max(float(np.linalg.norm(first[joints["l_shoulder"]] - first[joints["r_shoulder"]])), 1e-6),
            arm=2.0 * float(np.mean(arms)),
        )


def palms(joints: JointMap, points: Array, rotations: Array, tips: Array) -> Array:
    """The middle of both palms [2, 3] in the wrists' axes, from somebody at rest: joints [J, 3], rotations [J, 4], ends of limbs
    [J, 3] (nan: unknown). Nan where there is no wrist."""
    out = np.full((2, 3), np.nan)
    for i, side in enumerate(SIDES):
        if (wrist := joints.get(f"{side}_wrist")) is None:
            continue
        knuckles = [points[chain[0]] for name in KNUCKLES if (chain := joints.fingers.get(f"{side}_{name}"))]
        ahead = _HAND * (points[wrist] - points[joints[f"{side}_elbow"]])
        if knuckles:
            ahead = np.mean(knuckles, axis=0) - points[wrist]
        elif np.isfinite(tips[wrist]).all():
            ahead = quat.normalize(tips[wrist] - points[wrist]) * np.linalg.norm(ahead)
        out[i] = quat.rotate(quat.inverse(rotations[wrist]), _PALM * ahead)
    return out


def hold_hands(
    body: Performance,
    joints: Joints,
    rotations: Array,
    positions: Array,
    palm: Array,
    *,
    source_floor: float,
    floor: float | None,
) -> dict[int, Array]:
    """Joint → how far it turns in the world [F, 4] for the hands to touch what the source's touch.

    `rotations` [F, B, 4] and `positions` [F, B, 3] are the character's, `palm` [2, 3] its palms in the wrists' axes. Without a
    `floor` (metres) the floor is left out.
    """
    source = Hands.of(
        body.joints, body.rotations, body.positions, palms(body.joints, body.stance, body.stance_rotations, body.stance_tips)
    )
    target = Hands.of(joints, rotations, positions, palm)
    goal, weight = _goals(source, target, body.frame_time, source_floor=source_floor, floor=floor)
    pull = goal - target.palms
    far = quat.length(pull)[..., None] / (_LONGEST * target.arm)
    pull = ease(pull / np.maximum(far, 1.0), _HOLD * weight, body.frame_time, seconds=_BLEND)
    if floor is not None:
        lowest = floor + _THICK * target.arm / _ADULT_ARM
        pull[..., _UP] += envelope(np.maximum(lowest - (target.palms + pull)[..., _UP], 0.0), body.frame_time, seconds=_BLEND)
    turns: dict[int, Array] = {}
    for hand in _known(source, target):
        limb = [joints[f"{SIDES[hand]}_{part}"] for part in ("shoulder", "elbow", "wrist")]
        shoulder, elbow, wrist = (positions[:, joint] for joint in limb)
        back = quat.rotate(body.frame(f"{SIDES[hand]}_shoulder"), [0.0, 0.0, -1.0])  # where elbows point
        arm = ik.solve(shoulder, elbow, wrist, wrist + pull[:, hand], forward=back)
        turns |= dict(zip(limb, (arm.upper, arm.lower, np.broadcast_to(quat.IDENTITY, arm.upper.shape)), strict=True))
    return turns


def _goals(source: Hands, target: Hands, frame_time: float, *, source_floor: float, floor: float | None) -> tuple[Array, Array]:
    """Where the target's palms should be [F, 2, 3], and how surely [F, 2], from 0 to 1."""
    metre = source.arm / _ADULT_ARM
    wishes = [*_on_body(source, target, frame_time, metre), *_together(source, target, frame_time, metre)]
    if floor is not None:
        wishes += _on_floor(source, target, frame_time, metre, source_floor=source_floor, floor=floor)
    goal, weight = np.zeros_like(target.palms), np.zeros(target.palms.shape[:2])
    for hand, share, place in wishes:
        goal[:, hand] += share[:, None] * place
        weight[:, hand] += share
    goal = np.where(weight[..., None] > 0.0, goal / np.maximum(weight, 1e-9)[..., None], target.palms)
    return goal, np.minimum(weight, 1.0)


_Wish = tuple[int, Array, Array]  # a hand, how surely it touches something [F], and where its palm should be [F, 3]


def _on_body(source: Hands, target: Hands, frame_time: float, metre: float) -> Iterator[_Wish]:
    broader = target.breadth / source.breadth
    for hand in _known(source, target):
        palm = source.palms[:, hand]
        for start, end, near in _PARTS:
            if start in (f"{SIDES[hand]}_shoulder", f"{SIDES[hand]}_elbow"):
                continue  # its own arm
            if not all(name in body.points for body in (source, target) for name in (start, end)):
                continue
            a, b = source.points[start], source.points[end]
            at = _nearest(palm, a, b)
            off = palm - _on(a, b, at)
            moves = velocity(palm, frame_time) - _on(velocity(a, frame_time), velocity(b, frame_time), at)
            share = _closeness(quat.length(off), quat.length(moves), near * metre, metre, frame_time)
            yield hand, share, _on(target.points[start], target.points[end], at) + broader * off


def _together(source: Hands, target: Hands, frame_time: float, metre: float) -> Iterator[_Wish]:
    if len(_known(source, target)) < len(SIDES):
        return
    apart, moves = source.palms[:, 0] - source.palms[:, 1], velocity(source.palms, frame_time)
    share = _closeness(quat.length(apart), quat.length(moves[:, 0] - moves[:, 1]), _TOGETHER * metre, metre, frame_time)
    half = 0.5 * target.breadth / source.breadth * apart
    yield 0, share, target.palms.mean(axis=1) + half
    yield 1, share, target.palms.mean(axis=1) - half


def _on_floor(
    source: Hands, target: Hands, frame_time: float, metre: float, *, source_floor: float, floor: float
) -> Iterator[_Wish]:
    for hand in _known(source, target):
        palm, place = source.palms[:, hand : hand + 1], target.palms[:, hand].copy()
        stands = find_contacts(palm, frame_time, up=_UP, floor=source_floor, metre=metre, options=_FLOOR)[:, 0]
        for start, stop in runs(stands):
            place[start:stop] = np.median(place[start:stop], axis=0)
        place[:, _UP] = floor + target.breadth / source.breadth * (palm[:, 0, _UP] - source_floor)
        yield hand, stands.astype(np.float64), place


def _known(source: Hands, target: Hands) -> list[int]:
    """The hands that both bodies have."""
    return [hand for hand in range(len(SIDES)) if all(np.isfinite(body.palms[:, hand]).all() for body in (source, target))]


def _nearest(point: Array, start: Array, end: Array) -> Array:
    """How far along a line [F, 3] … [F, 3] the place nearest to a point is, [F], from 0 to 1."""
    way = end - start
    return np.asarray(np.clip(quat.dot(point - start, way) / np.maximum(quat.dot(way, way), 1e-12), 0.0, 1.0))


def _on(start: Array, end: Array, at: Array) -> Array:
    return np.asarray(start + at[:, None] * (end - start))


def _closeness(distance: Array, speed: Array, near: float, metre: float, frame_time: float) -> Array:
    """How surely something is touched, [F] from 0 to 1."""
    enter = (distance < near) & (speed < _SLOW * metre)
    stay = (distance < _LASTS * near) & (speed < _FAST * metre)
    touches = close_gaps(hysteresis(enter, stay), round(_GAP / frame_time))
    touches = drop_short(touches, max(2, round(_SHORTEST / frame_time)))
    return np.where(touches, np.clip(1.0 - distance / (_LASTS * near), 0.05, 1.0), 0.0)
