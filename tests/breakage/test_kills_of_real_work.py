# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of the whole program amid real retargets and renders: what was done stays done, and nothing is left over."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from motion_queue.backends import process_tree
from motion_queue.persistence.reader import load

from .life import OPTIONS
from .support import LIMIT

Frames = dict[str, tuple[int, int]]  # name → inode and time of the last change
Jobs = dict[str, dict[str, Any]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def live(state: Path, out: Path, walk: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a process that works on the state folder."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*, max_crashes: int = 0) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("life.py")
        command = [sys.executable, "-P", str(script), str(state), str(out), str(max_crashes), str(walk)]
        started.append(subprocess.Popen(command))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def _until(process: subprocess.Popen[bytes], holds: Callable[[], Any]) -> None:
    """Look at what it does until something holds; the limit is only against hanging."""
    end = time.monotonic() + LIMIT
    while not holds():
        assert process.poll() is None, f"the process ended with {process.returncode}"
        assert time.monotonic() < end
        time.sleep(0.005)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Only the process itself: its children have to notice."""
    children = set(process_tree.descendants(process.pid))
    assert children, "it had no children: nothing was under way"
    process.kill()
    process.wait()
    assert process_tree.wait_gone(children, 10.0), "children outlived the process"


def _jobs(state: Path) -> Jobs:
    return {job_id: dict(job) for job_id, job in load(state / "journal").recovered.jobs.items()}


def _step(state: Path, name: str) -> dict[str, Any]:
    jobs = _jobs(state)
    return next((s for job in jobs.values() for s in job["steps"] if s["name"] == name), {}) if jobs else {}


def _frames(state: Path) -> Frames:
    found: Frames = {}
    for path in (state / "artefacts" / "work").glob("*/render/frames/????.png"):
        try:
            stat = path.stat()
        except FileNotFoundError:  # the step has just ended
            continue
        found[path.name] = (stat.st_ino, stat.st_mtime_ns)
    return found


def test_a_shot_that_is_killed_again_and_again_goes_on_where_it_was(
    live: Callable[..., subprocess.Popen[bytes]], state: Path, out: Path
) -> None:
    chance = random.Random(20261)
    # In the retarget: at once when its child has it, and in the middle of it.
    for delay in (0.0, chance.uniform(0.1, 0.6)):
        began = time.time()
        process = live()
        # The journal still says what the last life began.
        _until(process, lambda began=began: (_step(state, "retarget").get("started_at") or 0.0) >= began)
        _until(process, lambda process=process: process_tree.descendants(process.pid))
        time.sleep(delay)
        _kill(process)
        assert _step(state, "read")["state"] == "completed"
    read = _step(state, "read")
    # In the render: at random frames, a moment after one of them is there.
    before: Frames = {}
    for _ in range(2):
        process = live()
        goal = len(before) + chance.randint(1, 6)
        _until(process, lambda goal=goal: len(_frames(state)) >= goal)
        time.sleep(chance.uniform(0.0, 0.15))
        _kill(process)
        after = _frames(state)
        assert before.items() <= after.items(), "frames that were there were rendered again"
        assert len(after) >= goal
        before = after
    retarget = _step(state, "retarget")
    assert retarget["state"] == "completed"

    process = live()
    assert process.wait(LIMIT) == 0
    (job,) = _jobs(state).values()
    assert job["state"] == "completed"
    assert job["recovered"]
    assert not job.get("degraded")
    render = next(s for s in job["steps"] if s["name"] == "render")["result"]
    assert render["frames_resumed"] == len(before)
    assert render["frames"] == OPTIONS["frame_end"]
    for earlier in (read, retarget):
        now = _step(state, earlier["name"])
        assert {k: now[k] for k in ("completed_at", "attempt", "artefacts")} == {
            k: earlier[k] for k in ("completed_at", "attempt", "artefacts")
        }, "a finished step was repeated"
    folder = out / "walk"
    assert {p.name for p in folder.iterdir()} == {"motion.bvh", "character.fbx", "video.mp4", "job.json", "job.log"}
    record = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    assert (record["state"], record["crash_count"]) == ("completed", 4)
    assert _frames_of(folder / "video.mp4") == OPTIONS["frame_end"]
    assert not list((state / "artefacts" / "work").glob("*/*")), "scratch folders were left"


def test_a_job_that_takes_the_program_down_three_times_is_given_up_with_its_record_and_log(
    live: Callable[..., subprocess.Popen[bytes]], state: Path, out: Path
) -> None:
    frames: Frames = {}
    for count in range(1, 4):
        process = live(max_crashes=3)
        _until(process, lambda count=count: len(_frames(state)) >= count)
        _kill(process)
        frames = _frames(state)
    process = live(max_crashes=3)
    assert process.wait(LIMIT) == 0
    (job,) = _jobs(state).values()
    assert job["state"] == "failed"
    assert job["error"]["code"] == "crash_loop"
    assert job["crash_count"] == 3
    assert frames, "it had got somewhere"
    record = json.loads((out / "walk" / "job.json").read_text(encoding="utf-8"))
    assert record["error"]["code"] == "crash_loop"
    assert "crash_loop" in (out / "walk" / "job.log").read_text(encoding="utf-8")


def _frames_of(video: Path) -> int:
    """How many frames an MP4 says it has, by Blender itself."""
    code = (
        "import os, sys, bpy\n"
        f"print('frames', bpy.data.movieclips.load({str(video)!r}).frame_duration)\nsys.stdout.flush()\nos._exit(0)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True)
    return int(next(line for line in done.stdout.splitlines() if line.startswith("frames")).split()[1])
