# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a step: it fails, is tried again, takes too long, is optional, reports, and what the job makes of it."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from motion_queue.persistence.journal import FileJournal
from motion_queue.queue import Artefact, Engine, Estimate, Health, JobState, StepResult, StepSpec, StepState
from motion_queue.queue.run import Run

from .conftest import Make
from .gates import BOUND, Gate, Instant, ended, error, register, submit, wait_for, with_gate


def test_an_error_worth_another_try_is_tried_again_up_to_the_limit(engine: Engine, gate: Gate) -> None:
    job_id = submit(engine)
    for attempt in (1, 2, 3):
        call = gate.next()
        assert call.request.attempt == attempt
        call.fail(error("flaky", retryable=True))
    job = ended(engine, job_id)
    assert job.state is JobState.FAILED and job.attempt == 3 and job.error is not None and job.error.code == "flaky"
    assert engine.metrics().retries == 2
    assert [j.id for j in engine.failed().jobs] == [job_id]


def test_other_errors_fail_at_once(engine: Engine, gate: Gate) -> None:
    job_id = submit(engine)
    gate.next().fail(error("broken"))
    job = ended(engine, job_id)
    assert (job.state, job.attempt, job.steps[0].state) == (JobState.FAILED, 1, StepState.FAILED)
    assert job.steps[0].error == job.error


def test_success_after_a_failed_attempt_leaves_no_error(engine: Engine, gate: Gate) -> None:
    job_id = submit(engine)
    gate.next().fail(error(retryable=True))
    gate.next().finish()
    job = ended(engine, job_id)
    assert job.state is JobState.COMPLETED and job.error is None and job.steps[0].error is None and job.degraded == ""


def test_backoff_doubles_with_jitter_up_to_its_cap(make_engine: Make) -> None:
    engine = make_engine(retry_base=1000.0, retry_cap=1500.0)
    gate = with_gate(engine, max_attempts=5)
    waits = []
    for _ in range(12):
        job_id = submit(engine)
        before = time.time()
        gate.of(job_id).fail(error(retryable=True))
        wait_for(engine, lambda i=job_id: engine.get(i).attempt == 2)
        job = engine.get(job_id)
        assert job.state is JobState.QUEUED and job.not_before is not None
        assert job.stage == "waiting to try again"
        waits.append(job.not_before - before)
    assert all(500.0 <= wait <= 1501.0 for wait in waits)
    assert len({round(wait) for wait in waits}) > 3  # jitter


@pytest.mark.parametrize("raised", [ValueError("odd"), SystemExit(3), KeyboardInterrupt(), RecursionError("deep")])
def test_whatever_a_backend_raises_fails_its_job_and_no_other(engine: Engine, gate: Gate, raised: BaseException) -> None:
    bad, good = submit(engine), submit(engine)
    gate.of(bad).fail(raised)
    gate.of(good).finish()
    job = ended(engine, bad)
    assert job.error is not None and job.error.code == "internal" and type(raised).__name__ in job.error.message
    assert ended(engine, good).state is JobState.COMPLETED


@pytest.mark.parametrize(
    ("result", "code"),
    [({"a": 1}, "backend_contract"), ("x", "backend_contract"), (StepResult(data={"path": Path("x")}), "bad_value")],
)
def test_a_result_that_cannot_be_kept_is_an_error(engine: Engine, gate: Gate, result: Any, code: str) -> None:
    job_id = submit(engine)
    gate.next().give(result)
    assert ended(engine, job_id).error.code == code  # type: ignore[union-attr]


def test_progress_data_that_cannot_be_kept_is_refused_where_it_is_reported(engine: Engine, gate: Gate) -> None:
    job_id = submit(engine)
    call = gate.next()
    with pytest.raises(Exception, match="progress data"):
        call.do(lambda context: context.progress(0.5, data={"frame": object()}))
    call.finish()
    assert ended(engine, job_id).state is JobState.COMPLETED


def test_a_step_that_takes_too_long_is_stopped_and_failed(make_engine: Make) -> None:
    engine = make_engine()
    gate = with_gate(engine, timeout=0.15, max_attempts=1)
    job_id = submit(engine)
    gate.next()
    job = ended(engine, job_id)
    assert job.state is JobState.FAILED and job.error is not None and job.error.code == "timeout"


