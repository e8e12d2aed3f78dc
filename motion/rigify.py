# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs that Rigify generated: how to tell them, which bones deform, which are the controls. Knows names and parents only.

In such a rig one body is there several times: DEF- bones deform, ORG- bones carry the hierarchy, MCH- bones work between them,
and the bones without such a prefix are what an animator moves. The DEF- bones hang on the others, not on each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from .rig import Rig
from .skeleton import Ints

_DEFORM, _ORIGINAL = "DEF-", "ORG-"
_LEAST = 12  # bones of a kind that make a rig one


class RigKind(StrEnum):
    PLAIN = "plain"  # bones that can be keyed as they are
    RIGIFY_CONTROL = "rigify_control"  # generated, with its controls: key those
    RIGIFY_DEFORM = "rigify_deform"  # only the deforming bones of one, as games get them


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """The controls of a generated Rigify rig, as bone names. Only what the rig has.

    `switches` are the bones with the custom property "IK_FK" (0: IK, 1: FK) of a limb, by "l_arm", "r_arm", "l_leg", "r_leg".
    """

    root: str
    torso: str  # carries the whole trunk: its location is the pelvis's
    hips: str
    chest: str
    spine_fk: tuple[str, ...]  # from the lowest up
    neck: str
    head: str
    fk: Mapping[str, str]  # canonical joint → its FK control, collars and toes among them
    ik: Mapping[str, str]  # "l_wrist", "l_ankle" … → IK control; "l_foot" → toe control; "l_heel" → foot roll
    poles: Mapping[str, str]  # "l_elbow", "l_knee" … → pole target
    switches: Mapping[str, str]
    tweaks: Mapping[str, tuple[str, ...]]  # "l_arm" … → tweak controls, to be left at rest
    fingers: Mapping[str, tuple[str, ...]]  # "l_thumb" … → FK controls


def kind(names: Sequence[str]) -> RigKind:
    """Which kind of rig has bones of these names."""
    deforming = sum(name.startswith(_DEFORM) for name in names)
    original = sum(name.startswith(_ORIGINAL) for name in names)
    if deforming < _LEAST:
        return RigKind.PLAIN
    known = set(names)
    controlled = any({f"{part}_fk.L", f"{part}_fk.R"} <= known for part in ("upper_arm", "thigh")) and "torso" in known
    return RigKind.RIGIFY_CONTROL if original >= _LEAST and controlled else RigKind.RIGIFY_DEFORM


def controls(names: Sequence[str]) -> Controls | None:
    """The controls of a generated rig, or nothing when it is none."""
    if kind(names) is not RigKind.RIGIFY_CONTROL:
        return None
    known = set(names)

    def have(**options: str) -> dict[str, str]:
        return {key: name for key, name in options.items() if name in known}

    def sided(parts: Mapping[str, str]) -> dict[str, str]:
        return have(**{f"{s.lower()}_{part}": name.format(s) for s in "LR" for part, name in parts.items()})

    def one(*options: str) -> str:
        return next((name for name in options if name in known), "")

    fingers = {
        f"{s.lower()}_{finger}": chain
        for s in "LR"
        for finger, bone in _FINGERS.items()
        if (chain := tuple(name for i in (1, 2, 3) if (name := f"{bone}.{i:02}.{s}") in known))
    }
    tweaks = {
        f"{s.lower()}_{limb}": tuple(n for n in names if n.startswith(parts) and f"_tweak.{s}" in n)
        for s in "LR"
        for limb, parts in (("arm", ("upper_arm", "forearm", "hand")), ("leg", ("thigh", "shin", "foot")))
    }
    return Controls(
        root=one("root"),
        torso=one("torso"),
        hips=one("hips"),
        chest=one("chest"),
        spine_fk=tuple(sorted(n for n in names if n == "spine_fk" or n.startswith("spine_fk."))),
        neck=one("neck"),
        head=one("head"),
        fk=sided(_FK) | have(head=one("head"), neck=one("neck")),
        ik=sided(_IK),
        poles=sided(_POLES),
        switches=sided(_SWITCHES),
        tweaks=tweaks,
        fingers=fingers,
    )


