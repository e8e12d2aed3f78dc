# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to a generated motion on request: another speed, a bend, a loop, given first and last poses, a heading, no way.

Feet stand where they stood: contacts are found before an edit and locked again after it. Knows the body's motions, no networks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...motion import quat
from ...motion.bvh import read_bvh
from ...motion.clean import clean, foot_contacts
from ...motion.contacts import Mask
from ...motion.edit import bend, blend_to_pose, change_speed, follow, turn
from ...motion.errors import MotionError
from ...motion.footholds import LockOptions
from ...motion.humanoid import JointMap
from ...motion.legs import find_legs
from ...motion.loop import Loop, make_loop, repeat
from ...motion.offsets import about, heading_change
from ...motion.quat import Array
from ...motion.retarget import RetargetOptions, retarget
from ...motion.rig import Rig
from ...motion.skeleton import Motion
from ...motion.smooth import low_pass
from . import representation as rep

METRE = 100.0  # the body's motions are in centimetres
# Generated bodies glide over ground more than captured ones, and swing their feet lower.
LOCK = LockOptions(blend=0.05, wander=0.12, carry=0.235, drag=0.41, clearance=1.0)
_ROUNDS = 3  # of a loop: its feet are locked with the rounds before and after it in sight
_STANDS = 0.1  # metres a second: slower than that is no way that could be gone faster
_SWAY = 0.5  # Hz: what of the root's path is slower is the way


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StillPose:
    """One pose of the body."""

    rotations: Array  # [22, 4] w x y z, local
    height: float  # of the pelvis, centimetres


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """In the order in which they are made. What is None or False is left as it was generated."""

    speed: float | None = None  # metres a second, the mean over the way
    keep_time: bool = False  # another speed by longer steps alone
    bend: float | None = None  # degrees to the left over the whole way
    path: tuple[tuple[float, float], ...] = ()  # metres to the left and forward of where it begins; the way goes through these
    loop: bool = False
    start: StillPose | None = None
    end: StillPose | None = None
    heading: float | None = None  # degrees to the left of +Z that the first frame faces
    in_place: bool = False

    def __bool__(self) -> bool:
        return self != Edits()


def apply(motion: Motion, edits: Edits, joints: JointMap) -> Motion:
    """The motion (centimetres, Y up) as it was asked for. Raises `MotionError("bad_edit")` for what cannot be."""
    if not edits:
        return motion
    if edits.loop and (edits.start is not None or edits.end is not None):
        raise MotionError(
            "bad_edit", "A loop has no first and no last pose. Ask for a loop, or for poses to begin and end with, not both."
        )
    legs = find_legs(motion, joints, up=1)
    contacts = foot_contacts(motion, legs, metre=METRE)
    out, travel = motion, None
    if edits.speed is not None:
        out = change_speed(out, edits.speed / _speed(out), stride=1.0 if edits.keep_time else 0.5)
        contacts = contacts[np.linspace(0, len(contacts) - 1, len(out)).round().astype(int)]
    if edits.bend is not None:
        out = bend(out, edits.bend)
    if edits.path:
        out = follow(out, _points(out, edits.path))
    if edits.loop:
        # In place or not is decided at the end: feet can only be locked to a floor that stands still.
        loop = make_loop(out, metre=METRE)
        travel = loop.travel
        out = _from(_locked_loop(loop, contacts[loop.start : loop.stop], joints), motion.positions[0, 0])
    else:
        for pose, at_end in ((edits.start, False), (edits.end, True)):
            if pose is not None:
                out = blend_to_pose(out, pose.rotations, at_end=at_end, height=pose.height)
        if out is not motion:
            out = clean(out, joints, metre=METRE, contacts=contacts, options=LOCK).motion
    if edits.heading is not None:
        now = float(heading_change(np.array([1.0, 0.0, 0.0, 0.0]), out.rotations[0, 0], 1))
        angle = edits.heading - np.degrees(now)
        out = turn(out, angle)
        travel = None if travel is None else quat.rotate(about(np.radians(angle), 1), travel)
    return _in_place(out, travel) if edits.in_place else out


def _points(motion: Motion, path: tuple[tuple[float, float], ...]) -> Array:
    """A path [P, 3] in the motion's world, from where its root begins. Left is +X there, forward is +Z."""
    points = np.zeros((len(path) + 1, 3))
    points[1:, [0, 2]] = np.array(path) * METRE
    return points + _level(motion.positions[:1, 0])


