# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark asks its Blenders to do. Each task takes and gives JSON values. Runs only inside a Blender."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....backends.retarget.load import enable_addon, load_character
from . import ours, peers, posing, rigs, sheets, sources
from .judge import Body, angles, judge

if TYPE_CHECKING:
    import bpy

LOCKED, FREE = "ours", "ours, feet free"


def do_build(rig: str, target: str) -> dict[str, Any]:
    rigs.build(rig, Path(target))
    return {}


def do_judge(
    rig: str,
    character: str,
    data: str,
    clips: list[str],
    peer_clips: list[str],
    makers: list[str],
    peer_folders: Mapping[str, str],
) -> dict[str, Any]:
    """Each clip onto one rig by everybody: {clip: {maker: {verdict, seconds} or {failed}}}."""
    table = rigs.by_name(rig)
    loaded = peers.load(peer_folders)
    found: dict[str, Any] = {}
    for clip in (c for c in sources.CLIPS if c.name in clips):
        path = Path(data) / clip.file
        source = sources.read(path, clip.skeleton)
        found[clip.name] = {}
        for maker in makers:
            if maker not in (LOCKED, FREE) and clip.name not in peer_clips:
                continue
            armature = _fresh(character)
            if maker in (LOCKED, FREE):
                try:
                    seconds = ours.make(path, armature, lock=maker == LOCKED).total
                except Exception as error:  # one case that fails is a figure, and no reason to lose the others
                    traceback.print_exc()
                    found[clip.name][maker] = {"failed": f"{type(error).__name__}: {error}"}
                    continue
            else:
                imported, reading = peers.import_clip(path)
                skeleton = sources.SKELETONS[clip.skeleton]
                peer = loaded[peers.KEEMAP if maker == peers.KEEMAP else peers.ROKOKO]
                if maker != peers.DETECTED:
                    peers.lift(imported, skeleton, _sunk(imported, skeleton, source))
                try:
                    seconds = reading + peers.retarget(maker, peer, imported, armature, skeleton, table, len(source))
                except peers.PeerFailed as failed:
                    found[clip.name][maker] = {"failed": str(failed)}
                    continue
            verdict = judge(source, posing.look(armature, table, first=1, frames=len(source), fps=source.fps))
            found[clip.name][maker] = {"verdict": verdict.to_json(), "seconds": seconds, "frames": len(source)}
    return found


def do_time(
    rig: str,
    character: str,
    clip: str,
    skeleton: str,
    rounds: int,
    makers: list[str],
    peer_folders: Mapping[str, str],
    short: str,
) -> dict[str, Any]:
    """Seconds of each round, turn about: {maker: {part: [seconds]}}. KeeMap, whose time is in each frame, gets the short clip."""
    table, body = rigs.by_name(rig), sources.SKELETONS[skeleton]
    loaded = peers.load(peer_folders)
    found: dict[str, Any] = {"frames": {}}
    for number in range(rounds + 1):
        for maker in makers:
            # The first round warms caches and imports what is imported once; peers, which take long, do without
            if number == 0 and maker not in (LOCKED, FREE):
                continue
            path = Path(short if maker == peers.KEEMAP else clip)
            armature = _fresh(character)
            if maker in (LOCKED, FREE):
                times = ours.make(path, armature, lock=maker == LOCKED)
                parts = {"read": times.read, "solve": times.solve, "write": times.write, "total": times.total}
                frames = _length(armature)
            else:
                imported, reading = peers.import_clip(path)
                frames = _length(imported)
                seconds = peers.retarget(maker, loaded[maker], imported, armature, body, table, frames)
                parts = {"read": reading, "solve": seconds, "total": reading + seconds}
            found["frames"][maker] = frames
            if number:
                for part, value in parts.items():
                    found.setdefault(maker, {}).setdefault(part, []).append(value)
    return found


