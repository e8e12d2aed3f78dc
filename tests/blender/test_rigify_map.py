# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs that Blender's own Rigify makes: metarig, generated rig with its controls, and what is no biped among its samples."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from motion_queue.motion import rigify
from motion_queue.motion.errors import MotionError
from motion_queue.motion.humanoid import JointMap, find_joints
from motion_queue.motion.rigify import RigKind

SAMPLES = ("human", "basic_human", "basic_quadruped", "cat", "horse", "wolf", "bird", "shark")
# In a process of its own: Rigify registers hundreds of classes, which would stay for the other tests.
MAKE = """
import json, os, sys
import bpy  # first: it makes the others findable
import addon_utils
bpy.ops.wm.read_factory_settings(use_empty=True)
addon_utils.enable("rigify", default_set=True)
def bones(armature):
    out, waiting = [], [b for b in armature.data.bones if b.parent is None]
    while waiting:
        bone = waiting.pop()
        out.append([bone.name, bone.parent.name if bone.parent else "", list(bone.head_local), list(bone.tail_local)])
        waiting.extend(bone.children)
    return out
found = {}
for name in sys.argv[2:]:
    if name in dir(bpy.ops.object) or hasattr(bpy.types, f"OBJECT_OT_armature_{name}_metarig_add"):
        getattr(bpy.ops.object, f"armature_{name}_metarig_add")()
        found[name] = bones(bpy.context.object)
        if name == "human":
            bpy.ops.pose.rigify_generate()
            found["generated"] = bones(next(o for o in bpy.data.objects if o.type == "ARMATURE" and "rig_id" in o.data))
            bpy.ops.object.select_all(action="DESELECT")
        elif bpy.context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
open(sys.argv[1], "w").write(json.dumps(found))
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(scope="module")
def rigs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    target = tmp_path_factory.mktemp("rigify") / "rigs.json"
    done = subprocess.run(
        [sys.executable, "-I", "-c", MAKE, str(target), *SAMPLES], capture_output=True, text=True, timeout=300, check=False
    )
    if not target.is_file():
        if "rigify" in done.stderr and "No module named" in done.stderr:
            pytest.skip("this Blender comes without Rigify")
        raise AssertionError(done.stdout + done.stderr)
    found: dict[str, Any] = json.loads(target.read_text())
    return found


def arrays(bones: list[Any]) -> tuple[list[str], Any, Any, Any]:
    names = [bone[0] for bone in bones]
    parents = np.array([names.index(bone[1]) if bone[1] else -1 for bone in bones], dtype=np.int64)
    return names, parents, np.array([b[2] for b in bones]), np.array([b[3] for b in bones])


def called(joints: JointMap, names: list[str]) -> dict[str, str]:
    return {name: names[joint] for name, joint in joints.joints.items()}


def test_the_metarig_is_known_with_fingers(rigs: dict[str, Any]) -> None:
    names, parents, heads, tails = arrays(rigs["human"])
    found = find_joints(names, parents, heads, tails)
    assert found.preset == "rigify" and called(found, names)["l_wrist"] == "hand.L"
    assert [names[j] for j in found.fingers["r_thumb"]] == ["thumb.01.R", "thumb.02.R", "thumb.03.R"]
    assert len(found.fingers) == 10 and rigify.kind(names) is RigKind.PLAIN and rigify.controls(names) is None
    nameless = find_joints([f"q{i}" for i in range(len(names))], parents, heads, tails)
    assert dict(nameless.joints) == dict(found.joints)
    assert dict(nameless.fingers) == dict(found.fingers)


def test_of_a_generated_rig_the_deforming_bones_are_mapped_and_the_controls_named(rigs: dict[str, Any]) -> None:
    names, parents, heads, tails = arrays(rigs["generated"])
    found = find_joints(names, parents, heads, tails)
    have = called(found, names)
    assert found.preset == "rigify_deform" and all(bone.startswith("DEF-") for bone in have.values())
    assert (have["pelvis"], have["head"], have["l_knee"], have["r_foot"]) == (
        "DEF-spine",
        "DEF-spine.006",
        "DEF-shin.L",
        "DEF-toe.R",
    )
    assert [names[j] for j in found.spine] == ["DEF-spine.001", "DEF-spine.002", "DEF-spine.003"]
    assert [names[j] for j in found.twists["l_shoulder"]] == ["DEF-upper_arm.L.001"]
    assert [names[j] for j in found.fingers["l_index"]] == [f"DEF-f_index.0{i}.L" for i in (1, 2, 3)]
    assert names[found.root] == "root"
    assert rigify.kind(names) is RigKind.RIGIFY_CONTROL
    controls = rigify.controls(names)
    assert controls is not None
    assert (controls.torso, controls.hips, controls.chest, controls.head) == ("torso", "hips", "chest", "head")
    assert controls.spine_fk == ("spine_fk", "spine_fk.001", "spine_fk.002", "spine_fk.003")
    assert controls.fk["l_shoulder"] == "upper_arm_fk.L" and controls.fk["r_foot"] == "toe_fk.R"
    assert controls.ik["l_ankle"] == "foot_ik.L" and controls.poles["r_knee"] == "thigh_ik_target.R"
    assert controls.switches == {
        "l_arm": "upper_arm_parent.L", "l_leg": "thigh_parent.L", "r_arm": "upper_arm_parent.R", "r_leg": "thigh_parent.R",
    }  # fmt: skip
    assert len(controls.fingers) == 10 and all(len(chain) == 3 for chain in controls.fingers.values())


def test_deforming_bones_cut_loose_from_the_rest_are_one_body_again(rigs: dict[str, Any]) -> None:
    kept = [bone for bone in rigs["generated"] if bone[0].startswith("DEF-")]
    known = {bone[0] for bone in kept}
    names, parents, heads, tails = arrays([[n, p if p in known else "", h, t] for n, p, h, t in kept])
    assert rigify.kind(names) is RigKind.RIGIFY_DEFORM
    found = find_joints(names, parents, heads, tails)
    assert called(found, names)["l_shoulder"] == "DEF-upper_arm.L"
    assert [names[j] for j in found.spine] == ["DEF-spine.001", "DEF-spine.002", "DEF-spine.003"]


@pytest.mark.parametrize("name", [name for name in SAMPLES if "human" not in name])
def test_animals_are_refused(rigs: dict[str, Any], name: str) -> None:
    names, parents, heads, tails = arrays(rigs[name])
    with pytest.raises(MotionError) as caught:
        find_joints(names, parents, heads, tails)
    assert caught.value.code == "unknown_skeleton"
