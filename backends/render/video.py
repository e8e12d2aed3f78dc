# SPDX-License-Identifier: GPL-3.0-or-later
"""PNG frames into an H.264 MP4, by Blender's own FFmpeg. Runs only inside a child Blender."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from ...queue.errors import MotionQueueError
from .. import compat, disk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import bpy


def set_fps(scene: bpy.types.Scene, fps: float) -> None:
    """Blender keeps a whole number and a divisor: 29.97 is 30 / 1.001. Any rate comes out to better than 1e-6."""
    whole = max(1, round(fps))
    scene.render.fps = whole
    scene.render.fps_base = float(Fraction(whole) / Fraction(fps).limit_denominator(1_000_000))


def encode(frames: Sequence[Path], target: Path, fps: float, size: tuple[int, int], each: Callable[[int], None]) -> None:
    """Write `target` (.mp4) from the images, which lie in one folder, in order. `each` hears of every frame written."""
    import bpy  # noqa: PLC0415

    scene = compat.new_sequencer_scene("Video")
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.view_settings.view_transform = "Standard"  # the images are as they should look already
    scene.view_settings.look = "None"
    scene.sequencer_colorspace_settings.name = "sRGB"
    scene.frame_start, scene.frame_end = 1, len(frames)
    set_fps(scene, fps)
    strips = compat.sequence_strips(scene.sequence_editor)
    strip = strips.new_image("frames", str(frames[0]), channel=1, frame_start=1, fit_method="ORIGINAL")
    for path in frames[1:]:
        strip.elements.append(path.name)
    strip.frame_final_duration = len(frames)
    strip.colorspace_settings.name = "sRGB"

    compat.video_output(scene.render)
    ffmpeg = scene.render.ffmpeg
    ffmpeg.constant_rate_factor = "HIGH"
    ffmpeg.ffmpeg_preset = "GOOD"
    ffmpeg.gopsize = max(1, round(fps))  # one key frame a second: players can jump
    scene.render.filepath = str(target)
    scene.render.use_file_extension = True
    scene.render.use_overwrite = True

    def written(rendered: bpy.types.Scene, *_: object) -> None:
        each(rendered.frame_current)

    bpy.app.handlers.render_write.append(written)
    try:
        bpy.ops.render.render(animation=True, scene=scene.name)
    except RuntimeError as error:
        what = "Blender could not write the video"
        raise disk.diagnose(target.parent, what) or MotionQueueError(
            "video_failed", f"{what}: {error}. Retry the job."
        ) from error
    finally:
        bpy.app.handlers.render_write.remove(written)
    if not is_whole(target):
        what = f"Blender wrote no whole video ({target.name})"
        raise disk.diagnose(target.parent, what) or MotionQueueError(
            "video_failed", f"{what} and gave no reason. Retry the job; if it fails again, try another Blender version."
        )
    bpy.data.scenes.remove(scene)


def is_whole(path: Path) -> bool:
    """Whether all boxes of an MP4 are there to their last byte, and the index among them, which is written last."""
    if not path.is_file():
        return False
    size = path.stat().st_size
    names: list[bytes] = []
    position = 0
    with path.open("rb") as file:
        while position < size:
            file.seek(position)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # a box of more than 4 GB
                length = int.from_bytes(head[8:16], "big")
            if length < 8:
                return False
            names.append(head[4:8])
            position += length
    return position == size and b"moov" in names
