# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark asks its Blenders to do. Each task takes and gives JSON values. Runs only inside a Blender."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....backends.retarget.load import load_character
from . import ours, posing, rigs, sources
from .judge import judge

if TYPE_CHECKING:
    import bpy

LOCKED, FREE = "ours", "ours, feet free"


def do_build(rig: str, target: str) -> dict[str, Any]:
    rigs.build(rig, Path(target))
    return {}


def do_judge(
    rig: str, character: str, data: str, clips: list[str], makers: list[str], peers: Mapping[str, str]
) -> dict[str, Any]:
    """Each clip onto one rig by everybody: {clip: {maker: verdict, times and what went wrong}}."""
    table = rigs.by_name(rig)
    found: dict[str, Any] = {}
    for clip in (c for c in sources.CLIPS if c.name in clips):
        path = Path(data) / clip.file
        source = sources.read(path, clip.skeleton)
        found[clip.name] = {"frames": len(source), "fps": source.fps}
        for maker in makers:
            armature = _fresh(character)
            times = ours.make(path, armature, lock=maker == LOCKED)
            verdict = judge(source, posing.look(armature, table, first=1, frames=len(source), fps=source.fps))
            found[clip.name][maker] = {"verdict": verdict.to_json(), "seconds": times.total}
    return found


def _fresh(character: str) -> bpy.types.Object:
    """The character in a Blender that has nothing else."""
    import bpy  # noqa: PLC0415

    bpy.ops.wm.read_factory_settings(use_empty=True)
    return load_character(character, "")
