# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the skeleton of a character file, for joint maps. Runs only inside a child Blender; knows no clip and maps nothing."""

from __future__ import annotations

from typing import Any

from ..protocol import ChildContext
from . import load
from .rig import read_rig


def run(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    """Arguments: character (path), armature (name, or "" for the only one).

    Returns armature, names, parents, heads and tails (metres, Z up), parents before children. Raises `MotionQueueError` and
    `MotionError`: those of `load_character`, bad_rig.
    """
    context.progress(0.0, "Loading the character")
    armature = load.load_character(arguments["character"], arguments["armature"])
    context.check()
    rig, _ = read_rig(armature)
    context.progress(1.0, "Loaded")
    return {
        "armature": armature.name,
        "names": list(rig.names),
        "parents": rig.parents.tolist(),
        "heads": rig.heads.tolist(),
        "tails": rig.tails.tolist(),
    }
