# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for a child that behaves, and for its pool."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from motion_queue.backends.child_worker import WorkerState
from motion_queue.backends.children import ChildSettings
from motion_queue.backends.protocol import ChildKind
from motion_queue.queue.contract import StopReason
from motion_queue.queue.errors import MotionQueueError, StepStopped

from .conftest import MakePool
from .support import BOUND, ENTRIES, Call, Context, alive, wait_gone

PYTHON = ChildKind.PYTHON


def test_arguments_go_in_and_the_result_comes_back_from_the_main_thread_of_another_process(make_pool: MakePool) -> None:
    arguments = {"text": "ä☃\ud800", "numbers": [1, 2.5, None, True], "nested": {"a": [{}]}}
    result = make_pool().run(PYTHON, f"{ENTRIES}:echo", arguments, context := Context())
    assert result["echo"] == arguments
    assert result["main_thread"]
    assert context.workers[0][1] == result["pid"]
    assert context.peak_mb > 5


def test_a_worker_is_used_again_and_finds_nothing_of_the_job_before(make_pool: MakePool) -> None:
    pool = make_pool()
    first = pool.run(PYTHON, f"{ENTRIES}:environment", {}, a := Context())
    second = pool.run(PYTHON, f"{ENTRIES}:environment", {}, b := Context())
    assert a.workers == b.workers
    assert first == second
    assert first["child"] == "1"
    assert (first["left"], first["path"]) == ("", [])
    assert not first["root_on_path"], "queue/ would hide the standard library's queue"


def test_progress_and_log_lines_arrive_in_order_and_the_last_progress_is_never_lost(make_pool: MakePool) -> None:
    make_pool().run(PYTHON, f"{ENTRIES}:report", {"count": 200}, context := Context())
    fractions = [fraction for fraction, _, _ in context.reports]
    assert fractions == sorted(fractions)
    assert context.reports[-1] == (1.0, "stage 199", {"i": 199})
    assert [line for _, line in context.lines if line.startswith("line")] == [f"line {i}" for i in range(200)]


def test_heartbeats_reach_the_context_while_a_job_waits(make_pool: MakePool) -> None:
    pool = make_pool(heartbeat=0.05)
    context = Context()
    call = Call(lambda: pool.run(PYTHON, f"{ENTRIES}:wait_for_stop", {}, context))
    context.wait_until(lambda: context.heartbeats >= 3)
    context.stop()
    with pytest.raises(StepStopped):
        call.result()


@pytest.mark.parametrize("reason", [StopReason.CANCEL, StopReason.PAUSE, StopReason.TIMEOUT, StopReason.SHUTDOWN])
def test_a_job_that_listens_stops_at_its_checkpoint_and_its_worker_stays(make_pool: MakePool, reason: StopReason) -> None:
    pool = make_pool(stop_grace=BOUND, shutdown_grace=BOUND)
    context = Context()
    call = Call(lambda: pool.run(PYTHON, f"{ENTRIES}:wait_for_stop", {}, context))
    context.wait_line("waiting")
    context.stop(reason)
    with pytest.raises(StepStopped) as stopped:
        call.result()
    assert stopped.value.reason == reason
    pool.run(PYTHON, f"{ENTRIES}:echo", {}, after := Context())
    assert after.workers == context.workers


def test_completion_that_wins_the_race_against_a_stop_is_a_result(make_pool: MakePool) -> None:
    pool = make_pool(stop_grace=BOUND)
    context = Context()
    call = Call(lambda: pool.run(PYTHON, f"{ENTRIES}:finish_when_asked_to_stop", {}, context))
    context.wait_line("waiting")
    context.stop()
    assert call.result() == {"finished": True}


def test_a_stop_before_the_start_runs_nothing(make_pool: MakePool) -> None:
    pool = make_pool()
    context = Context()
    context.stop()
    with pytest.raises(StepStopped):
        pool.run(PYTHON, f"{ENTRIES}:echo", {}, context)
    assert pool.stats().started == 0


