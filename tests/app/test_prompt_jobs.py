# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts through the whole program, in real children: the motion, its record, cancel, crashes, the same motion each time."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from motion_queue.app import App, Settings
from motion_queue.backends.child_worker import WorkerState
from motion_queue.backends.generate import header
from motion_queue.backends.generate.backend import GenerateBackend
from motion_queue.backends.protocol import ChildKind
from motion_queue.motion.bvh import read_bvh, write_bvh
from motion_queue.queue import Job
from motion_queue.queue.errors import MotionQueueError
from motion_queue.tests.unit.generate.weights_file import write_weights

LIMIT = 120.0  # seconds: only against hanging
LONG = {"seconds": 60, "sampling_steps": 100}  # a second of work or more, even for the smallest networks


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "model.safetensors")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with App.open(Settings(state_dir=tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def run(app: App, weights: Path) -> Callable[..., Job]:
    """Make the motion of one prompt; the job once it is over."""

    def run(prompt: str, files: dict[str, Path] | None = None, **options: Any) -> Job:
        spec = app.prompt_job(prompt, {"weights": str(weights), "steps": ["generate"], **options}, files=files)
        app.engine.submit(spec)
        return app.engine.wait(spec.id, LIMIT)

    return run


def motion(app: App, job: Job) -> bytes:
    return app.store.path(next(a.key for a in job.artefacts if a.name == "motion.bvh")).read_bytes()


def until(app: App, job_id: str, holds: Callable[[Job], bool]) -> Job:
    """Look at the job until something holds; the limit is only against hanging."""
    end = time.monotonic() + LIMIT
    while not holds(job := app.engine.get(job_id)):
        assert not job.finished, f"the job is {job.state}: {job.error}"
        assert time.monotonic() < end
        time.sleep(0.005)
    return job


def at_work(app: App, job_id: str) -> int:
    """The process that generates, once it is in the middle of it."""
    until(app, job_id, lambda job: "Generating: step" in job.stage and 0.05 < job.steps[0].progress < 0.9)
    (worker,) = [w for w in app.children.stats().workers if w.kind is ChildKind.PYTHON and w.state is WorkerState.BUSY]
    return worker.pid


def test_a_prompt_becomes_a_motion_and_its_record_says_what_was_used(app: App, run: Callable[..., Job], tmp_path: Path) -> None:
    job = run("a person walks forward, then waves and juggles", seconds=4, seed=7, output_dir=str(tmp_path))
    assert job.state == "completed", job.error
    assert not job.degraded, "unused words are a note; what is degraded failed"
    made = job.result["generate"]
    assert (made["seed"], made["frames"], made["fps"], made["seconds"]) == (7, 120, 30.0, 4.0)
    assert made["unmatched"] == ["juggles"] == job.metadata["unmatched"]
    assert [s["action"] for s in made["segments"]] == ["walk", "wave"]
    assert sum(part["seconds"] for part in made["parts"]) == pytest.approx(4.0)
    clip = read_bvh(tmp_path / "a person walks forward, then waves and juggles" / "motion.bvh")
    assert len(clip) == 120 and clip.fps == pytest.approx(30.0, abs=1e-3) and len(clip.skeleton) == 22


def test_the_same_seed_makes_the_same_motion_and_variations_are_seeds(app: App, run: Callable[..., Job]) -> None:
    first, again, varied, other = (
        motion(app, run("walks and waves", seconds=2, **given))
        for given in ({"seed": 3}, {"seed": 3}, {"seed": 1, "variation": 2}, {"seed": 4})
    )
    assert first == again == varied
    assert first != other


def test_the_model_stays_loaded_between_jobs(app: App, run: Callable[..., Job]) -> None:
    assert all(run("jumps", seconds=1).state == "completed" for _ in range(3))
    stats = app.children.stats()
    assert (stats.started, stats.reused) == (1, 2)


def test_other_weights_in_the_same_place_are_loaded_again(app: App, tmp_path: Path, run: Callable[..., Job]) -> None:
    path = tmp_path / "mine.safetensors"
    made = []
    for seed in (1, 2, 1):
        write_weights(path, seed=seed)
        made.append(motion(app, run("walks", seconds=1, weights=str(path))))
    assert made[0] == made[2] != made[1]


def test_it_is_cancelled_between_two_passes_and_its_child_goes_on_to_the_next_job(
    app: App, run: Callable[..., Job], weights: Path
) -> None:
    spec = app.prompt_job("walks", {"weights": str(weights), "steps": ["generate"], **LONG})
    app.engine.submit(spec)
    pid = at_work(app, spec.id)
    app.engine.cancel(spec.id)
    assert app.engine.wait(spec.id, LIMIT).state == "cancelled"
    assert app.children.stats().killed == 0
    assert run("waves", seconds=1).state == "completed"
    assert [w.pid for w in app.children.stats().workers] == [pid]


def test_a_killed_child_costs_a_retry_and_the_motion_is_the_same(app: App, run: Callable[..., Job], weights: Path) -> None:
    spec = app.prompt_job("walks", {"weights": str(weights), "steps": ["generate"], "seed": 5, **LONG})
    app.engine.submit(spec)
    os.kill(at_work(app, spec.id), signal.SIGKILL)
    job = app.engine.wait(spec.id, LIMIT)
    assert job.state == "completed", job.error
    assert job.steps[0].attempt == 2
    assert app.children.stats().crashed == 1
    assert motion(app, job) == motion(app, run("walks", seed=5, **LONG))


def test_progress_is_real_and_never_goes_back(app: App, weights: Path) -> None:
    seen: list[tuple[float, str]] = []
    app.engine.subscribe(lambda event: seen.append((event.progress.progress, event.progress.stage)) if event.progress else None)
    spec = app.prompt_job("walks", {"weights": str(weights), "steps": ["generate"], **LONG})
    app.engine.submit(spec)
    end = time.monotonic() + LIMIT
    while not app.engine.get(spec.id).finished and time.monotonic() < end:
        app.pump()
        time.sleep(0.01)
    values = [value for value, _ in seen]
    assert values == sorted(values)
    steps = {stage for _, stage in seen if stage.startswith("Generating: step")}
    assert len(steps) > 2


def test_a_motion_can_be_edited_in_a_job(app: App, run: Callable[..., Job], tmp_path: Path) -> None:
    plain = run("walks", seconds=2)
    assert plain.state == "completed", plain.error
    pose = tmp_path / "pose.bvh"
    pose.write_bytes(motion(app, plain))
    for options in ({"loop": True, "in_place": True}, {"heading": 90}, {"fps": 24}, {"start_pose_frame": 20}):
        files = {"start_pose": pose} if "start_pose_frame" in options else None
        job = run("walks", files=files, seconds=2, **options)
        assert job.state == "completed", job.error
        assert motion(app, job) != motion(app, plain)
        assert job.result["generate"]["fps"] == options.get("fps", 30)


def test_what_cannot_be_fails_with_its_code(app: App, run: Callable[..., Job], tmp_path: Path) -> None:
    plain = read_bvh(motion(app, run("walks", seconds=1)))
    pose = tmp_path / "pose.bvh"
    pose.write_bytes(write_bvh(plain.cut(0, 3)))
    job = run("walks", files={"end_pose": pose}, seconds=2, end_pose_frame=9)
    assert job.state == "failed" and job.error is not None and job.error.code == "bad_range"
    job = run("walks", files={"end_pose": pose}, seconds=2, loop=True)
    assert job.state == "failed" and job.error is not None and job.error.code == "bad_edit"


def test_weights_that_were_damaged_after_the_submission_fail_the_job(app: App, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "mine.safetensors")
    app.engine.pause_queue()
    spec = app.prompt_job("walks", {"weights": str(path), "steps": ["generate"]})
    app.engine.submit(spec)
    path.write_bytes(path.read_bytes()[:-100])
    app.engine.resume_queue()
    job = app.engine.wait(spec.id, LIMIT)
    assert job.state == "failed" and job.error is not None and job.error.code == "weights_damaged"


def test_wrong_prompts_are_refused_when_the_job_is_made_and_when_it_is_submitted(app: App, weights: Path) -> None:
    with pytest.raises(MotionQueueError) as caught:
        app.prompt_job("juggles", {"weights": str(weights)})
    assert caught.value.code == "prompt_not_understood"
    with pytest.raises(MotionQueueError) as caught:
        app.prompt_job("walks", {"weights": str(weights), "seconds": 0})
    assert caught.value.code == "invalid_duration"
    spec = app.prompt_job("walks", {"weights": str(weights)})
    object.__setattr__(spec, "payload", {**spec.payload, "prompt": "juggles"})
    with pytest.raises(MotionQueueError) as caught:
        app.engine.submit(spec)
    assert caught.value.code == "bad_payload" and "prompt_not_understood" in caught.value.details["prompt"]
    assert app.engine.query().total == 0


def test_a_job_that_needs_more_memory_than_it_may_is_stopped(tmp_path: Path, weights: Path) -> None:
    with App.open(Settings(state_dir=tmp_path / "little", job_memory_mb=10)) as app:
        spec = app.prompt_job("walks", {"weights": str(weights), "steps": ["generate"], **LONG})
        app.engine.submit(spec)
        job = app.engine.wait(spec.id, LIMIT)
    assert job.state == "failed" and job.error is not None and job.error.code == "memory_limit"


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="this Python has torch")
def test_a_device_that_needs_torch_says_so(run: Callable[..., Job]) -> None:
    job = run("walks", seconds=1, model_device="cpu")
    assert job.state == "failed" and job.error is not None and job.error.code == "torch_missing"


def test_a_python_for_torch_that_is_not_there_is_named(tmp_path: Path, weights: Path) -> None:
    with App.open(Settings(state_dir=tmp_path / "torch", torch_python="/nowhere/python")) as app:
        spec = app.prompt_job("walks", {"weights": str(weights), "steps": ["generate"], "model_device": "cpu"})
        app.engine.submit(spec)
        job = app.engine.wait(spec.id, LIMIT)
    assert job.error is not None and job.error.code == "child_start_failed" and "/nowhere/python" in job.error.message


def test_health_says_whether_the_weights_are_there(
    app: App, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = GenerateBackend(app.children)
    monkeypatch.setattr(header, "SHIPPED", weights)
    assert backend.health().ok
    monkeypatch.setattr(header, "SHIPPED", tmp_path / "gone.safetensors")
    assert not backend.health().ok and "gone.safetensors" in backend.health().message


def test_the_estimate_grows_with_length_and_passes(app: App) -> None:
    estimate = GenerateBackend(app.children).estimate
    usual = estimate({"prompt": "walks", "clip_frames": 120}, {})
    assert usual.work == 30 * 10 and usual.memory_mb == 300.0
    assert estimate({"prompt": "walks", "seconds": 8, "clip_frames": 120}, {}).work == 2 * usual.work
    assert estimate({"prompt": "walks", "clip_frames": 120, "sampling_steps": 20}, {}).work == 2 * usual.work
    assert estimate({"prompt": "walks", "model_device": "cuda"}, {}).key == "cuda"
