# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps as people keep them: what is written comes back, what is said holds, the rest is found, and mistakes are named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from motion_queue.motion import joint_maps
from motion_queue.motion.errors import MotionError
from motion_queue.motion.humanoid import JointMap, find_joints
from motion_queue.motion.joint_maps import StoredMap, from_json, joint_map_from_names, stored, to_json
from motion_queue.scripts.bench.map_rigs import FAMILIES, MapRig, build, scrambled

NAMED = {family.name: family for family in FAMILIES}


@pytest.fixture
def rig() -> MapRig:
    return build(NAMED["ue5"])


def find(rig: MapRig) -> JointMap:
    return find_joints(rig.names, rig.parents, rig.heads, rig.tails)


def use(rig: MapRig, wanted: StoredMap) -> JointMap:
    return joint_map_from_names(wanted, rig.names, rig.parents, rig.heads, rig.tails)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_whole_map_comes_back_as_it_was(family: Any) -> None:
    rig = build(family)
    found = find(rig)
    text = to_json(stored(found, rig.names))
    assert to_json(from_json(text)) == text
    back = use(rig, from_json(text))
    assert {n: back.get(n) for n in found.joints} == dict(found.joints)
    assert (back.spine, back.neck, back.root) == (found.spine, found.neck, found.root)
    assert (dict(back.fingers), dict(back.twists)) == (dict(found.fingers), dict(found.twists))
    assert set(back.confidence.values()) == {1.0}


def test_a_map_of_one_joint_changes_that_joint_alone(rig: MapRig) -> None:
    twist = rig.names[rig.twists["l_elbow"][0]]
    found, back = find(rig), use(rig, StoredMap(joints={"l_wrist": twist}))
    assert rig.names[back["l_wrist"]] == twist
    assert back.confidence["l_wrist"] == 1.0 and back.found["l_wrist"] == "given"
    assert {n: j for n, j in back.joints.items() if n != "l_wrist"} == {n: j for n, j in found.joints.items() if n != "l_wrist"}


def test_null_and_empty_lists_leave_things_out(rig: MapRig) -> None:
    text = json.dumps(
        {
            "format": "motion_queue.joint_map",
            "version": 1,
            "joints": {"l_foot": None, "r_foot": None},
            "root": None,
            "neck": [],
            "fingers": {"l_thumb": []},
            "twists": {"l_shoulder": []},
        }
    )
    back = use(rig, from_json(text))
    assert "l_foot" not in back.joints and "r_foot" not in back.joints
    assert back.root == -1 and back.neck == ()
    assert "l_thumb" not in back.fingers and back.fingers["r_thumb"] == rig.fingers["r_thumb"]
    assert "l_shoulder" not in back.twists and back.twists["r_shoulder"] == rig.twists["r_shoulder"]
    assert back.spine == rig.spine


def test_a_map_finds_the_body_where_names_and_shape_do_not() -> None:
    rig = scrambled(build(NAMED["kaykit"]), seed=5)
    flat = rig.heads.copy()
    flat[:, 1] = 0.0
    with pytest.raises(MotionError):
        find_joints(rig.names, rig.parents, flat)
    wanted = StoredMap(joints={name: rig.names[joint] for name, joint in rig.joints.items() if name != "pelvis"})
    back = joint_map_from_names(wanted, rig.names, rig.parents, flat)
    assert {name: back.get(name) for name in rig.joints} == rig.joints
    assert back.spine == rig.spine and back.preset == "given"


def test_what_is_missing_is_named() -> None:
    rig = scrambled(build(NAMED["kaykit"]), seed=5)
    flat = rig.heads.copy()
    flat[:, 1] = 0.0
    wanted = {name: rig.names[joint] for name, joint in rig.joints.items() if name not in {"pelvis", "l_knee", "head"}}
    with pytest.raises(MotionError) as caught:
        joint_map_from_names(StoredMap(joints=wanted), rig.names, rig.parents, flat)
    assert caught.value.code == "joint_map_incomplete"
    assert set(caught.value.details["missing"].split(", ")) == {"l_knee", "head"}


@pytest.mark.parametrize(
    ("wanted", "code", "word"),
    [
        (StoredMap(joints={"l_hip": "thigh_x"}), "joint_map_unknown_bones", "thigh_x"),
        (StoredMap(joints={"l_hip": "thigh_l", "r_hip": "thigh_l"}), "joint_map_bone_twice", "thigh_l"),
        (StoredMap(joints={"l_hip": "thigh_l"}, spine=("thigh_l",)), "joint_map_bone_twice", "spine"),
        (StoredMap(joints={"l_hip": "calf_l", "l_knee": "thigh_l"}), "joint_map_order", "do not follow each other"),
        (StoredMap(joints={"l_knee": "calf_r", "r_knee": "calf_l"}), "joint_map_order", "do not follow each other"),
        (StoredMap(root="ground"), "joint_map_unknown_bones", "ground"),
    ],
)
def test_maps_that_do_not_fit_say_why(rig: MapRig, wanted: StoredMap, code: str, word: str) -> None:
    with pytest.raises(MotionError) as caught:
        use(rig, wanted)
    assert caught.value.code == code and word in caught.value.message


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"joints": {"tail": "x"}}, "tail"),
        ({"joints": {"l_hip": 3}}, "joints.l_hip"),
        ({"joints": {"l_hip": ""}}, "joints.l_hip"),
        ({"joints": {"l_hip": None}}, "joints.l_hip"),
        ({"joints": []}, "joints"),
        ({"spine": "a"}, "spine"),
        ({"spine": ["a", 1]}, "spine"),
        ({"neck": ["a"] * 100}, "neck"),
        ({"fingers": {"l_toe": []}}, "l_toe"),
        ({"twists": {"l_hip": "a"}}, "twists.l_hip"),
        ({"root": 1}, "root"),
        ({"hips": "a"}, "hips"),
    ],
)
def test_mistakes_in_a_map_are_placed(change: dict[str, Any], where: str) -> None:
    with pytest.raises(MotionError) as caught:
        from_json(json.dumps({"format": "motion_queue.joint_map", "version": 1, **change}))
    assert (caught.value.code, caught.value.details["where"]) == ("bad_joint_map", where)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": "motion_queue.joint_map"}', b"\xff\xfe\x00", "[" * 100_000, " " * 300_000]
)
def test_what_is_no_map_is_refused(text: str | bytes) -> None:
    with pytest.raises(MotionError) as caught:
        from_json(text)
    assert caught.value.code == "bad_joint_map"


def test_a_newer_map_is_refused() -> None:
    with pytest.raises(MotionError) as caught:
        from_json('{"format": "motion_queue.joint_map", "version": 2}')
    assert caught.value.code == "joint_map_too_new"
    assert joint_maps.VERSION == 1
