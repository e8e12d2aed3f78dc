# SPDX-License-Identifier: GPL-3.0-or-later
"""Which joint of a skeleton is which part of a human body: by known names, by the words in names, by the tree and its shape.

The canonical joints are the 22 of the SMPL body model; spine and neck may be chains of any length. Knows no clip and no Blender.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from .errors import MotionError
from .quat import Array, normalize
from .skeleton import Ints

ARM = ("collar", "shoulder", "elbow", "wrist")
LEG = ("hip", "knee", "ankle", "foot")
CANONICAL = (
    "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot", "r_foot",
    "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
)  # fmt: skip
REQUIRED = ("pelvis", "head", *(f"{s}_{part}" for s in "lr" for part in ("hip", "knee", "ankle", "shoulder", "elbow")))


@dataclass(frozen=True, slots=True, kw_only=True)
class JointMap:
    """Canonical joints found in a skeleton. `joints` has no spine and neck entries beyond the chains' ends: use the chains."""

    joints: Mapping[str, int]  # "pelvis", "head", "l_hip" … → index
    spine: tuple[int, ...]  # from above the pelvis to the chest, any length
    neck: tuple[int, ...]  # from above the chest to below the head, any length
    confidence: Mapping[str, float]  # canonical joint → 0–1
    preset: str  # which names were recognised: "smpl", "mixamo", …; "words" or "shape" when found otherwise

    def __getitem__(self, name: str) -> int:
        return self.joints[name]

    def get(self, name: str) -> int | None:
        return self.joints.get(name)


@dataclass(frozen=True, slots=True)
class _Preset:
    """Names of one family of rigs; `{}` is the side."""

    name: str
    head: str
    sides: tuple[str, str]
    parts: str  # collar shoulder elbow wrist hip knee ankle foot; "-" where the family has none


_PRESETS = (
    _Preset("smpl", "head", ("l", "r"), "{}_collar {}_shoulder {}_elbow {}_wrist {}_hip {}_knee {}_ankle {}_foot"),
    _Preset("smplx", "head", ("left", "right"), "{}_collar {}_shoulder {}_elbow {}_wrist {}_hip {}_knee {}_ankle {}_foot"),
    _Preset("mixamo", "head", ("left", "right"), "{}shoulder {}arm {}forearm {}hand {}upleg {}leg {}foot {}toebase"),
    _Preset("rigify", "spine.006", ("l", "r"), "shoulder.{} upper_arm.{} forearm.{} hand.{} thigh.{} shin.{} foot.{} toe.{}"),
    _Preset("cgspeed", "head", ("l", "r"), "{}collar {}shldr {}forearm {}hand {}thigh {}shin {}foot -"),
    _Preset("cc_base", "head", ("l", "r"), "{}_clavicle {}_upperarm {}_forearm {}_hand {}_thigh {}_calf {}_foot {}_toebase"),
    _Preset("quaternius", "head", ("l", "r"), "shoulder.{} upperarm.{} lowerarm.{} hand.{} upperleg.{} lowerleg.{} foot.{} -"),
    _Preset("kaykit", "head", ("l", "r"), "- upperarm.{} lowerarm.{} wrist.{} upperleg.{} lowerleg.{} foot.{} toes.{}"),
    _Preset("unreal", "head", ("l", "r"), "clavicle_{} upperarm_{} lowerarm_{} hand_{} thigh_{} calf_{} foot_{} ball_{}"),
)
# Of a preset these may be absent: rigs of the same family come with and without.
_OPTIONAL = ("collar", "wrist", "foot")
_PREFIX = re.compile(r"(?i)^(?:.*[:|])?(?:mixamorig\d*_?|cc_base_|def-|org-)?")

# The words for each part, surest first. A word that names two parts goes to the part that has no surer word in this skeleton.
_WORDS: dict[str, tuple[str, ...]] = {
    "shoulder": ("upperarm", "uparm", "humerus", "arm", "shoulder", "shldr"),
    "collar": ("clavicle", "collar", "collarbone", "scapula", "shoulder", "shldr"),
    "elbow": ("forearm", "lowerarm", "lowarm", "loarm", "elbow", "radius"),
    "wrist": ("wrist", "hand", "palm"),
    "hip": ("thigh", "upleg", "upperleg", "femur", "hip", "leg"),
    "knee": ("calf", "shin", "lowerleg", "lowleg", "loleg", "knee", "tibia", "leg"),
    "ankle": ("ankle", "foot"),
    "foot": ("toe", "toes", "toebase", "ball", "foot"),
}
_ORDER = ("elbow", "shoulder", "collar", "wrist", "knee", "hip", "ankle", "foot")  # in which parts choose their words
_NOISE = {"mixamorig", "cc", "base", "def", "org", "bip", "biped", "bone", "jnt", "joint", "j", "b", "m", "f", "avg", "character"}
_SIDES = {"l": "l", "left": "l", "lft": "l", "r": "r", "right": "r", "rgt": "r"}


