# SPDX-License-Identifier: GPL-3.0-or-later
"""Thirty families of rigs, whole, renamed and scrambled: every joint, finger, twist bone and root is what it is called."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from motion_queue.motion.errors import MotionError
from motion_queue.motion.humanoid import JointMap, find_joints
from motion_queue.scripts.bench.map_rigs import (
    EXTRAS,
    FAMILIES,
    POSES,
    SIDE_FORMS,
    Family,
    MapRig,
    build,
    reordered,
    scrambled,
    with_sides,
)
from motion_queue.scripts.bench.retarget_map import compare, measure, swapped

NAMED = {family.name: family for family in FAMILIES}
families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def find(rig: MapRig) -> JointMap:
    return find_joints(rig.names, rig.parents, rig.heads, rig.tails)


@families
def test_a_family_is_recognised_with_all_it_has(family: Family) -> None:
    for pose in POSES:
        rig = build(family, pose)
        found = find(reordered(rig, seed=4))
        rig = reordered(rig, seed=4)
        assert found.preset == family.preset
        assert {name: found.get(name) for name in rig.joints} == rig.joints
        assert (found.spine, found.neck, found.root) == (rig.spine, rig.neck, rig.root)
        assert (dict(found.fingers), dict(found.twists)) == (rig.fingers, rig.twists)
        assert set(found.confidence.values()) == {1.0}


@families
@pytest.mark.parametrize("extra", EXTRAS)
def test_what_rigs_have_beside_a_body_changes_nothing(family: Family, extra: str) -> None:
    rig = build(family, "A", extras=[extra])
    found = find(rig)
    assert compare(rig, found) == (len(rig.core()), "")
    assert (dict(found.fingers), dict(found.twists), found.root) == (rig.fingers, rig.twists, rig.root)
    shuffled = scrambled(rig, seed=len(extra))
    assert compare(shuffled, find(shuffled)) == (len(rig.core()), "")


@families
def test_scrambled_names_give_the_same_body_in_every_pose(family: Family) -> None:
    for seed, pose in enumerate(POSES):
        rig = scrambled(build(family, pose), seed)
        found = find(rig)
        assert compare(rig, found) == (len(rig.core()), "")
        assert found.preset == "shape" and max(found.confidence.values()) <= 0.6


@pytest.mark.parametrize("name", ["mixamo0", "ue5", "cc_base", "unity", "makehuman", "rigify_deform", "daz8"])
def test_scrambled_names_give_the_same_fingers_and_twist_bones(name: str) -> None:
    rig = scrambled(build(NAMED[name], "A"), seed=9)
    found = find(rig)
    assert dict(found.fingers) == rig.fingers
    assert dict(found.twists) == rig.twists


@families
@pytest.mark.parametrize("form", SIDE_FORMS)
def test_sides_may_be_written_in_any_way(family: Family, form: str) -> None:
    rig = with_sides(build(family), form)
    assert compare(rig, find(rig)) == (len(rig.core()), "")


@pytest.mark.parametrize(("legs", "arms"), [(0.35, 0.5), (0.5, 0.5), (0.6, 1.0), (1.0, 0.6), (1.3, 1.0), (1.0, 1.4)])
@pytest.mark.parametrize("name", ["mixamo0", "kaykit", "vrm", "smpl"])
def test_short_and_long_limbs_are_limbs(name: str, legs: float, arms: float) -> None:
    rig = scrambled(build(NAMED[name], "A", legs=legs, arms=arms), seed=2)
    assert compare(rig, find(rig)) == (len(rig.core()), "")


def test_the_measure_finds_planted_faults() -> None:
    rig = build(NAMED["mixamo0"])
    found = find(rig)
    assert not swapped(rig, found)
    crossed = dict(found.joints) | {"l_knee": found["r_knee"], "r_knee": found["l_knee"]}
    wrong = replace(found, joints=crossed)
    assert swapped(rig, wrong)
    right, text = compare(rig, wrong)
    assert right == len(rig.core()) - 2 and "l_knee is mixamorig:RightLeg" in text
    assert compare(rig, None) == (0, "refused")


def test_the_shares_reach_their_targets() -> None:
    found = measure(seeds=1)
    assert (found["preset"], found["sides"]) == (1.0, 1.0), found["wrong"]
    assert found["scrambled"] >= 0.95
    assert found["swapped"] == 0


# Left and right


def mirrored(rig: MapRig) -> MapRig:
    """The same body reflected: what its names call left is on the other side of where it looks."""
    flip = np.array([-1.0, 1.0, 1.0])
    return replace(rig, heads=rig.heads * flip, tails=rig.tails * flip)


@pytest.mark.parametrize("name", ["mixamo0", "smpl", "rigify_metarig", "ue5", "unity"])
def test_a_mirrored_skeleton_is_read_by_where_its_toes_point(name: str) -> None:
    rig = build(NAMED[name])
    found = find(mirrored(rig))
    assert found["l_hip"] == rig.joints["r_hip"] and found["l_wrist"] == rig.joints["r_wrist"]
    assert {k: v for k, v in found.fingers.items() if k[0] == "l"} == {
        f"l_{k[2:]}": v for k, v in rig.fingers.items() if k[0] == "r"
    }


def test_names_decide_the_sides_where_the_shape_shows_little() -> None:
    rig = build(NAMED["kaykit"])
    heads, tails = rig.heads.copy(), rig.tails.copy()
    heads[:, 1] = tails[:, 1] = 0.0  # flat as paper: neither toes nor knees point anywhere
    found = find_joints(rig.names, rig.parents, heads, tails)
    assert compare(rig, found) == (len(rig.core()), "")


def test_toes_alone_do_not_overrule_names() -> None:
    rig = build(NAMED["mixamo0"])
    heads, tails = rig.heads.copy(), rig.tails.copy()
    for side in "lr":
        ankle, toe = rig.joints[f"{side}_ankle"], rig.joints[f"{side}_foot"]
        for points, bone in ((heads, toe), (tails, toe), (tails, ankle)):
            points[bone, 1] = 2.0 * heads[ankle, 1] - points[bone, 1]
    assert not swapped(rig, find_joints(rig.names, rig.parents, heads, tails))


def test_a_body_that_shows_no_side_and_says_none_is_refused() -> None:
    rig = scrambled(build(NAMED["kaykit"]), seed=1)
    heads, tails = rig.heads.copy(), rig.tails.copy()
    heads[:, 1] = tails[:, 1] = 0.0
    with pytest.raises(MotionError) as caught:
        find_joints(rig.names, rig.parents, heads, tails)
    assert (caught.value.code, caught.value.details["missing"]) == ("unknown_skeleton", "facing")


# How sure


def test_a_limb_of_another_length_than_its_twin_is_less_sure() -> None:
    rig = build(NAMED["mixamo0"])
    heads, tails = rig.heads.copy(), rig.tails.copy()
    hand = [rig.joints["l_wrist"], *(j for k, chain in rig.fingers.items() if k[0] == "l" for j in chain)]
    shift = 0.5 * (heads[rig.joints["l_elbow"]] - heads[rig.joints["l_wrist"]])
    heads[hand] += shift
    tails[hand] += shift
    sure = find_joints(rig.names, rig.parents, heads, tails).confidence
    assert sure["l_elbow"] < 0.5 and sure["r_wrist"] < 0.5
    assert sure["l_knee"] == sure["pelvis"] == 1.0


def test_words_are_less_sure_than_a_family_and_shape_less_than_words() -> None:
    rig = build(NAMED["mixamo0"])
    family, words = find(rig), find(with_sides(rig, "{}.L"))
    shape = find(scrambled(rig, seed=0))
    assert min(family.confidence.values()) > max(words.confidence.values()) > max(shape.confidence.values())
    assert {words.found[f"l_{part}"] for part in ("hip", "elbow")} == {"words"}


# What is no human body


def bones(*chains: tuple[str, str, tuple[float, float, float], tuple[float, float, float], int]) -> MapRig:
    """A rig of straight chains: name, parent, start, end, bones."""
    rig = build(NAMED["smpl"])
    names: list[str] = []
    parents: list[int] = []
    heads: list[np.ndarray] = []
    tails: list[np.ndarray] = []
    for name, parent, start, end, count in chains:
        points = np.linspace(start, end, count + 1)
        for i in range(count):
            parents.append(names.index(parent) if i == 0 and parent else len(names) - 1 if i else -1)
            names.append(f"{name}{i}")
            heads.append(points[i])
            tails.append(points[i + 1])
    return replace(rig, names=tuple(names), parents=np.array(parents), heads=np.array(heads), tails=np.array(tails))


HAND = [("palm", "", (0, 0, 0), (0, 0, 0.1), 1)] + [
    (f"f{i}", "palm0", (0.02 * i, 0, 0.1), (0.03 * i, 0.01, 0.18), 3) for i in range(5)
]
LEGS = [(0.12, 0.5, "spine0"), (-0.12, 0.5, "spine0"), (0.12, -0.4, "spine3"), (-0.12, -0.4, "spine3")]
QUADRUPED = [
    ("spine", "", (0, 0.5, 0.8), (0, -0.4, 0.85), 4),
    ("neck", "spine3", (0, -0.4, 0.85), (0, -0.8, 1.2), 3),
    *((f"leg{i}", parent, (x, y, 0.75), (x, y - 0.05, 0.02), 3) for i, (x, y, parent) in enumerate(LEGS)),
]
TREE = [
    ("trunk", "", (0, 0, 0), (0, 0, 1), 3),
    *((f"twig{i}", "trunk2", (0, 0, 1), (np.cos(i), np.sin(i), 2), 3) for i in range(9)),
]


@pytest.mark.parametrize(
    "chains",
    [
        [("only", "", (0, 0, 0), (0, 0, 1), 1)],
        [("tail", "", (0, 0, 0), (0, 0, 1), 30)],
        HAND,
        QUADRUPED,
        TREE,
    ],
    ids=["a bone", "a chain", "a hand", "a quadruped", "a tree"],
)  # fmt: skip
def test_what_is_no_body_is_refused(chains: list[Any]) -> None:
    rig = bones(*chains)
    with pytest.raises(MotionError) as caught:
        find(rig)
    assert caught.value.code == "unknown_skeleton" and caught.value.details["missing"]


def test_a_quadruped_with_the_names_of_a_biped_is_refused() -> None:
    rig = build(NAMED["biped"], "forward")
    heads = rig.heads.copy()
    # Legs and trunk of somebody who stands on hands and feet, as riggers lay a Biped into a horse.
    turned = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=float)
    legs = [j for j, _ in enumerate(rig.names) if any(w in rig.names[j] for w in ("Thigh", "Calf", "Foot", "Toe"))]
    upper = [j for j in range(len(rig.names)) if j not in legs]
    pivot = heads[rig.joints["pelvis"]]
    heads[upper] = (heads[upper] - pivot) @ turned.T + pivot
    with pytest.raises(MotionError) as caught:
        find_joints(rig.names, rig.parents, heads)
    assert caught.value.details["missing"] == "upright trunk"


@pytest.mark.parametrize("scrambling", [False, True])
def test_two_bodies_in_one_armature_are_said_to_be_two(scrambling: bool) -> None:
    rig = build(NAMED["mixamo0"])
    count = len(rig.names)
    names = [*rig.names, *(f"{name}.001" for name in rig.names)]
    if scrambling:
        rng = random.Random(3)
        names = [f"q{rng.randrange(10**9)}" for _ in names]
    parents = np.concatenate([rig.parents, np.where(rig.parents >= 0, rig.parents + count, -1)])
    aside = np.array([1.5, 0.0, 0.0])
    with pytest.raises(MotionError) as caught:
        find_joints(
            names, parents, np.concatenate([rig.heads, rig.heads + aside]), np.concatenate([rig.tails, rig.tails + aside])
        )
    assert caught.value.details["missing"] == "one body" and "two bodies" in caught.value.message


def test_positions_that_are_no_numbers_or_all_the_same_are_refused() -> None:
    rig = build(NAMED["mixamo0"])
    broken = rig.heads.copy()
    broken[3, 1] = np.nan
    for heads in (broken, np.zeros_like(rig.heads)):
        with pytest.raises(MotionError) as caught:
            find_joints(rig.names, rig.parents, heads)
        assert caught.value.code == "unknown_skeleton"
    with pytest.raises(MotionError):
        find_joints([], np.zeros(0, dtype=np.int64), np.zeros((0, 3)))


def test_joints_by_number_are_those_of_smpl() -> None:
    parents = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19])
    rig = build(NAMED["smpl"])
    order = [
        "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot", "r_foot",
        "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
    ]  # fmt: skip
    heads = np.array([rig.heads[rig.names.index(name)] for name in order])
    found = find_joints([f"joint_{i}" for i in range(22)], parents, heads)
    assert found.preset == "smpl"
    assert [found[name] for name in order] == list(range(22))
