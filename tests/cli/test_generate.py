# SPDX-License-Identifier: GPL-3.0-or-later
"""`mq.py generate` as a person runs it: a motion as BVH without Blender, what is understood, what is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from motion_queue.app import App, Settings
from motion_queue.motion.bvh import read_bvh
from motion_queue.tests.unit.generate.weights_file import write_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_weights(tmp_path_factory.mktemp("weights") / "model.safetensors"))


def mq(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-m", "motion_queue.scripts.cli", "generate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_motion_is_written_and_is_the_one_that_the_queue_makes(weights: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "walk.bvh"
    done = mq("walks and juggles", "--seconds", "2", "--seed", "3", "--out", str(out), "--weights", weights)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{out}: 2 s, 60 frames, seed 3",
        "Not used, because the model does not know it: juggles.",
    ]
    assert sorted(path.name for path in out.parent.iterdir()) == ["walk.bvh"], "nothing is left beside it"
    with App.open(Settings(state_dir=tmp_path / "state")) as app:
        options = {"weights": weights, "steps": ["generate"], "seconds": 2, "seed": 3}
        job = app.engine.wait(app.engine.submit(app.prompt_job("walks and juggles", options)).job_id, 120)
        assert app.store.path(job.artefacts[0].key).read_bytes() == out.read_bytes()


def test_variations_are_files_of_their_own_and_json_says_all(weights: str, tmp_path: Path) -> None:
    out = tmp_path / "walk.bvh"
    done = mq("walks", "--seconds", "1", "--variations", "2", "--loop", "--out", str(out), "--weights", weights, "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    made = [event for event in events if event["event"] == "motion"]
    assert [(Path(event["path"]).name, event["seed"]) for event in made] == [("walk_01.bvh", 1), ("walk_02.bvh", 2)]
    assert all(len(read_bvh(Path(event["path"]))) == event["frames"] for event in made)
    assert any(event["event"] == "progress" and "step" in event["stage"] for event in events)


def test_it_begins_in_the_pose_of_another_clip(weights: str, tmp_path: Path, checkout: Path) -> None:
    pose = f"{checkout / 'examples' / 'walk.bvh'}:12"
    done = mq("waves", "--start-pose", pose, "--out", str(tmp_path / "w.bvh"), "--weights", weights)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["juggles", "--out", "OUT"], "prompt_not_understood"),
        (["walks", "--out", "OUT", "--weights", "gone.safetensors"], "weights_missing"),
        (["walks", "--out", "OUT", "--weights", __file__], "weights_damaged"),
        (["walks", "--out", "/proc/none/x.bvh"], "output_not_writable"),
        (["walks", "--out", "OUT", "--end-pose", __file__], "bvh_hierarchy"),
    ],
)
def test_what_cannot_be_is_said_with_its_code_and_leaves_no_file(
    weights: str, tmp_path: Path, arguments: list[str], code: str
) -> None:
    given = [str(tmp_path / "x.bvh") if word == "OUT" else word for word in arguments]
    done = mq(*given, *([] if "--weights" in given else ["--weights", weights]))
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.rstrip().endswith(f"[{code}]")
    assert list(tmp_path.iterdir()) == []


def test_explaining_and_listing_need_no_set_up(weights: str, checkout: Path) -> None:
    entry = [sys.executable, str(checkout / "scripts" / "mq.py"), "generate"]
    explained = [*entry, "walks, then juggles", "--explain", "--weights", weights]
    done = subprocess.run(explained, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "walk" in done.stdout and "Not used, because the model does not know it: juggles." in done.stdout
    known = subprocess.run([*entry, "--known", "--weights", weights], capture_output=True, text=True, timeout=60, check=False)
    assert known.returncode == 0 and any(line.startswith("jump ") for line in known.stdout.splitlines())
