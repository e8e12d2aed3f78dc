# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left in the output folder of a job, however it ended: its whole record, as strict JSON, and a log worth reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .conftest import OpenApp
from .support import LIMIT, SMALL, rendered, run_all, wait_for


def _record(folder: Path) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    value: dict[str, Any] = json.loads((folder / "job.json").read_text(encoding="utf-8"), parse_constant=refuse)
    return value


def test_a_job_that_was_cancelled_while_it_rendered_leaves_its_record_and_no_video(
    open_app: OpenApp, walk: Path, tmp_path: Path
) -> None:
    app = open_app()
    spec = app.clip_job(walk, {**SMALL, "frame_end": 60, "output_dir": str(tmp_path)})
    app.engine.submit(spec)
    wait_for(app, spec.id, lambda job: rendered(job) >= 2)
    app.engine.cancel(spec.id)
    job = app.engine.wait(spec.id, LIMIT)
    assert app.flush(LIMIT)

    assert job.state == "cancelled"
    record = _record(tmp_path / "walk")
    assert record == json.loads(json.dumps(job.to_json()))
    assert [s["state"] for s in record["steps"]] == ["completed", "completed", "cancelled", "skipped"]
    assert {p.name for p in (tmp_path / "walk").iterdir()} == {"job.json", "job.log"}
    assert not list((tmp_path / "state" / "artefacts" / "work").glob("*/*")), "scratch folders were left"


def test_a_completed_job_tells_its_story_in_a_few_lines(open_app: OpenApp, walk: Path, tmp_path: Path) -> None:
    app = open_app()
    job = run_all(app, {"": app.clip_job(walk, {**SMALL, "frame_end": 12, "output_dir": str(tmp_path)})})[""]
    assert app.flush(LIMIT)

    record = _record(tmp_path / "walk")
    assert record["state"] == job.state == "completed"
    assert {s["name"]: s["state"] for s in record["steps"]} == dict.fromkeys(
        ("read", "retarget", "render", "deliver"), "completed"
    )
    assert record["payload"]["clip_frames"] == 120
    assert {a["name"] for s in record["steps"] for a in s["artefacts"]} >= {"motion.bvh", "character.fbx", "video.mp4"}
    lines = (tmp_path / "walk" / "job.log").read_text(encoding="utf-8").splitlines()
    for words in (
        "Read walk.bvh: 12 frames",
        "Retargeted 12 frames",
        "Rendered 12 frames",
        "Delivered motion.bvh",
        "is completed",
    ):
        assert sum(words in line for line in lines) == 1, lines
    assert len(lines) < 12, lines
