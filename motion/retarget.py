# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip onto another character: arrays in, arrays out. Knows Blender's bone algebra, but no Blender.

World here is the target's: metres, Z up, as in Blender. Rest poses cancel out through anatomical frames: every mapped joint gets
a frame from the body (where the limb points, where it bends), on both skeletons alike, and it is these that are matched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import anatomy, quat
from .anatomy import Frames
from .errors import MotionError
from .humanoid import JointMap, find_joints
from .kinematics import forward, world
from .quat import Array
from .skeleton import Ints, Motion


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """The target: an armature's rest pose as arrays, parents before children, in metres, Z up."""

    names: tuple[str, ...]
    parents: Ints  # [B], -1 for a root
    heads: Array  # [B, 3]
    tails: Array  # [B, 3]
    rest: Array  # [B, 3, 3] columns are the bone's axes at rest (Blender: bone.matrix_local, times the object's rotation)

    def __post_init__(self) -> None:
        bones = len(self.names)
        shapes = (self.parents.shape, self.heads.shape, self.tails.shape, self.rest.shape)
        if shapes != ((bones,), (bones, 3), (bones, 3), (bones, 3, 3)):
            raise MotionError("bad_rig", f"A rig's arrays do not fit together: {bones} names, but shapes {shapes}.")
        if bones == 0 or bool(np.any(self.parents >= np.arange(bones))) or bool(np.any(self.parents < -1)):
            raise MotionError("bad_rig", "A rig needs at least one bone, and every parent before its children.")
        if not all(np.isfinite(values).all() for values in (self.heads, self.tails, self.rest)):
            raise MotionError("bad_rig", "The rig's rest pose has values that are no numbers.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetargetOptions:
    scale: float | None = None  # of the root's path; None: by the ratio of leg lengths
    floor: bool = True  # put the feet on the ground that the rig stands on at rest
    in_place: bool = False  # keep the character at the origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """What goes into an action: values of Blender's pose bones, each in the bone's own rest basis (matrix_basis)."""

    rotations: Array  # [F, B, 4] w x y z, signs continuous in time; identity for unmapped bones
    locations: Array  # [F, 3] of the bone `root`, metres
    root: int  # index of the bone that carries the path (the pelvis)
    mapped: tuple[int, ...]  # bones that were given rotations
    frame_time: float  # seconds
    scale: float  # metres of the target per unit of the source
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rotations)


def map_motion(motion: Motion) -> JointMap:
    """The body in a clip's skeleton; where its rest pose is no stance, in the frame in which it stands tallest."""
    skeleton = motion.skeleton
    tips = np.full((len(skeleton), 3), np.nan)
    rest = skeleton.rest_positions()
    tips[skeleton.end_parents] = rest[skeleton.end_parents] + skeleton.end_offsets
    found = find_joints(skeleton.names, skeleton.parents, rest, tips)
    if anatomy.stands(found, rest) or len(motion) == 0:
        return found
    rotations, positions = world(motion)
    ankles = 0.5 * (positions[:, found["l_ankle"]] + positions[:, found["r_ankle"]])
    tallest = int(np.argmax(np.linalg.norm(positions[:, found["head"]] - ankles, axis=-1)))
    turned = quat.rotate(rotations[tallest, skeleton.end_parents], skeleton.end_offsets)
    tips[skeleton.end_parents] = positions[tallest, skeleton.end_parents] + turned
    return find_joints(skeleton.names, skeleton.parents, positions[tallest], tips)


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

    body = anatomy.Performance.of(source, source_map)
    goal = anatomy.rest_frames(target_map, rig.parents, rig.heads, rig.tails, up=np.array([0.0, 0.0, 1.0]))
    turned = _bone_frames(body, target_map, goal, rig)

    rest = quat.from_matrix(rig.rest)
    posed = _world_rotations(rig, rest, turned)
    basis = _basis(rig, rest, posed)

    root = target_map["pelvis"]
    scale = options.scale or anatomy.leg_length(rig.heads, target_map) / body.leg_length
    locations = _locations(rig, rest, posed, target_map, root, body, scale, options)
    notes = list(body.notes)
    missing = [name for name in ("neck", "l_collar", "l_wrist", "l_foot") if name not in target_map.joints]
    if missing:
        notes.append(f"The character has no {', '.join(name.removeprefix('l_') for name in missing)}; that motion is left out.")
    return Pose(
        rotations=quat.continuous(basis),
        locations=locations,
        root=root,
        mapped=tuple(sorted(turned)),
        frame_time=source.frame_time,
        scale=float(scale),
        notes=tuple(notes),
    )


def pose_world(rig: Rig, pose: Pose) -> tuple[Array, Array]:
    """World rotations [F, B, 4] and heads [F, B, 3] of the posed bones, as Blender evaluates them."""
    rest = quat.from_matrix(rig.rest)
    local_r, local_p = np.empty_like(pose.rotations), np.empty((len(pose), len(rig.names), 3))
    for bone, parent in enumerate(rig.parents):
        if parent < 0:
            offset_r, local_p[:, bone] = rest[bone], rig.heads[bone]
        else:
            to_parent = quat.inverse(rest[parent])
            offset_r = quat.mul(to_parent, rest[bone])
            local_p[:, bone] = quat.rotate(to_parent, rig.heads[bone] - rig.heads[parent])
        local_r[:, bone] = quat.mul(offset_r, pose.rotations[:, bone])
        if bone == pose.root:
            local_p[:, bone] += quat.rotate(offset_r, pose.locations)
    return forward(rig.parents, local_r, local_p)


