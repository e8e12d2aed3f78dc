# SPDX-License-Identifier: GPL-3.0-or-later
"""Which foot stands when, and how well it stands: contacts from speed and height, spans of them, and the judge of sliding feet.

Detection and judge are kept apart on purpose: the judge does not ask what detection believed. Changes no motion. Lengths are in
the caller's unit; `metre` is how many of these units a metre has (100 for centimetres).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .quat import Array
from .skeleton import Ints

Mask = NDArray[np.bool_]


def contacts(points: Array, frame_time: float, *, up: int = 2, height: float = 0.05, speed: float = 0.35) -> Mask:
    """True [F, P] where a foot point stands: near its own lowest level and slow.

    `points` [F, P, 3] and `height` in metres, `speed` in metres per second, `up` the index of the vertical axis.
    """
    level = np.percentile(points[..., up], 5, axis=0)
    return np.asarray((points[..., up] < level + height) & (np.linalg.norm(velocity(points, frame_time), axis=-1) < speed))


def sliding(points: Array, frame_time: float, *, up: int = 2, height: float = 0.025) -> Array:
    """Horizontal speed [N] in metres per second of all foot points while they are within `height` of the floor at 0."""
    flat = velocity(points, frame_time).copy()
    flat[..., up] = 0.0
    return np.asarray(np.linalg.norm(flat, axis=-1)[points[..., up] < height])


def velocity(points: Array, frame_time: float) -> Array:
    """Central differences [F, P, 3] per second; zero for a single frame."""
    if len(points) < 2:
        return np.zeros_like(points)
    return np.asarray(np.gradient(points, frame_time, axis=0))


# Masks over frames, [F, ...]


def runs(mask: Mask) -> Ints:
    """Where a mask [F] is true without a break: [N, 2] of first frame and one past the last."""
    edges = np.diff(np.concatenate([[0], np.asarray(mask, dtype=np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1).astype(np.int64)


def from_runs(spans: Ints, frames: int) -> Mask:
    """The mask [F] that is true in the spans [N, 2]."""
    steps = np.zeros(frames + 1, dtype=np.int64)
    np.add.at(steps, spans[:, 0], 1)
    np.add.at(steps, spans[:, 1], -1)
    return np.asarray(np.cumsum(steps[:-1]) > 0)


def hysteresis(enter: Mask, stay: Mask) -> Mask:
    """True [F] in every run of `stay` in which `enter` holds at least once."""
    spans = runs(stay)
    seen = np.concatenate([[0], np.cumsum(enter & stay)])
    return from_runs(spans[seen[spans[:, 1]] > seen[spans[:, 0]]], len(stay))


def close_gaps(mask: Mask, frames: int, point: Array | None = None, step: float = np.inf) -> Mask:
    """The mask [F] with every gap of at most `frames` frames between two true ones filled, unless `point` [F, 3] is further than
    `step` away after it."""
    gaps = runs(~mask)
    gaps = gaps[(gaps[:, 0] > 0) & (gaps[:, 1] < len(mask)) & (gaps[:, 1] - gaps[:, 0] <= frames)]
    if point is not None:
        gaps = gaps[np.linalg.norm(point[gaps[:, 1]] - point[gaps[:, 0] - 1], axis=-1) <= step]
    return mask | from_runs(gaps, len(mask))


def drop_short(mask: Mask, frames: int) -> Mask:
    """The mask [F] without runs shorter than `frames`; runs that the clip's ends cut off are given the benefit of the doubt."""
    spans = runs(mask)
    cut = (spans[:, 0] == 0) | (spans[:, 1] == len(mask))
    return from_runs(spans[(spans[:, 1] - spans[:, 0] >= frames) | cut], len(mask))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactOptions:
    """When a point of a sole stands: metres above the floor, metres per second, seconds."""

    low: float = 0.04  # a contact begins below this height …
    slow: float = 0.4  # … and this speed
    high: float = 0.05  # and lasts to this height …
    fast: float = 0.8  # … and this speed
    rise: float = 0.45  # metres per second upwards: a point that leaves the floor is let go
    hover: float = 0.2  # height to which whoever made the motion is believed that a slow point stands
    facing: float = 0.2  # cosine between the normal of a sole and up, below which no ball is believed to stand
    shortest: float = 0.1
    gap: float = 0.07
    step: float = np.inf  # metres; a point that is further away after a gap than this stood, left, and stands again


def find_contacts(
    points: Array,
    frame_time: float,
    *,
    up: int,
    floor: float,
    metre: float,
    allowed: Mask | None = None,
    believed: Mask | None = None,
    options: ContactOptions | None = None,
) -> Mask:
    """True [F, P] where the points [F, P, 3] of soles stand on the floor: with hysteresis, a shortest duration, gaps closed.

    Both the way up and along count as speed, so that who flies is in no contact however low the flight. `allowed` [F, P] says
    where a contact is possible at all (the sole faces the floor), `believed` [F, P] where whoever made the motion says that
    there is one: it may hover, but not swing.
    """
    options = options or ContactOptions()
    height = (points[..., up] - floor) / metre
    move = velocity(points, frame_time) / metre
    speed = np.linalg.norm(move, axis=-1)
    possible = np.ones_like(height, dtype=bool) if allowed is None else allowed
    told = np.zeros_like(possible) if believed is None else believed & (height < options.hover)
    low = ((height < options.high) | told) & possible
    enter = ((height < options.low) | told) & (speed < options.slow) & possible
    stay = low & (speed < options.fast) & (move[..., up] < options.rise)
    shortest, gap = max(2, round(options.shortest / frame_time)), round(options.gap / frame_time)
    step = options.step * metre
    stands = (close_gaps(hysteresis(enter[:, p], stay[:, p]), gap, points[:, p], step) for p in range(points.shape[1]))
    return np.stack([drop_short(mask & low[:, p], shortest) for p, mask in enumerate(stands)], axis=1)


# The judge


@dataclass(frozen=True, slots=True, kw_only=True)
class FootQuality:
    """How feet stand, by position alone."""

    skate: float  # m/s, mean horizontal speed of heels and balls within 2.5 cm of the floor, swings left out
    skate_all: float  # m/s, the same with swings
    near: int  # how many samples the first figure is the mean of
    penetration: float  # cm, 95th percentile over frames of how deep the deepest of these points lies below the floor


def judge(points: Array, pelvis: Array, frame_time: float, *, up: int, floor: float, metre: float) -> FootQuality:
    """Judge heels and balls `points` [F, 2, 2, 3] (side, heel and ball) of a clip with its `pelvis` [F, 3].

    A foot swings while it is faster than half the body's speed and than 0.6 m/s: a low swing slides over the floor by rights.
    """
    flat = np.delete(points, up, axis=-1) / metre
    speed = np.linalg.norm(velocity(flat, frame_time), axis=-1)
    body = np.linalg.norm(velocity(np.delete(pelvis, up, axis=-1) / metre, frame_time), axis=-1)
    height = (points[..., up] - floor) / metre
    near = height < 0.025
    swing = np.mean(speed, axis=-1, keepdims=True) > np.maximum(0.5 * body, 0.6)[:, None, None]
    standing = near & ~swing
    deepest = np.maximum(-height.reshape(len(height), -1).min(axis=1), 0.0)
    return FootQuality(
        skate=float(speed[standing].mean()) if standing.any() else 0.0,
        skate_all=float(speed[near].mean()) if near.any() else 0.0,
        near=int(standing.sum()),
        penetration=float(100.0 * np.percentile(deepest, 95)),
    )
