# SPDX-License-Identifier: GPL-3.0-or-later
"""Which foot stands when: contacts from speed and height. Used to measure sliding; changes no motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .quat import Array


def contacts(points: Array, frame_time: float, *, up: int = 2, height: float = 0.05, speed: float = 0.35) -> NDArray[np.bool_]:
    """True [F, P] where a foot point stands: near its own lowest level and slow.

    `points` [F, P, 3] and `height` in metres, `speed` in metres per second, `up` the index of the vertical axis.
    """
    level = np.percentile(points[..., up], 5, axis=0)
    return np.asarray((points[..., up] < level + height) & (np.linalg.norm(velocity(points, frame_time), axis=-1) < speed))


def sliding(points: Array, frame_time: float, *, up: int = 2, height: float = 0.025) -> Array:
    """Horizontal speed [N] in metres per second of all foot points while they are within `height` of the floor at 0."""
    flat = velocity(points, frame_time).copy()
    flat[..., up] = 0.0
    return np.asarray(np.linalg.norm(flat, axis=-1)[points[..., up] < height])


def velocity(points: Array, frame_time: float) -> Array:
    """Central differences [F, P, 3] per second; zero for a single frame."""
    if len(points) < 2:
        return np.zeros_like(points)
    return np.asarray(np.gradient(points, frame_time, axis=0))
