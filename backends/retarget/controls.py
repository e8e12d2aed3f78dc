# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys the controls of a rig that Rigify generated, so that its deforming bones are posed as retargeting wants them.

What hangs on what in such a rig is said by hundreds of constraints and drivers. It is found out instead: with its follow switches
set, every control and every deforming bone moves rigidly with one other control, and a few random poses show with which. From
then on everything is arrays. Runs only inside a Blender, on an armature that may be changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...motion import quat
from ...motion.errors import MotionError
from ...motion.quat import Array
from ...motion.retarget import Pose, pose_world
from ...motion.rig import Rig
from ...motion.rigify import Controls, controls
from .. import compat
from .fit import ROTATION_PATHS, in_mode

if TYPE_CHECKING:
    import bpy

_POSES = 6  # that are tried
_TURNED, _MOVED = 0.4, 0.1  # radians and armature units by which controls are posed to see what follows them
_RIGID = np.radians(0.5)  # how far what follows may be off
_OFF = 0.05  # metres a deforming bone may be off its place before it is said
_CHECKED = 5  # frames
_POLE = 1.0  # leg lengths that a pole target stands off its knee
KEYED = "The motion is keyed on the rig's controls, FK and IK alike; limbs are switched to FK."
# Properties of the rig and their values while it is keyed: limbs by FK, and nothing follows by halves.
_SWITCHES = {"IK_FK": 1.0, "FK_limb_follow": 0.0, "neck_follow": 1.0, "head_follow": 1.0, "pole_vector": True}


@dataclass(frozen=True, slots=True)
class ControlKeys:
    """What one control does in each frame, in its own axes."""

    bone: str
    what: str  # "location" or "rotation"
    values: Array  # [F, 3] in the armature's unit, or [F, 4]


@dataclass(frozen=True, slots=True)
class Switch:
    """A property of the rig that is set while it is keyed."""

    bone: str
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class _Followed:
    """What a bone moves with: its transform, before its own keys, is the one of `by` times `turn` and `place`."""

    by: str  # a control
    turn: Array  # [4]
    place: Array  # [3]


class _World:
    """World transforms of controls as arrays over frames, in the armature's space."""

    def __init__(self) -> None:
        self._turns: dict[str, Array] = {}
        self._places: dict[str, Array] = {}

    def set(self, name: str, turn: Array, place: Array) -> None:
        self._turns[name], self._places[name] = turn, place

    def __contains__(self, name: str) -> bool:
        return name in self._turns

    def get(self, name: str) -> tuple[Array, Array]:
        return self._turns[name], self._places[name]

    def following(self, followed: _Followed) -> tuple[Array, Array]:
        turn, place = self.get(followed.by)
        return quat.mul(turn, followed.turn), place + quat.rotate(turn, followed.place)


def write_controls(
    armature: bpy.types.Object, rig: Rig, pose: Pose, unit: float, *, name: str, first_frame: int
) -> tuple[bpy.types.Action, list[str]]:
    """The action that poses the deforming bones as `pose` does, keyed on the controls, FK and IK alike, switched to FK.

    Raises what `solve_controls` raises.
    """
    keys, switches = solve_controls(armature, rig, pose, unit)
    action = compat.write_action(armature, name, _channels(armature, keys, switches, first_frame), first_frame)
    return action, [KEYED, *_check(armature, rig, pose, unit, first_frame)]


