# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of an engine: within its bound, whatever its backends do, and with every job back in the queue."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from motion_queue.persistence.journal import FileJournal
from motion_queue.persistence.reader import read_state
from motion_queue.queue import Engine, JobSpec, JobState, Limits, StepResult, StepSpec

from .gates import BOUND, Gate, Instant, ended, register, submit, wait_state, with_gate

LIMIT = 2.0  # seconds, what the engine promises
SLACK = 1.5  # a busy machine


def queue_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("motion-queue")]


def close_within_the_limit(engine: Engine) -> bool:
    begin = time.monotonic()
    clean = engine.close(LIMIT)
    assert time.monotonic() - begin < LIMIT + SLACK
    return clean


def test_an_idle_engine_ends_with_all_its_threads() -> None:
    engine = Engine()
    engine.register_backend(Instant())
    register(engine, "w", StepSpec(name="s", backend="instant"))
    engine.start()
    ended(engine, submit(engine, "w"))
    assert queue_threads()
    assert close_within_the_limit(engine)
    assert queue_threads() == []
    assert engine.close()


def test_an_engine_that_never_started_can_be_closed() -> None:
    assert close_within_the_limit(Engine())


@pytest.mark.parametrize("running", [1, 8])
def test_running_steps_that_listen_end_and_their_jobs_are_queued_again(tmp_path: Path, running: int) -> None:
    engine = Engine(journal=FileJournal(tmp_path), limits=Limits(total=8, lanes={"cpu": 8}))
    gate = with_gate(engine)
    engine.start()
    ids = engine.submit_many([JobSpec(workflow="gate")] * (running + 3)).job_ids
    for job_id in ids[:running]:
        gate.of(job_id).do(lambda context: context.progress(0.25, "quarter"))
    assert close_within_the_limit(engine)
    assert queue_threads() == []
    state = read_state(tmp_path)
    assert state.clean and list(state.jobs) == list(ids)
    for job_id in ids:
        assert state.jobs[job_id].get("state", "queued") == "queued"
        assert state.jobs[job_id].get("crash_count", 0) == 0


def test_a_clean_restart_keeps_everything_and_goes_on(tmp_path: Path) -> None:
    def build() -> tuple[Engine, Gate]:
        engine = Engine(journal=FileJournal(tmp_path), limits=Limits(total=1))
        gate = Gate()
        engine.register_backend(gate)
        register(engine, "two", StepSpec(name="a", backend="gate"), StepSpec(name="b", backend="gate"))
        engine.start()
        return engine, gate

    engine, gate = build()
    first = submit(engine, "two", label="first", payload={"n": 1}, metadata={"k": "v"}, project_id="p", batch_id="b")
    gate.next().finish(made="a")
    call = gate.next()
    assert call.request.step == "b"
    second = submit(engine, "two", label="second", priority=90, not_before=4e9, expires_after=1e6)
    third = submit(engine, "two", label="third", idempotency_key="k")
    engine.pause(third)
    gone = submit(engine, "two")
    engine.cancel(gone)
    engine.pause_queue()
    before = {job.id: job for job in engine.query().jobs}
    close_within_the_limit(engine)

    engine, gate = build()
    try:
        assert engine.recovery_notes == ()
        after = {job.id: job for job in engine.query().jobs}
        assert list(after) == list(before)
        for job_id, job in after.items():
            old = before[job_id]
            for name in (
                *("label", "payload", "metadata", "project_id", "batch_id", "priority", "position", "not_before", "expires_at"),
                *("idempotency_key", "created_at", "queued_at", "crash_count", "recovered", "attempt"),
            ):
                assert getattr(job, name) == getattr(old, name), name
        assert (after[first].state, after[first].crash_count) == (JobState.QUEUED, 0)
        assert after[third].state is JobState.PAUSED and after[gone].state is JobState.CANCELLED
        assert "paused" in engine.held
        assert submit(engine, "two", idempotency_key="k") == third
        engine.resume_queue()
        call = gate.next()
        assert (call.job_id, call.request.step, call.request.attempt) == (first, "b", 1)
        assert call.request.results == {"a": {"made": "a"}}
        call.finish()
        assert ended(engine, first).state is JobState.COMPLETED
        assert engine.get(second).state is JobState.QUEUED
    finally:
        engine.close(BOUND)


def test_a_pause_that_had_not_taken_effect_at_the_end_has_after_the_restart(tmp_path: Path) -> None:
    engine = Engine(journal=FileJournal(tmp_path))
    gate = with_gate(engine)
    engine.start()
    job_id = submit(engine)
    gate.of(job_id)
    engine.pause(job_id)
    engine.close(LIMIT)
    engine = Engine(journal=FileJournal(tmp_path))
    gate = with_gate(engine)
    engine.start()
    assert engine.get(job_id).state is JobState.PAUSED
    engine.resume(job_id)
    gate.next().finish()
    assert wait_state(engine, job_id, JobState.COMPLETED)
    engine.close(LIMIT)


def test_closing_wakes_those_who_wait(tmp_path: Path) -> None:
    engine = Engine(journal=FileJournal(tmp_path))
    gate = with_gate(engine)
    engine.start()
    job_id = submit(engine)
    gate.of(job_id)
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda: results.append(engine.wait(job_id).state)),
        threading.Thread(target=lambda: results.append(engine.wait_idle())),
    ]
    for thread in threads:
        thread.start()
    engine.close(LIMIT)
    for thread in threads:
        thread.join(BOUND)
        assert not thread.is_alive()
    assert len(results) == 2


def test_two_threads_may_close_at_once() -> None:
    engine = Engine()
    gate = with_gate(engine)
    engine.start()
    gate.of(submit(engine))
    threads = [threading.Thread(target=engine.close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert not any(thread.is_alive() for thread in threads)
    assert engine.close()


@pytest.mark.parametrize("kind", ["loop", "sleep", "socket", "lock"])
def test_a_process_ends_by_itself_whatever_its_backend_is_stuck_in(tmp_path: Path, kind: str) -> None:
    program = Path(__file__).with_name("stubborn.py")
    done = subprocess.run(
        [sys.executable, "-P", program, kind, tmp_path], capture_output=True, text=True, timeout=10 + BOUND, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "True"]
    state = read_state(tmp_path)
    assert state.clean and len(state.jobs) == 3
    for job in state.jobs.values():
        assert (job["state"], job.get("crash_count", 0), job["steps"][0]["state"]) == ("queued", 0, "pending")


def test_a_late_result_after_the_end_changes_nothing(tmp_path: Path) -> None:
    engine = Engine(journal=FileJournal(tmp_path))
    engine.register_backend(gate := Gate(obeys=False))
    register(engine, "gate", StepSpec(name="s", backend="gate"))
    engine.start()
    job_id = submit(engine)
    call = gate.of(job_id)
    assert not close_within_the_limit(engine)
    call.give(StepResult(data={"late": True}))
    call.thread.join(BOUND)
    assert not call.thread.is_alive()
    assert read_state(tmp_path).jobs[job_id]["state"] == "queued"
    assert engine.get(job_id).result == {}
