# SPDX-License-Identifier: GPL-3.0-or-later
"""Two-bone inverse kinematics in closed form, for legs and arms alike: points in, turns out. Knows no skeletons and no contacts.

All arguments broadcast over leading dimensions (frames, limbs); nothing here loops over them. Lengths may be in any unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import quat
from .quat import Array

FULL = 0.9995  # of the limb's length: how far a limb is ever stretched, since at 1 the middle joint moves infinitely fast
# How far the middle joint is off the line, in upper bones: straight; bent, so that its own plane counts; the same, backwards.
_STRAIGHT, _BENT, _BROKEN = 0.01, 0.05, 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Limb:
    """What brings a limb's end to its target: turns to apply in the world, from the left."""

    upper: Array  # [..., 4] of the upper bone
    lower: Array  # [..., 4] of the lower bone
    end: Array  # [..., 3] where the end comes to lie; differs from the target only out of reach


def solve(root: Array, middle: Array, end: Array, target: Array, *, forward: Array, soft: float = 0.02) -> Limb:
    """Bend and swing a limb so that its end reaches `target`, all points [..., 3] in the world, same unit.

    The middle joint stays in the plane that it has, carried along by the smallest swing; `forward` [..., 3] (where a knee
    points) stands in for that plane where the limb is straight. A limb is stretched beyond the length it has ever more slowly
    in the last `soft` share of its reach, so that its middle joint does not snap; it bends without limit. A target that is out
    of reach is approached as near as that allows, and no bone changes its length.
    """
    first, second, reach = middle - root, end - middle, target - root
    a, b = _length(first), _length(second)
    old, wanted = _length(end - root), _length(reach)
    axis = quat.normalize(end - root)
    new_axis = np.where(wanted > 1e-9 * (a + b), quat.normalize(reach), axis)

    stretched = np.clip(_soften(wanted, old, a + b, soft), np.abs(a - b) + 1e-6 * (a + b), a + b)
    pole = _pole(first, axis, a, forward)
    swing = quat.between(axis, new_axis)
    pole = quat.rotate(swing, pole)
    along = (stretched**2 + a**2 - b**2) / (2.0 * stretched)
    across = np.sqrt(np.maximum(a**2 - along**2, 0.0))
    new_first = new_axis * along + pole * across
    new_end = new_axis * stretched
    return Limb(
        upper=_carry(swing, first, new_first),
        lower=_carry(swing, second, new_end - new_first),
        end=root + new_end,
    )


def _length(v: Array) -> Array:
    return quat.length(v)[..., None]


def _soften(wanted: Array, old: Array, full: Array, soft: float) -> Array:
    """How far to stretch: as wanted up to where the limb already is or the soft zone begins, then towards the full length."""
    limit = FULL * full
    start = np.minimum(np.maximum(old, (1.0 - soft) * full), limit)
    room = limit - start
    over = np.maximum(wanted - start, 0.0)
    slowed = start + room * -np.expm1(-over / np.maximum(room, 1e-9 * full))
    # What the limb itself has beyond the limit (a locked knee in the source) is kept.
    return np.asarray(np.where(wanted > start, np.maximum(slowed, np.minimum(wanted, old)), wanted))


def _pole(first: Array, axis: Array, length: Array, forward: Array) -> Array:
    """The unit direction [..., 3] across `axis` in which the middle joint lies."""
    own = first - axis * np.sum(first * axis, axis=-1, keepdims=True)
    hint = quat.normalize(forward - axis * np.sum(forward * axis, axis=-1, keepdims=True))
    wrong = np.clip(-2.0 * np.sum(quat.normalize(own) * hint, axis=-1, keepdims=True), 0.0, 1.0)
    bent = _BENT + (_BROKEN - _BENT) * wrong
    share = np.clip((_length(own) / length - _STRAIGHT) / (bent - _STRAIGHT), 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    mixed = share * quat.normalize(own) + (1.0 - share) * hint
    mixed = np.where(_length(mixed) > 1e-6, mixed, own)
    blank = _length(mixed) < 1e-12  # straight, and the hint points along it: any normal will do
    other = np.cross(axis, np.where(np.abs(axis[..., :1]) < 0.8, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    return quat.normalize(np.where(blank, other, mixed))


def _carry(swing: Array, old: Array, new: Array) -> Array:
    """The swing, and then what is left of the way from `old` to `new`, without a twist of its own."""
    return quat.mul(quat.between(quat.rotate(swing, old), new), swing)
