# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job needs of the scene besides plain settings: simulations that are baked, render settings, and files with the
armature or the whole scene. On the main thread, when a shot is queued.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from ..backends.compat import all_curves
from ..backends.retarget import load
from ..panels import compat
from ..queue.contract import Json
from .submission import cannot_write

_MOST_KEYS = 100_000  # of an armature's actions, which Blender writes in some 10 ms


def unbaked(scene: Any) -> tuple[str, ...]:
    """Simulations of the scene whose frames are not on disk: each child would start them anew, from another frame."""
    found = []
    for item in scene.objects:
        for modifier in item.modifiers:
            cache = getattr(modifier, "point_cache", None)
            if cache is not None and not cache.is_baked:
                found.append(f"{item.name} ({modifier.name})")
    if scene.rigidbody_world is not None and not scene.rigidbody_world.point_cache.is_baked:
        found.append("Rigid Body World")
    return tuple(found)


def render_options(scene: Any) -> dict[str, Json]:
    """The scene's render settings, as a job takes them."""
    render = scene.render
    scale = render.resolution_percentage / 100.0
    options: dict[str, Json] = {
        "engine": compat.engine_name(scene),
        "resolution": [max(16, round(side * scale / 2) * 2) for side in (render.resolution_x, render.resolution_y)],
    }
    if samples := compat.samples(scene):
        options["samples"] = samples
    if options["engine"] == "cycles":
        options["device"] = "gpu" if scene.cycles.device == "GPU" else "cpu"
    return options


def write_rig(armature: Any, folder: Path) -> Path:
    """A new file in a folder of the queue's, as `save_rig` writes it. `MotionQueueError` output_not_writable."""
    path = _new(folder, "rig")
    try:
        save_rig(armature, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def save_rig(armature: Any, path: Path) -> None:
    """A .blend with nothing but the armature and what it is made of, without its actions. OSError where it cannot be written.

    Not compressed, which takes longer than writing and is for other threads (`submission.pack`).
    """
    with _still(armature) as still:
        try:
            bpy.data.libraries.write(str(path), {still}, path_remap="ABSOLUTE")
        except RuntimeError as error:  # which says why in words only
            raise OSError(str(error).strip()) from error


@contextlib.contextmanager
def _still(armature: Any) -> Iterator[Any]:
    """The armature, or for so long a copy of it without its actions: no job wants them, and those of a capture are a hundred
    megabytes, which take Blender a tenth of a second and more. The armature itself is not touched, for then Blender would
    take back what was posed and has no key yet.

    Only where that is worth it: after an armature is copied or removed Blender builds the scene's dependency graph anew.
    """
    if armature.library is not None or armature.animation_data is None or not _is_heavy(armature.animation_data):
        yield armature
        return
    copies = [_own_copy(armature)]
    try:
        _stand_for(copies, armature)
        yield copies[0]
    finally:
        _free(*copies)


def _is_heavy(animation: Any) -> bool:
    """Whether actions of an armature are more than is written in an instant."""
    actions = {animation.action, *(strip.action for track in animation.nla_tracks for strip in track.strips)}
    keys = 0
    for action in actions:
        if action is not None and action.library is None:
            for curve in all_curves(action):
                keys += len(curve.keyframe_points)
                if keys > _MOST_KEYS:
                    return True
    return False


def _own_copy(block: Any) -> Any:
    copy = block.copy()
    if copy.override_library:  # what is changed of it would be taken back when the file is read
        copy.make_local(clear_liboverride=True)
    return copy


def _stand_for(copies: list[Any], armature: Any) -> None:
    """Take the actions from a copy, and all that would bring the armature itself into its file."""
    still = copies[0]
    still[load.STANDS_FOR] = armature.name
    animation = still.animation_data
    animation.use_tweak_mode = False  # in which the action cannot be changed
    animation.action = None
    for track in list(animation.nla_tracks):
        animation.nla_tracks.remove(track)
    if armature.data.library is None and armature.data.animation_data is not None:
        copies.append(_own_copy(armature.data))
        for driver in copies[1].animation_data.drivers:
            for target in (t for variable in driver.driver.variables for t in variable.targets):
                if target.id == armature:
                    target.id = still
        still.data = copies[1]


def _free(still: Any, *data: Any) -> None:
    """Without Blender's search for whoever uses them, which walks through the whole file, where only they use each other."""
    for block in data:
        block.animation_data_clear()  # it asks the object, which goes first
    bpy.data.objects.remove(still, do_unlink=still.users > 0)
    for block in data:
        bpy.data.armatures.remove(block, do_unlink=block.users > 0)


def saved_scene(folder: Path) -> Path:
    """The .blend as it is on the screen: the file itself where that is saved, else a copy, which takes as long as saving does."""
    if bpy.data.filepath and not bpy.data.is_dirty:
        return Path(bpy.data.filepath)
    path = _new(folder, "scene")
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, relative_remap=True, compress=False)
    except (OSError, RuntimeError) as error:
        raise cannot_write(path, error) from error
    return path


def _new(folder: Path, what: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder / f"{what}-{uuid.uuid4().hex[:12]}.blend"
