# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of a finished clip: begin or end in a given pose, go faster, another way, or round a bend. Knows no feet.

Bone lengths stay: rotations change, and the root's path. Feet slide after an edit of the path: find their contacts before it
(`clean.foot_contacts`) and hand them to `clean.clean` afterwards. The clip's first joint is its root.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import quat
from .errors import MotionError
from .offsets import about, exp, heading_change, log, step
from .quat import Array
from .skeleton import Motion
from .smooth import low_pass

_SWAY = 0.7  # Hz: what of a root's path is faster is sway about the way, not the way


def blend_to_pose(
    motion: Motion,
    pose: Array,
    *,
    at_end: bool,
    seconds: float = 0.5,
    height: float | None = None,
    keep_heading: bool = True,
    up: int = 1,
) -> Motion:
    """The clip with its first frame (or its last, `at_end`) in `pose` [J, 4], reached over `seconds` without a jump in speed.

    `height` is the root's on axis `up` in that pose (None: as the clip has it). With `keep_heading` the pose is turned about the
    vertical to where the clip looks. `MotionError("bad_edit")` when the pose does not fit the skeleton.
    """
    joints = len(motion.skeleton)
    pose = np.asarray(pose, dtype=np.float64)
    if pose.shape != (joints, 4) or not np.isfinite(pose).all():
        raise MotionError(
            "bad_edit", f"A pose for this skeleton has {joints} rotations of 4 finite numbers, not shape {pose.shape}."
        )
    if len(motion) == 0:
        return motion
    edge, frames = (-1 if at_end else 0), len(motion)
    goal = quat.normalize(pose)
    if keep_heading:
        goal[0] = quat.mul(about(heading_change(goal[0], motion.rotations[edge, 0], up), up), goal[0])
    reach = max(1.0, min(round(seconds / motion.frame_time), frames - 1))
    t = np.arange(frames, dtype=np.float64)
    share = step(1.0 - (t[::-1] if at_end else t) / reach)
    offset = log(quat.mul(quat.inverse(motion.rotations[edge]), goal))
    positions = motion.positions.copy()
    if height is not None:
        positions[:, 0, up] += share * (height - positions[edge, 0, up])
    rotations = quat.mul(motion.rotations, exp(share[:, None, None] * offset))
    return replace(motion, rotations=quat.continuous(rotations), positions=positions)


def change_speed(motion: Motion, factor: float, *, stride: float = 0.5, up: int = 1) -> Motion:
    """The clip going `factor` times as fast: a share `stride` of that (as a power) by longer steps, the rest in less time.

    0 keeps the steps as they are, 1 keeps the time and every frame in its place. `MotionError("bad_edit")` outside 0.1 to 10.
    """
    if not (np.isfinite(factor) and 0.1 <= factor <= 10.0):
        raise MotionError("bad_edit", f"A motion can be made 0.1 to 10 times as fast, not {factor} times.")
    longer, quicker = factor**stride, factor ** (1.0 - stride)
    positions = motion.positions.copy()
    flat = np.arange(3) != up
    positions[:, 0, flat] = positions[:1, 0, flat] + longer * (positions[:, 0, flat] - positions[:1, 0, flat])
    return retime(replace(motion, positions=positions), quicker)


def retime(motion: Motion, factor: float) -> Motion:
    """The clip played `factor` times as fast at the same frame rate; its first and last pose stay."""
    frames = len(motion)
    if frames < 2 or factor == 1.0:
        return motion
    at = np.linspace(0.0, frames - 1.0, max(2, round((frames - 1) / factor) + 1))
    low = np.minimum(at.astype(np.int64), frames - 2)
    t = at - low
    positions = motion.positions[low] + t[:, None, None] * (motion.positions[low + 1] - motion.positions[low])
    rotations = quat.slerp(motion.rotations[low], motion.rotations[low + 1], t[:, None])
    return replace(motion, rotations=quat.continuous(rotations), positions=positions)


def turn(motion: Motion, degrees: float, *, up: int = 1) -> Motion:
    """The whole clip turned about the vertical through its first frame's root."""
    return _steer(motion, np.full(len(motion), np.radians(degrees)), motion.positions[:1, 0], up=up, moves=False)


def bend(motion: Motion, degrees: float, *, up: int = 1) -> Motion:
    """The clip going round a bend of `degrees` (to the left, seen from above), spread evenly over the way that it goes.

    A clip that stays in place turns evenly in time instead.
    """
    way, gone = _way(motion, up=up)
    total = gone[-1] if len(gone) else 0.0
    even = np.linspace(0.0, 1.0, len(motion))
    size = np.ptp(motion.positions[:, :, up]) + 1e-9  # a body's own size, in the clip's unit
    share = gone / total if total > 0.3 * size else even
    return _steer(motion, np.radians(degrees) * share, way, up=up, moves=True)


