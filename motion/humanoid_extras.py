# SPDX-License-Identifier: GPL-3.0-or-later
"""What a skeleton has beside the body's joints: fingers, bones that share a limb's twist, and a root bone on the ground.

All of it is optional: what is not found for certain is left out. Knows no clip.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from . import humanoid_names as words
from .humanoid_names import FINGERS
from .humanoid_shape import Tree
from .quat import normalize

LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
_PHALANGES = 3
_CONTROLS = {"ik", "fk", "pole", "ctrl", "control", "mch", "twist", "target", "master", "drv", "prop"}  # in a finger's name
_ON_LINE = 0.06  # of the limb's length: so far beside its line a bone still lies along it
_ALONG = np.cos(np.radians(20.0))
_ON_GROUND = 0.18  # of the leg length, above or below the soles


def find_fingers(names: Sequence[str], tree: Tree, joints: Mapping[str, int], family: str) -> dict[str, tuple[int, ...]]:
    """ "l_thumb" … → its joints from the palm outwards, three at most: by names, and where these say nothing by geometry."""
    out: dict[str, tuple[int, ...]] = {}
    for side in "lr":
        wrist = joints.get(f"{side}_wrist")
        if wrist is None:
            continue
        below = [j for j in tree.subtree(wrist) if j != wrist]
        found = _named_fingers(names, tree, below, family) or _shaped_fingers(tree, wrist)
        out |= {f"{side}_{finger}": found[finger] for finger in FINGERS if finger in found}
    return out


def _named_fingers(names: Sequence[str], tree: Tree, below: Sequence[int], family: str) -> dict[str, tuple[int, ...]]:
    fingers: dict[str, list[int]] = {}
    for joint in below:
        finger = words.finger_of(names[joint], family)
        other = words.read(names[joint]).tokens & {
            "ik",
            "fk",
            "pole",
            "ctrl",
            "control",
            "mch",
            "twist",
            "target",
            "master",
            "drv",
            "prop",
        }
        if finger not in {"", "-"} and not other:
            fingers.setdefault(finger, []).append(joint)
    out: dict[str, tuple[int, ...]] = {}
    for finger, candidates in fingers.items():
        mine = set(candidates)
        tops = [j for j in candidates if not any(p in mine for p in _above(tree, j))]
        chains = [_chain(tree, top, mine) for top in tops]
        chain = max(chains, key=len)
        while len(chain) > 1 and (words.is_end(names[chain[-1]]) or (len(chain) > _PHALANGES and not tree.children[chain[-1]])):
            chain.pop()
        out[finger] = tuple(chain[-_PHALANGES:] if finger != "thumb" else chain[:_PHALANGES])
    return out


def _above(tree: Tree, joint: int) -> list[int]:
    return list(tree.path(-1, joint))[:-1]


def _chain(tree: Tree, top: int, mine: set[int]) -> list[int]:
    chain = [top]
    while below := [c for c in tree.children[chain[-1]] if c in mine]:
        chain.append(max(below, key=lambda c: tree.span[c]))
    return chain


def _shaped_fingers(tree: Tree, wrist: int) -> dict[str, tuple[int, ...]]:
    """Three to five chains that spread from a wrist: the one that begins closest to it is the thumb, the others follow it."""
    p = tree.heads
    chains: list[list[int]] = []
    for leaf in tree.subtree(wrist):
        if tree.children[leaf] or leaf == wrist:
            continue
        chain = [leaf]
        while (parent := tree.parents[chain[0]]) != wrist and len(tree.branches(parent)) == 1:
            chain.insert(0, parent)
        at = [float(np.linalg.norm(p[j] - p[wrist])) for j in chain]
        if len(chain) >= 3 and at[0] < 0.45 * at[1]:
            chain = chain[1:]  # a bone inside the palm
        if len(chain) >= 2 and all(b > 0.9 * a for a, b in itertools.pairwise(at)):
            chains.append(chain[:_PHALANGES])
    if not 3 <= len(chains) <= len(FINGERS):
        return {}
    starts = [float(np.linalg.norm(p[c[0]] - p[wrist])) for c in chains]
    thumb = int(np.argmin(starts))
    others = [c for i, c in enumerate(chains) if i != thumb]
    if starts[thumb] > 0.75 * float(np.median([s for i, s in enumerate(starts) if i != thumb])):
        return {}
    others.sort(key=lambda c: float(np.linalg.norm(p[c[0]] - p[chains[thumb][0]])))
    return dict(zip(FINGERS, (tuple(c) for c in (chains[thumb], *others)), strict=False))


def find_twists(
    names: Sequence[str], tree: Tree, joints: Mapping[str, int], trunk: AbstractSet[int]
) -> dict[str, tuple[int, ...]]:
    """ "l_shoulder", "l_elbow", "l_hip", "l_knee" … → bones that lie along that limb and share its twist, from the top down."""
    used = {*joints.values(), *trunk}
    out: dict[str, tuple[int, ...]] = {}
    for side in "lr":
        for top, bottom in LIMBS:
            a, b = joints.get(f"{side}_{top}"), joints.get(f"{side}_{bottom}")
            if a is None or b is None:
                continue
            if found := _along(names, tree, a, b, used):
                out[f"{side}_{top}"] = tuple(found)
    return out


def _along(names: Sequence[str], tree: Tree, a: int, b: int, used: set[int]) -> list[int]:
    start, line = tree.heads[a], tree.heads[b] - tree.heads[a]
    length = float(np.linalg.norm(line))
    if length <= 0.0:
        return []
    inline = [j for j in tree.path(a, b)[:-1] if j not in used]
    on_path = {a, b, *inline}

    def place(joint: int) -> float | None:
        """How far along the limb a joint lies, 0 to 1; nothing when beside it."""
        t = float(np.dot(tree.heads[joint] - start, line)) / length**2
        aside = float(np.linalg.norm(tree.heads[joint] - start - t * line)) / length
        return t if aside < _ON_LINE and -0.03 <= t <= 1.03 else None

    def points_along(joint: int) -> bool:
        tip = tree.tips[joint] - tree.heads[joint]
        if not np.isfinite(tip).all() or float(np.linalg.norm(tip)) < 1e-3 * length:
            return True
        return abs(float(np.dot(normalize(tip), line / length))) > float(_ALONG)

    chosen = {j: t for j in inline if (t := place(j)) is not None and not words.read(names[j]).share}
    sides = [c for j in (a, *inline) for c in tree.children[j] if c not in on_path]
    sides += [c for c in tree.children[tree.parents[a]] if c != a and words.read(names[c]).twist] if tree.parents[a] >= 0 else []
    for branch in sides:
        bones = [j for j in tree.subtree(branch) if not words.is_end(names[j])]
        read = [words.read(names[j]) for j in bones]
        if not bones or set(bones) & used or any(w.share for w in read):
            continue
        named = all(w.twist for w in read)
        if not named and any(w.extra for w in read):
            continue
        places = [place(j) for j in bones]
        if any(t is None for t in places) or not (named or all(points_along(j) for j in bones)):
            continue
        if named or any(0.03 < t < 0.97 for t in places if t is not None):
            chosen |= {j: t for j, t in zip(bones, places, strict=True) if t is not None}
    return sorted(chosen, key=lambda j: (chosen[j], len(tree.path(-1, j))))


def find_root(names: Sequence[str], tree: Tree, joints: Mapping[str, int]) -> int:
    """The bone above the pelvis that stands for the character's place: the topmost called so, or lying on the ground; else -1."""
    above = _above(tree, joints["pelvis"])
    if not above:
        return -1
    p = tree.heads
    hips = 0.5 * (p[joints["l_hip"]] + p[joints["r_hip"]])
    shoulders = 0.5 * (p[joints["l_shoulder"]] + p[joints["r_shoulder"]])
    up = normalize(shoulders - hips)
    leg = 0.5 * sum(tree.lengths_between(*(joints[f"{s}_{part}"] for part in ("hip", "knee", "ankle"))) for s in "lr")
    feet = [joints[f"{s}_{part}"] for s in "lr" for part in ("ankle", "foot") if f"{s}_{part}" in joints]
    ground = float(min(p[feet] @ up))
    for joint in above:
        height = float(p[joint] @ up) - ground
        if words.is_root(names[joint]) or -_ON_GROUND * leg - 0.1 * leg < height < _ON_GROUND * leg:
            return joint
    return -1
