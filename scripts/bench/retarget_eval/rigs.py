# SPDX-License-Identifier: GPL-3.0-or-later
"""The characters that are retargeted onto: where the judge finds their joints, and how they are built.

Rigify's come from Blender's own add-on, two are CC0 characters of the motion pack, the others are built here from typical
measures. Building runs inside a Blender.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import bpy

Place = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RigTable:
    """Where a rig has its joints: at the heads of these bones. {} stands for the side."""

    name: str
    title: str
    joints: Mapping[str, str]
    sides: tuple[str, str]
    tip: float = 0.0  # metres from the ball to the tip of the toes; 0: the tail of the toe's bone
    ball: Place | None = None  # from the ankle at rest, of a foot without toes, left and right alike
    file: str = ""  # of the motion pack; "": built here
    controls: Mapping[str, str] = field(default_factory=dict)  # what a person keys instead of the joints' bones

    def bones(self) -> dict[str, str]:
        return _sided(self.joints, self.sides)

    def keyed(self) -> dict[str, str]:
        return _sided(self.controls or self.joints, self.sides)


def _sided(joints: Mapping[str, str], sides: tuple[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for joint, bone in joints.items():
        if "{}" in bone:
            found |= {f"{joint}_{side}": bone.format(own) for side, own in zip(("l", "r"), sides, strict=True)}
        else:
            found[joint] = bone
    return found


RIGS = (
    RigTable(
        name="mixamo", title="Mixamo names, 65 bones, scale 0.01, Y up", sides=("Left", "Right"),
        joints={
            "hips": "mixamorig:Hips", "hip": "mixamorig:{}UpLeg", "knee": "mixamorig:{}Leg", "ankle": "mixamorig:{}Foot",
            "toe": "mixamorig:{}ToeBase", "collar": "mixamorig:{}Shoulder", "shoulder": "mixamorig:{}Arm",
            "elbow": "mixamorig:{}ForeArm", "wrist": "mixamorig:{}Hand", "spine1": "mixamorig:Spine",
            "spine2": "mixamorig:Spine1", "spine3": "mixamorig:Spine2", "neck": "mixamorig:Neck", "head": "mixamorig:Head",
        },
    ),
    RigTable(
        name="metarig", title="Rigify metarig", sides=("L", "R"),
        joints={
            "hips": "spine", "hip": "thigh.{}", "knee": "shin.{}", "ankle": "foot.{}", "toe": "toe.{}", "collar": "shoulder.{}",
            "shoulder": "upper_arm.{}", "elbow": "forearm.{}", "wrist": "hand.{}", "spine1": "spine.001", "spine2": "spine.002",
            "spine3": "spine.003", "neck": "spine.004", "head": "spine.006",
        },
    ),
    RigTable(
        name="kaykit", title="KayKit, short legs, big head", sides=("l", "r"), file="rigs/manny_med_mod.gltf",
        joints={
            "hips": "hips", "hip": "upperleg.{}", "knee": "lowerleg.{}", "ankle": "foot.{}", "toe": "toes.{}",
            "shoulder": "upperarm.{}", "elbow": "lowerarm.{}", "wrist": "wrist.{}", "spine1": "spine", "spine3": "chest",
            "neck": "head", "head": "head",
        },
    ),
    RigTable(
        name="quaternius", title="Quaternius, no toes, scale 100", sides=("L", "R"), file="rigs/quaternius_men_casual.glb",
        ball=(0.0, -0.13, 0.0), tip=0.08,
        joints={
            "hips": "Hips", "hip": "UpperLeg.{}", "knee": "LowerLeg.{}", "ankle": "Foot.{}", "collar": "Shoulder.{}",
            "shoulder": "UpperArm.{}", "elbow": "LowerArm.{}", "wrist": "Hand.{}", "spine1": "Abdomen", "spine2": "Torso",
            "spine3": "Chest", "neck": "Neck", "head": "Head",
        },
    ),
    RigTable(
        name="unreal", title="Unreal names, A-pose, twist and IK bones", sides=("l", "r"),
        joints={
            "hips": "pelvis", "hip": "thigh_{}", "knee": "calf_{}", "ankle": "foot_{}", "toe": "ball_{}", "collar": "clavicle_{}",
            "shoulder": "upperarm_{}", "elbow": "lowerarm_{}", "wrist": "hand_{}", "spine1": "spine_01", "spine2": "spine_02",
            "spine3": "spine_03", "neck": "neck_01", "head": "head",
        },
    ),
    RigTable(
        name="rigify", title="Rigify control rig, its deforming bones", sides=("L", "R"),
        joints={
            "hips": "DEF-spine", "hip": "DEF-thigh.{}", "knee": "DEF-shin.{}", "ankle": "DEF-foot.{}", "toe": "DEF-toe.{}",
            "collar": "DEF-shoulder.{}", "shoulder": "DEF-upper_arm.{}", "elbow": "DEF-forearm.{}", "wrist": "DEF-hand.{}",
            "neck": "DEF-spine.004", "head": "DEF-spine.006",
        },
        controls={
            "hips": "torso", "hip": "thigh_fk.{}", "knee": "shin_fk.{}", "ankle": "foot_fk.{}", "toe": "toe_fk.{}",
            "collar": "shoulder.{}", "shoulder": "upper_arm_fk.{}", "elbow": "forearm_fk.{}", "wrist": "hand_fk.{}",
            "spine3": "chest", "neck": "neck", "head": "head",
        },
    ),
)  # fmt: skip


def by_name(name: str) -> RigTable:
    return next(rig for rig in RIGS if rig.name == name)


def build(name: str, target: Path) -> None:
    """Make the rig and save it as a .blend that has nothing else. Runs inside a Blender."""
    import bpy  # noqa: PLC0415

    bpy.ops.wm.read_factory_settings(use_empty=True)
    makers = {"mixamo": _mixamo, "unreal": _unreal, "metarig": _metarig, "rigify": _rigify}
    makers[name]()
    bpy.ops.wm.save_as_mainfile(filepath=str(target), check_existing=False)


def _metarig() -> bpy.types.Object:
    import addon_utils  # noqa: PLC0415
    import bpy  # noqa: PLC0415

    # Its register() looks itself up in the preferences, so it has to stand there.
    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    return bpy.context.object


def _rigify() -> None:
    import bpy  # noqa: PLC0415

    metarig = _metarig()
    bpy.ops.pose.rigify_generate()
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.data.objects.remove(metarig)


@dataclass(frozen=True, slots=True)
class _Bone:
    name: str
    parent: str
    head: Place
    tail: Place


def _mixamo() -> None:
    """As a character of Mixamo comes in from FBX: centimetres and Y up in the armature, which is scaled and turned."""
    bones = [_Bone(f"mixamorig:{b.name}", f"mixamorig:{b.parent}" if b.parent else "", b.head, b.tail) for b in _mixamo_bones()]
    _armature(bones, scale=0.01, turn=math.pi / 2)


def _mixamo_bones() -> list[_Bone]:
    # Centimetres, Y up, +Z ahead, +X the person's left
    spine: list[tuple[str, Place]] = [
        ("Hips", (0, 99.8, 0)), ("Spine", (0, 109.9, -1.2)), ("Spine1", (0, 121.7, -2.2)), ("Spine2", (0, 135.1, -2.9)),
        ("Neck", (0, 150.1, -3.4)), ("Head", (0, 159.0, -0.3)), ("HeadTop_End", (0, 177.4, 6.3)),
    ]  # fmt: skip
    found = _chain(spine, "", (0, 183.0, 8.0))
    fingers = {
        "Thumb": ((3.0, -1.2, 2.4), (2.9, -1.6, 2.6)),
        "Index": ((12.3, -0.2, 2.8), (3.6, 0, 0)),
        "Middle": ((12.8, 0.1, 0.5), (3.8, 0, 0)),
        "Ring": ((12.1, 0.0, -1.7), (3.4, 0, 0)),
        "Pinky": ((10.9, -0.2, -3.7), (2.7, 0, 0)),
    }
    for side, sign in (("Left", 1), ("Right", -1)):
        arm = [
            ("Shoulder", (6.1, 144.3, -3.7)),
            ("Arm", (18.8, 143.5, -6.2)),
            ("ForeArm", (46.2, 143.5, -6.5)),
            ("Hand", (73.8, 143.5, -6.0)),
        ]
        found += _chain([(side + n, (sign * x, y, z)) for n, (x, y, z) in arm], "Spine2", (sign * 84.0, 143.5, -6.0))
        for name, (start, step) in fingers.items():
            joints = [
                (
                    f"{side}Hand{name}{k + 1}",
                    (sign * (73.8 + start[0] + k * step[0]), 143.5 + start[1] + k * step[1], -6.0 + start[2] + k * step[2]),
                )
                for k in range(4)
            ]
            x, y, z = joints[-1][1]
            found += _chain(joints, f"{side}Hand", (x + sign * step[0] * 0.7, y + step[1] * 0.7, z + step[2] * 0.7))
        leg = [
            ("UpLeg", (9.1, 93.5, -0.4)),
            ("Leg", (9.1, 50.3, 0.4)),
            ("Foot", (9.1, 8.3, -2.9)),
            ("ToeBase", (9.1, 0.9, 10.2)),
            ("Toe_End", (9.1, 0.4, 18.6)),
        ]
        found += _chain([(side + n, (sign * x, y, z)) for n, (x, y, z) in leg], "Hips", (sign * 9.1, 0.2, 22.0))
    return found


def _unreal() -> None:
    """Metres, Z up, facing -Y; arms hang at 45 degrees, as the mannequin stands."""
    down = math.radians(45.0)

    def arm(length: float, height: float = 0.0) -> Place:
        return (0.165 + length * math.cos(down), 0.02, 1.475 - length * math.sin(down) + height)

    spine: list[tuple[str, Place]] = [
        ("root", (0, 0, 0)), ("pelvis", (0, 0.01, 0.965)), ("spine_01", (0, 0.0, 1.07)), ("spine_02", (0, -0.005, 1.25)),
        ("spine_03", (0, 0.005, 1.38)), ("neck_01", (0, 0.025, 1.54)), ("head", (0, 0.005, 1.635)),
    ]  # fmt: skip
    found = _chain(spine, "", (0, 0, 1.83))
    found[0] = _Bone("root", "", (0, 0, 0), (0, -0.2, 0))
    for side, sign in (("l", 1), ("r", -1)):

        def at(place: Place, sign: int = sign) -> Place:
            return (sign * place[0], place[1], place[2])

        chain = [("clavicle", (0.035, 0.0, 1.46)), ("upperarm", arm(0.0)), ("lowerarm", arm(0.30)), ("hand", arm(0.57))]
        found += _chain([(f"{n}_{side}", at(p)) for n, p in chain], "spine_03", at(arm(0.65)))
        for number, (finger, ahead) in enumerate(
            (("thumb", -0.045), ("index", -0.03), ("middle", -0.008), ("ring", 0.014), ("pinky", 0.034))
        ):
            first, step = (0.60, 0.03) if number == 0 else (0.665 - 0.004 * abs(number - 2), 0.032)
            joints = []
            for k in range(3):
                x, y, z = arm(first + k * step)
                joints.append((f"{finger}_{k + 1:02d}_{side}", at((x, y + ahead, z))))
            x, y, z = arm(first + 3 * step)
            found += _chain(joints, f"hand_{side}", at((x, y + ahead, z)))
        legs = [
            ("thigh", (0.09, 0.005, 0.945)),
            ("calf", (0.115, -0.005, 0.525)),
            ("foot", (0.13, 0.035, 0.095)),
            ("ball", (0.14, -0.10, 0.015)),
        ]
        found += _chain([(f"{n}_{side}", at(p)) for n, p in legs], "pelvis", at((0.145, -0.175, 0.012)))
        found += [
            _Bone(f"upperarm_twist_01_{side}", f"upperarm_{side}", at(arm(0.02)), at(arm(0.14))),
            _Bone(f"lowerarm_twist_01_{side}", f"lowerarm_{side}", at(arm(0.44)), at(arm(0.56))),
            _Bone(f"thigh_twist_01_{side}", f"thigh_{side}", at((0.10, 0.0, 0.80)), at((0.105, 0.0, 0.70))),
            _Bone(f"calf_twist_01_{side}", f"calf_{side}", at((0.12, 0.015, 0.35)), at((0.125, 0.02, 0.25))),
            _Bone(f"ik_foot_{side}", "ik_foot_root", at((0.13, 0.035, 0.095)), at((0.14, -0.10, 0.015))),
            _Bone(f"ik_hand_{side}", "ik_hand_root", at(arm(0.57)), at(arm(0.65))),
        ]
    roots = [_Bone(f"ik_{part}_root", "root", (0, 0, 0), (0, -0.1, 0)) for part in ("foot", "hand")]
    _armature([*roots, *found])


def _chain(joints: list[tuple[str, Any]], parent: str, end: Place) -> list[_Bone]:
    """Bones from each joint to the next, the last one to `end`."""
    found = []
    for number, (name, head) in enumerate(joints):
        tail = joints[number + 1][1] if number + 1 < len(joints) else end
        found.append(_Bone(name, parent, head, tail))
        parent = name
    return found


def _armature(bones: list[_Bone], *, scale: float = 1.0, turn: float = 0.0) -> bpy.types.Object:
    import bpy  # noqa: PLC0415

    data = bpy.data.armatures.new("Armature")
    found = bpy.data.objects.new("Armature", data)
    bpy.context.scene.collection.objects.link(found)
    bpy.context.view_layer.objects.active = found
    bpy.ops.object.mode_set(mode="EDIT")
    for bone in bones:
        made = data.edit_bones.new(bone.name)
        made.head, made.tail = bone.head, bone.tail
    for bone in bones:
        if bone.parent:
            data.edit_bones[bone.name].parent = data.edit_bones[bone.parent]
    bpy.ops.object.mode_set(mode="OBJECT")
    found.scale = (scale, scale, scale)
    found.rotation_euler = (turn, 0.0, 0.0)
    bpy.context.view_layer.update()
    return found
