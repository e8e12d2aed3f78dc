# SPDX-License-Identifier: GPL-3.0-or-later
"""`mq.py map` as a person runs it: the table, the map to edit, what an edited map gives, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PACK = Path(__file__).resolve().parents[3] / "shared" / "motion_data"


def mq(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-m", "motion_queue.scripts.cli", "map", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def walk(checkout: Path) -> str:
    return str(checkout / "examples" / "walk.bvh")


def test_a_clip_is_shown_as_a_table_that_fits_a_terminal(walk: str) -> None:
    done = mq(walk)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split() == ["upper", "arm", "l_shoulder", "r_shoulder", "100", "%", "name"] for line in lines)
    assert lines[-1] == "Found by names, as smpl has them: 18 of 18 joints, all sure."


def test_a_written_map_can_be_edited_and_used(walk: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "map.json"
    assert mq(walk, "--out", str(out)).returncode == 0
    assert [path.name for path in out.parent.iterdir()] == ["map.json"], "nothing is left beside it"
    printed = mq(walk, "--json")
    assert printed.stdout == out.read_text()
    value = json.loads(printed.stdout)
    assert value["joints"]["l_hip"] == "l_hip" and value["spine"] == ["spine1", "spine2", "spine3"]
    value["joints"]["l_foot"] = None
    value["spine"] = ["spine2"]
    out.write_text(json.dumps(value))
    used = mq(walk, "--map", str(out), "--json")
    assert used.returncode == 0, used.stderr
    assert json.loads(used.stdout)["joints"]["l_foot"] is None and json.loads(used.stdout)["spine"] == ["spine2"]


def test_a_character_is_read_by_blender() -> None:
    character = PACK / "rigs" / "quaternius_men_casual.glb"
    if not character.is_file():
        pytest.skip("the motion pack is not beside the checkout")
    done = mq(str(character), "--json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert (value["joints"]["pelvis"], value["joints"]["r_wrist"], value["root"]) == ("Hips", "Hand.R", "Root")
    assert value["fingers"]["l_index"] == ["Index2.L", "Index3.L", "Index4.L"]


@pytest.mark.parametrize(
    ("file", "text", "code"),
    [
        ("a.bvh", "", "bvh_empty"),
        ("gone.bvh", None, "bvh_missing"),
        ("a.txt", "x", "file_kind_unknown"),
        ("gone.fbx", None, "character_missing"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_code(tmp_path: Path, file: str, text: str | None, code: str) -> None:
    path = tmp_path / file
    if text is not None:
        path.write_text(text)
    done = mq(str(path))
    assert done.returncode == 2 and done.stderr.rstrip().endswith(f"[{code}]"), done.stderr


def test_no_body_and_bad_maps_are_said_and_nothing_is_written(walk: str, tmp_path: Path) -> None:
    chain = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\nEnd Site\n{\nOFFSET 0 1 0\n}\n}\n"
    snake = tmp_path / "snake.bvh"
    snake.write_text(chain + "MOTION\nFrames: 1\nFrame Time: 0.03\n0 0 0\n")
    out = tmp_path / "map.json"
    done = mq(str(snake), "--out", str(out))
    assert done.returncode == 2 and done.stderr.rstrip().endswith("[unknown_skeleton]")
    broken = tmp_path / "broken.json"
    broken.write_text('{"format": "motion_queue.joint_map", "version": 1, "joints": {"l_hip": "nobody"}}')
    assert mq(walk, "--map", str(broken), "--out", str(out)).stderr.rstrip().endswith("[joint_map_unknown_bones]")
    assert mq(walk, "--map", str(tmp_path / "gone.json")).stderr.rstrip().endswith("[joint_map_unreadable]")
    assert mq(walk, "--out", "/proc/none/map.json").stderr.rstrip().endswith("[output_not_writable]")
    assert not out.exists()
