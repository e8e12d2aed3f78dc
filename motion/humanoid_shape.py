# SPDX-License-Identifier: GPL-3.0-or-later
"""A skeleton as a tree in space, and the body in it by shape alone: pairs of equal limbs, the trunk between them, the head above.

Lengths decide what is a limb, since they are the same in every pose; directions only break ties, and say which side is left.
Knows no clip, and of names only whether one forbids a part.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .humanoid_names import ARM, LEG
from .quat import Array, normalize
from .skeleton import Ints

REQUIRED = ("pelvis", "head", *(f"{s}_{part}" for s in "lr" for part in ("hip", "knee", "ankle", "shoulder", "elbow")))
_SAME_PLACE = 2e-3  # of the skeleton's size
_ALIKE = 0.14  # how much bones of left and right may differ, of the longer
_STRAIGHT = float(np.cos(np.radians(4.0)))  # parts of one bone follow each other so
_PIECES = float(np.cos(np.radians(1.0)))  # and mostly so
_BENDS = 0.15  # for a joint at which a limb bends more than that
_CROWN = 0.5  # of the trunk: a joint so far above the shoulders is the top of the head, not its base
_FACE = 0.06  # of the trunk: a joint so close above another is the face, not one more of the neck
_LEAST = 4.7  # how well limbs must look like a body's; most bodies have 5.5 and more
_BEST_REST = 3.0  # what there can be at the most for all but the limbs themselves
_SMALLEST = 0.25  # of the skeleton's reach: leg and trunk together, at the least
_IN_PIECES = 0.17  # off a limb's likelihood for each joint inside one of its bones
_PAIRS = 12  # limbs that are looked at closer, the longest ones


class Tree:
    """Questions about a skeleton as a tree in space."""

    def __init__(self, parents: Ints, heads: Array, tips: Array | None) -> None:
        self.parents = [int(p) for p in parents]
        self.heads = heads
        self.tips = np.full_like(heads, np.nan) if tips is None else tips
        self.children: list[list[int]] = [[] for _ in self.parents]
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                self.children[parent].append(joint)
        above = heads[np.maximum(parents, 0)]
        self.lengths = np.where(np.asarray(parents) >= 0, np.linalg.norm(heads - above, axis=1), 0.0)  # [J] from the parent
        tip_lengths = np.nan_to_num(np.linalg.norm(self.tips - heads, axis=1))
        self.reach = np.zeros(len(heads))  # [J] length of the longest chain below, tips included
        self.span = np.zeros(len(heads))  # [J] the same between joints only
        for joint in reversed(range(len(heads))):
            below = self.children[joint]
            self.reach[joint] = max([self.lengths[c] + self.reach[c] for c in below], default=tip_lengths[joint])
            self.span[joint] = max([self.lengths[c] + self.span[c] for c in below], default=0.0)
        self.size = float(self.reach.max(initial=0.0))

    def path(self, top: int, bottom: int) -> tuple[int, ...]:
        """Joints below `top` down to and with `bottom`; nothing when `bottom` is not below it."""
        out: list[int] = []
        while bottom not in {top, -1}:
            out.append(bottom)
            bottom = self.parents[bottom]
        return tuple(reversed(out)) if bottom == top else ()

    def below(self, joint: int, top: int) -> bool:
        while joint not in {top, -1}:
            joint = self.parents[joint]
        return joint == top

    def common(self, first: int, *others: int) -> int | None:
        """The lowest joint that is above all of them (or one of them), or None."""
        while first >= 0 and not all(self.below(other, first) for other in others):
            first = self.parents[first]
        return first if first >= 0 else None

    def subtree(self, joint: int) -> list[int]:
        out: list[int] = []
        waiting = [joint]
        while waiting:
            joint = waiting.pop()
            out.append(joint)
            waiting.extend(self.children[joint])
        return out

    def same_place(self, a: int, b: int) -> bool:
        return bool(np.linalg.norm(self.heads[a] - self.heads[b]) <= _SAME_PLACE * self.size)

    def lengths_between(self, *joints: int) -> float:
        return float(sum(np.linalg.norm(self.heads[a] - self.heads[b]) for a, b in itertools.pairwise(joints)))

    @cached_property
    def lift(self) -> list[int]:
        """Per joint the topmost of the joints that lie where it lies, one above the other."""
        out = list(range(len(self.parents)))
        for joint, parent in enumerate(self.parents):
            if parent >= 0 and self.lengths[joint] <= _SAME_PLACE * self.size:
                out[joint] = out[parent]
        return out

    def branches(self, node: int) -> list[int]:
        """The children of all joints that lie where `node` lies, themselves left out."""
        out: list[int] = []
        waiting = [node]
        while waiting:
            for child in self.children[waiting.pop()]:
                (waiting if self.lift[child] == node else out).append(child)
        return out

    def main_chain(self, joint: int) -> list[int]:
        """Down the longest branch, leaving out joints that lie where their parent lies. Single bones count less than chains."""
        chain = [joint]
        while True:
            options = self.branches(joint)
            if not options:
                return chain
            chains = [c for c in options if self.children[c]]
            joint = max(
                options, key=lambda c: (self.lengths[c] + self.span[c]) * (0.5 if chains and not self.children[c] else 1.0)
            )
            chain.append(joint)

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
        used = list(joints.values())
        if len(set(used)) != len(used):
            return "left and right share joints"
        if self.common(joints["l_hip"], joints["r_hip"], joints["head"], joints["l_shoulder"], joints["r_shoulder"]) is None:
            return "legs, arms and head do not hang together"
        for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow")):
            for side in "lr":
                if self.same_place(joints[f"{side}_{a}"], joints[f"{side}_{b}"]):
                    return f"there is no length between {side}_{a} and {side}_{b}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limb:
    """Two long bones in a row, found in a chain."""

    base: int  # the branch's first joint
    chain: tuple[int, ...]
    top: int
    middle: int
    end: int | None  # None: only a tip
    after: int | None
    before: int | None
    upper: float  # lengths
    lower: float
    offset: float  # from where the branch begins to `top`
    fan: bool  # fingers or toes spread from `end`
    score: float

    @property
    def length(self) -> float:
        return self.upper + self.lower

    def joints(self, *, arm: bool) -> dict[str, int]:
        names = ("shoulder", "elbow", "wrist") if arm else ("hip", "knee", "ankle")
        out = {n: j for n, j in zip(names, (self.top, self.middle, self.end), strict=True) if j is not None}
        if arm and self.before is not None:
            out["collar"] = self.before
        if not arm and self.after is not None:
            out["foot"] = self.after
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A body found by shape, its sides not yet told apart."""

    legs: tuple[_Limb, _Limb]
    arms: tuple[_Limb, _Limb]
    head: int
    score: float
    hips: Array  # [3] the middle between the hips

    def joints(self, *, legs_left: int, arms_left: int) -> dict[str, int]:
        out = {"head": self.head}
        for limbs, left, arm in ((self.legs, legs_left, False), (self.arms, arms_left, True)):
            for side, limb in (("l", limbs[left]), ("r", limbs[1 - left])):
                out |= {f"{side}_{part}": joint for part, joint in limb.joints(arm=arm).items()}
        return out

    def used(self) -> set[int]:
        return {joint for limb in (*self.legs, *self.arms) for joint in limb.chain} | {self.head}


