# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip onto another character: arrays in, arrays out. Knows Blender's bone algebra, but no Blender.

World here is the target's: metres, Z up, as in Blender. Rest poses cancel out through anatomical frames: every mapped joint gets
a frame from the body (where the limb points, where it bends), on both skeletons alike, and it is these that are matched. Where
the body goes and how its feet stand is `grounding`'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from . import anatomy, hands, hips, quat, touch, twist
from .anatomy import Frames
from .clip_map import map_motion
from .errors import MotionError
from .grounding import GroundOptions, headed, place
from .humanoid import JointMap, find_joints
from .kinematics import by_joint, forward
from .quat import Array
from .rig import Rig
from .skeleton import Motion
from .travel import Travel

_OPTIONAL = {"neck": "neck", "l_collar": "shoulder bones", "l_wrist": "hands", "l_foot": "toes"}
_LEAST_BONE = 0.01  # of the leg's length: a shorter bone does not say where it points
_LEAN_ROUNDS = 3
_BELOW = {"shoulder": "elbow", "elbow": "wrist", "hip": "knee", "knee": "ankle"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetargetOptions(GroundOptions):
    """What a person can choose; the defaults are what most want."""

    scale: float | None = None  # of the root's path; None: by the ratio of leg lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """What goes into an action: values of Blender's pose bones, each in the bone's own rest basis (matrix_basis)."""

    mapped: tuple[int, ...]  # [M] indices of the bones that were given rotations, ascending
    rotations: Array  # [F, M, 4] w x y z, signs continuous in time
    locations: Mapping[int, Array]  # bone → [F, 3] metres: the pelvis, then a bone above it that carries the path
    frame_time: float  # seconds
    scale: float  # metres of the target per unit of the source
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rotations)


def map_rig(rig: Rig) -> JointMap:
    """The body in a rig."""
    return find_joints(rig.names, rig.parents, rig.heads, rig.tails)


def retarget(
    source: Motion,
    rig: Rig,
    *,
    source_map: JointMap | None = None,
    target_map: JointMap | None = None,
    options: RetargetOptions | None = None,
) -> Pose:
    """The clip as a pose of the rig in every frame.

    Raises `MotionError`: no_frames for an empty clip, unknown_skeleton when either side is no body, bad_rig.
    """
    options = options or RetargetOptions()
    if len(source) == 0:
        raise MotionError("no_frames", "The clip has no frames, so there is nothing to retarget. Export it with its motion.")
    if not (np.isfinite(source.rotations).all() and np.isfinite(source.positions).all()):
        raise MotionError("not_finite", "The clip has values that are no numbers (nan or inf). Export it again.")
    source_map = source_map or map_motion(source)
    target_map = target_map or map_rig(rig)

    body = headed(anatomy.Performance.of(source, source_map), options)
    rig = _without_stubs(_upright(rig, target_map), target_map)
    goal = anatomy.rest_frames(target_map, rig.parents, rig.heads, rig.tails, up=np.array([0.0, 0.0, 1.0]))
    pelvis = body.frame("pelvis")
    if options.floor and options.foot_lock:
        widths = hips.width(rig.heads, target_map), hips.width(body.stance, body.joints)
        pelvis = hips.steadied(pelvis, body.frame_time, *widths)
    turned = _bone_frames(body, target_map, goal, rig, pelvis)
    turned |= _twists(target_map, rig, turned)

    # Only the bones that move, and those above them: a character may have hundreds. Toes bend over the floor in any case.
    root = target_map.root if options.travel is Travel.ROOT else -1
    more = {bone for name, bone in target_map.joints.items() if name in ("l_foot", "r_foot")} | ({root} - {-1})
    mapped = sorted({*turned, *more})
    part, kept = rig.part(mapped)
    joints = {name: kept.index(bone) for name, bone in target_map.joints.items() if bone in kept}
    rest = quat.from_matrix(part.rest)
    rotations = _world_rotations(part, rest, {kept.index(bone): turn for bone, turn in turned.items()})
    scale = options.scale or anatomy.leg_length(rig.heads, target_map) / body.leg_length
    placed = place(
        body,
        part,
        joints,
        rotations,
        rest,
        scale=scale,
        root=kept.index(root) if root >= 0 else -1,
        palms=touch.palms(target_map, rig.heads, quat.from_matrix(rig.rest), rig.tails),
        options=options,
    )
    basis = _basis(part, rest, placed.rotations, [kept.index(bone) for bone in mapped])
    notes = list(body.notes)
    if missing := [called for name, called in _OPTIONAL.items() if name not in target_map.joints]:
        notes.append(f"The character has no {', '.join(missing)}; that motion is left out.")
    return Pose(
        mapped=tuple(mapped),
        rotations=quat.continuous(basis),
        locations={
            kept[bone]: quat.rotate(quat.inverse(_unposed(part, rest, placed.rotations, bone)), move)
            for bone, move in placed.moves.items()
        },
        frame_time=source.frame_time,
        scale=float(scale),
        notes=tuple(notes),
    )


