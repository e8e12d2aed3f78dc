# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns a state folder, with real processes: one at a time, until it dies, and then somebody else may take over its jobs."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault.mounts import Mount
from fault.records import submitted

from motion_queue.persistence import state
from motion_queue.persistence.journal import FileJournal
from motion_queue.persistence.reader import read_state
from motion_queue.persistence.state import StateFolder, claim, find_orphans, is_owned, journal_of, owner_of, resolve
from motion_queue.queue.errors import StoreError

_OWNER = """
import sys
from pathlib import Path
from motion_queue.persistence.journal import FileJournal
from motion_queue.persistence.state import StateFolder, claim
from motion_queue.queue.contract import Record
folder = claim(Path(sys.argv[2])) if sys.argv[1] == "claim" else StateFolder.acquire(Path(sys.argv[2]))
journal = FileJournal(folder.journal)
seq = journal.open().last_seq + 1
journal.append([Record(seq, 1.0, "job_submitted", f"job-of-{folder.path.name}", {"state": "queued"})])
journal.wait(seq)
print(folder.path, flush=True)
sys.stdin.read()
"""


@contextmanager
def _owner(how: str, path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _OWNER, how, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
        process.stdin.close()


def test_the_argument_goes_before_the_environment_before_the_extension_before_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv(state.ENVIRONMENT, str(tmp_path / "env"))
    assert resolve(tmp_path / "arg", tmp_path / "ext") == tmp_path / "arg"
    assert resolve(None, tmp_path / "ext") == tmp_path / "env"
    monkeypatch.delenv(state.ENVIRONMENT)
    assert resolve(None, tmp_path / "ext") == tmp_path / "ext"
    if sys.platform == "linux":
        assert resolve() == tmp_path / "xdg" / "motion_queue"
        monkeypatch.setenv("XDG_STATE_HOME", "relative")
        assert resolve() == Path.home() / ".local/state/motion_queue"


def test_a_new_folder_is_the_users_alone(tmp_path: Path) -> None:
    with StateFolder.acquire(tmp_path / "a" / "b") as folder:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert owner_of(folder.path)[0] == os.getpid()
        assert folder.held
    assert not folder.held
    assert owner_of(folder.path) == (0, "")


def test_a_folder_in_use_is_refused_with_the_owners_pid_and_free_again_when_it_was_killed(tmp_path: Path) -> None:
    with _owner("acquire", tmp_path) as (process, _):
        with pytest.raises(StoreError) as caught:
            StateFolder.acquire(tmp_path)
        assert caught.value.code == "state_locked"
        assert str(process.pid) in caught.value.message
        assert is_owned(tmp_path)
        assert list(read_state(journal_of(tmp_path)).jobs) == [f"job-of-{tmp_path.name}"]  # readers need no lock
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        assert not is_owned(tmp_path)
        with StateFolder.acquire(tmp_path) as folder:
            journal = FileJournal(folder.journal)
            recovered = journal.open()
            assert not recovered.clean
            assert len(recovered.jobs) == 1
            journal.close()


def test_one_process_cannot_own_a_folder_twice_either(tmp_path: Path) -> None:
    with StateFolder.acquire(tmp_path), pytest.raises(StoreError, match="state_locked"):
        StateFolder.acquire(tmp_path)
    StateFolder.acquire(tmp_path).release()


def test_a_second_blender_gets_a_folder_of_its_own_and_adopts_the_first_ones_jobs_when_it_died(tmp_path: Path) -> None:
    with _owner("claim", tmp_path) as (first, first_path), _owner("claim", tmp_path) as (_, second_path):
        assert [first_path.name, second_path.name] == ["state-1", "state-2"]
        assert find_orphans(tmp_path) == []
        with claim(tmp_path) as mine:
            assert mine.path.name == "state-3"
            first.kill()
            first.wait(10)
            assert find_orphans(tmp_path) == [first_path]
            journal = FileJournal(mine.journal)
            journal.open()
            with StateFolder.acquire(first_path) as orphan:
                other = FileJournal(orphan.journal)
                jobs = other.open().jobs
                assert list(jobs) == ["job-of-state-1"]
                journal.append([submitted(1, "job-of-state-1")])
                assert journal.wait(1, 10)
                other.close()
                orphan.retire()
            assert find_orphans(tmp_path) == []
            assert read_state(journal_of(first_path)).jobs == {}
            journal.close()
            assert list(read_state(mine.journal).jobs) == ["job-of-state-1"]
        with claim(tmp_path) as again:
            assert again.path == first_path  # empty now, and free


def test_a_retirement_that_was_interrupted_is_finished_and_never_adopted_again(tmp_path: Path) -> None:
    folder = StateFolder.acquire(tmp_path / "state-1")
    journal = FileJournal(folder.journal)
    journal.open()
    journal.append([submitted(1, "a")])
    journal.close()
    (folder.path / "retiring").touch()
    folder.release()
    assert find_orphans(tmp_path) == []
    with StateFolder.acquire(tmp_path / "state-1") as again:
        assert read_state(again.journal).jobs == {}
        assert not (again.path / "retiring").exists()
        kept = list((again.path / "adopted").rglob("journal-*.jsonl"))
        assert len(kept) == 1


def test_a_real_read_only_file_system_is_refused_with_what_to_do_but_can_be_read(mount: Mount, tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "disk")
    journal.open()
    journal.append([submitted(1, "a")])
    journal.close()
    disk = mount(tmp_path / "disk")
    with pytest.raises(StoreError) as caught:
        StateFolder.acquire(disk)
    assert caught.value.code == "state_read_only"
    assert str(disk) in caught.value.message
    assert list(read_state(disk).jobs) == ["a"]
    with pytest.raises(StoreError, match="state_read_only"):
        StateFolder.acquire(disk / "below")


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="state_not_a_folder"):
        StateFolder.acquire(tmp_path / "file")


def test_a_state_folder_can_be_removed_only_while_nobody_uses_it(tmp_path: Path) -> None:
    with StateFolder.acquire(tmp_path / "s"), pytest.raises(StoreError, match="state_locked"):
        state.remove(tmp_path / "s")
    state.remove(tmp_path / "s")
    assert not (tmp_path / "s").exists()
