# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as these tests use them: short, small, and looked at until something holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from motion_queue.app import App
from motion_queue.queue import Job, JobError, JobSpec

LIMIT = 120.0  # seconds: only against hanging
SMALL = {"resolution": [64, 48], "frame_end": 3}
NO_PICTURES = {"steps": ["read", "retarget"], "frame_end": 3}


def run_all(app: App, specs: Mapping[str, JobSpec]) -> dict[str, Job]:
    """Submit them as one batch; the jobs, by the same names, once all are over."""
    app.engine.submit_many(list(specs.values())).wait_durable(LIMIT)
    return {name: app.engine.wait(spec.id, LIMIT) for name, spec in specs.items()}


def error_of(job: Job) -> JobError:
    """Why a job failed, or why the first of its steps that failed did."""
    found = job.error or next((s.error for s in job.steps if s.state == "failed"), None)
    assert found is not None, f"the job is {job.state}, {job.degraded!r}"
    return found


def says_what_to_do(message: str) -> bool:
    """At least two sentences: what happened, and what to do about it."""
    return (
        message.rstrip().endswith((".", "…"))
        and len(message) > 40
        and sum(message.count(mark) for mark in (". ", "? ", "; ", ": ")) > 0
    )


def wait_for(app: App, job_id: str, holds: Callable[[Job], Any]) -> Job:
    """Look at the job until something holds; the limit is only against hanging."""
    end = time.monotonic() + LIMIT
    while not holds(job := app.engine.get(job_id)):
        assert time.monotonic() < end, f"the job is {job.state}, {job.stage}: {job.error} {job.degraded}"
        time.sleep(0.01)
    return job


def rendered(job: Job) -> int:
    """How many frames of it are there while it renders."""
    return next((int(s.data.get("frame", 0)) for s in job.steps if s.name == "render"), 0)


def fill(folder: Path) -> Path:
    """Take all the room that is left on the disk of that folder."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler
