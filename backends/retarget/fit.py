# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns a finished motion into the keys of one armature: retargeted, at the scene's frame rate, reduced. Runs in a plain Python
child. Rig and keys go through files, since both are arrays; whoever asks reads the armature before and writes the curves after.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...motion import reduce
from ...motion.bvh import read_bvh
from ...motion.errors import MotionError
from ...motion.kinematics import resample
from ...motion.quat import Array
from ...motion.reduce import Keys
from ...motion.retarget import Pose, retarget
from ...motion.rig import Rig
from ...queue.errors import MotionQueueError
from ..protocol import ChildContext

ENTRY = "backends.retarget.fit:run"
ROTATION_PATHS = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}  # all others: rotation_euler
_REACH = 0.25  # metres: what a tolerance in radians means for the root's path, a place that far from where it turns
_LOADED, _MAPPED = 0.2, 0.5  # shares of the time


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One property of a bone with its keys. Frames count from 0, the motion's first."""

    bone: str
    path: str  # of the pose bone: "location", "rotation_…", or '["IK_FK"]' and the like for a property of its own
    keys: Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    tracks: tuple[Track, ...]
    root: str  # the bone that carries the path; its location is in metres
    frames: int
    notes: tuple[str, ...]


def save_rig(path: Path, rig: Rig, modes: tuple[str, ...]) -> None:
    """Write a rig and the rotation mode of each of its bones."""
    np.savez(
        path,
        names=np.array(rig.names),
        parents=rig.parents,
        heads=rig.heads,
        tails=rig.tails,
        rest=rig.rest,
        ground=rig.ground,
        ground_bones=rig.ground_bones,
        modes=np.array(modes),
    )


def load_fitted(path: Path) -> Fitted:
    """Read what `run` has written. `MotionQueueError("fit_unreadable")` when it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            keys, channels = file["keys"].tolist(), file["channels"].tolist()
            ends, value_ends = np.cumsum(keys), np.cumsum(np.multiply(keys, channels))
            frames, values, slopes = file["key_frames"], file["values"], file["slopes"]
            tracks = tuple(
                Track(
                    bone=bone,
                    path=name,
                    keys=Keys(
                        frames=frames[end - n : end],
                        values=values[last - n * c : last].reshape(n, c),
                        slopes=slopes[last - n * c : last].reshape(n, c),
                    ),
                )
                for bone, name, n, c, end, last in zip(
                    file["bones"].tolist(), file["paths"].tolist(), keys, channels, ends, value_ends, strict=True
                )
            )
            return Fitted(
                tracks=tracks, root=str(file["root"]), frames=int(file["frames"]), notes=tuple(map(str, file["notes"].tolist()))
            )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise MotionQueueError(
            "fit_unreadable", f"The keys that were made for the armature cannot be read ({error}). Apply the motion again."
        ) from error


def run(arguments: dict[str, Any], context: ChildContext) -> dict[str, Any]:
    """Arguments: clip, rig, target (paths); fps (None: frames as they are), tolerance (radians; 0 keeps every frame).

    Raises `MotionError`: those of reading a clip, no_frames, unknown_skeleton, bad_rig, bad_fps, bad_edit.
    """
    context.progress(0.0, "Reading the motion")
    motion = read_bvh(Path(arguments["clip"]))
    if len(motion) == 0:
        raise MotionError("no_frames", "The motion has no frames, so there is nothing to apply.")
    if arguments["fps"] is not None:
        motion = resample(motion, arguments["fps"])
    with np.load(arguments["rig"], allow_pickle=False) as file:
        modes = file["modes"].tolist()
        rig = Rig(
            names=tuple(file["names"].tolist()),
            parents=file["parents"],
            heads=file["heads"],
            tails=file["tails"],
            rest=file["rest"],
            ground=file["ground"],
            ground_bones=file["ground_bones"],
        )
    context.check()
    context.progress(_LOADED, "Retargeting")
    pose = retarget(motion, rig)
    context.check()
    context.progress(_MAPPED, "Reducing the curves")
    tracks = make_tracks(rig, pose, modes, float(arguments["tolerance"]))
    save_fitted(Path(arguments["target"]), tracks, root=rig.names[next(iter(pose.locations))], frames=len(pose), notes=pose.notes)
    context.progress(1.0, "Ready")
    return {"frames": len(pose), "keys": sum(len(track.keys) for track in tracks), "mapped": len(pose.mapped)}


def make_tracks(rig: Rig, pose: Pose, modes: list[str], tolerance: float) -> list[Track]:
    """The pose as keys: rotations as each bone's own mode wants them, and the root's location in metres."""
    tracks: list[Track] = []
    for mode in dict.fromkeys(modes[bone] for bone in pose.mapped):
        places = [place for place, bone in enumerate(pose.mapped) if modes[bone] == mode]
        values, distance = in_mode(pose.rotations[:, places], mode)
        path = ROTATION_PATHS.get(mode, "rotation_euler")
        for place, keys in zip(places, reduce.reduce(values, tolerance, distance), strict=True):
            tracks.append(Track(bone=rig.names[pose.mapped[place]], path=path, keys=keys))
    for bone, locations in pose.locations.items():
        tracks.append(Track(bone=rig.names[bone], path="location", keys=location_keys(locations, tolerance)))
    return tracks


def in_mode(rotations: Array, mode: str) -> tuple[Array, reduce.Distance]:
    """Rotations [F, ..., 4] as a bone's rotation mode has them, and how far two such are apart. `MotionError("bad_rig")`."""
    if mode == "QUATERNION":
        return rotations, reduce.rotation_distance
    if mode == "AXIS_ANGLE":
        return reduce.to_axis_angle(rotations), reduce.axis_angle_distance
    if mode not in reduce.EULER_ORDERS:
        raise MotionError("bad_rig", f"A bone has the rotation mode {mode!r}, which is not known. Set another one in Blender.")
    return reduce.to_euler(rotations, mode), reduce.euler_distance(mode)


def location_keys(locations: Array, tolerance: float) -> Keys:
    """The keys of a path [F, 3] in metres."""
    return reduce.reduce(locations[:, None], tolerance * _REACH, reduce.length_distance)[0]


def save_fitted(path: Path, tracks: Sequence[Track], *, root: str, frames: int, notes: Sequence[str]) -> None:
    """Write tracks for `load_fitted`."""
    np.savez(
        path,
        bones=np.array([track.bone for track in tracks]),
        paths=np.array([track.path for track in tracks]),
        keys=np.array([len(track.keys) for track in tracks]),
        channels=np.array([track.keys.values.shape[1] for track in tracks]),
        key_frames=np.concatenate([track.keys.frames for track in tracks]),
        values=np.concatenate([track.keys.values.ravel() for track in tracks]),
        slopes=np.concatenate([track.keys.slopes.ravel() for track in tracks]),
        root=np.array(root),
        frames=np.array(frames),
        notes=np.array(list(notes), dtype=np.str_),
    )