def test_a_stop_while_the_child_starts_is_heard_and_the_child_serves_the_next_job(make_pool: MakePool, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = tmp_path / "slow-python"
    script.write_text(f'#!/bin/sh\nwhile [ ! -e "{gate}" ]; do sleep 0.02; done\nexec "{sys.executable}" -I -P "$@"\n')
    script.chmod(0o755)
    pool = make_pool(python=(str(script),))
    context = Context()
    call = Call(lambda: pool.run(PYTHON, f"{ENTRIES}:echo", {}, context))
    while not pool.stats().workers:
        assert call.is_alive()
    context.stop()
    with pytest.raises(StepStopped):
        call.result()
    gate.touch()
    pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())
    assert pool.stats().started == 1


def test_eight_threads_at_once_get_eight_children_that_are_used_again(make_pool: MakePool) -> None:
    pool = make_pool()
    barrier = threading.Barrier(8)

    def one(context: Context) -> set[int]:
        barrier.wait(BOUND)
        return {pool.run(PYTHON, f"{ENTRIES}:echo", {"n": n}, context)["pid"] for n in range(5)}

    calls = [Call(lambda: one(Context())) for _ in range(8)]
    pids = set().union(*(call.result() for call in calls))
    stats = pool.stats()
    assert {w.pid for w in stats.workers} >= pids
    assert 1 <= stats.started <= 8
    assert sum(w.jobs for w in stats.workers) == 40


def test_idle_workers_end_after_their_time(make_pool: MakePool) -> None:
    pool = make_pool(idle_seconds=0.05)
    pool.run(PYTHON, f"{ENTRIES}:echo", {}, context := Context())
    wait_gone([context.workers[0][1]])
    pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())
    assert pool.stats().started == 2


def test_reap_idle_leaves_workers_their_time_and_takes_all_on_demand(make_pool: MakePool) -> None:
    pool = make_pool()
    pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())
    while (state := pool.stats().workers[0].state) is not WorkerState.READY:
        assert state is WorkerState.RESETTING
    assert pool.reap_idle() == 0
    assert pool.reap_idle(everything=True) == 1
    assert pool.stats().workers == ()


def test_a_worker_is_recycled_after_its_number_of_jobs(make_pool: MakePool) -> None:
    pool = make_pool(recycle_after=2)
    pids = [pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())["pid"] for _ in range(5)]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]
    assert pool.stats().recycled == 2


def test_a_worker_that_keeps_too_much_memory_is_recycled(make_pool: MakePool) -> None:
    pool = make_pool(recycle_memory_mb=1.0)
    first = pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())["pid"]
    second = pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())["pid"]
    assert first != second
    assert pool.stats().recycled == 1


def test_changed_settings_end_the_warm_workers_that_no_longer_fit(make_pool: MakePool) -> None:
    pool = make_pool()
    pool.run(PYTHON, f"{ENTRIES}:echo", {}, context := Context())
    pool.configure(ChildSettings(low_priority=True))
    wait_gone([context.workers[0][1]])


@pytest.mark.skipif(sys.platform != "linux", reason="SCHED_IDLE is Linux's")
@pytest.mark.parametrize("low", [True, False])
def test_all_threads_of_a_low_priority_child_run_only_when_the_machine_is_idle(make_pool: MakePool, low: bool) -> None:
    result = make_pool(low_priority=low).run(PYTHON, f"{ENTRIES}:priority", {}, Context())
    assert result["idle"] is low


@pytest.fixture
def one_processor() -> Iterator[int]:
    """This process, and what it starts from now on, have one processor in common."""
    if sys.platform != "linux":
        pytest.skip("processors are chosen in Linux's way")
    before = os.sched_getaffinity(0)
    chosen = min(before)
    os.sched_setaffinity(0, {chosen})
    yield chosen
    os.sched_setaffinity(0, before)


