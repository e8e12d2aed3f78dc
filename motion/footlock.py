# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet that stand where they stand: planted heels and balls are held, legs follow by two-bone IK, nothing sinks into the floor.

Works on a world pose and answers with turns and a shift of the whole body, so that it serves clips and rigs alike. Feet that
are not near the floor are left alone. Lengths are in the caller's unit; `metre` is how many of these units a metre has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import ik, quat
from .contacts import ContactOptions, Mask, find_contacts, velocity
from .footholds import Footholds, LockOptions, find_footholds
from .kinematics import turned
from .legs import BALL, HEEL, TIP, Legs
from .quat import Array
from .skeleton import Ints
from .smooth import ease, envelope, not_faster

_HOLD = 40000.0  # weight of a planted point against the wish to leave the source as it is
_STIFFER = 450.0  # how much larger that weight is at least than the one of smoothness, so that trembling feet are held too
_BODY_HOLD = 60.0
_TOE_HOLD = 30.0
_TOE_SPEED = np.radians(150.0)  # a second; toes that are bent up by the floor go back no faster
_HEEL_FACING = 0.5  # cosine between the sole's normal and up, below which no heel is believed to stand
# Shares of a leg's length: stretched beyond this the pelvis comes down; in the last share a leg stretches ever more slowly.
_NEARLY_FULL, _SOFT = 0.993, 0.012
# How high people carry the lower end of a foot (metres) that moves over the floor at these speeds (metres per second).
_SPEEDS, _CLEAR = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0), (0.0, 0.012, 0.027, 0.04, 0.045, 0.05)
_LIFT = 60.0  # weight of that
_LIFTED = 0.025  # metres that one end of a foot is higher than the other: that one does not stand


@dataclass(frozen=True, slots=True, kw_only=True)
class FootLock:
    """The correction: `turns` go to the world rotations from the left, each also to what hangs below; `shift` to the root."""

    shift: Array  # [F, 3]
    turns: Array  # [F, 2, 4, 4] of hip, knee, ankle and toe joint, left and right
    contacts: Mask  # [F, 2, 2] left and right, heel and ball, as they were held


def locked_rotations(lock: FootLock, legs: Legs, parents: Ints, rotations: Array) -> Array:
    """World rotations [F, J, 4] with the correction."""
    turns = {
        int(joint): lock.turns[:, side, place]
        for side in range(2)
        for place, joint in enumerate((legs.hip[side], legs.knee[side], legs.ankle[side], legs.toe[side]))
        if joint >= 0
    }
    return turned(parents, rotations, turns)


def find_foot_contacts(
    legs: Legs,
    rotations: Array,
    positions: Array,
    frame_time: float,
    *,
    up: int,
    floor: float,
    metre: float,
    believed: Mask | None = None,
    options: ContactOptions | None = None,
    heels: ContactOptions | None = None,
) -> Mask:
    """True [F, 2, 2] where heels and balls stand in the world pose (rotations [F, J, 4], positions [F, J, 3]).

    `believed` [F, 2, 2] is where whoever made the motion says that they do: they may hover there, but not swing. `heels` are the
    options of heels, where these are not those of balls.
    """
    soles = legs.soles(rotations, positions)
    allowed = facing(legs, rotations, up=up)[..., None] > np.array([_HEEL_FACING, (options or ContactOptions()).facing])
    over = (soles[:, :, HEEL, up] - soles[:, :, BALL, up]) / metre
    allowed &= np.stack([over, -over], axis=-1) < _LIFTED
    found = [
        find_contacts(
            soles[:, :, part],
            frame_time,
            up=up,
            floor=floor,
            metre=metre,
            allowed=allowed[..., part],
            believed=None if believed is None else believed[..., part],
            options=chosen,
        )
        for part, chosen in ((HEEL, heels or options), (BALL, options))
    ]
    return np.stack(found, axis=-1)


