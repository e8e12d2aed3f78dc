# SPDX-License-Identifier: GPL-3.0-or-later
"""Folding closed segments into a new snapshot, line by line, without ever holding the state of the queue in memory.

The previous snapshot streams through: jobs that nothing happened to are copied as the bytes they are, changed ones are merged
one at a time. What is held are the lines of the segments being folded, which the journal bounds. Runs beside the engine, so it
works in slices well under a millisecond and rests between them. Knows nothing of who appends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..queue.contract import Json, Recovered
from ..queue.errors import StoreError
from .files import FileLayer, OpenFile, write_all
from .fold import Fold, ids_of, submitted_fields
from .lines import FORMAT, MAX_DEPTH, MAX_LINE, encode_line, parse_line
from .reader import PREVIOUS, SNAPSHOT, Scan, first_line, scan, segment_name, segment_numbers

_TEMP = "snapshot.jsonl.new"
MOST_SEGMENTS = 8
_AT_ONCE = 2 << 20  # bytes of segments; more beside a larger snapshot, which is not to be copied all the time
_BUFFER = 64 << 10  # bytes gathered for one write
_log = logging.getLogger("motion_queue.journal")


class Abandoned(Exception):
    """The journal is being closed: the compaction was given up, nothing has changed."""


class Pace:
    """Keeps a background loop from holding the interpreter: works for at most `work` seconds, then rests."""

    __slots__ = ("_began", "_rest", "_stop", "_work")

    def __init__(self, stop: threading.Event, work: float = 0.0004, rest: float = 0.0003) -> None:
        self._stop = stop
        self._work = work
        self._rest = rest
        self._began = time.perf_counter()

    def step(self) -> None:
        if time.perf_counter() - self._began > self._work:
            if self._stop.is_set():
                raise Abandoned
            time.sleep(self._rest)
            self._began = time.perf_counter()


class _NoPace(Pace):
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(threading.Event())

    def step(self) -> None:
        return


class _Writer:
    """Writes a snapshot beside the current one and puts it in its place."""

    def __init__(self, files: FileLayer, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._file: OpenFile = files.create(folder / _TEMP)
        self._buffer: list[bytes] = []
        self._waiting = 0
        self.size = 0
        self.jobs = 0

    def line(self, line: bytes) -> None:
        """One line with its newline."""
        self._buffer.append(line)
        self._waiting += len(line)
        if self._waiting >= _BUFFER:
            self._flush()

    def job(self, line: bytes) -> None:
        self.jobs += 1
        self.line(line)

    def _flush(self) -> None:
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._waiting = 0
        write_all(self._file, data)
        self.size += len(data)

    def finish(self, through: int, seq: int, *, keep_previous: bool) -> None:
        """End the file, make it durable and current. `keep_previous`: the one it replaces becomes the previous one."""
        self._flush()
        footer = encode_line({"kind": "end", "count": self.jobs, "through": through, "seq": seq})
        self._buffer.append(footer)
        self._flush()
        self._file.sync()
        self._file.close()
        current = self._folder / SNAPSHOT
        if keep_previous:
            self._files.replace(current, self._folder / PREVIOUS)
        self._files.replace(self._folder / _TEMP, current)
        self._files.sync_dir(self._folder)

    def discard(self) -> None:
        self._file.close()
        try:
            self._files.remove(self._folder / _TEMP)
        except OSError as error:
            _log.warning("Could not remove %s: %s. The next compaction overwrites it.", self._folder / _TEMP, error)


def header_line(through: int, seq: int) -> bytes:
    return encode_line({"format": FORMAT, "kind": "snapshot", "through": through, "seq": seq})


def write_snapshot(files: FileLayer, folder: Path, state: Recovered, through: int, *, keep_previous: bool) -> int:
    """Write a snapshot of a state at hand, durably; its size in bytes. For a start with damage or an old format."""
    writer = _Writer(files, folder)
    try:
        writer.line(header_line(through, state.last_seq))
        writer.line(encode_line({"meta": state.meta}, MAX_LINE, MAX_DEPTH))
        for job, fields in state.jobs.items():
            writer.job(encode_line({"id": job, "job": fields}, MAX_LINE, MAX_DEPTH))
        writer.finish(through, state.last_seq, keep_previous=keep_previous)
    except BaseException:
        writer.discard()
        raise
    return writer.size


def compact(files: FileLayer, folder: Path, through: int, pace: Pace | None = None) -> tuple[int, int]:
    """Fold the current snapshot and the closed segments up to `through` into a new one: the last segment folded, bytes written.

    Folds a few segments at once, since their lines are held in memory: call again until it says `through`.
    `StoreError` damaged when a file is no longer whole: nothing has changed then, and the next opening mends it.
    """
    pace = pace or _NoPace()
    base, seq = _base(files, folder)
    if through <= base:
        return base, files.size(folder / SNAPSHOT) if base else 0
    through = _as_many(files, folder, base, through)
    changes = _Changes(seq)
    for number in range(base + 1, through + 1):
        changes.read(files, folder / segment_name(number), pace)
    writer = _Writer(files, folder)
    try:
        writer.line(header_line(through, changes.last_seq))
        _merge(files, folder / SNAPSHOT, changes, writer, pace, exists=base > 0)
        writer.finish(through, changes.last_seq, keep_previous=base > 0)
    except BaseException:
        writer.discard()
        raise
    prune_segments(files, folder)
    return through, writer.size


def _as_many(files: FileLayer, folder: Path, base: int, through: int) -> int:
    """The last segment to fold now: one at least, and further ones as long as they are not much together."""
    most = max(_AT_ONCE, files.size(folder / SNAPSHOT) if base else 0)
    last = base + 1
    size = files.size(folder / segment_name(last))
    while last < min(through, base + MOST_SEGMENTS):
        size += files.size(folder / segment_name(last + 1))
        if size > most:
            break
        last += 1
    return last


def prune_segments(files: FileLayer, folder: Path) -> None:
    """Remove the segments that the previous snapshot holds; those after it stay, so that it can stand in for the current one."""
    try:
        header = parse_line(first_line(files, folder / PREVIOUS))
    except FileNotFoundError:
        return
    through = header.get("through") if header is not None else None
    if type(through) is not int:
        return
    for number in segment_numbers(files, folder):
        if number <= through:
            files.remove(folder / segment_name(number))


def _base(files: FileLayer, folder: Path) -> tuple[int, int]:
    """Last segment and last sequence number in the current snapshot; zeros when there is none."""
    try:
        header = parse_line(first_line(files, folder / SNAPSHOT))
    except FileNotFoundError:
        if PREVIOUS in files.names(folder):
            raise _damaged(SNAPSHOT) from None
        return 0, 0
    if header is None or type(header.get("through")) is not int or type(header.get("seq")) is not int:
        raise _damaged(SNAPSHOT)
    if header.get("format") != FORMAT:
        raise _older()
    return header["through"], header["seq"]


def _older() -> StoreError:
    return StoreError(
        "older_format", "The state folder holds files of an older format; they are migrated at the next start of the queue."
    )


def _damaged(name: str) -> StoreError:
    return StoreError(
        "damaged", f"{name} has become damaged on the disk. It is left as it is and mended at the next start. Check the disk."
    )


class _Changes:
    """What the segments say, by job: the lines themselves, parsed again one job at a time when they are merged."""

    def __init__(self, last_seq: int) -> None:
        self.last_seq = last_seq
        self.lines: dict[str, list[bytes]] = {}
        self.created: set[str] = set()  # ids whose lines begin with a submission
        self.removed: set[str] = set()
        self.meta: dict[str, Json] = {}

    def read(self, files: FileLayer, path: Path, pace: Pace) -> None:
        report = Scan()
        for lines, values in _small_groups(files, path, report):
            for line, value in zip(lines, values, strict=True):
                self._take(line, value)
                pace.step()
        if not report.whole:
            raise _damaged(path.name)

    def _take(self, line: bytes, value: dict[str, Any]) -> None:
        """The rules of the fold, as far as they decide which lines are still needed and in which order."""
        seq, job, fields = value.get("seq"), value.get("job"), value.get("fields")
        if "kind" in value:
            if value["kind"] == "segment" and value.get("format") != FORMAT:
                raise _older()
            return
        if (
            type(seq) is not int
            or type(job) is not str
            or type(fields) is not dict
            or "name" not in value
            or seq <= self.last_seq
        ):
            return
        self.last_seq = seq
        if value["name"] == "job_submitted" and job:
            if submitted_fields(value) is None:
                return
            if job not in self.created:
                self.lines.pop(job, None)  # what came before it was about a job in the snapshot, or about none
                self.created.add(job)
            self.lines[job] = [line]
        elif value["name"] == "jobs_removed":
            for gone in ids_of(fields):
                self.lines.pop(gone, None)
                self.created.discard(gone)
                self.removed.add(gone)
        elif not job:
            self.meta.update(fields)
        else:
            self.lines.setdefault(job, []).append(line)


def _small_groups(files: FileLayer, path: Path, report: Scan) -> Iterator[tuple[list[bytes], Sequence[dict[str, Any]]]]:
    """Groups small enough that checking and parsing one of them takes a fraction of a millisecond."""
    return scan(files, path, report, chunk=16 << 10)


def _merge(files: FileLayer, path: Path, changes: _Changes, writer: _Writer, pace: Pace, *, exists: bool) -> None:
    meta: dict[str, Json] = {}
    ended = False
    jobs = 0
    report = Scan()
    wrote_meta = False
    for lines, values in _small_groups(files, path, report) if exists else ():
        for line, value in zip(lines, values, strict=True):
            pace.step()
            kind, job = value.get("kind"), value.get("id")
            if job is None:
                if kind == "end":
                    ended = value.get("count") == jobs
                elif type(value.get("meta")) is dict:
                    meta = value["meta"]
                continue
            jobs += 1
            if not wrote_meta:
                writer.line(encode_line({"meta": {**meta, **changes.meta}}, MAX_LINE, MAX_DEPTH))
                wrote_meta = True
            if job in changes.removed:
                continue
            if job in changes.lines:
                merged = _fold_job(job, value.get("job"), changes.lines.pop(job))
                if merged is not None:
                    writer.job(encode_line({"id": job, "job": merged}, MAX_LINE, MAX_DEPTH))
            else:
                writer.job(line + b"\n")
    if exists and not (ended and report.whole):
        raise _damaged(path.name)
    if not wrote_meta:
        writer.line(encode_line({"meta": {**meta, **changes.meta}}, MAX_LINE, MAX_DEPTH))
    for job in list(changes.lines):
        pace.step()
        merged = _fold_job(job, None, changes.lines.pop(job))
        if merged is not None:
            writer.job(encode_line({"id": job, "job": merged}, MAX_LINE, MAX_DEPTH))


def _fold_job(job: str, fields: dict[str, Json] | None, lines: Iterable[bytes]) -> dict[str, Json] | None:
    """One job after the records in `lines`; None where they do not tell what it was."""
    fold = Fold()
    if fields is not None:
        fold.jobs[job] = fields
    for line in lines:
        value = parse_line(line)
        if value is not None:
            fold.last_seq = value["seq"] - 1
            fold.add([value])
    merged = fold.jobs.get(job)
    return None if merged is None else dict(merged)


__all__ = ["Abandoned", "Pace", "compact", "prune_segments", "write_snapshot"]
