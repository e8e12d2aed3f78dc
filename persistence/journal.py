# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: takes records from any thread, makes them durable in groups on a thread of its own, and says when they are.

Implements the contract's `Journal` over files. Holds no state of the queue: only records that are not durable yet. Reading is in
`reader`, shortening in `compaction`; here is who writes, when, and what happens when the disk refuses.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from zlib import crc32

from ..queue.contract import Record, Recovered
from ..queue.errors import StoreError
from .compaction import prune_segments, write_snapshot
from .compactor import Compactor
from .files import FileLayer, OpenFile, OsFiles, store_error, write_all
from .lines import FORMAT, encode_line, encode_record, encode_records
from .reader import Loaded, load, segment_name

DAMAGED = "damaged"  # folder for copies of damaged files
_DAMAGED_KEPT = 16
_UNSYNCED_MOST = 256 << 10  # bytes of sync=False records that may wait for somebody else's sync
_SNAPSHOT_STEP_MOST = 16 << 20  # a segment never grows past this before it is folded, however large the snapshot is
_RETRY_FIRST = 0.05
_RETRY_LAST = 2.0
# Records; a longer text would keep the interpreter to itself for too long. It also bounds what is held for the moment: large
# buffers of ever new sizes between small ones are what makes a process grow that holds no more than before.
_ENCODED_AT_ONCE = 100
_PATIENT = 5  # times group_ms that records gather while nobody waits for them
_REFUSED_KEPT = 1000
_log = logging.getLogger("motion_queue.journal")


