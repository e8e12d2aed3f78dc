# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal is opened without decoding the jobs nobody looks at, and nobody can tell by what they are asked."""

from __future__ import annotations

import time
from pathlib import Path

from motion_queue.persistence.journal import FileJournal
from motion_queue.queue import Engine, JobSpec, JobState, StepSpec
from motion_queue.queue.model import Job, UnreadJob

from .conftest import Make
from .gates import BOUND, Instant, register


def _setup(engine: Engine) -> None:
    engine.register_backend(Instant())
    register(engine, "w", StepSpec(name="s", backend="instant", exclusive_key="k"))


def _spec(number: int, **more: object) -> JobSpec:
    payload = {"frames": number, "shared": {"a": [number]}, "fields": {"position": 1.0}}
    return JobSpec(workflow="w", payload=payload, label=f"job {number}", project_id="p", **more)  # type: ignore[arg-type]


def _unread(engine: Engine, job_id: str) -> bool:
    return type(engine._core.ledger.jobs[job_id]) is UnreadJob


def test_finished_jobs_are_counted_and_found_undecoded_and_whole_when_looked_at(tmp_path: Path, make_engine: Make) -> None:
    engine = make_engine(journal=FileJournal(tmp_path), setup=_setup)
    ids = engine.submit_many([_spec(i, batch_id="b", idempotency_key=f"key {i}") for i in range(20)]).job_ids
    assert engine.wait_idle(BOUND)
    before = {i: engine.get(i).to_json() for i in ids}
    engine.close()
    engine = make_engine(journal=FileJournal(tmp_path), setup=_setup)
    assert engine.counts()["completed"] == 20
    assert engine.query(project="p", batch="b", state=JobState.COMPLETED, limit=0).total == 20
    assert engine.submit(_spec(3, idempotency_key="key 3")).job_id == ids[3]
    assert all(_unread(engine, i) for i in ids)
    assert {job.id: job.to_json() for job in engine.query(project="p").jobs} == before
    assert not any(_unread(engine, i) for i in ids)


def test_waiting_jobs_keep_everything_the_scheduler_asks_for_and_run_with_their_payload(
    tmp_path: Path, make_engine: Make
) -> None:
    engine = make_engine(journal=FileJournal(tmp_path), setup=_setup)
    engine.pause_queue()
    first = engine.submit_many([_spec(i) for i in range(5)]).job_ids
    urgent = engine.submit(_spec(5, priority=90)).job_id
    later = engine.submit(_spec(6, not_before=time.time() + 3600)).job_id
    engine.move(first[4], "up")
    order = engine.order()
    before = {i: engine.get(i).to_json() for i in order}
    engine.close()
    engine = make_engine(journal=FileJournal(tmp_path), setup=_setup)
    assert engine.order() == order and order[0] == urgent
    assert _unread(engine, urgent) and _unread(engine, first[0]) and _unread(engine, later)
    assert not _unread(engine, first[4])  # it was changed after its submission
    assert engine.get(later).stage == "waiting for its time"
    assert {i: engine.get(i).to_json() for i in order} == before
    engine.resume_queue()
    for number, job_id in enumerate(first):
        job = engine.wait(job_id, BOUND)
        assert job.state is JobState.COMPLETED and job.payload == _spec(number).payload
    assert engine.get(later).state is JobState.QUEUED


def test_a_finished_job_can_be_cleared_or_retried_undecoded(tmp_path: Path, make_engine: Make) -> None:
    engine = make_engine(journal=FileJournal(tmp_path), setup=_setup)
    ids = engine.submit_many([_spec(i) for i in range(3)]).job_ids
    assert engine.wait_idle(BOUND)
    engine.close()
    engine = make_engine(journal=FileJournal(tmp_path), setup=_setup)
    again = engine.wait(engine.retry(ids[1]).job_id, BOUND)
    assert again.payload == _spec(1).payload and again.retry_of == ids[1]
    assert isinstance(engine.wait(ids[0], BOUND), Job)
    cleared = engine.clear_finished()
    assert set(cleared.job_ids) == {*ids, again.id}
    assert engine.counts()["completed"] == 0 and engine.query(project="p").total == 0
