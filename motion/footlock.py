# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet that stand where they stand: planted heels and balls are held, legs follow by two-bone IK, nothing sinks into the floor.

Works on a world pose and answers with turns and a shift of the whole body, so that it serves clips and rigs alike. Feet that
are not near the floor are left alone. Lengths are in the caller's unit; `metre` is how many of these units a metre has.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import ik, quat
from .contacts import ContactOptions, Mask, find_contacts, runs, velocity
from .legs import BALL, HEEL, TIP, Legs
from .quat import Array
from .skeleton import Ints
from .smooth import ease, envelope

_HOLD = 40000.0  # weight of a planted point against the wish to leave the source as it is
_BODY_HOLD = 60.0
_TOE_HOLD = 30.0
_BALL_FACING, _HEEL_FACING = 0.2, 0.5  # cosine between the sole's normal and up, below which no contact is believed
_RESTEP = 0.5  # metres per second at which a foot that wanders too far goes on to its next place
# Shares of a leg's length: stretched beyond this the pelvis comes down; in the last share a leg stretches ever more slowly.
_NEARLY_FULL, _SOFT = 0.993, 0.012
# How high people carry the lower end of a foot (metres) that moves over the floor at these speeds (metres per second).
_SPEEDS, _CLEAR = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0), (0.0, 0.012, 0.027, 0.04, 0.045, 0.05)
_LIFT = 60.0  # weight of that
_LIFTED = 0.025  # metres that one end of a foot is higher than the other: that one does not stand


@dataclass(frozen=True, slots=True, kw_only=True)
class LockOptions:
    """How feet are held. Lengths in metres, times in seconds."""

    blend: float = 0.07  # time constant of the blends; a blend is over after about three times this
    body_blend: float = 0.25  # the same for the body's height
    wander: float = 0.1  # a foot that stands moves no further than this about its place; beyond it is a new place
    longest_pull: float = 0.15  # how far a foot is pulled at most; a contact that needs more is let go
    lowest: float = 0.08  # how far the pelvis goes down at most for a foot out of reach
    toe_bend: float = np.radians(65.0)
    carry: float = 0.0  # how much a body is made to go as its standing feet say, against being left where it is; 0: not at all
    carry_blend: float = 0.15
    clearance: float = 0.0  # how high a swinging foot is lifted, against people's usual; 0: not at all
    drag: float = 0.0  # how much a foot close to the floor is kept from moving over it, against being left as it is
    near: float = 0.015  # what is close
    contacts: ContactOptions = field(default_factory=ContactOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class FootLock:
    """The correction: `turns` go to the world rotations from the left, each also to what hangs below; `shift` to the root."""

    shift: Array  # [F, 3]
    turns: Array  # [F, 2, 4, 4] of hip, knee, ankle and toe joint, left and right
    contacts: Mask  # [F, 2, 2] left and right, heel and ball, as they were held


def locked_rotations(lock: FootLock, legs: Legs, parents: Ints, rotations: Array) -> Array:
    """World rotations [F, J, 4] with the correction: every joint turns with the nearest corrected one at or above it."""
    turns = {
        int(joint): lock.turns[:, side, place]
        for side in range(2)
        for place, joint in enumerate((legs.hip[side], legs.knee[side], legs.ankle[side], legs.toe[side]))
        if joint >= 0
    }
    out = rotations.copy()
    for joint, parent in enumerate(parents):
        turn = turns.get(joint, turns.get(int(parent)))
        if turn is not None:
            turns[joint] = turn
            out[:, joint] = quat.mul(turn, rotations[:, joint])
    return out


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
) -> Mask:
    """True [F, 2, 2] where heels and balls stand in the world pose (rotations [F, J, 4], positions [F, J, 3]).

    `believed` [F, 2, 2] is where whoever made the motion says that they do: they may hover there, but not swing.
    """
    soles = legs.soles(rotations, positions)
    allowed = facing(legs, rotations, up=up)[..., None] > np.array([_HEEL_FACING, _BALL_FACING])
    over = (soles[:, :, HEEL, up] - soles[:, :, BALL, up]) / metre
    allowed &= np.stack([over, -over], axis=-1) < _LIFTED
    found = find_contacts(
        soles[:, :, :TIP].reshape(len(soles), 4, 3),
        frame_time,
        up=up,
        floor=floor,
        metre=metre,
        allowed=allowed.reshape(-1, 4),
        believed=None if believed is None else believed.reshape(-1, 4),
        options=options,
    )
    return found.reshape(-1, 2, 2)


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
    hinge = quat.rotate(ankle_r, legs.hinge)
    ball = positions[:, legs.ankle] + shift[:, None] + hinge
    ball[..., up] -= legs.rise
    heel_of = quat.rotate(ankle_r, legs.heel) - hinge  # from the hinge
    heel_of[..., up] += legs.rise
    soles = np.stack([ball + heel_of, ball], axis=2)

    plan = _plan(soles, contacts, legs, frame_time, up=up, floor=floor, metre=metre, options=options)
    held = np.stack([plan.flat | plan.on_heel, plan.on_ball], axis=-1)
    # First how the foot is turned, so that heel and ball can both stand, then where it is.
    sole = quat.rotate(ankle_r, legs.heel - legs.flat_ball)
    turned = sole + ease(plan.sole - sole, _weight(plan.flat), frame_time, seconds=options.blend)
    heel_of = _heel_of(legs, ankle_r, quat.between(sole, turned), up=up)
    pull = _pull(plan, ball, heel_of, facing(legs, rotations, up=up), frame_time, up=up, floor=floor, metre=metre, options=options)
    ball = ball + pull
    # What would still sink: a heel over a standing ball comes up with the ankle, everything else with the whole foot.
    tilt = np.where(plan.on_ball, np.maximum(floor - ball[..., up] - heel_of[..., up], 0.0), 0.0)
    turned[..., up] += envelope(tilt, frame_time, seconds=0.1)
    foot_turn = quat.between(sole, turned)
    heel_of = _heel_of(legs, ankle_r, foot_turn, up=up)
    lowest = np.minimum(ball[..., up], ball[..., up] + heel_of[..., up])
    ball[..., up] += envelope(np.maximum(floor - lowest, 0.0), frame_time, seconds=0.1)
    ankle_r = quat.mul(foot_turn, ankle_r)
    ankle = ball - quat.rotate(ankle_r, legs.hinge)
    ankle[..., up] += legs.rise

    hip, knee, old = (positions[:, joint] + shift[:, None] for joint in (legs.hip, legs.knee, legs.ankle))
    lower = _lowering(hip, knee, old, ankle, held[..., HEEL] | held[..., BALL], up=up, most=options.lowest * metre)
    drop = np.zeros((frames, 1, 3))
    drop[:, 0, up] = envelope(lower, frame_time, seconds=0.15)
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


