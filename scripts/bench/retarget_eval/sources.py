# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads clips for the judge by a way of its own: BVH text, forward kinematics and joint names, shared with nothing else here.

So what the project's reader or its joint map gets wrong is found, and not judged by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .judge import SIDES, Array, Body

_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # X Y Z → X -Z Y
_UNIT = 0.01  # metres; all clips here are in centimetres or near them


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """Where a kind of clip has its joints. "name/end" is the end site below a joint."""

    joints: Mapping[str, str]  # of both sides, where {} stands for the side
    sides: tuple[str, str]
    also: Mapping[str, str] = field(default_factory=dict)  # joints that only a person's bone map needs
    stands: bool = True  # whether the rest pose is a stance
    root_moves: bool = False  # whether the root's position channels are added to its offset, instead of replacing it

    def names(self) -> dict[str, str]:
        """What the judge looks at."""
        return self._sided(self.joints)

    def mapped(self) -> dict[str, str]:
        """What a person maps by hand, parents first."""
        found = self._sided(self.joints) | self._sided(self.also)
        return {joint: name for joint, name in found.items() if not name.endswith("/end")}

    def _sided(self, joints: Mapping[str, str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for joint, name in joints.items():
            if "{}" in name:
                found |= {f"{joint}_{side}": name.format(own) for side, own in zip(SIDES, self.sides, strict=True)}
            else:
                found[joint] = name
        return found


SKELETONS = {
    "smpl": Skeleton(
        sides=("l", "r"), also={"spine1": "spine1", "spine2": "spine2", "spine3": "spine3", "collar": "{}_collar"},
        joints={
            "hips": "pelvis", "hip": "{}_hip", "knee": "{}_knee", "ankle": "{}_ankle", "toe": "{}_foot", "tip": "{}_foot/end",
            "shoulder": "{}_shoulder", "elbow": "{}_elbow", "wrist": "{}_wrist", "neck": "neck", "head": "head",
        },
    ),
    "cc_base": Skeleton(
        sides=("L", "R"), stands=False, root_moves=True,
        also={
            "spine1": "CC_Base_Waist", "spine2": "CC_Base_Spine01", "spine3": "CC_Base_Spine02", "collar": "CC_Base_{}_Clavicle",
        },
        joints={
            "hips": "CC_Base_Hip", "hip": "CC_Base_{}_Thigh", "knee": "CC_Base_{}_Calf", "ankle": "CC_Base_{}_Foot",
            "toe": "CC_Base_{}_ToeBase", "tip": "CC_Base_{}_MidToe1", "shoulder": "CC_Base_{}_Upperarm",
            "elbow": "CC_Base_{}_Forearm", "wrist": "CC_Base_{}_Hand", "neck": "CC_Base_NeckTwist01", "head": "CC_Base_Head",
        },
    ),
    "cgspeed": Skeleton(
        sides=("l", "r"), also={"spine1": "abdomen", "spine3": "chest", "collar": "{}Collar"},
        joints={
            "hips": "hip", "hip": "{}Thigh", "knee": "{}Shin", "ankle": "{}Foot", "toe": "{}Foot/end", "tip": "{}Foot/end",
            "shoulder": "{}Shldr", "elbow": "{}ForeArm", "wrist": "{}Hand", "neck": "neck", "head": "head",
        },
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A file of the motion pack, and what it shows."""

    name: str
    file: str
    skeleton: str
    title: str


CLIPS = (
    Clip(name="walk", file="bvh/cmu_a_walkx_18.bvh", skeleton="smpl", title="a walk"),
    Clip(name="kick", file="bvh/cmu_10_05.bvh", skeleton="smpl", title="a run-up and a kick"),
    Clip(name="walk100", file="raw/cc_base_60fps_007_08.bvh", skeleton="cc_base", title="a walk, 100 joints, no stance at rest"),
    Clip(name="turn", file="bvh/cmu_salsa_09_s4.bvh", skeleton="smpl", title="salsa with a turn"),
    Clip(name="pickup", file="bvh/cmu_02_06_s1.bvh", skeleton="smpl", title="picking something up"),
    Clip(name="jump", file="bvh/cmu_13_11.bvh", skeleton="smpl", title="a jump forward"),
    Clip(name="run", file="bvh/cmu_127_05.bvh", skeleton="smpl", title="a run and a stop"),
)
LONG = ("raw/cmu_120fps_salsa_07.bvh", "raw/cmu_120fps_martial_04.bvh")  # of one skeleton, joined for times


@dataclass(slots=True)
class Text:
    """What a BVH file says, as it says it."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)
    values: Array = field(default_factory=lambda: np.zeros((0, 0)))
    frame_time: float = 0.0


def parse(path: Path) -> Text:
    """The text of a well-formed BVH file. Other files end in a `ValueError` or `IndexError`."""
    header, _, motion = path.read_text(encoding="utf-8").partition("MOTION")
    found, stack, pending = Text(), [-1], -1
    words = header.split()
    at = 0
    while at < len(words):
        word = words[at]
        if word in ("ROOT", "JOINT", "End"):
            end = word == "End"
            found.names.append(f"{found.names[stack[-1]]}/end" if end else words[at + 1])
            found.parents.append(stack[-1])
            found.offsets.append([])
            found.channels.append([])
            pending = len(found.names) - 1
            at += 2
        elif word == "{":
            stack.append(pending)
            at += 1
        elif word == "}":
            stack.pop()
            at += 1
        elif word == "OFFSET":
            found.offsets[stack[-1]] = [float(v) for v in words[at + 1 : at + 4]]
            at += 4
        elif word == "CHANNELS":
            count = int(words[at + 1])
            found.channels[stack[-1]] = words[at + 2 : at + 2 + count]
            at += 2 + count
        else:
            at += 1
    lines = motion.strip().splitlines()
    found.frame_time = float(lines[1].split(":")[1])
    found.values = np.array([[float(v) for v in line.split()] for line in lines[2:] if line.strip()])
    return found


def read(path: Path, kind: str) -> Body:
    """A clip as the judge sees it, in metres, Z up."""
    skeleton = SKELETONS[kind]
    text = parse(path)
    rotations, at_all = places(text, root_moves=skeleton.root_moves)
    rest_rotations, rest = places(text, root_moves=skeleton.root_moves, rest=True)
    at = {joint: text.names.index(name) for joint, name in skeleton.names().items()}
    solid = {joint: i for joint, i in at.items() if not text.names[i].endswith("/end")}
    soles: dict[str, Array] = {}
    if skeleton.stands:
        floor = min(rest[0, at[f"{joint}_{side}"], 2] for joint in ("ankle", "toe", "tip") for side in SIDES)
        for side in SIDES:
            ankle, toe, tip = (at[f"{joint}_{side}"] for joint in ("ankle", "toe", "tip"))
            holders = [(ankle, ankle), (ankle, toe), (toe if toe in solid.values() else ankle, tip)]
            soles[side] = _carried(rotations, at_all, rest_rotations[0], rest[0], holders, floor)
    return Body(
        joints={joint: at_all[:, i] for joint, i in at.items()},
        rotations={joint: rotations[:, i] for joint, i in solid.items()},
        fps=1.0 / text.frame_time,
        rest={joint: rest[0, i] for joint, i in at.items()} if skeleton.stands else {},
        rest_rotations={joint: rest_rotations[0, i] for joint, i in solid.items()} if skeleton.stands else {},
        soles=soles,
    )


def _carried(
    rotations: Array, places: Array, rest_rotations: Array, rest: Array, holders: list[tuple[int, int]], floor: float
) -> Array:
    """[F, P, 3]: the floor under each second joint at rest, carried by the first."""
    points = []
    for holder, over in holders:
        local = rest_rotations[holder].T @ (np.array([rest[over, 0], rest[over, 1], floor]) - rest[holder])
        points.append(places[:, holder] + rotations[:, holder] @ local)
    return np.stack(points, axis=1)


def places(text: Text, *, root_moves: bool, rest: bool = False) -> tuple[Array, Array]:
    """World rotations [F, J, 3, 3] and places [F, J, 3] of joints and end sites, in metres, Z up; one frame of the rest pose."""
    values = np.zeros((1, text.values.shape[1])) if rest else text.values
    frames, joints = len(values), len(text.names)
    rotations, places = np.zeros((frames, joints, 3, 3)), np.zeros((frames, joints, 3))
    column = 0
    for joint, parent in enumerate(text.parents):
        turn = np.broadcast_to(np.eye(3), (frames, 3, 3))
        way = np.tile(np.array(text.offsets[joint]), (frames, 1))
        moved = np.zeros((frames, 3))
        moves = False
        for channel in text.channels[joint]:
            axis = "XYZ".index(channel[0])
            if channel.endswith("position"):
                moved[:, axis] = values[:, column]
                moves = True
            else:
                turn = turn @ _about(axis, np.radians(values[:, column]))
            column += 1
        if moves:
            way = way + moved if root_moves and parent < 0 else moved
        if parent < 0:
            rotations[:, joint] = _TO_Z_UP @ turn
            places[:, joint] = way @ _TO_Z_UP.T * _UNIT
        else:
            rotations[:, joint] = rotations[:, parent] @ turn
            places[:, joint] = places[:, parent] + np.einsum("fij,fj->fi", rotations[:, parent], way) * _UNIT
    return rotations, places


def _about(axis: int, angle: Array) -> Array:
    out = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1.0
    out[:, i, i] = out[:, j, j] = np.cos(angle)
    out[:, j, i] = np.sin(angle)
    out[:, i, j] = -np.sin(angle)
    return out


def join(paths: list[Path], target: Path, frames: int) -> None:
    """One clip of several with the same skeleton: the first's header and the first so many lines of all."""
    header, _, motion = paths[0].read_text(encoding="utf-8").partition("MOTION")
    lines = [motion.strip().splitlines()[2:]]
    lines += [path.read_text(encoding="utf-8").partition("MOTION")[2].strip().splitlines()[2:] for path in paths[1:]]
    kept = [line for part in lines for line in part if line.strip()][:frames]
    text = "\n".join([header.rstrip(), "MOTION", f"Frames: {len(kept)}", motion.strip().splitlines()[1], *kept])
    target.write_text(text + "\n", encoding="utf-8")
