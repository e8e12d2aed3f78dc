# SPDX-License-Identifier: GPL-3.0-or-later
"""Palms and fingers: how a hand lies in space by its knuckles, and fingers that point in the other hand as they do in this one.

Everything is read off positions, so that it holds for skeletons without a rest pose too. Knows no skeleton's names.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import quat
from .quat import Array, normalize

_LEAST_SPREAD = 0.08  # of the hand's length, between the outermost knuckles: less shows no palm
KNUCKLES = ("index", "middle", "ring", "pinky")  # the thumb is beside it


def palm_ends(fingers: Mapping[str, tuple[int, ...]], side: str) -> tuple[int, int] | None:
    """The outermost knuckles of a palm, the one by the thumb first; nothing where fewer than two fingers are known."""
    known = [chain[0] for name in KNUCKLES if (chain := fingers.get(f"{side}_{name}"))]
    return (known[0], known[-1]) if len(known) > 1 else None


def palm(wrist: Array, first: Array, last: Array, side: str) -> Array | None:
    """How a hand lies, [..., 4], from the wrist [..., 3] and its outermost knuckles, the one by the thumb first.

    The axes are those of the body in a T-pose with the palms down: x to the body's left, y out of the back of the hand, z where
    the thumb is. Nothing where the knuckles lie too close together to show it.
    """
    sign = 1.0 if side == "l" else -1.0
    along, across = 0.5 * (first + last) - wrist, first - last
    if float(np.median(np.linalg.norm(across, axis=-1))) < _LEAST_SPREAD * float(np.median(np.linalg.norm(along, axis=-1))):
        return None
    x = sign * normalize(along)
    y = normalize(sign * np.cross(across, along))
    return quat.from_matrix(np.stack([x, y, np.cross(x, y)], axis=-1))


def finger_turns(pointing: Array, rest: Array, hand: Array) -> Array:
    """How a finger's bones turn in the world from rest, [F, N, 4], so that they point along `pointing` [F, N, 3].

    `rest` [N, 3] is where they point at rest, `hand` [F, 4] how the hand turns: what it leaves is bent without a twist.
    """
    out = np.empty((*pointing.shape[:2], 4))
    before = hand
    for bone in range(pointing.shape[1]):
        before = quat.mul(quat.between(quat.rotate(before, rest[bone]), pointing[:, bone]), before)
        out[:, bone] = before
    return out
