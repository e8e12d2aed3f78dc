# SPDX-License-Identifier: GPL-3.0-or-later
"""What is taken, what is refused, and that a batch is taken whole or not at all."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from motion_queue.queue import Engine, JobSpec, JobState, MotionQueueError, StepSpec, Workflow

from .conftest import Make
from .gates import BOUND, Gate, Instant, ended, register, submit, with_gate


def refused(code: str) -> Any:
    return pytest.raises(MotionQueueError, check=lambda error: error.code == code)


def test_a_job_is_durable_runs_and_keeps_what_its_step_returned(engine: Engine) -> None:
    engine.register_backend(Instant())
    register(engine, "w", StepSpec(name="a", backend="instant"), StepSpec(name="b", backend="instant"))
    ticket = engine.submit(JobSpec(workflow="w", label="walk", payload={"frames": [1, 2]}, metadata={"by": "me"}))
    assert ticket.wait_durable(BOUND)
    job = ended(engine, ticket.job_id)
    assert (job.state, job.label, job.payload, job.metadata) == (JobState.COMPLETED, "walk", {"frames": [1, 2]}, {"by": "me"})
    assert job.result == {"a": {"step": "a"}, "b": {"step": "b"}}
    assert job.progress == 1.0 and job.degraded == "" and job.eta_seconds == 0.0


def test_a_batch_is_one_durable_write_and_keeps_its_order(engine: Engine, gate: Gate) -> None:
    ticket = engine.submit_many([JobSpec(workflow="gate", batch_id="b", label=str(i)) for i in range(50)])
    assert ticket.wait_durable(BOUND)
    assert [job.label for job in engine.query(batch="b").jobs] == [str(i) for i in range(50)]
    assert engine.order()[:50] == ticket.job_ids


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (JobSpec(workflow="nowhere"), "unknown_workflow"),
        (JobSpec(workflow="strict", payload={"frames": -1}), "bad_payload"),
        (JobSpec(workflow="orphan"), "unknown_backend"),
        (JobSpec(workflow="gate", priority=101), "bad_priority"),
        (JobSpec(workflow="gate", priority=True), "bad_priority"),
        (JobSpec(workflow="gate", id="taken"), "duplicate_id"),
        (JobSpec(workflow="gate", payload={"a": {"b": {1, 2}}}), "bad_value"),
        (JobSpec(workflow="gate", metadata={"a": math.nan}), "bad_value"),
        (JobSpec(workflow="gate", source={"a": object()}), "bad_value"),
    ],
)
def test_one_refused_job_refuses_its_whole_batch(engine: Engine, gate: Gate, bad: JobSpec, code: str) -> None:
    register(engine, "orphan", StepSpec(name="s", backend="nobody"))
    engine.register_workflow(
        Workflow(
            name="strict",
            steps=(StepSpec(name="s", backend="gate"),),
            validate=lambda payload: {"frames": "must be positive"} if payload["frames"] < 0 else {},
        )
    )
    submit(engine, id="taken")
    before = engine.query(state="unfinished").total
    with refused(code):
        engine.submit_many([JobSpec(workflow="gate"), JobSpec(workflow="gate"), bad])
    assert engine.query(state="unfinished").total == before


def test_a_refused_payload_names_its_fields(engine: Engine, gate: Gate) -> None:
    steps = (StepSpec(name="s", backend="gate"),)
    engine.register_workflow(Workflow(name="strict", steps=steps, validate=lambda payload: {"fps": "is missing"}))
    with refused("bad_payload") as caught:
        submit(engine, "strict")
    assert caught.value.details == {"fps": "is missing"}


def test_a_bad_value_is_named_by_its_place(engine: Engine, gate: Gate) -> None:
    with refused("bad_value") as caught:
        submit(engine, payload={"clips": [{"path": "a"}, {"path": object()}]})
    assert list(caught.value.details) == ["clips[1].path"]


def test_a_payload_too_deep_or_too_large_is_refused(engine: Engine, gate: Gate) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    for payload in (deep, {"n": list(range(200_000))}, {"s": "x" * 5_000_000}):
        with refused("bad_value"):
            submit(engine, payload=payload)


def test_changing_a_payload_after_submitting_changes_no_job(engine: Engine, gate: Gate) -> None:
    payload = {"clips": ["a"]}
    job_id = submit(engine, payload=payload)
    payload["clips"].append("b")
    assert engine.get(job_id).payload == {"clips": ["a"]}
    assert gate.of(job_id).request.payload == {"clips": ["a"]}


def test_the_same_idempotency_key_is_the_same_job_within_its_project(engine: Engine, gate: Gate) -> None:
    first = submit(engine, idempotency_key="k", project_id="p")
    assert submit(engine, idempotency_key="k", project_id="p") == first
    assert submit(engine, idempotency_key="k", project_id="q") != first
    spec = JobSpec(workflow="gate", idempotency_key="new")
    ids = engine.submit_many([spec, spec]).job_ids
    assert ids[0] == ids[1]
    gate.of(first).finish()
    ended(engine, first)
    assert submit(engine, idempotency_key="k", project_id="p") == first


def test_an_idempotency_key_is_free_again_when_its_job_is_cleared(engine: Engine, gate: Gate) -> None:
    first = submit(engine, idempotency_key="k")
    gate.next().finish()
    ended(engine, first)
    engine.clear_finished()
    assert submit(engine, idempotency_key="k") != first


def test_a_full_queue_refuses_and_says_when_to_come_back(make_engine: Make) -> None:
    engine = make_engine(total=1, max_queued=3)
    gate = with_gate(engine)
    running = submit(engine)
    gate.of(running)
    engine.submit_many([JobSpec(workflow="gate")] * 3)
    with refused("queue_full") as caught:
        submit(engine)
    assert caught.value.retryable and float(caught.value.details["retry_after"]) > 0
    engine.set_limits(max_queued=4)
    submit(engine)


def test_a_project_has_its_own_bound(make_engine: Make) -> None:
    engine = make_engine(max_active_per_project=2)
    gate = with_gate(engine)
    first = submit(engine, project_id="p")
    submit(engine, project_id="p")
    with refused("project_full"):
        submit(engine, project_id="p")
    with refused("project_full"):
        engine.submit_many([JobSpec(workflow="gate", project_id="q")] * 3)
    submit(engine, project_id="q")
    gate.of(first).finish()
    ended(engine, first)
    submit(engine, project_id="p")


def test_an_exclusive_key_that_rejects_is_refused_while_another_job_has_it(make_engine: Make) -> None:
    engine = make_engine()
    engine.register_backend(gate := Gate())
    register(engine, "camera", StepSpec(name="s", backend="gate", exclusive_key="camera", on_conflict="reject"))
    register(engine, "patient", StepSpec(name="s", backend="gate", exclusive_key="camera"))
    first = submit(engine, "camera")
    for specs in (["camera"], ["patient", "camera"]):
        with refused("key_taken"):
            engine.submit_many([JobSpec(workflow=name) for name in specs])
    patient = submit(engine, "patient")
    gate.of(first).finish()
    gate.of(patient).finish()
    ended(engine, patient)
    submit(engine, "camera")
    with refused("key_taken"):
        submit(engine, "camera")


def test_an_exclusive_key_that_queues_runs_one_at_a_time_in_order(make_engine: Make) -> None:
    engine = make_engine(total=4)
    gate = with_gate(engine, exclusive_key="camera")
    ids = [submit(engine) for _ in range(4)]
    for job_id in ids:
        call = gate.next()
        assert call.job_id == job_id and len(gate.running) == 1
        call.finish()
        ended(engine, job_id)
    assert gate.most == 1


def test_a_waiting_job_for_the_key_does_not_hold_up_others(make_engine: Make) -> None:
    engine = make_engine(total=4)
    gate = with_gate(engine, exclusive_key="camera")
    register(engine, "free", StepSpec(name="s", backend="gate"))
    holder, waiting, free = submit(engine), submit(engine), submit(engine, "free")
    gate.of(holder)
    gate.of(free)
    assert engine.get(waiting).state is JobState.QUEUED


def test_nothing_is_taken_before_start_or_after_close(make_engine: Make) -> None:
    engine = make_engine(start=False)
    with_gate(engine)
    with refused("not_started"):
        submit(engine)
    engine.start()
    engine.close()
    with refused("closing"):
        submit(engine)


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (StepSpec(name="a", backend="gate"), StepSpec(name="a", backend="gate")),
        (StepSpec(name="", backend="gate"),),
        (StepSpec(name="a", backend="gate", needs=("b",)), StepSpec(name="b", backend="gate")),
        (StepSpec(name="a", backend="gate", max_attempts=0),),
        (StepSpec(name="a", backend="gate", on_conflict="perhaps"),),
    ],
)
def test_a_workflow_that_means_nothing_is_refused(engine: Engine, steps: tuple[StepSpec, ...]) -> None:
    with refused("bad_workflow"):
        engine.register_workflow(Workflow(name="w", steps=steps))


def test_something_that_is_no_backend_is_refused(engine: Engine) -> None:
    with refused("bad_backend"):
        engine.register_backend(object())  # type: ignore[arg-type]
    with refused("bad_backend"):
        engine.register_backend(Gate(name=""))


def test_a_plan_chooses_the_steps_for_a_payload(engine: Engine) -> None:
    engine.register_backend(Instant())

    def plan(payload: Any) -> list[StepSpec]:
        return [StepSpec(name=name, backend="instant") for name in payload["steps"]]

    engine.register_workflow(Workflow(name="planned", plan=plan))
    job = ended(engine, submit(engine, "planned", payload={"steps": ["x", "y"]}))
    assert list(job.result) == ["x", "y"]
    with refused("bad_workflow"):
        submit(engine, "planned", payload={"steps": ["x", "x"]})


def test_many_threads_submit_at_once_and_every_job_gets_its_own_place(engine: Engine) -> None:
    engine.register_backend(Instant())
    register(engine, "w", StepSpec(name="s", backend="instant"))
    engine.set_limits(finished_kept=1000)
    ids: list[str] = []

    def work() -> None:
        ids.extend(submit(engine, "w") for _ in range(25))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert engine.wait_idle(BOUND)
    jobs = engine.query(limit=1000).jobs
    assert {job.id for job in jobs} == set(ids) and len(ids) == 200
    assert len({job.position for job in jobs}) == 200
    assert {job.state for job in jobs} == {JobState.COMPLETED}
