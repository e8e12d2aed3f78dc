# SPDX-License-Identifier: GPL-3.0-or-later
"""Which joint of a skeleton is which part of a human body: by known names, by the words in names, by the tree and its shape.

The canonical joints are the 22 of the SMPL body model; spine and neck may be chains of any length. Knows no clip and no Blender.

Left is the side that is left for somebody who looks where the toes point. Names decide it, unless the pose is a stance in which
toes and a second witness (knees, face) both say the opposite: then the skeleton was mirrored, and by its names it would walk
backwards on knees that bend the wrong way.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from . import humanoid_names as words
from . import humanoid_shape as shape
from .errors import MotionError
from .humanoid_extras import find_fingers, find_root, find_twists
from .humanoid_names import ARM, FINGERS, LEG, OPTIONAL, Named
from .humanoid_shape import REQUIRED, Tree
from .quat import Array
from .rigify import deform_skeleton
from .skeleton import Ints

__all__ = [
    "ARM", "CANONICAL", "FINGERS", "LEG", "OPTIONAL", "REQUIRED", "JointMap", "assemble", "find_joints", "renumbered",
    "restricted",
]  # fmt: skip

CANONICAL = (
    "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot", "r_foot",
    "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
)  # fmt: skip

_SURE = {"words": 0.85, "shape": 0.6, "given": 1.0}  # by how a joint was found; a known family: 1
_SHOWN = 0.03  # of the leg length: what toes must point ahead to be believed
_BENT = 0.006  # of the leg length: so much knees must bend
_NOTHING = 0.004  # of the leg length: below it nothing shows which way a body looks
_AGREE = 0.6  # of the joints that names show must be where the shape has them
_NO_BODY = "its names say nothing, and its shape shows no pair of legs and pair of arms with a trunk between and a head above"
_EMPTY: Mapping[str, tuple[int, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class JointMap:
    """Canonical joints found in a skeleton. `joints` has no spine and neck entries beyond the chains' ends: use the chains."""

    joints: Mapping[str, int]  # "pelvis", "head", "l_hip" … → index
    spine: tuple[int, ...]  # from above the pelvis to the chest, any length
    neck: tuple[int, ...]  # from above the chest to below the head, any length
    confidence: Mapping[str, float]  # canonical joint → 0–1
    preset: str  # which names were recognised: "smpl", "mixamo", …; "words", "shape" or "given" when found otherwise
    fingers: Mapping[str, tuple[int, ...]] = field(
        default_factory=lambda: _EMPTY
    )  # "l_thumb" … "r_pinky" → from the palm outwards, up to 3
    twists: Mapping[str, tuple[int, ...]] = field(
        default_factory=lambda: _EMPTY
    )  # "l_shoulder" … → bones that share that limb's twist
    root: int = -1  # the bone above the pelvis that stands for the character's place; -1: none
    found: Mapping[str, str] = field(default_factory=dict)  # canonical joint → "preset", "words", "shape", "given", "tree"

    def __getitem__(self, name: str) -> int:
        return self.joints[name]

    def get(self, name: str) -> int | None:
        return self.joints.get(name)


def find_joints(names: Sequence[str], parents: Ints, heads: Array, tips: Array | None = None) -> JointMap:
    """The human body in a tree of joints, parents before children.

    `heads` [J, 3] are joint positions in a pose in which the person stands (any axis may be up), `tips` [J, 3] where limbs
    without a child end (nan: unknown). Of a rig that Rigify generated these are the deforming bones; `rigify.controls` has
    its controls. Raises `MotionError("unknown_skeleton")` that names what is missing.
    """
    heads = np.asarray(heads, dtype=np.float64)
    if len(names) == 0 or not np.isfinite(heads).all():
        raise _unknown(len(names), "its joints have no positions" if len(names) else "it has no joints")
    kept = deform_skeleton(names, parents)
    if kept is not None:
        chosen, parents = kept
        inner = _find([names[i] for i in chosen], parents, heads[chosen], None if tips is None else tips[chosen])
        return renumbered(inner, chosen)
    return _find(names, parents, heads, tips)


def _find(names: Sequence[str], parents: Ints, heads: Array, tips: Array | None) -> JointMap:
    tree = Tree(parents, heads, tips)
    named = words.by_preset(names) or words.by_number(names, tree.parents)
    family = named.preset if named else ""
    by_word = _by_words(names, tree)
    joints, found, problem = _by_names(names, tree, named, by_word)
    margin = 1.0
    if problem:
        found_by_shape, margin = _by_shape(names, tree)
        if found_by_shape is None or tree.problem(found_by_shape) or not _agree(found_by_shape, {**by_word, **joints}):
            raise _unknown(len(names), problem if joints else _NO_BODY, missing="" if joints else "two legs, two arms and a head")
        joints, found = found_by_shape, dict.fromkeys(found_by_shape, "shape")
        family = "shape"
    elif named is None:
        family = "words"
    if shape.four_footed(tree, joints):
        raise _unknown(len(names), "it stands on four legs", missing="upright trunk")
    if _mirrored(names, tree, joints):
        joints = {_other_side(name): joint for name, joint in joints.items()}
        found = {_other_side(name): how for name, how in found.items()}
    known = {*named.trunk, *named.neck} if named and family == named.preset else set()
    result = assemble(names, tree, joints, family=family, found=found, margin=margin, known=known)
    _refuse_a_second_body(names, tree, result)
    return result


