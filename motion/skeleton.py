# SPDX-License-Identifier: GPL-3.0-or-later
"""Skeletons and motions as arrays: what the reader makes and retargeting takes. Knows no files and no meaning of names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .errors import MotionError
from .quat import Array

Ints = NDArray[np.int64]

ROOT_CHANNELS = "XYZzxy"
JOINT_CHANNELS = "zxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """A tree of joints, parents before children. Lengths are in the file's own unit.

    `channels` says per joint which values a BVH line has, in order: "X", "Y", "Z" are positions, "x", "y", "z" rotations.
    End sites (a length at the end of a limb, without a joint) are kept apart: they never move by themselves.
    """

    names: tuple[str, ...]
    parents: Ints  # [J], -1 for a root
    offsets: Array  # [J, 3] from the parent, in the parent's rest frame
    channels: tuple[str, ...] = ()  # [J]; empty: positions for roots, three rotations for all
    end_parents: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # [E] the joint each end site belongs to
    end_offsets: Array = field(default_factory=lambda: np.zeros((0, 3)))  # [E, 3]

    def __post_init__(self) -> None:
        joints = len(self.names)
        if not self.channels:
            roots = (JOINT_CHANNELS if p >= 0 else ROOT_CHANNELS for p in self.parents)
            object.__setattr__(self, "channels", tuple(roots))
        shapes = (self.parents.shape, self.offsets.shape, len(self.channels), self.end_offsets.shape)
        if shapes != ((joints,), (joints, 3), joints, (len(self.end_parents), 3)):
            raise MotionError("bad_skeleton", f"A skeleton's arrays do not fit together: {joints} names, but shapes {shapes}.")
        if joints == 0 or bool(np.any(self.parents >= np.arange(joints))) or bool(np.any(self.parents < -1)):
            raise MotionError("bad_skeleton", "A skeleton needs at least one joint, and every parent before its children.")

    def __len__(self) -> int:
        return len(self.names)

    def children(self, joint: int) -> list[int]:
        return [int(c) for c in np.flatnonzero(self.parents == joint)]

    def rest_positions(self) -> Array:
        """Joint positions [J, 3] with all rotations zero and the first root at its offset."""
        out = self.offsets.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                out[joint] += out[parent]
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """A clip: local rotations and translations of every joint in every frame."""

    skeleton: Skeleton
    rotations: Array  # [F, J, 4] w x y z, local to the parent
    positions: Array  # [F, J, 3] from the parent; the skeleton's offset where nothing moves it
    frame_time: float  # seconds
    notes: tuple[str, ...] = ()  # what the reader mended, for people

    def __post_init__(self) -> None:
        frames, joints = len(self.rotations), len(self.skeleton)
        if self.rotations.shape != (frames, joints, 4) or self.positions.shape != (frames, joints, 3):
            raise MotionError(
                "bad_motion",
                f"A motion of {joints} joints has rotations {self.rotations.shape} and positions {self.positions.shape}; "
                f"expected ({frames}, {joints}, 4) and ({frames}, {joints}, 3).",
            )
        if not (np.isfinite(self.frame_time) and self.frame_time > 0.0):
            raise MotionError("bad_motion", f"A motion needs a frame time above zero, not {self.frame_time}.")

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def fps(self) -> float:
        return 1.0 / self.frame_time

    @property
    def duration(self) -> float:
        """Seconds; every frame lasts one frame time."""
        return len(self) * self.frame_time

    def cut(self, start: int, stop: int) -> Motion:
        """Frames `start` to `stop` (exclusive), 0-based. `MotionError("bad_range")` when none of them exists."""
        if not 0 <= start < stop <= len(self):
            raise MotionError("bad_range", f"Frames {start} to {stop} are not in the clip, which has frames 0 to {len(self)}.")
        return replace(self, rotations=self.rotations[start:stop], positions=self.positions[start:stop])