def bodies(tree: Tree, forbidden: Callable[[int, str], bool]) -> list[Body]:
    """All bodies that the tree can be read as, the best first. `forbidden(joint, part)`: its name says that it is none."""
    if tree.size <= 0.0:
        return []
    pairs = {arm: _pairs(tree, forbidden, arm=arm) for arm in (False, True)}
    found: list[Body] = []
    for (hip_node, *legs), (chest_node, *arms) in itertools.product(pairs[False], pairs[True]):
        body = _body(tree, hip_node, legs, chest_node, arms)
        if body is not None:
            found.append(body)
    return sorted(found, key=lambda b: -b.score)


def _pairs(tree: Tree, forbidden: Callable[[int, str], bool], *, arm: bool) -> list[tuple[int, _Limb, _Limb]]:
    """Pairs of equal limbs that begin at one place, the longest first."""
    out: list[tuple[int, _Limb, _Limb]] = []
    for node in range(len(tree.parents)):
        if tree.lift[node] != node:
            continue
        options = [c for c in tree.branches(node) if tree.reach[c] + tree.lengths[c] > 0.12 * tree.size]
        if len(options) < 2:
            continue
        limbs = [limb for c in options if (limb := _limb(tree, c, arm=arm)) is not None]
        parts = ("shoulder", "elbow") if arm else ("hip", "knee")
        limbs = [limb for limb in limbs if not any(forbidden(j, p) for j, p in zip((limb.top, limb.middle), parts, strict=True))]
        out += [(node, a, b) for a, b in itertools.combinations(limbs, 2) if _alike(a, b, tree.size)]
    return sorted(out, key=lambda p: -(p[1].length + p[2].length))[:_PAIRS]