def assemble(
    names: Sequence[str],
    tree: Tree,
    joints: Mapping[str, int],
    *,
    family: str,
    found: Mapping[str, str],
    margin: float = 1.0,
    known: AbstractSet[int] = frozenset(),
    spine: tuple[int, ...] | None = None,
    neck: tuple[int, ...] | None = None,
) -> JointMap:
    """The whole map from limbs and head (and pelvis, spine, neck, where they are given), which must be no `tree.problem`.

    `known`: joints of the trunk that are called as in the family.
    """
    joints, found = dict(joints), dict(found)
    pelvis = joints.get("pelvis", -1)
    if pelvis < 0:
        pelvis = _pelvis(names, tree, joints)
    shoulders = [joints.get(f"{s}_collar", joints[f"{s}_shoulder"]) for s in "lr"]
    chest = tree.common(*(tree.parents[s] for s in shoulders), joints["head"])
    chest = pelvis if chest is None or not tree.below(chest, pelvis) else chest
    if chest == joints["head"]:
        chest = tree.parents[chest]
    if spine is None:
        spine = tree.path(pelvis, chest)
    if neck is None:
        neck = tree.path(spine[-1] if spine else pelvis, tree.parents[joints["head"]])
    joints["pelvis"] = pelvis
    for name, joint in zip(("spine1", "spine2", "spine3"), _spread(spine, 3), strict=False):
        joints[name] = joint
    if neck:
        joints["neck"] = neck[0]
    found = {name: found.get(name, "preset" if joint in known else "tree") for name, joint in joints.items()}
    return JointMap(
        joints=MappingProxyType(joints),
        spine=spine,
        neck=neck,
        confidence=MappingProxyType(_confidence(names, tree, joints, found, family, margin)),
        preset=family,
        fingers=MappingProxyType(find_fingers(names, tree, joints, family)),
        twists=MappingProxyType(find_twists(names, tree, joints, {*spine, *neck})),
        root=find_root(names, tree, joints),
        found=MappingProxyType(found),
    )


def _unknown(count: int, problem: str, *, missing: str = "", **details: str) -> MotionError:
    return MotionError(
        "unknown_skeleton",
        f"This skeleton of {count} joints is not a human body that can be retargeted: {problem}. "
        "Use a biped with a head, two arms and two legs, name its bones in a common way (Mixamo, Rigify, SMPL), or give a map.",
        details={"missing": missing or problem, "joints": str(count), **details},
    )


# By names


def _by_names(
    names: Sequence[str], tree: Tree, named: Named | None, by_word: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, str], str]:
    """The limbs and the head by names, how each was found, and why they are no body, or nothing."""
    if named is None:
        joints = dict(by_word)
        return joints, dict.fromkeys(joints, "words"), tree.problem(joints)
    joints = {slot: _first_of_limb(names, tree, joint) for slot, joint in named.joints.items()}
    found = dict.fromkeys(joints, "preset")
    problem = tree.problem(joints)
    if problem:
        return joints, found, problem
    for slot, joint in by_word.items():
        if slot[2:] in OPTIONAL and slot not in joints and not tree.problem({**joints, slot: joint}):
            joints[slot], found[slot] = joint, "words"
    return joints, found, ""


def _first_of_limb(names: Sequence[str], tree: Tree, joint: int) -> int:
    """A limb's joint where a rig calls it the second part of one ("arm_twist" above "arm_stretch"): its first part."""
    parent = tree.parents[joint]
    if parent < 0:
        return joint
    lower, upper = words.read(names[joint]), words.read(names[parent])
    same = lower.tokens - {"stretch"} == upper.tokens - {"twist"} and lower.side == upper.side
    return parent if upper.twist and "stretch" in lower.tokens and same else joint


