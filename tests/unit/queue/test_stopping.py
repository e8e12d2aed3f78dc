# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancel and pause in every state a job can be in, and who wins the races."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from motion_queue.queue import Engine, JobSpec, JobState, StepSpec, StepState, StepStopped, StopReason

from .conftest import Make
from .gates import BOUND, Gate, Instant, ended, error, register, submit, wait_for, wait_state, with_gate
from .test_submitting import refused


def two_lanes(engine: Engine) -> Gate:
    """A workflow of two steps whose second lane is closed: a job rests between its steps."""
    gate = Gate()
    engine.register_backend(gate)
    engine.set_limits(lanes={"cpu": 2, "shut": 0})
    register(engine, "two", StepSpec(name="a", backend="gate"), StepSpec(name="b", backend="gate", lane="shut"))
    return gate


def between_steps(engine: Engine, gate: Gate) -> str:
    job_id = submit(engine, "two")
    gate.of(job_id).finish()
    wait_for(engine, lambda: engine.get(job_id).steps[0].state is StepState.COMPLETED)
    return job_id


def test_a_queued_job_is_cancelled_at_once_and_never_starts(make_engine: Make) -> None:
    engine = make_engine(total=1)
    gate = with_gate(engine)
    first, second, third = (submit(engine) for _ in range(3))
    engine.cancel(second)
    assert engine.get(second).state is JobState.CANCELLED
    for job_id in (first, third):
        assert gate.next().job_id == job_id
        gate.of(job_id).finish()
    assert ended(engine, third).state is JobState.COMPLETED
    assert ended(engine, second).steps[0].state is StepState.SKIPPED


def test_a_running_job_stops_first(engine: Engine) -> None:
    engine.register_backend(gate := Gate(obeys=False))
    register(engine, "gate", StepSpec(name="s", backend="gate"))
    job_id = submit(engine)
    call = gate.of(job_id)
    engine.cancel(job_id)
    engine.cancel(job_id)
    assert engine.get(job_id).state is JobState.STOPPING
    assert call.asked.wait(BOUND)
    assert call.context.stop_reason is StopReason.CANCEL and call.context.wait_stop(BOUND)
    with pytest.raises(StepStopped):
        call.do(lambda context: context.check())
    call.fail(error("stopped on the way"))
    job = ended(engine, job_id)
    assert job.state is JobState.CANCELLED and job.steps[0].state is StepState.CANCELLED


def test_a_job_that_finishes_while_it_is_being_cancelled_is_completed(engine: Engine) -> None:
    engine.register_backend(gate := Gate(obeys=False))
    register(engine, "gate", StepSpec(name="s", backend="gate"))
    job_id = submit(engine)
    call = gate.of(job_id)
    engine.cancel(job_id)
    call.finish(done=True)
    job = ended(engine, job_id)
    assert job.state is JobState.COMPLETED and job.result == {"s": {"done": True}}


def test_a_step_that_finishes_while_its_job_is_being_cancelled_is_the_last(engine: Engine) -> None:
    engine.register_backend(gate := Gate(obeys=False))
    register(engine, "two", StepSpec(name="a", backend="gate"), StepSpec(name="b", backend="gate"))
    job_id = submit(engine, "two")
    call = gate.of(job_id)
    engine.cancel(job_id)
    call.finish()
    job = ended(engine, job_id)
    assert job.state is JobState.CANCELLED
    assert [step.state for step in job.steps] == [StepState.COMPLETED, StepState.SKIPPED]


def test_a_job_between_two_steps_is_cancelled_at_once(engine: Engine) -> None:
    gate = two_lanes(engine)
    job_id = between_steps(engine, gate)
    assert engine.get(job_id).state is JobState.RUNNING
    engine.cancel(job_id)
    assert engine.get(job_id).state is JobState.CANCELLED
    engine.set_limits(lanes={"cpu": 2, "shut": 2})
    assert ended(engine, job_id).steps[1].state is StepState.SKIPPED


def test_a_paused_and_a_delayed_job_can_be_cancelled(engine: Engine, gate: Gate) -> None:
    delayed = submit(engine, not_before=4e9)
    paused = submit(engine, not_before=4e9)
    engine.pause(paused)
    engine.cancel_many([delayed, paused])
    assert {engine.get(i).state for i in (delayed, paused)} == {JobState.CANCELLED}