def _alike(a: _Limb, b: _Limb, size: float) -> bool:
    def near(x: float, y: float) -> bool:
        return abs(x - y) <= _ALIKE * max(x, y) + 0.01 * size

    both_end = (a.end is None) == (b.end is None)
    return both_end and near(a.upper, b.upper) and near(a.lower, b.lower) and near(a.offset, b.offset)


def _limb(tree: Tree, start: int, *, arm: bool) -> _Limb | None:
    """The two long bones of a branch: neighbours of like length that make up most of it, each straight, whole if possible."""
    chain = tree.main_chain(start)
    fan = next((i for i, j in enumerate(chain) if sum(bool(tree.children[c]) for c in tree.branches(j)) >= 3), len(chain))
    points = [tree.heads[j] for j in chain]
    tip = tree.tips[chain[-1]]
    has_tip = bool(np.isfinite(tip).all())
    if arm and fan == len(chain) <= 3 and has_tip:
        # A forearm without a hand ends at its tip; what is held in a hand is longer.
        before = np.linalg.norm(points[-1] - points[-2]) if len(points) > 1 else 0.0
        points += [tip] if np.linalg.norm(tip - points[-1]) < 1.5 * before else []
    last = min(len(points) - 1, fan)  # the wrist or ankle at the latest
    if last < 2:
        return None
    at = np.array(points)
    ways = np.diff(at, axis=0)
    steps: list[float] = np.linalg.norm(ways, axis=1).tolist()
    ways = normalize(ways)
    # How straight the chain goes on at each of its points, as a cosine; the first one has nothing before it.
    goes_on: list[float] = [1.0, *np.sum(ways[1:] * ways[:-1], axis=1).tolist()]
    total = sum(steps[:last])
    if not arm:  # a foot counts too, and strips of cloth have none: theirs is as long as their other bones
        total += steps[last] if last < len(steps) else float(np.linalg.norm(tip - points[-1])) if has_tip else 0.0
    if total <= 0.0:
        return None
    best: tuple[float, float, int, int, int] | None = None
    for top, middle, end in itertools.combinations(range(min(last + 1, 12)), 3):
        upper, lower = sum(steps[top:middle]), sum(steps[middle:end])
        if min(upper, lower) <= 0.0:
            continue
        inside = (middle - top - 1) + (end - middle - 1)
        if inside and (end == len(chain) or min((*goes_on[top + 1 : middle], *goes_on[middle + 1 : end])) < _STRAIGHT):
            continue
        ratio = abs(math.log(upper / lower))
        score = (upper + lower) / total - 0.5 * max(0.0, ratio - 0.25)
        # A collar comes before an arm, a foot after a leg.
        if arm:
            score += 0.08 * (top > 0)
        else:
            score += 0.03 * (top == 0) + 0.05 * (end < len(points) - 1 or has_tip)
        score += 0.25 * (arm and end == fan < len(chain))
        # Bones in one piece are likelier, and a joint at which they bend; that a limb is in pieces says nothing against it.
        choice = score - _IN_PIECES * inside + _BENDS * (goes_on[middle] < _PIECES)
        if best is None or choice > best[0]:
            best = (choice, score, top, middle, end)
    if best is None:
        return None
    _, score, top, middle, end = best
    parent = tree.parents[start]
    return _Limb(
        base=start,
        chain=tuple(chain),
        top=chain[top],
        middle=chain[middle],
        end=chain[end] if end < len(chain) else None,
        after=chain[end + 1] if end + 1 < len(chain) else None,
        before=chain[top - 1] if top > 0 else None,
        upper=sum(steps[top:middle]),
        lower=sum(steps[middle:end]),
        offset=float(np.linalg.norm(at[top] - tree.heads[parent])) if parent >= 0 else 0.0,
        fan=end == fan < len(chain),
        score=score,
    )


