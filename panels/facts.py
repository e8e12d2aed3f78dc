# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads from Blender what a new shot is made of: the scene, the selected armature, the settings. It returns plain values.

Quick enough for every redraw: no disk, and no walk through the file's data.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import Any

import bpy

from ..backends.published.model import Which
from ..queue.errors import MotionQueueError
from . import compat, preferences, properties, snapshot
from .checks import Armature, Character, Draft, Facts, Length, Source, beside
from .properties import BUILT_IN

_MOST_TEXT = 2_000_000  # characters of a shot list
_MOST_SELECTED = 500  # objects among which an armature is looked for, where the active one says nothing


def draft(context: Any, *, with_text: bool = True) -> Draft:
    """The new shot as the panel has it. The content of a shot list is long, and read only where it is asked for."""
    found = properties.interface()
    if found is None:
        raise MotionQueueError("not_started", "Motion Queue's interface is not there. Switch the extension on.")
    shot = found.shot
    blend = bpy.data.filepath
    return Draft(
        source=Source(shot.source),
        prompt=shot.prompt,
        model=None if shot.model == BUILT_IN else Which[shot.model],
        clip=_whole(shot.clip, blend),
        folder=_whole(shot.folder, blend),
        text=shot.text,
        name=shot.name.strip(),
        character=Character(shot.character),
        character_file=_whole(shot.character_file, blend),
        armature=shot.armature,
        length=Length(shot.length),
        seconds=shot.seconds,
        seed=shot.seed,
        takes=shot.takes,
        priority=shot.priority,
        scene_rate=shot.scene_rate,
        render=shot.render,
        deliver=shot.deliver,
        output=shot.output or preferences.output(),
        facts=facts(context, text=shot.text if with_text and shot.source == Source.LIST else ""),
    )


def with_text(draft: Draft) -> Draft:
    """The same with the content of its shot list."""
    return draft._replace(facts=draft.facts._replace(text=_text(draft.text)))


def facts(context: Any, *, text: str = "") -> Facts:
    """Of the scene; `text` is the name of a shot list."""
    scene = context.scene
    return Facts(
        blend=bpy.data.filepath,
        scene=scene.name,
        has_camera=scene.camera is not None,
        engine=compat.engine_name(scene),
        engine_id=scene.render.engine,
        armature=armature_facts(selected_armature(context)),
        fps=scene.render.fps / scene.render.fps_base,
        frames=(scene.frame_start, scene.frame_end),
        preview=(scene.frame_preview_start, scene.frame_preview_end) if scene.use_preview_range else None,
        unbaked=(),
        models=snapshot.current().models,
        text=_text(text),
    )


def _text(name: str) -> str | None:
    found = bpy.data.texts.get(name) if name else None
    return None if found is None else found.as_string()[:_MOST_TEXT]


def selected_armature(context: Any) -> Any:
    """The active armature, or the one that moves the active mesh, or the only one that is selected; None where none is."""
    objects = context.view_layer.objects
    active = getattr(context, "active_object", None) or objects.active
    is_armature = active is not None and active.type == "ARMATURE"
    if active is not None and active.select_get():
        if is_armature:
            return active
        if (rig := active.find_armature()) is not None:
            return rig
    chosen = [o for o in islice(objects.selected, _MOST_SELECTED) if o.type == "ARMATURE"]
    if is_armature and not chosen:
        return active
    return chosen[0] if len(chosen) == 1 else None


def armature_facts(armature: Any) -> Armature | None:
    if armature is None:
        return None
    return Armature(
        name=armature.name,
        bones=len(armature.data.bones),
        edited=armature.mode == "EDIT",
        missing=bool(armature.is_missing or armature.data.is_missing) if hasattr(armature, "is_missing") else False,
    )


def _whole(path: str, blend: str) -> str:
    return os.path.normpath(beside(path, blend)) if path and not (path.startswith("//") and not blend) else path
