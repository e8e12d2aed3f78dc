# SPDX-License-Identifier: GPL-3.0-or-later
"""Smooth curves over time: low-pass without delay, offsets that ease from one hold to the next, envelopes; and the jerk.

Everything works on arrays whose first axis is time, whole clips at once. Times are seconds, so that a frame rate changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from . import quat
from .errors import MotionError
from .kinematics import world
from .quat import Array
from .skeleton import Motion

_ORDER = 2  # of the low-pass; applied as power, hence without delay


def low_pass(values: Array, frame_time: float, cutoff: float | Array) -> Array:
    """Values [F, ...] without what is faster than `cutoff` Hz (a number, or an array that broadcasts over one frame).

    Butterworth's response without delay; the ends are continued by turning the curve about them, so they stay where they are.
    `MotionError("bad_edit")` unless it is above zero; at or above half the frame rate everything stays.
    """
    cut = np.asarray(cutoff, dtype=np.float64)
    if not (np.isfinite(cut).all() and (cut > 0.0).all()):
        raise MotionError("bad_edit", f"A low-pass needs a frequency above zero, not {cutoff}.")
    frames = len(values)
    if frames < 3:
        return np.array(values, dtype=np.float64)
    pad = min(frames - 1, max(8, round(2.0 / (float(cut.min()) * frame_time))))
    head, tail = 2.0 * values[0] - values[pad:0:-1], 2.0 * values[-1] - values[-2 : -pad - 2 : -1]
    padded = np.concatenate([head, values, tail])
    frequency = np.fft.rfftfreq(len(padded), frame_time).reshape(-1, *[1] * (values.ndim - 1))
    response = np.where(cut >= 0.5 / frame_time, 1.0, 1.0 / (1.0 + (frequency / cut) ** (2 * _ORDER)))
    # The line from end to end is taken out first: it has no place on the transform's circle.
    line = np.linspace(0.0, 1.0, len(padded)).reshape(-1, *[1] * (values.ndim - 1)) * (padded[-1] - padded[0])
    return np.asarray(np.fft.irfft(np.fft.rfft(padded - line, axis=0) * response, len(padded), axis=0) + line)[pad : pad + frames]


def low_pass_rotations(rotations: Array, frame_time: float, cutoff: float | Array) -> Array:
    """Rotations [F, ..., 4] without what is faster than `cutoff` Hz (a number, or an array [...] of one per rotation)."""
    cut = np.asarray(cutoff, dtype=np.float64)
    return quat.normalize(low_pass(quat.continuous(rotations), frame_time, cut[..., None] if cut.ndim else cutoff))


def remove_jitter(
    motion: Motion, cutoff: float = 8.0, *, root_cutoff: float | None = None, joints: Mapping[int, float] | None = None
) -> Motion:
    """The clip without trembling: rotations below `cutoff` Hz, the root's path below `root_cutoff` (default: the same).

    `joints` names other frequencies for single joints, by index. Bone lengths stay: only roots' positions are filtered.
    """
    cuts = np.full(len(motion.skeleton), cutoff)
    for joint, value in (joints or {}).items():
        cuts[joint] = value
    roots = np.flatnonzero(motion.skeleton.parents < 0)
    positions = motion.positions.copy()
    positions[:, roots] = low_pass(motion.positions[:, roots], motion.frame_time, cutoff if root_cutoff is None else root_cutoff)
    return replace(motion, rotations=low_pass_rotations(motion.rotations, motion.frame_time, cuts), positions=positions)


def jerk(positions: Array, frame_time: float) -> Array:
    """The third derivative's length [F-3, ...] of points [F, ..., 3], in their unit per s³; empty below four frames."""
    if len(positions) < 4:
        return np.zeros((0, *positions.shape[1:-1]))
    return np.asarray(np.linalg.norm(np.diff(positions, n=3, axis=0), axis=-1) / frame_time**3)


def mean_jerk(motion: Motion) -> float:
    """The mean jerk of all joints in the world, in the clip's unit of length per s³."""
    values = jerk(world(motion)[1], motion.frame_time)
    return float(values.mean()) if values.size else 0.0


