# SPDX-License-Identifier: GPL-3.0-or-later
"""What another process tells a running queue by its inbox: done and on disk when the answer comes, or left to the next owner."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from motion_queue import app as app_module
from motion_queue.app import App, Settings
from motion_queue.persistence import files
from motion_queue.persistence.inbox import send
from motion_queue.persistence.reader import read_state
from motion_queue.persistence.state import is_owned
from motion_queue.queue import Engine, StoreError
from motion_queue.queue.contract import Json

LIMIT = 30.0  # seconds: only against hanging


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def app(folder: Path) -> Iterator[App]:
    """With a queue that starts nothing."""
    with App.open(Settings(state_dir=folder, hold_at_start=True)) as found:
        yield found


@pytest.fixture
def jobs(app: App) -> list[str]:
    ticket = app.engine.submit_many([app.prompt_job("a person walks") for _ in range(3)])
    ticket.wait_durable()
    return list(ticket.job_ids)


def states(folder: Path) -> dict[str, str]:
    """Of the jobs, as anybody else reads them from the disk now."""
    return {job_id: str(fields.get("state", "queued")) for job_id, fields in read_state(folder / "journal").jobs.items()}


def paused(folder: Path) -> bool:
    return bool(read_state(folder / "journal").meta.get("paused"))


def test_each_command_is_on_disk_when_its_answer_comes(folder: Path, jobs: list[str]) -> None:
    first, second, third = jobs
    assert send(folder, "pause", {"jobs": [first, second]}).result == {"jobs": [first, second]}
    assert states(folder) == {first: "paused", second: "paused", third: "queued"}
    assert send(folder, "resume", {"jobs": [first]}).ok
    assert send(folder, "cancel", {"jobs": [second, third]}).result == {"jobs": [second, third]}
    assert states(folder) == {first: "queued", second: "cancelled", third: "cancelled"}
    answer = send(folder, "retry", {"jobs": [second]})
    assert isinstance(answer.result, dict) and isinstance(new := answer.result["jobs"], list)
    assert states(folder)[str(new[0])] == "queued" and len(states(folder)) == 4
    assert send(folder, "pause_queue").ok and paused(folder)
    assert send(folder, "resume_queue").ok and not paused(folder)


def test_what_cannot_be_obeyed_is_answered_with_its_code(folder: Path, jobs: list[str]) -> None:
    assert send(folder, "explode").code == "unknown_command"
    for wrong in ({}, {"jobs": "all"}, {"jobs": [1]}):
        assert send(folder, "pause", wrong).code == "bad_command"
    assert send(folder, "cancel", {"jobs": [jobs[0], "gone"]}).code == "no_such_job"
    assert states(folder)[jobs[0]] == "queued", "all of them or none"


def test_a_disk_that_does_not_store_it_in_time_is_no_success(
    app: App, folder: Path, jobs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, sync = threading.Event(), files._sync

    def slow(fd: int) -> None:
        if threading.current_thread().name == "motion-queue-journal":
            go_on.wait(LIMIT)
        sync(fd)

    monkeypatch.setattr(app_module, "_STORED_WITHIN", 0.1)
    monkeypatch.setattr(files, "_sync", slow)
    try:
        answer = send(folder, "cancel", {"jobs": jobs[:1]}, LIMIT)
        assert (answer.ok, answer.code) == (False, "journal_busy") and "not stored" in answer.message
    finally:
        go_on.set()
    app.engine.cancel(jobs[1]).wait_durable(LIMIT)
    assert states(folder)[jobs[0]] == "cancelled", "it was done nevertheless, as the answer says"


class Slow:
    """A command that ends when a test says so."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, engine: Engine, arguments: Mapping[str, Json]) -> dict[str, Json]:
        self.reached.set()
        self.go_on.wait(LIMIT)
        return {"done": True}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    found = Slow()
    monkeypatch.setitem(app_module._COMMANDS, "slow", found)
    return found


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def leave(folder: Path, command: str) -> None:
    with pytest.raises(StoreError, match="was left in the inbox"):
        send(folder, command, timeout=0.0)


def test_the_end_waits_for_the_command_at_hand_and_leaves_the_others(folder: Path, slow: Slow) -> None:
    app = App.open(Settings(state_dir=folder))
    leave(folder, "slow")
    leave(folder, "pause_queue")
    assert slow.reached.wait(LIMIT)
    ended: list[bool] = []
    closing = threading.Thread(target=lambda: ended.append(app.close(LIMIT)))
    closing.start()
    until(lambda: not any(t.name == "motion-queue-journal" for t in threading.enumerate()))
    assert is_owned(folder), "while its inbox is read it is nobody else's"
    slow.go_on.set()
    closing.join(LIMIT)
    assert ended == [True] and not is_owned(folder)
    assert not any(t.name.startswith("motion-queue") for t in threading.enumerate())
    waiting = [path for path in (folder / "inbox").iterdir() if path.is_file()]
    assert len(waiting) == 1 and not paused(folder)
    with App.open(Settings(state_dir=folder)):
        until(lambda: paused(folder))


def test_a_command_that_hangs_holds_no_end_up(folder: Path, slow: Slow) -> None:
    app = App.open(Settings(state_dir=folder))
    leave(folder, "slow")
    assert slow.reached.wait(LIMIT)
    begin = time.monotonic()
    assert not app.close(0.2), "it says that not all has ended"
    assert time.monotonic() - begin < LIMIT / 2
    slow.go_on.set()
    app._inbox_reader.join(LIMIT)
