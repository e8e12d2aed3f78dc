# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job needs of the scene besides plain settings: simulations that are baked, render settings, and files with the
armature or the whole scene. On the main thread, when a shot is queued.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import bpy

from ..panels import compat
from ..queue.contract import Json
from .submission import cannot_write


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
    """A .blend with nothing but the armature and what it is made of. `MotionQueueError` output_not_writable.

    Not compressed, which takes longer than writing and is for other threads (`submission.pack`).
    """
    path = _new(folder, "rig")
    try:
        bpy.data.libraries.write(str(path), {armature}, path_remap="ABSOLUTE")
    except (OSError, RuntimeError) as error:
        raise cannot_write(path, error) from error
    return path


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
