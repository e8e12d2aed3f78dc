# SPDX-License-Identifier: GPL-3.0-or-later
"""From a prompt to an FBX and a video, through the whole program, in a real child Python and real child Blenders."""

from __future__ import annotations

import json
from pathlib import Path

from motion_queue.app import App
from motion_queue.tests.unit.generate.weights_file import write_weights

from .conftest import LIMIT, InBlender


def test_a_prompt_becomes_a_bvh_an_fbx_and_a_video(app: App, in_blender: InBlender, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "model.safetensors")
    options = {"weights": str(weights), "seconds": 1, "resolution": [96, 64], "output_dir": str(tmp_path), "label": "a wave"}
    spec = app.prompt_job("a person walks forward, waves and juggles", options)
    assert (spec.payload["clip_frames"], spec.payload["clip_fps"]) == (30, 30.0)
    app.engine.submit(spec)
    job = app.engine.wait(spec.id, LIMIT)

    assert job.state == "completed", job.error
    assert not job.degraded
    assert [step.name for step in job.steps] == ["generate", "retarget", "render", "deliver"]
    made = job.result["generate"]
    assert job.result["retarget"]["frames"] == job.result["render"]["frames"] == made["frames"] == 30
    assert job.result["retarget"]["fps"] == made["fps"] == 30.0
    folder = tmp_path / "a wave"
    app.flush(LIMIT)
    assert {"motion.bvh", "character.fbx", "video.mp4", "job.json", "job.log"} <= {p.name for p in folder.iterdir()}
    record = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    assert record["state"] == "completed"
    assert record["result"]["generate"]["unmatched"] == ["juggles"]
    assert record["result"]["generate"]["segments"][0]["action"] == "walk"
    assert "juggles" in (folder / "job.log").read_text(encoding="utf-8")
    seen = json.loads(
        in_blender(f"""
import json
clip = bpy.data.movieclips.load({str(folder / "video.mp4")!r})
print(json.dumps({{"frames": clip.frame_duration, "size": list(clip.size), "fps": clip.fps}}))
""").splitlines()[-1]
    )
    assert (seen["frames"], seen["size"], round(seen["fps"], 3)) == (30, [96, 64], 30.0)


def test_a_prompt_at_another_rate_is_a_video_of_that_rate(app: App, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "model.safetensors")
    options = {"weights": str(weights), "seconds": 1, "fps": 12, "steps": ["generate", "retarget"]}
    job = app.engine.wait(app.engine.submit(app.prompt_job("jumps", options)).job_id, LIMIT)
    assert job.state == "completed", job.error
    assert job.result["retarget"]["fps"] == job.result["generate"]["fps"] == 12.0
    assert job.result["retarget"]["frames"] == job.result["generate"]["frames"] == 12
