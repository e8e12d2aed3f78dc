# SPDX-License-Identifier: GPL-3.0-or-later
"""What callers see of the queue: events, callbacks, waiting, queries, metrics, and what is forgotten when."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motion_queue.queue import Engine, Event, Job, JobSpec, JobState, StepSpec

from .conftest import Make
from .gates import BOUND, Gate, Instant, ended, error, pump_until, register, submit, wait_for, with_gate
from .test_submitting import refused


def instant(engine: Engine) -> None:
    engine.register_backend(Instant())
    register(engine, "w", StepSpec(name="s", backend="instant"))


def test_a_callback_comes_once_on_the_thread_of_the_pump(engine: Engine, gate: Gate) -> None:
    job_id = submit(engine)
    calls: list[tuple[Job, threading.Thread]] = []
    engine.on_finished(job_id, lambda job: calls.append((job, threading.current_thread())))
    gate.next().finish(n=1)
    ended(engine, job_id)
    assert calls == []
    pump_until(engine, lambda: bool(calls))
    engine.pump.tick(1.0)
    assert [(job.id, job.state, thread) for job, thread in calls] == [(job_id, JobState.COMPLETED, threading.current_thread())]


def test_a_callback_for_a_job_that_is_over_comes_too(engine: Engine) -> None:
    instant(engine)
    job_id = submit(engine, "w")
    ended(engine, job_id)
    while engine.pump.tick(1.0):
        continue
    calls: list[Job] = []
    engine.on_finished(job_id, calls.append)
    pump_until(engine, lambda: bool(calls))
    assert calls[0].state is JobState.COMPLETED


def test_a_callback_can_be_taken_back_and_one_that_raises_harms_no_other(engine: Engine, gate: Gate) -> None:
    job_id = submit(engine)
    calls: list[str] = []

    def broken(job: Job) -> None:
        calls.append("broken")
        raise ValueError("mine")

    engine.on_finished(job_id, broken)
    engine.on_finished(job_id, lambda job: calls.append("kept"))
    take_back = engine.on_finished(job_id, lambda job: calls.append("taken back"))
    take_back()
    take_back()
    gate.next().finish()
    pump_until(engine, lambda: len(calls) == 2)
    engine.pump.tick(1.0)
    assert calls == ["broken", "kept"]


def test_callbacks_of_jobs_that_are_pruned_or_cleared_before_the_pump_ran_still_come(make_engine: Make) -> None:
    engine = make_engine(finished_kept=0)
    gate = with_gate(engine)
    ids = [submit(engine) for _ in range(6)]
    calls: list[str] = []
    for job_id in ids:
        engine.on_finished(job_id, lambda job: calls.append(job.id))
    for _ in ids:
        gate.next().finish()
    assert engine.wait_idle(BOUND)
    engine.clear_finished()
    assert engine.query().total == 0
    pump_until(engine, lambda: len(calls) == 6)
    assert sorted(calls) == sorted(ids) and not engine._core.departed


def test_subscribers_get_every_durable_event_in_order_and_one_that_raises_harms_no_other(engine: Engine) -> None:
    instant(engine)
    seen: list[Event] = []

    def broken(event: Event) -> None:
        raise ValueError("mine")

    engine.subscribe(broken)
    unsubscribe = engine.subscribe(seen.append)
    ids = engine.submit_many([JobSpec(workflow="w")] * 20).job_ids
    assert engine.wait_idle(BOUND)
    last = engine.last_event
    pump_until(engine, lambda: any(e.record is not None and e.record.seq >= last for e in seen))
    records = [event.record for event in seen if event.record is not None]
    assert [r.seq for r in records] == list(range(1, last + 1))
    for job_id in ids:
        assert [r.name for r in records if r.job == job_id] == ["job_submitted", "step_started", "job_completed"]
    unsubscribe()
    submit(engine, "w")
    assert engine.wait_idle(BOUND)
    engine.pump.tick(1.0)
    assert [e.record.seq for e in seen if e.record is not None][-1] == last


def test_progress_is_the_latest_value_and_never_comes_after_the_end(engine: Engine, gate: Gate) -> None:
    seen: list[Event] = []
    engine.subscribe(seen.append)
    job_id = submit(engine)
    call = gate.next()
    call.do(lambda context: context.progress(0.4, "frame 4"))
    pump_until(engine, lambda: any(e.progress is not None and e.progress.stage == "frame 4" for e in seen))
    call.do(lambda context: context.progress(0.8, "frame 8"))
    call.finish()
    ended(engine, job_id)
    pump_until(engine, lambda: any(e.record is not None and e.record.name == "job_completed" for e in seen))
    while engine.pump.tick(1.0):
        continue
    kinds = [e.record.name if e.record is not None else "progress" for e in seen]
    assert kinds[-1] == "job_completed"


def test_events_are_replayed_from_any_point_or_say_resync(make_engine: Make) -> None:
    engine = make_engine(events_kept=10)
    instant(engine)
    engine.submit_many([JobSpec(workflow="w")] * 10)
    assert engine.wait_idle(BOUND)
    last = engine.last_event
    records, resync = engine.events(last - 5)
    assert [r.seq for r in records] == list(range(last - 4, last + 1)) and not resync
    assert engine.events(last) == ((), False)
    records, resync = engine.events(0)
    assert resync and [r.seq for r in records] == list(range(last - 9, last + 1))
    assert engine.events(last - 5, limit=2)[0][-1].seq == last - 3
    assert engine.events(last + 100)[1]


def test_a_full_channel_tells_its_reader_to_read_anew() -> None:
    from motion_queue.queue.channel import Channel  # noqa: PLC0415
    from motion_queue.queue.contract import Record  # noqa: PLC0415

    channel = Channel(capacity=3)
    channel.post([Record(i, 0.0, "step_started", "j", {}) for i in range(1, 6)])
    channel.post([Record(6, 0.0, "job_completed", "j", {})])
    first, second, third = channel.take(), channel.take(), channel.take()
    assert first is not None and first.resync
    assert second is not None and second.record is not None and second.record.seq == 6
    assert third is None


def test_callbacks_come_after_a_resync_too(engine: Engine, gate: Gate) -> None:
    engine._publisher.channel._capacity = 3
    ids = engine.submit_many([JobSpec(workflow="gate")] * 4).job_ids
    calls: list[str] = []
    for job_id in ids:
        engine.on_finished(job_id, lambda job: calls.append(job.id))
    for _ in ids:
        gate.next().finish()
    assert engine.wait_idle(BOUND)
    pump_until(engine, lambda: len(calls) == 4)


def test_wait_and_wait_idle_end_at_their_time_out(engine: Engine, gate: Gate) -> None:
    job_id = submit(engine)
    gate.next()
    assert engine.wait(job_id, 0.01).state is JobState.RUNNING
    assert not engine.wait_idle(0.01)
    engine.pause(submit(engine, not_before=4e9))
    gate.of(job_id).finish()
    assert engine.wait_idle(BOUND)  # paused jobs do not count


def test_a_job_that_someone_waits_for_is_not_pruned(make_engine: Make) -> None:
    engine = make_engine(finished_kept=0)
    gate = with_gate(engine)
    job_id = submit(engine)
    call = gate.next()
    found: list[Job] = []
    thread = threading.Thread(target=lambda: found.append(engine.wait(job_id, BOUND)))
    thread.start()
    while not engine._core.waited:
        thread.join(0.001)
    call.finish()
    thread.join(BOUND)
    assert found[0].state is JobState.COMPLETED


def test_only_the_newest_finished_jobs_are_kept(make_engine: Make) -> None:
    engine = make_engine(finished_kept=8, total=1)
    instant(engine)
    ids = [submit(engine, "w") for _ in range(40)]
    assert engine.wait_idle(BOUND)
    wait_for(engine, lambda: engine.query().total <= 8 + 8 // 4)  # a little slack saves work
    kept = [job.id for job in engine.query().jobs]
    assert len(kept) >= 8 and kept == ids[-len(kept) :]


def test_clearing_forgets_only_what_is_over_and_asked_for(engine: Engine, gate: Gate) -> None:
    completed, failed, cancelled, running = (submit(engine, not_before=4e9 if i == 2 else None) for i in range(4))
    gate.of(completed).finish()
    ended(engine, completed)
    gate.of(failed).fail(error())
    ended(engine, failed)
    engine.cancel(cancelled)
    ended(engine, cancelled)
    assert engine.clear_finished([JobState.FAILED]).job_ids == (failed,)
    assert set(engine.clear_finished().job_ids) == {completed, cancelled}
    assert [job.id for job in engine.query().jobs] == [running]
    with refused("no_such_job"):
        engine.get(failed)


def test_metrics_count_what_ended_and_how_long_it_took(engine: Engine, gate: Gate) -> None:
    assert engine.metrics().waiting is None
    done, failed = submit(engine), submit(engine)
    gate.of(done).finish()
    gate.of(failed).fail(error())
    ended(engine, done), ended(engine, failed)
    metrics = engine.metrics()
    assert metrics.finished == {"completed": 1, "failed": 1} and metrics.per_minute == 2
    assert metrics.states["completed"] == 1 and metrics.states["queued"] == 0
    assert metrics.running is not None and metrics.running.count == 2 and metrics.running.p99 >= metrics.running.p50 >= 0
    assert engine.counts() == metrics.states


@pytest.mark.parametrize("wrong", [{"offset": -1}, {"limit": -1}, {"limit": 10_001}, {"state": "asleep"}])
def test_a_query_that_means_nothing_is_refused(engine: Engine, wrong: dict[str, Any]) -> None:
    with refused("bad_query"):
        engine.query(**wrong)


_CHOICE = st.sampled_from
_SPEC = st.tuples(_CHOICE(["", "p", "q"]), _CHOICE(["", "a", "b"]), _CHOICE(["w1", "w2"]), _CHOICE(["run", "cancel", "pause"]))
_SPECS = st.lists(_SPEC, max_size=25)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs=_SPECS, data=st.data())
def test_a_query_finds_what_a_plain_filter_finds(specs: list[tuple[str, str, str, str]], data: st.DataObject) -> None:
    engine = Engine()
    engine.register_backend(Gate())
    for name in ("w1", "w2"):
        register(engine, name, StepSpec(name="s", backend="gate"))
    engine.start()
    try:
        for project, batch, workflow, fate in specs:
            job_id = submit(engine, workflow, project_id=project, batch_id=batch, not_before=None if fate == "run" else 4e9)
            if fate == "cancel":
                engine.cancel(job_id)
            elif fate == "pause":
                engine.pause(job_id)
        everything = engine.query(limit=1000).jobs
        times = [job.created_at for job in everything] or [0.0]
        states = [None, "unfinished", "queued", JobState.CANCELLED, ["paused", "cancelled"], ["running", "unfinished"], []]
        for _ in range(8):
            asked: dict[str, Any] = {
                "project": data.draw(_CHOICE([None, "p", "q", "zzz"])),
                "batch": data.draw(_CHOICE([None, "a", "b"])),
                "workflow": data.draw(_CHOICE([None, "w1", "w2"])),
                "since": data.draw(st.none() | _CHOICE(times)),
                "state": data.draw(_CHOICE(states)),
            }
            offset, limit = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 10))
            page = engine.query(**asked, offset=offset, limit=limit)
            expected = [job.id for job in everything if _matches(job, **asked)]
            assert page.total == len(expected)
            assert [job.id for job in page.jobs] == expected[offset : offset + limit]
    finally:
        engine.close(BOUND)


def _matches(job: Job, *, project: Any, batch: Any, workflow: Any, since: Any, state: Any) -> bool:
    wanted = [] if state is None else [state] if isinstance(state, str) else state
    return (
        (project is None or job.project_id == project)
        and (batch is None or job.batch_id == batch)
        and (workflow is None or job.workflow == workflow)
        and (since is None or job.created_at > since)
        and (state is None or str(job.state) in wanted or ("unfinished" in wanted and not job.finished))
    )
