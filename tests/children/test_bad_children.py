# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that fail, crash, hang, print garbage, eat memory or ignore everything: a stable code each, and nothing left."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from motion_queue.backends.children import ChildPool
from motion_queue.backends.protocol import ChildKind
from motion_queue.queue.errors import MotionQueueError, StepStopped

from .conftest import MakePool
from .support import ENTRIES, Call, Context, alive, wait_gone

PYTHON = ChildKind.PYTHON


def failure(
    pool: ChildPool, entry: str, arguments: dict[str, Any], context: Context | None = None, **more: Any
) -> MotionQueueError:
    with pytest.raises(MotionQueueError) as caught:
        pool.run(PYTHON, f"{ENTRIES}:{entry}", arguments, context or Context(), **more)
    return caught.value


def goes_on(pool: ChildPool) -> bool:
    """The other jobs go on."""
    return bool(pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())["main_thread"])


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("memory", "out_of_memory"),
        ("disk", "disk_full"),
        ("read-only", "output_not_writable"),
        ("exit", "child_error"),
        ("nan", "child_error"),
        ("list", "child_error"),
        ("any", "child_error"),
    ],
)
def test_an_exception_becomes_an_error_with_its_code_and_the_worker_stays(make_pool: MakePool, how: str, code: str) -> None:
    pool = make_pool()
    error = failure(pool, "fail", {"how": how}, context := Context())
    assert error.code == code
    if how == "any":
        assert "ZeroDivisionError: what a pity" in error.message
        assert "Traceback" in context.text()
    assert goes_on(pool)
    assert pool.stats().started == 1


def test_an_error_with_a_code_crosses_whole(make_pool: MakePool) -> None:
    error = failure(make_pool(), "fail", {"how": "coded"})
    assert (error.code, error.message, error.details, error.retryable) == (
        "bvh_broken",
        "The clip is broken.",
        {"clip": "line 3"},
        True,
    )


@pytest.mark.parametrize("entry", ["no.such.module:run", f"{ENTRIES}:no_such_function", "os:abort", "../x:y", ""])
def test_an_entry_that_is_not_in_the_package_is_an_error(make_pool: MakePool, entry: str) -> None:
    pool = make_pool()
    with pytest.raises(MotionQueueError) as caught:
        pool.run(PYTHON, entry, {}, Context())
    assert caught.value.code == "child_error"
    assert goes_on(pool)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_crash_names_its_signal_keeps_the_last_output_and_leaves_no_grandchild(make_pool: MakePool, name: str) -> None:
    pool = make_pool()
    error = failure(pool, "crash", {"signal": name, "leave_behind": True}, context := Context())
    assert error.code == "child_crashed"
    assert name in error.message
    assert error.retryable
    assert "last words" in context.text()
    wait_gone([int(pid) for pid in context.wait_line("pids").split()[1:]])
    assert goes_on(pool)
    assert pool.stats().crashed == 1


def test_a_crash_in_native_code_leaves_the_python_traceback_in_the_job_s_log(make_pool: MakePool) -> None:
    failure(make_pool(), "crash", {"signal": "SIGSEGV"}, context := Context())
    assert "entries.py" in context.text()
    assert "in crash" in context.text()


def test_a_child_that_ends_itself_names_its_exit_code(make_pool: MakePool) -> None:
    error = failure(make_pool(), "exit_process", {"code": 5})
    assert error.code == "child_crashed"
    assert "exit code 5" in error.message


def test_a_warm_worker_that_died_while_idle_costs_no_job(make_pool: MakePool) -> None:
    pool = make_pool()
    first = pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())["pid"]
    os.kill(first, signal.SIGKILL)
    second = pool.run(PYTHON, f"{ENTRIES}:echo", {}, Context())["pid"]
    assert first != second


@pytest.mark.parametrize("low", [True, False])
@pytest.mark.parametrize("entry", ["hold_the_interpreter", "stop_the_process"])
def test_a_child_without_a_sign_of_life_is_ended(make_pool: MakePool, entry: str, low: bool) -> None:
    pool = make_pool(heartbeat=0.1, heartbeat_timeout=2.0, low_priority=low)
    error = failure(pool, entry, {}, context := Context())
    assert error.code == "child_hung"
    assert "heartbeat timeout" in error.message
    wait_gone([pid for _, pid in context.workers])
    if entry == "hold_the_interpreter":
        assert "in hold_the_interpreter" in context.text(), "the log says where it hung"
    assert goes_on(pool)