def _by_words(names: Sequence[str], tree: Tree) -> dict[str, int]:
    """What the words of names say, one bone each: the candidates that follow each other down a limb."""
    candidates = words.by_words(names)
    joints: dict[str, int] = {}
    for side in "lr":
        for parts in (ARM, LEG):
            above = -1
            for part in parts:
                options = [j for j in candidates.get(f"{side}_{part}", ()) if j not in joints.values()]
                inside = [j for j in options if above < 0 or (j != above and tree.below(j, above))]
                if chosen := (inside or options):
                    joints[f"{side}_{part}"] = above = chosen[0]
    head = next((j for j in candidates.get("head", ()) if j not in joints.values()), None)
    if head is None and all(f"{s}_{p}" in joints for s in "lr" for p in ("shoulder", "hip")):
        hips, shoulders = (0.5 * (tree.heads[joints[f"l_{p}"]] + tree.heads[joints[f"r_{p}"]]) for p in ("hip", "shoulder"))
        arms = [joints.get(f"{s}_collar", joints[f"{s}_shoulder"]) for s in "lr"]
        chest = tree.common(*(tree.parents[a] for a in arms))
        if chest is not None and chest >= 0:
            head = shape.find_head(tree, hips, shoulders, chest, arms, [joints["l_hip"], joints["r_hip"]])
    if head is not None and head not in joints.values():
        joints["head"] = head
    return joints


# By shape


def _by_shape(names: Sequence[str], tree: Tree) -> tuple[dict[str, int] | None, float]:
    """The limbs and the head by shape, and by how much they are likelier than anything else, 0–1."""
    found = shape.bodies(tree, lambda joint, part: words.contradicts(names[joint], part))
    if not found:
        return None, 0.0
    best = found[0]
    rival = next((b.score for b in found[1:] if b.used() != best.used()), -np.inf)
    margin = float(np.clip(0.5 + 0.5 * (best.score - rival), 0.5, 1.0))
    legs = _left_by_names(names, [limb.chain for limb in best.legs])
    across = [tree.heads[limbs[0].top] - tree.heads[limbs[1].top] for limbs in (best.legs, best.arms)]
    same = float(np.dot(across[0], across[1])) >= 0.0
    joints = best.joints(legs_left=legs or 0, arms_left=(legs or 0) if same else 1 - (legs or 0))
    if legs is not None:
        return joints, margin
    looks = shape.facing(tree, joints, _face(names, tree, joints))
    if abs(looks.total) < _NOTHING:
        raise MotionError(
            "unknown_skeleton",
            "The skeleton's names say nothing and its shape does not show which way it faces (no toes, straight knees), so left "
            "and right cannot be told apart. Name its bones in a common way (Mixamo, Rigify, SMPL), or give a map.",
            details={"missing": "facing"},
        )
    if looks.total < 0.0:
        joints = {_other_side(name): joint for name, joint in joints.items()}
    return joints, margin * float(np.clip(abs(looks.total) / 0.1, 0.6, 1.0))


def _left_by_names(names: Sequence[str], limbs: Sequence[Sequence[int]]) -> int | None:
    """Which of two limbs names call the left one, if they do."""
    votes = [sum({"l": 1, "r": -1}.get(words.side_of(names[j]), 0) for j in limb) for limb in limbs]
    if votes[0] * votes[1] >= 0:
        return None
    return 0 if votes[0] > 0 else 1


def _agree(joints: Mapping[str, int], named: Mapping[str, int]) -> bool:
    """Whether a body by shape has the joints where names have them, as far as they have, whichever side is which."""
    if len(named) < 4:
        return True
    hits = [joint in {joints.get(slot), joints.get(_other_side(slot))} for slot, joint in named.items()]
    return float(np.mean(hits)) >= _AGREE


# Left and right, trunk, second bodies


