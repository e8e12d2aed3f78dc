# SPDX-License-Identifier: GPL-3.0-or-later
"""Skeletons named as known families name them, on one body in many rest poses, with what rigs have beside it; and their truth.

For tests and benchmarks of joint maps. Knows nothing of how a map is found. Metres, Z up, looking along -Y.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float, float]

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
POSES = ("T", "A", "down", "up", "bent", "squat", "forward")
CORE = (
    "pelvis", "head", "neck", "spine_first", "spine_last", *(f"{s}_{p}" for s in "lr" for p in
    ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a family of rigs is named; `{}` is the side. "-": it has no such bone."""

    name: str
    preset: str  # what it should be recognised as
    sides: tuple[str, str]
    trunk: str  # pelvis, spine …
    neck: str
    head: str
    arms: str  # collar shoulder elbow wrist
    legs: str  # hip knee ankle toe
    prefix: str = ""
    root: str = ""
    fingers: str = ""  # five names with {} for the side and # for the number
    first: int = 1
    inline: str = ""  # second halves of upper arm, forearm, thigh, shin that lie between the joints
    twists: str = ""  # the same as bones beside the chain
    hip_helper: str = ""  # between pelvis and leg
    space: bool = False  # underscores stand for spaces
    head_end: str = ""
    eyes: str = ""