def lock_feet(
    legs: Legs,
    rotations: Array,
    positions: Array,
    frame_time: float,
    *,
    up: int,
    floor: float,
    metre: float,
    contacts: Mask | None = None,
    options: LockOptions | None = None,
) -> FootLock:
    """Hold feet while they stand, from the world pose (rotations [F, J, 4], positions [F, J, 3]).

    `contacts` [F, 2, 2] (side, heel and ball) says when they stand; by default it is found. `floor` is its height on axis `up`.
    """
    options = options or LockOptions()
    frames = len(rotations)
    soles = legs.soles(rotations, positions)
    if contacts is None:
        contacts = find_foot_contacts(
            legs, rotations, positions, frame_time, up=up, floor=floor, metre=metre, options=options.contacts
        )
    shift = np.zeros((frames, 3))
    shift[:, up] = _body_height(soles, contacts, frame_time, up=up, floor=floor, options=options)
    if options.carry > 0.0:
        shift += _carried(soles, contacts, frame_time, up=up, options=options)
    # The ball of a foot whose toes lie flat: what it rolls over when the heel lifts.
    ankle_r = rotations[:, legs.ankle]
    roll = quat.IDENTITY
    if options.roll > 0.0:
        heights = positions[:, legs.ankle, up] + shift[:, None, up] - floor
        roll = _roll(legs, rotations, ankle_r, heights, contacts, frame_time, up=up, options=options)
        ankle_r = quat.mul(roll, ankle_r)
    hinge = quat.rotate(ankle_r, legs.hinge)
    ball = positions[:, legs.ankle] + shift[:, None] + hinge
    ball[..., up] -= legs.rise
    heel_of = _heel_of(legs, ankle_r, up=up)
    soles = np.stack([ball + heel_of, ball], axis=2)

    plan = find_footholds(soles, contacts, legs, frame_time, up=up, floor=floor, metre=metre, options=options)
    held = np.stack([plan.flat | plan.on_heel, plan.on_ball], axis=-1)
    # First how the foot is turned, so that heel and ball can both stand, then where it is.
    sole = quat.rotate(ankle_r, legs.heel - legs.flat_ball)
    turned = sole + ease(plan.sole - sole, _weight(plan.flat, _hold(frame_time, options)), frame_time, seconds=options.turn_blend)
    heel_of = _heel_of(legs, quat.mul(quat.between(sole, turned), ankle_r), up=up)
    faces = facing(legs, rotations, up=up)
    pull = _pull(plan, ball, heel_of, faces, frame_time, up=up, floor=floor, metre=metre, options=options)
    ball = ball + pull
    # What would still sink: a heel over a standing ball comes up with the ankle, everything else with the whole foot.
    tilt = np.where(plan.on_ball, np.maximum(floor - ball[..., up] - heel_of[..., up], 0.0), 0.0)
    turned[..., up] += envelope(tilt, frame_time, seconds=0.1)
    foot_turn = quat.between(sole, turned)
    ankle_r = quat.mul(foot_turn, ankle_r)
    foot_turn = quat.mul(foot_turn, roll)
    heel_of = _heel_of(legs, ankle_r, up=up)
    lowest = np.minimum(ball[..., up], ball[..., up] + heel_of[..., up])
    ball[..., up] += envelope(np.maximum(floor - lowest, 0.0), frame_time, seconds=0.1)
    sunk = _under_toes(legs, rotations, foot_turn, ankle_r, ball, up=up, floor=floor, options=options)
    ball[..., up] += envelope(np.where(plan.on_ball, 0.0, sunk), frame_time, seconds=0.1)
    ankle = ball - quat.rotate(ankle_r, legs.hinge)
    ankle[..., up] += legs.rise

    hip, knee, old = (positions[:, joint] + shift[:, None] for joint in (legs.hip, legs.knee, legs.ankle))
    lower = _lowering(hip, knee, old, ankle, held[..., HEEL] | held[..., BALL], up=up, most=options.lowest * metre)
    drop = np.zeros((frames, 1, 3))
    drop[:, 0, up] = envelope(lower, frame_time, seconds=options.lower_blend)
    forward = quat.rotate(rotations[:, legs.hip], legs.forward)
    leg = ik.solve(hip - drop, knee - drop, old - drop, ankle, forward=forward, soft=_SOFT)
    toe_turn = _toes(
        legs,
        rotations,
        positions,
        foot_turn,
        ankle_r,
        leg.end,
        held[..., BALL],
        frame_time,
        up=up,
        floor=floor,
        options=options,
    )
    return FootLock(
        shift=shift - drop[:, 0],
        turns=np.stack([leg.upper, leg.lower, foot_turn, toe_turn], axis=2),
        contacts=held,
    )


