# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between poses that fade over time: turns as vectors, turns about the vertical, fading curves. Knows no skeletons.

Shared by loops and edits. Angles are radians, times frames; all functions broadcast over leading dimensions.
"""

from __future__ import annotations

import numpy as np

from . import quat
from .quat import Array


def log(q: Array) -> Array:
    """Rotations [..., 4] as axis times angle [..., 3], the shorter way round."""
    q = np.where(q[..., :1] < 0.0, -q, q)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, q[..., :1])
    return np.asarray(q[..., 1:] * np.where(sine < 1e-12, 2.0, angle / np.maximum(sine, 1e-12)))


def exp(v: Array) -> Array:
    """The rotations [..., 4] of axis times angle [..., 3]."""
    angle = np.linalg.norm(v, axis=-1)
    return quat.from_axis_angle(v / np.maximum(angle, 1e-12)[..., None], angle)


def vertical(up: int) -> Array:
    """The unit vector [3] along axis `up`."""
    out = np.zeros(3)
    out[up] = 1.0
    return out


def about(angle: Array | float, up: int) -> Array:
    """Turns [..., 4] by `angle` [...] about axis `up`."""
    return quat.from_axis_angle(vertical(up), np.asarray(angle, dtype=np.float64))


def heading_change(before: Array, after: Array, up: int) -> Array:
    """How far [...] the turn from `before` to `after` [..., 4] goes about axis `up`."""
    turn = quat.mul(after, quat.inverse(before))
    return np.asarray((2.0 * np.arctan2(turn[..., 1 + up], turn[..., 0]) + np.pi) % (2.0 * np.pi) - np.pi)


def fade(value: Array, slope: Array, frames: int, length: int) -> Array:
    """A curve [frames, ...] that begins with `value` and `slope` (per frame) [...] and is zero, and level, from `length` on."""
    t = np.clip(np.arange(frames) / max(length, 1), 0.0, 1.0).reshape(-1, *[1] * np.ndim(value))
    return np.asarray(value * (1.0 + 2.0 * t) * (1.0 - t) ** 2 + slope * length * t * (1.0 - t) ** 2)


def step(t: Array) -> Array:
    """From 0 to 1, with no speed and no acceleration at either end; `t` [...] is clipped to 0–1."""
    t = np.clip(t, 0.0, 1.0)
    return np.asarray(t**3 * (t * (6.0 * t - 15.0) + 10.0))