def test_a_step_without_progress_is_stopped_and_tried_again(make_engine: Make) -> None:
    engine = make_engine()
    gate = with_gate(engine, stall_timeout=0.15, max_attempts=2)
    job_id = submit(engine)
    first = gate.next()
    second = gate.next()
    assert (first.request.attempt, second.request.attempt) == (1, 2)
    assert ended(engine, job_id).error.code == "stalled"  # type: ignore[union-attr]


def test_a_timeout_of_a_worker_that_does_not_listen_gives_it_up(make_engine: Make) -> None:
    engine = make_engine(grace=0.05)
    engine.register_backend(gate := Gate(obeys=False))
    register(engine, "gate", StepSpec(name="s", backend="gate", timeout=0.1, max_attempts=1))
    job_id = submit(engine)
    call = gate.next()
    assert ended(engine, job_id).error.code == "timeout"  # type: ignore[union-attr]
    call.finish()


def test_an_optional_step_that_fails_degrades_the_job_and_skips_what_needs_it(engine: Engine) -> None:
    engine.register_backend(gate := Gate())
    register(
        engine,
        "shot",
        StepSpec(name="bvh", backend="gate"),
        StepSpec(name="fbx", backend="gate", optional=True, needs=("bvh",)),
        StepSpec(name="video", backend="gate", optional=True, needs=("fbx",)),
        StepSpec(name="note", backend="gate", needs=("bvh",)),
    )
    job_id = submit(engine, "shot")
    gate.next().finish()
    gate.next().fail(error("no_exporter"))
    last = gate.next()
    assert last.request.step == "note"
    last.finish()
    job = ended(engine, job_id)
    assert job.state is JobState.COMPLETED and job.error is None and job.progress == 1.0
    assert [s.state for s in job.steps] == [StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED, StepState.COMPLETED]
    assert "fbx" in job.degraded and "no_exporter" in job.degraded and "video: not run" in job.degraded


def test_a_job_of_one_optional_step_that_fails_says_so(engine: Engine) -> None:
    engine.register_backend(gate := Gate())
    register(engine, "w", StepSpec(name="s", backend="gate", optional=True))
    job_id = submit(engine, "w")
    gate.next().fail(error("broken"))
    job = ended(engine, job_id)
    assert job.state is JobState.COMPLETED and "broken" in job.degraded


def test_an_optional_step_that_can_never_run_degrades_a_job_before_it_starts(make_engine: Make) -> None:
    engine = make_engine(memory_mb=100.0)
    engine.register_backend(Gate())
    register(engine, "w", StepSpec(name="s", backend="gate", optional=True))
    job = ended(engine, submit(engine, "w", payload={"memory": 500.0}))
    assert job.state is JobState.COMPLETED and "memory_budget" in job.degraded


def test_later_steps_get_what_earlier_ones_made(engine: Engine) -> None:
    made = Artefact("motion.bvh", "jobs/x/motion.bvh", size=3)
    seen: list[Any] = []

    def work(request: Any, context: Any) -> StepResult:
        seen.append((request.artefact("motion.bvh"), dict(request.results)))
        return StepResult(artefacts=(made,), data={"frames": 3})

    engine.register_backend(Instant(work=work))
    register(engine, "w", StepSpec(name="a", backend="instant"), StepSpec(name="b", backend="instant"))
    job = ended(engine, submit(engine, "w"))
    assert seen == [(None, {}), (made, {"a": {"frames": 3}})]
    assert job.artefacts == (made, made)