def test_a_low_priority_child_gets_next_to_nothing_of_a_processor_that_somebody_wants(
    make_pool: MakePool, one_processor: int
) -> None:
    pool, context = make_pool(low_priority=True), Context()
    call = Call(lambda: pool.run(PYTHON, f"{ENTRIES}:count_until_stopped", {}, context))
    context.wait_line("counting")
    ours, theirs = time.thread_time(), processor_seconds(context.workers[0][1])
    while time.thread_time() - ours < 0.5:
        pass
    ours, theirs = time.thread_time() - ours, processor_seconds(context.workers[0][1]) - theirs
    context.stop()
    with pytest.raises(StepStopped):
        call.result()
    assert theirs < ours / 5  # a half, if it took part


@pytest.mark.parametrize("entry", ["echo", "count_until_stopped"], ids=["while it starts", "while it works"])
def test_a_child_that_others_leave_no_processor_waits_and_does_not_hang(
    make_pool: MakePool, one_processor: int, entry: str
) -> None:
    pool, context = make_pool(low_priority=True, heartbeat=0.1, heartbeat_timeout=2.0, start_timeout=3.0), Context()
    working = entry != "echo"
    if working:
        call = Call(lambda: pool.run(PYTHON, f"{ENTRIES}:{entry}", {}, context))
        context.wait_line("counting")
    busy = [subprocess.Popen([sys.executable, "-I", "-c", "while True: pass"]) for _ in range(4)]
    try:
        if not working:
            call = Call(lambda: pool.run(PYTHON, f"{ENTRIES}:{entry}", {}, context))
        time.sleep(8.0)
        assert call.is_alive(), "it had the processor, or it was taken for one that hangs"
    finally:
        for other in busy:
            other.kill()
            other.wait()
    if working:
        context.stop()
        with pytest.raises(StepStopped):
            call.result()
    else:
        assert call.result()["main_thread"]
    assert pool.stats().crashed == 0


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_workers_with_another_python_path_are_not_mixed(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool()
    plain = pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())["pid"]
    pathed = pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context(), extra_python_path=[tmp_path])["pid"]
    again = pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())["pid"]
    assert plain == again != pathed


def test_what_a_job_prints_goes_to_its_log_and_not_into_the_protocol(make_pool: MakePool) -> None:
    pool = make_pool()
    context = Context()
    assert pool.run(PYTHON, f"{ENTRIES}:print_everywhere", {}, context) == {"fine": True}
    pool.close(10.0)  # the output pipe has been read to its end then
    for line in ("from python", "from C", "from a grandchild"):
        context.wait_line(line)


def test_a_job_s_log_has_a_limit_and_says_so(make_pool: MakePool) -> None:
    make_pool(log_lines=10).run(PYTHON, f"{ENTRIES}:print_much", {"lines": 1000}, context := Context())
    assert len(context.lines) == 11
    assert "left out" in context.lines[-1][1]


def test_closing_ends_running_and_idle_children_and_later_runs_say_shutdown(make_pool: MakePool) -> None:
    pool = make_pool()
    contexts = [Context(), Context()]
    calls = [Call(lambda c=c: pool.run(PYTHON, f"{ENTRIES}:ignore_everything", {}, c)) for c in contexts]
    pids = [int(pid) for c in contexts for pid in c.wait_line("pids").split()[1:]]
    pool.run(PYTHON, f"{ENTRIES}:echo", {}, idle := Context())
    pool.close(2.0)
    assert not [pid for pid in [*pids, idle.workers[0][1]] if alive(pid)]
    for call in calls:
        with pytest.raises(StepStopped) as stopped:
            call.result()
        assert stopped.value.reason == StopReason.SHUTDOWN
    with pytest.raises(StepStopped):
        pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())
    assert not [t for t in threading.enumerate() if t.name.startswith(("python-", "children-"))]


def test_arguments_that_are_no_json_are_refused_and_cost_no_worker(make_pool: MakePool) -> None:
    pool = make_pool()
    for value in (float("nan"), object(), {1, 2}):
        with pytest.raises(MotionQueueError) as caught:
            pool.run(PYTHON, f"{ENTRIES}:echo", {"value": value}, Context())
        assert caught.value.code == "child_arguments"
    pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())
    assert pool.stats().started == 1