def _heel_of(legs: Legs, ankle_r: Array, *, up: int) -> Array:
    """From the ball under flat toes to the heel [F, 2, 3] of feet with these world rotations [F, 2, 4]."""
    out = quat.rotate(ankle_r, legs.heel - legs.hinge)
    out[..., up] += legs.rise
    return out


def _roll(
    legs: Legs,
    rotations: Array,
    ankle_r: Array,
    heights: Array,
    contacts: Mask,
    frame_time: float,
    *,
    up: int,
    options: LockOptions,
) -> Array:
    """Turns [F, 2, 4] of feet that stand on their balls or their heels alone, about these, so that the ankles are at their own
    `heights` [F, 2] above the floor: a foot longer or shorter than the one that was captured would bend or stretch the leg
    instead. One that swings is turned up where it would go through the floor."""
    sole = quat.rotate(ankle_r, legs.flat_ball - legs.heel)
    axis = _hinge(legs, ankle_r)
    flat = -np.arcsin(np.clip(quat.normalize(sole)[..., up], -1.0, 1.0))  # no further than the whole sole on the floor
    level = quat.mul(quat.from_axis_angle(axis, flat), ankle_r)
    over_ball, over_heel = (
        flat + _angle_to_height(-quat.rotate(level, point), axis, heights - rise, up=up)
        for point, rise in ((legs.hinge, legs.rise), (legs.heel, 0.0))
    )
    over_ball = np.clip(np.minimum(over_ball, np.maximum(flat, 0.0)), -options.roll, options.roll)
    over_heel = np.clip(over_heel, np.maximum(np.minimum(flat, 0.0), -options.roll), 0.0)
    dips = np.where(contacts.any(axis=-1), 0.0, _dip(legs, rotations, ankle_r, axis, heights, up=up, options=options))
    angle = np.where(dips > 0.0, dips, np.where(contacts[..., BALL], over_ball, over_heel))
    asked = (contacts[..., BALL] ^ contacts[..., HEEL]) | (dips > 0.0)
    angle = ease(angle[..., None], _weight(asked, _TOE_HOLD), frame_time, seconds=options.turn_blend)[..., 0]
    return quat.from_axis_angle(axis, angle)


def _dip(legs: Legs, rotations: Array, ankle_r: Array, axis: Array, heights: Array, *, up: int, options: LockOptions) -> Array:
    """By how much feet must be turned up [F, 2] for neither balls nor toes, bent up as far as they go, to be in the floor."""
    hinge = quat.rotate(ankle_r, legs.hinge)
    if (legs.toe >= 0).all():
        bend = quat.from_axis_angle(axis, np.full(heights.shape, options.toe_bend))
        tip = hinge + quat.rotate(quat.mul(bend, rotations[:, legs.toe]), legs.tip)
    else:
        tip = quat.rotate(ankle_r, legs.tip)
    ends = np.stack([hinge, tip], axis=-2)
    least = np.stack([legs.rise - heights, -heights], axis=-1)
    angle = _angle_to_height(ends, axis[..., None, :], least, up=up, backwards=False)
    return np.asarray(np.clip(np.where(ends[..., up] < least, angle, 0.0).max(axis=-1), 0.0, options.roll))


def _under_toes(
    legs: Legs, rotations: Array, foot_turn: Array, ankle_r: Array, ball: Array, *, up: int, floor: float, options: LockOptions
) -> Array:
    """How deep the tips of toes would be in the floor [F, 2], bent up as far as they go."""
    if (legs.toe < 0).any():
        return np.zeros(ball.shape[:2])
    tip, axis = quat.rotate(quat.mul(foot_turn, rotations[:, legs.toe]), legs.tip), _hinge(legs, ankle_r)
    height = ball[..., up] + legs.rise - floor
    bend = np.clip(_angle_to_height(tip, axis, -height, up=up), 0.0, options.toe_bend)
    return np.asarray(np.maximum(-height - quat.rotate(quat.from_axis_angle(axis, bend), tip)[..., up], 0.0))


