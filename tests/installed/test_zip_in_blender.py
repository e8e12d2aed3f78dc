# SPDX-License-Identifier: GPL-3.0-or-later
"""The built zip, installed in a real Blender: it is what the manifest says, does its work, and starts nothing by itself."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from motion_queue.scripts import build

BLENDER = os.environ.get("MOTION_QUEUE_TEST_BLENDER", "")
pytestmark = pytest.mark.skipif(not BLENDER, reason="no installed Blender was given")


def run(blender_home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the Blender with user folders of its own, so that nothing of this machine's user is seen or changed."""
    environment = os.environ | {"BLENDER_USER_RESOURCES": str(blender_home), "HOME": str(blender_home)} | more
    environment.pop("MOTION_QUEUE_STATE", None)
    return subprocess.run([BLENDER, *arguments], env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def zip_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.build(tmp_path_factory.mktemp("by-blender"), blender=BLENDER)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, zip_path: Path) -> Iterator[Path]:
    """User folders in which the zip is installed and switched on."""
    folder = tmp_path_factory.mktemp("home")
    done = run(folder, "--command", "extension", "install-file", "--repo", "user_default", "--enable", str(zip_path))
    assert done.returncode == 0, done.stdout + done.stderr
    yield folder


def test_blender_and_our_own_code_build_the_same_content(tmp_path: Path, zip_path: Path) -> None:
    ours = build.build(tmp_path, blender=None)
    with zipfile.ZipFile(zip_path) as theirs_zip, zipfile.ZipFile(ours) as ours_zip:
        theirs = {name: theirs_zip.read(name) for name in theirs_zip.namelist() if not name.endswith("/")}
        assert {name: ours_zip.read(name) for name in ours_zip.namelist()} == theirs


def test_the_manifest_is_valid_for_blender(zip_path: Path, home: Path) -> None:
    done = run(home, "--command", "extension", "validate", str(zip_path))
    assert done.returncode == 0, done.stdout + done.stderr


LOOK = """
import hashlib, json, os, sys, threading, bpy
name = next((n for n in sys.modules if n.startswith("bl_ext.") and n.endswith(".motion_queue")), "")
print("LOOK " + json.dumps({
    "name": name,
    "modules": [m for m in sys.modules if name and m.startswith(name + ".")],
    "engine": bool(name) and sys.modules[name + ".operators.session"]._app is not None,
    "state": bool(name) and os.path.exists(bpy.utils.extension_path_user(name, path="state")),
    "same": {
        "threads": [t.name for t in threading.enumerate()],
        "children": [c for t in os.listdir("/proc/self/task") for c in open(f"/proc/self/task/{t}/children").read().split()],
        "handlers": {n: len(h) for n in dir(bpy.app.handlers) if isinstance(h := getattr(bpy.app.handlers, n), list)},
        "dirty": bpy.data.is_dirty,
        "path": sys.path,
        "data": {n: len(getattr(bpy.data, n)) for n in ("objects", "actions", "scenes", "texts", "materials")},
    },
}))
"""


def look(home: Path, script: Path) -> dict[str, Any]:
    script.write_text(LOOK, encoding="utf-8")
    done = run(home, "--background", "--python", str(script))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "motion_queue" not in done.stderr
    value: dict[str, Any] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("LOOK "))[5:])
    return value


def test_a_background_blender_with_the_extension_changes_nothing_and_starts_nothing(home: Path, tmp_path: Path) -> None:
    without = look(tmp_path / "bare", tmp_path / "look.py")
    files = {path for path in home.rglob("*") if "__pycache__" not in path.parts}
    looked = look(home, tmp_path / "look.py")
    assert not without["name"] and looked["name"], "the extension is on in one and not in the other"
    here = [path.replace(str(home), "HOME") for path in looked["same"].pop("path")]
    there = [path.replace(str(tmp_path / "bare"), "HOME") for path in without["same"].pop("path")]
    assert [path for path in here if path not in there and not path.endswith("/site-packages")] == [], (
        "only bundled wheels are added"
    )
    assert looked["same"] == without["same"]
    assert looked["same"]["threads"] == ["MainThread"] and looked["same"]["children"] == []
    assert not looked["engine"] and not looked["state"]
    assert not [name for name in looked["modules"] if name.endswith((".app", ".queue.engine"))], "switching it on loads no engine"
    assert {path for path in home.rglob("*") if "__pycache__" not in path.parts} == files


def test_the_batch_script_makes_a_video_inside_blender(home: Path, tmp_path: Path, checkout: Path) -> None:
    jobs = tmp_path / "jobs.json"
    document = {
        "version": 1,
        "defaults": {"resolution": [160, 90], "frames": [1, 6]},
        "jobs": [{"clip": str(checkout / "examples" / "walk.bvh"), "label": "walk"}],
    }
    jobs.write_text(json.dumps(document), encoding="utf-8")
    script = next(home.rglob("motion_queue/scripts/batch.py"))
    out, state = tmp_path / "out", tmp_path / "state"
    done = run(home, "--background", "--python", str(script), "--", str(jobs), "--out", str(out), "--state", str(state))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 job: 1 completed." in done.stdout
    made = {path.name: path.stat().st_size for path in (out / "walk").iterdir()}
    assert {"motion.bvh", "character.fbx", "video.mp4", "job.json"} <= set(made)
    assert all(made.values())
    assert (out / "walk" / "video.mp4").read_bytes()[4:8] == b"ftyp"
    assert json.loads((out / "walk" / "job.json").read_text(encoding="utf-8"))["state"] == "completed"


def test_a_mistake_in_the_jobs_file_ends_blender_with_code_two_and_makes_nothing(home: Path, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.json"
    jobs.write_text('{"version": 1,\n "jobs": [{"clip": "gone.bvh"}]}', encoding="utf-8")
    script = next(home.rglob("motion_queue/scripts/batch.py"))
    done = run(
        home,
        "--background",
        "--python",
        str(script),
        "--",
        str(jobs),
        "--out",
        str(tmp_path / "out"),
        "--state",
        str(tmp_path / "state"),
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "jobs.json:2:20: $.jobs[0].clip: there is no file" in done.stderr
    assert not (tmp_path / "state").exists() and not (tmp_path / "out").exists()