def _bone_frames(body: anatomy.Performance, target_map: JointMap, goal: Frames, rig: Rig) -> dict[int, Array]:
    """Bone → how far it turns in the world from its rest pose, [F, 4]."""
    wanted: dict[int, Array] = {}

    def put(bone: int, frame: Array, name: str) -> None:
        wanted[bone] = quat.mul(frame, quat.inverse(goal[name]))

    pelvis, head = body.frame("pelvis"), body.frame("head")
    put(target_map["pelvis"], pelvis, "pelvis")
    put(target_map["head"], head, "head")

    for bone, at in zip(target_map.spine, _places(rig, target_map, target_map.spine), strict=True):
        put(bone, body.spine(float(at)), "pelvis")
    for bone, at in zip(target_map.neck, _places(rig, target_map, target_map.neck), strict=True):
        put(bone, body.neck(float(at)), "pelvis")
    for name, bone in target_map.joints.items():
        if not name.startswith(("l_", "r_")):
            continue
        shared = next((key for key in (name, f"{name}_plain") if body.has(key) and key in goal), None)
        if shared:
            put(bone, body.frame(shared), shared)
        elif name.endswith("_collar"):
            put(bone, body.spine(1.0), "pelvis")
    return wanted


def _places(rig: Rig, target_map: JointMap, chain: tuple[int, ...]) -> Array:
    end = anatomy.chest_end(rig.heads, target_map) if chain == target_map.spine else rig.heads[target_map["head"]]
    return anatomy.chain_places(rig.heads, chain, end)


def _world_rotations(rig: Rig, rest: Array, turned: dict[int, Array]) -> Array:
    """World rotations [F, B, 4] of all bones; those without a wish keep their rest relative to the parent."""
    frames = len(next(iter(turned.values())))
    out = np.empty((frames, len(rig.names), 4))
    for bone, parent in enumerate(rig.parents):
        if bone in turned:
            out[:, bone] = quat.mul(turned[bone], rest[bone])
        elif parent < 0:
            out[:, bone] = rest[bone]
        else:
            out[:, bone] = quat.mul(out[:, parent], quat.mul(quat.inverse(rest[parent]), rest[bone]))
    return out


def _basis(rig: Rig, rest: Array, posed: Array) -> Array:
    """World rotations to Blender's matrix_basis: basis = (pose[parent] rest[parent]⁻¹ rest)⁻¹ pose."""
    out = np.empty_like(posed)
    for bone, parent in enumerate(rig.parents):
        unposed = rest[bone] if parent < 0 else quat.mul(posed[:, parent], quat.mul(quat.inverse(rest[parent]), rest[bone]))
        out[:, bone] = quat.mul(quat.inverse(unposed), posed[:, bone])
    return out


def _locations(
    rig: Rig,
    rest: Array,
    posed: Array,
    target_map: JointMap,
    root: int,
    body: anatomy.Performance,
    scale: float,
    options: RetargetOptions,
) -> Array:
    """Location [F, 3] of the root bone in its basis: hips over the source's path, feet on the floor."""
    heads = np.empty((len(posed), len(rig.names), 3))
    for bone, parent in enumerate(rig.parents):
        if parent < 0:
            heads[:, bone] = rig.heads[bone]
        else:
            local = quat.rotate(quat.inverse(rest[parent]), rig.heads[bone] - rig.heads[parent])
            heads[:, bone] = heads[:, parent] + quat.rotate(posed[:, parent], local)
    middle = 0.5 * (heads[:, target_map["l_hip"]] + heads[:, target_map["r_hip"]])
    shift = scale * body.middle - middle
    if options.in_place:
        shift[:, :2] = 0.0
    if options.floor:
        lowest = np.min(_soles(rig, rest, posed, heads, target_map), axis=1) + shift[:, 2]
        shift[:, 2] += rest_floor(rig, target_map) - np.percentile(lowest, 10)
    parent = int(rig.parents[root])
    unposed = rest[root] if parent < 0 else quat.mul(posed[:, parent], quat.mul(quat.inverse(rest[parent]), rest[root]))
    return quat.rotate(quat.inverse(unposed), shift)


def rest_floor(rig: Rig, target_map: JointMap) -> float:
    """Height of the ground the rig stands on at rest: z = 0 when its feet are near it, else the lowest end of a foot bone."""
    feet = [j for name in ("l_ankle", "r_ankle", "l_foot", "r_foot") if (j := target_map.get(name)) is not None]
    lowest = float(min(rig.heads[feet, 2].min(), rig.tails[feet, 2].min()))
    return 0.0 if 0.0 <= lowest < 0.15 * anatomy.leg_length(rig.heads, target_map) else lowest


def _soles(rig: Rig, rest: Array, posed: Array, heads: Array, target_map: JointMap) -> Array:
    """Heights [F, P] of the points under heel, ball and toe tip, which lie on the ground at rest."""
    ground = rest_floor(rig, target_map)
    out: list[Array] = []
    for side in "lr":
        ankle, toe = target_map[f"{side}_ankle"], target_map.get(f"{side}_foot")
        points = [(ankle, rig.heads[ankle])]
        points += [(ankle, rig.tails[ankle])] if toe is None else [(ankle, rig.heads[toe]), (toe, rig.tails[toe])]
        for bone, point in points:
            local = quat.rotate(quat.inverse(rest[bone]), np.array([point[0], point[1], ground]) - rig.heads[bone])
            out.append((heads[:, bone] + quat.rotate(posed[:, bone], local))[:, 2])
    return np.stack(out, axis=1)
