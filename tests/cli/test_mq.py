# SPDX-License-Identifier: GPL-3.0-or-later
"""`scripts/mq.py` as a person runs it: manual pages without set-up, wrong input, a real run that is interrupted and resumed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from motion_queue.persistence.journal import FileJournal
from motion_queue.queue import Engine, Estimate, Health, JobSpec, StepContext, StepRequest, StepResult, StepSpec, Workflow
from motion_queue.tests.unit.generate.weights_file import write_weights


class Writer:
    """A backend that is never reached: its queue is paused."""

    name = "writer"
    lane = "cpu"
    can_pause = False

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        raise AssertionError("a paused queue started a step")

    def estimate(self, payload: Mapping[str, Any], results: Mapping[str, Any]) -> Estimate:
        return Estimate()

    def health(self) -> Health:
        return Health(ok=True)


def mq(checkout: Path, *arguments: str, set_up: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it in this environment (`set_up`), or through the entry as on a machine without one."""
    entry = ["-I", "-m", "motion_queue.scripts.cli"] if set_up else [str(checkout / "scripts" / "mq.py")]
    return subprocess.run(
        [sys.executable, *entry, *arguments],
        cwd=checkout,
        env=os.environ | more,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["generate"],
        ["resume"],
        ["list"],
        ["cancel"],
        ["test"],
        ["bench"],
        ["build"],
        ["map"],
        ["retarget"],
        ["models"],
        ["models", "set"],
    ],
)
def test_manual_pages_need_no_set_up(checkout: Path, command: list[str]) -> None:
    done = mq(checkout, *command, "--help", set_up=False)
    assert done.returncode == 0 and done.stdout.startswith("usage: mq.py")


def test_the_entry_works_where_the_checkout_is_the_working_folder_and_on_the_path(checkout: Path) -> None:
    done = mq(checkout, "list", "--state", "/nonexistent", set_up=False, PYTHONPATH=str(checkout))
    assert done.returncode == 2 and "[state_missing]" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "a person juggles", "--out", "OUT", "--weights", "WEIGHTS"], "prompt_not_understood"),
        (["run", "a person waves", "--out", "OUT", "--weights", "gone"], "weights_missing"),
        (["run", "a", "person", "waves", "--out", "OUT", "--weights", "WEIGHTS"], "prompt_not_understood"),
        (["run", "waves", "--frames", "1-9", "--out", "OUT", "--weights", "WEIGHTS"], "arguments_conflict"),
        (["run", "examples/walk.bvh", "--seconds", "4", "--out", "OUT"], "arguments_conflict"),
        (["run", "x" * 10_000, "--out", "OUT", "--weights", "WEIGHTS"], "prompt_too_long"),
        (["run", "--prompts", "gone.txt", "--out", "OUT"], "prompts_file_unreadable"),
        (["run", "gone.bvh", "--out", "OUT"], "input_unreadable"),
        (["run", "--out", "OUT"], "clip_missing"),
        (["run", "--jobs", "gone.json", "--out", "OUT"], "jobs_file_unreadable"),
        (["run", "examples/walk.bvh", "--jobs", "x.json", "--out", "OUT"], "arguments_conflict"),
        (["run", "examples/walk.bvh", "--out", "/proc/none"], "output_not_writable"),
        (["run", "examples/walk.bvh", "--out", "OUT", "--blender", "/gone/blender"], "blender_not_found"),
        (["run", "examples/walk.bvh", "--out", "OUT", "--frames", "9-2"], "arguments_conflict"),
        (["resume", "--state", "/nonexistent"], "state_missing"),
        (["cancel", "--state", "/nonexistent", "--all"], "state_missing"),
    ],
)
def test_wrong_input_ends_with_two_and_names_the_reason(checkout: Path, tmp_path: Path, arguments: list[str], code: str) -> None:
    places = {"OUT": str(tmp_path / "out"), "WEIGHTS": str(write_weights(tmp_path / "weights"))}
    done = mq(checkout, *(places.get(word, word) for word in arguments), MOTION_QUEUE_STATE=str(tmp_path / "state"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.rstrip().endswith(f"[{code}]")
    assert not (tmp_path / "state").exists(), "nothing was started"


def test_an_interrupted_run_goes_on_with_resume(checkout: Path, tmp_path: Path) -> None:
    pytest.importorskip("bpy", reason="this environment has no bpy")
    state, out = str(tmp_path / "state"), tmp_path / "out"
    command = [sys.executable, "-I", "-m", "motion_queue.scripts.cli", "run", str(checkout / "examples" / "walk.bvh")]
    command += ["--out", str(out), "--state", state, "--resolution", "160x90", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if (frame := re.search(r"Rendering frame (\d+) ", line)) and int(frame[1]) >= 3:  # not every frame is shown
            process.send_signal(signal.SIGINT)
            break
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    events = [json.loads(line) for line in rest.splitlines()]
    assert events[-1]["event"] == "note" and "resume --state" in events[-1]["message"]
    listed = mq(checkout, "list", "--state", state, "--json")
    assert [json.loads(line)["state"] for line in listed.stdout.splitlines()] == ["queued"]

    done = mq(checkout, "resume", "--state", state, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["completed"] == 1
    assert (out / "walk" / "video.mp4").stat().st_size > 0
    assert mq(checkout, "resume", "--state", state).returncode == 0, "with nothing left it says so and ends well"


def test_cancel_reaches_the_process_that_works_on_the_job(checkout: Path, tmp_path: Path) -> None:
    pytest.importorskip("bpy", reason="this environment has no bpy")
    state = str(tmp_path / "state")
    command = [sys.executable, "-I", "-m", "motion_queue.scripts.cli", "run", str(checkout / "examples" / "walk.bvh")]
    # Frames that take minutes: the job must not be over before the cancel comes, however fast or busy the machine.
    slow = ["--engine", "cycles", "--samples", "4096", "--resolution", "1280x720"]
    command += ["--out", str(tmp_path / "out"), "--state", state, *slow, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "Rendering frame " in line:
            break
    done = mq(checkout, "cancel", "--state", state, "--all")
    rest, errors = process.communicate(timeout=60)
    assert done.returncode == 0, done.stderr
    assert process.returncode == 1, errors
    assert json.loads(rest.splitlines()[-1])["cancelled"] == 1
    listed = mq(checkout, "list", "--state", state, "--json")
    assert [json.loads(line)["state"] for line in listed.stdout.splitlines()] == ["cancelled"]
    assert not (tmp_path / "out" / "walk" / "video.mp4").exists()


def test_cancel_reaches_jobs_of_a_folder_that_nobody_owns_and_starts_none(checkout: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    engine = Engine(journal=FileJournal(state / "journal"))
    engine.register_backend(Writer())
    engine.register_workflow(Workflow(name="w", steps=(StepSpec(name="s", backend="writer"),)))
    engine.start()
    engine.pause_queue()
    first, second = engine.submit_many([JobSpec(workflow="w", label=label) for label in ("one", "two")]).job_ids
    engine.close()

    done = mq(checkout, "cancel", "--state", str(state), first[:8])
    assert done.returncode == 0, done.stderr
    assert "one: cancelled" in done.stdout
    listed = mq(checkout, "list", "--state", str(state), "--json")
    assert {json.loads(line)["id"]: json.loads(line)["state"] for line in listed.stdout.splitlines()} == {
        first: "cancelled",
        second: "queued",
    }
    assert mq(checkout, "cancel", "--state", str(state), first).returncode == 1, "what is over cannot be cancelled"