def pose_world(rig: Rig, pose: Pose) -> tuple[Array, Array]:
    """World rotations [F, B, 4] and heads [F, B, 3] of the posed bones, as Blender evaluates them."""
    rest = quat.from_matrix(rig.rest)
    basis = {bone: pose.rotations[:, i] for i, bone in enumerate(pose.mapped)}
    local_r, local_p = by_joint(len(pose), len(rig.names), 4), by_joint(len(pose), len(rig.names), 3)
    for bone, parent in enumerate(rig.parents):
        if parent < 0:
            offset_r, local_p[:, bone] = rest[bone], rig.heads[bone]
        else:
            to_parent = quat.inverse(rest[parent])
            offset_r = quat.mul(to_parent, rest[bone])
            local_p[:, bone] = quat.rotate(to_parent, rig.heads[bone] - rig.heads[parent])
        local_r[:, bone] = quat.mul(offset_r, basis.get(bone, quat.IDENTITY))
        if bone in pose.locations:
            local_p[:, bone] += quat.rotate(offset_r, pose.locations[bone])
    return forward(rig.parents, local_r, local_p)


def _bone_frames(body: anatomy.Performance, target_map: JointMap, goal: Frames, rig: Rig, pelvis: Array) -> dict[int, Array]:
    """Bone → how far it turns in the world from its rest pose, [F, 4], when the pelvis has the frames [F, 4]."""
    wanted: dict[int, Array] = {}

    def put(bone: int, frame: Array, name: str) -> None:
        wanted[bone] = quat.mul(frame, quat.inverse(goal[name]))

    put(target_map["pelvis"], pelvis, "pelvis")
    put(target_map["head"], body.frame("head"), "head")

    for bone, at in zip(target_map.spine, _places(rig, target_map, target_map.spine), strict=True):
        put(bone, body.spine(float(at)), "pelvis")
    for bone, at in zip(target_map.neck, _places(rig, target_map, target_map.neck), strict=True):
        put(bone, body.neck(float(at)), "pelvis")
    wanted |= _leaning(body, target_map, rig, wanted)
    for name, bone in target_map.joints.items():
        if not name.startswith(("l_", "r_")):
            continue
        shared = next((key for key in (name, f"{name}_plain") if body.has(key) and key in goal), None)
        if shared:
            put(bone, body.frame(shared), shared)
        elif name.endswith("_collar"):
            put(bone, body.spine(1.0), "pelvis")
    for side in "lr":
        if any(name.startswith(side) for name in target_map.fingers) and f"{side}_wrist" in target_map.joints:
            wanted |= _fingers(body, target_map, rig, side, wanted)
    return wanted


def _upright(rig: Rig, target_map: JointMap) -> Rig:
    """The rig standing: of one that lies, since its object was turned over, the motion lies as it does."""
    ankles = 0.5 * (rig.heads[target_map["l_ankle"]] + rig.heads[target_map["r_ankle"]])
    stands = anatomy.nearest_axis(rig.heads[target_map["head"]] - ankles)
    if stands[2] > 0.0:
        return rig
    turn = quat.between(stands, np.array([0.0, 0.0, 1.0]))
    return replace(
        rig,
        heads=quat.rotate(turn, rig.heads),
        tails=quat.rotate(turn, rig.tails),
        rest=quat.to_matrix(turn) @ rig.rest,
        ground=quat.rotate(turn, rig.ground),
    )


def _without_stubs(rig: Rig, target_map: JointMap) -> Rig:
    """The rig with unknown ends (nan) of bones that have hardly a length, as importers make of joints without children."""
    short = np.linalg.norm(rig.tails - rig.heads, axis=-1) < _LEAST_BONE * anatomy.leg_length(rig.heads, target_map)
    return replace(rig, tails=np.where(short[:, None], np.nan, rig.tails)) if short.any() else rig