def _body(tree: Tree, hip_node: int, legs: Sequence[_Limb], chest_node: int, arms: Sequence[_Limb]) -> Body | None:
    """The body with these limbs and how well it looks like one, or nothing."""
    if hip_node == chest_node and {leg.base for leg in legs} & {a.base for a in arms}:
        return None
    if any(tree.below(chest_node, leg.base) for leg in legs) or any(tree.below(hip_node, arm.base) for arm in arms):
        return None
    if any(leg.end is None for leg in legs):
        return None
    limbs = sum(limb.score for limb in (*legs, *arms))
    if limbs + _BEST_REST < _LEAST:
        return None
    p = tree.heads
    top = tree.common(hip_node, chest_node)
    if top is None:
        return None
    hips = 0.5 * (p[legs[0].top] + p[legs[1].top])
    shoulders = 0.5 * (p[arms[0].top] + p[arms[1].top])
    leg, arm = 0.5 * (legs[0].length + legs[1].length), 0.5 * (arms[0].length + arms[1].length)
    trunk = float(np.linalg.norm(shoulders - hips))
    if arm < 0.2 * leg or leg < 0.15 * arm or trunk < 0.1 * max(leg, arm) or leg + trunk < _SMALLEST * tree.size:
        return None
    across_hips = normalize(p[legs[0].top] - p[legs[1].top])
    across_arms = normalize(p[arms[0].top] - p[arms[1].top])
    up = normalize(shoulders - hips)
    down = normalize(sum((normalize(p[limb.end] - p[limb.top]) for limb in legs if limb.end is not None), np.zeros(3)))
    score = limbs + 1.0 * tree.below(chest_node, hip_node) - 0.6 * (tree.below(hip_node, chest_node) and hip_node != chest_node)
    score += 0.6 * all(a.fan for a in arms) + 0.15 * all(a.before is not None for a in arms)
    score += 0.3 * all(limb.after is not None or np.isfinite(tree.tips[limb.chain[-1]]).all() for limb in legs)
    score -= 0.3 * any(limb.end is None for limb in arms)
    score -= 0.3 * abs(float(np.log(arm / (0.7 * leg)))) + 0.4 * abs(float(np.log(trunk / (0.6 * leg))))
    score += 0.4 * abs(float(np.dot(across_hips, across_arms))) - 0.5 * float(np.dot(down, up))
    score -= 0.6 * abs(float(np.dot(across_hips, up)))
    if score < _LEAST:
        return None
    head = find_head(tree, hips, shoulders, chest_node, [limb.base for limb in arms], [limb.base for limb in legs])
    if head is None:
        return None
    return Body(legs=(legs[0], legs[1]), arms=(arms[0], arms[1]), head=head, score=score, hips=hips)