_FK = {
    "collar": "shoulder.{}", "shoulder": "upper_arm_fk.{}", "elbow": "forearm_fk.{}", "wrist": "hand_fk.{}",
    "hip": "thigh_fk.{}", "knee": "shin_fk.{}", "ankle": "foot_fk.{}", "foot": "toe_fk.{}",
}  # fmt: skip
_IK = {"wrist": "hand_ik.{}", "ankle": "foot_ik.{}", "foot": "toe_ik.{}", "heel": "foot_heel_ik.{}"}
_POLES = {"elbow": "upper_arm_ik_target.{}", "knee": "thigh_ik_target.{}"}
_SWITCHES = {"arm": "upper_arm_parent.{}", "leg": "thigh_parent.{}"}
_FINGERS = {"thumb": "thumb", "index": "f_index", "middle": "f_middle", "ring": "f_ring", "pinky": "f_pinky"}

# Where a deforming bone belongs when nothing above it says so: exports that keep only these cut them loose.
_LOGICAL = {
    "thigh": "spine", "pelvis": "spine", "shoulder": "spine.003", "breast": "spine.003", "upper_arm": "shoulder",
    "forearm": "upper_arm", "hand": "forearm", "shin": "thigh", "foot": "shin", "toe": "foot",
}  # fmt: skip


def deform_skeleton(names: Sequence[str], parents: Ints) -> tuple[list[int], Ints] | None:
    """The deforming bones of a generated rig (and its root bone) as a skeleton of their own: indices, and parents among these.

    None for any other rig.
    """
    if kind(names) is RigKind.PLAIN:
        return None
    bones = {name: i for i, name in enumerate(names)}
    root = bones.get("root", -1)
    parent_of: dict[int, int] = {}
    for name, i in bones.items():
        if not name.startswith(_DEFORM):
            continue
        above = int(parents[i])
        while above >= 0:
            twin = bones.get(_DEFORM + names[above].removeprefix(_ORIGINAL).removeprefix(_DEFORM), -1)
            if twin not in {-1, i} and names[above].startswith((_ORIGINAL, _DEFORM)):
                break
            above = int(parents[above])
        parent_of[i] = twin if above >= 0 else _belongs(name, bones, root)
    chosen, waiting = [], [root] if root >= 0 else []
    below: dict[int, list[int]] = {}
    for i, parent in parent_of.items():
        below.setdefault(parent, []).append(i)
    waiting += below.get(-1, [])
    while waiting:
        joint = waiting.pop(0)
        chosen.append(joint)
        waiting.extend(below.get(joint, []))
    index = {joint: i for i, joint in enumerate(chosen)}
    return chosen, np.array([index.get(parent_of.get(joint, -1), -1) for joint in chosen], dtype=np.int64)


def posable(rig: Rig) -> Rig:
    """The rig whose bones retargeting poses: of one with its controls the deforming bones, as a skeleton; any other as it is."""
    if kind(rig.names) is not RigKind.RIGIFY_CONTROL:
        return rig
    kept = deform_skeleton(rig.names, rig.parents)
    assert kept is not None  # it is of that kind
    chosen, parents = kept
    place = {bone: i for i, bone in enumerate(chosen)}
    carried = np.array([place.get(int(bone), -1) for bone in rig.ground_bones], dtype=np.int64)
    return Rig(
        names=tuple(rig.names[bone] for bone in chosen),
        parents=parents,
        heads=rig.heads[chosen],
        tails=rig.tails[chosen],
        rest=rig.rest[chosen],
        ground=rig.ground[carried >= 0],
        ground_bones=carried[carried >= 0],
    )


def _belongs(name: str, bones: Mapping[str, int], root: int) -> int:
    part, _, rest = name.removeprefix(_DEFORM).partition(".")
    parent = _LOGICAL.get(part, "")
    side = f".{rest[0]}" if rest[:1] in {"L", "R"} and not parent.startswith("spine") else ""
    if not parent:
        return root
    if not side:
        return bones.get(f"{_DEFORM}{parent}", root)
    # A limb's second half comes before what hangs on the limb.
    options = (f"{_DEFORM}{parent}{side}.001", f"{_DEFORM}{parent}{side}")
    return next((bones[option] for option in options if option in bones), root)
