# SPDX-License-Identifier: GPL-3.0-or-later
"""Seamless loops of a clip: where to cut, and how to spread what is left over. The travelled way and the turn are kept.

Bone lengths stay: rotations change, and the root's path. Feet may slide a little where the difference is spread: clean the loop
repeated thrice and take the middle (`repeat`). The clip's first joint is its root.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import quat
from .errors import MotionError
from .kinematics import world
from .offsets import about, exp, fade, heading_change, log
from .quat import Array
from .skeleton import Motion

_LOST = 0.03  # metres of mean joint distance that the loss of the whole clip would be worth


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A clip whose last frame leads into its first, once that is moved by `travel` and turned by `turn`."""

    motion: Motion
    start: int  # frames of the source that it was made of
    stop: int
    travel: Array  # [3] the root's way in one round, level, in the clip's unit; zero when it was made to stay in place
    turn: float  # radians about the vertical in one round, as seen by the first frame
    gap: float  # degrees, the mean over joints by which the source's pose missed at the seam


def find_cut(motion: Motion, *, metre: float, up: int = 1, shortest: float = 0.6) -> tuple[int, int]:
    """The frames at which the clip's poses and speeds agree best, at least `shortest` seconds apart: loop from the first up to,
    without, the second. Longer loops win where two are about as good."""
    frames = len(motion)
    least = max(4, round(shortest / motion.frame_time))
    if frames <= least + 1:
        return 0, frames
    rotations, points = world(motion)
    turn = about(-heading_change(rotations[0, 0], rotations[:, 0], up), up)[:, None]
    flat = points[:, :1].copy()
    flat[..., up] = 0.0
    own = quat.rotate(turn, points - flat) / metre
    speed = quat.rotate(turn, np.gradient(points, motion.frame_time, axis=0)) / metre
    feature = np.concatenate([own, 0.15 * speed], axis=1).reshape(frames, -1) / np.sqrt(2 * own.shape[1])
    # One diagonal of the table of distances at a time would be a loop; blocks of rows bound the memory.
    best, cut = np.inf, (0, frames)
    square = np.sum(feature**2, axis=1)
    for first in range(0, frames - least, 512):
        rows = np.arange(first, min(first + 512, frames - least))
        distance = np.sqrt(np.maximum(square[rows, None] + square - 2.0 * feature[rows] @ feature.T, 0.0))
        length = np.arange(frames) - rows[:, None]
        score = np.where(length >= least, distance + _LOST * (1.0 - length / frames), np.inf)
        at = int(np.argmin(score))
        if score.flat[at] < best:
            best, cut = float(score.flat[at]), (int(rows[at // frames]), at % frames)
    return cut


def make_loop(motion: Motion, *, metre: float, up: int = 1, cut: bool = True, blend: float = 0.4, in_place: bool = False) -> Loop:
    """The clip as a seamless loop: cut at the best place (or whole), and the rest of the difference in pose and speed spread
    over `blend` seconds at both ends. With `in_place` the root stays about where it is, at even speed taken out.

    `MotionError("bad_edit")` for a clip of fewer than four frames.
    """
    if len(motion) < 4:
        raise MotionError("bad_edit", f"A clip of {len(motion)} frames is too short for a loop: give at least 4 frames.")
    start, stop = find_cut(motion, metre=metre, up=up) if cut else (0, len(motion))
    part = motion.cut(start, stop)
    frames = len(part)
    rotations, root = part.rotations, part.positions[:, 0]
    # The frame that the first one stands for on the next round; where the clip has no more, it goes on as it went.
    if stop < len(motion):
        next_r, next_p = motion.rotations[stop], motion.positions[stop, 0]
    else:
        next_r = quat.mul(rotations[-1], quat.mul(quat.inverse(rotations[-2]), rotations[-1]))
        next_p = 2.0 * root[-1] - root[-2]
    turn = float(heading_change(rotations[0, 0], next_r[0], up))
    back = about(-turn, up)
    came_r = next_r.copy()
    came_r[0] = quat.mul(back, next_r[0])

    speed_0 = log(quat.mul(quat.inverse(rotations[0]), rotations[1]))
    speed_n = log(quat.mul(quat.inverse(rotations[-1]), next_r))
    middle = quat.slerp(rotations[0], came_r, 0.5)
    length = max(2, min(round(blend / motion.frame_time), frames // 2))
    even = 0.5 * (speed_0 + speed_n)
    offset = _both_ends(
        log(quat.mul(quat.inverse(rotations[0]), middle)), even - speed_0,
        log(quat.mul(quat.inverse(came_r), middle)), even - speed_n, frames, length,
    )  # fmt: skip
    rotations = quat.mul(rotations, exp(offset))

    move_0, move_n = root[1] - root[0], quat.rotate(back, next_p - root[-1])
    even = 0.5 * (move_0 + move_n)
    rise = np.zeros(3)
    rise[up] = 0.5 * (next_p[up] - root[0, up])
    first, last = fade(rise, even - move_0, frames, length), fade(-rise, -(even - move_n), frames + 1, length)[::-1][:-1]
    root = root + first + quat.rotate(about(turn, up), last)
    travel = next_p - part.positions[0, 0]
    travel[up] = 0.0
    if in_place:
        root = root - travel * (np.arange(frames) / frames)[:, None]
        travel = np.zeros(3)
    positions = part.positions.copy()
    positions[:, 0] = root
    return Loop(
        motion=replace(part, rotations=quat.continuous(rotations), positions=positions),
        start=start,
        stop=stop,
        travel=travel,
        turn=turn,
        gap=float(np.degrees(quat.angle(motion.rotations[start], came_r).mean())),
    )


def _both_ends(value_0: Array, slope_0: Array, value_n: Array, slope_n: Array, frames: int, length: int) -> Array:
    """An offset [frames, ...] that fades after the first frame, and towards the frame after the last."""
    return fade(value_0, slope_0, frames, length) + fade(value_n, -slope_n, frames + 1, length)[::-1][:-1]


def repeat(loop: Loop, times: int, *, up: int = 1) -> Motion:
    """The loop `times` times on end, each round going on where the one before ended."""
    if times < 1:
        raise MotionError("bad_edit", f"A loop can be repeated once or more often, not {times} times.")
    motion = loop.motion
    rotations, positions = [motion.rotations], [motion.positions]
    origin, shift = motion.positions[0, 0], np.zeros(3)
    for round_ in range(1, times):
        shift = shift + quat.rotate(about(loop.turn * (round_ - 1), up), loop.travel)
        turn = about(loop.turn * round_, up)
        local, moved = motion.rotations.copy(), motion.positions.copy()
        local[:, 0] = quat.mul(turn, local[:, 0])
        moved[:, 0] = origin + shift + quat.rotate(turn, moved[:, 0] - origin)
        rotations.append(local)
        positions.append(moved)
    return replace(motion, rotations=quat.continuous(np.concatenate(rotations)), positions=np.concatenate(positions))
