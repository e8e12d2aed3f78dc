# SPDX-License-Identifier: GPL-3.0-or-later
"""Which joint of a skeleton is which part of a human body: by known names, by the words in names, by the tree and its shape.

The canonical joints are the 22 of the SMPL body model; spine and neck may be chains of any length. Knows no clip and no Blender.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from .errors import MotionError
from .quat import Array, normalize
from .skeleton import Ints

ARM = ("collar", "shoulder", "elbow", "wrist")
LEG = ("hip", "knee", "ankle", "foot")
CANONICAL = (
    "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot", "r_foot",
    "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
)  # fmt: skip
REQUIRED = ("pelvis", "head", *(f"{s}_{part}" for s in "lr" for part in ("hip", "knee", "ankle", "shoulder", "elbow")))


@dataclass(frozen=True, slots=True, kw_only=True)
class JointMap:
    """Canonical joints found in a skeleton. `joints` has no spine and neck entries beyond the chains' ends: use the chains."""

    joints: Mapping[str, int]  # "pelvis", "head", "l_hip" … → index
    spine: tuple[int, ...]  # from above the pelvis to the chest, any length
    neck: tuple[int, ...]  # from above the chest to below the head, any length
    confidence: Mapping[str, float]  # canonical joint → 0–1
    preset: str  # which names were recognised: "smpl", "mixamo", …; "words" or "shape" when found otherwise

    def __getitem__(self, name: str) -> int:
        return self.joints[name]

    def get(self, name: str) -> int | None:
        return self.joints.get(name)
