# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip onto another character: arrays in, arrays out. Knows Blender's bone algebra, but no Blender.

World here is the target's: metres, Z up, as in Blender. Rest poses cancel out through anatomical frames: every mapped joint gets
a frame from the body (where the limb points, where it bends), on both skeletons alike, and it is these that are matched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import quat
from .errors import MotionError
from .humanoid import JointMap
from .quat import Array
from .skeleton import Ints, Motion


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """The target: an armature's rest pose as arrays, parents before children, in metres, Z up."""

    names: tuple[str, ...]
    parents: Ints  # [B], -1 for a root
    heads: Array  # [B, 3]
    tails: Array  # [B, 3]
    rest: Array  # [B, 3, 3] columns are the bone's axes at rest (Blender: bone.matrix_local.to_3x3(), times the object's rotation)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetargetOptions:
    scale: float | None = None  # of the root's path; None: by the ratio of leg lengths
    floor: bool = True  # put the feet on z = 0
    in_place: bool = False  # keep the character at the origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """What goes into an action: values of Blender's pose bones, each in the bone's own rest basis (matrix_basis)."""

    rotations: Array  # [F, B, 4] w x y z, signs continuous in time; identity for unmapped bones
    locations: Array  # [F, 3] of the bone `root`, metres
    root: int  # index of the bone that carries the path (the pelvis)
    mapped: tuple[int, ...]  # bones that were given rotations
    frame_time: float  # seconds
    scale: float  # metres of the target per unit of the source
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rotations)
