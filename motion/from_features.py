# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoded features of a text-to-motion model as a motion on a skeleton with fixed bones, in centimetres.

HumanML3D gives places only. Pelvis and chest take their frames from hips, shoulders and spine, so that a figure that turns its
back or lies down keeps its orientation; a limb takes its twist from the hinge of its knee or elbow, and where that is nearly
straight from its neighbours in time. SnapMoGen gives rotations, which are kept. Knows no files and no networks.
"""

from __future__ import annotations

import numpy as np

from . import quat
from .errors import MotionError
from .features import (
    HUMANML3D_FPS,
    HUMANML3D_NAMES,
    HUMANML3D_PARENTS,
    SNAPMOGEN_FPS,
    SNAPMOGEN_NAMES,
    SNAPMOGEN_PARENTS,
    bone_offsets,
    humanml3d_positions,
    snapmogen_pose,
)
from .quat import Array
from .skeleton import Motion, Skeleton

CENTIMETRES = 100.0  # of a metre
SNAPMOGEN_CENTIMETRES = 2.0  # of SnapMoGen's unit: its hips stand at 48.6

_X, _Y, _Z = np.eye(3)
_LIMBS = (  # upper joint, middle joint, end, parent, rest direction, rest hinge: bending turns the lower bone about +hinge
    ("l_hip", "l_knee", "l_ankle", "pelvis", -_Y, _X),
    ("r_hip", "r_knee", "r_ankle", "pelvis", -_Y, _X),
    ("l_shoulder", "l_elbow", "l_wrist", "l_collar", _X, -_Y),
    ("r_shoulder", "r_elbow", "r_wrist", "r_collar", -_X, _Y),
)
# Rest directions of an upright body in a T-pose: the spine leans back a little over the hips, and the head stands forward.
_TORSO_UP = {"pelvis": np.array([0.0, 0.994, -0.112]), "spine3": np.array([0.0, 0.982, -0.187])}
_HEAD = np.array([0.0, 0.88, 0.475])
_FOOT = np.array([0.0, -0.447, 0.894])
_SHORTEST = 1e-4  # metres; a bone shorter than that has no direction
_HABIT = 0.02  # weight of the straight swing beside a hinge at a right angle
_SMOOTH = 1.0  # weight of the neighbours in time

_AT = {name: i for i, name in enumerate(HUMANML3D_NAMES)}


def humanml3d_motion(features: Array) -> Motion:
    """A motion at 20 frames a second of HumanML3D features [F, 263]. `MotionError` bad_features."""
    return motion_from_places(humanml3d_positions(features), HUMANML3D_FPS)


def snapmogen_motion(features: Array, rest: Array) -> Motion:
    """A motion at 30 frames a second of SnapMoGen features [F, 296] on its 24 joints; `rest` [24, 3] gives the bones' lengths.

    `MotionError` bad_features.
    """
    pose = snapmogen_pose(features)
    offsets = bone_offsets(pose, rest)
    offsets[0] = 0.0
    return _motion(
        SNAPMOGEN_NAMES,
        np.asarray(SNAPMOGEN_PARENTS),
        offsets,
        pose.rotations,
        pose.positions[:, 0],
        SNAPMOGEN_FPS,
        SNAPMOGEN_CENTIMETRES,
    )


def motion_from_places(places: Array, fps: float) -> Motion:
    """A motion of the places [F, 22, 3], in metres, of HumanML3D's joints, Y up. `MotionError` bad_features."""
    places = np.asarray(places, dtype=np.float64)
    if places.ndim != 3 or places.shape[1:] != (len(_AT), 3) or len(places) == 0:
        raise MotionError("bad_features", f"Expected places of 22 joints, not {places.shape}.")
    if not bool(np.all(np.isfinite(places))):
        raise MotionError(
            "bad_features", "The places of the joints hold nan. The checkpoint is damaged or belongs to another model."
        )
    world = np.tile(quat.IDENTITY, (*places.shape[:2], 1))
    world[:, _AT["pelvis"]] = _torso(places, "l_hip", "r_hip", "pelvis", "spine1")
    world[:, _AT["spine3"]] = _torso(places, "l_collar", "r_collar", "spine3", "neck")
    _spine(places, world)
    _swing(places, world, "neck", "head", "spine3", _HEAD)
    _swing(places, world, "l_collar", "l_shoulder", "spine3", _X)
    _swing(places, world, "r_collar", "r_shoulder", "spine3", -_X)
    world[:, _AT["head"]] = world[:, _AT["neck"]]
    for upper, middle, end, parent, along, hinge in _LIMBS:
        first, second = _limb(places, world[:, _AT[parent]], (upper, middle, end), along, hinge)
        world[:, _AT[upper]], world[:, _AT[middle]], world[:, _AT[end]] = first, second, second
    for side in "lr":
        _swing(places, world, f"{side}_ankle", f"{side}_foot", f"{side}_knee", _FOOT)
        world[:, _AT[f"{side}_foot"]] = world[:, _AT[f"{side}_ankle"]]
    return _motion(HUMANML3D_NAMES, np.asarray(HUMANML3D_PARENTS), _offsets(places, world), world, places[:, 0], fps, CENTIMETRES)


