# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig that Rigify generated: its controls are keyed, FK and IK alike, and its deforming bones go where the motion is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

InBlender = Callable[[str], str]

_PUT_ON = """
import json
import numpy as np
from motion_queue.backends import compat
from motion_queue.backends.retarget import load
from motion_queue.backends.retarget.rig import read_rig
from motion_queue.backends.retarget.write import write_pose
from motion_queue.motion.retarget import RetargetOptions, pose_world, retarget
from motion_queue.motion.rigify import posable
from motion_queue.motion.travel import Travel
from motion_queue.scripts.make_sample import walk

armature = load.load_character({path!r}, "")
before = sum(not c.mute for bone in armature.pose.bones for c in bone.constraints)
whole, unit = read_rig(armature)
rig = posable(whole)
pose = retarget(walk(), rig, options=RetargetOptions(travel=Travel({travel!r})))
action, notes = write_pose(armature, rig, pose, unit, name="walk")
wanted = pose_world(rig, pose)[1]

def off(frame):
    bpy.context.scene.frame_set(1 + frame)
    return {{n: float(np.linalg.norm(np.array(armature.pose.bones[n].head) - wanted[frame, i])) for i, n in enumerate(rig.names)}}

curves, _ = compat.action_curves(action, armature.name)
fk = [off(frame) for frame in (5, 30, 60)]
modes = {{bone.name: bone.rotation_mode for bone in armature.pose.bones if bone.name.startswith("shoulder")}}
switches = [c for c in curves if c.data_path.endswith('["IK_FK"]')]
values = [c.evaluate(1) for c in switches]
for c in switches:
    c.keyframe_points[0].co[1] = 0.0
    c.update()
ik = [off(frame) for frame in (5, 30, 60)]
print(json.dumps({{
    "fk": fk, "ik": ik, "switches": values, "modes": modes, "notes": notes,
    "keyed": sorted({{c.data_path.split('"')[1] for c in curves}}),
    "muted": before - sum(not c.mute for bone in armature.pose.bones for c in bone.constraints),
    "root": [float(v) for v in armature.pose.bones["root"].head],
}}))
"""


@pytest.fixture(scope="module")
def put_on(in_blender: InBlender, control_rig: Path) -> Callable[[str], Any]:
    done: dict[str, Any] = {}

    def run(travel: str) -> Any:
        if travel not in done:
            printed = in_blender(_PUT_ON.format(path=str(control_rig), travel=travel))
            done[travel] = json.loads(printed.splitlines()[-1])
        return done[travel]

    return run


def _worst(frames: list[dict[str, float]], *parts: str) -> float:
    return max(off for frame in frames for name, off in frame.items() if any(part in name for part in parts))


def test_controls_are_keyed_and_nothing_of_the_rig_is_switched_off(put_on: Callable[[str], Any]) -> None:
    done = put_on("hips")
    assert {
        "torso",
        "spine_fk.002",
        "head",
        "upper_arm_fk.L",
        "thigh_fk.R",
        "foot_ik.L",
        "hand_ik.R",
        "thigh_ik_target.L",
    } <= set(done["keyed"])
    assert not [name for name in done["keyed"] if name.startswith(("DEF-", "ORG-", "MCH-"))]
    assert done["muted"] == 0
    assert done["switches"] == [1.0] * 4
    assert done["modes"] == {"shoulder.L": "YXZ", "shoulder.R": "YXZ"}, "controls keep the rotation modes that they had"


def test_deforming_bones_are_where_the_motion_is(put_on: Callable[[str], Any]) -> None:
    done = put_on("hips")
    assert _worst(done["fk"], "thigh", "shin", "foot", "toe", "DEF-spine.001") < 0.002
    assert _worst(done["fk"], "arm", "hand", "DEF-spine.003") < 0.05, "a control rig bends the spine in fewer places"
    assert len(done["notes"]) == 1


def test_a_limb_that_is_switched_to_ik_stays_where_it_is(put_on: Callable[[str], Any]) -> None:
    done = put_on("hips")
    assert _worst(done["ik"], "DEF-foot", "DEF-toe") < 0.002
    hands = [abs(ik[f"DEF-hand.{s}"] - fk[f"DEF-hand.{s}"]) for s in "LR" for ik, fk in zip(done["ik"], done["fk"], strict=True)]
    assert max(hands) < 0.002
    assert _worst(done["ik"], "DEF-shin.L", "DEF-shin.R") < 0.05


def test_the_path_can_go_onto_the_root_control(put_on: Callable[[str], Any]) -> None:
    done = put_on("root")
    assert "root" in done["keyed"]
    assert done["root"][1] < -1.0, "it has walked"
    assert _worst(done["fk"], "thigh", "shin", "foot", "toe") < 0.002
