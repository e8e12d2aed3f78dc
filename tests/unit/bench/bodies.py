# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions made of nothing but numbers, on the 22-joint body of the motion pack, whose measures are known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from motion_queue.motion import quat
from motion_queue.motion.skeleton import Motion, Skeleton
from motion_queue.scripts.bench.generate_eval import body
from motion_queue.scripts.bench.generate_eval.body import FPS, INDEX, Track

# Sides are mirror images: (joint, offset from the parent in centimetres).
_OFFSETS = {
    "pelvis": (0, 95.5, 0), "hip": (8, -8, 0), "spine1": (0, 11, -2), "knee": (0, -39, 0), "spine2": (0, 13, 0),
    "ankle": (0, -40, 0), "spine3": (0, 6, 2), "foot": (0, -6.5, 13), "neck": (0, 21, -4), "collar": (7.5, 12, -3),
    "head": (0, 8, 4), "shoulder": (9.5, 3, -1), "elbow": (26, 0, 0), "wrist": (25, 0, 0),
}  # fmt: skip


def skeleton() -> Skeleton:
    offsets = [np.array(_OFFSETS[n.split("_")[-1]]) * ([-1, 1, 1] if n.startswith("r_") else [1, 1, 1]) for n in body.JOINTS]
    return Skeleton(names=body.JOINTS, parents=np.array(body.PARENTS), offsets=np.array(offsets, dtype=np.float64))


def motion(frames: int, turns: dict[str, np.ndarray] | None = None, root: np.ndarray | None = None) -> Motion:
    """T-pose, with local rotations [F, 4] of some joints and a path of the pelvis [F, 3] in centimetres."""
    figure = skeleton()
    rotations = np.broadcast_to(quat.IDENTITY, (frames, len(figure), 4)).copy()
    for name, values in (turns or {}).items():
        rotations[:, INDEX[name]] = values
    positions = np.broadcast_to(figure.offsets, (frames, len(figure), 3)).copy()
    if root is not None:
        positions[:, 0] = root
    return Motion(skeleton=figure, rotations=rotations, positions=positions, frame_time=1.0 / FPS)


def standing(frames: int = 90) -> Track:
    """A figure with its arms down that stands on the floor and does nothing."""
    down = {
        f"{side}_shoulder": np.broadcast_to(quat.from_axis_angle([0.0, 0.0, 1.0], np.asarray(sign * np.pi / 2)), (frames, 4))
        for side, sign in (("l", -1.0), ("r", 1.0))
    }
    return body.track(motion(frames, down))


def moved(source: Track, by: np.ndarray) -> Track:
    """Everything shifted by `by` [F, 3] metres."""
    return replace(source, joints=source.joints + by[:, None], soles=source.soles + by[:, None])


def gliding(speed: float, frames: int = 90, direction: int = 2) -> Track:
    """The standing figure pushed over the floor at `speed` metres per second."""
    by = np.zeros((frames, 3))
    by[:, direction] = speed * np.arange(frames) / FPS
    return moved(standing(frames), by)


def turning(degrees: float, frames: int = 90) -> Track:
    """Turns on the spot, to the left, at a steady rate between a still beginning and end."""
    share = np.clip((np.arange(frames) - 15) / (frames - 31), 0.0, 1.0)
    turn = quat.from_axis_angle([0.0, 1.0, 0.0], np.radians(degrees) * share)
    return body.track(motion(frames, {"pelvis": turn}))


def waving(side: str = "l", frames: int = 90) -> Track:
    """One upper arm held out, its forearm up and swinging sideways; the other arm hangs."""
    sign = 1.0 if side == "l" else -1.0
    other = "r" if side == "l" else "l"
    swing = sign * (np.pi / 2 + 0.5 * np.sin(2.0 * np.pi * 1.5 * np.arange(frames) / FPS))
    hang = quat.from_axis_angle([0.0, 0.0, 1.0], np.full(frames, sign * np.pi / 2))
    return body.track(motion(frames, {f"{side}_elbow": quat.from_axis_angle([0.0, 0.0, 1.0], swing), f"{other}_shoulder": hang}))