_LR, _CAP, _LEFT, _LOW = ("l", "r"), ("L", "R"), ("Left", "Right"), ("left", "right")
FAMILIES = (
    Family(name="smpl", preset="smpl", sides=_LR, trunk="pelvis spine1 spine2 spine3", neck="neck", head="head",
           arms="{}_collar {}_shoulder {}_elbow {}_wrist", legs="{}_hip {}_knee {}_ankle {}_foot"),
    Family(name="smplh", preset="smpl", sides=_CAP, trunk="Pelvis Spine1 Spine2 Spine3", neck="Neck", head="Head",
    prefix="m_avg_",
           arms="{}_Collar {}_Shoulder {}_Elbow {}_Wrist", legs="{}_Hip {}_Knee {}_Ankle {}_Foot"),
    Family(name="smplx", preset="smplx", sides=_LOW, trunk="pelvis spine1 spine2 spine3", neck="neck", head="head", root="root",
           arms="{}_collar {}_shoulder {}_elbow {}_wrist", legs="{}_hip {}_knee {}_ankle {}_foot",
           fingers="{}_thumb# {}_index# {}_middle# {}_ring# {}_pinky#", eyes="{}_eye_smplhf"),
    *(Family(name=f"mixamo{i}", preset="mixamo", sides=_LEFT, trunk="Hips Spine Spine1 Spine2", neck="Neck", head="Head",
             arms="{}Shoulder {}Arm {}ForeArm {}Hand", legs="{}UpLeg {}Leg {}Foot {}ToeBase", prefix=prefix,
             head_end="HeadTop_End",
             fingers="{}HandThumb# {}HandIndex# {}HandMiddle# {}HandRing# {}HandPinky#")
      for i, prefix in enumerate(("mixamorig:", "mixamorig1:", "mixamorig_", "", "mixamorig"))),
    Family(name="lafan", preset="mixamo", sides=_LEFT, trunk="Hips Spine Spine1 Spine2", neck="Neck", head="Head",
           arms="{}Shoulder {}Arm {}ForeArm {}Hand", legs="{}UpLeg {}Leg {}Foot {}Toe"),
    Family(name="cmu_hipjoint", preset="mixamo", sides=_LEFT, trunk="Hips LowerBack Spine Spine1", neck="Neck Neck1", head="Head",
           arms="{}Shoulder {}Arm {}ForeArm {}Hand", legs="{}UpLeg {}Leg {}Foot {}ToeBase", hip_helper="{}HipJoint"),
    Family(name="rigify_metarig", preset="rigify", sides=_CAP, trunk="spine spine.001 spine.002 spine.003",
           neck="spine.004 spine.005", head="spine.006", arms="shoulder.{} upper_arm.{} forearm.{} hand.{}",
           legs="thigh.{} shin.{} foot.{} toe.{}", fingers="thumb.0#.{} f_index.0#.{} f_middle.0#.{} f_ring.0#.{} f_pinky.0#.{}"),
    Family(name="rigify_deform", preset="rigify_deform", sides=_CAP, trunk="DEF-spine DEF-spine.001 DEF-spine.002 DEF-spine.003",
           neck="DEF-spine.004 DEF-spine.005", head="DEF-spine.006", root="root",
           arms="DEF-shoulder.{} DEF-upper_arm.{} DEF-forearm.{} DEF-hand.{}",
           legs="DEF-thigh.{} DEF-shin.{} DEF-foot.{} DEF-toe.{}",
           inline="DEF-upper_arm.{}.001 DEF-forearm.{}.001 DEF-thigh.{}.001 DEF-shin.{}.001",
           fingers="DEF-thumb.0#.{} DEF-f_index.0#.{} DEF-f_middle.0#.{} DEF-f_ring.0#.{} DEF-f_pinky.0#.{}"),
    Family(name="cgspeed", preset="cgspeed", sides=_LR, trunk="hip abdomen chest", neck="neck", head="head",
           arms="{}Collar {}Shldr {}ForeArm {}Hand", legs="{}Thigh {}Shin {}Foot -", hip_helper="{}Buttock",
           fingers="{}Thumb# {}Index# {}Mid# {}Ring# {}Pinky#"),
    Family(name="asf", preset="asf", sides=_LR, trunk="root lowerback upperback thorax", neck="lowerneck upperneck", head="head",
           arms="{}clavicle {}humerus {}radius {}wrist", legs="{}femur {}tibia {}foot {}toes", hip_helper="{}hipjoint"),
    Family(name="daz8", preset="daz", sides=_LR, trunk="hip abdomenLower abdomenUpper chestLower chestUpper",
           neck="neckLower neckUpper", head="head", arms="{}Collar {}ShldrBend {}ForearmBend {}Hand",
           legs="{}ThighBend {}Shin {}Foot {}Toe", inline="{}ShldrTwist {}ForearmTwist {}ThighTwist -", root="Genesis8Female",
           fingers="{}Thumb# {}Index# {}Mid# {}Ring# {}Pinky#"),
    Family(name="daz9", preset="daz9", sides=_LR, trunk="hip spine1 spine2 spine3 spine4", neck="neck1 neck2", head="head",
           arms="{}_shoulder {}_upperarm {}_forearm {}_hand", legs="{}_thigh {}_shin {}_foot {}_toes",
           twists="{}_upperarmtwist1 {}_forearmtwist1 {}_thightwist1 -",
           fingers="{}_thumb# {}_index# {}_mid# {}_ring# {}_pinky#"),
    Family(name="cc_base", preset="cc_base", sides=_CAP, trunk="Hip Waist Spine01 Spine02", neck="NeckTwist01 NeckTwist02",
           head="Head", arms="{}_Clavicle {}_Upperarm {}_Forearm {}_Hand", legs="{}_Thigh {}_Calf {}_Foot {}_ToeBase",
           prefix="CC_Base_", root="BoneRoot", fingers="{}_Thumb# {}_Index# {}_Mid# {}_Ring# {}_Pinky#", eyes="{}_Eye",
           twists="{}_UpperarmTwist01 {}_ForearmTwist01 {}_ThighTwist01 {}_CalfTwist01"),
    Family(name="biped", preset="biped", sides=_CAP, trunk="Pelvis Spine Spine1 Spine2", neck="Neck", head="Head", space=True,
           arms="{}_Clavicle {}_UpperArm {}_Forearm {}_Hand", legs="{}_Thigh {}_Calf {}_Foot {}_Toe0", prefix="Bip001_",
           fingers="{}_Finger0# {}_Finger1# {}_Finger2# {}_Finger3# {}_Finger4#", head_end="HeadNub"),
    Family(name="valve", preset="biped", sides=_CAP, trunk="Pelvis Spine Spine1 Spine2 Spine4", neck="Neck1", head="Head1",
           arms="{}_Clavicle {}_UpperArm {}_Forearm {}_Hand", legs="{}_Thigh {}_Calf {}_Foot {}_Toe0",
           prefix="ValveBiped.Bip01_"),
    Family(name="ue4", preset="unreal", sides=_LR, trunk="pelvis spine_01 spine_02 spine_03", neck="neck_01", head="head",
           arms="clavicle_{} upperarm_{} lowerarm_{} hand_{}", legs="thigh_{} calf_{} foot_{} ball_{}", root="root",
           fingers="thumb_0#_{} index_0#_{} middle_0#_{} ring_0#_{} pinky_0#_{}",
           twists="upperarm_twist_01_{} lowerarm_twist_01_{} thigh_twist_01_{} calf_twist_01_{}"),
    Family(name="ue5", preset="unreal", sides=_LR, trunk="pelvis spine_01 spine_02 spine_03 spine_04 spine_05",
           neck="neck_01 neck_02", head="head", arms="clavicle_{} upperarm_{} lowerarm_{} hand_{}",
           legs="thigh_{} calf_{} foot_{} ball_{}", root="root", twists="upperarm_twist_01_{} lowerarm_twist_01_{} - -",
           fingers="thumb_0#_{} index_0#_{} middle_0#_{} ring_0#_{} pinky_0#_{}"),
    Family(name="vrm", preset="vrm", sides=_CAP, trunk="C_Hips C_Spine C_Chest C_UpperChest", neck="C_Neck", head="C_Head",
           arms="{}_Shoulder {}_UpperArm {}_LowerArm {}_Hand", legs="{}_UpperLeg {}_LowerLeg {}_Foot {}_ToeBase", prefix="J_Bip_",
           fingers="{}_Thumb# {}_Index# {}_Middle# {}_Ring# {}_Little#", root="Root"),
    Family(name="unity", preset="unity", sides=_LEFT, trunk="Hips Spine Chest UpperChest", neck="Neck", head="Head",
           arms="{}Shoulder {}UpperArm {}LowerArm {}Hand", legs="{}UpperLeg {}LowerLeg {}Foot {}Toes",
           fingers="{}Thumb# {}Index# {}Middle# {}Ring# {}Little#"),
    Family(name="kaykit", preset="kaykit", sides=_LR, trunk="hips spine chest", neck="", head="head", root="root",
           arms="- upperarm.{} lowerarm.{} wrist.{}", legs="upperleg.{} lowerleg.{} foot.{} toes.{}"),
    Family(name="quaternius", preset="quaternius", sides=_CAP, trunk="Hips Abdomen Torso Chest", neck="Neck", head="Head",
           arms="Shoulder.{} UpperArm.{} LowerArm.{} Hand.{}", legs="UpperLeg.{} LowerLeg.{} Foot.{} -", root="Root",
           fingers="Thumb#.{} Index#.{} Middle#.{} Ring#.{} Pinky#.{}", first=2),
    Family(name="bandai_namco", preset="bandai_namco", sides=_CAP, trunk="Hips Spine Chest", neck="Neck", head="Head",
           arms="Shoulder_{} UpperArm_{} LowerArm_{} Hand_{}", legs="UpperLeg_{} LowerLeg_{} Foot_{} Toes_{}", root="joint_Root"),
    Family(name="makehuman", preset="makehuman", sides=_CAP, trunk="root spine05 spine04 spine03 spine02 spine01",
           neck="neck01 neck02 neck03", head="head", arms="clavicle.{} upperarm01.{} lowerarm01.{} wrist.{}",
           legs="upperleg01.{} lowerleg01.{} foot.{} -", hip_helper="pelvis.{}", eyes="eye.{}",
           inline="upperarm02.{} lowerarm02.{} upperleg02.{} lowerleg02.{}",
           fingers="finger1-#.{} finger2-#.{} finger3-#.{} finger4-#.{} finger5-#.{}"),
    Family(name="autorig_pro", preset="autorig_pro", sides=_LR, trunk="root.x spine_01.x spine_02.x", neck="neck.x",
    head="head.x",
           arms="shoulder.{} arm_stretch.{} forearm_stretch.{} hand.{}",
           legs="thigh_stretch.{} leg_stretch.{} foot.{} toes_01.{}",
           fingers="thumb#.{} index#.{} middle#.{} ring#.{} pinky#.{}",
           twists="arm_twist.{} forearm_twist.{} thigh_twist.{} leg_twist.{}"),
    Family(name="xsens", preset="xsens", sides=_LEFT, trunk="Hips Chest Chest2 Chest3 Chest4", neck="Neck", head="Head",
           arms="{}Collar {}Shoulder {}Elbow {}Wrist", legs="{}Hip {}Knee {}Ankle {}Toe"),
    Family(name="rokoko", preset="rokoko", sides=_LEFT, trunk="Hips Spine1 Spine2 Spine3 Spine4", neck="Neck", head="Head",
           arms="{}Shoulder {}Arm {}ForeArm {}Hand", legs="{}Thigh {}Shin {}Foot {}Toe"),
    Family(name="advanced_skeleton", preset="advanced_skeleton", sides=_CAP, trunk="Root_M Spine1_M Chest_M", neck="Neck_M",
           head="Head_M", arms="Scapula_{} Shoulder_{} Elbow_{} Wrist_{}", legs="Hip_{} Knee_{} Ankle_{} Toes_{}",
           fingers="ThumbFinger#_{} IndexFinger#_{} MiddleFinger#_{} RingFinger#_{} PinkyFinger#_{}"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRig:
    """A skeleton and the truth about it, in indices."""

    family: Family
    names: tuple[str, ...]
    parents: NDArray[np.int64]
    heads: Array
    tails: Array
    joints: dict[str, int]  # canonical, without spine and neck
    spine: tuple[int, ...]
    neck: tuple[int, ...]
    fingers: dict[str, tuple[int, ...]]
    twists: dict[str, tuple[int, ...]]
    root: int

    def core(self) -> dict[str, int]:
        """What must be found: the core joints this rig has."""
        out = {name: joint for name, joint in self.joints.items() if name in CORE}
        out |= {"spine_first": self.spine[0], "spine_last": self.spine[-1]} if self.spine else {}
        return out | ({"neck": self.neck[0]} if self.neck else {})


def build(family: Family, pose: str = "A", *, legs: float = 1.0, arms: float = 1.0, extras: Sequence[str] = ()) -> MapRig:
    """A rig of the family; `legs`, `arms`: their length as a factor; `extras`: keys of what rigs have beside a body."""
    maker = _Maker(family, pose, legs, arms)
    maker.make()
    for extra in extras:
        _EXTRAS[extra](maker)
    return maker.done()


@dataclass(slots=True)
class _Bone:
    name: str
    parent: str
    head: Array
    tail: Array


class _Maker:
    def __init__(self, family: Family, pose: str, legs: float, arms: float) -> None:
        self.family, self.pose, self.legs, self.arms = family, pose, legs, arms
        self.bones: dict[str, _Bone] = {}
        self.truth: dict[str, str] = {}
        self.spine: list[str] = []
        self.neck: list[str] = []
        self.fingers: dict[str, list[str]] = {}
        self.twists: dict[str, list[str]] = {}
        self.root = ""

    def add(self, name: str, parent: str, head: Array | Point, tail: Array | Point) -> str:
        self.bones[name] = _Bone(name, parent, np.array(head, float), np.array(tail, float))
        return name

    def named(self, template: str, side: str = "") -> str:
        name = self.family.prefix + template.replace("{}", side)
        return name.replace("_", " ") if self.family.space else name

    def make(self) -> None:
        family = self.family
        low = 0.35 if self.pose == "squat" else 0.0
        hip_height = 0.92 * self.legs - low
        lift = np.array([0.0, 0.0, hip_height - 0.92])
        if family.root:
            self.root = self.add(self.named(family.root), "", (0, 0, 0), (0, 0.1, 0))
        trunk, neck = family.trunk.split(), family.neck.split()
        bottom, chest, base, head = (
            np.array(p) + lift for p in ((0, 0.0, 0.96), (0, 0.01, 1.3), (0, 0.03, 1.46), (0, 0.0, 1.58))
        )
        knots = [
            bottom + (chest - bottom) * i / (len(trunk) - 1) + np.array([0, -0.01 * np.sin(i), 0]) for i in range(len(trunk))
        ]
        above = [*(base + (head - base) * i / max(len(neck), 1) for i in range(len(neck))), head]
        places = [*knots, *above]
        parent = self.root
        for i, template in enumerate([*trunk, *neck, family.head]):
            tail = places[i + 1] if i + 1 < len(places) else places[i] + np.array([0, 0, 0.2])
            parent = self.add(self.named(template), parent, places[i], tail)
            if 0 < i < len(trunk):
                self.spine.append(parent)
            elif len(trunk) <= i < len(trunk) + len(neck):
                self.neck.append(parent)
        pelvis, top, crown = self.named(trunk[0]), self.named(trunk[-1]), self.named(family.head)
        self.truth |= {"pelvis": pelvis, "head": crown}
        if family.head_end:
            self.add(self.named(family.head_end), crown, head + _v(0, 0, 0.2), head + _v(0, 0, 0.22))
        for sign, letter, side in ((1.0, "l", family.sides[0]), (-1.0, "r", family.sides[1])):
            if family.eyes:
                self.add(
                    self.named(family.eyes, side), crown, head + _v(sign * 0.03, -0.09, 0.08), head + _v(sign * 0.03, -0.11, 0.08)
                )
            self._leg(pelvis, sign, letter, side, lift)
            self._arm(top, sign, letter, side, lift)

    def _leg(self, pelvis: str, sign: float, letter: str, side: str, lift: Array) -> None:
        family, size = self.family, self.legs
        hip = np.array([sign * 0.09, 0.0, 0.92]) + lift
        if self.pose == "squat":
            knee = hip + size * 0.42 * _unit(sign * 0.3, -0.85, -0.15)
            ankle = knee + size * 0.4 * _unit(0.0, 0.75, -0.6)
        else:
            knee = hip + size * 0.42 * _unit(sign * 0.02, -0.02, -1.0)
            ankle = knee + size * 0.4 * _unit(sign * 0.02, 0.06, -1.0)
        ball, tip = ankle + size * np.array([sign * 0.02, -0.13, -0.06]), ankle + size * np.array([sign * 0.02, -0.2, -0.07])
        parent = pelvis
        if family.hip_helper:
            parent = self.add(self.named(family.hip_helper, side), parent, (sign * 0.05, 0.0, hip[2] + 0.02), hip)
        has_toe = family.legs.split()[3] != "-"
        self._limb(
            parent,
            ("hip", "knee", "ankle", "foot"),
            family.legs,
            [hip, knee, ankle, ball if has_toe else tip, tip],
            letter,
            side,
            2,
        )

    def _arm(self, chest: str, sign: float, letter: str, side: str, lift: Array) -> None:
        collar, shoulder = np.array([sign * 0.03, 0.0, 1.42]) + lift, np.array([sign * 0.17, 0.03, 1.4]) + lift
        way = {
            "T": ((1, 0, 0), (1, -0.03, 0)), "A": ((0.7, 0.03, -0.7), (0.7, -0.15, -0.7)), "down": ((0.1, 0.03, -1), (0.08,
            -0.1, -1)),
            "up": ((0.3, 0.03, 1), (0.15, -0.08, 1)), "forward": ((0.15, -1, -0.1), (0.1, -1, 0.1)),
            "squat": ((0.3, -0.8, -0.3), (0.2, -1, 0.1)), "bent": ((0.7, 0.03, -0.7), (0.7, -0.15, -0.7)),
        }[self.pose]  # fmt: skip
        if self.pose == "bent" and sign > 0:
            way = ((0.2, -0.3, -1), (-0.3, -0.9, 0.3))
        upper, fore = (_unit(sign * w[0], w[1], w[2]) for w in way)
        elbow = shoulder + self.arms * 0.28 * upper
        wrist = elbow + self.arms * 0.25 * fore
        knuckles = wrist + self.arms * 0.09 * fore
        self._limb(
            chest,
            ("collar", "shoulder", "elbow", "wrist"),
            self.family.arms,
            [collar, shoulder, elbow, wrist, knuckles],
            letter,
            side,
            0,
        )
        if self.family.fingers:
            self._hand(self.truth[f"{letter}_wrist"], wrist, fore, sign, letter, side)

    def _limb(
        self, parent: str, parts: Sequence[str], templates: str, points: list[Array], letter: str, side: str, offset: int
    ) -> None:
        family = self.family
        inline, twists = (text.split() or ["-"] * 4 for text in (family.inline, family.twists))
        arm = parts[0] == "collar"
        for i, (part, template) in enumerate(zip(parts, templates.split(), strict=True)):
            if template == "-":
                continue
            head, tail = points[i], points[i + 1]
            name = self.add(self.named(template, side), parent, head, tail)
            self.truth[f"{letter}_{part}"] = parent = name
            half = i - 1 + offset if arm else i + offset
            if (arm and i in {1, 2}) or (not arm and i in {0, 1}):
                middle = 0.5 * (head + tail)
                if inline[half] != "-":
                    self.bones[name].tail = middle
                    parent = self.add(self.named(inline[half], side), name, middle, tail)
                    self.twists[f"{letter}_{part}"] = [parent]
                elif twists[half] != "-":
                    twist = self.add(self.named(twists[half], side), name, middle, middle + 0.2 * (tail - head))
                    self.twists[f"{letter}_{part}"] = [twist]

    def _hand(self, wrist: str, at: Array, along: Array, sign: float, letter: str, side: str) -> None:
        down = _unit(*np.cross(along, (0.0, 1.0, 0.0))) if abs(along[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
        across = _unit(*np.cross(down, along)) * (1.0 if np.cross(down, along)[1] < 0 else -1.0)  # to the thumb: ahead
        starts = (0.03, 0.095, 0.1, 0.095, 0.085)
        asides = (0.03, 0.025, 0.005, -0.015, -0.035)
        lengths = (0.035, 0.035, 0.04, 0.037, 0.028)
        for finger, template, start, aside, length in zip(
            FINGERS, self.family.fingers.split(), starts, asides, lengths, strict=True
        ):
            way = _unit(*(along + (0.8 * across if finger == "thumb" else 0.0)))
            joint = at + self.arms * (start * along + aside * across)
            parent, names = wrist, []
            for i in range(2 if finger == "thumb" and self.family.first == 2 else 3):
                # Biped writes Finger0, Finger01, Finger02.
                number = ("" if i == 0 else str(i)) if self.family.preset == "biped" else str(i + self.family.first)
                after = joint + self.arms * length * (1.0 - 0.2 * i) * way
                parent = self.add(self.named(template.replace("#", number), side), parent, joint, after)
                names.append(parent)
                joint = after
            self.fingers[f"{letter}_{finger}"] = names

    def done(self) -> MapRig:
        index = {name: i for i, name in enumerate(self.bones)}

        def these(names: Sequence[str]) -> tuple[int, ...]:
            return tuple(index[name] for name in names)

        bones = list(self.bones.values())
        return MapRig(
            family=self.family,
            names=tuple(index),
            parents=np.array([index[b.parent] if b.parent else -1 for b in bones], dtype=np.int64),
            heads=np.array([b.head for b in bones]),
            tails=np.array([b.tail for b in bones]),
            joints={name: index[bone] for name, bone in self.truth.items()},
            spine=these(self.spine),
            neck=these(self.neck),
            fingers={name: these(chain) for name, chain in self.fingers.items()},
            twists={name: these(chain) for name, chain in self.twists.items()},
            root=index[self.root] if self.root else -1,
        )


def _v(*v: float) -> Array:
    return np.array(v, dtype=np.float64)


def _unit(*v: float) -> Array:
    return np.asarray(_v(*v) / np.linalg.norm(v))


# What rigs have beside a body


def _chain(maker: _Maker, name: str, parent: str, start: Array, way: Array, count: int, length: float) -> None:
    for i in range(count):
        parent = maker.add(f"{name}_{i + 1:02}", parent, start + i * length * way, start + (i + 1) * length * way)


def _hair(maker: _Maker) -> None:
    head = maker.truth["head"]
    at = maker.bones[head].head
    _chain(maker, "hair_back", head, at + _v(0, 0.09, 0.1), _unit(0, 0.2, -1), 5, 0.09)
    for sign, side in ((1, "L"), (-1, "R")):
        _chain(maker, f"hair_side.{side}", head, at + _v(sign * 0.08, 0, 0.08), _unit(sign * 0.1, 0, -1), 4, 0.07)


def _skirt(maker: _Maker) -> None:
    pelvis = maker.truth["pelvis"]
    at = maker.bones[pelvis].head
    for i, angle in enumerate(np.linspace(0, 2 * np.pi, 8, endpoint=False) + 0.3):
        out = np.array([np.cos(angle), np.sin(angle), 0.0])
        _chain(maker, f"skirt_{i:02}", pelvis, at + 0.13 * out, _unit(*(0.3 * out + _v(0, 0, -1))), 3, 0.14)


def _tail(maker: _Maker) -> None:
    pelvis = maker.truth["pelvis"]
    _chain(maker, "tail", pelvis, maker.bones[pelvis].head + _v(0, 0.1, 0), _unit(0, 1, -0.4), 6, 0.15)


def _breasts(maker: _Maker) -> None:
    chest = (maker.spine or [maker.truth["pelvis"]])[-1]
    at = maker.bones[chest].head
    for sign, side in ((1, "L"), (-1, "R")):
        maker.add(f"breast.{side}", chest, at + _v(sign * 0.08, -0.08, 0.05), at + _v(sign * 0.09, -0.16, 0.04))


def _wings(maker: _Maker) -> None:
    chest = (maker.spine or [maker.truth["pelvis"]])[-1]
    at = maker.bones[chest].head
    for sign, side in ((1, "L"), (-1, "R")):
        _chain(maker, f"wing.{side}", chest, at + _v(sign * 0.08, 0.12, 0.08), _unit(sign * 1.0, 0.5, 0.3), 4, 0.28)


def _weapon(maker: _Maker) -> None:
    hand = maker.truth["r_wrist"]
    at = maker.bones[hand].tail
    maker.add("weapon_r", hand, at, at + _v(0, -0.9, 0))


def _face(maker: _Maker) -> None:
    head = maker.truth["head"]
    at = maker.bones[head].head
    maker.add("jaw", head, at + _v(0, -0.03, 0.03), at + _v(0, -0.1, 0.0))
    for sign, side in ((1, "L"), (-1, "R")):
        maker.add(f"eye.{side}", head, at + _v(sign * 0.03, -0.09, 0.08), at + _v(sign * 0.03, -0.11, 0.08))
        maker.add(f"ear.{side}", head, at + _v(sign * 0.08, 0.0, 0.07), at + _v(sign * 0.09, 0.0, 0.1))


def _ik(maker: _Maker) -> None:
    root = maker.root
    for part, name in (("ankle", "ik_foot"), ("wrist", "ik_hand")):
        holder = maker.add(f"{name}_root", root, (0, 0, 0), (0, 0.05, 0))
        for letter in "lr":
            at = maker.bones[maker.truth[f"{letter}_{part}"]]
            maker.add(f"{name}_{letter}", holder, at.head, at.tail)
    for letter in "lr":
        for part, name, ahead in (("knee", "knee_pole", -0.5), ("elbow", "elbow_pole", 0.5)):
            place = maker.bones[maker.truth[f"{letter}_{part}"]].head + _v(0, ahead, 0)
            maker.add(f"{name}_{letter}", root, place, place + _v(0, 0, 0.05))


def _leaves(maker: _Maker) -> None:
    parents = {bone.parent for bone in maker.bones.values()}
    for name in [name for name in maker.bones if name not in parents]:
        tail = maker.bones[name].tail
        maker.add(f"{name}_end", name, tail, tail + 0.1 * (tail - maker.bones[name].head))


def _helpers(maker: _Maker) -> None:
    for letter in "lr":
        for part in ("elbow", "knee"):
            bone = maker.bones[maker.truth[f"{letter}_{part}"]]
            maker.add(f"{part}_share_{letter}", bone.parent, bone.head, bone.head + _v(0, 0.03, 0))


_EXTRAS = {
    "hair": _hair, "skirt": _skirt, "tail": _tail, "breasts": _breasts, "wings": _wings, "weapon": _weapon, "face": _face,
    "ik": _ik, "helpers": _helpers, "leaves": _leaves,
}  # fmt: skip
EXTRAS = tuple(_EXTRAS)


# The same rig under other names


def reordered(rig: MapRig, seed: int) -> MapRig:
    """Bones in another order, siblings shuffled, parents still before children."""
    rng = random.Random(seed)
    children: dict[int, list[int]] = {}
    for i, parent in enumerate(rig.parents.tolist()):
        children.setdefault(parent, []).append(i)
    order: list[int] = []
    waiting = [children[-1]]
    while waiting:
        level = waiting.pop(rng.randrange(len(waiting)))
        rng.shuffle(level)
        for joint in level:
            order.append(joint)
            if joint in children:
                waiting.append(children[joint])
    new = {old: i for i, old in enumerate(order)}
    new[-1] = -1

    def these(chain: Sequence[int]) -> tuple[int, ...]:
        return tuple(new[j] for j in chain)

    return replace(
        rig,
        names=tuple(rig.names[i] for i in order),
        parents=np.array([new[int(rig.parents[i])] for i in order], dtype=np.int64),
        heads=rig.heads[order],
        tails=rig.tails[order],
        joints={name: new[j] for name, j in rig.joints.items()},
        spine=these(rig.spine),
        neck=these(rig.neck),
        fingers={name: these(chain) for name, chain in rig.fingers.items()},
        twists={name: these(chain) for name, chain in rig.twists.items()},
        root=new[rig.root],
    )


def scrambled(rig: MapRig, seed: int) -> MapRig:
    """Random names that mean nothing, in another order."""
    rng = random.Random(seed)
    letters = [c for c in string.ascii_lowercase if c not in "lr"]
    names = ["".join(rng.choices(letters, k=5)) + str(rng.randrange(10**5)) for _ in rig.names]
    return reordered(replace(rig, names=tuple(names)), seed)


SIDE_FORMS = ("L_{}", "{}.L", "{}_l", "lft_{}", "lft{}", "{}Left", "left {}", "{}-R")  # R: the right one's, to test both letters


def with_sides(rig: MapRig, form: str) -> MapRig:
    """The sides written in another way: "LeftArm" as "Arm_l", "L_Arm", "lftArm" …"""
    swap = {"L": "R", "l": "r", "lft": "rgt", "Left": "Right", "left": "right"}
    if form.endswith("-R"):
        form = "{}-L"
    mark = next(m for m in ("Left", "left", "lft", "L", "l") if m in form.replace("{}", ""))
    out = list(rig.names)
    family = rig.family
    templates = " ".join(
        (family.arms, family.legs, family.fingers, family.inline, family.twists, family.hip_helper, family.eyes)
    ).split()
    for template in templates:
        for number in (str(n) for n in range(8)) if "#" in template else ("",):
            for side, write in ((0, mark), (1, swap[mark])):
                old = _full(family, template.replace("#", number), family.sides[side])
                if old in rig.names:
                    base = template.replace("#", number).replace("{}", "").strip("_.- ").replace("..", ".")
                    base = base[:1].upper() + base[1:] if form == "lft{}" else base
                    out[rig.names.index(old)] = family.prefix + form.replace(mark, write).replace("{}", base)
    return replace(rig, names=tuple(out))


def _full(family: Family, template: str, side: str) -> str:
    name = family.prefix + template.replace("{}", side)
    return name.replace("_", " ") if family.space else name