def solve_controls(armature: bpy.types.Object, rig: Rig, pose: Pose, unit: float) -> tuple[list[ControlKeys], list[Switch]]:
    """The keys of the controls and the switches that are set for them, for a pose of the `posable` part of the armature.

    Poses the armature at random meanwhile, and leaves it at rest. Raises `MotionError("bad_rig")` where the rig was taken apart
    so far that controls do not move what they are named for.
    """
    found = controls(armature.data.bones.keys())
    if found is None:
        raise MotionError("bad_rig", f"The armature {armature.name} is no rig that Rigify generated.")
    switches = _set_switches(armature)
    forward = [control for control in _forward(found) if control in armature.pose.bones]
    deforming = [rig.names[bone] for bone in pose.mapped]
    turns, places = _in_armature(armature, rig, pose, unit)

    world = _World()
    keys: list[ControlKeys] = []
    if found.root in deforming:  # the path was to go there
        bone = rig.names.index(found.root)
        rest = quat.from_matrix(np.array(armature.data.bones[found.root].matrix_local.to_3x3(), float))
        head = np.array(armature.data.bones[found.root].head_local, float)
        keys.append(ControlKeys(found.root, "rotation", quat.continuous(quat.mul(quat.inverse(rest), turns[:, bone]))))
        keys.append(ControlKeys(found.root, "location", quat.rotate(quat.inverse(rest), places[:, bone] - head)))
        deforming.remove(found.root)
        world.set(found.root, turns[:, bone], places[:, bone])
    else:
        world.set(found.root, *_still(armature, found.root, len(pose)))
    pelvis = rig.names[next(iter(pose.locations))]
    follows, drives = _probe(armature, found.root, forward, deforming, pelvis)
    for control in _in_order(forward, follows, found.root):
        base_turn, base_place = world.following(follows[control])
        turn, place = base_turn, base_place
        if control in drives:
            bone = rig.names.index(drives[control])
            between, offset = _at_rest(armature, drives[control], control)
            turn = quat.mul(turns[:, bone], between)
            if control == found.torso:
                place = places[:, bone] + quat.rotate(turns[:, bone], offset)
                keys.append(ControlKeys(control, "location", quat.rotate(quat.inverse(base_turn), place - base_place)))
            keys.append(ControlKeys(control, "rotation", quat.continuous(quat.mul(quat.inverse(base_turn), turn))))
        world.set(control, turn, place)
    return keys + _inverse(armature, found, world, forward), switches


def _in_armature(armature: bpy.types.Object, rig: Rig, pose: Pose, unit: float) -> tuple[Array, Array]:
    """The pose's world rotations [F, B, 4] and heads [F, B, 3] in the armature's own space and unit."""
    back = quat.inverse(_object_turn(armature, rig))
    turns, places = pose_world(rig, pose)
    return quat.mul(back, turns), quat.rotate(back, places) / unit


def _set_switches(armature: bpy.types.Object) -> list[Switch]:
    """Set the rig's switches; those there are."""
    out: list[Switch] = []
    for bone in armature.pose.bones:
        for name, value in _SWITCHES.items():
            if name in bone.keys():  # noqa: SIM118 - a bone is no mapping to the checker of types
                bone[name] = type(bone[name])(value)
                out.append(Switch(bone.name, name, float(value)))
    armature.update_tag()
    return out


def _forward(found: Controls) -> list[str]:
    """The controls that are posed by turning them, hands and feet last."""
    fingers = [bone for chain in found.fingers.values() for bone in chain]
    # The lowest spine control turns the pelvis about its end; the torso does it about its own place.
    return [found.torso, *found.spine_fk[1:], found.neck, found.head, *(v for k, v in found.fk.items() if "_" in k), *fingers]


def _object_turn(armature: bpy.types.Object, rig: Rig) -> Array:
    """From the armature's space to the rig's [4]."""
    own = np.array(armature.data.bones[rig.names[0]].matrix_local.to_3x3(), float)
    return quat.from_matrix(rig.rest[0] @ own.T)


def _still(armature: bpy.types.Object, name: str, frames: int) -> tuple[Array, Array]:
    """A bone at rest, in every frame."""
    bone = armature.data.bones[name]
    turn = quat.from_matrix(np.array(bone.matrix_local.to_3x3(), float))
    return np.broadcast_to(turn, (frames, 4)), np.broadcast_to(np.array(bone.head_local, float), (frames, 3))


def _at_rest(armature: bpy.types.Object, bone: str, control: str) -> tuple[Array, Array]:
    """A control's turn [4] and place [3] in the axes of a bone, at rest."""
    bones = armature.data.bones
    between = np.array(bones[bone].matrix_local.inverted() @ bones[control].matrix_local, float)
    return quat.from_matrix(between[:3, :3]), between[:3, 3]