def test_cancelling_a_batch_leaves_other_jobs_and_finished_ones_alone(make_engine: Make) -> None:
    engine = make_engine(total=1)
    gate = with_gate(engine)
    ids = engine.submit_many([JobSpec(workflow="gate", batch_id="b") for _ in range(4)]).job_ids
    other = submit(engine)
    gate.next().finish()
    ended(engine, ids[0])
    gate.next()
    ticket = engine.cancel_batch("b")
    assert set(ticket.job_ids) == set(ids[1:]) and ticket.wait_durable(BOUND)
    assert [ended(engine, i).state for i in ids] == [JobState.COMPLETED] + [JobState.CANCELLED] * 3
    gate.of(other).finish()
    assert ended(engine, other).state is JobState.COMPLETED


def test_what_is_over_stays_as_it_is(engine: Engine, gate: Gate) -> None:
    job_id = submit(engine)
    gate.next().finish()
    before = ended(engine, job_id).to_json()
    engine.cancel(job_id)
    for action in (engine.pause, engine.resume, lambda i: engine.move(i, "top"), lambda i: engine.set_priority(i, 3)):
        with refused("wrong_state"):
            action(job_id)
    assert engine.get(job_id).to_json() == before


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "get", "wait", "retry", "on_finished", "move", "set_priority"])
def test_an_unknown_job_is_an_error_that_says_so(engine: Engine, action: str) -> None:
    more: dict[str, tuple[Any, ...]] = {"on_finished": (print,), "move": ("top",), "set_priority": (1,)}
    with refused("no_such_job"):
        getattr(engine, action)("nobody", *more.get(action, ()))


def test_a_paused_queue_starts_nothing_and_goes_on_in_order(engine: Engine, gate: Gate) -> None:
    running = submit(engine)
    gate.next()
    engine.pause_queue()
    waiting = [submit(engine) for _ in range(2)]
    assert engine.held and "paused" in engine.get(waiting[0]).stage
    gate.of(running).finish()
    ended(engine, running)
    assert not gate.running
    engine.resume_queue()
    assert {gate.next().job_id, gate.next().job_id} == set(waiting)
    assert not engine.held


def test_a_waiting_job_pauses_at_once_and_lets_others_pass(make_engine: Make) -> None:
    engine = make_engine(total=1)
    gate = with_gate(engine)
    first, paused, last = (submit(engine) for _ in range(3))
    engine.pause(paused)
    assert engine.get(paused).state is JobState.PAUSED
    gate.next().finish()
    assert gate.next().job_id == last
    engine.resume(paused)
    gate.of(last).finish()
    assert gate.next().job_id == paused
    assert ended(engine, first).finished


def test_a_running_job_that_can_pause_stops_at_its_checkpoint_and_goes_on_in_the_same_attempt(engine: Engine) -> None:
    engine.register_backend(gate := Gate(can_pause=True))
    register(engine, "gate", StepSpec(name="s", backend="gate"))
    job_id = submit(engine)
    first = gate.next()
    first.do(lambda context: context.progress(0.5))
    engine.pause(job_id)
    job = wait_state(engine, job_id, JobState.PAUSED)
    assert first.context.stop_reason is StopReason.PAUSE
    assert job.steps[0].state is StepState.PENDING and not job.pause_requested and job.steps[0].progress == 0.5
    engine.resume(job_id)
    second = gate.next()
    assert second.request.attempt == 1 and second.request.token != first.request.token
    second.finish()
    assert ended(engine, job_id).state is JobState.COMPLETED


def test_a_running_job_that_cannot_pause_does_so_at_the_end_of_its_step(engine: Engine) -> None:
    engine.register_backend(gate := Gate())
    register(engine, "two", StepSpec(name="a", backend="gate"), StepSpec(name="b", backend="gate"))
    job_id = submit(engine, "two")
    call = gate.next()
    engine.pause(job_id)
    engine.pause(job_id)
    assert engine.get(job_id).state is JobState.RUNNING and engine.get(job_id).pause_requested
    assert call.context.stop_reason is None
    call.finish()
    wait_state(engine, job_id, JobState.PAUSED)
    engine.resume(job_id)
    assert gate.next().request.step == "b"


def test_a_pause_that_was_taken_back_changes_nothing(engine: Engine) -> None:
    engine.register_backend(gate := Gate())
    register(engine, "two", StepSpec(name="a", backend="gate"), StepSpec(name="b", backend="gate"))
    job_id = submit(engine, "two")
    call = gate.next()
    engine.pause(job_id)
    engine.resume(job_id)
    call.finish()
    gate.next().finish()
    assert ended(engine, job_id).state is JobState.COMPLETED


