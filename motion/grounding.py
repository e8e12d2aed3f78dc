# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a retargeted body goes and how its feet stand: the path of the hips, the floor, feet that stand where they stand.

Takes the target's world rotations as retargeting has found them and answers with corrected ones. World is the target's: metres,
Z up. What counts as standing is read off the source, where feet stand best; lengths that mean something to a person (how far a
foot is pulled, how high a contact reaches) are those of an adult and shrink and grow with the legs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from . import anatomy, quat
from .anatomy import Joints, Performance
from .contacts import ContactOptions, Mask, velocity
from .errors import MotionError
from .footholds import LockOptions, split_contacts
from .footlock import find_foot_contacts, lock_feet, locked_rotations
from .kinematics import by_joint, turned
from .legs import TIP, Legs, legs_of_stance, rigid
from .quat import Array
from .rig import Rig
from .smooth import low_pass
from .touch import hold_hands
from .travel import Travel

_UP = 2
_ADULT_LEG = 0.8  # metres, hip to ankle
_SLOW = 0.15  # metres per second, adult: a sole's point that is slower stands, or it would have to hang in the air
_LEAST_POINTS = 4  # of a sole
_LEAST_FOOT, _LONGEST_FOOT = 0.08, 1.5  # in leg lengths: ahead of the ankle, and in all; else the skin is not the armature's
_PATH_CUTOFF = 0.5  # Hz: what of the hips' way is the path, and what is sway
# Captured feet twitch from one place to the next, which no gap bridges.
_CONTACTS = ContactOptions(low=0.05, slow=0.4, high=0.08, fast=0.8, facing=-0.3, step=0.04)
_HEELS = replace(_CONTACTS, low=0.03, high=0.04, rise=0.2)  # a heel that begins to lift is let go: the foot rolls over its ball
# What was captured is kept wherever a foot need not be held: short blends, and a body that follows its standing feet at once.
# How long a foot stands at one place the source has shown, however far other proportions make it slide.
_LOCK = LockOptions(
    blend=0.04,
    body_blend=0.1,
    lower_blend=0.03,
    roll=np.radians(40.0),
    contacts=_CONTACTS,
    wander=np.inf,
    longest_pull=np.inf,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundOptions:
    floor: bool = True  # put the feet on the ground that the rig stands on at rest
    foot_lock: bool = True  # feet that stand in the source stand here; needs the floor
    hand_contacts: bool = False  # hands that touch the floor, the body or each other in the source do so here
    travel: Travel = Travel.HIPS
    start: tuple[float, float] | None = None  # metres: where the hips are in the first frame; None: as in the clip
    heading: float | None = None  # radians about Z, 0 along -Y: where the body looks in the first frame; None: as in the clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A body with its feet on the ground: world rotations [F, B, 4] and how far bones are moved from where they would be."""

    rotations: Array
    moves: Mapping[int, Array]  # bone, the pelvis first → [F, 3] in the world, against a bone that only follows its parent


def headed(body: Performance, options: GroundOptions) -> Performance:
    """The source turned so that it begins in the direction that is asked for."""
    if options.heading is None:
        return body
    turn = quat.from_axis_angle(np.array([0.0, 0.0, 1.0]), options.heading - heading(body.frame("pelvis"))[0])
    return replace(
        body,
        rotations=quat.mul(turn, body.rotations),
        positions=quat.rotate(turn, body.positions),
        middle=quat.rotate(turn, body.middle),
    )


def place(
    body: Performance,
    rig: Rig,
    joints: Joints,
    rotations: Array,
    rest: Array,
    *,
    scale: float,
    root: int,
    palms: Array,
    options: GroundOptions,
) -> Placed:
    """Put the hips over the source's path and the feet on the floor.

    `rotations` [F, B, 4] are those of the rig's bones in the world, `rest` [B, 4] at rest; `scale` is of the source's path,
    `root` the bone above the pelvis that can carry it (-1: there is none), `palms` [2, 3] are in the wrists' axes. Raises
    `MotionError("no_root_bone")`.
    """
    positions = _heads(rig, rest, rotations)
    middle = 0.5 * (positions[:, joints["l_hip"]] + positions[:, joints["r_hip"]])
    path = scale * body.middle
    if options.start is not None:
        path[:, :_UP] += np.asarray(options.start) - path[0, :_UP]
    shift = path - middle
    pelvis = joints["pelvis"]
    moving = _below(rig, pelvis)
    positions[:, moving] += shift[:, None]

    ground = rest_floor(rig, joints)
    if options.floor:
        legs = rigid(legs_of_stance(joints, rig.heads, rest, rig.tails, up=_UP, lowest=ground, soles=_soles(rig, joints, ground)))
        contacts = source_contacts(body)
        lift = _to_floor(legs.soles(rotations, positions), contacts, ground)
        shift[:, _UP] += lift
        positions[:, moving, _UP] += lift
        if options.foot_lock:
            lock = lock_feet(
                legs,
                rotations,
                positions,
                body.frame_time,
                up=_UP,
                floor=ground,
                metre=legs.length / _ADULT_LEG,
                contacts=contacts,
                options=_LOCK,
            )
            rotations = locked_rotations(lock, legs, rig.parents, rotations)
            shift = shift + lock.shift
    if options.hand_contacts:
        heads = _heads(rig, rest, rotations, {pelvis: shift})
        floor = ground if options.floor else None
        turns = hold_hands(body, joints, rotations, heads, palms, source_floor=source_floor(body), floor=floor)
        rotations = turned(rig.parents, rotations, turns)
    if options.travel is Travel.HIPS:
        return Placed(rotations=rotations, moves={pelvis: shift})
    over = low_pass(path[:, :_UP], body.frame_time, _PATH_CUTOFF)
    if options.travel is Travel.IN_PLACE:
        shift[:, :_UP] -= over - (over[0] if options.start is not None else 0.0)
        return Placed(rotations=rotations, moves={pelvis: shift})
    return _on_root(body, rig, joints, rotations, rest, root, shift, over)


def _on_root(
    body: Performance, rig: Rig, joints: Joints, rotations: Array, rest: Array, root: int, shift: Array, over: Array
) -> Placed:
    """The path `over` the ground [F, 2] and the heading on the bone `root`, the rest of the hips' way `shift` on the pelvis."""
    if root < 0:
        raise MotionError(
            "no_root_bone",
            "The character has no bone above its pelvis that could carry the path. "
            "Add a root bone on the ground, or leave the path on the hips.",
        )
    hips = 0.5 * (rig.heads[joints["l_hip"]] + rig.heads[joints["r_hip"]])
    across = rig.heads[joints["l_hip"]] - rig.heads[joints["r_hip"]]
    looks = np.unwrap(heading(body.frame("pelvis"))) - np.arctan2(across[1], across[0])
    turn = quat.from_axis_angle(np.array([0.0, 0.0, 1.0]), low_pass(looks, body.frame_time, _PATH_CUTOFF))
    to_root = rig.heads[root] - hips
    to_root[_UP] = 0.0
    place = quat.rotate(turn, to_root)
    place[:, :_UP] += over
    place[:, _UP] += rig.heads[root, _UP]
    rotations = rotations.copy(order="K")
    was = _heads(rig, rest, rotations)[:, joints["pelvis"]] + shift
    above = _above(rig, joints["pelvis"])
    for bone in above[above.index(root) :]:  # those between root and pelvis go along with the root
        rotations[:, bone] = quat.mul(turn, rest[bone])
    moved = place - rig.heads[root]
    now = _heads(rig, rest, rotations, {root: moved})[:, joints["pelvis"]]
    return Placed(rotations=rotations, moves={joints["pelvis"]: was - now, root: moved})


def heading(frames: Array) -> Array:
    """Where bodies look [...], radians about Z from -Y, of frames [..., 4] of their pelvis; of who lies, across the hips too."""
    left = quat.rotate(frames, [1.0, 0.0, 0.0])
    return np.asarray(np.arctan2(left[..., 1], left[..., 0]))


def source_contacts(body: Performance) -> Mask:
    """When heels and balls of the source stand [F, 2, 2]."""
    legs, metre, soles = _source_soles(body)
    found = find_foot_contacts(
        legs,
        body.rotations,
        body.positions,
        body.frame_time,
        up=_UP,
        floor=_floor_under(soles, body.frame_time, metre),
        metre=metre,
        options=_CONTACTS,
        heels=_HEELS,
    )
    return split_contacts(soles, found, body.frame_time, up=_UP, metre=metre, options=LockOptions())


def source_floor(body: Performance) -> float:
    """The height of the floor that the source stands on."""
    _, metre, soles = _source_soles(body)
    return _floor_under(soles, body.frame_time, metre)


def _source_soles(body: Performance) -> tuple[Legs, float, Array]:
    """The source's legs, how many of its units a metre of an adult has, and heels and balls [F, 2, 2, 3]."""
    legs = legs_of_stance(body.joints, body.stance, body.stance_rotations, body.stance_tips, up=_UP)
    return legs, legs.length / _ADULT_LEG, legs.soles(body.rotations, body.positions)[:, :, :TIP]


def _floor_under(soles: Array, frame_time: float, metre: float) -> float:
    """The height at which the points [F, 2, 2, 3] of soles stand, when they do; else the lowest one, but for outliers."""
    heights = soles[..., _UP]
    slow = np.linalg.norm(velocity(soles, frame_time), axis=-1) < _SLOW * metre
    low = heights < np.percentile(heights.min(axis=(1, 2)), 20) + 0.1 * metre
    standing = heights[slow & low]
    return float(np.median(standing) if len(standing) else np.percentile(heights.min(axis=(1, 2)), 10))


def _to_floor(soles: Array, contacts: Mask, ground: float) -> float:
    """How far to lift the whole clip so that feet stand on the ground; where none ever does, so that the lowest ones touch it."""
    standing = soles[:, :, :TIP, _UP][contacts]
    if len(standing):
        return ground - float(np.median(standing))
    return ground - float(np.percentile(soles[..., _UP].min(axis=(1, 2)), 10))


def rest_floor(rig: Rig, joints: Joints) -> float:
    """Height of the ground the rig stands on at rest: z = 0 when its feet are near it, else the lowest end of a foot bone."""
    feet = [j for name in ("l_ankle", "r_ankle", "l_foot", "r_foot") if (j := joints.get(name)) is not None]
    lowest = float(np.nanmin([rig.heads[feet, _UP], rig.tails[feet, _UP]]))
    return 0.0 if 0.0 <= lowest < 0.15 * anatomy.leg_length(rig.heads, joints) else lowest


def _soles(rig: Rig, joints: Joints, ground: float) -> Array:
    """The rear and front ends of both soles [2, 2, 3] as the skin has them at rest; nan where it does not show them."""
    out = np.full((2, 2, 3), np.nan)
    across = rig.heads[joints["l_hip"]] - rig.heads[joints["r_hip"]]
    ahead, leg = quat.normalize(np.cross(across, [0.0, 0.0, 1.0])), anatomy.leg_length(rig.heads, joints)
    for i, side in enumerate("lr"):
        foot = _below(rig, joints[f"{side}_ankle"])
        points = rig.ground[np.isin(rig.ground_bones, foot)]
        if len(points) < _LEAST_POINTS:
            continue
        way = (points - rig.heads[joints[f"{side}_ankle"]]) @ ahead
        if way.max() > _LEAST_FOOT * leg and way.min() > -_LONGEST_FOOT * leg and np.ptp(way) < _LONGEST_FOOT * leg:
            out[i] = points[[int(np.argmin(way)), int(np.argmax(way))]]
    out[..., _UP] = ground
    return out


def _heads(rig: Rig, rest: Array, rotations: Array, moves: Mapping[int, Array] | None = None) -> Array:
    """Where the bones begin [F, B, 3] when those in `moves` are moved and all others follow their parents."""
    out = by_joint(len(rotations), len(rig.names), 3)
    for bone, parent in enumerate(rig.parents):
        if parent < 0:
            out[:, bone] = rig.heads[bone]
        else:
            local = quat.rotate(quat.inverse(rest[parent]), rig.heads[bone] - rig.heads[parent])
            out[:, bone] = out[:, parent] + quat.rotate(rotations[:, parent], local)
        if moves and bone in moves:
            out[:, bone] += moves[bone]
    return out


def _above(rig: Rig, bone: int) -> list[int]:
    """The bones that a bone hangs on, from the top."""
    out: list[int] = []
    while (bone := int(rig.parents[bone])) >= 0:
        out.append(bone)
    return out[::-1]


def _below(rig: Rig, top: int) -> list[int]:
    """A bone and all those that hang on it."""
    found = {top}
    for bone, parent in enumerate(rig.parents):
        if int(parent) in found:
            found.add(bone)
    return sorted(found)