def _heel_of(legs: Legs, ankle_r: Array, turn: Array, *, up: int) -> Array:
    """From the ball under flat toes to the heel [F, 2, 3] of feet that are turned by `turn` [F, 2, 4]."""
    out = quat.rotate(quat.mul(turn, ankle_r), legs.heel - legs.hinge)
    out[..., up] += legs.rise
    return out


def facing(legs: Legs, rotations: Array, *, up: int) -> Array:
    """How much a sole faces the floor [F, 2]: the cosine between its normal and up."""
    return np.asarray(quat.rotate(rotations[:, legs.ankle], legs.upward)[..., up])


def _pull(
    plan: _Plan,
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
    weight = _weight(held)
    pull = np.zeros_like(ball)
    level = [axis for axis in range(3) if axis != up]
    near_floor = faces > _BALL_FACING
    heights = np.stack([heel_of[..., up] + ball[..., up], ball[..., up]], axis=-1) - floor
    lift = np.zeros_like(faces)
    for _ in range(2):
        points = np.stack([ball + pull + heel_of, ball + pull], axis=2)
        speed = np.linalg.norm(velocity(points[..., level], frame_time), axis=-1) / metre
        need = options.clearance * metre * np.interp(speed, _SPEEDS, _CLEAR) - heights
        lift = np.where(held | ~near_floor, 0.0, np.maximum(need.max(axis=-1), 0.0))
        low = (heights + lift[..., None]) / (metre * options.near)
        drag = options.drag * np.exp(-np.maximum(low, 0.0) ** 2) * near_floor[..., None]
        drag = np.minimum(drag[1:], drag[:-1])
        way = np.diff(np.stack([ball + heel_of, ball], axis=2)[..., level], axis=0)
        total = drag.sum(axis=-1)
        step = -(drag[..., None] * way).sum(axis=2) / np.maximum(total, 1e-9)[..., None]
        pull[..., level] = ease(goal[..., level], weight, frame_time, seconds=options.blend, step=step, drag=total)
    up_goal = np.where(held, goal[..., up], lift)
    up_weight = np.where(held, _HOLD, np.where(lift > 0.0, _LIFT, 0.0))
    pull[..., up] = ease(up_goal[..., None], up_weight, frame_time, seconds=options.blend)[..., 0]
    return pull


def _weight(mask: Mask, size: float = _HOLD) -> Array:
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
    # A foot that stands on its ball alone rolls about that; else the heel tells as much as the ball.
    drag = options.carry * both.reshape(len(both), 4)
    way = np.diff(soles[:, :, :TIP].reshape(len(soles), 4, 3), axis=0)
    way[..., up] = 0.0
    total = drag.sum(axis=1)
    step = -(drag[..., None] * way).sum(axis=1) / np.maximum(total, 1e-9)[:, None]
    zero = np.zeros((len(soles), 1, 3))
    return ease(zero, zero[..., 0], frame_time, seconds=options.carry_blend, step=step[:, None], drag=total[:, None])[:, 0]


@dataclass(slots=True)
class _Plan:
    """Where feet stand. All [F, 2, …]; values mean nothing where the mask beside them is false."""

    on_ball: Mask
    ball: Array
    on_heel: Mask  # and not on the ball
    heel: Array
    flat: Mask  # on both
    sole: Array  # from ball to heel


def _plan(
    soles: Array, contacts: Mask, legs: Legs, frame_time: float, *, up: int, floor: float, metre: float, options: LockOptions
) -> _Plan:
    frames = len(soles)
    places = _Places(frame_time, up=up, wander=options.wander * metre, longest=options.longest_pull * metre, options=options)
    plan = _Plan(*(np.zeros((frames, 2, *shape), dtype=kind) for kind, shape in ((bool, ()), (float, (3,))) * 3))
    for side in range(2):
        heel, ball = soles[:, side, HEEL], soles[:, side, BALL]
        plan.on_ball[:, side], plan.ball[:, side] = places.of(ball, contacts[:, side, BALL])
        plan.ball[:, side, up] = floor
        on_heel, place = places.of(heel, contacts[:, side, HEEL])
        place[:, up] = floor
        flat, sole = places.of(heel - ball, on_heel & plan.on_ball[:, side])
        sole[:, up] = 0.0
        sole = quat.normalize(sole) * np.linalg.norm(legs.heel[side] - legs.flat_ball[side])
        plan.flat[:, side], plan.sole[:, side] = flat, sole
        # A heel that strikes first stands where it will stand once the ball is down.
        for start, stop in runs(on_heel):
            both = np.flatnonzero(flat[start:stop])
            if len(both):
                place[start:stop] = plan.ball[start + both[0], side] + sole[start + both[0]]
        plan.on_heel[:, side], plan.heel[:, side] = on_heel & ~plan.on_ball[:, side], place
    return plan


class _Places:
    """Finds where a point stands during its contacts: the median; two or more places where it wanders too far for one."""

    def __init__(self, frame_time: float, *, up: int, wander: float, longest: float, options: LockOptions) -> None:
        self._up, self._wander, self._longest = up, wander, longest
        self._shortest = max(2, round(options.contacts.shortest / frame_time))
        self._step = max(1, round(0.5 * options.blend / frame_time))
        self._walk = _RESTEP * longest / options.longest_pull * frame_time

    def of(self, point: Array, contact: Mask) -> tuple[Mask, Array]:
        """The contacts [F] that can be held, and where [F, 3], level."""
        held, place = np.zeros_like(contact), np.zeros_like(point)
        flat = point.copy()
        flat[:, self._up] = 0.0
        open_spans = [(int(start), int(stop)) for start, stop in runs(contact)]
        while open_spans:
            start, stop = open_spans.pop()
            level = flat[start:stop]
            middle = np.median(level, axis=0)
            away = float(np.sqrt(np.sum((level - middle) ** 2, axis=1).max()))
            least = self._shortest + self._step
            if away > self._wander and stop - start >= 2 * least:
                cut = start + least + int(np.argmin(_two_places(level)[least : len(level) - least + 1]))
                # The way from one place to the next takes its time: pressed into a few frames it would look like a twitch.
                way = np.median(level[: cut - start], axis=0) - np.median(level[cut - start :], axis=0)
                step = max(self._step, round(0.5 * float(np.linalg.norm(way)) / self._walk))
                open_spans += [span for span in ((start, cut - step), (cut + step, stop)) if span[1] - span[0] >= self._shortest]
            elif away <= self._longest:
                held[start:stop] = True
                place[start:stop] = middle
        return held, place


def _two_places(level: Array) -> Array:
    """The squared error [N + 1] of two means, of what comes before and what comes after each cut."""
    count = np.arange(len(level) + 1)[:, None]
    total = np.concatenate([np.zeros((1, level.shape[1])), np.cumsum(level - level.mean(axis=0), axis=0)])
    before, after = total**2 / np.maximum(count, 1), (total[-1] - total) ** 2 / np.maximum(len(level) - count, 1)
    return np.asarray(-(before + after).sum(axis=1))


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
    frames = len(rotations)
    above = np.zeros(3)
    above[up] = 1.0
    source = rotations[:, legs.toe]
    turned = quat.mul(foot_turn, source)
    tip = quat.rotate(turned, legs.tip)
    joint = ankle + quat.rotate(foot_turn, positions[:, legs.toe] - positions[:, legs.ankle])
    level = tip.copy()
    level[..., up] = 0.0
    length = np.linalg.norm(tip, axis=-1)
    slope = np.arctan2(tip[..., up], np.linalg.norm(level, axis=-1))
    goal = np.arcsin(np.clip((floor - joint[..., up]) / np.maximum(length, 1e-9), -1.0, 1.0))
    facing = np.clip(quat.rotate(ankle_r, legs.upward)[..., up] / 0.2, 0.0, 1.0)
    hold = ease(np.ones((frames, 2, 1)), _weight(on_ball, _TOE_HOLD), frame_time, seconds=0.5 * options.blend)[..., 0]
    rise = envelope(np.maximum(goal - slope, 0.0) * facing, frame_time, seconds=0.07)
    angle = np.clip(np.maximum(np.clip(hold, 0.0, 1.0) * facing * (goal - slope), rise), -options.toe_bend, options.toe_bend)
    axis = quat.normalize(np.cross(level, above))
    return quat.mul(quat.from_axis_angle(axis, angle), foot_turn)
