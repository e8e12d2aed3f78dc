# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders one shot frame by frame and makes the video. Runs only inside a child Blender.

One call of Blender's render operator per frame costs nothing against one call for all (measured), and between two calls the
child can stop, rename a whole frame and say how far it is.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...queue.errors import MotionQueueError
from .. import compat, disk
from ..options import Device, Engine
from ..protocol import ChildContext
from ..retarget.load import choose_armature, open_blend
from . import look, stage, video
from .frames import FrameFolder

if TYPE_CHECKING:
    import bpy

_SAMPLE = re.compile(r"Sample (\d+)/(\d+)")
_ADVICE = "Retry the job; if it fails again, the log and a render of that frame by hand in Blender say more."
_ENCODE_SECONDS = 0.003, 0.06  # per frame, and per frame and megapixel, measured


def run(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    """Arguments: as made by `RenderBackend.run`; `frames`, `video` are paths to write.

    Raises `MotionQueueError`: character_unreadable, scene_unreadable, blend_too_new,
    no_camera, no_armature, no_gpu, nothing_to_render,
    render_failed, video_failed, disk_full, output_not_writable.
    """
    context.progress(0.0, "Preparing the scene")
    scene = _prepare(arguments, context)
    fps = arguments["fps"] or scene.render.fps / scene.render.fps_base
    numbers = range(scene.frame_start, scene.frame_end + 1)
    if not numbers:
        raise MotionQueueError("nothing_to_render", f"The frame range {scene.frame_start} to {scene.frame_end} is empty.")

    try:
        folder = FrameFolder(Path(arguments["frames"]), f"{arguments['fingerprint']} {compat.version()} look {look.VERSION}")
        done = folder.whole(numbers)
        if done:
            context.log("info", f"{len(done)} of {len(numbers)} frames were there already; going on.")
        per_frame, per_megapixel = _ENCODE_SECONDS
        encode = len(numbers) * (per_frame + per_megapixel * _megapixels(arguments))
        watch = _Watch(context, numbers, len(done), encode=encode)
        _render(scene, folder, [f for f in numbers if f not in done], watch)
    except OSError as error:
        raise _failed("A frame could not be written", error, Path(arguments["frames"]).parent) from error

    context.check()
    watch.encoding(0)
    target = Path(arguments["video"])
    width, height = arguments["resolution"]
    rendered_at = time.monotonic()
    video.encode([folder.path(f) for f in numbers], target, fps, (width, height), watch.encoding)
    context.progress(1.0, "Rendered", {"frame": len(numbers), "frames": len(numbers)})
    made = len(numbers) - len(done)
    context.log(
        "info", f"Rendered {made} frames, {watch.mean:.2f} s each, with {arguments['engine']} in Blender {compat.version()}."
    )
    return {
        "frames": len(numbers),
        "frames_resumed": len(done),
        "fps": fps,
        "seconds": round(len(numbers) / fps, 6),
        "resolution": [width, height],
        "engine": arguments["engine"],
        "samples": arguments["samples"],
        "blender": compat.version(),
        "frame_seconds": round(watch.mean, 4),
        "encode_seconds": round(time.monotonic() - rendered_at, 4),
    }


def _megapixels(arguments: dict[str, Any]) -> float:
    return float(arguments["resolution"][0] * arguments["resolution"][1] / 1e6)


class _Watch:
    """Turns what happens into progress that is linear in time: what took how long so far says what the rest will take."""

    def __init__(self, context: ChildContext, numbers: range, resumed: int, *, encode: float) -> None:
        self.context = context
        self.mean = 0.0  # seconds a frame
        self._numbers = numbers
        self._resumed = resumed
        self._encode = encode  # seconds, as far as can be foreseen
        self._times: list[float] = []
        self._began = self._frame_began = time.monotonic()
        self._rendered = 0.0  # seconds in all, once rendering is over
        self._highest = 0.0
        self._stage = ""

    def frame(self, frame: int) -> None:
        """A frame is about to be rendered."""
        self._frame_began = time.monotonic()
        self._stage = f"Rendering frame {frame - self._numbers.start + 1} of {len(self._numbers)}"
        self._say(0.0)

    def sample(self, text: str) -> None:
        """What Blender says while it renders; Cycles names its samples."""
        found = _SAMPLE.search(text)
        if found:
            now, total = int(found[1]), max(1, int(found[2]))
            self._say(now / total, {"sample": now, "samples": total})

    def finished(self) -> None:
        self._times.append(time.monotonic() - self._frame_began)
        # The first frame compiles shaders and builds the scene, and says little about the others.
        usual = self._times[1:] or self._times
        self.mean = sum(usual) / len(usual)

    def encoding(self, frames: int) -> None:
        """So many frames are in the video."""
        total = len(self._numbers)
        self._rendered = self._rendered or time.monotonic() - self._began + self._resumed * self.mean
        share = self._encode / (self._rendered + self._encode)
        self._send(1.0 - share * (1.0 - min(1.0, frames / total)), "Encoding the video", {"frame": frames, "frames": total})

    def _say(self, part: float, more: dict[str, Any] | None = None) -> None:
        total = len(self._numbers)
        done = self._resumed + len(self._times)
        if self._times:
            spent = time.monotonic() - self._began + self._resumed * self.mean
            # While a frame is under way only what it says itself is known, not how long it will take.
            left = max(0.0, total - done - part) * self.mean + self._encode
            fraction = spent / (spent + left)
        else:
            fraction = 0.9 * (done + part) / total
        self._send(fraction, self._stage, {"frame": done, "frames": total, **(more or {})})

    def _send(self, fraction: float, stage_text: str, data: dict[str, Any]) -> None:
        self._highest = max(self._highest, min(1.0, fraction))
        self.context.progress(self._highest, stage_text, data)


def _render(scene: bpy.types.Scene, folder: FrameFolder, missing: list[int], watch: _Watch) -> None:
    import bpy  # noqa: PLC0415

    def stats(text: object, *_: object) -> None:
        if isinstance(text, str):
            watch.sample(text)

    scene.render.filepath = folder.partial
    bpy.app.handlers.render_stats.append(stats)
    try:
        for frame in missing:
            watch.context.check()
            watch.frame(frame)
            scene.frame_start = scene.frame_end = frame
            try:
                bpy.ops.render.render(animation=True, scene=scene.name)
            except RuntimeError as error:
                raise _failed(f"Blender could not render frame {frame}", error, Path(folder.partial).parent) from error
            folder.take(frame)
            watch.finished()
    finally:
        bpy.app.handlers.render_stats.remove(stats)


def _failed(what: str, error: OSError | RuntimeError, folder: Path) -> MotionQueueError:
    """The disk's own error where there is one; Blender often says only that it failed, or not even that."""
    reason = str(error).strip()
    found = disk.problem(error, folder, what) if isinstance(error, OSError) else None
    return found or disk.diagnose(folder, what) or MotionQueueError("render_failed", f"{what}: {reason} {_ADVICE}")


def _prepare(arguments: dict[str, Any], context: ChildContext) -> bpy.types.Scene:
    import bpy  # noqa: PLC0415

    own = bool(arguments["scene"])
    if own:
        open_blend(Path(arguments["scene"]), use_scripts=bool(arguments["trust_scripts"]), role="scene")
        scene = bpy.context.scene
        if arguments["character"]:
            if arguments["in_scene"]:
                _play(scene, Path(arguments["character"]), arguments["armature"])
            else:
                _append(scene, Path(arguments["character"]))
        _choose_camera(scene, arguments["camera"])
    else:
        open_blend(Path(arguments["character"]), use_scripts=False)
        scene = bpy.context.scene
    for name in ("frame_start", "frame_end"):
        if arguments[name]:
            setattr(scene, name, arguments[name])
    _set_output(scene, arguments["resolution"])
    look.set_engine(scene, Engine(arguments["engine"]), arguments["samples"], Device(arguments["device"]), context.log)
    if context.threads:
        scene.render.threads_mode = "FIXED"
        scene.render.threads = context.threads
    if not own:
        context.progress(0.01, "Framing the motion")
        moving = stage.measure(scene, stage.carriers(scene.objects), range(scene.frame_start, scene.frame_end + 1))
        stage.build(scene, moving)
        look.set_stage_look(scene)
    context.check()
    return scene


def _set_output(scene: bpy.types.Scene, resolution: list[int]) -> None:
    """Whatever the file says, the pictures go where this job wants them, whole and in the size asked for."""
    import bpy  # noqa: PLC0415

    render = scene.render
    render.resolution_x, render.resolution_y = resolution
    render.resolution_percentage = 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.use_border = False
    render.use_multiview = False
    render.use_sequencer = False
    render.use_overwrite = True
    render.use_placeholder = False
    render.use_file_extension = True
    scene.frame_step = 1
    compat.still_output(render.image_settings, "PNG")
    render.image_settings.color_mode = "RGB"
    render.image_settings.color_depth = "8"
    render.image_settings.compression = 15
    trees = [
        t for t in (getattr(scene, "node_tree", None), getattr(scene, "compositing_node_group", None), *bpy.data.node_groups) if t
    ]
    for node in (n for tree in trees for n in tree.nodes):
        if node.type == "OUTPUT_FILE":
            node.mute = True


def _choose_camera(scene: bpy.types.Scene, wanted: str) -> None:
    cameras = {o.name: o for o in scene.objects if o.type == "CAMERA"}
    if wanted:
        if wanted not in cameras:
            names = ", ".join(sorted(cameras)[:8]) or "none"
            raise MotionQueueError(
                "no_camera",
                f"The scene has no camera called {wanted!r}. It has: {names}.",
                details={"camera": "not in the scene"},
            )
        scene.camera = cameras[wanted]
    if scene.camera is None:
        raise MotionQueueError("no_camera", "The scene has no active camera. Choose one in Blender, or with the option 'camera'.")


def _append(scene: bpy.types.Scene, path: Path) -> None:
    """Put the retargeted character into the user's scene."""
    import bpy  # noqa: PLC0415

    with bpy.data.libraries.load(str(path), link=False) as (available, wanted):
        wanted.scenes = available.scenes[:1]
    source = wanted.scenes[0]
    for target in source.collection.all_objects:
        scene.collection.objects.link(target)
    scene.frame_start, scene.frame_end = source.frame_start, source.frame_end
    bpy.data.scenes.remove(source)


def _play(scene: bpy.types.Scene, path: Path, armature: str) -> None:
    """Let the scene's own armature play the retargeted action."""
    import bpy  # noqa: PLC0415

    with bpy.data.libraries.load(str(path), link=False) as (available, wanted):
        wanted.actions = available.actions[:1]
    action = wanted.actions[0]
    target = choose_armature([o for o in scene.objects if o.type == "ARMATURE"], armature, "The scene")
    compat.assign_action(target, action)
    scene.frame_start, scene.frame_end = int(action.frame_start), int(action.frame_end)