def _hinge(legs: Legs, ankle_r: Array) -> Array:
    """The axes [F, 2, 3] across the feet, about which positive angles turn the toes up. They are the foot's own: level ones would
    turn round with a foot that points straight down."""
    return quat.rotate(ankle_r, quat.normalize(np.cross(legs.flat_ball - legs.heel, legs.upward)))


def _angle_to_height(v: Array, axis: Array, height: Array, *, up: int, backwards: bool = True) -> Array:
    """By how much [...] vectors [..., 3] must turn about axes, at least, so that their ends are at `height` [...]; as near as
    their length allows. Not `backwards`: by a positive angle, for vectors whose ends are below."""
    stays = np.sum(v * axis, axis=-1) * axis[..., up]
    a, b = v[..., up] - stays, np.cross(axis, v)[..., up]
    reach, phase = np.hypot(a, b), np.arctan2(b, a)
    spread = np.arccos(np.clip((height - stays) / np.maximum(reach, 1e-9), -1.0, 1.0))
    if not backwards:
        return np.asarray((phase - spread) % (2.0 * np.pi))
    angles = np.stack([phase + spread, phase - spread], axis=-1)
    angles = (angles + np.pi) % (2.0 * np.pi) - np.pi
    nearest = np.argmin(np.abs(angles), axis=-1)
    return np.asarray(np.take_along_axis(angles, nearest[..., None], axis=-1)[..., 0])


def facing(legs: Legs, rotations: Array, *, up: int) -> Array:
    """How much a sole faces the floor [F, 2]: the cosine between its normal and up."""
    return np.asarray(quat.rotate(rotations[:, legs.ankle], legs.upward)[..., up])


def _pull(
    plan: Footholds,
    ball: Array,
    heel_of: Array,
    faces: Array,
    frame_time: float,
    *,
    up: int,
    floor: float,
    metre: float,
    options: LockOptions,
) -> Array:
    """How far the balls [F, 2, 3] of the feet are moved: to where they stand; over the floor as little as can be while they are
    close to it; and up while they swing too low."""
    goal = np.where(plan.on_ball[..., None], plan.ball, plan.heel - heel_of) - ball
    held = plan.on_ball | plan.on_heel
    hold = _hold(frame_time, options)
    weight = _weight(held, hold)
    pull = np.zeros_like(ball)
    level = [axis for axis in range(3) if axis != up]
    near_floor = faces > options.contacts.facing
    heights = np.stack([heel_of[..., up] + ball[..., up], ball[..., up]], axis=-1) - floor
    lift = np.zeros_like(faces)
    for _ in range(2):
        points = np.stack([ball + pull + heel_of, ball + pull], axis=2)
        speed = np.linalg.norm(velocity(points[..., level], frame_time), axis=-1) / metre
        need = options.clearance * metre * np.interp(speed, _SPEEDS, _CLEAR) - heights
        lift = np.where(held | ~near_floor, 0.0, np.maximum(need.max(axis=-1), 0.0))
        low = (heights + lift[..., None]) / (metre * options.near)
        drag = (options.drag / frame_time) ** 2 * np.exp(-(np.maximum(low, 0.0) ** 2)) * near_floor[..., None]
        drag = np.minimum(drag[1:], drag[:-1])
        way = np.diff(np.stack([ball + heel_of, ball], axis=2)[..., level], axis=0)
        total = drag.sum(axis=-1)
        step = -(drag[..., None] * way).sum(axis=2) / np.maximum(total, 1e-9)[..., None]
        pull[..., level] = ease(goal[..., level], weight, frame_time, seconds=options.blend, step=step, drag=total)
    up_goal = np.where(held, goal[..., up], lift)
    up_weight = np.where(held, hold, np.where(lift > 0.0, _LIFT, 0.0))
    pull[..., up] = ease(up_goal[..., None], up_weight, frame_time, seconds=options.blend)[..., 0]
    return pull


