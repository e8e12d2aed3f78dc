# SPDX-License-Identifier: GPL-3.0-or-later
"""The child in the user's own Python, as a real process: the protocol, failures of what it imports, cancelling at any time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from motion_queue.backends import protocol
from motion_queue.backends.child_worker import ChildProgram
from motion_queue.backends.children import ChildPool
from motion_queue.backends.protocol import ChildKind
from motion_queue.backends.published import check, own_main, own_torch
from motion_queue.queue.errors import MotionQueueError, StepStopped
from motion_queue.tests.children.support import BOUND, Context, wait_gone

ARGUMENTS: Mapping[str, Any] = {
    "checkpoints": "/nowhere", "transformer": "a", "residual": "b", "text_encoder": "c", "device": "cpu",
    "prompt": "walk", "frames": 20, "steps": 2, "guidance": 4.0, "seed": 0, "target": "/nowhere/x.npz",
}  # fmt: skip


def started(checkout: Path, which: str = "momask") -> ChildProgram:
    command = (sys.executable, "-E", str(check.MAIN), which, str(checkout))
    return ChildProgram(name="the test's child", command=command, keep_mb=1000.0)


def run(pool: ChildPool, checkout: Path, context: Context, **changes: Any) -> dict[str, Any]:
    return pool.run(ChildKind.PYTHON, "generate", {**ARGUMENTS, **changes}, context, program=started(checkout))


def test_both_ends_speak_the_same_version_of_the_protocol() -> None:
    assert own_main.PROTOCOL_VERSION == protocol.PROTOCOL_VERSION


def test_a_checkout_s_broken_module_is_an_error_with_a_code_and_the_child_lives_on(pool: ChildPool, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12 is missing')\n")
    workers = []
    for _ in range(2):
        with pytest.raises(MotionQueueError) as caught:
            run(pool, tmp_path, context := Context())
        assert caught.value.code == "published_modules_missing" and "libcudart" in caught.value.message
        workers += context.workers
    assert workers[0] == workers[1]
    assert "Traceback" in context.text()


def test_a_torch_that_would_run_what_is_in_a_checkpoint_is_refused(pool: ChildPool, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("__version__ = '1.12.0'\ndef load(f, map_location=None): ...\n")
    with pytest.raises(MotionQueueError) as caught:
        run(pool, tmp_path, Context())
    assert caught.value.code == "published_torch_old" and "1.12.0" in caught.value.message


def test_a_job_that_cannot_come_to_a_checkpoint_is_cancelled_by_ending_its_process(pool: ChildPool, tmp_path: Path) -> None:
    """The import of torch hangs, as on a network drive that has gone."""
    (tmp_path / "torch.py").write_text("import time\nprint('torch is being loaded', flush=True)\ntime.sleep(3600)\n")
    context, ends = Context(), []

    def work() -> None:
        try:
            run(pool, tmp_path, context)
        except StepStopped as stopped:
            ends.append(stopped)

    thread = threading.Thread(target=work)
    thread.start()
    context.wait_line("torch is being loaded")
    at = time.monotonic()
    context.stop()
    thread.join(BOUND)
    assert len(ends) == 1
    assert time.monotonic() - at < 4.0, "by itself, before the pool's grace of five seconds is over"
    wait_gone([context.workers[0][1]])
    (tmp_path / "torch.py").write_text("raise ImportError('now it fails')\n")
    with pytest.raises(MotionQueueError, match="now it fails"):
        run(pool, tmp_path, Context())


def test_each_checkout_has_a_process_of_its_own(pool: ChildPool, tmp_path: Path) -> None:
    """Both repositories call their folders utils and common."""
    pids = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "torch.py").write_text(f"raise ImportError('torch of {name}')\n")
        with pytest.raises(MotionQueueError, match=f"torch of {name}"):
            run(pool, tmp_path / name, context := Context())
        pids.append(context.workers[0][1])
    assert pids[0] != pids[1]


def test_a_warm_child_is_not_ended_because_the_queue_s_own_python_is_another(pool: ChildPool, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('none')\n")
    pids = []
    for _ in range(2):
        with pytest.raises(MotionQueueError):
            run(pool, tmp_path, context := Context())
        pool.reap_idle()
        pids.append(context.workers[0][1])
    assert pids[0] == pids[1]


@pytest.mark.parametrize("last", [b"", b"\x1e{no json\n"], ids=["gone", "garbage"])
def test_a_child_ends_with_its_parent(tmp_path: Path, last: bytes) -> None:
    config = json.dumps({"heartbeat": 0.1, "hang_after": 60.0})
    child = subprocess.Popen([*started(tmp_path).command, config], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    assert json.loads(child.stdout.readline().lstrip(b"\x1e"))["type"] == "hello"
    child.stdin.write(last)
    child.stdin.flush()
    if not last:
        child.stdin.close()
    assert child.wait(BOUND) == 0
    child.stdout.close()
    child.stdin.close()


def test_a_child_of_a_python_that_cannot_start_says_why(pool: ChildPool, tmp_path: Path) -> None:
    program = ChildProgram(name="the test's child", command=(sys.executable, "-E", str(tmp_path / "absent.py")), keep_mb=1.0)
    with pytest.raises(MotionQueueError) as caught:
        pool.run(ChildKind.PYTHON, "generate", {}, Context(), program=program)
    assert caught.value.code == "child_start_failed" and "test's child" in caught.value.message


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 3.81 GiB total capacity)"), "cuda_out_of_memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
    ],
)
def test_no_memory_is_told_apart_by_where_it_lacks_and_the_card_s_offers_the_processor(raised: Exception, code: str) -> None:
    emptied: list[bool] = []
    torch = SimpleNamespace(cuda=SimpleNamespace(empty_cache=lambda: emptied.append(True)))
    with pytest.raises(own_torch.PublishedError) as caught, own_torch.memory_errors(torch, "cuda:0"):
        raise raised
    assert caught.value.code == code
    if code == "cuda_out_of_memory":
        assert "device cpu" in caught.value.message and "cpu" in caught.value.details["model_device"] and emptied == [True]


def test_an_error_that_is_not_about_memory_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes"), own_torch.memory_errors(SimpleNamespace(), "cpu"):
        raise RuntimeError("shapes cannot be multiplied")
