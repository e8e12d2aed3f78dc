# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of Blender's Python while a queue is open, and that it is as before afterwards."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from motion_queue.operators.interpreter import Interpreter


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    turn = sys.getswitchinterval()
    gc.unfreeze()
    yield
    gc.unfreeze()
    sys.setswitchinterval(turn)


def test_thousands_of_jobs_are_out_of_the_collectors_sight_and_come_back_as_they_go() -> None:
    interpreter = Interpreter()
    interpreter.open()
    interpreter.look(999)
    assert gc.get_freeze_count() == 0
    interpreter.look(1_000)
    frozen = gc.get_freeze_count()
    assert frozen > 0
    more = [[number] for number in range(5_000)]
    interpreter.look(1_999)
    assert gc.get_freeze_count() < frozen + len(more)
    interpreter.look(2_000)
    assert gc.get_freeze_count() >= frozen - 1_000 + len(more), "those that came since"
    interpreter.look(900)
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_froze_stays_frozen() -> None:
    gc.freeze()
    before = gc.get_freeze_count()
    interpreter = Interpreter()
    interpreter.open()
    interpreter.look(5_000)
    interpreter.close()
    assert gc.get_freeze_count() >= before - 100


def test_threads_take_short_turns_while_it_is_open() -> None:
    sys.setswitchinterval(0.005)
    interpreter = Interpreter()
    interpreter.open()
    interpreter.open()
    assert sys.getswitchinterval() == pytest.approx(0.0005)
    interpreter.close()
    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_shorter_turns_of_somebody_else_are_left_alone() -> None:
    sys.setswitchinterval(0.0001)
    interpreter = Interpreter()
    interpreter.open()
    interpreter.close()
    assert sys.getswitchinterval() == pytest.approx(0.0001)


def test_a_thread_that_comes_back_from_the_system_does_not_wait_long_for_one_that_computes() -> None:
    """Against the default as the same machine has it, since times of themselves say nothing here."""

    def waits() -> float:
        over = threading.Event()
        thread = threading.Thread(target=lambda: [None for _ in iter(over.is_set, True)])
        thread.start()
        found = []
        for _ in range(5):
            began = time.perf_counter()
            time.sleep(0.001)  # long enough for the other thread to have the lock, unlike sleep(0)
            found.append(time.perf_counter() - began)
        over.set()
        thread.join()
        return sorted(found)[len(found) // 2]

    sys.setswitchinterval(0.4)  # far longer than a busy machine keeps a thread from its processor
    long = waits()
    interpreter = Interpreter()
    interpreter.open()
    assert waits() < long / 2
