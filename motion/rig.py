# SPDX-License-Identifier: GPL-3.0-or-later
"""A character's armature at rest, as arrays. Knows no clip and no Blender, though axes are as Blender's bones have them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
    tails: Array  # [B, 3]
    rest: Array  # [B, 3, 3] columns are the bone's axes at rest (Blender: bone.matrix_local, times the object's rotation)

    def __post_init__(self) -> None:
        bones = len(self.names)
        shapes = (self.parents.shape, self.heads.shape, self.tails.shape, self.rest.shape)
        if shapes != ((bones,), (bones, 3), (bones, 3), (bones, 3, 3)):
            raise MotionError("bad_rig", f"A rig's arrays do not fit together: {bones} names, but shapes {shapes}.")
        if bones == 0 or bool(np.any(self.parents >= np.arange(bones))) or bool(np.any(self.parents < -1)):
            raise MotionError("bad_rig", "A rig needs at least one bone, and every parent before its children.")
        if not all(np.isfinite(values).all() for values in (self.heads, self.tails, self.rest)):
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
        part = Rig(
            names=tuple(self.names[bone] for bone in order),
            parents=np.array([place.get(int(self.parents[bone]), -1) for bone in order], dtype=np.int64),
            heads=self.heads[order],
            tails=self.tails[order],
            rest=self.rest[order],
        )
        return part, order