def _leaning(body: anatomy.Performance, target_map: JointMap, rig: Rig, turned: Mapping[int, Array]) -> dict[int, Array]:
    """The turns of the spine's bones, changed so that the neck stands over the hips as it does in the source.

    A spine of other lengths bends at other places, and the same bends would lean it elsewhere. The chest keeps its turn.
    """
    chain = list(target_map.spine)
    if not chain:
        return {}
    points = [rig.heads[bone] for bone in chain] + [anatomy.chest_end(rig.heads, target_map)]
    hips = 0.5 * (rig.heads[target_map["l_hip"]] + rig.heads[target_map["r_hip"]])
    wish = quat.rotate(
        quat.from_axis_angle(body.left, anatomy.lean(points[-1] - hips, rig.heads, target_map) - body.lean), body.trunk
    )
    below = quat.rotate(turned[target_map["pelvis"]], points[0] - hips)
    turns = [turned[bone] for bone in chain]
    bending = range(max(1, len(chain) - 1))
    for _ in range(_LEAN_ROUNDS):
        chord = below + sum(quat.rotate(turn, b - a) for turn, (a, b) in zip(turns, itertools.pairwise(points), strict=True))
        more = quat.between(chord, wish)
        for i in bending:
            turns[i] = quat.mul(more, turns[i])
    return dict(zip(chain, turns, strict=True))


def _fingers(
    body: anatomy.Performance, target_map: JointMap, rig: Rig, side: str, turned: Mapping[int, Array]
) -> dict[int, Array]:
    """How the bones of the fingers that both hands have turn from rest."""
    own, other = body.palm(side), anatomy.palm_of(target_map, rig.heads, side)
    hand = turned.get(target_map[f"{side}_wrist"])
    if own is None or other is None or hand is None:
        return {}
    out: dict[int, Array] = {}
    to_target = quat.mul(quat.mul(hand, other), quat.inverse(own))
    for name, chain in target_map.fingers.items():
        if not name.startswith(side) or name not in body.joints.fingers:
            continue
        ends = np.concatenate([rig.heads[list(chain[1:])], rig.tails[[chain[-1]]]])
        known = int(np.isfinite(ends).all(axis=-1).sum())
        pointing = quat.rotate(to_target[:, None], body.finger(name))[:, :known]
        turns = hands.finger_turns(pointing, quat.normalize(ends - rig.heads[list(chain)])[: pointing.shape[1]], hand)
        out |= {bone: turns[:, i] for i, bone in enumerate(chain[: pointing.shape[1]])}
    return out


def _twists(target_map: JointMap, rig: Rig, turned: dict[int, Array]) -> dict[int, Array]:
    """How the bones that share a limb's twist turn from rest."""
    out: dict[int, Array] = {}
    for name, bones in target_map.twists.items():
        side, part = name.split("_")
        limb, end = target_map[name], target_map.get(f"{side}_{_BELOW[part]}")
        if end is None:
            continue
        way = rig.heads[end] - rig.heads[limb]
        axis, length = quat.normalize(way), float(np.linalg.norm(way))
        above = next((turned[bone] for bone in _ancestors(rig, limb) if bone in turned), turned[target_map["pelvis"]])
        for bone in bones:
            at = float(np.clip(np.dot(rig.heads[bone] - rig.heads[limb], axis) / max(length, 1e-9), 0.0, 1.0))
            if part in ("elbow", "knee"):
                out[bone] = twist.lower(turned[limb], turned[end], axis, at) if end in turned else turned[limb]
            else:
                out[bone] = twist.upper(turned[limb], above, axis, at)
    return out


def _ancestors(rig: Rig, bone: int) -> Iterator[int]:
    while (bone := int(rig.parents[bone])) >= 0:
        yield bone


def _places(rig: Rig, target_map: JointMap, chain: tuple[int, ...]) -> Array:
    end = anatomy.chest_end(rig.heads, target_map) if chain == target_map.spine else rig.heads[target_map["head"]]
    return anatomy.chain_places(rig.heads, chain, end)


def _world_rotations(rig: Rig, rest: Array, turned: dict[int, Array]) -> Array:
    """World rotations [F, B, 4] of all bones; those without a wish keep their rest relative to the parent."""
    frames = len(next(iter(turned.values())))
    out = by_joint(frames, len(rig.names), 4)
    for bone in range(len(rig.names)):
        if bone in turned:
            out[:, bone] = quat.mul(turned[bone], rest[bone])
        else:
            out[:, bone] = _unposed(rig, rest, out, bone)
    return out


def _unposed(rig: Rig, rest: Array, posed: Array, bone: int) -> Array:
    """The world rotation [F, 4] or [4] of a bone that only follows its parent."""
    parent = int(rig.parents[bone])
    return rest[bone] if parent < 0 else quat.mul(posed[:, parent], quat.mul(quat.inverse(rest[parent]), rest[bone]))


def _basis(rig: Rig, rest: Array, posed: Array, bones: list[int]) -> Array:
    """World rotations to Blender's matrix_basis [F, len(bones), 4]: basis = (pose[parent] rest[parent]⁻¹ rest)⁻¹ pose."""
    out = by_joint(len(posed), len(bones), 4)
    for i, bone in enumerate(bones):
        out[:, i] = quat.mul(quat.inverse(_unposed(rig, rest, posed, bone)), posed[:, bone])
    return out
