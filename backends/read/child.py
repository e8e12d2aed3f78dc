# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads one clip and writes it clean. Runs in a plain Python child; knows files and arrays, no jobs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...motion.bvh import read_bvh, write_bvh
from ...motion.errors import MotionError
from ...motion.kinematics import resample
from ..protocol import ChildContext

_NAMED_RATES = (23.976, 29.97, 47.952, 59.94, 119.88)


def run(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    """Arguments: clip, target (paths); name (of the clip, for people); fps, frame_start, frame_end (1-based, inclusive).

    Each of the last three may be None.
    """
    context.progress(0.0, "Reading the clip")
    motion = read_bvh(Path(arguments["clip"]))
    if len(motion) == 0:
        raise MotionError("no_frames", f"{arguments['name']} has a skeleton but no frames. Choose a file with motion in it.")
    notes = list(motion.notes)
    context.check()

    first = arguments["frame_start"] or 1
    last = arguments["frame_end"] or len(motion)
    if first > len(motion):
        raise MotionError(
            "bad_range",
            f"The clip has {len(motion)} frames, so it cannot begin at frame {first}.",
            details={"frame_start": "after the end"},
        )
    if last > len(motion):
        notes.append(f"The clip has only {len(motion)} frames; frame_end {last} was taken as {len(motion)}.")
        last = len(motion)
    motion = motion.cut(first - 1, last)

    fps = nominal_fps(motion.fps)
    motion = replace(motion, frame_time=1.0 / fps)
    wanted = arguments["fps"]
    if wanted is not None and abs(wanted - fps) > 1e-3:
        context.progress(0.5, f"Resampling to {wanted:g} frames a second")
        motion = resample(motion, wanted)
        fps = float(wanted)
    context.check()

    context.progress(0.7, "Writing the clip")
    Path(arguments["target"]).write_bytes(write_bvh(motion))
    context.log("info", f"Read {arguments['name']}: {len(motion)} frames at {fps:g} a second, {len(motion.skeleton)} joints.")
    for note in notes:
        context.log("info", note)
    return {
        "frames": len(motion),
        "fps": fps,
        "seconds": round(len(motion) / fps, 6),
        "joints": len(motion.skeleton),
        "notes": notes[:20],
    }


def nominal_fps(fps: float) -> float:
    """The rate that a rounded frame time stands for: 0.033333 s is 30 frames a second, 0.0417083 s is 23.976."""
    for named in (float(round(fps)), *_NAMED_RATES):
        if named > 0 and abs(fps - named) < 2e-4 * named:
            return named
    return fps