def read_pose(path: Path, frame: int) -> StillPose:
    """One frame (1-based) of a BVH file as a pose of the body; a body of other bones is retargeted.

    Raises `MotionError`: those of the reader, bad_range, unknown_skeleton.
    """
    clip = read_bvh(path)
    if not 1 <= frame <= len(clip):
        raise MotionError(
            "bad_range",
            f"{path.name} has {len(clip)} frames, so it has no frame {frame} for a pose. Choose another frame.",
            details={"frame": "after the end"},
        )
    one = clip.cut(frame - 1, frame)
    names = clip.skeleton.names
    if sorted(names) == sorted(rep.NAMES):
        own = [names.index(name) for name in rep.NAMES]  # a file has its joints in another order
        if bool(np.allclose(clip.skeleton.offsets[own][1:], rep.OFFSETS[1:] * METRE, atol=0.01)):
            return StillPose(rotations=one.rotations[0, own], height=float(one.positions[0, own[0], 1]))
    pose = retarget(one, _rig(), options=RetargetOptions(foot_lock=False))
    height = (rep.OFFSETS[0, 1] + float(pose.locations[0][0, 1])) * METRE
    return StillPose(rotations=pose.rotations[0], height=height)


def _rig() -> Rig:
    """The body as a rig of Blender's: Z up, metres. All bones have the same axes at rest, so that poses are local rotations."""
    axes = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # columns: where the body's X, Y and Z go
    heads = np.zeros((rep.JOINTS, 3))
    for joint, parent in enumerate(rep.PARENTS):
        heads[joint] = rep.OFFSETS[joint] + (heads[parent] if parent >= 0 else 0.0)
    ends = {joint: np.array(offset) for joint, offset in rep.ENDS}
    tails = np.empty_like(heads)
    for joint in range(rep.JOINTS):
        children = np.flatnonzero(joint == rep.PARENTS)
        tails[joint] = heads[joint] + ends[joint] if joint in ends else heads[children].mean(axis=0)
    return Rig(
        names=rep.NAMES,
        parents=rep.PARENTS.astype(np.int64),
        heads=heads @ axes.T,
        tails=tails @ axes.T,
        rest=np.repeat(axes[None], rep.JOINTS, axis=0),
    )


def _speed(motion: Motion) -> float:
    """Mean speed over ground in metres a second, along the way without its sway. `MotionError` where there is no way."""
    way = low_pass(_level(motion.positions[:, 0]), motion.frame_time, _SWAY)
    length = float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum()) / METRE
    speed = length / max((len(motion) - 1) * motion.frame_time, motion.frame_time)
    if speed < _STANDS:
        raise MotionError(
            "bad_edit",
            f"The motion stays where it is ({speed:.2f} metres a second), so it has no speed that could be changed. "
            "Leave out the speed, or ask for a motion that goes somewhere.",
            details={"speed": "the motion stays in place"},
        )
    return speed


def _locked_loop(loop: Loop, contacts: Mask, joints: JointMap) -> Motion:
    """One round of the loop with steady feet: the middle one of several, so that it goes on into itself."""
    frames = len(loop.motion)
    rounds = clean(repeat(loop, _ROUNDS), joints, metre=METRE, contacts=np.tile(contacts, (_ROUNDS, 1, 1)), options=LOCK).motion
    middle = rounds.cut(frames, 2 * frames)
    # Back to where the first round is.
    back = about(-loop.turn, 1)
    rotations, positions = middle.rotations.copy(), middle.positions.copy()
    rotations[:, 0] = quat.mul(back, rotations[:, 0])
    origin = loop.motion.positions[0, 0]
    positions[:, 0] = origin + quat.rotate(back, positions[:, 0] - origin - loop.travel)
    return replace(middle, rotations=quat.continuous(rotations), positions=positions)


def _from(motion: Motion, start: Array) -> Motion:
    """Begun over the point `start` [3] of the ground."""
    positions = motion.positions.copy()
    positions[:, 0] += _level(start[None] - positions[:1, 0])
    return replace(motion, positions=positions)


def _in_place(motion: Motion, travel: Array | None) -> Motion:
    """Without its way: of a loop, evenly what it travels in a round; else all that is slower than a step."""
    positions = motion.positions.copy()
    if travel is not None:
        positions[:, 0] -= travel * (np.arange(len(motion)) / len(motion))[:, None]
    else:
        way = low_pass(_level(positions[:, 0]), motion.frame_time, _SWAY)
        positions[:, 0] -= way - way[:1]
    return replace(motion, positions=positions)


def _level(points: Array) -> Array:
    flat = points.copy()
    flat[:, 1] = 0.0
    return flat
