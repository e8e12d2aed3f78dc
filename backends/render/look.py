# SPDX-License-Identifier: GPL-3.0-or-later
"""Render settings per engine. Runs only inside a child Blender."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import compat
from ..options import Device, Engine

if TYPE_CHECKING:
    from collections.abc import Callable

    import bpy

# Part of every frame folder's fingerprint: raise it when pictures come out differently, so that old and new frames never mix.
VERSION = 1

_CARDS = ("OPTIX", "CUDA", "HIP", "METAL", "ONEAPI")
_ANTIALIASING = (5, 8, 11, 16, 32)  # what Workbench offers


def set_engine(scene: bpy.types.Scene, engine: Engine, samples: int, device: Device, log: Callable[[str, str], None]) -> None:
    """Choose the engine and its samples per pixel. Works on any scene, the user's own too."""
    if engine is Engine.WORKBENCH:
        scene.render.engine = "BLENDER_WORKBENCH"
        scene.display.render_aa = "FXAA" if samples == 1 else str(min(_ANTIALIASING, key=lambda n: abs(n - samples)))
    elif engine is Engine.EEVEE:
        scene.render.engine = compat.eevee()
        scene.eevee.taa_render_samples = samples
    else:
        _set_cycles(scene, samples, device, log)


def set_stage_look(scene: bpy.types.Scene) -> None:
    """How the built-in stage looks in Workbench, and colours as they are in all engines."""
    shading = scene.display.shading
    shading.light = "STUDIO"
    shading.color_type = "TEXTURE"  # falls back to the material's colour where there is none
    shading.show_specular_highlight = True
    shading.show_shadows = True
    shading.shadow_intensity = 0.42
    scene.display.shadow_focus = 0.6
    shading.show_cavity = True
    shading.cavity_type = "SCREEN"
    shading.curvature_ridge_factor = 0.6
    shading.curvature_valley_factor = 1.0
    shading.show_object_outline = False
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    if scene.render.engine == "BLENDER_WORKBENCH":
        scene.view_settings.exposure = 0.75  # its studio light is made for a screen's dark surroundings
    if hasattr(scene, "eevee") and hasattr(scene.eevee, "use_shadows"):
        scene.eevee.use_shadows = True


def _set_cycles(scene: bpy.types.Scene, samples: int, device: Device, log: Callable[[str, str], None]) -> None:
    import addon_utils  # noqa: PLC0415
    import bpy  # noqa: PLC0415

    if "cycles" not in bpy.context.preferences.addons:
        addon_utils.enable("cycles")
    scene.render.engine = "CYCLES"
    scene.cycles.samples = samples
    scene.cycles.use_denoising = _has_denoiser()
    if not scene.cycles.use_denoising:
        log("info", "This Blender has no OpenImageDenoise; Cycles renders without denoising.")
    scene.cycles.device = "GPU" if device is not Device.CPU and _use_gpu(required=device is Device.GPU, log=log) else "CPU"


def _has_denoiser() -> bool:
    """Debian builds Blender without it; asking for it then makes every frame an error."""
    import _cycles  # noqa: PLC0415

    return bool(_cycles.with_openimagedenoise)


def _use_gpu(*, required: bool, log: Callable[[str, str], None]) -> bool:
    """Switch on the graphics cards: those of the preferences, else, where required, the first kind that has any."""
    import bpy  # noqa: PLC0415

    from ...queue.errors import MotionQueueError  # noqa: PLC0415

    preferences = bpy.context.preferences.addons["cycles"].preferences
    preferences.refresh_devices()
    chosen = preferences.compute_device_type
    kinds = [chosen] if chosen != "NONE" else list(_CARDS) if required else []
    for kind in kinds:
        try:
            preferences.compute_device_type = kind
        except TypeError:  # this build does not know that kind
            continue
        cards = [d for d in preferences.get_devices_for_type(kind) if d.type != "CPU"]
        if cards:
            if chosen == "NONE":
                for card in cards:
                    card.use = True
            log("info", f"Cycles uses {kind}: {', '.join(c.name for c in cards if c.use)}")
            return True
    if required:
        raise MotionQueueError(
            "no_gpu", "Cycles found no graphics card it can use. Set device to 'cpu' or 'auto', or install the card's driver."
        )
    return False
