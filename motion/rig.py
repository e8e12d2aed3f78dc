# SPDX-License-Identifier: GPL-3.0-or-later
"""A character's armature at rest, as arrays. Knows no clip and no Blender, though axes are as Blender's bones have them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from .errors import MotionError
from .quat import Array
from .skeleton import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """An armature's rest pose, parents before children, in metres, Z up."""

    names: tuple[str, ...]
    parents: Ints  # [B], -1 for a root
    heads: Array  # [B, 3]
    tails: Array  # [B, 3]; nan: not known
    rest: Array  # [B, 3, 3] columns are the bone's axes at rest (Blender: bone.matrix_local, times the object's rotation)
    # The lowest points of the skin at rest, and the bones that carry them: where soles are. Empty: not known.
    ground: Array = field(default_factory=lambda: np.zeros((0, 3)))  # [P, 3]
    ground_bones: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # [P]

    def __post_init__(self) -> None:
        bones = len(self.names)
        shapes = (self.parents.shape, self.heads.shape, self.tails.shape, self.rest.shape)
        if shapes != ((bones,), (bones, 3), (bones, 3), (bones, 3, 3)):
            raise MotionError("bad_rig", f"A rig's arrays do not fit together: {bones} names, but shapes {shapes}.")
        if bones == 0 or bool(np.any(self.parents >= np.arange(bones))) or bool(np.any(self.parents < -1)):
            raise MotionError("bad_rig", "A rig needs at least one bone, and every parent before its children.")
        if self.ground.shape != (len(self.ground_bones), 3) or bool(np.any(self.ground_bones >= bones)):
            raise MotionError("bad_rig", f"A rig's points on the ground do not fit together: shape {self.ground.shape}.")
        if not all(np.isfinite(values).all() for values in (self.heads, self.rest, self.ground)) or np.isinf(self.tails).any():
            raise MotionError("bad_rig", "The rig's rest pose has values that are no numbers.")

    def part(self, bones: Iterable[int]) -> tuple[Rig, list[int]]:
        """The rig with these bones and those above them alone, and which bones of this rig they are, in its order."""
        kept: set[int] = set()
        for bone in bones:
            above = int(bone)
            while above >= 0 and above not in kept:
                kept.add(above)
                above = int(self.parents[above])
        order = sorted(kept)
        place = {bone: i for i, bone in enumerate(order)}
        carried = np.array([self._kept_above(int(bone), kept) for bone in self.ground_bones], dtype=np.int64)
        part = Rig(
            names=tuple(self.names[bone] for bone in order),
            parents=np.array([place.get(int(self.parents[bone]), -1) for bone in order], dtype=np.int64),
            heads=self.heads[order],
            tails=self.tails[order],
            rest=self.rest[order],
            ground=self.ground[carried >= 0],
            ground_bones=np.array([place[int(bone)] for bone in carried[carried >= 0]], dtype=np.int64),
        )
        return part, order

    def _kept_above(self, bone: int, kept: Collection[int]) -> int:
        while bone >= 0 and bone not in kept:
            bone = int(self.parents[bone])
        return bone
