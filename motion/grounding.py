# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a retargeted body goes and how its feet stand: the path of the hips, the floor, feet that stand where they stand.

Takes the target's world rotations as retargeting has found them and answers with corrected ones. World is the target's: metres,
Z up. What counts as standing is read off the source, where feet stand best; lengths that mean something to a person (how far a
foot is pulled, how high a contact reaches) are those of an adult and shrink and grow with the legs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import anatomy, quat
from .anatomy import Joints, Performance
from .contacts import ContactOptions, Mask, velocity
from .footholds import LockOptions
from .footlock import find_foot_contacts, lock_feet, locked_rotations
from .legs import TIP, legs_of_stance
from .quat import Array
from .rig import Rig

_UP = 2
_ADULT_LEG = 0.8  # metres, hip to ankle
_SLOW = 0.15  # metres per second, adult: a sole's point that is slower stands, or it would have to hang in the air
_CONTACTS = ContactOptions(low=0.05, slow=0.4, high=0.08, fast=0.8)
# What was captured is kept wherever a foot need not be held: short blends, and a body that follows its standing feet at once.
_LOCK = LockOptions(blend=0.04, body_blend=0.06, lower_blend=0.03)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundOptions:
    floor: bool = True  # put the feet on the ground that the rig stands on at rest
    foot_lock: bool = True  # feet that stand in the source stand here; needs the floor
    in_place: bool = False  # keep the character at the origin


def place(
    body: Performance,
    rig: Rig,
    joints: Joints,
    rotations: Array,
    rest: Array,
    *,
    scale: float,
    options: GroundOptions,
) -> tuple[Array, Array]:
    """World rotations [F, B, 4] with legs that reach their footholds, and how far the pelvis is moved from its rest place [F, 3].

    `rotations` [F, B, 4] are those of the rig's bones in the world, `rest` [B, 4] at rest; `scale` is of the source's path.
    """
    positions = _heads(rig, rest, rotations)
    middle = 0.5 * (positions[:, joints["l_hip"]] + positions[:, joints["r_hip"]])
    shift = scale * body.middle - middle
    if options.in_place:
        shift[:, :_UP] = 0.0
    moving = _below(rig, joints["pelvis"])
    positions[:, moving] += shift[:, None]

    ground = rest_floor(rig, joints)
    legs = legs_of_stance(joints, rig.heads, rest, rig.tails, up=_UP, lowest=ground)
    contacts = source_contacts(body)
    if options.floor:
        lift = _to_floor(legs.soles(rotations, positions), contacts, ground)
        shift[:, _UP] += lift
        positions[:, moving, _UP] += lift
    if options.foot_lock and options.floor and not options.in_place:
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
    return rotations, shift


def source_contacts(body: Performance) -> Mask:
    """When heels and balls of the source stand [F, 2, 2]."""
    legs = legs_of_stance(body.joints, body.stance, body.stance_rotations, body.stance_tips, up=_UP)
    metre = legs.length / _ADULT_LEG
    soles = legs.soles(body.rotations, body.positions)[:, :, :TIP]
    return find_foot_contacts(
        legs,
        body.rotations,
        body.positions,
        body.frame_time,
        up=_UP,
        floor=_source_floor(soles, body.frame_time, metre),
        metre=metre,
        options=_CONTACTS,
    )


def _source_floor(soles: Array, frame_time: float, metre: float) -> float:
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
    lowest = float(min(rig.heads[feet, _UP].min(), rig.tails[feet, _UP].min()))
    return 0.0 if 0.0 <= lowest < 0.15 * anatomy.leg_length(rig.heads, joints) else lowest


def _heads(rig: Rig, rest: Array, rotations: Array) -> Array:
    """Where the bones begin [F, B, 3] when the roots stay where they are."""
    out = np.empty((*rotations.shape[:2], 3))
    for bone, parent in enumerate(rig.parents):
        if parent < 0:
            out[:, bone] = rig.heads[bone]
        else:
            local = quat.rotate(quat.inverse(rest[parent]), rig.heads[bone] - rig.heads[parent])
            out[:, bone] = out[:, parent] + quat.rotate(rotations[:, parent], local)
    return out


def _below(rig: Rig, top: int) -> list[int]:
    """A bone and all those that hang on it."""
    found = {top}
    for bone, parent in enumerate(rig.parents):
        if int(parent) in found:
            found.add(bone)
    return sorted(found)