def find_joints(names: Sequence[str], parents: Ints, heads: Array, tips: Array | None = None) -> JointMap:
    """The human body in a tree of joints.

    `heads` [J, 3] are joint positions in a pose in which the person stands (any axis may be up), `tips` [J, 3] where limbs
    without a child end (nan: unknown). Raises `MotionError("unknown_skeleton")` that names what is missing.
    """
    tree = _Tree(parents, heads, tips)
    found, preset, sure = _by_preset(names), "", 1.0
    if found is not None:
        preset, joints = found
        problem = tree.problem(joints)
        others = {slot: joint for slot, joint in _by_words(names, tree).items() if slot[2:] in _OPTIONAL} | joints
        if not problem and not tree.problem(others):
            joints = others
    else:
        preset, sure = "words", 0.8
        joints = _by_words(names, tree)
        problem = tree.problem(joints)
    if problem:
        shape = _by_shape(tree)
        if shape is None or tree.problem(shape):
            raise MotionError(
                "unknown_skeleton",
                f"This skeleton of {len(names)} joints is not a human body that can be retargeted: {problem}. "
                "Use a biped with a head, two arms and two legs, or name its bones in a common way (Mixamo, Rigify, SMPL).",
                details={"missing": problem, "joints": str(len(names))},
            )
        preset, sure, joints = "shape", 0.6, shape
    pelvis = tree.common(joints["l_hip"], joints["r_hip"], joints["head"])
    assert pelvis is not None  # problem() has checked it
    shoulders = [joints.get(f"{s}_collar", joints[f"{s}_shoulder"]) for s in "lr"]
    chest = tree.common(*(int(parents[s]) for s in shoulders), joints["head"])
    chest = pelvis if chest is None or not tree.below(chest, pelvis) else chest
    if chest == joints["head"]:
        chest = int(parents[chest])
    spine = tree.path(pelvis, chest)
    neck = tree.path(chest, int(parents[joints["head"]]))
    joints["pelvis"] = pelvis
    confidence = dict.fromkeys(joints, sure)
    for name, joint in zip(("spine1", "spine2", "spine3"), _spread(spine, 3), strict=False):
        joints[name], confidence[name] = joint, sure
    if neck:
        joints["neck"], confidence["neck"] = neck[0], sure
    return JointMap(
        joints=MappingProxyType(joints), spine=spine, neck=neck, confidence=MappingProxyType(confidence), preset=preset
    )


def _spread(chain: tuple[int, ...], count: int) -> list[int]:
    """`count` joints of a chain, evenly, first and last among them; fewer when it is shorter."""
    if len(chain) <= count:
        return list(chain)
    return [chain[round(i * (len(chain) - 1) / (count - 1))] for i in range(count)]


