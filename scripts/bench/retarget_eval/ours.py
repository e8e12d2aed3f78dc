# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargets as a user's job does, step by step, with the time of each. Runs only inside a Blender."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from ....backends import compat
from ....backends.render.video import set_fps
from ....backends.retarget.rig import read_rig
from ....backends.retarget.write import write_pose
from ....motion.bvh import read_bvh
from ....motion.retarget import RetargetOptions, retarget
from ....motion.rigify import posable

if TYPE_CHECKING:
    import bpy


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds, from the file to the keyed action."""

    read: float
    solve: float
    write: float

    @property
    def total(self) -> float:
        return self.read + self.solve + self.write


def locks_feet() -> bool:
    """Whether the project can lock feet, which then is an option."""
    return "foot_lock" in {item.name for item in fields(RetargetOptions)}


def make(clip: Path, armature: bpy.types.Object, *, lock: bool, first: int = 1) -> Times:
    """Put the clip on the armature as an action that begins at frame `first`."""
    import bpy  # noqa: PLC0415

    options = RetargetOptions(foot_lock=lock) if locks_feet() else RetargetOptions()
    begin = time.perf_counter()
    motion = read_bvh(clip)
    have = time.perf_counter()
    whole, unit = read_rig(armature)
    rig = posable(whole)
    pose = retarget(motion, rig, options=options)
    solved = time.perf_counter()
    write_pose(armature, rig, pose, unit, name=clip.stem, first_frame=first)
    done = time.perf_counter()
    set_fps(bpy.context.scene, motion.fps)
    return Times(read=have - begin, solve=solved - have, write=done - solved)


def curves_of(armature: bpy.types.Object) -> list[bpy.types.FCurve]:
    """The F-curves of the action it plays."""
    curves, _ = compat.action_curves(armature.animation_data.action, armature.name)
    return list(curves)