def follow(motion: Motion, path: Array, *, fit: bool = False, up: int = 1) -> Motion:
    """The clip along another way: `path` [P, 3] in the clip's world and unit, from the root's first place on (level; `up` is not
    used). The body keeps its sway about the way and the angle to it.

    It goes as far as it went before, beyond the path's end straight on; with `fit` steps are stretched to reach just that end.
    `MotionError("bad_edit")` when the path has fewer than two different points, or the clip stays in place.
    """
    path = np.asarray(path, dtype=np.float64)
    if path.ndim != 2 or path.shape[1] != 3 or len(path) < 2 or not np.isfinite(path).all():
        raise MotionError(
            "bad_edit", f"A path is two or more points of three finite numbers, not an array of shape {path.shape}."
        )
    flat = path.copy()
    flat[:, up] = 0.0
    flat = flat[np.concatenate([[True], np.linalg.norm(np.diff(flat, axis=0), axis=1) > 1e-9])]
    way, gone = _way(motion, up=up)
    if len(flat) < 2 or len(gone) < 2 or gone[-1] < 1e-6:
        raise MotionError("bad_edit", "The path has no length, or the clip stays in place and has no way that could be changed.")
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(flat, axis=0), axis=1))])
    if fit:
        gone = gone * along[-1] / gone[-1]
    else:
        end = max(gone[-1] - along[-1], 0.0) + 1.0
        flat = np.concatenate([flat, flat[-1:] + end * quat.normalize(flat[-1:] - flat[-2:-1])])
        along = np.append(along, along[-1] + end)
    goal = np.stack([np.interp(gone, along, flat[:, axis]) for axis in range(3)], axis=1)
    # Corners of the path are rounded over about a step, or the body would snap round.
    goal = low_pass(goal, motion.frame_time, _SWAY)
    difference = np.unwrap(_course(goal, gone, up) - _course(way, gone, up))
    out = _steer(motion, difference, way, up=up, moves=False)
    positions = out.positions.copy()
    sway = quat.rotate(about(difference, up), motion.positions[:, 0] - way)
    positions[:, 0] = goal + sway
    positions[:, 0, up] = motion.positions[:, 0, up]
    return replace(out, positions=positions)


def arc(start: Array, ahead: Array, length: float, degrees: float, *, up: int = 1, points: int = 65) -> Array:
    """A path [points, 3] from `start` [3] that sets out towards `ahead` [3] and bends by `degrees` to the left in `length`."""
    angle = np.linspace(0.0, np.radians(degrees), points)
    level = np.array(ahead, dtype=np.float64)
    level[up] = 0.0
    steps = quat.rotate(about(0.5 * (angle[1:] + angle[:-1]), up), quat.normalize(level)) * (length / (points - 1))
    return np.asarray(np.asarray(start) + np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)]))


def _way(motion: Motion, *, up: int) -> tuple[Array, Array]:
    """The root's level path without its sway [F, 3], and how far it has gone on it [F]."""
    way = motion.positions[:, 0].copy()
    way[:, up] = 0.0
    way = low_pass(way, motion.frame_time, _SWAY)
    return way, np.concatenate([np.zeros(min(len(way), 1)), np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])


def _course(way: Array, gone: Array, up: int) -> Array:
    """The direction of a way over ground as an angle [F] about axis `up`; held where it hardly moves."""
    x, y = (up + 1) % 3, (up + 2) % 3
    reach = 0.05 * gone[-1]
    behind = np.stack([np.interp(gone - reach, gone, way[:, axis]) for axis in (x, y)], axis=1)
    before = np.stack([np.interp(gone + reach, gone, way[:, axis]) for axis in (x, y)], axis=1)
    ahead = before - behind
    return np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0]))


def _steer(motion: Motion, angle: Array, way: Array, *, up: int, moves: bool) -> Motion:
    """The clip turned by `angle` [F]: as a whole about `way`, or (`moves`) along the way, each step of which is turned."""
    turned = about(angle, up)
    rotations, positions = motion.rotations.copy(), motion.positions.copy()
    rotations[:, 0] = quat.mul(turned, rotations[:, 0])
    root = positions[:, 0]
    if moves and len(motion) > 1:
        steps = quat.rotate(about(0.5 * (angle[1:] + angle[:-1]), up), np.diff(way, axis=0))
        new_way = way[0] + np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    else:
        new_way = np.broadcast_to(way, root.shape)
    height = root[:, up].copy()
    root = new_way + quat.rotate(turned, root - way)
    root[:, up] = height
    positions[:, 0] = root
    return replace(motion, rotations=quat.continuous(rotations), positions=positions)