def _probe(
    armature: bpy.types.Object, root: str, posed: Sequence[str], deforming: Sequence[str], pelvis: str
) -> tuple[dict[str, _Followed], dict[str, str]]:
    """What each posed control follows; and the deforming bone that a control points where it likes, the first one for the pelvis.

    Pointing is what counts: the first half of a limb leaves a part of the control's twist to the second.
    """
    bones = armature.pose.bones
    seen: dict[str, list[Array]] = {}
    for _ in _random_poses(armature, [*posed, root]):
        seen.setdefault(root, []).append(np.array(bones[root].matrix, float))
        for name in posed:
            seen.setdefault(name, []).append(np.array(bones[name].matrix, float))
            seen.setdefault("^" + name, []).append(_unposed(bones[name]))
        for name in deforming:
            seen.setdefault("=" + name, []).append(np.array(bones[name].matrix, float))
    matrices = {name: np.stack(values) for name, values in seen.items()}
    follows: dict[str, _Followed] = {}
    for name in posed:
        followed, error = _rigid(matrices["^" + name], {other: matrices[other] for other in (root, *posed) if other != name})
        if error > _RIGID:
            raise _taken_apart(armature, name)
        follows[name] = followed
    best: dict[str, tuple[float, str]] = {}
    for name in deforming:
        control, error = _pointed(matrices["=" + name], {other: matrices[other] for other in posed})
        distance = (bones[name].bone.head_local - bones[control].bone.head_local).length
        if error < _RIGID and (name == pelvis or distance < best.get(control, (np.inf,))[0]):
            best[control] = (-1.0 if name == pelvis else distance, name)
    drives = {control: name for control, (_, name) in best.items()}
    if not drives:
        raise _taken_apart(armature, posed[0])
    return follows, drives | {posed[0]: pelvis}


def _unposed(bone: bpy.types.PoseBone) -> Array:
    """Where a bone would be [4, 4] without keys of its own, in the armature's space."""
    rest = np.array(bone.bone.matrix_local, float)
    if bone.parent is None:
        return rest
    return np.asarray(np.array(bone.parent.matrix @ bone.parent.bone.matrix_local.inverted(), float) @ rest)


def _random_poses(armature: bpy.types.Object, posed: Sequence[str]) -> Iterator[int]:
    """Pose the controls at random, several times; at rest again afterwards."""
    import bpy  # noqa: PLC0415

    random = np.random.default_rng(1)
    size = float(np.median([bone.length for bone in armature.data.bones]))
    modes = {name: armature.pose.bones[name].rotation_mode for name in posed}
    try:
        for number in range(_POSES):
            for name in posed:
                bone = armature.pose.bones[name]
                bone.rotation_mode = "QUATERNION"
                axis = quat.normalize(random.normal(size=3))
                bone.rotation_quaternion = quat.from_axis_angle(axis, random.uniform(0.3, 1.0) * _TURNED).tolist()
                if name == posed[0]:
                    bone.location = (size * random.normal(size=3)).tolist()
            bpy.context.view_layer.update()
            yield number
    finally:
        for name, mode in modes.items():
            armature.pose.bones[name].rotation_mode = mode
            armature.pose.bones[name].matrix_basis.identity()
        bpy.context.view_layer.update()


def _rigid(moving: Array, candidates: Mapping[str, Array]) -> tuple[_Followed, float]:
    """Of the candidates' matrices [N, 4, 4] the one that `moving` [N, 4, 4] turns with, and how far it is off, in radians."""
    best: tuple[float, _Followed] | None = None
    for name, matrices in candidates.items():
        relative = np.linalg.inv(matrices) @ moving
        turns = quat.from_matrix(_unscaled(relative[:, :3, :3]))
        error = float(quat.angle(turns[0], turns[1:]).max())
        if best is None or error < best[0]:
            best = (error, _Followed(name, quat.mean(turns), relative[:, :3, 3].mean(axis=0)))
    assert best is not None  # the root is always a candidate
    return best[1], best[0]


