# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backend expects of a step is asked for once, and again where the job, its results or the backend are others."""

from __future__ import annotations

from collections.abc import Mapping

from motion_queue.queue import Estimate, Health, StepResult
from motion_queue.queue.contract import Json, StepContext, StepRequest
from motion_queue.queue.eta import Durations
from motion_queue.queue.forecast import Forecaster
from motion_queue.queue.model import Job
from motion_queue.queue.registry import Registry


class Counting:
    """Expects as many seconds as the payload and the first step's result say, and counts how often it was asked."""

    name, lane, can_pause = "counting", "cpu", False

    def __init__(self, more: float = 0.0) -> None:
        self.more = more
        self.asked = 0

    def run(self, _request: StepRequest, _context: StepContext) -> StepResult:
        return StepResult()

    def estimate(self, payload: Mapping[str, Json], results: Mapping[str, Json]) -> Estimate:
        self.asked += 1
        return Estimate(seconds=payload["seconds"] + len(results) + self.more)

    def health(self) -> Health:
        return Health(ok=True)


def _job(number: int = 1, *, seconds: float = 3.0, revision: int = 1, made: Json = None) -> Job:
    """Of two steps; `made` is what the first one returned, where it is done."""
    steps: list[dict[str, Json]] = [{"name": name, "backend": "counting", "lane": "cpu"} for name in ("first", "second")]
    if made is not None:
        steps[0]["result"] = made
    return Job.from_record({"id": f"job {number}", "payload": {"seconds": seconds}, "steps": steps, "revision": revision})


def test_a_step_is_estimated_once_for_each_revision_of_its_job() -> None:
    registry, backend = Registry(), Counting()
    registry.add_backend(backend)
    forecaster = Forecaster(registry, Durations())
    job = _job()
    first, second = job.steps
    assert [forecaster.estimate(job, first).seconds for _ in range(3)] == [3.0] * 3
    assert [forecaster.estimate(job, second).seconds for _ in range(3)] == [3.0] * 3
    assert backend.asked == 2
    done = _job(made={"frames": 9}, revision=2)
    assert forecaster.estimate(done, done.steps[1]).seconds == 4.0


def test_another_backend_of_the_same_name_is_asked_itself() -> None:
    registry = Registry()
    registry.add_backend(Counting())
    forecaster = Forecaster(registry, Durations())
    job = _job()
    assert forecaster.estimate(job, job.steps[0]).seconds == 3.0
    registry.add_backend(Counting(more=10.0))
    assert forecaster.estimate(job, job.steps[0]).seconds == 13.0


def test_of_thousands_of_jobs_the_estimates_of_some_are_kept_and_all_are_right() -> None:
    registry, backend = Registry(), Counting()
    registry.add_backend(backend)
    forecaster = Forecaster(registry, Durations())
    jobs = [_job(number, seconds=float(number)) for number in range(2000)]
    for _ in range(2):
        assert [forecaster.estimate(job, job.steps[0]).seconds for job in jobs] == [float(number) for number in range(2000)]
    assert backend.asked == 4000 and len(forecaster._estimates) <= 64
    forecaster.forget(jobs[-1].id)
    assert forecaster.estimate(jobs[-1], jobs[-1].steps[0]).seconds == 1999.0 and backend.asked == 4001
