# SPDX-License-Identifier: GPL-3.0-or-later
"""A published model as a step of a job: the clip among its artefacts, its failure as the job's error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from motion_queue.app import App, Settings
from motion_queue.backends.published import backend as published
from motion_queue.backends.published.model import PublishedModel, Which, validate
from motion_queue.motion.bvh import read_bvh
from motion_queue.queue import Job, JobSpec, JobState
from motion_queue.queue.contract import StepSpec, Workflow

from .conftest import Installed

LIMIT = 300.0  # seconds: only against hanging


def run(state: Path, model: PublishedModel, payload: dict[str, Any], look: Callable[[App, Job], None]) -> None:
    """One job in a queue of its own; `look` sees it when it is over."""
    with App.open(Settings(state_dir=state)) as app:
        app.engine.register_backend(published.PublishedBackend(app.children, model))
        steps = (StepSpec(name="generate", backend=published.NAME),)
        app.engine.register_workflow(Workflow(name="words", steps=steps, validate=lambda values: validate(values, model.which)))
        spec = JobSpec(workflow="words", payload=payload, id="words-1")
        app.engine.submit(spec)
        look(app, app.engine.wait("words-1", LIMIT))


@pytest.mark.parametrize("which", list(Which), ids=[w.name.lower() for w in Which])
def test_a_job_of_words_has_a_clip_and_says_how_it_was_made(
    installed: Callable[[Which], Installed], tmp_path: Path, which: Which
) -> None:
    def look(app: App, job: Job) -> None:
        assert job.state is JobState.COMPLETED, job.error
        (clip,) = [artefact for artefact in job.artefacts if artefact.name == "motion.bvh"]
        assert len(read_bvh(app.store.path(clip.key))) == round(2.0 * which.fps)
        told = dict(job.result["generate"])
        assert (told["prompt"], told["seed"], told["steps"], told["model"]) == ("a person bows", 7, 2, str(which))

    run(tmp_path, installed(which).model(), {"prompt": "a person bows", "seconds": 2.0, "seed": 7, "steps": 2}, look)


def test_a_model_that_is_not_there_fails_the_job_with_its_code(tmp_path: Path) -> None:
    def look(app: App, job: Job) -> None:
        assert job.state is JobState.FAILED and job.error is not None
        assert job.error.code == "published_checkout_missing" and "nowhere" in job.error.message

    model = PublishedModel.from_options({"which": "momask", "checkout": str(tmp_path / "nowhere"), "python": "python3"})
    run(tmp_path / "state", model, {"prompt": "a person bows"}, look)
