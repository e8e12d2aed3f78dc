# SPDX-License-Identifier: GPL-3.0-or-later
"""What is compared of motion: values per frame for the learned judges, and one vector per two seconds for distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....motion.quat import Array
from .body import Track, into_heading, smooth, velocity

WINDOW = 60  # frames: two seconds
HOP = 30
EVERY = 3  # frames between the poses that the judges see
FRAME_WIDTH = 133  # 22 joints × (position, velocity), yaw rate


def frames(source: Track) -> Array:
    """Values per frame [F, 133]: joints around the pelvis's place on the floor and joint velocities, both as the body faces
    (left, up, forward; metres, metres per second), and yaw rate (radians per second). Where the body is and faces is left out."""
    ground = source.joints[:, :1] * np.array([1.0, 0.0, 1.0])
    places = into_heading(source.joints - ground, source.heading)
    speeds = into_heading(velocity(source.joints), source.heading)
    rate = velocity(smooth(source.heading, 5))[:, None]
    count = len(source)
    return np.concatenate([places.reshape(count, -1), speeds.reshape(count, -1), rate], axis=1)


def starts(count: int, hop: int = HOP) -> list[int]:
    """First frames of the windows of a clip of `count` frames: every `hop`, the last one flush with the end."""
    last = max(0, count - WINDOW)
    return sorted({*range(0, last + 1, hop), last})


def windows(source: Track, hop: int = HOP) -> Array:
    """Values per frame in windows of two seconds, ten poses a second [N, 20, 133]. A shorter clip is held at its last frame,
    standing still."""
    values = frames(source)
    short = WINDOW - len(values)
    if short > 0:
        held = np.repeat(values[-1:], short, axis=0)
        held[:, 66:] = 0.0
        values = np.concatenate([values, held])
    return np.stack([values[start : start + WINDOW : EVERY] for start in starts(len(values), hop)])


def kinematic(source: Track) -> Array:
    """Per two seconds one vector [N, 532]: mean, deviation, least and greatest of each value over the frames that there are."""
    values = frames(source)
    pieces = [values[start : start + WINDOW] for start in starts(len(values))]
    return np.stack([np.concatenate([p.mean(0), p.std(0), p.min(0), p.max(0)]) for p in pieces])


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Kinematic vectors made comparable: standardised and turned onto the directions in which real motion differs most."""

    mean: Array  # [532]
    axes: Array  # [532, D]; each direction scaled to unit variance over real motion

    @classmethod
    def of(cls, sources: Sequence[Track], width: int = 64) -> Space:
        """From real clips."""
        vectors = np.concatenate([kinematic(source) for source in sources])
        mean, spread = vectors.mean(0), vectors.std(0)
        scale = 1.0 / np.maximum(spread, 0.02 * float(spread.max()))
        _, sizes, directions = np.linalg.svd((vectors - mean) * scale, full_matrices=False)
        width = min(width, len(sizes))
        lengths = np.maximum(sizes[:width], 1e-9) / np.sqrt(len(vectors))
        return cls(mean=mean, axes=scale[:, None] * directions[:width].T / lengths)

    def vectors(self, source: Track) -> Array:
        """[N, D], one per two seconds."""
        return np.asarray((kinematic(source) - self.mean) @ self.axes)
