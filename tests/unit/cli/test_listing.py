# SPDX-License-Identifier: GPL-3.0-or-later
"""What another process can see of a queue: read from its journal, without its lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from motion_queue.persistence.journal import FileJournal
from motion_queue.persistence.state import journal_of
from motion_queue.queue import Engine, Estimate, Health, JobSpec, StepContext, StepRequest, StepResult, StepSpec, Workflow
from motion_queue.scripts.cli.session import read_jobs, row_of

_BOUND = 20.0  # seconds; only ever against hanging


class _Half:
    """Comes half way and goes on when it is told to."""

    name = "half"
    lane = "cpu"
    can_pause = False

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        if request.step == "work":
            context.progress(0.5, "Half of it")
            self.go_on.wait(_BOUND)
        return StepResult()

    def estimate(self, payload: Mapping[str, Any], results: Mapping[str, Any]) -> Estimate:
        return Estimate()

    def health(self) -> Health:
        return Health(ok=True)


@pytest.fixture
def half() -> _Half:
    return _Half()


@pytest.fixture
def engine(tmp_path: Path, half: _Half) -> Iterator[Engine]:
    engine = Engine(journal=FileJournal(journal_of(tmp_path)))
    engine.register_backend(half)
    steps = (StepSpec(name="begin", backend="half", weight=0.2), StepSpec(name="work", backend="half", weight=0.8))
    engine.register_workflow(Workflow(name="two", steps=steps))
    engine.start()
    yield engine
    half.go_on.set()
    engine.close()


def test_progress_and_stage_of_a_running_job_are_read_from_the_folder(tmp_path: Path, engine: Engine, half: _Half) -> None:
    ticket = engine.submit(JobSpec(workflow="two"))
    assert ticket.wait_durable(_BOUND)
    # The owner writes it about once a second and tells nobody: it is there when it can be read.
    deadline = time.monotonic() + _BOUND
    while not (row := row_of(job := read_jobs(tmp_path)[0])).stage and time.monotonic() < deadline:
        half.go_on.wait(0.05)

    assert (job.id, row.state) == (ticket.job_id, "running")
    assert row.progress == pytest.approx(0.6)  # a step of 0.2 and half of one of 0.8
    assert row.stage == "Half of it"

    half.go_on.set()
    assert engine.wait_idle(_BOUND)
    (job,) = read_jobs(tmp_path)
    assert row_of(job).progress == 1.0