def test_a_pause_taken_back_after_the_backend_was_asked_only_interrupts(engine: Engine) -> None:
    engine.register_backend(gate := Gate(can_pause=True, obeys=False))
    register(engine, "gate", StepSpec(name="s", backend="gate"))
    job_id = submit(engine)
    call = gate.next()
    engine.pause(job_id)
    engine.resume(job_id)
    call.do(lambda context: None)
    call.fail(StepStopped(StopReason.PAUSE))
    gate.next().finish()
    job = ended(engine, job_id)
    assert job.state is JobState.COMPLETED and job.attempt == 1


def test_a_job_that_ends_before_its_pause_takes_effect_has_ended(engine: Engine, gate: Gate) -> None:
    completed, failed = submit(engine), submit(engine)
    for job_id in (completed, failed):
        gate.of(job_id)
        engine.pause(job_id)
    gate.of(completed).finish()
    gate.of(failed).fail(error())
    assert ended(engine, completed).state is JobState.COMPLETED
    assert ended(engine, failed).state is JobState.FAILED
    assert not engine.get(failed).pause_requested


def test_cancel_outranks_a_pause_and_reaches_the_backend_too(engine: Engine) -> None:
    engine.register_backend(gate := Gate(can_pause=True, obeys=False))
    register(engine, "gate", StepSpec(name="s", backend="gate"))
    job_id = submit(engine)
    call = gate.next()
    reasons: list[StopReason] = []
    cancelled = threading.Event()

    def note(reason: StopReason) -> None:
        reasons.append(reason)
        if reason is StopReason.CANCEL:
            cancelled.set()

    call.do(lambda context: context.on_stop(note))
    engine.pause(job_id)
    assert call.asked.wait(BOUND)
    engine.cancel(job_id)
    assert cancelled.wait(BOUND)
    assert reasons[-1] is StopReason.CANCEL and call.context.stop_reason is StopReason.CANCEL
    call.fail(StepStopped(StopReason.CANCEL))
    assert ended(engine, job_id).state is JobState.CANCELLED


def test_a_job_between_two_steps_pauses_at_once(engine: Engine) -> None:
    gate = two_lanes(engine)
    job_id = between_steps(engine, gate)
    engine.pause(job_id)
    assert engine.get(job_id).state is JobState.PAUSED
    engine.set_limits(lanes={"cpu": 2, "shut": 2})
    engine.resume(job_id)
    assert gate.next().request.step == "a" and gate.next().request.step == "b"


def test_a_worker_that_does_not_stop_is_given_up_and_its_late_result_refused(engine: Engine) -> None:
    engine.register_backend(gate := Gate(obeys=False))
    register(engine, "gate", StepSpec(name="s", backend="gate"))
    job_id = submit(engine)
    call = gate.of(job_id)
    engine.cancel(job_id)
    assert ended(engine, job_id).state is JobState.CANCELLED  # after the grace time
    assert engine.metrics().abandoned_threads == 1
    call.do(lambda context: context.external_ref("too late"))
    call.finish(late=True)
    assert call.left.wait(BOUND)
    call.thread.join(BOUND)
    job = engine.get(job_id)
    assert job.state is JobState.CANCELLED and job.result == {} and job.steps[0].external_ref == ""


def test_eight_stuck_workers_leave_room_for_eight_more(make_engine: Make) -> None:
    engine = make_engine(total=8, lanes={"cpu": 8}, grace=0.05)
    engine.register_backend(stuck := Gate("stuck", obeys=False))
    engine.register_backend(Instant())
    register(engine, "stuck", StepSpec(name="s", backend="stuck"))
    register(engine, "fine", StepSpec(name="s", backend="instant"))
    ids = [submit(engine, "stuck") for _ in range(8)]
    calls = [stuck.of(job_id) for job_id in ids]
    engine.cancel_many(ids)
    for job_id in ids:
        assert ended(engine, job_id).state is JobState.CANCELLED
    assert ended(engine, submit(engine, "fine")).state is JobState.COMPLETED
    for call in calls:
        call.finish()


def test_a_backend_that_stops_unasked_has_failed(engine: Engine, gate: Gate) -> None:
    job_id = submit(engine)
    gate.next().fail(StepStopped(StopReason.CANCEL))
    assert ended(engine, job_id).error.code == "backend_contract"  # type: ignore[union-attr]


def test_a_stop_callback_that_raises_harms_nobody(engine: Engine) -> None:
    engine.register_backend(gate := Gate())
    register(engine, "gate", StepSpec(name="s", backend="gate"))
    job_id = submit(engine)

    def broken(reason: StopReason) -> None:
        raise ValueError("mine")

    gate.of(job_id).do(lambda context: context.on_stop(broken))
    engine.cancel(job_id)
    assert ended(engine, job_id).state is JobState.CANCELLED