def _motion(
    names: tuple[str, ...], parents: Array, offsets: Array, world: Array, root: Array, fps: float, scale: float
) -> Motion:
    local = world.copy()
    children = np.flatnonzero(parents >= 0)
    local[:, children] = quat.mul(quat.inverse(world[:, parents[children]]), world[:, children])
    skeleton = Skeleton(names=names, parents=parents.astype(np.int64), offsets=offsets * scale)
    positions = np.tile(skeleton.offsets, (len(world), 1, 1))
    positions[:, 0] = root * scale
    return Motion(skeleton=skeleton, rotations=quat.continuous(local), positions=positions, frame_time=1.0 / fps)


def _bone(places: Array, start: str, end: str) -> Array:
    return np.asarray(places[:, _AT[end]] - places[:, _AT[start]])


def _torso(places: Array, left: str, right: str, base: str, top: str) -> Array:
    """World rotation [F, 4] of a part that three joints hang on rigidly: a pair at its sides and one above."""
    across = _bone(places, right, left)
    up = (
        places[:, _AT[top]] - 0.5 * (places[:, _AT[left]] + places[:, _AT[right]])
        if base == "pelvis"
        else _bone(places, base, top)
    )
    return quat.from_matrix(_frame(across, up) @ _frame(_X, _TORSO_UP[base]).swapaxes(-1, -2))


def _frame(first: Array, second: Array) -> Array:
    """Matrices [..., 3, 3] whose first column is along `first` and whose second is as near to `second` as that allows."""
    x = quat.normalize(first)
    y = quat.normalize(second - (second * x).sum(axis=-1, keepdims=True) * x)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _spine(places: Array, world: Array) -> None:
    """The two joints between pelvis and chest: along their bones, turned a third and two thirds of the way."""
    pelvis, chest = world[:, _AT["pelvis"]], world[:, _AT["spine3"]]
    for joint, child, share in (("spine1", "spine2", 1 / 3), ("spine2", "spine3", 2 / 3)):
        between = quat.slerp(pelvis, chest, np.full(len(world), share))
        bone = _bone(places, joint, child)
        world[:, _AT[joint]] = quat.mul(_shortest(quat.rotate(between, _Y), bone), between)


def _swing(places: Array, world: Array, joint: str, child: str, parent: str, rest: Array) -> None:
    """Turn a joint as its parent is, and from there by the smallest rotation that points it at its child."""
    base = world[:, _AT[parent]]
    world[:, _AT[joint]] = quat.mul(_shortest(quat.rotate(base, rest), _bone(places, joint, child)), base)


def _shortest(start: Array, end: Array) -> Array:
    """The smallest rotation from one direction to the other; none where a bone has no length."""
    short = np.linalg.norm(end, axis=-1, keepdims=True) < _SHORTEST
    return quat.between(start, np.where(short, start, end))


