# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargets one clip onto one character and writes .blend and .fbx. Runs only inside a child Blender.

The mathematics is in `motion`, an armature's arrays are in `rig` and its action in `write`; this module joins them.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...motion import joint_maps
from ...motion.bvh import read_bvh, write_bvh
from ...motion.clip_map import map_motion
from ...motion.errors import MotionError
from ...motion.humanoid import JointMap
from ...motion.retarget import RetargetOptions, map_rig, retarget
from ...motion.rig import Rig
from ...motion.rig_motion import to_motion
from ...motion.rigify import posable
from ...motion.travel import Travel
from ...queue.errors import MotionQueueError
from .. import disk
from ..protocol import ChildContext
from ..render.video import set_fps
from . import load
from .rig import read_rig
from .write import write_pose

if TYPE_CHECKING:
    import bpy

# Shares of the step's time, measured on clips of 100 to 300 frames
_LOADED, _MAPPED, _WRITTEN, _SAVED = 0.12, 0.25, 0.32, 0.40


def run(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    """Arguments: clip, character ("" for the mannequin), armature, fps (0: the clip's), name; blend, fbx, bvh (paths to write, ""
    for none); map (path of a joint map, "" for none), foot_lock, hand_contacts, travel, start ([x, y] in metres or None), heading
    (degrees or None).

    Raises `MotionQueueError` and `MotionError`: those of `load_character`, joint maps and `retarget`, export_failed, disk_full.
    """
    import bpy  # noqa: PLC0415

    context.progress(0.0, "Loading the character")
    armature = load.load_character(arguments["character"], arguments["armature"])
    scene = bpy.context.scene
    context.check()

    context.progress(_LOADED, "Retargeting")
    motion = read_bvh(Path(arguments["clip"]))
    if len(motion) == 0:
        raise MotionError("no_frames", "The clip has no frames.")
    whole, unit = read_rig(armature)
    rig = posable(whole)
    source_map, target_map = map_motion(motion), _given_map(arguments["map"], rig) or map_rig(rig)
    pose = retarget(motion, rig, source_map=source_map, target_map=target_map, options=_options(arguments))
    context.check()

    context.progress(_MAPPED, "Writing the action")
    fps = arguments["fps"] or motion.fps
    scene.frame_start, scene.frame_end = 1, len(pose)
    scene.frame_current = 1
    set_fps(scene, fps)
    action, prepared = write_pose(armature, rig, pose, unit, name=arguments["name"])
    notes = [*pose.notes, *prepared]
    for note in notes:
        context.log("info", note)
    context.check()

    context.progress(_WRITTEN, "Saving the character")
    if arguments["bvh"]:
        _write_clip(Path(arguments["bvh"]), write_bvh(to_motion(rig, pose, fps)))
    if arguments["blend"]:
        _pack(context)
        _write(
            "save the character", bpy.ops.wm.save_as_mainfile, filepath=arguments["blend"], compress=False, check_existing=False
        )
    context.check()

    if arguments["fbx"]:
        context.progress(_SAVED, "Exporting FBX")
        _export_fbx(arguments["fbx"], scene, context)
    context.log(
        "info", f"Retargeted {len(pose)} frames onto {armature.name}: {len(pose.mapped)} of its {len(rig.names)} bones move."
    )
    context.progress(1.0, "Retargeted")
    return {
        "armature": armature.name,
        "action": action.name,
        "bones": len(rig.names),
        "mapped": len(pose.mapped),
        "frames": len(pose),
        "fps": fps,
        "scale": pose.scale,
        "source": _found(source_map),
        "target": _found(target_map),
        "notes": notes[:20],
    }


def _found(joints: JointMap) -> dict[str, Any]:
    """How a body was found, and the joint of it that is least sure."""
    least = min(joints.confidence, key=lambda name: joints.confidence[name])
    return {"preset": joints.preset, "least": least, "confidence": joints.confidence[least]}


def _given_map(path: str, rig: Rig) -> JointMap | None:
    if not path:
        return None
    wanted = joint_maps.from_json(Path(path).read_bytes())
    return joint_maps.joint_map_from_names(wanted, rig.names, rig.parents, rig.heads, rig.tails)


def _options(arguments: dict[str, Any]) -> RetargetOptions:
    start, heading = arguments["start"], arguments["heading"]
    return RetargetOptions(
        foot_lock=arguments["foot_lock"],
        hand_contacts=arguments["hand_contacts"],
        travel=Travel(arguments["travel"]),
        start=None if start is None else (float(start[0]), float(start[1])),
        heading=None if heading is None else math.radians(heading),
    )


def _pack(context: ChildContext) -> None:
    """Take the textures into the file, so that it renders wherever it is opened."""
    import bpy  # noqa: PLC0415

    for image in bpy.data.images:
        if image.source != "FILE" or image.packed_file:
            continue
        if Path(bpy.path.abspath(image.filepath, library=image.library)).is_file():
            image.pack()
        else:
            context.log("warning", f"The texture {image.filepath} of {image.name} is missing; the character is shown without it.")


def _export_fbx(path: str, scene: bpy.types.Scene, context: ChildContext) -> None:
    """Armature, meshes and the one action. The exporter evaluates every frame, which is where the time goes: report it."""
    import bpy  # noqa: PLC0415

    load.enable_addon("io_scene_fbx")
    total = scene.frame_end - scene.frame_start + 1
    seen = 0

    def stepped(*_: object) -> None:
        nonlocal seen
        seen = min(seen + 1, total)
        context.progress(_SAVED + (0.98 - _SAVED) * seen / total, "Exporting FBX")

    bpy.app.handlers.frame_change_post.append(stepped)
    try:
        _write(
            "export the FBX",
            bpy.ops.export_scene.fbx,
            filepath=path,
            object_types={"ARMATURE", "MESH", "EMPTY"},
            use_mesh_modifiers=False,
            add_leaf_bones=False,
            bake_anim=True,
            bake_anim_use_all_bones=True,
            bake_anim_use_nla_strips=False,
            bake_anim_use_all_actions=False,
            bake_anim_force_startend_keying=True,
            bake_anim_simplify_factor=0.0,
            path_mode="COPY",
            embed_textures=True,
            check_existing=False,
        )
    finally:
        bpy.app.handlers.frame_change_post.remove(stepped)


def _write_clip(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise disk.problem(error, path.parent, "The BVH could not be written") or MotionQueueError(
            "output_not_writable", f"Cannot write {path}: {error.strerror or error}."
        ) from error


def _write(what: str, operator: Any, **options: Any) -> None:
    """Call an operator that writes a file. Blender reports a failed write only as text."""
    target = Path(options["filepath"])
    failed = f"Blender could not {what}"
    try:
        result = operator(**options)
    except RuntimeError as error:
        raise disk.diagnose(target.parent, failed) or MotionQueueError(
            "export_failed", f"{failed}: {str(error).strip()} Retry the job; if it fails again, try another character file."
        ) from error
    if "FINISHED" not in result or not target.is_file():
        raise disk.diagnose(target.parent, failed) or MotionQueueError(
            "export_failed", f"{failed}. The job's log has its reason; retry the job."
        )
