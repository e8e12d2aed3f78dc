# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which jobs start, and everything that changes it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from motion_queue.queue import Engine, Estimate, JobSpec, JobState, StepSpec

from .conftest import Make
from .gates import Gate, ended, register, submit, with_gate
from .test_submitting import refused


@pytest.fixture
def line(make_engine: Make) -> tuple[Engine, Gate, list[str]]:
    """Five jobs that wait while nothing may start."""
    engine = make_engine(total=1)
    gate = with_gate(engine)
    engine.pause_queue()
    return engine, gate, list(engine.submit_many([JobSpec(workflow="gate", label=name) for name in "abcde"]).job_ids)


def names(engine: Engine) -> str:
    return "".join(engine.get(job_id).label for job_id in engine.order())


def started(engine: Engine, gate: Gate, count: int) -> str:
    found = ""
    for _ in range(count):
        call = gate.next()
        found += engine.get(call.job_id).label
        call.finish()
        ended(engine, call.job_id)
    return found


@pytest.mark.parametrize(
    ("which", "to", "expected"),
    [
        ("c", "up", "acbde"),
        ("c", "down", "abdce"),
        ("c", "top", "cabde"),
        ("c", "bottom", "abdec"),
        ("a", "up", "abcde"),
        ("e", "down", "abcde"),
        ("e", 0, "eabcd"),
        ("a", 2, "bcade"),
        ("a", 4, "bcdea"),
        ("b", 1, "abcde"),
        ("b", 99, "acdeb"),
        ("d", -3, "dabce"),
    ],
)
def test_a_job_moves_to_its_place_and_runs_from_there(
    line: tuple[Engine, Gate, list[str]], which: str, to: str | int, expected: str
) -> None:
    engine, gate, ids = line
    engine.move(ids["abcde".index(which)], to)
    assert names(engine) == expected
    engine.resume_queue()
    assert started(engine, gate, 5) == expected


@pytest.mark.parametrize("to", ["left", True, 1.5, None])
def test_a_place_that_is_none_is_refused(line: tuple[Engine, Gate, list[str]], to: object) -> None:
    engine, _gate, ids = line
    with refused("bad_position"):
        engine.move(ids[0], to)  # type: ignore[arg-type]


def test_higher_priority_runs_first_and_ties_by_arrival(make_engine: Make) -> None:
    engine = make_engine(total=1)
    gate = with_gate(engine)
    engine.pause_queue()
    for name, priority in zip("abcdef", (10, 50, 90, 50, 10, 90), strict=True):
        submit(engine, label=name, priority=priority)
    assert names(engine) == "cfbdae"
    engine.resume_queue()
    assert started(engine, gate, 6) == "cfbdae"


def test_changing_the_priority_moves_a_waiting_job(line: tuple[Engine, Gate, list[str]]) -> None:
    engine, gate, ids = line
    engine.set_priority(ids[4], 80)
    engine.set_priority(ids[0], 20)
    assert names(engine) == "ebcda"
    for wrong in (-1, 101, True, 1.5):
        with refused("bad_priority"):
            engine.set_priority(ids[0], wrong)  # type: ignore[arg-type]
    engine.resume_queue()
    assert started(engine, gate, 5) == "ebcda"


def test_moving_across_priorities_takes_the_nearer_neighbours(make_engine: Make) -> None:
    engine = make_engine(total=1)
    with_gate(engine)
    engine.pause_queue()
    ids = {name: submit(engine, label=name, priority=p) for name, p in zip("abcd", (90, 90, 10, 10), strict=True)}
    engine.move(ids["d"], "top")
    assert names(engine) == "dabc" and engine.get(ids["d"]).priority == 90
    engine.move(ids["a"], "bottom")
    assert names(engine) == "dbca" and engine.get(ids["a"]).priority == 10
    engine.move(ids["a"], 2)
    assert names(engine) == "dbac" and engine.get(ids["a"]).priority == 10  # fits without a change


def test_positions_without_a_number_between_them_are_numbered_anew(line: tuple[Engine, Gate, list[str]]) -> None:
    engine, _gate, ids = line
    expected = list(ids)
    for turn in range(200):  # each halves the gap; a float has 52 halvings
        mover = expected[4] if turn % 2 else expected[3]
        engine.move(mover, 1)
        expected.remove(mover)
        expected.insert(1, mover)
        assert list(engine.order()) == expected
    positions = [engine.get(job_id).position for job_id in expected]
    assert positions == sorted(set(positions))


def test_a_later_job_never_overtakes_one_that_was_moved_to_the_bottom(line: tuple[Engine, Gate, list[str]]) -> None:
    engine, _gate, ids = line
    for job_id in ids:
        engine.move(job_id, "bottom")
    submit(engine, label="z")
    assert names(engine) == "abcdez"


