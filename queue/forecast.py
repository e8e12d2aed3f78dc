# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a job is and when it will be done, from its steps, what was learned of their durations, and what they report.

Progress is time: elapsed / (elapsed + remaining), where waiting between steps does not count. Until all of a job's steps have
been timed once, it is the steps' own fractions by their weights, and the ETA says that it is a guess.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from .contract import Backend, Estimate, JobState, StepState
from .eta import Durations, Prediction
from .model import Job, Step
from .registry import Registry
from .run import Run

_log = logging.getLogger(__name__)
_NOTHING = Estimate()
_KEPT = 64  # jobs whose estimates are kept: those that run, and those that somebody looks at


class Forecast(NamedTuple):
    progress: float  # 0–1
    eta: float | None  # seconds still to work
    total: float | None  # seconds of work in all
    guess: bool


class Forecaster:
    """Not thread-safe: the engine calls it under its lock."""

    def __init__(self, registry: Registry, durations: Durations) -> None:
        self._registry = registry
        self._durations = durations
        self._shown: dict[str, float] = {}  # progress never goes back within an attempt
        self._estimates: dict[str, tuple[int, dict[str, tuple[Backend, Estimate]]]] = {}  # job → its revision; by step

    def estimate(self, job: Job, step: Step) -> Estimate:
        """What the backend expects of a step. A backend that fails at that is asked for no more than its name."""
        if not self._registry.has_backend(step.backend):
            return _NOTHING
        # A running job is asked for ten times a second; what estimates are made of changes with its revision alone.
        revision, known = self._estimates.get(job.id, (-1, {}))
        if revision != job.revision:
            known = {}
            self._estimates[job.id] = (job.revision, known)
            if len(self._estimates) > _KEPT:
                del self._estimates[next(iter(self._estimates))]
        backend = self._registry.backend(step.backend)
        found = known.get(step.name)
        if found is None or found[0] is not backend:
            found = known[step.name] = (backend, _asked(backend, job, step))
        return found[1]

    def forget(self, job_id: str) -> None:
        self._shown.pop(job_id, None)
        self._estimates.pop(job_id, None)

    def of(self, job: Job, run: Run | None) -> Forecast:
        if job.finished:
            done = 1.0 if job.state is JobState.COMPLETED else by_weight(job)
            return Forecast(done, 0.0, job.processing_time, guess=False)
        elapsed = remaining = 0.0
        guess = unknown = False
        timed = True
        for step in job.steps:
            if step.state not in (StepState.PENDING, StepState.RUNNING):
                elapsed += step.seconds
                continue
            prediction = self._predict(job, step)
            if prediction is None:
                unknown = True
            else:
                guess = guess or prediction.guess
                timed = timed and prediction.timed
            predicted = None if prediction is None else prediction.seconds
            if run is not None and run.step is step:
                spent = run.elapsed
                estimate = self.estimate(job, step)
                total = self._durations.total_of_running(
                    step.backend, estimate.key, spent, run.fraction, predicted, min(run.measured, spent), run.samples
                )
                if total is None:
                    unknown = True
                else:
                    # Measured by its own reports, but nothing like it was timed: that stays a guess.
                    unknown = unknown and prediction is not None
                    guess = guess or prediction is None
                    timed = timed and prediction is not None
                    remaining += max(total - spent, 0.0)
                elapsed += spent
            else:
                elapsed += step.seconds
                remaining += max((predicted or 0.0) - step.seconds, 0.0)
        timed = timed and not unknown
        progress = elapsed / max(elapsed + remaining, 1e-9) if timed else by_weight(job, run)
        # 100 % is for what is over.
        progress = min(max(progress, self._shown.get(job.id, 0.0)), 0.999)
        if run is not None:
            self._shown[job.id] = progress
        if unknown:
            eta = elapsed * (1.0 - progress) / progress if elapsed > 1.0 and progress > 0.05 else None
            return Forecast(progress, eta, None if eta is None else elapsed + eta, guess=True)
        return Forecast(progress, remaining, elapsed + remaining, guess)

    def _predict(self, job: Job, step: Step) -> Prediction | None:
        estimate = self.estimate(job, step)
        return self._durations.predict(step.backend, estimate.key, estimate.work, estimate.seconds)


def _asked(backend: Backend, job: Job, step: Step) -> Estimate:
    try:
        estimate = backend.estimate(job.payload, job.result)
        if isinstance(estimate, Estimate):
            return estimate
        _log.error("Backend %s estimated step %s with a %s", step.backend, step.name, type(estimate).__name__)
        return _NOTHING
    except Exception:
        _log.exception("Backend %s could not estimate step %s of job %s", step.backend, step.name, job.id)
        return _NOTHING


def by_weight(job: Job, run: Run | None = None) -> float:
    """Progress by the weights of the job's steps, 0–1: without a `run` as far as it was recorded, once a second at most."""
    total = done = 0.0
    for step in job.steps:
        total += step.weight
        if step.state is StepState.COMPLETED:
            done += step.weight
        elif step.state in (StepState.FAILED, StepState.SKIPPED):
            total -= step.weight
        elif run is not None and run.step is step:
            done += step.weight * run.fraction
        else:
            done += step.weight * step.progress
    return done / total if total > 0 else 0.0
