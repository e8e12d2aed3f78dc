# SPDX-License-Identifier: GPL-3.0-or-later
"""Many jobs are out of the garbage collector's sight, few are not, and what others froze stays as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from motion_queue.operators.garbage import Freezer


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_thousands_of_jobs_are_frozen_and_thawed_as_they_go() -> None:
    freezer = Freezer()
    freezer.look(999)
    assert gc.get_freeze_count() == 0
    freezer.look(1_000)
    first = gc.get_freeze_count()
    assert first > 0
    made = [[] for _ in range(5_000)]  # type: ignore[var-annotated]
    freezer.look(1_999)
    assert gc.get_freeze_count() < first + len(made)
    freezer.look(2_000)
    assert gc.get_freeze_count() >= first - 1_000 + len(made), "those that came since"
    freezer.look(1_000)
    assert gc.get_freeze_count() > 0
    freezer.look(999)
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_froze_stays_frozen() -> None:
    gc.freeze()
    count = gc.get_freeze_count()
    freezer = Freezer()
    freezer.look(5_000)
    freezer.thaw()
    assert gc.get_freeze_count() >= count - 100
