# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the camera stands so that it sees a whole motion. numpy only; knows no bpy.

Metres and radians, +Z up. A camera direction is given by its azimuth (0 looks at a figure that faces -Y from the front, positive
towards the figure's left) and its elevation over the ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ELEVATION = np.radians(9.0)
_PLEASANT = np.radians(32.0)  # a three-quarter view shows depth and both arms
_WIDEST = np.radians(65.0)
# Share of the picture the motion may fill: a figure on the spot is shown large, one that travels has air to travel in.
_ON_THE_SPOT, _TRAVELLING = 0.93, 0.86


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A camera that sees everything: where it is, how it is turned (columns are right, up, back), and how far it looks."""

    position: Array  # [3]
    axes: Array  # [3, 3]
    distance: float  # from the camera to the middle of the motion
    target: Array  # [3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What moves, over all frames."""

    points: Array  # [n, 3] on or outside of the surface
    ground: float  # height of the floor
    height: float  # of the figure

    @property
    def centre(self) -> Array:
        return np.asarray((self.points.min(0) + self.points.max(0)) / 2)


def bounds(clouds: Array, height: float) -> Bounds:
    """From surface points in every frame, [F, n, 3].

    The floor lies where the lowest point is in most frames: a jump does not raise it, a foot that dips once does not lower it. A
    motion that never comes near z = 0 (a swing, a climb) keeps the floor at 0.
    """
    lowest = clouds[..., 2].min(1)
    floor = float(np.percentile(lowest, 10))
    return Bounds(points=clouds.reshape(-1, 3), ground=floor if abs(floor) < 0.2 * height else 0.0, height=height)


def extremes(points: Array, directions: int = 96) -> Array:
    """The few of many points that can touch a frame's edge, [m, 3]: the farthest in each of evenly spread directions."""
    i = np.arange(directions) + 0.5
    z = 1 - 2 * i / directions
    turn = np.pi * (1 + 5**0.5) * i
    around = np.sqrt(1 - z * z)
    spread = np.stack([around * np.cos(turn), around * np.sin(turn), z])
    return np.asarray(points[np.unique((points @ spread).argmax(0))])


def choose_view(of: Bounds, tangents: tuple[float, float]) -> View:
    """The direction from which the figure appears biggest, leaning to a pleasant three-quarter view.

    `tangents` are those of half the horizontal and half the vertical angle of view.
    """
    points = extremes(of.points)
    travel = float(np.linalg.norm(np.ptp(points[:, :2], axis=0))) / of.height
    share = float(np.interp(travel, (1.5, 4.0), (_ON_THE_SPOT, _TRAVELLING)))
    inner = (tangents[0] * share, tangents[1] * share)
    azimuths = np.linspace(-_WIDEST, _WIDEST, 27)
    views = [_fit(points, a, _ELEVATION, inner) for a in azimuths]
    cost = [
        v.distance * (1 + 0.22 * abs(abs(a) - _PLEASANT) / _PLEASANT + (0.01 if a < 0 else 0))
        for v, a in zip(views, azimuths, strict=True)
    ]
    # The extremes decide on the direction; for the place every point counts.
    return _fit(of.points, azimuths[int(np.argmin(cost))], _ELEVATION, inner)


def _fit(points: Array, azimuth: float, elevation: float, tangents: tuple[float, float]) -> View:
    """The nearest camera with that direction that has every point inside its frame."""
    back = np.array([np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)])
    right = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    axes = np.stack([right, np.cross(back, right), back], -1)
    seen = points @ axes  # right, up, towards the camera
    place = np.zeros(2)
    depths = np.zeros(2)
    for axis in (0, 1):
        tangent = tangents[axis]
        high = (seen[:, axis] + seen[:, 2] * tangent).max()
        low = (-seen[:, axis] + seen[:, 2] * tangent).max()
        place[axis] = (high - low) / 2
        depths[axis] = (high + low) / 2 / tangent
    depth = float(depths.max())
    middle = (points.min(0) + points.max(0)) / 2
    position = axes @ np.array([place[0], place[1], depth])
    return View(position=position, axes=axes, distance=float(depth - middle @ back), target=middle)
