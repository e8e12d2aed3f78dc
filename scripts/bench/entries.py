# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks have child processes do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...backends.protocol import ChildContext


def nothing(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    return {}


def make_scene(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    """Save a scene of the kind people render: a character that moves, ground, light, camera, PNG output, Workbench.

    `character`: a .blend with a retargeted character; `frames`; `size` [width, height]; `target`: the .blend to write.
    """
    import bpy  # noqa: PLC0415

    from ...backends.options import Device, Engine  # noqa: PLC0415
    from ...backends.render import look, stage  # noqa: PLC0415

    bpy.ops.wm.open_mainfile(filepath=arguments["character"])
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, arguments["frames"]
    scene.render.resolution_x, scene.render.resolution_y = arguments["size"]
    scene.render.image_settings.file_format = "PNG"
    look.set_engine(scene, Engine.WORKBENCH, 1, Device.CPU, context.log)
    stage.build(scene, stage.measure(scene, stage.carriers(scene.objects), range(1, arguments["frames"] + 1)))
    look.set_stage_look(scene)
    bpy.ops.wm.save_as_mainfile(filepath=arguments["target"])
    return {"target": str(Path(arguments["target"]))}