def do_trip(rig: str, character: str, data: str, clips: list[str], work: str) -> dict[str, Any]:
    """Each clip onto the rig, and from there back onto its own skeleton: {clip: {joint: mean degrees}}."""
    found: dict[str, Any] = {}
    for clip in (c for c in sources.CLIPS if c.name in clips and sources.SKELETONS[c.skeleton].stands):
        path, there = Path(data) / clip.file, Path(work) / f"{rig}-{clip.name}.bvh"
        armature = _fresh(character)
        ours.make(path, armature, lock=False)
        frames = _length(armature)
        _export(armature, there, frames)
        _empty()
        home, _ = peers.import_clip(path)
        bones = sources.SKELETONS[clip.skeleton].mapped()
        asked = posing.sample(home, list(bones.values()), first=1, frames=frames)
        home.animation_data.action = None
        for bone in home.pose.bones:
            bone.matrix_basis.identity()
        ours.make(there, home, lock=False)
        got = posing.sample(home, list(bones.values()), first=1, frames=frames)
        found[clip.name] = {
            joint: float(angles(asked[bone][:, :3, :3], got[bone][:, :3, :3]).mean()) for joint, bone in bones.items()
        }
    return found


def do_sheet(rig: str, character: str, data: str, clips: list[str], target: str) -> dict[str, Any]:
    """Draw the clips on one rig, what they are above what became of them."""
    table, rows = rigs.by_name(rig), []
    for clip in (c for c in sources.CLIPS if c.name in clips):
        path = Path(data) / clip.file
        source = sources.read(path, clip.skeleton)
        armature = _fresh(character)
        ours.make(path, armature, lock=True)
        floor = posing.look(armature, table, first=1, frames=1, fps=source.fps).floor
        at = sheets.moments(len(source))
        rows.append((f"{clip.name}:\nthe clip", [sheets.of_source(source, int(f)) for f in at]))
        rows.append((f"on\n{rig}", sheets.of_target(armature, table, [1 + int(f) for f in at], floor)))
    sheets.draw(rows, Path(target))
    return {}


def do_readings(data: str, clips: list[str]) -> dict[str, float]:
    """The farthest that the judge's own reading of a clip is from Blender's importer, in metres over the ground and in height."""
    found: dict[str, float] = {}
    for clip in (c for c in sources.CLIPS if c.name in clips):
        path, skeleton = Path(data) / clip.file, sources.SKELETONS[clip.skeleton]
        body = sources.read(path, clip.skeleton)
        _empty()
        imported, _ = peers.import_clip(path)
        peers.lift(imported, skeleton, _sunk(imported, skeleton, body))
        bones = {joint: bone for joint, bone in skeleton.mapped().items() if joint in body.joints}
        places = posing.sample(imported, list(bones.values()), first=1, frames=len(body))
        found[clip.name] = max(
            float(np.linalg.norm(places[bone][:, :3, 3] - body.joints[joint], axis=1).max()) for joint, bone in bones.items()
        )
    return found


def _sunk(imported: bpy.types.Object, skeleton: sources.Skeleton, body: Body) -> float:
    """How far Blender's importer has a clip below where it is: it takes every root's channel for its place."""
    bone = skeleton.mapped()["hip_l"]
    return float(body.joints["hip_l"][0, 2] - posing.sample(imported, [bone], first=1, frames=1)[bone][0, 2, 3])


def _export(armature: bpy.types.Object, target: Path, frames: int) -> None:
    """By Blender's own exporter, which writes the armature's own space."""
    import bpy  # noqa: PLC0415

    bpy.ops.object.select_all(action="DESELECT")
    armature.select_set(True)
    bpy.context.view_layer.objects.active = armature
    enable_addon("io_anim_bvh")
    bpy.ops.export_anim.bvh(
        filepath=str(target),
        frame_start=1,
        frame_end=frames,
        rotate_mode="NATIVE",
        root_transform_only=True,
        check_existing=False,
    )


def _length(armature: bpy.types.Object) -> int:
    played = armature.animation_data.action.frame_range
    return round(float(played[1])) - max(1, round(float(played[0]))) + 1


def _empty() -> None:
    import bpy  # noqa: PLC0415

    bpy.ops.wm.read_factory_settings(use_empty=True)


def _fresh(character: str) -> bpy.types.Object:
    """The character in a Blender that has nothing else."""
    _empty()
    return load_character(character, "")