class _Tree:
    """Questions about a skeleton as a tree in space."""

    def __init__(self, parents: Ints, heads: Array, tips: Array | None) -> None:
        self.parents = [int(p) for p in parents]
        self.heads = heads
        self.tips = np.full_like(heads, np.nan) if tips is None else tips
        self.children: list[list[int]] = [[] for _ in self.parents]
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                self.children[parent].append(joint)
        self.lengths = np.array(  # [J] from the parent
            [np.linalg.norm(heads[j] - heads[p]) if p >= 0 else 0.0 for j, p in enumerate(self.parents)]
        )
        tip_lengths = np.nan_to_num(np.linalg.norm(self.tips - heads, axis=1))
        self.reach = np.zeros(len(heads))  # [J] length of the longest chain below
        for joint in reversed(range(len(heads))):
            below = [self.lengths[c] + self.reach[c] for c in self.children[joint]]
            self.reach[joint] = max(below, default=tip_lengths[joint])

    def path(self, top: int, bottom: int) -> tuple[int, ...]:
        """Joints below `top` down to and with `bottom`."""
        out: list[int] = []
        while bottom not in {top, -1}:
            out.append(bottom)
            bottom = self.parents[bottom]
        return tuple(reversed(out)) if bottom == top else ()

    def below(self, joint: int, top: int) -> bool:
        while joint not in {top, -1}:
            joint = self.parents[joint]
        return joint == top

    def depth(self, joint: int) -> int:
        return len(self.path(-1, joint))

    def common(self, first: int, *others: int) -> int | None:
        """The lowest joint that is above all of them (or one of them), or None."""
        while first >= 0 and not all(self.below(other, first) for other in others):
            first = self.parents[first]
        return first if first >= 0 else None

    def main_chain(self, joint: int) -> list[int]:
        """Down the longest branch, leaving out joints that lie where their parent is."""
        chain = [joint]
        while self.children[joint]:
            joint = max(self.children[joint], key=lambda c: self.lengths[c] + self.reach[c])
            if self.lengths[joint] > 0.02 * self.reach[chain[0]]:
                chain.append(joint)
        return chain

    def problem(self, joints: Mapping[str, int]) -> str:
        """Why these joints are no body, or nothing."""
        missing = [name for name in REQUIRED if name != "pelvis" and name not in joints]
        if missing:
            return "it has no " + ", ".join(missing)
        for side in "lr":
            for parts in (ARM, LEG):
                chain = [joints[f"{side}_{part}"] for part in parts if f"{side}_{part}" in joints]
                if any(a == b or not self.below(b, a) for a, b in itertools.pairwise(chain)):
                    return f"the joints {', '.join(f'{side}_{part}' for part in parts)} do not follow each other"
        used = [joints[name] for name in joints]
        if len(set(used)) != len(used):
            return "left and right share joints"
        if self.common(joints["l_hip"], joints["r_hip"], joints["head"], joints["l_shoulder"], joints["r_shoulder"]) is None:
            return "legs, arms and head do not hang together"
        return ""

    def head_above(self, arms: Sequence[int]) -> int | None:
        """The head of a body without a joint of that name: up from where the arms join, where the single chain ends."""
        chest = self.common(*(self.parents[a] for a in arms))
        if chest is None:
            return None
        free = [c for c in self.children[chest] if not any(self.below(a, c) for a in arms)]
        if not free:
            return None
        joint = max(free, key=lambda c: self.lengths[c] + self.reach[c])
        while len(self.children[joint]) == 1:
            below = self.children[joint][0]
            face = self.lengths[below] < 0.025 * self.reach.max()  # jaw and eyes hang close to the head
            crown = self.reach[below] == 0.0 and self.lengths[below] > 1.5 * self.lengths[joint]  # an end without a bone
            if face or crown:
                break
            joint = below
        return joint


def _plain(name: str) -> str:
    return _PREFIX.sub("", name).casefold()


def _by_preset(names: Sequence[str]) -> tuple[str, dict[str, int]] | None:
    index: dict[str, int] = {}
    for i, name in enumerate(names):
        index.setdefault(_plain(name), i)
    for preset in _PRESETS:
        wanted = {"head": preset.head}
        for side, word in zip("lr", preset.sides, strict=True):
            wanted |= {f"{side}_{p}": t.format(word) for p, t in zip((*ARM, *LEG), preset.parts.split(), strict=True) if t != "-"}
        absent = [slot for slot, name in wanted.items() if name not in index]
        if all(slot[2:] in _OPTIONAL for slot in absent):
            return preset.name, {slot: index[name] for slot, name in wanted.items() if name in index}
    return None


def _words(name: str) -> tuple[str, str]:
    """The side ("l", "r" or "") and the joined words of a name: "mixamorig:LeftForeArm" → ("l", "forearm")."""
    side, words = "", []
    for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", _PREFIX.sub("", name)):
        low = word.casefold()
        if low in _SIDES and not side:
            side = _SIDES[low]
        elif low not in _NOISE:
            words.append(low)
    part = "".join(words)
    known = {w for options in _WORDS.values() for w in options}
    for prefix, found in sorted(_SIDES.items(), key=lambda item: -len(item[0])):  # "leftfoot", "lthigh"
        if not side and part not in known and part.startswith(prefix) and part[len(prefix) :] in known:
            return found, part[len(prefix) :]
    return side, part


def _by_words(names: Sequence[str], tree: _Tree) -> dict[str, int]:
    index: dict[tuple[str, str], int] = {}
    for i, name in enumerate(names):
        index.setdefault(_words(name), i)
    joints: dict[str, int] = {}
    for side in "lr":
        for part in _ORDER:
            for word in _WORDS[part]:
                joint = index.get((side, word))
                if joint is not None and joint not in joints.values():
                    joints[f"{side}_{part}"] = joint
                    break
    head = index.get(("", "head"))
    if head is None and "l_shoulder" in joints and "r_shoulder" in joints:
        head = tree.head_above([joints.get(f"{s}_collar", joints[f"{s}_shoulder"]) for s in "lr"])
    if head is not None and head not in joints.values():
        joints["head"] = head
    return joints


