# SPDX-License-Identifier: GPL-3.0-or-later
"""From a clip to an FBX and a video, through the whole program, in real child Blenders."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from motion_queue.app import App
from motion_queue.queue import Job

from .conftest import LIMIT, InBlender, RunJob


def test_a_clip_becomes_a_bvh_an_fbx_and_a_video(run_job: RunJob, in_blender: InBlender, walk: Path, tmp_path: Path) -> None:
    job = run_job(walk, {"frame_start": 3, "frame_end": 8, "output_dir": str(tmp_path), "label": "a walk"})

    assert job.state == "completed", job.error
    assert not job.degraded
    folder = tmp_path / "a walk"
    assert {"motion.bvh", "character.fbx", "video.mp4"} <= {p.name for p in folder.iterdir()}
    seen = json.loads(
        in_blender(f"""
import json
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.fbx(filepath={str(folder / "character.fbx")!r})
rigs = [o for o in bpy.data.objects if o.type == "ARMATURE"]
skins = [o for o in bpy.data.objects if o.type == "MESH"]
bound = [m.object == rigs[0] for o in skins for m in o.modifiers if m.type == "ARMATURE"]
poses = []
for frame in (1, 6):
    bpy.context.scene.frame_set(frame)
    poses.append([round(v, 4) for b in rigs[0].pose.bones for v in b.matrix.translation])
clip = bpy.data.movieclips.load({str(folder / "video.mp4")!r})
print(json.dumps({{"rigs": len(rigs), "bones": len(rigs[0].data.bones), "bound": bound, "moves": poses[0] != poses[1],
    "range": list(rigs[0].animation_data.action.frame_range),
    "frames": clip.frame_duration, "size": list(clip.size), "fps": clip.fps}}))
""").splitlines()[-1]
    )
    assert seen["rigs"] == 1
    assert seen["bones"] == 22
    assert seen["bound"] == [True]
    assert seen["moves"]
    assert seen["range"][1] - seen["range"][0] == 5
    assert (seen["frames"], seen["size"]) == (6, [96, 64])
    assert abs(seen["fps"] - job.result["read"]["fps"]) < 1e-3


def test_a_paused_render_goes_on_at_its_first_missing_frame(app: App, walk: Path) -> None:
    spec = app.clip_job(walk, {"resolution": [96, 64], "frame_end": 12})
    app.engine.submit(spec)
    _until(app, lambda job: any(s.name == "render" and s.data.get("frame", 0) >= 3 for s in job.steps), spec.id)
    app.engine.pause(spec.id)
    _until(app, lambda job: job.state == "paused", spec.id)
    app.engine.resume(spec.id)
    job = app.engine.wait(spec.id, LIMIT)

    assert job.state == "completed", job.error
    assert 3 <= job.result["render"]["frames_resumed"] < 12
    assert job.result["render"]["frames"] == 12


def _until(app: App, holds: Callable[[Job], bool], job_id: str) -> None:
    """Look at the job until something holds; the limit is only against hanging."""
    end = time.monotonic() + LIMIT
    while not holds(job := app.engine.get(job_id)):
        assert job.state not in ("completed", "failed", "cancelled"), f"the job is {job.state}: {job.error}"
        assert time.monotonic() < end
        time.sleep(0.02)
