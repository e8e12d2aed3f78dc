# SPDX-License-Identifier: GPL-3.0-or-later
"""The armature that a motion is for: which one is meant, whether it can take a motion now, and what of its rig is in the way.

Only looks; changes nothing, and knows no jobs.
"""

from __future__ import annotations

from collections.abc import Collection

import bpy

from ..queue.errors import MotionQueueError

_SHOWN = 8  # names in a message


def find_target(name: str = "") -> bpy.types.Object:
    """The armature that is meant: the one called `name`, else the active one (or that of the active mesh), else the only selected
    one, else the only one of the scene. MotionQueueError: no_armature, several_armatures."""
    scene = bpy.context.scene
    if not name and (active := active_target()) is not None:
        return active
    armatures = [o for o in scene.objects if o.type == "ARMATURE"]
    names = [o.name for o in armatures]
    if name:
        found = next((o for o in armatures if o.name == name), None)
        if found is None:
            raise MotionQueueError(
                "no_armature",
                f"The scene {scene.name} has no armature called {name!r}. It has: {some(names) or 'none'}.",
                details={"armature": "not in the scene"},
            )
        return found
    selected = [o for o in armatures if o.select_get()]
    for these in (selected, armatures):
        if len(these) == 1:
            return these[0]
    if not armatures:
        raise no_armature()
    raise MotionQueueError(
        "several_armatures",
        f"The scene has several armatures ({some(names)}). Select the one that the motion is for.",
        details={"armature": "choose one"},
    )


def active_target() -> bpy.types.Object | None:
    """The active armature, or that of the active mesh."""
    active = bpy.context.view_layer.objects.active
    if active is not None and active.type == "MESH":
        active = active.find_armature()
    return active if active is not None and active.type == "ARMATURE" else None


def no_armature() -> MotionQueueError:
    return MotionQueueError(
        "no_armature",
        f"The scene {bpy.context.scene.name} has no armature. Add a character, then apply the motion to it.",
    )


def check_target(target: bpy.types.Object) -> None:
    """Whether a motion can be put onto the armature. MotionQueueError: armature_linked, armature_in_edit_mode, no_bones,
    nla_tweak_mode."""
    if not target.is_editable:
        raise MotionQueueError(
            "armature_linked",
            f"{target.name} is linked from a library, so it cannot be animated here. Make a library override of it "
            "(Object > Library Override > Make), then apply the motion again.",
        )
    if target.mode == "EDIT":
        raise MotionQueueError(
            "armature_in_edit_mode", f"{target.name} is in Edit Mode. Leave it (Tab), then apply the motion again."
        )
    if not len(target.data.bones):
        raise MotionQueueError("no_bones", f"{target.name} has no bones, so there is nothing to move. Choose a rigged character.")
    if target.animation_data is not None and target.animation_data.use_tweak_mode:
        raise MotionQueueError(
            "nla_tweak_mode",
            f"A strip of {target.name} is being tweaked. Leave tweak mode (Tab in the NLA editor), then apply again.",
        )


def is_selected(bone: bpy.types.PoseBone) -> bool:
    """Since 5.0 poses have a selection of their own."""
    return bool(bone.select if "select" in bone.bl_rna.properties else bone.bone.select)


def obstacles(target: bpy.types.Object, bones: Collection[str], root: str) -> list[str]:
    """What of the rig keeps bones from going where their keys say, for people. `root` is the bone whose location is keyed."""
    held = sorted(name for name in bones if any(not c.mute and c.influence > 0.0 for c in target.pose.bones[name].constraints))
    stiff = sorted(name for name in bones if not target.data.bones[name].use_inherit_rotation)
    notes = []
    if held:
        notes.append(f"Constraints act on {some(held)}; mute them to see the motion as it is.")
    if stiff:
        notes.append(f"{some(stiff)} do not inherit rotation, so they may point elsewhere.")
    if root in bones and target.data.bones[root].use_connect:
        notes.append(f"{root} is connected to its parent and cannot travel; disconnect it in Edit Mode.")
    return notes


def blocking_mode(target: bpy.types.Object) -> str | None:
    """The mode, in words, in which an undo step would not hold the change; None when there is none."""
    if target.mode not in ("OBJECT", "POSE"):
        return _words(target.mode)
    for window in bpy.context.window_manager.windows:
        active = window.view_layer.objects.active
        if active is not None and active.mode not in ("OBJECT", "POSE"):
            return _words(active.mode)
    return None


def _words(mode: str) -> str:
    return f"{mode.replace('_', ' ').title()} Mode"


def some(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
