# SPDX-License-Identifier: GPL-3.0-or-later
"""The body is found by known names, by words, and by shape alone; left and right are never swapped."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from motion_queue.motion import quat
from motion_queue.motion.bvh import read_bvh
from motion_queue.motion.clip_map import map_motion
from motion_queue.motion.errors import MotionError
from motion_queue.motion.humanoid import REQUIRED, JointMap, find_joints
from motion_queue.motion.retarget import map_rig
from motion_queue.motion.rig import Rig

RIGS = ("smpl_rig", "mixamo_rig", "rigify_rig")


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Rig:
    named: Rig = request.getfixturevalue(request.param)
    return named


def scrambled(rig: Rig, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [f"n{rng.randrange(10**6)}" for _ in rig.names]


def body_of(joints: JointMap) -> dict[str, int]:
    return {name: joints[name] for name in joints.joints if name not in {"spine1", "spine2", "spine3", "neck"}}


def test_known_rigs_are_recognised(smpl_rig: Rig, mixamo_rig: Rig, rigify_rig: Rig) -> None:
    assert [map_rig(r).preset for r in (smpl_rig, mixamo_rig, rigify_rig)] == ["smpl", "mixamo", "rigify"]
    joints = map_rig(rigify_rig)
    assert [rigify_rig.names[j] for j in joints.spine] == ["spine.001", "spine.002", "spine.003"]
    assert [rigify_rig.names[j] for j in joints.neck] == ["spine.004", "spine.005"]
    assert rigify_rig.names[joints["pelvis"]] == "spine"
    assert set(joints.confidence.values()) == {1.0}


@pytest.mark.parametrize("seed", range(5))
def test_scrambled_names_give_the_same_body_by_shape(rig: Rig, seed: int) -> None:
    named = map_rig(rig)
    turn = quat.normalize(np.random.default_rng(seed).normal(size=4))  # whichever way the file has up and forward
    found = find_joints(scrambled(rig, seed), rig.parents, quat.rotate(turn, rig.heads), quat.rotate(turn, rig.tails))
    assert found.preset == "shape"
    assert body_of(found) == body_of(named)
    assert found.spine == named.spine


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Bip001 L {}", "Bip001 R {}"),
        ("{}_l", "{}_r"),
        ("left{}", "right{}"),
        ("L_{}", "R_{}"),
        ("J_Bip_L_{}", "J_Bip_R_{}"),
        ("char:{}.Left", "char:{}.Right"),
    ],
)
def test_words_in_names_are_understood(mixamo_rig: Rig, left: str, right: str) -> None:
    words = {"Shoulder": "Clavicle", "Arm": "UpperArm", "ForeArm": "LowerArm", "Hand": "Hand", "UpLeg": "Thigh", "Leg": "Calf",
             "Foot": "Foot", "ToeBase": "Toe", "HandMiddle1": "Finger2"}  # fmt: skip
    names = []
    for name in mixamo_rig.names:
        plain = name.removeprefix("mixamorig:")
        side = "Left" if plain.startswith("Left") else "Right" if plain.startswith("Right") else ""
        names.append((left if side == "Left" else right).format(words[plain.removeprefix(side)]) if side else plain)
    found = find_joints(names, mixamo_rig.parents, mixamo_rig.heads, mixamo_rig.tails)
    assert found.preset in {"words", "unreal"}
    assert body_of(found) == body_of(map_rig(mixamo_rig))


@pytest.mark.parametrize("clip", ["raw/cc_base_60fps_002_04.bvh", "raw/cmu_120fps_salsa_07.bvh", "bvh/cmu_01_01_s1.bvh"])
def test_clips_with_scrambled_names_give_the_same_body(clip: str, pack: Callable[[str], Path]) -> None:
    data = pack(clip).read_text()
    motion = read_bvh(data.encode())
    named = map_motion(motion)
    for i, name in enumerate(sorted(set(motion.skeleton.names), key=len, reverse=True)):
        data = data.replace(f" {name}\n", f" n{i}\n").replace(f" {name}\r\n", f" n{i}\n").replace(f" {name} \n", f" n{i}\n")
    found = map_motion(read_bvh(data.encode()))
    assert found.preset == "shape"
    assert {n: j for n, j in body_of(found).items() if n[2:] != "foot"} == {
        n: j for n, j in body_of(named).items() if n[2:] != "foot"
    }


@pytest.mark.parametrize("name", ["quaternius_men_casual.glb", "manny_med_mod.gltf"])
def test_game_rigs_of_the_pack_are_recognised(name: str, pack: Callable[[str], Path]) -> None:
    data = pack(f"rigs/{name}").read_bytes()
    document = json.loads(data[20 : 20 + struct.unpack("<I", data[12:16])[0]] if data[:4] == b"glTF" else data)
    nodes, joints = document["nodes"], document["skins"][0]["joints"]
    parent_of = {child: i for i, node in enumerate(nodes) for child in node.get("children", [])}
    parents = np.array([joints.index(parent_of[j]) if parent_of.get(j) in joints else -1 for j in joints])
    order = list(range(len(joints)))
    assert all(parents[i] < i for i in order)
    heads, turns = np.zeros((len(joints), 3)), np.zeros((len(joints), 4))
    for i, j in enumerate(joints):
        x, y, z, w = nodes[j].get("rotation", (0, 0, 0, 1))
        move, turn = np.array(nodes[j].get("translation", (0, 0, 0)), dtype=float), np.array([w, x, y, z], dtype=float)
        p = parents[i]
        heads[i] = move if p < 0 else heads[p] + quat.rotate(turns[p], move)
        turns[i] = turn if p < 0 else quat.mul(turns[p], turn)
    found = find_joints([nodes[j]["name"] for j in joints], parents, heads)
    assert found.preset in {"quaternius", "kaykit"}
    assert set(REQUIRED) <= set(found.joints)


@pytest.mark.parametrize("missing", ["mixamorig:LeftUpLeg", "mixamorig:RightArm"])
def test_what_is_no_biped_is_refused_and_names_what_is_missing(mixamo_rig: Rig, missing: str) -> None:
    gone = {mixamo_rig.names.index(missing)}
    for bone, parent in enumerate(mixamo_rig.parents):
        if parent in gone:
            gone.add(bone)
    keep = [i for i in range(len(mixamo_rig.names)) if i not in gone]
    parents = np.array([keep.index(p) if p >= 0 else -1 for p in mixamo_rig.parents[keep]])
    with pytest.raises(MotionError) as caught:
        find_joints([mixamo_rig.names[i] for i in keep], parents, mixamo_rig.heads[keep], mixamo_rig.tails[keep])
    assert caught.value.code == "unknown_skeleton"
    assert ("l_hip" if "Left" in missing else "r_elbow") in caught.value.details["missing"]


def test_a_chain_of_bones_is_refused() -> None:
    with pytest.raises(MotionError) as caught:
        find_joints(["a", "b", "c"], np.array([-1, 0, 1]), np.eye(3))
    assert caught.value.code == "unknown_skeleton"
