# SPDX-License-Identifier: GPL-3.0-or-later
"""`mq.py retarget` and batches of `mq.py run` as a person runs them: what is written, what is said, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from motion_queue.backends import process_tree
from motion_queue.motion.bvh import read_bvh
from motion_queue.motion.kinematics import world

LIMIT = 300.0  # seconds: only against hanging
_SAVE_MANNEQUIN = """
import os, sys, bpy
from motion_queue.backends.character import mannequin
for path in sys.argv[1:]:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mannequin.build(bpy.context.scene)
    bpy.ops.wm.save_as_mainfile(filepath=path) if path.endswith(".blend") else bpy.ops.export_scene.fbx(
        filepath=path, add_leaf_bones=False
    )
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(autouse=True)
def _needs_blender() -> None:
    pytest.importorskip("bpy", reason="this environment has no bpy")


@pytest.fixture
def walk(checkout: Path) -> str:
    return str(checkout / "examples" / "walk.bvh")


@pytest.fixture
def long_walk(walk: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The clip twenty times over: some seconds' work on a fast machine too, of which to see the middle."""
    head, frames, motion = Path(walk).read_text(encoding="ascii").partition("Frames:")
    count, time, rows = motion.split("\n", 2)
    made = tmp_path_factory.mktemp("long") / "walk.bvh"
    made.write_text(f"{head}{frames} {20 * int(count)}\n{time}\n{20 * (rows.rstrip() + chr(10))}", encoding="ascii")
    return str(made)


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The mannequin as a .blend and as an FBX."""
    folder = tmp_path_factory.mktemp("characters")
    paths = (folder / "anna.blend", folder / "bert.fbx")
    subprocess.run([sys.executable, "-P", "-c", _SAVE_MANNEQUIN, *map(str, paths)], check=True, timeout=LIMIT)
    return paths


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-I", "-m", "motion_queue.scripts.cli", *arguments]


def mq(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=LIMIT, check=False)


@pytest.mark.parametrize("kind", ["fbx", "blend", "bvh"])
def test_a_clip_is_put_onto_a_character_and_nothing_else_is_left(
    walk: str, characters: tuple[Path, Path], tmp_path: Path, kind: str
) -> None:
    anna = characters[0]
    before = anna.read_bytes()
    out = tmp_path / "new" / f"walk.{kind.upper()}"

    done = mq("retarget", walk, "--character", str(anna), "--out", str(out))

    assert done.returncode == 0, done.stderr
    assert [path.name for path in out.parent.iterdir()] == [out.name] and out.stat().st_size > 1000
    assert anna.read_bytes() == before and [path.name for path in anna.parent.iterdir() if path.stem == "anna"] == [anna.name]
    said = done.stdout.splitlines()
    assert said[0] == str(out) and max(map(len, said[1:])) <= 80
    assert said[1:3] == [
        "  120 frames at 30 a second, 4 s.",
        "  22 of the 22 bones of Mannequin move; the path is scaled by 0.009643.",
    ]
    assert "  walk.bvh: found by names, as smpl has them, all sure." in said
    assert "  anna.blend: found by names, as smplx has them, all sure." in said
    if kind == "bvh":
        assert len(read_bvh(out)) == 120


def test_place_heading_path_and_rate_are_as_asked_for(walk: str, tmp_path: Path) -> None:
    out = tmp_path / "walk.bvh"
    done = mq(
        "retarget", walk, "--start=-2,3", "--heading", "90", "--travel", "in-place", "--fps", "15", "--out", str(out), "--json"
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "retargeted" and (events[-1]["frames"], events[-1]["fps"]) == (60, 15.0)
    fractions = [event["progress"] for event in events[:-1]]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    motion = read_bvh(out)
    hips = world(motion)[1][:, motion.skeleton.names.index("pelvis")] / 100.0  # metres, Y up: Blender's Y is -Z
    assert abs(hips[0, [0, 2]] - [-2.0, -3.0]).max() < 0.02
    assert np.ptp(hips[:, [0, 2]], axis=0).max() < 0.25, "it treads on the spot"


def test_free_feet_and_a_joint_map_change_what_is_made(walk: str, tmp_path: Path) -> None:
    """Without locking the legs are the clip's own, and a map that leaves the head's neck out is followed."""
    locked, free, mapped = (tmp_path / f"{name}.bvh" for name in ("locked", "free", "mapped"))
    joint_map = tmp_path / "map.json"
    joint_map.write_text('{"format": "motion_queue.joint_map", "version": 1, "joints": {"l_collar": null, "r_collar": null}}')
    assert mq("retarget", walk, "--out", str(locked)).returncode == 0
    assert mq("retarget", walk, "--no-foot-lock", "--out", str(free)).returncode == 0
    done = mq("retarget", walk, "--map", str(joint_map), "--out", str(mapped), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["mapped"] == 20
    assert locked.read_bytes() != free.read_bytes()


def test_hands_touch_on_request(tmp_path: Path, motion_data: Path) -> None:
    free, held = (tmp_path / f"{name}.bvh" for name in ("free", "held"))
    clip = str(motion_data / "cmu_127_05.bvh")
    assert mq("retarget", clip, "--out", str(free)).returncode == 0
    assert mq("retarget", clip, "--hand-contacts", "--out", str(held)).returncode == 0
    first, second = read_bvh(free), read_bvh(held)
    bones = [first.skeleton.names.index(name) for name in ("left_elbow", "right_elbow")]
    apart = np.linalg.norm(world(first)[1][:, bones] - world(second)[1][:, bones], axis=-1)
    assert apart[:20].max() < 0.5, "centimetres, while it runs"
    assert apart[50:90].max() > 1.0, "with its hands on its thighs"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["gone.bvh", "--out", "OUT/w.fbx"], "input_missing"),
        (["WALK", "--character", "gone.fbx", "--out", "OUT/w.fbx"], "input_missing"),
        (["WALK", "--character", "WALK", "--out", "OUT/w.fbx"], "file_kind_unknown"),
        (["WALK", "--map", "gone.json", "--out", "OUT/w.fbx"], "input_missing"),
        (["WALK", "--map", "WALK", "--out", "OUT/w.fbx"], "bad_joint_map"),
        (["WALK", "--out", "OUT/w.mp4"], "arguments_conflict"),
        (["WALK", "--out", "OUT"], "arguments_conflict"),
        (["WALK", "--out", "WALK"], "arguments_conflict"),
        (["WALK", "WALK", "--out", "OUT/w.fbx"], "arguments_conflict"),
        (["WALK", "--out", "/proc/none/w.fbx"], "output_not_writable"),
        (["WALK", "--out", "WALK/w.fbx"], "output_not_writable"),
        (["WALK", "--out", "OUT/w.fbx", "--blender", "/gone/blender"], "blender_not_found"),
    ],
)
def test_wrong_input_ends_with_two_names_the_reason_and_writes_nothing(
    walk: str, tmp_path: Path, words: list[str], code: str
) -> None:
    clip = tmp_path / "clip.bvh"
    clip.write_bytes(Path(walk).read_bytes())
    places = {"WALK": str(clip), "OUT": str(tmp_path / "out")}
    typed = [next((word.replace(key, place) for key, place in places.items() if word.startswith(key)), word) for word in words]
    done = mq("retarget", *typed)
    assert done.returncode == 2, done.stderr
    assert done.stderr.rstrip().endswith(f"[{code}]"), done.stderr
    assert not list(tmp_path.rglob("w.*")) and not list((tmp_path / "out").glob("*"))
    assert clip.read_bytes() == Path(walk).read_bytes()


@pytest.mark.parametrize("text", ["1", "a,b", "nan,0", "0,nan", "1,2,3", "1e9,0"])
def test_a_place_that_is_none_is_refused(walk: str, tmp_path: Path, text: str) -> None:
    done = mq("retarget", walk, f"--start={text}", "--out", str(tmp_path / "w.fbx"))
    assert done.returncode == 2 and "--start" in done.stderr


def test_a_blender_that_is_killed_in_the_middle_leaves_what_was_there(long_walk: str, tmp_path: Path) -> None:
    out = tmp_path / "walk.fbx"
    out.write_bytes(b"an earlier result")
    process = subprocess.Popen(
        command("retarget", long_walk, "--out", str(out), "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Exporting FBX" in line:
            for child in process_tree.descendants(process.pid):
                os.kill(child.pid, signal.SIGKILL)
            break
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 2, errors
    assert errors.rstrip().endswith("[child_crashed]"), errors
    assert out.read_bytes() == b"an earlier result"
    assert [path.name for path in tmp_path.iterdir()] == ["walk.fbx"]


def test_ctrl_c_ends_it_and_leaves_nothing(walk: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("retarget", walk, "--out", str(tmp_path / "walk.fbx"), "--json"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - in the background it is ignored
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "Loading the character" in line:
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and not list(tmp_path.iterdir())


def test_every_clip_goes_onto_every_character_through_the_queue(
    walk: str, characters: tuple[Path, Path], checkout: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "short.bvh"
    lines = Path(walk).read_text(encoding="utf-8").splitlines()
    motion = lines.index("MOTION")
    clip.write_text("\n".join([*lines[: motion + 1], "Frames: 10", *lines[motion + 2 : motion + 13], ""]), encoding="utf-8")
    joint_map = tmp_path / "hero.json"
    assert mq("map", str(characters[1]), "--out", str(joint_map)).returncode == 0
    out = tmp_path / "out"
    many = [word for path in characters for word in ("--character", str(path))]
    options = ["--steps", "retarget", "--no-foot-lock", "--hand-contacts", "--map", str(joint_map)]

    done = mq("run", walk, str(clip), *many, *options, "--frames", "1-20", "--out", str(out), "--state", str(tmp_path / "state"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["short_anna", "short_bert", "walk_anna", "walk_bert"]
    for folder in out.iterdir():
        assert {path.name for path in folder.iterdir()} >= {"motion.bvh", "character.fbx", "job.json"}
        record = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        assert record["result"]["retarget"]["target"]["preset"] == "smplx"
        assert {ref["name"]: bool(ref["key"]) for ref in record["inputs"]}["joint_map"], "the map is copied"


def test_a_bad_map_is_refused_before_anything_is_queued(walk: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"format": "motion_queue.joint_map", "version": 1, "joints": {"left leg": "x"}}', encoding="utf-8")
    done = mq("run", walk, "--map", str(bad), "--out", str(tmp_path / "out"), "--state", str(tmp_path / "state"))
    assert done.returncode == 2 and done.stderr.rstrip().endswith("[bad_joint_map]") and str(bad) in done.stderr
    assert not (tmp_path / "state").exists() and not (tmp_path / "out").exists()