def _limb(places: Array, base: Array, joints: tuple[str, str, str], along: Array, hinge: Array) -> tuple[Array, Array]:
    """World rotations of the upper and the lower bone of a limb whose parent is turned by `base`."""
    upper, lower = (
        quat.rotate(quat.inverse(base), quat.normalize(_bone(places, a, b)))
        for a, b in ((joints[0], joints[1]), (joints[1], joints[2]))
    )
    upper = np.where(np.linalg.norm(upper, axis=-1, keepdims=True) < 0.5, along, upper)
    lower = np.where(np.linalg.norm(lower, axis=-1, keepdims=True) < 0.5, upper, lower)
    # Directions about the upper bone are angles in a frame that is carried along with it without turning about it:
    # unlike the shortest swing from the rest pose it has no place where it flips.
    carried = quat.rotate(_carried(upper, along), hinge)
    side = np.cross(upper, carried)
    measured = _in_plane(np.cross(upper, lower), carried, side)
    habit = _in_plane(quat.rotate(quat.between(along, upper), hinge), carried, side)
    weight = _HABIT * (0.5 + 0.5 * upper @ along) ** 2 + 1e-4
    bend = np.abs(measured)
    pole = _smoothed(measured * bend + habit * weight, bend**2 + weight)
    axis = carried * pole.real[:, None] + side * pole.imag[:, None]
    rest = _frame(along, hinge).swapaxes(-1, -2)
    return (
        quat.mul(base, quat.from_matrix(_frame(upper, axis) @ rest)),
        quat.mul(base, quat.from_matrix(_frame(lower, _across(axis, lower, upper)) @ rest)),
    )


def _carried(directions: Array, start: Array) -> Array:
    """Rotations [F, 4] that take `start` to each of `directions` [F, 3], each the one before and the smallest step from there."""
    out = np.concatenate([quat.between(start, directions[:1]), quat.between(directions[:-1], directions[1:])])
    reach = 1
    while reach < len(out):  # a running product in log2(F) steps
        out[reach:] = quat.mul(out[reach:], out[:-reach].copy())
        reach *= 2
    return quat.normalize(out)


def _in_plane(vectors: Array, first: Array, second: Array) -> np.ndarray:
    """Vectors [F, 3] as complex numbers in the plane of two axes [F, 3] each."""
    return np.asarray((vectors * first).sum(axis=-1) + 1j * (vectors * second).sum(axis=-1))


def _smoothed(pull: np.ndarray, weight: Array) -> np.ndarray:
    """Unit complex numbers z that minimise Σ weight |z - pull / weight|² + Σ smooth |z' - z|², scaled to one.

    A system with three diagonals, solved by elimination along time.
    """
    count = len(pull)
    neighbours = np.full(count, 2.0 * _SMOOTH)
    neighbours[[0, -1]] = _SMOOTH if count > 1 else 0.0
    diagonal, right = weight + neighbours, pull.astype(np.complex128)
    for i in range(1, count):
        factor = _SMOOTH / diagonal[i - 1]
        diagonal[i] -= factor * _SMOOTH
        right[i] += factor * right[i - 1]
    out = right
    out[-1] /= diagonal[-1]
    for i in range(count - 2, -1, -1):
        out[i] = (right[i] + _SMOOTH * out[i + 1]) / diagonal[i]
    size = np.abs(out)
    return np.where(size < 1e-9, 1.0, out / np.where(size < 1e-9, 1.0, size))


def _across(axis: Array, lower: Array, upper: Array) -> Array:
    """The hinge for the lower bone; where that lies along the hinge, carried over from the upper one."""
    along = np.abs((axis * lower).sum(axis=-1, keepdims=True)) > 0.98
    return np.where(along, quat.rotate(quat.between(upper, lower), axis), axis)


def _offsets(places: Array, world: Array) -> Array:
    """Rest offsets [22, 3] in metres: limbs, spine, head, feet along their rest directions, what hangs on the torso as seen."""
    along = {
        "spine2": _Y, "spine3": _Y, "head": _HEAD, "l_shoulder": _X, "r_shoulder": -_X, "l_foot": _FOOT, "r_foot": _FOOT,
        "l_knee": -_Y, "r_knee": -_Y, "l_ankle": -_Y, "r_ankle": -_Y, "l_elbow": _X, "r_elbow": -_X,
        "l_wrist": _X, "r_wrist": -_X,
    }  # fmt: skip
    offsets = np.zeros((len(_AT), 3))
    for joint, parent in enumerate(HUMANML3D_PARENTS):
        if parent < 0:
            continue
        name, bones = HUMANML3D_NAMES[joint], places[:, joint] - places[:, parent]
        length = float(np.median(np.linalg.norm(bones, axis=-1)))
        if name in along:
            offsets[joint] = quat.normalize(along[name]) * length
        else:
            seen = np.median(quat.rotate(quat.inverse(world[:, parent]), bones), axis=0)
            offsets[joint] = quat.normalize(seen) * length
    return offsets