def test_lanes_have_limits_of_their_own_under_one_total(make_engine: Make) -> None:
    engine = make_engine(total=3, lanes={"cpu": 2, "gpu": 1})
    engine.register_backend(gate := Gate())
    for lane in ("cpu", "gpu"):
        register(engine, lane, StepSpec(name="s", backend="gate", lane=lane))
    ids = [submit(engine, lane) for lane in ("cpu", "cpu", "cpu", "gpu", "gpu")]
    assert {gate.next().job_id for _ in range(3)} == {ids[0], ids[1], ids[3]}
    assert engine.metrics().lanes == {"cpu": (2, 1, 2), "gpu": (1, 1, 1)}
    assert [engine.get(i).queue_position for i in ids] == [None, None, 0, None, 0]
    gate.of(ids[3]).finish()
    assert gate.next().job_id == ids[4]


def test_limits_change_while_jobs_run(make_engine: Make) -> None:
    engine = make_engine(total=1, lanes={"cpu": 8})
    gate = with_gate(engine)
    ids = [submit(engine) for _ in range(6)]
    gate.next()
    assert len(gate.running) == 1
    engine.set_limits(total=3)
    gate.next(), gate.next()
    engine.set_limits(total=1)
    for job_id in ids[:3]:
        gate.of(job_id).finish()
        ended(engine, job_id)
    assert gate.next().job_id == ids[3]
    assert len(gate.running) == 1 and engine.limits.total == 1


@pytest.mark.parametrize(
    "wrong",
    [{"total": 0}, {"total": 9}, {"lanes": {"cpu": -1}}, {"memory_mb": -1.0}, {"events_kept": -1}, {"retry_cap": float("nan")}],
)
def test_limits_out_of_range_are_refused_and_change_nothing(engine: Engine, wrong: dict[str, object]) -> None:
    before = engine.limits
    with refused("bad_limits"):
        engine.set_limits(**wrong)
    assert engine.limits == before


def test_memory_is_never_overbooked_and_a_large_step_is_not_starved(make_engine: Make) -> None:
    engine = make_engine(total=4, lanes={"cpu": 4}, memory_mb=1000.0)
    gate = with_gate(engine)
    small = [submit(engine, payload={"memory": 400.0}) for _ in range(2)]
    gate.next(), gate.next()
    large = submit(engine, payload={"memory": 900.0})
    after = [submit(engine, payload={"memory": 100.0}) for _ in range(2)]
    assert engine.metrics().memory_used_mb == 800.0
    assert {engine.get(i).state for i in (large, *after)} == {JobState.QUEUED}
    for job_id in small:
        gate.of(job_id).finish()
        ended(engine, job_id)
    assert {gate.next().job_id, gate.next().job_id} == {large, after[0]}
    assert engine.metrics().memory_used_mb == 1000.0


def test_a_step_larger_than_the_whole_budget_fails_and_says_what_to_do(make_engine: Make) -> None:
    engine = make_engine(memory_mb=1000.0)
    with_gate(engine)
    job = ended(engine, submit(engine, payload={"memory": 2000.0}))
    assert job.error is not None and job.error.code == "memory_budget" and "1000 MB" in job.error.message


def test_lowering_the_budget_holds_a_large_step_without_holding_up_the_others(make_engine: Make) -> None:
    engine = make_engine(total=1, memory_mb=1000.0)
    gate = with_gate(engine)
    first = submit(engine, payload={"memory": 1.0})
    gate.next()
    large, small = submit(engine, payload={"memory": 800.0}), submit(engine, payload={"memory": 1.0})
    engine.set_limits(memory_mb=500.0)
    gate.of(first).finish()
    call = gate.next()
    assert call.job_id == small and "memory" in engine.get(large).stage
    call.finish()
    engine.set_limits(memory_mb=900.0)
    assert gate.next().job_id == large


def test_a_backend_that_estimates_badly_still_runs(make_engine: Make) -> None:
    def broken(payload: object) -> Estimate:
        raise ValueError("no idea")

    engine = make_engine(memory_mb=100.0)
    for name, estimate in (("raises", broken), ("none", lambda payload: None)):
        engine.register_backend(gate := Gate(name, estimate=estimate))
        register(engine, name, StepSpec(name="s", backend=name))
        job_id = submit(engine, name)
        gate.of(job_id).finish()
        assert ended(engine, job_id).state is JobState.COMPLETED


def test_drain_waits_for_what_runs_and_undrain_goes_on(make_engine: Make) -> None:
    engine = make_engine(total=1)
    gate = with_gate(engine)
    running, waiting = submit(engine), submit(engine)
    call = gate.next()
    assert not engine.drain(0.0)
    call.finish()
    assert engine.drain(20.0)
    assert engine.get(running).finished and engine.get(waiting).state is JobState.QUEUED
    engine.undrain()
    assert gate.next().job_id == waiting


def test_a_delayed_job_lets_others_pass_and_starts_when_it_is_due(make_engine: Make) -> None:
    engine = make_engine(total=1)
    gate = with_gate(engine)
    now = engine.get(submit(engine, not_before=4e9)).created_at
    soon, at_once = submit(engine, not_before=now + 1.0), submit(engine)
    order: Sequence[str] = [gate.next().job_id]
    gate.of(at_once).finish()
    call = gate.next()
    assert [*order, call.job_id] == [at_once, soon]
    assert engine.get(soon).started_at >= now + 0.999  # type: ignore[operator]  # times are kept to the millisecond
