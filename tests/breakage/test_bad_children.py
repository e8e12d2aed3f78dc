# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that crash, hang, print garbage or eat memory, and no Blender at all: their job fails with a code, others go on."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from motion_queue.app import App
from motion_queue.backends.children import ChildPool, ChildSettings
from motion_queue.backends.protocol import ChildKind
from motion_queue.queue import Estimate, Health, Job, JobSpec, StepContext, StepRequest, StepResult, StepSpec, Workflow

from .conftest import OpenApp
from .support import LIMIT, NO_PICTURES, error_of, run_all, says_what_to_do

_ENTRIES = "tests.children.entries"
_KINDS = (ChildKind.PYTHON, ChildKind.BLENDER)


class EntryBackend:
    """Runs the entry that the payload names, in a child of the kind it names."""

    lane = "cpu"
    can_pause = False

    def __init__(self, pool: ChildPool) -> None:
        self.name = "entry"
        self._pool = pool

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        payload = request.payload
        return StepResult(
            data=self._pool.run(
                ChildKind(payload["kind"]),
                f"{_ENTRIES}:{payload['entry']}",
                payload.get("arguments", {}),
                context,
                memory_limit_mb=payload.get("memory_mb"),
            )
        )

    def estimate(self, payload: Mapping[str, Any], results: Mapping[str, Any]) -> Estimate:
        return Estimate()

    def health(self) -> Health:
        return Health(ok=True)


@pytest.fixture
def app(open_app: OpenApp) -> App:
    """With a workflow whose step is given up after a moment without progress or signs of life."""
    opened = open_app()
    opened.children.configure(
        ChildSettings(heartbeat=0.1, heartbeat_timeout=5.0, stop_grace=0.3, terminate_grace=0.3, start_timeout=LIMIT)
    )
    opened.engine.set_limits(retry_base=0.01)
    opened.engine.register_backend(EntryBackend(opened.children))
    step = StepSpec(name="work", backend="entry", max_attempts=2)
    once = replace(step, max_attempts=1)
    for name, spec in {"entry": step, "once": once, "impatient": replace(once, stall_timeout=1.0)}.items():
        opened.engine.register_workflow(Workflow(name=name, steps=(spec,)))
    return opened


def _job(entry: str, kind: str = "python", workflow: str = "entry", **payload: Any) -> JobSpec:
    return JobSpec(id=str(uuid.uuid4()), workflow=workflow, payload={"entry": entry, "kind": kind, **payload})


@pytest.mark.parametrize("kind", _KINDS)
def test_bad_children_fail_their_own_jobs_and_no_other(app: App, walk: Path, kind: ChildKind) -> None:
    garbage = {name: _job("print_garbage", kind, arguments={"kind": name}) for name in ("broken json", "endless lines")}
    bad = {
        "child_crashed": _job("crash", kind),
        "child_hung": _job("stop_the_process", kind, "once"),
        "stalled": _job("wait_for_stop", kind, "impatient"),
        "memory_limit": _job("eat_memory", kind, memory_mb=800, arguments={"bytes": 900_000_000, "stay": True}),
        "child_error": _job("fail", kind, arguments={"how": "any"}),
    }
    good = {f"clip {n}": app.clip_job(walk, NO_PICTURES) for n in range(2)} | {"echo": _job("echo", kind)}
    jobs = run_all(app, garbage | bad | good)

    codes = {name: error_of(jobs[name]).code for name in (*garbage, *bad)}
    assert codes == dict.fromkeys(garbage, "child_protocol") | {name: name for name in bad}
    for name in (*garbage, *bad):
        assert jobs[name].state == "failed"
        assert says_what_to_do(error_of(jobs[name]).message), error_of(jobs[name]).message
    assert jobs["child_crashed"].steps[0].attempt == 2, "a crash is tried once more"
    assert {name: str(jobs[name].state) for name in good} == dict.fromkeys(good, "completed")
    assert not any(jobs[name].degraded for name in good)
    after = run_all(app, {"after": _job("echo", kind), "clip": app.clip_job(walk, NO_PICTURES)})
    assert {str(job.state) for job in after.values()} == {"completed"}


def test_the_last_words_of_a_crash_are_in_the_jobs_log(app: App) -> None:
    spec = _job("crash")
    run_all(app, {"": spec})
    assert "last words" in app.store.log_path(spec.id).read_text(encoding="utf-8")


def test_without_any_blender_clips_are_read_and_delivered_and_the_rest_is_said(
    open_app: OpenApp, walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTION_QUEUE_BLENDER", str(tmp_path / "no" / "blender"))
    app = open_app()
    jobs = run_all(app, {name: app.clip_job(walk, {"label": name, "output_dir": str(tmp_path / "out")}) for name in ("a", "b")})

    for name, job in jobs.items():
        assert job.state == "completed"
        assert error_of(job).code == "blender_not_found"
        assert says_what_to_do(error_of(job).message)
        assert "MOTION_QUEUE_BLENDER" in job.degraded
        assert (tmp_path / "out" / name / "motion.bvh").stat().st_size > 0


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("#!/bin/sh\necho 'Blender 3.6.1'\n", "blender_too_old"),
        ("#!/bin/sh\necho 'it is no Blender'\nexit 3\n", "blender_broken"),
        (
            "#!/bin/sh\n[ \"$1\" = --version ] && echo 'Blender 4.5.0' && exit 0\necho 'no licence' >&2\nexit 9\n",
            "child_start_failed",
        ),
        ("#!/nowhere/sh\n", "blender_broken"),
    ],
)
def test_a_blender_that_does_not_work_is_told_from_one_that_is_not_there(
    open_app: OpenApp, walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, code: str
) -> None:
    fake = tmp_path / "blender"
    fake.write_text(script)
    fake.chmod(0o755)
    monkeypatch.setenv("MOTION_QUEUE_BLENDER", str(fake))
    app = open_app()
    job = run_all(app, {"": app.clip_job(walk, {"output_dir": str(tmp_path / "out")})})[""]
    assert error_of(job).code == code
    assert says_what_to_do(error_of(job).message)
    assert _step(job, "read") == "completed"


def _step(job: Job, name: str) -> str:
    return str(next(s.state for s in job.steps if s.name == name))