def find_head(tree: Tree, hips: Array, shoulders: Array, chest: int, arms: Iterable[int], legs: Iterable[int] = ()) -> int | None:
    """The head's joint: up from where the arms join, in the middle, up to where the face begins or the crown would be."""
    up = normalize(shoulders - hips)
    trunk = float(np.linalg.norm(shoulders - hips))
    limbs = [*arms, *legs]
    node: int | None = tree.lift[chest]
    while node is not None and node >= 0:
        free = [c for c in tree.branches(node) if not any(tree.below(limb, c) for limb in limbs)]
        options = [(quality, c) for c in free if (quality := _upward(tree, c, shoulders, up, trunk)) > 0.0]
        if options:
            break
        # The neck may go off below where the arms do.
        node = (
            tree.lift[tree.parents[node]]
            if tree.parents[node] >= 0 and not any(tree.below(limb, node) for limb in legs)
            else None
        )
    else:
        return None
    joint = max(options)[1]
    while True:
        below = tree.branches(joint)
        if not below or _has_face(tree, below, up, trunk):
            return joint
        ahead = max(below, key=lambda c: float(np.dot(_highest(tree, c, up) - tree.heads[joint], up)) + 1e-3 * tree.span[c])
        height = float(np.dot(tree.heads[ahead] - shoulders, up))
        rise = float(np.dot(normalize(tree.heads[ahead] - tree.heads[joint]), up))
        if height > _CROWN * trunk or rise < 0.5 or tree.lengths[ahead] < _FACE * trunk:
            return joint
        joint = ahead


def _highest(tree: Tree, joint: int, up: Array) -> Array:
    points = tree.heads[tree.subtree(joint)]
    return np.asarray(points[int(np.argmax(points @ up))])


def _upward(tree: Tree, joint: int, shoulders: Array, up: Array, trunk: float) -> float:
    """How much a branch of the chest looks like the neck: it goes up, close to the middle. 0: not at all."""
    highest = _highest(tree, joint, up)
    tip = tree.tips[joint]
    if not tree.children[joint] and np.isfinite(tip).all():
        highest = tip
    rise = float(np.dot(highest - shoulders, up))
    first = tree.heads[joint] - shoulders
    aside = float(np.linalg.norm(first - up * np.dot(first, up)))
    lean = highest - tree.heads[joint]
    lean_aside = float(np.linalg.norm(lean - up * np.dot(lean, up)))
    if rise < 0.05 * trunk and not (
        not tree.children[joint] and not np.isfinite(tip).all() and float(np.dot(first, up)) > -0.1 * trunk
    ):
        return 0.0
    return max(1e-3, trunk + rise - 1.5 * aside - 0.7 * lean_aside)


def _has_face(tree: Tree, below: Sequence[int], up: Array, trunk: float) -> bool:
    """Whether branches go off in a pair to both sides: eyes, ears."""
    for a, b in itertools.combinations(below, 2):
        near = abs(tree.lengths[a] - tree.lengths[b]) < 0.1 * max(tree.lengths[a], tree.lengths[b])
        apart = tree.heads[a] - tree.heads[b]
        if near and np.linalg.norm(apart) > 0.03 * trunk and abs(np.dot(normalize(apart), up)) < 0.3:
            return True
    return False


# Which side is left


@dataclass(frozen=True, slots=True, kw_only=True)
class Facing:
    """What shows which way a body looks: above zero where it agrees with the sides of the joints, in leg lengths; 0: nothing."""

    toes: float
    knees: float
    elbows: float
    face: float

    @property
    def total(self) -> float:
        return 3.0 * self.toes + 2.0 * self.knees + 0.5 * self.elbows + self.face


