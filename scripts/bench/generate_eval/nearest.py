# SPDX-License-Identifier: GPL-3.0-or-later
"""How near a clip is to those that a generator has learned from: a measure of memory.

Two seconds of motion are compared with every two seconds of the references and of their mirror images, placed and turned on
the floor so that they fit best: the mean distance of joints in centimetres, with the path that the body takes. A quick search
over principal components picks the candidates, which are then fitted exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....motion.quat import Array
from .body import Track, mirrored

_WINDOW = 60  # frames
_EVERY = 3  # frames between poses: ten poses a second are compared
_REFERENCE_HOP = 3
_QUERY_HOP = 15
_CANDIDATES = 24
_COMPONENTS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Of one clip: how far it is from the references on the whole, and in its two seconds that are nearest to one."""

    overall: float  # cm: mean over its windows
    closest: float  # cm: the least of its windows
    name: str  # the reference of `closest`


class Library:
    """The references, indexed."""

    def __init__(self, tracks: Sequence[tuple[str, Track]]) -> None:
        """`tracks`: (name, track). Clips under two seconds are extended by standing still, as the queries are."""
        windows: list[Array] = []
        owners: list[int] = []
        self._names = [name for name, _ in tracks]
        for number, (_, source) in enumerate(tracks):
            for side in (source, mirrored(source)):
                cut = _cut(side, _REFERENCE_HOP)
                windows.append(cut)
                owners.extend([number] * len(cut))
        self._windows = np.concatenate(windows).astype(np.float32)
        self._owners = np.asarray(owners)
        flat = self._windows.reshape(len(self._windows), -1)
        self._mean = flat.mean(axis=0)
        sample = flat[:: max(1, len(flat) // 4000)] - self._mean
        self._axes = np.linalg.svd(sample, full_matrices=False)[2][:_COMPONENTS].T
        self._keys = (flat - self._mean) @ self._axes
        self._squares = (self._keys**2).sum(axis=1)

    def nearest(self, source: Track, without: Collection[str] = ()) -> Neighbour:
        """`without`: names of references that are not to be compared with (the clip itself)."""
        queries = _cut(source, _QUERY_HOP).astype(np.float32)
        keys = (queries.reshape(len(queries), -1) - self._mean) @ self._axes
        rough = self._squares - 2.0 * keys @ self._keys.T
        banned = [number for number, name in enumerate(self._names) if name in without]
        rough[:, np.isin(self._owners, banned)] = np.inf
        count = min(_CANDIDATES, rough.shape[1])
        picked: NDArray[np.intp] = np.argpartition(rough, count - 1, axis=1)[:, :count]
        distances = np.stack([_fitted(query, self._windows[row]) for query, row in zip(queries, picked, strict=True)])
        distances[np.take_along_axis(rough, picked, axis=1) == np.inf] = np.inf
        best = distances.min(axis=1)
        window = int(best.argmin())
        owner = int(self._owners[picked[window, int(distances[window].argmin())]])
        return Neighbour(overall=100.0 * float(best.mean()), closest=100.0 * float(best[window]), name=self._names[owner])


def _cut(source: Track, hop: int) -> Array:
    """Windows [N, 20, 22, 3], each placed with its mean pelvis over the origin and its mean heading along +Z."""
    joints, heading = source.joints, source.heading
    short = _WINDOW - len(joints)
    if short > 0:
        joints = np.concatenate([joints, np.repeat(joints[-1:], short, axis=0)])
        heading = np.concatenate([heading, np.repeat(heading[-1:], short)])
    first = np.arange(0, len(joints) - _WINDOW + 1, hop)
    at = first[:, None] + np.arange(0, _WINDOW, _EVERY)
    poses, faces = joints[at], heading[at]
    middle = poses[:, :, 0].mean(axis=1)
    poses = poses - (middle * np.array([1.0, 0.0, 1.0]))[:, None, None]
    angle = faces.mean(axis=1)[:, None, None]
    cos, sin = np.cos(angle), np.sin(angle)
    x, z = poses[..., 0], poses[..., 2]
    return np.stack([cos * x - sin * z, poses[..., 1], sin * x + cos * z], axis=-1)


def _fitted(query: Array, candidates: Array) -> Array:
    """Mean joint distance [K] in metres of one window to candidates [K, 20, 22, 3], each moved and turned on the floor to fit
    (least squares, closed form)."""
    flat = (1, 2)
    q = query[None] - query.mean(axis=(0, 1)) * np.array([1.0, 0.0, 1.0])
    c = candidates - candidates.mean(axis=flat, keepdims=True) * np.array([1.0, 0.0, 1.0])
    dot = (q[..., 0] * c[..., 0] + q[..., 2] * c[..., 2]).sum(axis=flat)
    cross = (q[..., 0] * c[..., 2] - q[..., 2] * c[..., 0]).sum(axis=flat)
    angle = np.arctan2(cross, dot)[:, None, None]
    cos, sin = np.cos(angle), np.sin(angle)
    x, z = c[..., 0], c[..., 2]
    fitted = np.stack([cos * x + sin * z, c[..., 1], cos * z - sin * x], axis=-1)
    return np.asarray(np.linalg.norm(fitted - q, axis=-1).mean(axis=flat))