def _hold(frame_time: float, options: LockOptions) -> float:
    """The weight of a planted point: at many frames a second smoothness counts for more, per frame."""
    return max(_HOLD, _STIFFER * (options.blend / frame_time) ** 6)


def _weight(mask: Mask, size: float) -> Array:
    return np.where(mask, size, 0.0)


def _body_height(soles: Array, contacts: Mask, frame_time: float, *, up: int, floor: float, options: LockOptions) -> Array:
    """How far to move the body up [F], slowly, so that standing feet are at the floor's height on the average."""
    count = contacts.sum(axis=(1, 2))
    need = np.where(contacts, floor - soles[:, :, :TIP, up], 0.0).sum(axis=(1, 2)) / np.maximum(count, 1)
    weight = _weight(count > 0, _BODY_HOLD)
    return ease(need[:, None, None], weight[:, None], frame_time, seconds=options.body_blend)[:, 0, 0]


def _carried(soles: Array, contacts: Mask, frame_time: float, *, up: int, options: LockOptions) -> Array:
    """How far to move the body over ground [F, 3], so that it goes as its standing feet say, and not far from where it was."""
    both = contacts[1:] & contacts[:-1]
    drag = (options.carry / frame_time) ** 2 * both.reshape(len(both), 4)
    way = np.diff(soles[:, :, :TIP].reshape(len(soles), 4, 3), axis=0)
    way[..., up] = 0.0
    total = drag.sum(axis=1)
    step = -(drag[..., None] * way).sum(axis=1) / np.maximum(total, 1e-9)[:, None]
    zero = np.zeros((len(soles), 1, 3))
    return ease(zero, zero[..., 0], frame_time, seconds=options.carry_blend, step=step[:, None], drag=total[:, None])[:, 0]


def _lowering(hip: Array, knee: Array, old: Array, ankle: Array, standing: Mask, *, up: int, most: float) -> Array:
    """How far the pelvis must go down [F] for standing feet to be reached, at most `most`."""
    full = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(old - knee, axis=-1)
    reach = np.minimum(np.maximum(np.linalg.norm(old - hip, axis=-1), _NEARLY_FULL * full), ik.FULL * full)
    way = ankle - hip
    level2 = np.sum(way**2, axis=-1) - way[..., up] ** 2
    need = -way[..., up] - np.sqrt(np.maximum(reach**2 - level2, 0.0))
    return np.asarray(np.clip(np.where(standing, need, 0.0).max(axis=1), 0.0, most))


def _toes(
    legs: Legs,
    rotations: Array,
    positions: Array,
    foot_turn: Array,
    ankle_r: Array,
    ankle: Array,
    on_ball: Mask,
    frame_time: float,
    *,
    up: int,
    floor: float,
    options: LockOptions,
) -> Array:
    """Turns [F, 2, 4] of the toes: flat on the floor while the ball stands and the heel lifts, never below it."""
    if (legs.toe < 0).any():
        return foot_turn
    turned = quat.mul(foot_turn, rotations[:, legs.toe])
    tip = quat.rotate(turned, legs.tip)
    joint = ankle + quat.rotate(foot_turn, positions[:, legs.toe] - positions[:, legs.ankle])
    axis = _hinge(legs, ankle_r)
    to_floor = _angle_to_height(tip, axis, floor - joint[..., up], up=up)
    facing = np.clip((quat.rotate(ankle_r, legs.upward)[..., up] - options.contacts.facing) / 0.2 + 1.0, 0.0, 1.0)
    hold = ease(np.ones((*to_floor.shape, 1)), _weight(on_ball, _TOE_HOLD), frame_time, seconds=0.5 * options.blend)[..., 0]
    sunk = np.where(joint[..., up] + tip[..., up] < floor, np.maximum(to_floor, 0.0), 0.0)
    angle = np.maximum(np.clip(hold, 0.0, 1.0) * facing * to_floor, sunk)
    angle = np.clip(not_faster(angle, _TOE_SPEED * frame_time), -options.toe_bend, options.toe_bend)
    return quat.mul(quat.from_axis_angle(axis, angle), foot_turn)
