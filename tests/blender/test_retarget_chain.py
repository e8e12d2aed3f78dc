# SPDX-License-Identifier: GPL-3.0-or-later
"""The measure of retargeting, whole: a clip, a rig built in a real Blender, a job's own steps, the evaluated pose, the judge.

Faults are planted on the finished armature, where a person would find them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import InBlender

_MADE = """
import json
from pathlib import Path
from motion_queue.backends.retarget.load import load_character
from motion_queue.scripts.bench.retarget_eval import ours, peers, posing, rigs, sources
from motion_queue.scripts.bench.retarget_eval.judge import judge
walk, rig = Path({walk!r}), rigs.by_name({rig!r})
rigs.build(rig.name, Path({blend!r}))
bpy.ops.wm.read_factory_settings(use_empty=True)
armature = load_character({blend!r}, "")
ours.make(walk, armature, lock={lock})
source = sources.read(walk, "smpl")
curves = ours.curves_of(armature)

def show():
    found = judge(source, posing.look(armature, rig, first=1, frames=len(source), fps=source.fps))
    print("VERDICT", json.dumps(found.to_json()))

show()
"""

_FAULTS = """
armature.location.z -= 0.05
show()
armature.location.z += 0.05
armature.scale *= 1.2
show()
armature.scale /= 1.2

def bone_of(curve):
    return curve.data_path.split('"')[1]

def swap(words):
    for curve in curves:
        for word in words:
            if "Left" + word == bone_of(curve).removeprefix("mixamorig:"):
                curve.data_path = curve.data_path.replace("Left", "Other")
            elif "Right" + word == bone_of(curve).removeprefix("mixamorig:"):
                curve.data_path = curve.data_path.replace("Right", "Left")
    for curve in curves:
        curve.data_path = curve.data_path.replace("Other", "Right")

swap(["UpLeg", "Leg", "Foot"])
show()
swap(["UpLeg", "Leg", "Foot"])
for curve in curves:
    if bone_of(curve) == "mixamorig:RightForeArm" and curve.array_index == 1:
        curve.keyframe_points[50].co.y += 0.35
        curve.update()
show()
"""


def _verdicts(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("VERDICT ")) for line in printed.splitlines() if line.startswith("VERDICT ")]


def _made(walk: Path, folder: Path, rig: str, *, lock: bool) -> str:
    return _MADE.format(walk=str(walk), rig=rig, blend=str(folder / f"{rig}.blend"), lock=lock)


@pytest.mark.parametrize("rig", ["mixamo", "metarig", "unreal"])
def test_a_walk_is_on_a_rig_as_it_was_in_the_clip(in_blender: InBlender, walk: Path, tmp_path: Path, rig: str) -> None:
    (found,) = _verdicts(in_blender(_made(walk, tmp_path, rig, lock=False)))

    assert found["limb_mean"] <= 1.0
    assert found["limb_p95"] <= 3.0
    assert found["path"] <= 0.01
    assert found["jump"] <= 10.0
    assert (found["swapped"], found["not_finite"]) == ([], 0)
    assert found["bent_wrong"] == {"knee": 0.0, "elbow": 0.0}


def test_faults_planted_on_the_finished_armature_are_found(in_blender: InBlender, walk: Path, tmp_path: Path) -> None:
    sound, sunk, large, swapped, popped = _verdicts(in_blender(_made(walk, tmp_path, "mixamo", lock=True) + _FAULTS))

    assert sunk["penetration_p95"] > sound["penetration_p95"] + 35.0
    assert large["foot_speed_source"] == pytest.approx(1.2 * sound["foot_speed_source"], rel=0.01)
    assert swapped["swapped"] == ["leg"]
    assert swapped["limbs"]["thigh"] > sound["limbs"]["thigh"] + 10.0
    assert popped["jump"] > 20.0
    assert popped["jump_at"].split()[0] in ("elbow_r", "wrist_r")


def test_the_judge_reads_a_clip_as_blenders_importer_does(in_blender: InBlender, walk: Path) -> None:
    printed = in_blender(f"""
import json
from pathlib import Path
import numpy as np
from motion_queue.scripts.bench.retarget_eval import peers, posing, sources
bpy.ops.wm.read_factory_settings(use_empty=True)
source = sources.read(Path({str(walk)!r}), "smpl")
imported, _ = peers.import_clip(Path({str(walk)!r}))
bones = {{j: b for j, b in sources.SKELETONS["smpl"].mapped().items() if j in source.joints}}
places = posing.sample(imported, list(bones.values()), first=1, frames=len(source))
print("FARTHEST", max(float(np.abs(places[b][:, :3, 3] - source.joints[j]).max()) for j, b in bones.items()), len(source))
""")
    _, metres, frames = next(line for line in printed.splitlines() if line.startswith("FARTHEST")).split()

    assert float(metres) < 1e-4
    assert int(frames) > 100
