# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between Blender 4.2 and 5.x, each behind one function. Runs only inside a Blender.

Knows Blender's API and nothing of jobs, characters or renders.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import bpy
    from numpy.typing import NDArray


class Channel(NamedTuple):
    """One component of the property at `path`, its value in every frame; `group` is the bone it belongs to."""

    path: str
    component: int
    group: str
    values: NDArray[np.float64]  # [F]


def write_action(target: bpy.types.Object, name: str, channels: Iterable[Channel], first_frame: int) -> bpy.types.Action:
    """Make one action with a key in every frame and assign it to `target`. No keyframe_insert: that takes seconds for a clip."""
    import bpy  # noqa: PLC0415

    action = bpy.data.actions.new(name)
    curves, groups = action_curves(action, target.name)
    assign_action(target, action)
    made: dict[str, Any] = {}
    linear = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["LINEAR"].value
    for channel in channels:
        curve = curves.new(channel.path, index=channel.component)
        if channel.group:
            if channel.group not in made:
                made[channel.group] = groups.new(channel.group)
            curve.group = made[channel.group]
        count = len(channel.values)
        points = np.empty((count, 2), np.float32)
        points[:, 0] = np.arange(first_frame, first_frame + count)
        points[:, 1] = channel.values
        curve.keyframe_points.add(count)
        curve.keyframe_points.foreach_set("co", points.ravel())
        curve.keyframe_points.foreach_set("interpolation", np.full(count, linear, np.int32))
        curve.update()
    return action


def action_curves(action: bpy.types.Action, name: str, slot_of: str = "") -> tuple[Any, Any]:
    """The F-curves and the groups of an action for an object called `name`; what holds them is made where it is missing.

    `slot_of` is the identifier of the slot where the action has several.
    """
    if not hasattr(action, "slots"):
        return action.fcurves, action.groups
    # Layered actions, since 4.4
    slots, layers = action.slots, action.layers
    ours = [s for s in slots if s.target_id_type in ("OBJECT", "UNSPECIFIED") and slot_of in ("", s.identifier)]
    slot = ours[0] if ours else slots.new("OBJECT", name)
    layer = layers[0] if len(layers) else layers.new("Layer")
    strip = layer.strips[0] if len(layer.strips) else layer.strips.new(type="KEYFRAME")
    bag = strip.channelbag(slot, ensure=True)
    return bag.fcurves, bag.groups


def all_curves(action: bpy.types.Action) -> Iterator[bpy.types.FCurve]:
    """The F-curves of an action, whoever plays them."""
    if not hasattr(action, "slots"):
        yield from action.fcurves
        return
    for layer in action.layers:
        for strip in layer.strips:
            for bag in strip.channelbags:
                yield from bag.fcurves


def assign_action(target: bpy.types.Object, action: bpy.types.Action) -> None:
    """Let `target` play the action, whichever slot it was made for."""
    data = target.animation_data or target.animation_data_create()
    data.action = action
    if hasattr(action, "slots") and data.action_slot is None and len(action.slots):
        data.action_slot = action.slots[0]


def eevee() -> str:
    """The engine's name: BLENDER_EEVEE_NEXT from 4.2 to 4.5, BLENDER_EEVEE from 5.0."""
    import bpy  # noqa: PLC0415

    return "BLENDER_EEVEE" if bpy.app.version >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"


def still_output(settings: bpy.types.ImageFormatSettings, file_format: str) -> None:
    """Write single images. Since 5.0 the media type comes first."""
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = file_format


def video_output(render: bpy.types.RenderSettings) -> None:
    """Write an H.264 MP4 without sound."""
    settings = render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"
    settings.color_mode = "RGB"
    render.ffmpeg.format = "MPEG4"
    render.ffmpeg.codec = "H264"
    render.ffmpeg.audio_codec = "NONE"


def sequence_strips(editor: bpy.types.SequenceEditor) -> Any:
    """The editor's strips; they were called sequences before 4.4."""
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def new_sequencer_scene(name: str) -> bpy.types.Scene:
    """An empty scene whose render is its sequencer."""
    import bpy  # noqa: PLC0415

    scene = bpy.data.scenes.new(name)
    scene.sequence_editor_create()
    scene.render.use_sequencer = True
    return scene


def version() -> str:
    """Of this Blender, as in 4.5.15."""
    import bpy  # noqa: PLC0415

    return ".".join(map(str, bpy.app.version))
