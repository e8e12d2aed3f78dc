# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread that writes records ends with the queue: with all of them where there is time, else after the one at hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from motion_queue.app import App, Settings
from motion_queue.finish import Finisher
from motion_queue.persistence.artefacts import FolderStore
from motion_queue.queue import Job

_COUNT = 30


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with App.open(Settings(state_dir=tmp_path / "state")) as found:
        yield found


@pytest.fixture
def over(app: App) -> list[Job]:
    """Jobs that were called off while they waited."""
    app.engine.pause_queue()
    for _ in range(_COUNT):
        app.engine.cancel(app.engine.submit(app.prompt_job("a person walks")).job_id)
    return list(app.engine.query(state=("cancelled",), limit=_COUNT).jobs)


def test_all_that_is_over_is_written_before_the_end(app: App, over: list[Job], tmp_path: Path) -> None:
    seen: list[str] = []
    finisher = Finisher(FolderStore(tmp_path / "own"), lambda job, level, message: seen.append(job))
    finisher.start(app.engine)
    finisher.put(over)
    finisher.close(30.0)
    assert seen == [job.id for job in over] and len(seen) == _COUNT


def test_a_disk_that_is_slow_holds_nothing_up(app: App, over: list[Job], tmp_path: Path) -> None:
    reached, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def slow(job: str, level: str, message: str) -> None:
        seen.append(job)
        reached.set()
        go_on.wait(30.0)

    finisher = Finisher(FolderStore(tmp_path / "own"), slow)
    finisher.start(app.engine)
    finisher.put(over)
    assert reached.wait(30.0)
    finisher.close(0.05)  # gives up while the first one is being written
    go_on.set()
    finisher.close(30.0)
    assert seen == [over[0].id]
