# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of single clips and of sets of clips: sliding, sinking, jerk, distribution distance, diversity, intervals.

Numbers in, numbers out; knows nothing of prompts or of how the generator cleans its motion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ....motion.quat import Array
from .body import FPS, STANDING, Track, smooth, velocity

NEAR_FLOOR = 0.025  # metres
_SWING = 0.6  # m/s: a point that moves faster than this and …
_SWING_BODY = 1.25  # … this many times faster than the body is carried forward, not stood on


def standing(source: Track) -> Array:
    """Where heel or ball [F, 4] is stood on (1.0): within 2.5 cm of the floor, a frame before and after too (so that its
    speed is not that of landing), and not swung forward over it.

    A swinging foot is faster than the body it overtakes; a figure that glides has feet as fast as its body, and they count.
    """
    speed = _sole_speed(source)
    body = np.linalg.norm(velocity(smooth(source.joint("pelvis"), 15))[:, [0, 2]], axis=1)[:, None]
    swinging = speed > np.maximum(_SWING, _SWING_BODY * body)
    near = source.soles[:, STANDING, 1] < NEAR_FLOOR
    inside = near.copy()
    inside[1:] &= near[:-1]
    inside[:-1] &= near[1:]
    return np.asarray(inside & ~swinging, dtype=np.float64)


def skate(source: Track) -> float:
    """Mean horizontal speed (m/s) of heels and balls while they are stood on; NaN where none ever is."""
    weights = standing(source)
    return float((_sole_speed(source) * weights).sum() / weights.sum()) if weights.any() else float("nan")


def skating_share(source: Track) -> float:
    """Share of the frames with a foot on the floor in which the stillest point of the feet on the floor slides faster than
    0.15 m/s: nothing holds the body."""
    on_floor = source.soles[:, STANDING, 1] < NEAR_FLOOR
    held = np.where(on_floor, _sole_speed(source), np.inf).min(axis=1)
    return float((held[on_floor.any(axis=1)] > 0.15).mean()) if on_floor.any() else float("nan")


def _sole_speed(source: Track) -> Array:
    return np.asarray(np.linalg.norm(velocity(source.soles[:, STANDING])[..., [0, 2]], axis=-1))


def depths(source: Track) -> Array:
    """How deep the lowest of heels, balls, toes and joints is in the floor [F], in metres; 0 above it."""
    lowest = np.minimum(source.soles[..., 1].min(axis=1), source.joints[..., 1].min(axis=1))
    return np.asarray(np.maximum(0.0, -lowest))


def jerk(source: Track) -> float:
    """Median over joints of the mean length of the third derivative (m/s³); NaN under four frames."""
    if len(source) < 4:
        return float("nan")
    third = np.diff(source.joints, n=3, axis=0) * FPS**3
    return float(np.median(np.linalg.norm(third, axis=-1).mean(axis=0)))


def polynomial_mmd(a: Array, b: Array) -> float:
    """Squared maximum mean discrepancy of samples [N, D] and [M, D], unbiased, kernel (x·y / D + 1)³."""
    width = a.shape[1]
    aa, bb, ab = ((x @ y.T / width + 1.0) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    n, m = len(a), len(b)
    return float((aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1)) - 2.0 * ab.sum() / (n * m))


def kid(a: Array, b: Array, *, size: int = 50, subsets: int = 100, seed: int = 0) -> tuple[float, float]:
    """Mean and deviation of `polynomial_mmd` over random subsets of at most `size` vectors of each."""
    rng = np.random.default_rng(seed)
    na, nb = min(size, len(a)), min(size, len(b))
    values = [
        polynomial_mmd(a[rng.choice(len(a), na, replace=False)], b[rng.choice(len(b), nb, replace=False)]) for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def diversity(vectors: Sequence[Array]) -> float:
    """Mean distance between the clips of one prompt, each by the mean of its vectors [N, D]; NaN for fewer than two."""
    if len(vectors) < 2:
        return float("nan")
    means = np.stack([v.mean(axis=0) for v in vectors])
    return float(np.mean([np.linalg.norm(x - y) for i, x in enumerate(means) for y in means[:i]]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A value with the interval that holds it with 95 % confidence, and from how many groups it comes."""

    value: float
    low: float
    high: float
    count: int

    def text(self, scale: float = 1.0, digits: int = 1) -> str:
        if not np.isfinite(self.value):
            return "–"
        return f"{scale * self.value:.{digits}f} ({scale * self.low:.{digits}f}–{scale * self.high:.{digits}f})"


def bootstrap(
    groups: Sequence[Sequence[float]], statistic: Callable[[Array], float] | None = None, *, rounds: int = 1000, seed: int = 0
) -> Figure:
    """`statistic` (the mean) of all values, its interval by drawing whole groups (prompts, subjects): values of one group
    are alike, and drawing single values would make the interval too narrow. NaN values are left out."""
    kept = [np.asarray([v for v in group if np.isfinite(v)], dtype=np.float64) for group in groups]
    kept = [group for group in kept if len(group)]
    if not kept:
        return Figure(value=float("nan"), low=float("nan"), high=float("nan"), count=0)
    measure: Callable[[Array], float] = statistic or (lambda values: float(values.mean()))
    rng = np.random.default_rng(seed)
    drawn = [measure(np.concatenate([kept[i] for i in rng.integers(len(kept), size=len(kept))])) for _ in range(rounds)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(value=measure(np.concatenate(kept)), low=float(low), high=float(high), count=len(kept))
