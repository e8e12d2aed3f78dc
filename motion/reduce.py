# SPDX-License-Identifier: GPL-3.0-or-later
"""Fewer keys for the same motion: cubic curves through a few frames that stay within a tolerance at every other one.

A group of channels is what is keyed together (the four parts of a bone's rotation, say): all of them get keys at the same frames,
so that each is a pose that an animator can edit. Knows arrays only, no curves of any program. Times are frames, from 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import quat
from .errors import MotionError
from .quat import Array
from .skeleton import Ints

Bools = NDArray[np.bool_]
Distance = Callable[[Array, Array], Array]  # wanted [N, C], reached [N, C] → how far they are apart [N]

EULER_ORDERS = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")  # names as Blender has them: the first axis turns first


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one group. Between two of them each channel is the cubic with these values and slopes at its ends."""

    frames: Ints  # [K] ascending, from 0
    values: Array  # [K, C]
    slopes: Array  # [K, C] change of value per frame

    def __len__(self) -> int:
        return len(self.frames)


def reduce(values: Array, tolerance: float, distance: Distance) -> list[Keys]:
    """Keys for each of the groups in `values` [F, B, C], so that at no frame a curve is further than `tolerance` from its value.

    First and last frame always have a key. A tolerance of 0 keeps every frame. `MotionError("bad_edit")` for one that is
    negative or no number, or for values that are not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(tolerance) and tolerance >= 0.0):
        raise MotionError("bad_edit", f"The tolerance of a reduction is a number of at least 0, not {tolerance}.")
    if values.ndim != 3 or len(values) == 0 or not np.isfinite(values).all():
        raise MotionError("bad_edit", f"Only finite values [frames, groups, channels] can be reduced, not shape {values.shape}.")
    frames, groups = values.shape[:2]
    slopes = np.gradient(values, axis=0) if frames > 1 else np.zeros_like(values)
    kept = np.zeros((groups, frames), dtype=bool)
    kept[:, [0, -1]] = True
    if tolerance == 0.0:
        kept[:] = True
    else:
        fit = _Fit(np.ascontiguousarray(values.swapaxes(0, 1)), np.ascontiguousarray(slopes.swapaxes(0, 1)), tolerance, distance)
        fit.split(kept)
        fit.drop(kept)
    out: list[Keys] = []
    for group in range(groups):
        at = np.flatnonzero(kept[group])
        out.append(Keys(frames=at, values=values[at, group], slopes=slopes[at, group]))
    return out


def evaluate(keys: Keys, at: Array) -> Array:
    """The curves [N, C] at the times `at` [N] in frames; before the first and after the last key their values."""
    if len(keys) == 1:
        return np.repeat(keys.values, len(at), axis=0)
    at = np.clip(np.asarray(at, dtype=np.float64), keys.frames[0], keys.frames[-1])
    low = np.clip(np.searchsorted(keys.frames, at, side="right") - 1, 0, len(keys) - 2)
    span = (keys.frames[low + 1] - keys.frames[low]).astype(np.float64)
    t = (at - keys.frames[low]) / span
    return _cubic(keys.values[low], keys.values[low + 1], keys.slopes[low], keys.slopes[low + 1], t, span)


def rotation_distance(wanted: Array, reached: Array) -> Array:
    """Radians between quaternions, which need not have length 1: who shows them normalises them."""
    return quat.angle(quat.normalize(wanted), quat.normalize(reached))


def euler_distance(order: str) -> Distance:
    """Radians between rotations given as Euler angles [N, 3] (about x, y, z) of one of `EULER_ORDERS`."""

    def distance(wanted: Array, reached: Array) -> Array:
        return quat.angle(from_euler(wanted, order), from_euler(reached, order))

    return distance


def axis_angle_distance(wanted: Array, reached: Array) -> Array:
    """Radians between rotations given as angle and axis [N, 4]; the axis need not have length 1."""
    return quat.angle(from_axis_angle(wanted), from_axis_angle(reached))


def length_distance(wanted: Array, reached: Array) -> Array:
    """How far points [N, 3] are apart, in their own unit."""
    return np.asarray(np.linalg.norm(wanted - reached, axis=-1))


def from_euler(angles: Array, order: str) -> Array:
    """Quaternions [..., 4] of angles about the fixed axes x, y, z, the first in `order` first."""
    axes = order.lower()[::-1]  # turning about fixed axes is turning about moving ones in the opposite order
    return quat.from_euler(angles[..., ["xyz".index(axis) for axis in axes]], axes)


def to_euler(rotations: Array, order: str) -> Array:
    """Angles [F, ..., 3] about x, y, z of rotations [F, ..., 4], continuous over frames."""
    axes = order.lower()[::-1]
    angles = quat.unwrap_euler(quat.to_euler(rotations, axes))
    return np.asarray(angles[..., [axes.index(axis) for axis in "xyz"]])


def from_axis_angle(values: Array) -> Array:
    """Quaternions [..., 4] of angle and axis [..., 4]."""
    return quat.from_axis_angle(quat.normalize(values[..., 1:]), values[..., 0])


def to_axis_angle(rotations: Array) -> Array:
    """Angle and axis [..., 4] of rotations [..., 4]; the axis of no rotation is y, which is a bone's length."""
    sine = np.linalg.norm(rotations[..., 1:], axis=-1, keepdims=True)
    axis = np.where(sine < 1e-9, np.array([0.0, 1.0, 0.0]), rotations[..., 1:] / np.where(sine < 1e-9, 1.0, sine))
    return np.concatenate([2.0 * np.arctan2(sine, rotations[..., :1]), axis], axis=-1)