def _pointed(moving: Array, candidates: Mapping[str, Array]) -> tuple[str, float]:
    """Of the candidates' matrices [N, 4, 4] the one that points `moving` [N, 4, 4], and how far it is off, in radians."""
    errors = {}
    for name, matrices in candidates.items():
        ways = quat.normalize((np.linalg.inv(matrices) @ moving)[:, :3, 1])
        errors[name] = float(np.linalg.norm(ways[1:] - ways[0], axis=-1).max())
    nearest = min(errors, key=lambda name: errors[name])
    return nearest, errors[nearest]


def _unscaled(matrices: Array) -> Array:
    return np.asarray(matrices / np.linalg.norm(matrices, axis=-2, keepdims=True))


def _in_order(names: Iterable[str], follows: Mapping[str, _Followed], root: str) -> list[str]:
    """The controls, each after what it follows."""
    out: list[str] = []
    waiting = list(dict.fromkeys(names))
    while waiting:
        ready = [name for name in waiting if follows[name].by in (root, *out)]
        if not ready:
            raise MotionError(
                "bad_rig", f"The controls {', '.join(waiting[:4])} follow each other in a ring. Generate the rig again."
            )
        out += ready
        waiting = [name for name in waiting if name not in ready]
    return out


def _inverse(armature: bpy.types.Object, found: Controls, world: _World, forward: Sequence[str]) -> list[ControlKeys]:
    """Keys of the IK controls that put hands and feet where the FK controls have them, so that a limb can be switched."""
    bones = armature.data.bones
    keys: list[ControlKeys] = []
    targets: dict[str, tuple[Array, Array]] = {}
    for joint, control in found.ik.items():
        twin = found.fk.get(joint)
        if twin is None or twin not in world or control not in bones:
            continue
        targets[control] = world.following(_Followed(twin, *_at_rest(armature, twin, control)))
    for joint, control in found.poles.items():
        limb = _limb(found, joint)
        if control in bones and all(part in world for part in limb):
            targets[control] = (
                np.array(quat.from_matrix(np.array(bones[control].matrix_local.to_3x3()))),
                _pole(armature, limb, world),
            )
    follows = _probe_inverse(armature, [found.root, *forward], list(targets))
    for control, (turn, place) in targets.items():
        if control not in follows or follows[control].by not in world:
            continue
        world.set(control, turn, place)
        base_turn, base_place = world.following(follows[control])
        if control not in found.poles.values():
            keys.append(ControlKeys(control, "rotation", quat.continuous(quat.mul(quat.inverse(base_turn), turn))))
        if not any(joint.endswith("foot") for joint, other in found.ik.items() if other == control):
            # Without local location a bone's location is in the axes of its parent.
            axes = base_turn if bones[control].use_local_location else _parent_axes(armature, control, base_turn)
            keys.append(ControlKeys(control, "location", quat.rotate(quat.inverse(axes), place - base_place)))
    return keys


def _parent_axes(armature: bpy.types.Object, control: str, base_turn: Array) -> Array:
    """The axes [F, 4] of what a bone hangs on, from those that the bone has before its own keys."""
    bone = armature.data.bones[control]
    between = bone.matrix_local.inverted() @ bone.parent.matrix_local if bone.parent else bone.matrix_local.inverted()
    return quat.mul(base_turn, quat.from_matrix(np.array(between.to_3x3(), float)))


def _limb(found: Controls, joint: str) -> tuple[str, str, str]:
    side = joint[:2]
    parts = ("shoulder", "elbow", "wrist") if joint.endswith("elbow") else ("hip", "knee", "ankle")
    first, second, third = (found.fk.get(side + part, "") for part in parts)
    return first, second, third


def _pole(armature: bpy.types.Object, limb: tuple[str, str, str], world: _World) -> Array:
    """Where the pole target of a limb stands [F, 3]: off its middle joint, the way it bends; where it is straight, as at rest."""
    (_, top), (_, middle), (_, end) = (world.get(part) for part in limb)
    turn = world.get(limb[0])[0]
    heads = [np.array(armature.data.bones[part].head_local, float) for part in limb]
    length = float(np.linalg.norm(heads[1] - heads[0]) + np.linalg.norm(heads[2] - heads[1]))
    bent = _across(heads[0], heads[1], heads[2])
    own = quat.from_matrix(np.array(armature.data.bones[limb[0]].matrix_local.to_3x3(), float))
    hint = quat.rotate(quat.mul(turn, quat.inverse(own)), quat.normalize(bent))
    off = _across(top, middle, end)
    share = np.clip(np.linalg.norm(off, axis=-1, keepdims=True) / (0.03 * length) - 0.3, 0.0, 1.0)
    way = quat.normalize(share * quat.normalize(off) + (1.0 - share) * hint)
    return np.asarray(middle + _POLE * length * way)


