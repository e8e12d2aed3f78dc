# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns a finished motion into the keys of a rig's controls, as `fit` does for plain armatures.

Runs in a Blender child, since only a Blender can show what the controls of such a rig do; it has a copy of the rig.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...motion import reduce
from ...motion.bvh import read_bvh
from ...motion.errors import MotionError
from ...motion.kinematics import resample
from ...motion.reduce import Keys
from ...motion.retarget import retarget
from ...motion.rigify import posable
from ..protocol import ChildContext
from . import load
from .controls import KEYED, solve_controls
from .fit import ROTATION_PATHS, Track, in_mode, location_keys, save_fitted
from .rig import read_rig

ENTRY = "backends.retarget.fit_controls:run"
_LOADED, _MAPPED, _SOLVED = 0.2, 0.4, 0.8  # shares of the time


def run(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    """Arguments: clip, character, target (paths), armature (its name); fps (None: frames as they are), tolerance (radians).

    Raises those of `fit.run`, `load_character` and `solve_controls`.
    """
    context.progress(0.0, "Reading the rig")
    armature = load.load_character(arguments["character"], arguments["armature"])
    motion = read_bvh(Path(arguments["clip"]))
    if len(motion) == 0:
        raise MotionError("no_frames", "The motion has no frames, so there is nothing to apply.")
    if arguments["fps"] is not None:
        motion = resample(motion, arguments["fps"])
    context.check()
    context.progress(_LOADED, "Retargeting")
    whole, unit = read_rig(armature)
    rig = posable(whole)
    pose = retarget(motion, rig)
    context.check()
    context.progress(_MAPPED, "Trying the controls")
    keys, switches = solve_controls(armature, rig, pose, unit)
    context.check()
    context.progress(_SOLVED, "Reducing the curves")
    tolerance = float(arguments["tolerance"])
    tracks: list[Track] = []
    for key in keys:
        if key.what == "location":
            tracks.append(Track(bone=key.bone, path="location", keys=location_keys(key.values * unit, tolerance)))
            continue
        mode = armature.pose.bones[key.bone].rotation_mode
        values, distance = in_mode(key.values[:, None], mode)
        reduced = reduce.reduce(values, tolerance, distance)[0]
        tracks.append(Track(bone=key.bone, path=ROTATION_PATHS.get(mode, "rotation_euler"), keys=reduced))
    for switch in switches:
        one = Keys(frames=np.zeros(1, dtype=np.int64), values=np.array([[switch.value]]), slopes=np.zeros((1, 1)))
        tracks.append(Track(bone=switch.bone, path=f'["{switch.name}"]', keys=one))
    save_fitted(Path(arguments["target"]), tracks, root="", frames=len(pose), notes=[*pose.notes, KEYED])
    context.progress(1.0, "Ready")
    return {"frames": len(pose), "keys": sum(len(track.keys) for track in tracks), "mapped": len(keys)}