def test_time_since_a_report_counts_only_once_the_next_one_is_overdue(
    engine: Engine, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.pause_queue()
    job = engine.get(submit(engine))
    now = 100.0
    monkeypatch.setattr("motion_queue.queue.run.time", SimpleNamespace(monotonic=lambda: now, time=lambda: now))
    run = Run(engine._core, job, 0, "token")
    assert run.measured == 0.0
    now = 103.0
    assert run.measured == 3.0  # no report yet: all of it counts
    run.progress(0.1)
    now = 107.0
    run.progress(0.2)  # four seconds after the one before
    now = 110.0
    assert run.measured == 7.0
    run.progress(0.2)  # nothing new
    now = 113.0
    assert (run.elapsed, run.measured) == (13.0, 9.0)


def test_progress_never_goes_back_and_shows_the_stage(engine: Engine, gate: Gate) -> None:
    job_id = submit(engine)
    call = gate.next()
    shown = []
    for fraction in (0.2, 0.6, 0.4, float("nan"), -1.0, 0.7):
        call.do(lambda context, f=fraction: context.progress(f, f"at {f}", {"f": 1}))
        shown.append(engine.get(job_id).progress)
    assert shown == sorted(shown)
    job = engine.get(job_id)
    assert job.stage == "at 0.7" and job.steps[0].data == {"f": 1} and job.steps[0].progress == 0.7
    call.do(lambda context: context.progress(5.0))
    assert engine.get(job_id).progress < 1.0  # 100 % is for what is over
    assert engine.get(job_id).steps[0].heartbeat_at is not None
    call.finish()
    assert ended(engine, job_id).progress == 1.0


def test_a_first_estimate_says_that_it_is_a_guess_and_a_learned_one_does_not(make_engine: Make) -> None:
    engine = make_engine(total=1)
    gate = with_gate(engine)
    first = submit(engine)
    call = gate.next()
    assert engine.get(first).eta_is_guess
    call.do(lambda context: context.progress(0.5))
    assert engine.get(first).eta_is_guess  # measured by its own reports, but never seen before
    call.do(lambda context: context.wait_stop(0.05))  # long enough to be worth learning
    call.finish()
    ended(engine, first)
    second = submit(engine)
    job = engine.get(second)
    assert not job.eta_is_guess and job.eta_seconds is not None and job.eta_seconds >= 0.04


def test_a_first_guess_of_the_backend_is_used_and_named_as_one(engine: Engine) -> None:
    engine.register_backend(Gate(estimate=lambda payload: Estimate(seconds=40.0)))
    register(engine, "gate", StepSpec(name="s", backend="gate"))
    engine.pause_queue()
    job = engine.get(submit(engine))
    assert job.eta_seconds == 40.0 and job.eta_is_guess


def test_learned_times_survive_a_restart(tmp_path: Path, make_engine: Make) -> None:
    engine = make_engine(journal=FileJournal(tmp_path))
    gate = with_gate(engine)
    job_id = submit(engine)
    call = gate.next()
    call.do(lambda context: context.wait_stop(0.05))
    call.finish()
    ended(engine, job_id)
    engine.close()
    engine = make_engine(journal=FileJournal(tmp_path))
    with_gate(engine)
    engine.pause_queue()
    assert not engine.get(submit(engine)).eta_is_guess


def test_an_external_reference_is_durable_before_the_backend_goes_on(tmp_path: Path, make_engine: Make) -> None:
    from motion_queue.persistence.reader import read_state  # noqa: PLC0415

    engine = make_engine(journal=FileJournal(tmp_path))
    gate = with_gate(engine)
    job_id = submit(engine)
    gate.next().do(lambda context: context.external_ref("prediction-17"))
    assert read_state(tmp_path).jobs[job_id]["steps"][0]["external_ref"] == "prediction-17"
    engine.close()
    engine = make_engine(journal=FileJournal(tmp_path))
    gate = with_gate(engine)
    call = gate.next()
    assert call.request.external_ref == "prediction-17"
    call.fail(error(retryable=True))
    again = gate.next()
    assert again.request.external_ref == ""  # another attempt starts anew


def test_a_job_that_waits_too_long_expires(make_engine: Make) -> None:
    engine = make_engine(total=1)
    gate = with_gate(engine)
    running = submit(engine, expires_after=0.2)
    gate.next()
    waiting = submit(engine, expires_after=0.2)
    paused = submit(engine, expires_after=0.2)
    engine.pause(paused)
    for job_id in (waiting, paused):
        assert ended(engine, job_id).error.code == "expired"  # type: ignore[union-attr]
    assert engine.get(running).state is JobState.RUNNING
    assert not engine._core.expiring


def test_jobs_of_a_backend_that_is_away_wait_until_it_says_that_it_is_back(engine: Engine) -> None:
    class Away(Instant):
        hold_while_away = True
        ok = False

        def health(self) -> Health:
            return Health(self.ok, "Start the server.")

    backend = Away("away")
    engine.register_backend(backend)
    engine.register_backend(Instant())
    register(engine, "away", StepSpec(name="s", backend="away"))
    register(engine, "here", StepSpec(name="s", backend="instant"))
    held = submit(engine, "away")
    assert ended(engine, submit(engine, "here")).state is JobState.COMPLETED
    assert engine.get(held).state is JobState.QUEUED
    assert engine.check_backends()["away"] == Health(False, "Start the server.")
    backend.ok = True
    engine.register_backend(backend)  # asks at once
    assert ended(engine, held).state is JobState.COMPLETED


def test_a_backend_whose_health_raises_is_away(engine: Engine) -> None:
    class Broken(Instant):
        def health(self) -> Health:
            raise OSError("no network")

    engine.register_backend(Broken("broken"))
    health = engine.check_backends()["broken"]
    assert not health.ok and "no network" in health.message


def test_a_recovered_job_of_an_unknown_backend_waits_until_that_is_registered(tmp_path: Path, make_engine: Make) -> None:
    engine = make_engine(journal=FileJournal(tmp_path))
    with_gate(engine)
    engine.pause_queue()
    job_id = submit(engine)
    engine.resume_queue()
    engine.close()
    engine = make_engine(journal=FileJournal(tmp_path))
    assert "not registered" in engine.get(job_id).stage
    engine.register_backend(Instant())
    register(engine, "w", StepSpec(name="s", backend="instant"))
    assert ended(engine, submit(engine, "w")).state is JobState.COMPLETED
    gate = with_gate(engine)
    assert gate.next().job_id == job_id


def test_a_job_log_that_cannot_be_written_decides_nothing(make_engine: Make) -> None:
    def full(job_id: str, level: str, line: str) -> None:
        raise OSError("disk full")

    engine = make_engine(job_log=full)
    gate = with_gate(engine)
    job_id = submit(engine)
    call = gate.next()
    call.do(lambda context: context.log("info", "hello"))
    call.fail(error("broken"))
    assert ended(engine, job_id).error.code == "broken"  # type: ignore[union-attr]


def test_a_job_has_a_log_of_its_own_with_its_errors(make_engine: Make) -> None:
    lines: list[tuple[str, str, str]] = []
    engine = make_engine(job_log=lambda *line: lines.append(line))
    gate = with_gate(engine)
    job_id = submit(engine)
    call = gate.next()
    call.do(lambda context: context.log("warning", "odd clip"))
    with pytest.raises(Exception, match="no log level"):
        call.do(lambda context: context.log("loud", "x"))
    call.fail(error("broken"))
    ended(engine, job_id)
    call.thread.join(0)
    wait_for(engine, lambda: len(lines) == 2)
    assert lines[0] == (job_id, "warning", "odd clip")
    assert lines[1][:2] == (job_id, "error") and "broken" in lines[1][2]


def test_a_retry_is_a_new_job_and_modify_and_retry_changes_its_payload(engine: Engine, gate: Gate) -> None:
    old = submit(engine, payload={"fps": 24}, label="walk", project_id="p", priority=70, metadata={"m": 1})
    gate.next().fail(error())
    ended(engine, old)
    new, other = engine.retry(old).job_id, engine.retry(old, {"fps": 30}, priority=10).job_id
    assert engine.get(old).state is JobState.FAILED
    for job_id, fps, priority in ((new, 24, 70), (other, 30, 10)):
        job = engine.get(job_id)
        assert (job.retry_of, job.payload, job.priority, job.label, job.project_id, job.metadata) == (
            *(old, {"fps": fps}, priority, "walk", "p", {"m": 1}),
        )
    with pytest.raises(Exception, match="only a job that is over"):
        engine.retry(new)


@pytest.mark.parametrize(("limit", "expected"), [(3, JobState.FAILED), (0, JobState.COMPLETED)])
def test_a_job_whose_process_dies_again_and_again_is_given_up_unless_told_not_to(
    tmp_path: Path, make_engine: Make, limit: int, expected: JobState
) -> None:
    from motion_queue.queue import Record  # noqa: PLC0415

    journal = FileJournal(tmp_path)
    last = journal.open().last_seq
    steps = [{"name": "s", "backend": "instant", "lane": "cpu", "state": "running", "attempt": 1}]
    fields = {
        "id": "j",
        "workflow": "w",
        "state": "running",
        "crash_count": 2,
        "steps": steps,
        "queued_at": 1.0,
        "created_at": 1.0,
    }
    journal.append([Record(last + 1, 1.0, "job_submitted", "j", fields)])
    assert journal.wait(last + 1, BOUND)
    journal.close()
    engine = make_engine(
        journal=FileJournal(tmp_path), max_crashes=limit, setup=lambda engine: engine.register_backend(Instant())
    )
    job = ended(engine, "j")
    assert job.state is expected and job.crash_count == 3 and job.recovered and job.attempt == 1
    if limit:
        assert job.error is not None and job.error.code == "crash_loop"