def _cubic(a: Array, b: Array, slope_a: Array, slope_b: Array, t: Array, span: Array) -> Array:
    t, span = t[:, None], span[:, None]
    u = 1.0 - t
    return u * u * ((1.0 + 2.0 * t) * a + t * span * slope_a) + t * t * ((3.0 - 2.0 * t) * b - u * span * slope_b)


class _Fit:
    """Which frames are keys, for all groups at once: what is done for one segment is done for all of them in one go."""

    def __init__(self, values: Array, slopes: Array, tolerance: float, distance: Distance) -> None:
        """`values`, `slopes` [B, F, C]."""
        self._groups, self._frames, channels = values.shape
        # Groups one after the other: a segment is then a run of rows, and never crosses from one group into the next.
        self._values = values.reshape(-1, channels)
        self._slopes = slopes.reshape(-1, channels)
        self._tolerance = tolerance
        self._distance = distance

    def split(self, kept: Bools) -> None:
        """Give a key to the worst frame of each segment that is out of tolerance, until none is."""
        flat = kept.reshape(-1)
        keys = np.flatnonzero(flat)
        starts, ends = self._segments(keys)
        while len(starts):
            worst, at = self._worst(starts, ends)
            bad = worst > self._tolerance
            starts, ends, at = starts[bad], ends[bad], at[bad]
            flat[at] = True
            starts, ends = np.concatenate([starts, at]), np.concatenate([at, ends])
            wide = ends - starts > 1
            starts, ends = starts[wide], ends[wide]

    def drop(self, kept: Bools) -> None:
        """Take away keys that splitting made and that are not needed; of two neighbours only one in a round."""
        flat = kept.reshape(-1)
        turn, fruitless = 0, 0
        while fruitless < 2:
            keys = np.flatnonzero(flat)
            row = keys // self._frames
            inner = np.flatnonzero((row[1:-1] == row[:-2]) & (row[1:-1] == row[2:])) + 1
            # Every other key of its own group, so that no segment is joined at both ends at once.
            first = np.searchsorted(row, row[inner])
            inner = inner[(inner - first) % 2 == turn]
            turn = 1 - turn
            if len(inner):
                worst, _ = self._worst(keys[inner - 1], keys[inner + 1])
                inner = inner[worst <= self._tolerance]
            flat[keys[inner]] = False
            fruitless = 0 if len(inner) else fruitless + 1

    def _segments(self, keys: Ints) -> tuple[Ints, Ints]:
        """Where the segments with something in between begin and end."""
        starts, ends = keys[:-1], keys[1:]
        inside = (starts // self._frames == ends // self._frames) & (ends - starts > 1)
        return starts[inside], ends[inside]

    def _worst(self, starts: Ints, ends: Ints) -> tuple[Array, Ints]:
        """For each segment how far its curve is off, at most, and where."""
        inner = ends - starts - 1
        begin = np.cumsum(inner) - inner  # where each segment's rows begin
        segment = np.repeat(np.arange(len(starts)), inner)
        rows = np.arange(len(segment)) - begin[segment] + starts[segment] + 1
        a, b = starts[segment], ends[segment]
        span = (b - a).astype(np.float64)
        reached = _cubic(self._values[a], self._values[b], self._slopes[a], self._slopes[b], (rows - a) / span, span)
        off = self._distance(self._values[rows], reached)
        worst = np.maximum.reduceat(off, begin)
        hit = np.flatnonzero(off == worst[segment])
        first = np.searchsorted(segment[hit], np.arange(len(starts)))
        return worst, rows[hit[first]]