@pytest.mark.parametrize("kind", ["broken json", "another job", "an endless line", "endless lines"])
def test_garbage_on_the_protocol_is_an_error(make_pool: MakePool, kind: str) -> None:
    pool = make_pool(max_line=1_000_000)
    error = failure(pool, "print_garbage", {"kind": kind}, context := Context())
    assert error.code == "child_protocol"
    wait_gone([pid for _, pid in context.workers])
    assert goes_on(pool)


def test_a_stray_line_between_messages_is_logged_and_not_parsed(make_pool: MakePool) -> None:
    result = make_pool().run(PYTHON, f"{ENTRIES}:print_garbage", {"kind": "a stray line"}, context := Context())
    assert result == {"fine": True}
    assert ("debug", "Fra:1 Mem:10M") in context.lines


@pytest.mark.parametrize("in_child", [False, True])
def test_a_job_over_its_memory_limit_is_stopped_also_when_a_grandchild_eats_it(make_pool: MakePool, in_child: bool) -> None:
    pool = make_pool()
    arguments = {"bytes": 300_000_000, "stay": True, "in_child": in_child}
    error = failure(pool, "eat_memory", arguments, context := Context(), memory_limit_mb=200)
    assert error.code == "memory_limit"
    assert "200 MB" in error.message
    assert context.peak_mb > 200
    assert not error.retryable
    assert goes_on(pool)


def test_a_job_below_its_memory_limit_reports_its_peak(make_pool: MakePool) -> None:
    pool = make_pool()
    pool.run(PYTHON, f"{ENTRIES}:eat_memory", {"bytes": 1_000}, context := Context(), memory_limit_mb=2_000)
    assert 5 < context.peak_mb < 2_000


def test_a_job_that_ignores_everything_is_killed_with_all_it_started(make_pool: MakePool) -> None:
    pool = make_pool()
    context = Context()
    call = Call(lambda: pool.run(PYTHON, f"{ENTRIES}:ignore_everything", {}, context))
    pids = [int(pid) for pid in context.wait_line("pids").split()[1:]]
    assert len(pids) == 5
    assert all(alive(pid) for pid in pids)
    context.stop()
    with pytest.raises(StepStopped):
        call.result()
    wait_gone(pids)
    assert goes_on(pool)
    assert pool.stats().killed == 1


def script(folder: Path, text: str) -> tuple[str, ...]:
    path = folder / "python"
    path.write_text(text)
    path.chmod(0o755)
    return (str(path),)


def test_a_banner_before_hello_does_no_harm(make_pool: MakePool, tmp_path: Path) -> None:
    command = script(tmp_path, f'#!/bin/sh\nprintf "Welcome!\\nno line end"\nexec "{sys.executable}" -I -P "$@"\n')
    assert goes_on(make_pool(python=command))


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("#!/bin/sh\necho 'no libfoo.so' >&2; exit 127\n", "child_start_failed", "no libfoo.so"),
        ("#!/bin/sh\ntrap '' TERM\nexec sleep 3600\n", "child_hung", "start timeout"),
        ("#!/bin/sh\nexec cat /dev/urandom\n", "child_protocol", "unreadable"),
        ("#!/no/such/interpreter\n", "child_start_failed", "could not be started"),
    ],
)
def test_a_child_that_does_not_start_is_an_error(make_pool: MakePool, tmp_path: Path, text: str, code: str, says: str) -> None:
    pool = make_pool(python=script(tmp_path, text), start_timeout=1.0, max_line=100_000)
    error = failure(pool, "echo", {})
    assert error.code == code
    assert says in error.message


def test_a_program_that_does_not_exist_is_an_error(make_pool: MakePool, tmp_path: Path) -> None:
    assert failure(make_pool(python=(str(tmp_path / "none"),)), "echo", {}).code == "child_start_failed"


def test_a_broken_child_is_not_started_again_and_again(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(python=script(tmp_path, "#!/bin/sh\nexit 1\n"))
    failure(pool, "echo", {})
    failure(pool, "echo", {})  # the second try is free, the third has to wait for a second
    before = time.monotonic()
    failure(pool, "echo", {})
    assert time.monotonic() - before > 0.5
    context = Context()
    call = Call(lambda: pool.run(PYTHON, f"{ENTRIES}:echo", {}, context))
    context.stop()
    with pytest.raises(StepStopped):
        call.result()
