# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips for the tests of clean motion: by formula, of the motion pack, and with the faults that generated motion has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from motion_queue.motion import quat
from motion_queue.motion.clip_map import map_motion
from motion_queue.motion.kinematics import world
from motion_queue.motion.legs import find_legs
from motion_queue.motion.skeleton import Motion, Skeleton
from motion_queue.scripts.make_sample import skeleton

METRE = 100.0


def standing(frames: int = 60, fps: float = 30.0) -> Motion:
    """Somebody who stands still with slightly bent knees, feet on the floor at 0, in centimetres."""
    body = skeleton()
    rotations = np.tile(quat.IDENTITY, (frames, len(body), 1))
    for side in "lr":
        for part, degrees in (("hip", -14.0), ("knee", 28.0), ("ankle", -14.0)):
            at = body.names.index(f"{side}_{part}")
            rotations[:, at] = quat.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.radians(degrees))
    positions = np.tile(body.offsets, (frames, 1, 1))
    motion = Motion(skeleton=body, rotations=rotations, positions=positions, frame_time=1.0 / fps)
    legs = find_legs(motion, map_motion(motion), up=1)
    positions[:, 0, 1] -= legs.soles(*world(motion))[0, :, :2, 1].min()
    return motion


def moved(motion: Motion, shift: np.ndarray) -> Motion:
    """The clip with its root moved by `shift` [F, 3]."""
    positions = motion.positions.copy()
    positions[:, 0] += shift
    return replace(motion, positions=positions)


def wavering(shape: tuple[int, ...], seed: int, frames: float = 7.5) -> np.ndarray:
    """Slow noise of variance one along the first axis."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(shape[0] + 80, *shape[1:]))
    frequency = np.fft.rfftfreq(len(raw)).reshape(-1, *[1] * (len(shape) - 1))
    slow = np.fft.irfft(np.fft.rfft(raw, axis=0) * np.exp(-0.5 * (2 * np.pi * frequency * frames) ** 2), len(raw), axis=0)
    return np.asarray((slow / slow.std())[40 : 40 + shape[0]])


def generated(motion: Motion, seed: int = 0) -> Motion:
    """As a model would make it: the root wavers by 1 cm, every joint by 3 degrees."""
    turn = wavering((len(motion), len(motion.skeleton), 3), seed) * np.radians(3.0) / np.sqrt(3.0)
    angle = np.linalg.norm(turn, axis=-1)
    rotations = quat.mul(motion.rotations, quat.from_axis_angle(turn / np.maximum(angle, 1e-12)[..., None], angle))
    return moved(replace(motion, rotations=quat.continuous(rotations)), wavering((len(motion), 3), seed + 1000))


def of_pack(path: Path, name: str) -> Motion:
    """A clip of the motion pack."""
    with np.load(path) as data:
        at = [str(i) for i in data["ids"]].index(name)
        rows = slice(int(data["starts"][at]), int(data["starts"][at] + data["lengths"][at]))
        names, parents = tuple(str(n) for n in data["names"]), data["parents"].astype(np.int64)
        body = Skeleton(names=names, parents=parents, offsets=data["offsets"].astype(np.float64))
        rotations, root = quat.normalize(data["rotations"][rows]), data["root"][rows].astype(np.float64)
        fps = float(data["fps"])
    positions = np.tile(body.offsets, (len(rotations), 1, 1))
    positions[:, 0] = root
    return Motion(skeleton=body, rotations=quat.continuous(rotations), positions=positions, frame_time=1.0 / fps)


def bone_lengths(motion: Motion) -> np.ndarray:
    """[F, J - 1] in the world."""
    points = world(motion)[1]
    return np.asarray(np.linalg.norm(points[:, 1:] - points[:, motion.skeleton.parents[1:]], axis=-1))