def ease(
    target: Array,
    weight: Array,
    frame_time: float,
    *,
    seconds: float,
    step: Array | None = None,
    drag: Array | None = None,
) -> Array:
    """The smoothest curve [F, K, D] near `target` [F, K, D] where `weight` [F, K] is large, and near zero elsewhere.

    It minimises the weighted distance from the target, the distance from zero at weight 1, and the third derivative: curves
    leave a hold with its speed and curvature and fade away in about twice `seconds`. Time and memory grow with the clip's
    length alone. `step` [F - 1, K, D] is how far the curve should go from each frame to the next, with the weight `drag`
    [F - 1, K].
    """
    frames, curves, size = target.shape
    if frames == 0:
        return np.zeros_like(target)
    stiffness = (seconds / frame_time) ** 6
    blocks = 2 ** int(np.ceil(np.log2(-(-frames // 3) + 1))) - 1
    on_diagonal, beside = _roughness(frames, blocks)
    # Rows of three frames make the matrix block-tridiagonal; rows that fill up the number of blocks stand for themselves.
    w = np.zeros((curves, 3 * blocks))
    w[:, :frames] = np.moveaxis(weight, 0, 1)
    values = np.zeros((curves, 3 * blocks, size))
    values[:, :frames] = np.moveaxis(target * weight[..., None], 0, 1)
    diagonal = np.broadcast_to(stiffness * on_diagonal, (curves, blocks, 3, 3)).copy()
    above = np.broadcast_to(stiffness * beside, (curves, blocks, 3, 3)).copy()
    if step is not None and drag is not None:
        d = np.zeros((curves, 3 * blocks))
        d[:, : frames - 1] = np.moveaxis(drag, 0, 1)
        pull = np.moveaxis(step * drag[..., None], 0, 1)
        values[:, 1:frames] += pull
        values[:, : frames - 1] -= pull
        w += d
        w[:, 1:] += d[:, :-1]
        rows = d.reshape(curves, blocks, 3)
        diagonal[..., [0, 1], [1, 2]] -= rows[..., :2]
        diagonal[..., [1, 2], [0, 1]] -= rows[..., :2]
        above[..., 2, 0] -= rows[..., 2]
    diagonal[..., range(3), range(3)] += 1.0 + w.reshape(curves, blocks, 3)
    below = np.zeros_like(diagonal)
    below[:, 1:] = np.swapaxes(above[:, :-1], -1, -2)
    solved = _solve_blocks(below, diagonal, above, values.reshape(curves, blocks, 3, size))
    return np.asarray(np.moveaxis(solved.reshape(curves, 3 * blocks, size)[:, :frames], 0, 1))


def _solve_blocks(below: Array, diagonal: Array, above: Array, values: Array) -> Array:
    """The solution [..., N, 3, D] of a block-tridiagonal system of N = 2^n - 1 rows, by taking out every other row at a time."""
    left, right = below.shape[-1], 2 * below.shape[-1]
    even = _solve_three(
        diagonal[..., ::2, :, :], np.concatenate([below[..., ::2, :, :], above[..., ::2, :, :], values[..., ::2, :, :]], axis=-1)
    )
    from_below, from_above, own = even[..., :left], even[..., left:right], even[..., right:]
    out = np.empty_like(values)
    if values.shape[-3] > 1:
        low, high = below[..., 1::2, :, :], above[..., 1::2, :, :]
        odd = _solve_blocks(
            -low @ from_below[..., :-1, :, :],
            diagonal[..., 1::2, :, :] - low @ from_above[..., :-1, :, :] - high @ from_below[..., 1:, :, :],
            -high @ from_above[..., 1:, :, :],
            values[..., 1::2, :, :] - low @ own[..., :-1, :, :] - high @ own[..., 1:, :, :],
        )
        out[..., 1::2, :, :] = odd
        own[..., 1:, :, :] -= from_below[..., 1:, :, :] @ odd
        own[..., :-1, :, :] -= from_above[..., :-1, :, :] @ odd
    out[..., ::2, :, :] = own
    return out


def _solve_three(matrix: Array, values: Array) -> Array:
    """The solutions [..., 3, K] of symmetric positive definite systems [..., 3, 3], by LDLᵀ written out: a library's solver has
    a call's cost for each of them, which for thousands of small ones is nearly all of the time."""
    a = np.moveaxis(matrix, (-2, -1), (0, 1))[..., None]
    b = np.moveaxis(values, -2, 0)
    d0, l1, l2 = a[0, 0], a[1, 0] / a[0, 0], a[2, 0] / a[0, 0]
    d1, c = a[1, 1] - l1 * a[1, 0], a[2, 1] - l2 * a[1, 0]
    l3 = c / d1
    d2 = a[2, 2] - l2 * a[2, 0] - l3 * c
    y1 = b[1] - l1 * b[0]
    out = np.empty_like(values)
    out[..., 2, :] = (b[2] - l2 * b[0] - l3 * y1) / d2
    out[..., 1, :] = y1 / d1 - l3 * out[..., 2, :]
    out[..., 0, :] = b[0] / d0 - l1 * out[..., 1, :] - l2 * out[..., 2, :]
    return out


@lru_cache(maxsize=8)
def _roughness(frames: int, blocks: int) -> tuple[Array, Array]:
    """The matrix of the sum of squared third differences in blocks of three: [N, 3, 3] on the diagonal, and right of it."""
    bands = np.zeros((4, 3 * blocks))  # [k, i]: row i, column i + k
    if frames > 3:
        share = np.array([-1.0, 3.0, -3.0, 1.0])
        for k in range(4):
            for place in range(4 - k):
                bands[k, place : place + frames - 3] += share[place] * share[place + k]
    row, column = np.meshgrid(np.arange(3), np.arange(3), indexing="ij")
    at = 3 * np.arange(blocks)[:, None, None]
    on_diagonal = bands[np.abs(column - row), at + np.minimum(row, column)]
    beside = np.where(column <= row, bands[np.minimum(3 + column - row, 3), at + row], 0.0)
    return on_diagonal, beside


def envelope(values: Array, frame_time: float, *, seconds: float) -> Array:
    """A smooth curve [F, ...] that is nowhere below `values` [F, ...]: the highest within `seconds` to both sides, averaged."""
    if len(values) == 0 or not values.any():
        return np.array(values, dtype=np.float64)
    half = max(1, round(seconds / frame_time))
    high = _windows(values, half).max(axis=-1)
    kernel = np.hanning(2 * half + 3)[1:-1]
    return np.asarray(_windows(high, half) @ (kernel / kernel.sum()))


def not_faster(values: Array, most: float) -> Array:
    """The lowest curve [F, ...] that is nowhere below `values` [F, ...] and changes by at most `most` from frame to frame."""
    slope = most * np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    falling = np.maximum.accumulate(values + slope, axis=0) - slope
    return np.asarray(np.maximum.accumulate((falling + slope[::-1])[::-1], axis=0)[::-1] - slope[::-1])


def _windows(values: Array, half: int) -> Array:
    padded = np.pad(values, [(half, half)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0)
