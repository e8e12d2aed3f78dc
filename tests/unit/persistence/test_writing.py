# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal promises while it runs: nothing acknowledged is lost, order holds, and a failing disk is told and outlived."""

from __future__ import annotations

import errno
import logging
import math
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fault.faulty import Fault, FaultyFiles
from fault.mounts import Mount
from fault.records import history, plain_fold, submitted

from motion_queue.persistence.files import OsFiles
from motion_queue.persistence.journal import FileJournal
from motion_queue.persistence.reader import PREVIOUS, SNAPSHOT, load, read_state, segment_numbers
from motion_queue.queue.contract import Record
from motion_queue.queue.errors import StoreError

FOLDER = Path("/state")


class Listener:
    """What a journal told, and events to wait on."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.errors: list[StoreError | None] = []
        self.failing = threading.Event()
        self.well_again = threading.Event()

    def durable(self, records: Sequence[Record]) -> None:
        self.records.extend(records)

    def error(self, error: StoreError | None) -> None:
        self.errors.append(error)
        (self.failing if error is not None else self.well_again).set()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[FileJournal, Listener]]:
    journal, listener = FileJournal(tmp_path), Listener()
    journal.listen(listener.durable, listener.error)
    journal.open()
    yield journal, listener
    journal.close()


def _progress(seq: int, job: str = "a") -> Record:
    return Record(seq, 1.0, "step_progress", job, {"progress": seq / 1000}, None, False)


def test_waiting_means_durable_and_listeners_get_every_record_in_order(opened: tuple[FileJournal, Listener]) -> None:
    journal, listener = opened
    records = list(history(30))
    for record in records:
        journal.append([record])
    assert journal.wait(records[-1].seq, 10)
    recovered = read_state(journal.folder)
    assert (recovered.jobs, recovered.meta) == plain_fold(records)
    journal.close()
    assert listener.records == records
    assert listener.errors == []


def test_waiting_for_what_was_never_appended_ends_at_its_timeout(opened: tuple[FileJournal, Listener]) -> None:
    assert opened[0].wait(1, 0.01) is False


def test_numbers_that_do_not_rise_are_refused(opened: tuple[FileJournal, Listener]) -> None:
    journal, _ = opened
    journal.append([submitted(5, "a")])
    with pytest.raises(ValueError, match="must rise"):
        journal.append([submitted(5, "b")])


def test_a_journal_that_is_not_open_takes_nothing(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    with pytest.raises(StoreError, match="journal_closed"):
        journal.append([submitted(1, "a")])
    journal.open()
    with pytest.raises(StoreError, match="journal_open"):
        journal.open()
    journal.close()
    journal.close()
    with pytest.raises(StoreError, match="journal_closed"):
        journal.append([submitted(1, "a")])
    with pytest.raises(StoreError, match="journal_closed"):
        journal.wait(1)


def test_progress_is_written_without_a_sync_of_its_own_and_told_with_the_next_one() -> None:
    files = FaultyFiles()
    journal, listener = FileJournal(FOLDER, files=files, lazy_seconds=0.0), Listener()
    journal.listen(listener.durable, listener.error)
    journal.open()
    journal.append([submitted(1, "a")])
    assert journal.wait(1, 10)
    syncs = files.syncs
    journal.append([_progress(2)])
    for _ in range(1000):
        if load(FOLDER, files).recovered.last_seq == 2:
            break
        threading.Event().wait(0.01)
    assert load(FOLDER, files).recovered.last_seq == 2
    assert files.syncs == syncs
    journal.append([Record(3, 1.0, "job_started", "a", {})])
    assert journal.wait(3, 10)
    journal.close()
    assert [record.seq for record in listener.records] == [1, 2, 3]


def test_waiting_for_progress_syncs_it() -> None:
    files = FaultyFiles()
    journal = FileJournal(FOLDER, files=files, lazy_seconds=60.0)
    journal.open()
    journal.append([submitted(1, "a"), _progress(2)])
    journal.append([_progress(3)])
    assert journal.wait(3, 10)
    assert load(FOLDER, files.power_cut()).recovered.last_seq == 3
    with pytest.raises(StoreError):
        journal.close()


def test_a_record_that_is_no_json_is_refused_and_the_others_are_stored(opened: tuple[FileJournal, Listener]) -> None:
    journal, _ = opened
    circle: dict[str, Any] = {}
    circle["self"] = circle
    deep: object = 0
    for _ in range(61):
        deep = {"in": deep}
    bad: list[dict[str, Any]] = [{"x": object()}, {"x": math.nan}, circle, {"x": deep}, {"x": b"bytes"}, {"x": "y" * (17 << 20)}]
    for seq, fields in enumerate(bad, 1):
        journal.append([Record(seq, 1.0, "x", "", fields)])
    journal.append([submitted(10, "a")])
    assert journal.wait(10, 20)
    for seq in range(1, len(bad) + 1):
        with pytest.raises(StoreError, match=r"record_invalid|record_too_large"):
            journal.wait(seq)
    assert list(read_state(journal.folder).jobs) == ["a"]


def test_many_threads_append_and_wait_and_nothing_is_lost_or_out_of_order(tmp_path: Path) -> None:
    journal, listener = FileJournal(tmp_path, snapshot_after_bytes=20_000, settle_seconds=0.0), Listener()
    journal.listen(listener.durable, listener.error)
    journal.open()
    numbers = iter(range(1, 100_000))
    order = threading.Lock()
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for index in range(60):
                with order:
                    seq = next(numbers)
                    journal.append([submitted(seq, f"{thread}-{index}")])
                assert journal.wait(seq, 30)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    journal.close()
    assert not failures
    assert [record.seq for record in listener.records] == list(range(1, 721))
    recovered = read_state(tmp_path)
    assert set(recovered.jobs) == {f"{thread}-{index}" for thread in range(12) for index in range(60)}
    assert recovered.notes == ()


def test_a_listener_that_fails_stops_nothing(opened: tuple[FileJournal, Listener], caplog: pytest.LogCaptureFixture) -> None:
    journal, listener = opened

    def broken(_: object) -> None:
        raise RuntimeError("listener")

    journal.listen(broken, broken)
    with caplog.at_level(logging.ERROR):
        journal.append([submitted(1, "a")])
        assert journal.wait(1, 10)
        journal.append([submitted(2, "b")])
        assert journal.wait(2, 10)
        journal.close()
    assert len(listener.records) == 2
    assert "listener" in caplog.text


@pytest.mark.parametrize("operation", ["write", "sync"])
@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EIO, "io_error"), (errno.EROFS, "read_only")])
def test_when_the_disk_refuses_it_is_told_and_once_it_works_again_nothing_is_missing(
    operation: str, number: int, code: str
) -> None:
    files = FaultyFiles(short_writes=True)
    journal, listener = FileJournal(FOLDER, files=files), Listener()
    journal.listen(listener.durable, listener.error)
    journal.open()
    journal.append([submitted(1, "a")])
    assert journal.wait(1, 10)
    files.faults.append(Fault(operation, number, times=10_000))
    journal.append([submitted(2, "b")])
    assert listener.failing.wait(10)
    with pytest.raises(StoreError) as caught:
        journal.wait(2, 10)
    assert caught.value.code == code
    journal.append([submitted(3, "c")])
    files.faults.clear()
    assert listener.well_again.wait(10)
    journal.append([submitted(4, "d")])
    assert journal.wait(4, 10)
    journal.close()
    assert [error and error.code for error in listener.errors] == [code, None]
    assert [record.seq for record in listener.records] == [1, 2, 3, 4]
    for disk in (files, files.power_cut()):
        if disk.dead:
            continue
        recovered = load(FOLDER, disk).recovered
        assert list(recovered.jobs) == ["a", "b", "c", "d"]
        assert recovered.notes == ()


def test_a_disk_that_never_works_again_is_told_by_close_and_the_store_stays_readable() -> None:
    files = FaultyFiles()
    journal, listener = FileJournal(FOLDER, files=files), Listener()
    journal.listen(listener.durable, listener.error)
    journal.open()
    journal.append([submitted(1, "a")])
    assert journal.wait(1, 10)
    files.faults.append(Fault("write", errno.ENOSPC, times=10_000))
    journal.append([submitted(2, "b")])
    assert listener.failing.wait(10)
    with pytest.raises(StoreError, match="disk_full"):
        journal.close()
    recovered = load(FOLDER, files).recovered
    assert list(recovered.jobs) == ["a"]
    assert not recovered.clean


@pytest.mark.parametrize("operation", ["create", "sync_dir", "replace", "remove", "write", "sync"])
def test_a_compaction_that_fails_changes_nothing_and_works_the_next_time(operation: str) -> None:
    files = FaultyFiles()
    journal = FileJournal(FOLDER, files=files, snapshot_after_bytes=1 << 30)
    journal.open()
    records = list(history(40))
    for number in range(4):
        part = records[number * 30 : (number + 1) * 30]
        journal.append(part)
        assert journal.wait(part[-1].seq, 10)
        # The writer's own file must go on: only what belongs to the snapshot fails.
        name = "" if operation in ("sync_dir", "remove") else "snapshot"
        if number % 2:
            files.faults.append(Fault(operation, errno.ENOSPC, times=3 if operation == "sync_dir" else 1, name=name))
        journal.compact(10)
        files.faults.clear()
        recovered = load(FOLDER, files).recovered
        assert (recovered.jobs, recovered.meta) == plain_fold(records[: (number + 1) * 30])
        assert recovered.notes == ()
    assert journal.compact(10)
    journal.close()
    assert load(FOLDER, files).snapshot_size > 0


def test_the_power_may_fail_at_any_moment_and_nothing_acknowledged_is_lost() -> None:
    survived = 0
    for seed in range(120):
        chance = random.Random(seed)
        files = FaultyFiles(seed=seed, cut_at=chance.randrange(5, 160), short_writes=seed % 2 == 0)
        acknowledged = 0
        records: list[Record] = []
        for _ in range(3):  # a machine that loses its power again and again
            journal = FileJournal(FOLDER, files=files, snapshot_after_bytes=1500, settle_seconds=0.0)
            try:
                recovered = journal.open()
            except StoreError as error:
                assert files.dead, error
            else:
                assert recovered.last_seq >= acknowledged, seed
                records = records[: recovered.last_seq]
                assert (recovered.jobs, recovered.meta) == plain_fold(records), (seed, recovered.notes)
                acknowledged = _append_until_dark(journal, files, records, chance)
                with pytest.raises(StoreError):
                    journal.close()
            files = files.power_cut()
            files.cut_at = chance.randrange(5, 160)
        files.cut_at = None
        recovered = load(FOLDER, files).recovered
        assert recovered.last_seq >= acknowledged, seed
        assert (recovered.jobs, recovered.meta) == plain_fold(records[: recovered.last_seq]), (seed, recovered.notes)
        survived += recovered.last_seq > 0
    assert survived > 90


def _append_until_dark(journal: FileJournal, files: FaultyFiles, records: list[Record], chance: random.Random) -> int:
    """Append and wait until the power fails; the last acknowledged number. `records` grows by what was appended."""
    acknowledged = len(records)
    for record in history(10_000, start=len(records) + 1):
        batch = [record._replace(sync=chance.random() < 0.8)]
        records.extend(batch)
        journal.append(batch)
        if chance.random() < 0.6:
            try:
                if journal.wait(record.seq, 10):
                    acknowledged = record.seq
            except StoreError:
                break
        if files.dead:
            break
    assert files.died.wait(10)
    return acknowledged


def test_the_length_is_bounded_and_old_files_go(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, snapshot_after_bytes=5000, settle_seconds=0.0)
    journal.open()
    for seq in range(1, 2000):
        record = submitted(seq, f"job{seq}") if seq < 5 else Record(seq, 1.0, "x", "job1", {"n": seq, "text": "y" * 50})
        journal.append([record])
        if seq % 20 == 0:
            assert journal.wait(seq, 10)
        if seq % 500 == 0:
            assert journal.compact(10)
    assert journal.wait(1999, 10)
    assert journal.compact(10)
    assert journal.compact(10)
    journal.close()
    assert len(segment_numbers(OsFiles(), tmp_path)) <= 3
    assert {SNAPSHOT, PREVIOUS} <= {path.name for path in tmp_path.iterdir()}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 60_000
    recovered = read_state(tmp_path)
    assert recovered.jobs["job1"]["n"] == 1999
    assert recovered.notes == ()


def test_reading_while_the_owner_writes_and_compacts_is_always_consistent(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, snapshot_after_bytes=3000, settle_seconds=0.0)
    journal.open()
    stop = threading.Event()

    def write() -> None:
        seq = 0
        while not stop.is_set():
            seq += 1
            journal.append([Record(seq, 1.0, "queue", "", {f"k{seq % 5}": seq, "last": seq})])
            if seq % 10 == 0:
                journal.wait(seq, 10)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = 0
        for _ in range(150):
            recovered = read_state(tmp_path)
            assert recovered.last_seq >= seen
            assert recovered.meta.get("last", 0) == recovered.last_seq
            assert not [note for note in recovered.notes if "incomplete" not in note]
            seen = recovered.last_seq
    finally:
        stop.set()
        thread.join(10)
        journal.close()
    assert seen > 0


def test_a_full_real_disk_is_told_and_outlived(mount: Mount, tmp_path: Path) -> None:
    disk = mount(tmp_path / "disk", megabytes=0.5)
    journal, listener = FileJournal(disk), Listener()
    journal.listen(listener.durable, listener.error)
    journal.open()
    journal.append([submitted(1, "a")])
    assert journal.wait(1, 10)
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    journal.append([submitted(seq, f"job{seq}") for seq in range(2, 100)])
    with pytest.raises(StoreError, match="disk_full"):
        journal.wait(99, 10)
    assert next(iter(read_state(disk).jobs)) == "a"
    ballast.unlink()
    assert listener.well_again.wait(10)
    assert journal.wait(99, 10)
    journal.close()
    assert len(read_state(disk).jobs) == 99


_WRITER = """
import os, sys
from pathlib import Path
from motion_queue.persistence.journal import FileJournal
from motion_queue.queue.contract import Record
journal = FileJournal(Path(sys.argv[1]), snapshot_after_bytes=4000, settle_seconds=0.0)
seq = journal.open().last_seq
while True:
    seq += 1
    name, fields = ("job_submitted", {"n": seq, "pad": "x" * 40}) if seq % 2 else ("jobs_removed", {"ids": [f"job{seq - 20}"]})
    journal.append([Record(seq, 1.0, name, f"job{seq}" if seq % 2 else "", fields)])
    if seq % 3 == 0:
        journal.wait(seq)
        os.write(1, b"%d\\n" % seq)
"""


def test_killed_fifty_times_while_writing_and_compacting_no_acknowledged_record_is_lost(tmp_path: Path) -> None:
    chance = random.Random(5)
    compacted = 0
    before = 0
    for _ in range(50):
        writer = subprocess.Popen([sys.executable, "-P", "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        last = before
        for _ in range(chance.randrange(1, 60)):
            line = writer.stdout.readline()
            assert line.endswith(b"\n")
            last = int(line)
        os.kill(writer.pid, signal.SIGKILL)
        for line in writer.stdout.read().split(b"\n")[:-1]:
            last = int(line)
        writer.stdout.close()
        writer.wait(10)
        recovered = read_state(tmp_path)
        assert recovered.last_seq >= last
        end = recovered.last_seq
        gone = {seq - 20 for seq in range(2, end + 1, 2)}
        assert set(recovered.jobs) == {f"job{seq}" for seq in range(1, end + 1, 2) if seq not in gone}
        assert not recovered.clean
        assert all("incomplete" in note for note in recovered.notes)
        compacted += (tmp_path / SNAPSHOT).exists()
        before = end
    assert compacted > 10