def _other_side(name: str) -> str:
    return {"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:]


def _face(names: Sequence[str], tree: Tree, joints: Mapping[str, int]) -> list[int]:
    return [j for j in tree.subtree(joints["head"]) if j != joints["head"] and words.is_facial(names[j])]


def _mirrored(names: Sequence[str], tree: Tree, joints: Mapping[str, int]) -> bool:
    """Whether toes and a second witness of a standing body agree that it looks where its sides say is behind."""
    if not shape.upright(tree, joints):
        return False
    looks = shape.facing(tree, joints, _face(names, tree, joints))
    others = ((looks.knees, _BENT), (looks.face, _BENT))
    return (
        looks.toes < -_SHOWN
        and any(value < -limit for value, limit in others)
        and not any(value > limit for value, limit in others)
    )


def _pelvis(names: Sequence[str], tree: Tree, joints: Mapping[str, int]) -> int:
    """The joint that carries legs and trunk; where that is a bone on the ground, the one below it that is called so."""
    common = tree.common(joints["l_hip"], joints["r_hip"], joints["head"])
    assert common is not None  # tree.problem() has checked it
    hips = 0.5 * (tree.heads[joints["l_hip"]] + tree.heads[joints["r_hip"]])
    leg = 0.5 * sum(tree.lengths_between(*(joints[f"{s}_{part}"] for part in LEG[:3])) for s in "lr")
    if np.linalg.norm(tree.heads[common] - hips) < 0.5 * leg:
        return common
    paths = [tree.path(common, joints[end]) for end in ("head", "l_hip", "r_hip")]
    called = [j for path in paths for j in path if words.is_pelvis(names[j]) and j not in joints.values()]
    return called[0] if called else common


def _spread(chain: tuple[int, ...], count: int) -> list[int]:
    """`count` joints of a chain, evenly, first and last among them; fewer when it is shorter."""
    if len(chain) <= count:
        return list(chain)
    return [chain[round(i * (len(chain) - 1) / (count - 1))] for i in range(count)]


def _refuse_a_second_body(names: Sequence[str], tree: Tree, joints: JointMap) -> None:
    inside = set(tree.subtree(joints["pelvis"])) | set(tree.path(-1, joints["pelvis"]))
    rest = [j for j in range(len(names)) if j not in inside]
    if len(rest) < len(REQUIRED):
        return
    index = {joint: i for i, joint in enumerate(rest)}
    parents = np.array([index.get(tree.parents[j], -1) for j in rest])
    other = Tree(parents, tree.heads[rest], tree.tips[rest])
    found = shape.bodies(other, lambda joint, part: words.contradicts(names[rest[joint]], part))
    if not found:
        return
    leg = tree.lengths_between(*(joints[f"l_{part}"] for part in LEG[:3]))
    hips = 0.5 * (tree.heads[joints["l_hip"]] + tree.heads[joints["r_hip"]])
    second = found[0]
    if np.linalg.norm(second.hips - hips) > 0.25 * leg and 0.4 * leg < second.legs[0].length < 2.5 * leg:
        pair = f"{names[joints['head']]}, {names[rest[second.head]]}"
        raise _unknown(
            len(names), f"it holds two bodies (heads: {pair}); separate them into two armatures", missing="one body", bodies=pair
        )


def _confidence(
    names: Sequence[str], tree: Tree, joints: Mapping[str, int], found: Mapping[str, str], family: str, margin: float
) -> dict[str, float]:
    """How sure each joint is: by how it was found, less where left and right differ in length or look the wrong way."""
    base = _SURE.get(family, 1.0) * (margin if family == "shape" else 1.0)
    alike: dict[str, float] = {}
    for parts in (ARM[1:], LEG[:3]):
        for a, b in itertools.pairwise(parts):
            if all(f"{s}_{part}" in joints for s in "lr" for part in (a, b)):
                left, right = (float(tree.lengths_between(joints[f"{s}_{a}"], joints[f"{s}_{b}"])) for s in "lr")
                ratio = min(left, right) / max(left, right, 1e-12)
                for part in (a, b):
                    alike[part] = min(alike.get(part, 1.0), float(np.clip(0.3 + 1.75 * (ratio - 0.5), 0.3, 1.0)))
    looks = shape.facing(tree, joints, _face(names, tree, joints))
    backwards = 0.8 if shape.upright(tree, joints) and looks.total < -_SHOWN else 1.0
    out: dict[str, float] = {}
    for name in joints:
        sure = base if found[name] == "tree" else min(base, _SURE.get(found[name], 1.0))
        if name[:2] in {"l_", "r_"}:
            sure *= alike.get(name[2:], 1.0) * backwards
        out[name] = round(sure, 3)
    return out


def renumbered(joints: JointMap, chosen: Sequence[int]) -> JointMap:
    """The map of a part of a skeleton as one of the whole."""

    def these(chain: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(chosen[j]) for j in chain)

    return replace(
        joints,
        joints=MappingProxyType({name: int(chosen[j]) for name, j in joints.joints.items()}),
        spine=these(joints.spine),
        neck=these(joints.neck),
        fingers=MappingProxyType({name: these(chain) for name, chain in joints.fingers.items()}),
        twists=MappingProxyType({name: these(chain) for name, chain in joints.twists.items()}),
        root=int(chosen[joints.root]) if joints.root >= 0 else -1,
    )


def restricted(
    joints: JointMap,
    *,
    fingers: Mapping[str, tuple[int, ...]],
    twists: Mapping[str, tuple[int, ...]],
    root: int,
    confidence: Mapping[str, float],
    base: JointMap | None = None,
) -> JointMap:
    """A map with what was said about it put in place of what was found; empty chains are left out.

    `base`: the map that was found for the very same joints, whose fingers and twists stand where nothing is said.
    """
    found = base or joints

    def merged(have: Mapping[str, tuple[int, ...]], said: Mapping[str, tuple[int, ...]]) -> Mapping[str, tuple[int, ...]]:
        return MappingProxyType({key: chain for key, chain in {**have, **said}.items() if chain})

    return replace(
        joints,
        fingers=merged(found.fingers, fingers),
        twists=merged(found.twists, twists),
        root=root,
        confidence=MappingProxyType({**joints.confidence, **confidence}),
    )