def _by_shape(tree: _Tree) -> dict[str, int] | None:
    """Legs are the first pair of equal long branches from the root, arms the next pair above them."""
    tallest = float(tree.reach.max())
    pairs: list[tuple[int, int, int]] = []  # node, branch, branch
    for node, children in enumerate(tree.children):
        best: tuple[float, int, int] | None = None
        for i, a in enumerate(children):
            for b in children[i + 1 :]:
                size = min(tree.reach[a], tree.reach[b])
                if size > 0.2 * tallest and _alike(tree, a, b) and (best is None or size > best[0]):
                    best = (size, a, b)
        if best:
            pairs.append((node, best[1], best[2]))
    for node, leg_a, leg_b in sorted(pairs, key=lambda p: tree.depth(p[0])):
        above = [p for p in pairs if p[0] != node and not tree.below(p[0], leg_a) and not tree.below(p[0], leg_b)]
        if not above:
            continue
        _, arm_a, arm_b = max(above, key=lambda p: float(tree.reach[p[1]]))
        legs, arms = [_limb(tree, leg) for leg in (leg_a, leg_b)], [_limb(tree, arm) for arm in (arm_a, arm_b)]
        head = tree.head_above([arm_a, arm_b])
        if head is None or any(len(limb) < 3 for limb in (*legs, *arms)):
            continue
        left_leg, left_arm = _sides(tree, legs, arms, head)
        joints = {"head": head}
        for side, leg, arm in (("l", legs[left_leg], arms[left_arm]), ("r", legs[1 - left_leg], arms[1 - left_arm])):
            joints |= {f"{side}_{part}": leg[part] for part in LEG if part in leg}
            renamed = {"before": "collar", "hip": "shoulder", "knee": "elbow", "ankle": "wrist"}
            joints |= {f"{side}_{renamed[part]}": joint for part, joint in arm.items() if part in renamed}
        return joints
    return None


def _alike(tree: _Tree, a: int, b: int) -> bool:
    """Whether two branches are as long as each other, bone by bone."""
    chains = [tree.main_chain(a), tree.main_chain(b)]
    lengths = [tree.lengths[chain[1:4]] for chain in chains]
    if len(lengths[0]) != len(lengths[1]) or len(lengths[0]) < 2:
        return False
    return bool(np.all(np.abs(lengths[0] - lengths[1]) < 0.1 * np.maximum(lengths[0], lengths[1])))


def _limb(tree: _Tree, start: int) -> dict[str, int]:
    """The joints of a limb: its two longest neighbouring bones are thigh and shin, or upper arm and forearm."""
    chain = tree.main_chain(start)
    bones = tree.lengths[chain[1:]]
    if len(bones) < 2:
        return {}
    top = int(np.argmax(bones[:-1] + bones[1:]))
    out = {part: chain[top + i] for i, part in enumerate(LEG) if top + i < len(chain)}
    if top > 0:
        out["before"] = chain[top - 1]
    return out


def _sides(tree: _Tree, legs: list[dict[str, int]], arms: list[dict[str, int]], head: int) -> tuple[int, int]:
    """Which leg (0 or 1) and which arm is the left one: up from feet to head, forward by toes, else by knees."""
    p = tree.heads
    ankles = np.array([p[leg["ankle"]] for leg in legs])
    up = normalize(p[head] - ankles.mean(axis=0))
    forward = np.zeros(3)
    for leg in legs:
        toe = p[leg["foot"]] if "foot" in leg else tree.tips[leg["ankle"]]
        if np.isfinite(toe).all():
            forward += toe - p[leg["ankle"]]
    size = float(np.linalg.norm(p[head] - ankles.mean(axis=0)))
    forward -= up * np.dot(forward, up)
    if np.linalg.norm(forward) < 0.02 * size:
        for leg in legs:
            forward += p[leg["knee"]] - 0.5 * (p[leg["hip"]] + p[leg["ankle"]])
        forward -= up * np.dot(forward, up)
    if np.linalg.norm(forward) < 1e-3 * size:
        raise MotionError(
            "unknown_skeleton",
            "The skeleton's names say nothing and its shape does not show which way it faces (no toes, straight knees), so left "
            "and right cannot be told apart. Name its bones in a common way (Mixamo, Rigify, SMPL).",
            details={"missing": "facing"},
        )
    left = np.cross(up, forward)
    hips, wrists = [p[leg["hip"]] for leg in legs], [p[arm["ankle"]] for arm in arms]
    return (0 if np.dot(hips[0] - hips[1], left) > 0 else 1), (0 if np.dot(wrists[0] - wrists[1], left) > 0 else 1)