class FileJournal:
    """A journal in a folder. One process may have it open: hold the folder's lock (`state.StateFolder`) meanwhile.

    `group_ms`: while records stream in, commits begin at least this far apart (five times that while nobody waits for them); one
    after a pause is written at once.
    `snapshot_after_bytes`: a segment of that size is folded into the snapshot; more, up to 16 MiB, when the snapshot is large.
    `settle_seconds`: how long after opening nothing is folded yet.
    `lazy_seconds`: how long records with sync=False may wait to be written when nothing else is.
    Records and what they hold must not be changed after `append`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        files: FileLayer | None = None,
        group_ms: float = 2.0,
        snapshot_after_bytes: int = 1 << 20,
        lazy_seconds: float = 1.0,
        settle_seconds: float = 3.0,
    ) -> None:
        self.folder = folder
        self._files: FileLayer = files or OsFiles()
        self._group = min(max(group_ms, 0.0), 20.0) / 1000.0
        self._snapshot_after = snapshot_after_bytes
        self._lazy = lazy_seconds

        self._guard = threading.RLock()
        self._changed = threading.Condition(self._guard)
        self._waiting: list[Record] = []  # guarded by _changed, like all down to _opened
        self._first_waiting_at = 0.0
        self._hurry = False  # something in _waiting, or written but not synced, is waited for
        self._sync_wanted = 0  # highest seq that a sync=False record was waited for
        self._appended = 0
        self._durable = 0
        self._refused: dict[int, StoreError] = {}  # records that could not be encoded
        self._error: StoreError | None = None
        self._closing = False
        self._opened = False

        self._listeners: list[tuple[Callable[[Sequence[Record]], None], Callable[[StoreError | None], None]]] = []
        self._writer: threading.Thread | None = None
        self._live = _Live(self._files, folder)
        self._compactor = Compactor(self._files, folder, settle_seconds)

    # -- the contract ---------------------------------------------------------------------------------------------------

    def open(self) -> Recovered:
        """Read what is there and start the writer. `StoreError` newer_version (nothing is touched), or a read error."""
        with self._changed:
            if self._opened:
                raise StoreError("journal_open", f"The journal in {self.folder} is open already.")
        loaded = load(self.folder, self._files)
        recovered = loaded.recovered
        if loaded.damaged or loaded.rewrite:
            recovered = recovered._replace(notes=recovered.notes + tuple(self._mend(loaded)))
        for note in recovered.notes:
            _log.warning("%s: %s", self.folder, note)
        self._live.number = loaded.last_segment
        self._live.append_at = loaded.append_at
        self._live.after = self._appended = self._durable = recovered.last_seq
        with self._changed:
            self._opened = True
        self._writer = threading.Thread(target=self._run, name="motion-queue-journal", daemon=True)
        self._writer.start()
        self._compactor.start(
            folded=loaded.through, closed=max(loaded.last_segment - 1, loaded.through), snapshot_size=loaded.snapshot_size
        )
        return recovered

    def append(self, records: Sequence[Record]) -> None:
        """See the contract. `StoreError` journal_closed; `ValueError` when the numbers do not rise."""
        if not records:
            return
        with self._guard:  # the same, and entered in half the time
            if not self._opened or self._closing:
                raise StoreError("journal_closed", f"The journal in {self.folder} is not open; the change was not stored.")
            last = self._appended
            hurry = False
            for record in records:
                if record.seq <= last:
                    raise ValueError(f"Record {record.seq} comes after {last}: sequence numbers must rise.")
                last = record.seq
                hurry = hurry or record.sync
            if not self._waiting:
                self._first_waiting_at = time.monotonic()
                self._changed.notify_all()
            self._waiting.extend(records)
            self._appended = last
            if hurry and not self._hurry:
                self._hurry = True
                self._changed.notify_all()

    def wait(self, seq: int, timeout: float | None = None) -> bool:
        """See the contract. While writing fails it raises the error at once; the record stays pending and may yet be written."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while True:
                if seq in self._refused:
                    raise _again(self._refused[seq])
                if seq <= self._durable:
                    return True
                if self._error is not None:
                    raise _again(self._error)
                if self._closing and not self._running():
                    raise StoreError(
                        "journal_closed", f"The journal in {self.folder} was closed before record {seq} was durable."
                    )
                if seq <= self._appended and self._sync_wanted < seq:
                    self._sync_wanted = seq
                    self._hurry = True
                    self._changed.notify_all()
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)

    def listen(self, on_durable: Callable[[Sequence[Record]], None], on_error: Callable[[StoreError | None], None]) -> None:
        self._listeners.append((on_durable, on_error))

    def close(self, timeout: float = 2.0) -> None:
        """Write what is pending, mark the journal as closed, end the threads. `StoreError` when that failed or took too long."""
        with self._changed:
            if not self._opened:
                return
            self._closing = True
            self._changed.notify_all()
        deadline = time.monotonic() + timeout
        self._compactor.stop()
        if self._writer is not None:
            self._writer.join(timeout)
        self._compactor.join(max(deadline - time.monotonic(), 0.1))
        with self._changed:
            if self._running():
                raise StoreError(
                    "journal_busy", f"The journal in {self.folder} did not finish within {timeout:g} s; the disk is slow."
                )
            if self._error is not None:
                raise _again(self._error)

    # -- beyond the contract --------------------------------------------------------------------------------------------

    def compact(self, timeout: float | None = None) -> bool:
        """Begin a new segment now and fold everything durable before it; False when it did not finish in time or failed."""
        done = self._compactor.announce()
        with self._changed:
            self._live.rotate = True
            self._changed.notify_all()
        return done(timeout)

    def wait_folded(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to fold of what is due, without making it due; False when that took too long or failed."""
        return self._compactor.wait_idle(timeout)

    # -- the writer's thread --------------------------------------------------------------------------------------------

    def _running(self) -> bool:
        return self._writer is not None and self._writer.is_alive()

    def _run(self) -> None:
        pending = _Pending()
        pending.data.append(encode_line({"kind": "opened", "at": time.time(), "pid": os.getpid()}))
        self._write(pending, sync=False)
        began = 0.0
        while True:
            records, sync, closing = self._take(bool(pending.records), began)
            began = time.monotonic()
            self._encode(records, pending)
            if closing:
                pending.data.append(encode_line({"kind": "closed", "at": time.time(), "seq": self._appended}))
            sync = sync or closing or any(record.sync for record in records) or pending.size() > _UNSYNCED_MOST
            self._write(pending, sync=sync)
            if closing:
                self._live.close()
                with self._changed:
                    self._changed.notify_all()
                return
            if sync:
                self._rotate_if_due()

    def _take(self, unsynced: bool, began: float) -> tuple[list[Record], bool, bool]:
        """Wait until there is something to write. The records, whether somebody waits for a sync, whether to close after."""
        with self._changed:
            while True:
                if self._closing:
                    break
                if self._hurry and (self._waiting or unsynced):
                    # In a stream, let records gather for a moment: one sync for many. After a pause there is no delay, and
                    # where somebody waits only a short one.
                    gather = self._group if self._sync_wanted > self._durable else _PATIENT * self._group
                    early = began + gather - time.monotonic()
                    if early <= 0:
                        break
                    self._changed.wait(early)
                elif self._live.rotate:
                    break
                elif self._waiting:
                    left = self._first_waiting_at + self._lazy - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
                else:
                    self._changed.wait()
            records, self._waiting = self._waiting, []
            sync = self._sync_wanted > self._durable or self._live.rotate
            self._hurry = False
            return records, sync, self._closing

    def _encode(self, records: list[Record], pending: _Pending) -> None:
        for start in range(0, len(records), _ENCODED_AT_ONCE):
            group = records[start : start + _ENCODED_AT_ONCE]
            lines = encode_records(group)
            if lines is None:
                self._encode_singly(group, pending)
            else:
                pending.data += lines
                pending.records += group
                pending.last_seq = group[-1].seq

    def _encode_singly(self, records: list[Record], pending: _Pending) -> None:
        """One of them cannot be stored: find it, refuse it, and keep the others."""
        for record in records:
            try:
                pending.data.append(encode_record(record))
            except StoreError as error:
                _log.error("Record %d (%s) of job %s: %s", record.seq, record.name, record.job or "-", error)
                with self._changed:
                    while len(self._refused) >= _REFUSED_KEPT:
                        del self._refused[next(iter(self._refused))]
                    self._refused[record.seq] = error
                self._tell_error(error)
                self._tell_error(None)
            else:
                pending.records.append(record)
            pending.last_seq = record.seq

    def _write(self, pending: _Pending, *, sync: bool) -> None:
        """Write and sync, again and again until it works; gives up only when the journal is being closed."""
        delay = _RETRY_FIRST
        while True:
            try:
                self._live.write(pending, sync=sync)
            except OSError as error:
                self._live.close()
                pending.written = 0  # after an error nothing since the last sync may be trusted: it is all written again
                self._failed(store_error(error, f"writing {self.folder / segment_name(self._live.number)}"))
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait_for(lambda: self._closing, delay)
                delay = min(delay * 2, _RETRY_LAST)
                sync = True
                continue
            break
        if not sync:
            return
        records, pending.records = pending.records, []
        pending.data.clear()
        pending.written = 0
        with self._changed:
            recovered = self._error is not None
            self._error = None
            self._durable = max(self._durable, pending.last_seq)
            self._changed.notify_all()
        if recovered:
            _log.info("Writing to %s works again.", self.folder)
            self._tell_error(None)
        if records:
            for on_durable, _ in self._listeners:
                try:
                    on_durable(records)
                except Exception:
                    _log.exception("A listener to durable records failed; the journal goes on.")

    def _failed(self, error: StoreError) -> None:
        with self._changed:
            news = self._error is None or self._error.code != error.code
            self._error = error
            self._changed.notify_all()
        if news:
            _log.error("%s", error)
            self._tell_error(error)

    def _tell_error(self, error: StoreError | None) -> None:
        for _, on_error in self._listeners:
            try:
                on_error(error)
            except Exception:
                _log.exception("A listener to the journal's errors failed; the journal goes on.")

    def _rotate_if_due(self) -> None:
        live = self._live
        most = max(self._snapshot_after, min(self._compactor.snapshot_size // 4, _SNAPSHOT_STEP_MOST))
        forced = live.rotate
        if not forced and live.durable < most + live.postponed:
            return
        with self._changed:
            live.rotate = False
        try:
            live.begin_next(self._durable)
            through: int | None = live.number - 1
        except OSError as error:
            through = None
            live.postponed += most
            _log.warning(
                "No new journal segment yet: %s The current one goes on.", store_error(error, "beginning a journal segment")
            )
        self._compactor.fold_through(through, asked=forced)

    # -- opening a damaged folder ---------------------------------------------------------------------------------------

    def _mend(self, loaded: Loaded) -> list[str]:
        """Keep copies of what is damaged and write a fresh snapshot. A disk that does not let us is no reason not to open."""
        notes = []
        try:
            for name in loaded.damaged:
                notes.append(f"The damaged {name} was kept as {self._keep(name)}.")
            if loaded.rewrite:
                loaded.snapshot_size = write_snapshot(
                    self._files, self.folder, loaded.recovered, loaded.last_segment, keep_previous=loaded.snapshot_ok
                )
                loaded.append_at = None  # what the last segment holds is in the snapshot now
                loaded.through = loaded.last_segment
                prune_segments(self._files, self.folder)
        except OSError as error:
            loaded.append_at = None if loaded.rewrite else loaded.append_at
            notes.append(f"The damaged files could not be mended now: {store_error(error, f'mending {self.folder}')}")
        return notes

    def _keep(self, name: str) -> Path:
        """Copy a damaged file aside, once, and no more than a few of them; the copy's path."""
        folder = self.folder / DAMAGED
        self._files.make_dir(folder)
        check = 0
        for data in self._files.chunks(self.folder / name):
            check = crc32(data, check)
        kept = self._files.names(folder)
        target = f"{name}.{check:08x}"
        if target not in kept:
            for old in kept[: max(0, len(kept) - _DAMAGED_KEPT + 1)]:
                self._files.remove(folder / old)
            file = self._files.create(folder / target)
            try:
                for data in self._files.chunks(self.folder / name):
                    write_all(file, data)
                file.sync()
            finally:
                file.close()
            self._files.sync_dir(folder)
        return folder / target


def _again(error: StoreError) -> StoreError:
    """A copy to raise: one exception object must not be raised by several threads at once."""
    return StoreError(error.code, error.message, details=error.details, retryable=error.retryable)


class _Pending:
    """What is not durable yet: lines, and the records they belong to. Touched by the writer alone."""

    __slots__ = ("data", "last_seq", "records", "written")

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.records: list[Record] = []
        self.written = 0  # how many of `data` are in the file already, though not synced
        self.last_seq = 0

    def size(self) -> int:
        return sum(map(len, self.data))


class _Live:
    """The segment that is written to. `durable` is the offset up to which all is safe: writing goes on there after an error."""

    def __init__(self, files: FileLayer, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._file: OpenFile | None = None
        self.number = 0
        self.append_at: int | None = None  # set by the reader: the last segment can be continued from here
        self.after = 0  # sequence number of the last record before this segment
        self.durable = 0
        self.postponed = 0  # bytes by which beginning the next segment was put off
        self.rotate = False

    def write(self, pending: _Pending, *, sync: bool) -> None:
        """Append what is pending and not written, then sync. After `OSError`, close before the next try."""
        if self._file is None:
            self._open()
        assert self._file is not None
        while pending.written < len(pending.data):
            lines = pending.data[pending.written : pending.written + _ENCODED_AT_ONCE]
            write_all(self._file, b"".join(lines))
            pending.written += len(lines)
        if sync:
            self._file.sync()
            self.durable = self._file.size()

    def _open(self) -> None:
        if self.append_at is None:
            self._begin(self.number + 1, self.after)
            return
        file = self._files.append(self._folder / segment_name(self.number))
        try:
            if file.size() != self.append_at:
                file.truncate(self.append_at)
            file.sync()
        except BaseException:
            file.close()
            raise
        self._file = file
        self.durable = self.append_at

    def _begin(self, number: int, after: int) -> None:
        """Make a segment. It counts only once its header and its name are durable."""
        self._files.make_dir(self._folder)
        file = self._files.create(self._folder / segment_name(number))
        try:
            header = encode_line({"format": FORMAT, "kind": "segment", "number": number, "after": after})
            write_all(file, header)
            file.sync()
            self._files.sync_dir(self._folder)
        except BaseException:
            file.close()
            raise
        old, self._file = self._file, file
        self.number = number
        self.durable = self.append_at = len(header)
        self.postponed = 0
        if old is not None:
            old.close()

    def begin_next(self, after: int) -> None:
        """Go on in a new segment. Everything in the current one must be durable."""
        self._begin(self.number + 1, after)

    def close(self) -> None:
        file, self._file = self._file, None
        if self.append_at is not None:
            self.append_at = self.durable
        if file is not None:
            try:
                file.close()
            except OSError as error:
                _log.warning("Closing %s failed: %s", segment_name(self.number), error)


__all__ = ["FileJournal"]
