# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes actions in slices and puts them onto armatures. The one place in the window that writes curves, slots and strips.

Between two slices a person may undo, rename or delete anything: nothing of Blender's is held, everything is looked up again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np

from ..backends import compat
from .curves import Curve

_HIDDEN = "."  # an action that is not ready is not offered in lists


class ActionBuilder:
    """Builds one action that nothing plays yet, a few curves at a time."""

    def __init__(
        self, name: str, target: bpy.types.Object, curves: Sequence[Curve], *, base: bpy.types.Action | None = None
    ) -> None:
        """`base`: an action whose other curves the new one keeps; it is copied, not changed."""
        self.name = name
        self.restarts = 0  # how often an undo took away what had been built
        self._owner = target.name
        self._curves = curves
        self._base = None if base is None else base.session_uid
        data = target.animation_data
        self._slot = data.action_slot.identifier if base is not None and getattr(data, "action_slot", None) else ""
        self._uid: int | None = None
        self._kept = 0  # curves that came from the base
        self._done = 0

    @property
    def total(self) -> int:
        return len(self._curves)

    @property
    def done(self) -> int:
        return self._done

    def step(self, budget: float) -> bool:
        """Write curves for at most about `budget` seconds, at least one; True when all are there."""
        now = time.perf_counter()
        end, longest = now + budget, 0.0
        action = self.action()
        if action is None:
            action = self._begin()
        curves, groups = compat.action_curves(action, self._owner, self._slot)
        while self._done < len(self._curves):
            _write(curves, groups, self._curves[self._done])
            self._done += 1
            before, now = now, time.perf_counter()
            longest = max(longest, now - before)
            if now + longest > end:
                break
        return self._done == len(self._curves)

    def action(self) -> bpy.types.Action | None:
        """What has been built, if it is still whole: an undo may have removed it, or brought back an earlier state of it."""
        if self._uid is None:
            return None
        action: bpy.types.Action | None = by_uid(bpy.data.actions, self._uid)
        if action is not None and len(compat.action_curves(action, self._owner, self._slot)[0]) == self._kept + self._done:
            return action
        if action is not None:
            bpy.data.actions.remove(action)
        self._uid = None
        self.restarts += 1
        return None

    def discard(self) -> None:
        """Remove what has been built."""
        action = None if self._uid is None else by_uid(bpy.data.actions, self._uid)
        if action is not None:
            bpy.data.actions.remove(action)
        self._uid = None

    def _begin(self) -> bpy.types.Action:
        base = None if self._base is None else by_uid(bpy.data.actions, self._base)
        if base is None:
            action = bpy.data.actions.new(_HIDDEN + self.name)
        else:
            action = base.copy()
            action.name = _HIDDEN + self.name
            action.use_fake_user = False
            if action.asset_data is not None:
                action.asset_clear()
        curves, _ = compat.action_curves(action, self._owner, self._slot)
        _remove_of(curves, self._curves)
        self._uid = action.session_uid
        self._kept, self._done = len(curves), 0
        return action


def by_uid(collection: Any, uid: int) -> Any | None:
    """The data-block with a session uid, which a renamed one keeps and no other gets."""
    return next((found for found in collection if found.session_uid == uid), None)


def play(target: bpy.types.Object, action: bpy.types.Action) -> str:
    """Make the action the target's active one. The one before stays in the file, kept by a fake user where nothing else keeps it.

    Returns a note about that, or "".
    """
    data = target.animation_data or target.animation_data_create()
    before = data.action
    note = ""
    if before is not None and before.library is None and before.users <= 1 and not before.use_fake_user:
        before.use_fake_user = True
        note = f"The action {before.name} was replaced; it stays in the file, kept by a fake user."
    compat.assign_action(target, action)
    return note


def add_strip(target: bpy.types.Object, action: bpy.types.Action, first_frame: int) -> str:
    """Put the action onto an NLA track of its own, above the others. Returns a note where something covers it, or ""."""
    data = target.animation_data or target.animation_data_create()
    track = data.nla_tracks.new()
    track.name = action.name
    strip = track.strips.new(action.name, first_frame, action)
    if hasattr(strip, "action_slot") and strip.action_slot is None and len(action.slots):
        strip.action_slot = action.slots[0]
    if data.action is not None:
        return f"The active action {data.action.name} covers the strip where both move the same bones; push it down to see it."
    return ""


def _write(curves: Any, groups: Any, curve: Curve) -> None:
    count = len(curve.points) // 2
    made = curves.new(curve.path, index=curve.component)
    made.group = groups.get(curve.group) or groups.new(curve.group)
    points = made.keyframe_points
    points.add(count)
    points.foreach_set("co", curve.points)
    kinds = _kinds()
    points.foreach_set("interpolation", np.full(count, kinds["BEZIER"], np.int32))
    for side in ("left", "right"):
        points.foreach_set(f"handle_{side}_type", np.full(count, kinds["ALIGNED"], np.int32))
    points.foreach_set("handle_left", curve.left)
    points.foreach_set("handle_right", curve.right)
    made.update()


def _remove_of(curves: Any, wanted: Sequence[Curve]) -> None:
    """Take away the curves that new ones stand for, in whatever rotation mode they were keyed."""
    bones = {curve.path.rpartition(".")[0] for curve in wanted}
    places = {curve.path for curve in wanted if curve.path.endswith(".location")}
    for curve in [*curves]:
        bone, _, channel = curve.data_path.rpartition(".")
        if (bone in bones and channel.startswith("rotation_")) or curve.data_path in places:
            curves.remove(curve)


def _kinds() -> dict[str, int]:
    properties = bpy.types.Keyframe.bl_rna.properties
    return {
        "BEZIER": properties["interpolation"].enum_items["BEZIER"].value,
        "ALIGNED": properties["handle_left_type"].enum_items["ALIGNED"].value,
    }
