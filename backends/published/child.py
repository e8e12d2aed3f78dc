# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a clip of the features that a published model wrote, and edits it. Runs in a plain Python child of this package."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ...motion.bvh import write_bvh
from ...motion.from_features import humanml3d_motion, snapmogen_motion
from ...motion.humanoid import find_joints
from ...motion.kinematics import resample
from ...motion.skeleton import Motion
from ...queue.errors import MotionQueueError
from ..generate.edits import Edits, apply
from ..protocol import ChildContext
from .model import Which

_MAX_BYTES = 64 * 2**20


def convert(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    """Arguments: which, features (.npz), target (.bvh); for MoMask++ also offsets, of its bones at rest. Optional: edits (fields
    of `Edits`), fps.

    Raises `MotionError` bad_features, bad_edit, `MotionQueueError` published_output_unreadable.
    """
    path = Path(arguments["features"])
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes are more than a motion has")
        with np.load(path, allow_pickle=False) as archive:
            features = archive["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MotionQueueError(
            "published_output_unreadable", f"What the model wrote to {path} cannot be read ({error}). Retry the job."
        ) from error
    context.check()
    if arguments["which"] == Which.MOMASK:
        motion = humanml3d_motion(features)
    else:
        offsets = np.asarray(arguments["offsets"], dtype=np.float64)
        motion = snapmogen_motion(features, offsets)
    context.check()
    motion = _as_asked(motion, Edits(**arguments.get("edits", {})), arguments.get("fps"))
    context.check()
    Path(arguments["target"]).write_bytes(write_bvh(motion))
    return {
        "frames": len(motion),
        "fps": round(motion.fps, 6),
        "seconds": round(motion.duration, 6),
        "joints": len(motion.skeleton),
    }


def _as_asked(motion: Motion, edits: Edits, fps: float | None) -> Motion:
    if edits:
        skeleton = motion.skeleton
        motion = apply(motion, edits, find_joints(skeleton.names, skeleton.parents, skeleton.rest_positions()))
    if fps is not None and abs(fps - motion.fps) > 1e-3:
        motion = resample(motion, fps)
    return motion
