# SPDX-License-Identifier: GPL-3.0-or-later
"""Bones that share a limb's twist: each turns about the limb by as much as lies between its two ends at its place.

A forearm's and a shin's twist is what hand and foot turn about them; an upper arm's and a thigh's is what they turn about
themselves against the trunk. Knows turns from rest in the world, no names.
"""

from __future__ import annotations

import numpy as np

from . import quat
from .quat import Array


def lower(limb: Array, end: Array, axis: Array, place: float) -> Array:
    """The turn [F, 4] of a bone at `place` (0 at the limb's beginning, 1 at its end) of a forearm or shin.

    `limb` and `end` [F, 4] are the turns of the limb and of the hand or foot, `axis` [3] points along the limb at rest.
    """
    twist = _twist(quat.mul(quat.inverse(limb), end), axis)
    return quat.mul(limb, quat.from_axis_angle(axis, place * twist))


def upper(limb: Array, trunk: Array, axis: Array, place: float) -> Array:
    """The same of an upper arm or thigh, whose far end has the whole twist; `trunk` [F, 4] is the turn of what it hangs on."""
    twist = _twist(quat.mul(quat.inverse(trunk), limb), axis)
    return quat.mul(limb, quat.from_axis_angle(axis, (place - 1.0) * twist))


def _twist(turn: Array, axis: Array) -> Array:
    """How far [F] turns go about an axis, in radians, without jumps from frame to frame."""
    angle = 2.0 * np.arctan2(turn[..., 1:] @ axis, turn[..., 0])
    angle = np.unwrap((angle + np.pi) % (2.0 * np.pi) - np.pi)
    return np.asarray(angle - 2.0 * np.pi * np.round(np.median(angle) / (2.0 * np.pi)))
