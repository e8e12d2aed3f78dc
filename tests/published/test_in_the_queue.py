# SPDX-License-Identifier: GPL-3.0-or-later
"""A published model as a step of a job: the clip among its artefacts, its failure as the job's error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from motion_queue.app import App, Settings
from motion_queue.backends.children import ChildPool
from motion_queue.backends.published.backend import PublishedBackend
from motion_queue.backends.published.model import NAME, ModelDevice, PublishedModel, Which
from motion_queue.motion.bvh import read_bvh
from motion_queue.queue import Job, JobSpec, JobState
from motion_queue.queue.contract import StepSpec, Workflow
from motion_queue.queue.errors import MotionQueueError

from .conftest import Installed

LIMIT = 300.0  # seconds: only against hanging


def run(state: Path, model: PublishedModel, look: Callable[[App, Job], None], **options: Any) -> None:
    """The motion of one prompt in a queue of its own; `look` sees the job when it is over."""
    with App.open(Settings(state_dir=state, published=(model,))) as app:
        spec = app.prompt_job("a person bows", {"model": str(model.which), "steps": ["generate"], **options})
        app.engine.submit(spec)
        look(app, app.engine.wait(spec.id, LIMIT))


@pytest.mark.parametrize("which", list(Which), ids=[w.name.lower() for w in Which])
def test_a_job_of_words_has_a_clip_and_says_how_it_was_made(
    installed: Callable[[Which], Installed], tmp_path: Path, which: Which
) -> None:
    def look(app: App, job: Job) -> None:
        assert job.state is JobState.COMPLETED, job.error
        (clip,) = [artefact for artefact in job.artefacts if artefact.name == "motion.bvh"]
        motion = read_bvh(app.store.path(clip.key))
        assert (len(motion), round(motion.fps, 3)) == (59 if which is Which.MOMASK else 60, 30.0)
        told = dict(job.result["generate"])
        assert (told["prompt"], told["seed"], told["steps"], told["model"]) == ("a person bows", 9, 2, str(which))
        assert told["licence"] == which.licence
        assert not {"unmatched", "corrected"} & set(job.metadata)

    asked = {"seconds": 2.0, "seed": 7, "variation": 2, "sampling_steps": 2, "model_device": "cpu", "fps": 30, "heading": 90}
    run(tmp_path, installed(which).model(device="cuda"), look, **asked)


def test_a_model_that_is_not_there_fails_the_job_with_its_code(tmp_path: Path) -> None:
    def look(app: App, job: Job) -> None:
        assert job.state is JobState.FAILED and job.error is not None
        assert job.error.code == "published_checkout_missing" and "nowhere" in job.error.message

    run(tmp_path / "state", absent(tmp_path), look)


def absent(tmp_path: Path) -> PublishedModel:
    return PublishedModel.from_options({"which": "momask", "checkout": str(tmp_path / "nowhere"), "python": sys.executable})


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with App.open(Settings(state_dir=tmp_path / "state", published=(absent(tmp_path),))) as opened:
        yield opened


def test_a_prompt_need_not_be_within_the_vocabulary_of_the_built_in_model(app: App) -> None:
    spec = app.prompt_job("juggles three torches", {"model": "momask", "steps": ["generate"]})
    assert spec.metadata == {} and spec.label == "juggles three torches"
    assert (spec.payload["clip_frames"], spec.payload["clip_fps"]) == (140, 20.0)
    assert app.engine.submit(spec).job_id == spec.id


def test_a_model_that_is_not_set_is_refused_before_it_is_queued(app: App) -> None:
    with pytest.raises(MotionQueueError) as caught:
        app.prompt_job("bows", {"model": "momask++"})
    assert caught.value.code == "published_not_set" and "models set momask++" in caught.value.message
    with pytest.raises(MotionQueueError) as caught:
        app.prompt_job("bows", {"model": "mdm"})
    assert caught.value.code == "invalid_options" and "momask++" in caught.value.details["model"]


def test_a_job_whose_model_was_forgotten_fails_and_says_so(tmp_path: Path) -> None:
    def finish(app: App, job_id: str) -> Job:
        job = app.engine.wait(job_id, LIMIT)
        assert job.state is JobState.FAILED and job.error is not None
        return job

    with App.open(Settings(state_dir=tmp_path / "state", published=(absent(tmp_path),))) as app:
        app.engine.pause_queue().wait_durable()
        spec = app.prompt_job("bows", {"model": "momask", "steps": ["generate"]})
        app.engine.submit(spec).wait_durable()
    with App.open(Settings(state_dir=tmp_path / "state")) as app:
        app.engine.resume_queue()
        error = finish(app, spec.id).error
        assert error is not None and error.code == "published_not_set"


@pytest.mark.parametrize(
    ("field", "value"),
    [("path", [[0, 1]]), ("bend", 30), ("weights", "m.safetensors"), ("model_device", "numpy"), ("seconds", 30), ("speed", -1)],
)
def test_what_a_published_model_does_not_have_is_refused_and_not_ignored(app: App, field: str, value: Any) -> None:
    payload = {"model": "momask", "steps": ["generate"], field: value}
    with pytest.raises(MotionQueueError) as caught:
        app.prompt_job("bows", payload)
    assert caught.value.code == "invalid_options" and list(caught.value.details) == [field]
    with pytest.raises(MotionQueueError) as caught:
        app.engine.submit(JobSpec(workflow="shot", payload={**payload, "prompt": "bows"}))
    assert caught.value.code == "bad_payload" and list(caught.value.details) == [field]


def test_a_pose_to_begin_with_is_refused(app: App, checkout: Path) -> None:
    with pytest.raises(MotionQueueError) as caught:
        app.prompt_job("bows", {"model": "momask"}, files={"start_pose": checkout / "examples" / "walk.bvh"})
    assert caught.value.code == "invalid_options" and list(caught.value.details) == ["start_pose"]


def test_a_workflow_of_one_s_own_must_say_which_model(app: App) -> None:
    steps = (StepSpec(name="generate", backend=NAME),)
    app.engine.register_workflow(Workflow(name="words", steps=steps))
    job = app.engine.wait(app.engine.submit(JobSpec(workflow="words", payload={"prompt": "bows"})).job_id, LIMIT)
    assert job.error is not None and (job.error.code, dict(job.error.details)) == ("invalid_options", {"model": "is needed"})


def test_predictions_are_those_of_the_model_that_is_asked_for() -> None:
    models = [PublishedModel(which=Which.MOMASK, checkout="/m", python="/p", device=ModelDevice.CUDA)]
    estimate = PublishedBackend(ChildPool(), models).estimate
    usual = estimate({"model": "momask"}, {})
    assert usual.key == "momask cuda" and usual.seconds is not None and usual.memory_mb > 1000
    twice = estimate({"model": "momask", "sampling_steps": 36, "model_device": "cpu"}, {})
    assert (twice.key, twice.work) == ("momask cpu", 2.0)
    assert estimate({"model": "momask++", "steps": ["generate", "deliver"], "device": "gpu"}, {}).key == "momask++ auto"