def facing(tree: Tree, joints: Mapping[str, int], face: Sequence[int] = ()) -> Facing:
    """Whether a body with these joints looks where its left and right say. `face`: joints that are known to lie ahead."""
    p = tree.heads
    hips = 0.5 * (p[joints["l_hip"]] + p[joints["r_hip"]])
    shoulders = 0.5 * (p[joints["l_shoulder"]] + p[joints["r_shoulder"]])
    up = normalize(shoulders - hips)
    ahead = normalize(np.cross(p[joints["l_hip"]] - p[joints["r_hip"]], up))
    leg = 0.5 * sum(tree.lengths_between(joints[f"{s}_hip"], joints[f"{s}_knee"], joints[f"{s}_ankle"]) for s in "lr")
    toes = knees = elbows = 0.0
    signs = []
    for side in "lr":
        ankle = joints[f"{side}_ankle"]
        ends = [p[joints[f"{side}_foot"]], tree.tips[joints[f"{side}_foot"]]] if f"{side}_foot" in joints else []
        ends.append(tree.tips[ankle])
        steps = [end - p[ankle] for end in ends if np.isfinite(end).all()]
        if steps:
            step = max(steps, key=lambda v: float(np.linalg.norm(v - up * np.dot(v, up))))
            signs.append(float(np.dot(step, ahead)) / leg)
        knees += 0.5 * float(np.dot(_bend(p, joints, side, ("hip", "knee", "ankle")), ahead)) / leg
        if f"{side}_wrist" in joints:
            elbows -= 0.5 * float(np.dot(_bend(p, joints, side, ("shoulder", "elbow", "wrist")), ahead)) / leg
    if signs:
        toes = float(np.mean(signs)) if min(signs) * max(signs) > 0.0 else 0.3 * float(np.mean(signs))
    looks = float(np.dot(p[list(face)].mean(axis=0) - p[joints["head"]], ahead)) / leg if len(face) else 0.0
    return Facing(toes=toes, knees=knees, elbows=elbows, face=looks)


def _bend(p: Array, joints: Mapping[str, int], side: str, parts: tuple[str, str, str]) -> Array:
    top, middle, end = (p[joints[f"{side}_{part}"]] for part in parts)
    along = end - top
    share = np.dot(middle - top, along) / max(float(np.dot(along, along)), 1e-12)
    return np.asarray(middle - top - share * along)


def upright(tree: Tree, joints: Mapping[str, int]) -> bool:
    """Whether the pose is a stance: thighs and shins go down from a trunk that goes up."""
    p = tree.heads
    hips = 0.5 * (p[joints["l_hip"]] + p[joints["r_hip"]])
    up = normalize(0.5 * (p[joints["l_shoulder"]] + p[joints["r_shoulder"]]) - hips)
    steps = [p[joints[f"{s}_{b}"]] - p[joints[f"{s}_{a}"]] for s in "lr" for a, b in (("hip", "knee"), ("knee", "ankle"))]
    return all(float(np.dot(normalize(step), up)) < -0.7 for step in steps)


def four_footed(tree: Tree, joints: Mapping[str, int]) -> bool:
    """Whether a body stands on four legs: trunk level, all limbs straight down from it, hands and feet on one level."""
    p = tree.heads
    hips = 0.5 * (p[joints["l_hip"]] + p[joints["r_hip"]])
    shoulders = 0.5 * (p[joints["l_shoulder"]] + p[joints["r_shoulder"]])
    along = normalize(shoulders - hips)
    legs = sum(p[joints[f"{s}_ankle"]] - p[joints[f"{s}_hip"]] for s in "lr")
    arms = sum(p[joints.get(f"{s}_wrist", joints[f"{s}_elbow"])] - p[joints[f"{s}_shoulder"]] for s in "lr")
    size = float(np.linalg.norm(legs))
    if size <= 0.0 or np.linalg.norm(arms) < 0.3 * size:
        return False
    down, reach = normalize(legs), normalize(arms)
    return bool(abs(np.dot(along, down)) < 0.6 and abs(np.dot(along, reach)) < 0.6 and np.dot(down, reach) > 0.75)
