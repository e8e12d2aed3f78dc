# SPDX-License-Identifier: GPL-3.0-or-later
"""Where feet stand: the places on the floor at which heels and balls are to be held during their contacts.

Decides places only; how feet and legs get there is `footlock`'s. Lengths are in the caller's unit unless they say metres.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import quat
from .contacts import ContactOptions, Mask, runs
from .legs import BALL, HEEL, Legs
from .quat import Array

_RESTEP = 0.5  # metres per second at which a foot that wanders too far goes on to its next place


@dataclass(frozen=True, slots=True, kw_only=True)
class LockOptions:
    """How feet are held. Lengths in metres, times in seconds."""

    blend: float = 0.07  # time constant of the blends; a blend is over after about three times this
    turn_blend: float = 0.07  # the same for how a foot is turned
    body_blend: float = 0.25  # the same for the body's height
    wander: float = 0.1  # a foot that stands moves no further than this about its place; beyond it is a new place
    longest_pull: float = 0.15  # how far a foot is pulled at most; a contact that needs more is let go
    lowest: float = 0.08  # how far the pelvis goes down at most for a foot out of reach
    lower_blend: float = 0.15  # the time before and after that within which it does so
    toe_bend: float = np.radians(65.0)
    roll: float = 0.0  # radians: how far a foot is rolled over its ball, so that the leg need not bend or stretch for its length
    # For what glides, as models make bodies and feet do. Times are the longest by which something lags behind where it was.
    carry: float = 0.0  # to this a body is kept from going otherwise than its standing feet say
    carry_blend: float = 0.15
    drag: float = 0.0  # to this a foot close to the floor is kept from moving over it
    near: float = 0.015  # what is close
    clearance: float = 0.0  # share of the height to which people lift a swinging foot, that it is lifted to at least
    contacts: ContactOptions = field(default_factory=ContactOptions)


@dataclass(slots=True)
class Footholds:
    """Where feet stand. All [F, 2, …]; values mean nothing where the mask beside them is false."""

    on_ball: Mask
    ball: Array
    on_heel: Mask  # and not on the ball
    heel: Array
    flat: Mask  # on both
    sole: Array  # from ball to heel


def find_footholds(
    soles: Array, contacts: Mask, legs: Legs, frame_time: float, *, up: int, floor: float, metre: float, options: LockOptions
) -> Footholds:
    frames = len(soles)
    places = _Places(frame_time, up=up, metre=metre, options=options)
    plan = Footholds(*(np.zeros((frames, 2, *shape), dtype=kind) for kind, shape in ((bool, ()), (float, (3,))) * 3))
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


def split_contacts(points: Array, contacts: Mask, frame_time: float, *, up: int, metre: float, options: LockOptions) -> Mask:
    """The contacts [F, 2, 2] without the frames in which a point of the soles [F, 2, 2, 3] goes on to its next place."""
    places = _Places(frame_time, up=up, metre=metre, options=options)
    held = [places.of(points[:, side, part], contacts[:, side, part])[0] for side in range(2) for part in range(2)]
    return np.stack(held, axis=1).reshape(contacts.shape)


class _Places:
    """Finds where a point stands during its contacts: the median; two or more places where it wanders too far for one."""

    def __init__(self, frame_time: float, *, up: int, metre: float, options: LockOptions) -> None:
        self._up, self._wander, self._longest = up, options.wander * metre, options.longest_pull * metre
        self._shortest = max(2, round(options.contacts.shortest / frame_time))
        self._step = max(1, round(0.5 * options.blend / frame_time))
        self._walk = _RESTEP * metre * frame_time

    def of(self, point: Array, contact: Mask) -> tuple[Mask, Array]:
        """The contacts [F] that can be held, and where [F, 3], level."""
        held, place = np.zeros_like(contact), np.zeros_like(point)
        flat = point.copy()
        flat[:, self._up] = 0.0
        open_spans = [(int(start), int(stop)) for start, stop in runs(contact)]
        while open_spans:
            start, stop = open_spans.pop()
            level = flat[start:stop]
            middle = _median(level)
            away = float(np.sqrt(np.sum((level - middle) ** 2, axis=1).max()))
            least = self._shortest + self._step
            if away > self._wander and stop - start >= 2 * least:
                cut = start + least + int(np.argmin(_two_places(level)[least : len(level) - least + 1]))
                # The way from one place to the next takes its time: pressed into a few frames it would look like a twitch.
                way = _median(level[: cut - start]) - _median(level[cut - start :])
                step = max(self._step, round(0.5 * float(np.linalg.norm(way)) / self._walk))
                open_spans += [span for span in ((start, cut - step), (cut + step, stop)) if span[1] - span[0] >= self._shortest]
            elif away <= self._longest:
                held[start:stop] = True
                place[start:stop] = middle
        return held, place


def _median(level: Array) -> Array:
    """The median over frames; the library's own costs several times as much on as few values."""
    ordered = np.sort(level, axis=0)
    return np.asarray(0.5 * (ordered[(len(level) - 1) // 2] + ordered[len(level) // 2]))


def _two_places(level: Array) -> Array:
    """The squared error [N + 1] of two means, of what comes before and what comes after each cut."""
    count = np.arange(len(level) + 1)[:, None]
    total = np.concatenate([np.zeros((1, level.shape[1])), np.cumsum(level - level.mean(axis=0), axis=0)])
    before, after = total**2 / np.maximum(count, 1), (total[-1] - total) ** 2 / np.maximum(len(level) - count, 1)
    return np.asarray(-(before + after).sum(axis=1))
