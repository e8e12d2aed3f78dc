# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wished when a motion is applied, and the curves that follow from it: which frames, which bones, which handles.

Plain values and arrays, so that it can be made on a thread; no bpy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import radians

import numpy as np
from numpy.typing import NDArray

from ..backends.retarget.fit import Fitted
from ..motion.quat import Array
from ..queue.contract import Json

Singles = NDArray[np.float32]

DEFAULT_TOLERANCE = radians(0.5)


class Place(StrEnum):
    """Where the motion's first frame goes."""

    CURRENT = "CURRENT"
    MARKER = "MARKER"
    ORIGINAL = "ORIGINAL"


class Destination(StrEnum):
    ACTION = "ACTION"
    NLA = "NLA"


class Bones(StrEnum):
    ALL = "ALL"
    SELECTED = "SELECTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    armature: str = ""  # name of the object; empty: the one that is meant (see `apply.find_target`)
    place: Place = Place.CURRENT
    marker: str = ""  # name; empty: the selected one
    match_rate: bool = True  # play at the motion's own speed, whatever the scene's frame rate
    destination: Destination = Destination.ACTION
    bones: Bones = Bones.ALL
    tolerance: float = DEFAULT_TOLERANCE  # radians that a bone may be off between keys; 0: a key in every frame
    extend_range: bool = False
    mark_asset: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One F-curve, with cubic keys whose handles lie on one line."""

    path: str
    component: int
    group: str
    points: Singles  # [2 K] frame, value, frame, value …
    left: Singles  # [2 K] ends of the left handles
    right: Singles  # [2 K]


def original_frame(payload: Mapping[str, Json], clip_rate: float | None, scene_rate: float) -> int:
    """The frame at which the part that was taken began in its clip, counted from 1 at the scene's rate."""
    first = payload.get("frame_start")
    if not isinstance(first, int) or not clip_rate:
        return 1
    return 1 + round((first - 1) * scene_rate / clip_rate)


def make_curves(
    fitted: Fitted,
    *,
    first_frame: int,
    unit: float,
    paths: Mapping[str, str],
    bones: Collection[str] | None = None,
    root_turn: Array | None = None,
) -> list[Curve]:
    """The curves of a motion that begins at `first_frame`.

    `unit` is how many metres one unit of the armature is; `paths` has the data path of each pose bone; `bones` are those that
    are wanted (None: all); `root_turn` [3, 3] takes a location from the root bone's axes to those it is keyed in.
    """
    out: list[Curve] = []
    for track in fitted.tracks:
        if bones is not None and track.bone not in bones:
            continue
        values, slopes = track.keys.values, track.keys.slopes
        if track.path == "location":
            turn = (np.eye(3) if root_turn is None else root_turn) / unit
            values, slopes = values @ turn.T, slopes @ turn.T
        frames = track.keys.frames.astype(np.float64) + first_frame
        # A third of the way to the neighbour: there Blender's curve is the cubic with these slopes, linear in time.
        gaps = np.diff(frames) / 3.0
        before, after = np.concatenate([gaps[:1], gaps]), np.concatenate([gaps, gaps[-1:]])
        if not len(gaps):
            before = after = np.full(1, 1.0 / 3.0)
        for component in range(values.shape[1]):
            value, slope = values[:, component], slopes[:, component]
            out.append(
                Curve(
                    path=paths[track.bone] + (track.path if track.path.startswith("[") else f".{track.path}"),
                    component=component,
                    group=track.bone,
                    points=_pairs(frames, value),
                    left=_pairs(frames - before, value - slope * before),
                    right=_pairs(frames + after, value + slope * after),
                )
            )
    return out


def _pairs(x: Array, y: Array) -> Singles:
    return np.stack([x, y], axis=-1).astype(np.float32).ravel()