def _across(top: Array, middle: Array, end: Array) -> Array:
    """From the line between a limb's ends to its middle joint."""
    line = quat.normalize(end - top)
    return np.asarray((middle - top) - line * np.sum((middle - top) * line, axis=-1, keepdims=True))


def _probe_inverse(armature: bpy.types.Object, others: Sequence[str], posed: Sequence[str]) -> dict[str, _Followed]:
    """What IK controls follow while limbs are posed by them, among each other and the `others`."""
    bones = armature.pose.bones
    switched = [bone for bone in bones if "IK_FK" in bone.keys()]  # noqa: SIM118
    for bone in switched:
        bone["IK_FK"] = type(bone["IK_FK"])(0.0)
    armature.update_tag()
    seen: dict[str, list[Array]] = {}
    moved: dict[str, list[Array]] = {}
    try:
        for _ in _random_poses(armature, [*others, *posed]):
            for name in others:
                moved.setdefault(name, []).append(np.array(bones[name].matrix, float))
            for name in posed:
                bone = bones[name]
                seen.setdefault(name, []).append(_unposed(bone))
                moved.setdefault(name, []).append(np.array(bone.matrix, float))
    finally:
        for bone in switched:
            bone["IK_FK"] = type(bone["IK_FK"])(1.0)
        armature.update_tag()
    candidates = {name: np.stack(values) for name, values in moved.items()}
    out: dict[str, _Followed] = {}
    for name, values in seen.items():
        followed, error = _rigid(np.stack(values), {other: m for other, m in candidates.items() if other != name})
        if error < _RIGID:
            out[name] = followed
    return out


def _channels(
    armature: bpy.types.Object, keys: Iterable[ControlKeys], switches: Iterable[Switch], first_frame: int
) -> Iterator[compat.Channel]:
    """Each bone keyed in the rotation mode that it has."""
    for key in keys:
        bone = armature.pose.bones[key.bone]
        base = bone.path_from_id()
        path, values = "location", key.values
        if key.what == "rotation":
            path = ROTATION_PATHS.get(bone.rotation_mode, "rotation_euler")
            values, _ = in_mode(key.values, bone.rotation_mode)
        for k in range(values.shape[1]):
            yield compat.Channel(f"{base}.{path}", k, key.bone, values[:, k])
    for switch in switches:
        path = armature.pose.bones[switch.bone].path_from_id()
        yield compat.Channel(f'{path}["{switch.name}"]', 0, switch.bone, np.array([switch.value]))


def _check(armature: bpy.types.Object, rig: Rig, pose: Pose, unit: float, first_frame: int) -> list[str]:
    """Whether the deforming bones are where they should be, looked at in a few frames."""
    import bpy  # noqa: PLC0415

    _, places = _in_armature(armature, rig, pose, unit)
    scene, worst, where = bpy.context.scene, 0.0, ""
    before = scene.frame_current
    for frame in np.unique(np.linspace(0, len(pose) - 1, _CHECKED).astype(int)):
        scene.frame_set(first_frame + int(frame))
        for bone in pose.mapped:
            name = rig.names[bone]
            off = unit * float(np.linalg.norm(np.array(armature.pose.bones[name].head) - places[frame, bone]))
            if off > worst:
                worst, where = off, name
    scene.frame_set(before)
    return (
        [f"The rig's own constraints keep some bones from their places: {where} by {100.0 * worst:.1f} cm."]
        if worst > _OFF
        else []
    )


def _taken_apart(armature: bpy.types.Object, control: str) -> MotionError:
    return MotionError(
        "bad_rig",
        f"The control {control} of {armature.name} does not move as Rigify made it. Generate the rig again, or use its deforming "
        "bones alone.",
        details={"control": control},
    )
