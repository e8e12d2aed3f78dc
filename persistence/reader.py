# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a state folder: snapshot, previous snapshot and journal segments become the queue's state, whatever happened to them.

Changes nothing, needs no lock, and always comes to a result; what was damaged, missing or dropped is said. Only a newer format is
refused. What a reader finds while the owner writes is consistent: it starts again when files were exchanged under it.

The folder:
  journal-00000007.jsonl   segments, numbered without gaps; the last one is written to
  snapshot.jsonl           the fold of all segments up to the one its header names
  snapshot.jsonl.1         the previous one; the segments after it are kept, so that it can stand in for the newer one
  damaged/                 copies of files that were found damaged
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..queue.contract import Json, Recovered
from ..queue.errors import StoreError
from .files import FileLayer, OsFiles, store_error
from .fold import MAX_JOBS, Fold, is_steps
from .lines import FORMAT, MAX_LINE, Head, check_format, migrate, parse_heads, parse_line, parse_lines, salvage_line

SNAPSHOT = "snapshot.jsonl"
PREVIOUS = "snapshot.jsonl.1"
_SEGMENT = re.compile(r"journal-(\d{8})\.jsonl")
_LINES_AT_ONCE = 1000


def segment_name(number: int) -> str:
    return f"journal-{number:08}.jsonl"


def segment_numbers(files: FileLayer, folder: Path) -> list[int]:
    """The numbers of the segments in a folder, ascending."""
    return sorted(int(match[1]) for name in files.names(folder) if (match := _SEGMENT.fullmatch(name)))


@dataclass(slots=True)
class Scan:
    """What reading a file line by line came upon. Offsets and sizes in bytes."""

    size: int = 0
    good_end: int = 0  # just behind the last whole line
    bad: list[int] = field(default_factory=list)  # offsets of damaged lines
    bad_bytes: int = 0
    salvaged: bool = False  # whole lines were found inside damaged ones, or the last newline is missing

    @property
    def whole(self) -> bool:
        return not self.bad and not self.salvaged

    @property
    def torn(self) -> bool:
        """Damage at the end only: what a crash in the middle of a write leaves."""
        return bool(self.bad) and not self.salvaged and self.bad[0] >= self.good_end


def scan(
    files: FileLayer,
    path: Path,
    report: Scan,
    chunk: int = 1 << 20,
    parse: Callable[[list[bytes]], Sequence[Any] | None] = parse_lines,
) -> Iterator[tuple[list[bytes], Sequence[Any]]]:
    """The whole lines of a file and their objects, in groups; damage goes into `report`. Most objects lack the CRC.

    `parse` is the quick way for groups without damage: `parse_lines`, or `parse_heads` for lines that are decoded later.
    """
    rest = b""
    skipping = False  # inside a line over the limit
    for data in files.chunks(path, chunk):
        lines = (rest + data).split(b"\n") if rest else data.split(b"\n")
        rest = lines.pop()
        if lines and skipping:
            report.size += len(lines[0]) + 1
            report.bad_bytes += len(lines[0]) + 1
            del lines[0]
            skipping = False
        if len(rest) > MAX_LINE or skipping:
            if not skipping:
                report.bad.append(report.size + sum(map(len, lines)) + len(lines))
            yield from _groups(lines, report, parse)
            report.size += len(rest)
            report.bad_bytes += len(rest)
            rest, skipping = b"", True
            continue
        yield from _groups(lines, report, parse)
    if rest:
        found = _slowly(rest, report, end=0)
        report.salvaged = report.salvaged or bool(found)  # whole but for its newline: nothing may be appended to it
        if found:
            yield [line for line, _ in found], [value for _, value in found]


def _groups(
    lines: list[bytes], report: Scan, parse: Callable[[list[bytes]], Sequence[Any] | None]
) -> Iterator[tuple[list[bytes], Sequence[Any]]]:
    for start in range(0, len(lines), _LINES_AT_ONCE):
        group = lines[start : start + _LINES_AT_ONCE]
        values = parse(group)
        if values is not None:
            report.size += sum(map(len, group)) + len(group)
            report.good_end = report.size
            yield group, values
            continue
        found = [pair for line in group for pair in _slowly(line, report)]
        if found:
            yield [line for line, _ in found], [value for _, value in found]


def _slowly(line: bytes, report: Scan, end: int = 1) -> list[tuple[bytes, dict[str, Any]]]:
    """One line by itself, with what can be saved from it."""
    start = report.size
    report.size += len(line) + end
    value = parse_line(line)
    if value is not None:
        report.good_end = report.size
        return [(line, value)]
    report.bad.append(start)
    found = salvage_line(line)
    report.bad_bytes += len(line) + end - sum(len(piece) for piece, _ in found)
    if found:
        report.salvaged = True
        report.good_end = report.size
    return found


def first_line(files: FileLayer, path: Path) -> bytes:
    """The first line of a file, or what there is of it."""
    data = b""
    for piece in files.chunks(path, 1 << 12):
        data += piece
        if b"\n" in data or len(data) > 1 << 16:
            break
    return data.split(b"\n", 1)[0]


@dataclass(slots=True)
class SnapshotFile:
    """A snapshot as it was found. `through`: the last segment it holds; -1 where neither header nor footer says."""

    jobs: dict[str, dict[str, Json]] = field(default_factory=dict)
    meta: dict[str, Json] = field(default_factory=dict)
    through: int = -1
    seq: int = 0
    format: int = FORMAT
    whole: bool = False
    what: str = ""  # what is wrong with it
    size: int = 0


def read_snapshot(files: FileLayer, path: Path) -> SnapshotFile | None:
    """A snapshot and whether it is whole; None where there is none."""
    found = SnapshotFile()
    report = Scan()
    ended = None
    header = False
    malformed = 0
    try:
        for _, values in scan(files, path, report):
            for value in values:
                job = value.get("id")
                kind = value.get("kind")
                if job is None and kind in ("snapshot", "end"):
                    found.through = _whole_number(value.get("through"), -1)
                    found.seq = _whole_number(value.get("seq"), 0)
                    if kind == "end":
                        ended = value
                    else:
                        header = True
                        found.format = _whole_number(value.get("format"), FORMAT)
                    continue
                if found.format < FORMAT:
                    try:
                        value = migrate(value, found.format)  # noqa: PLW2901
                    except (KeyError, TypeError, ValueError):
                        malformed += 1
                        continue
                    job = value.get("id")
                fields = value.get("job")
                if type(job) is str and type(fields) is dict and is_steps(fields.get("steps", [])) and len(found.jobs) < MAX_JOBS:
                    found.jobs[job] = fields
                elif type(value.get("meta")) is dict:
                    found.meta = value["meta"]
                else:
                    malformed += 1
    except FileNotFoundError:
        return None
    found.size = report.size
    if not report.whole:
        found.what = f"{len(report.bad)} damaged lines, {report.bad_bytes} bytes"
    elif ended is None:
        found.what = "its end is missing"
    elif not header:
        found.what = "its first line is missing"
    elif ended.get("count") != len(found.jobs) or malformed:
        found.what = "jobs are missing from it"
    found.whole = not found.what
    return found


def _whole_number(value: Json, otherwise: int) -> int:
    return value if type(value) is int else otherwise


@dataclass(slots=True)
class Loaded:
    """A state folder as it was read, and what its owner has to know to go on writing."""

    recovered: Recovered
    through: int = 0  # the last segment in the current snapshot
    last_segment: int = 0  # the highest number in use; 0: none
    append_at: int | None = None  # where the last segment may be continued; None: start a new one
    snapshot_size: int = 0
    snapshot_ok: bool = False  # there is a current snapshot, and it is whole
    damaged: tuple[str, ...] = ()  # files to keep a copy of
    rewrite: bool = False  # a new snapshot is due at once: of damage, or of an older format


def load(folder: Path, files: FileLayer | None = None) -> Loaded:
    """Read a state folder. Raises `StoreError` newer_version, or read errors of the disk; damage is no error."""
    files = files or OsFiles()
    collecting = gc.isenabled()
    gc.disable()  # hundreds of thousands of objects are made and none is garbage: its search would double the time
    try:
        for _ in range(20):
            before = _generation(files, folder)
            try:
                loaded = _load(folder, files)
            except FileNotFoundError:
                continue  # the owner exchanged files meanwhile
            if _generation(files, folder) == before:
                return loaded
        return _load(folder, files)
    except OSError as error:
        raise store_error(error, f"reading {folder}") from error
    finally:
        if collecting:
            gc.enable()


def _generation(files: FileLayer, folder: Path) -> tuple[bytes, int]:
    try:
        header = first_line(files, folder / SNAPSHOT)
    except FileNotFoundError:
        header = b""
    return header, min(segment_numbers(files, folder), default=0)


def _load(folder: Path, files: FileLayer) -> Loaded:
    names = [name for name in files.names(folder) if name in (SNAPSHOT, PREVIOUS) or _SEGMENT.fullmatch(name)]
    for name in names:
        check_format(name, first_line(files, folder / name))
    segments = [int(match[1]) for name in names if (match := _SEGMENT.fullmatch(name))]

    base = _Base(folder, files, segments)
    fold, notes = base.fold, base.notes
    damaged = list(base.damaged)
    clean = not names
    append_at: int | None = None
    expected = base.through + 1
    for number in segments:
        if number <= base.through:
            continue
        if number > expected:
            notes.append(_missing(expected, number - 1))
        expected = number + 1
        name = segment_name(number)
        read = _read_segment(files, folder / name, fold)
        clean = read.closed
        report = read.report
        last = number == segments[-1]
        append_at = None
        if report.whole:
            append_at = report.size if read.header and read.format == FORMAT else None
        elif last and report.torn:
            size = report.size - report.good_end
            notes.append(f"The end of {name} was incomplete: {size} bytes after its last whole record were cut off.")
            append_at = report.good_end if read.header and read.format == FORMAT else None
            clean = False
        else:
            lost = f"{len(report.bad)} damaged lines ({report.bad_bytes} bytes)" if report.bad_bytes else "a damaged line end"
            notes.append(f"{name}: {lost} skipped.")
            clean = False
        if not report.whole:
            damaged.append(name)
        if not read.header and report.size and report.whole:
            notes.append(f"{name} has no header; it was read as format {FORMAT}.")
        base.rewrite |= read.format != FORMAT or not (report.whole or (last and report.torn and read.header))
    return Loaded(
        recovered=Recovered(dict(fold.jobs), fold.meta, fold.last_seq, clean, tuple(notes + fold.notes())),
        through=base.through,
        last_segment=max(segments, default=max(base.through, 0)),
        append_at=append_at,
        snapshot_size=base.size,
        snapshot_ok=base.current_ok,
        damaged=tuple(damaged),
        rewrite=base.rewrite,
    )


def _missing(first: int, last: int) -> str:
    names = segment_name(first) if first == last else f"{segment_name(first)} to {segment_name(last)}"
    return f"{names} missing: the changes in there are lost."


class _Base:
    """The state that the segments after `through` build on: the snapshot, or the best that can be made without it."""

    def __init__(self, folder: Path, files: FileLayer, segments: list[int]) -> None:
        self.notes: list[str] = []
        self.damaged: list[str] = []
        self.rewrite = False
        self.current_ok = False  # there is a current snapshot, and it is whole
        self.fold = Fold()
        self.through = 0
        self.size = 0
        current = read_snapshot(files, folder / SNAPSHOT)
        if current is not None and current.whole:
            self._take(current)
            self.current_ok = True
            return
        previous = read_snapshot(files, folder / PREVIOUS)
        if previous is not None:
            self._take(previous)
            self.through = max(previous.through, 0)
            if not previous.whole:
                self.notes.append(f"{PREVIOUS} is damaged: {previous.what}.")
                self.damaged.append(PREVIOUS)
        self.rewrite = previous is not None or current is not None
        if current is None:
            # The two renames of a new snapshot were interrupted, or somebody removed it: all its segments are still there.
            return
        self.damaged.append(SNAPSHOT)
        self._stand_in(folder, files, segments, current, previous is None or previous.whole)

    def _take(self, snapshot: SnapshotFile) -> None:
        self.fold = Fold(snapshot.seq)
        self.fold.jobs.update(snapshot.jobs)
        self.fold.meta = snapshot.meta
        self.through, self.size = snapshot.through, snapshot.size
        self.rewrite = snapshot.format != FORMAT

    def _stand_in(self, folder: Path, files: FileLayer, segments: list[int], current: SnapshotFile, previous_whole: bool) -> None:
        """Fold the previous snapshot and the segments up to the damaged one; take from the damaged one what that lacks."""
        until = current.through if current.through >= 0 else max(segments, default=0)
        old = [number for number in segments if self.through < number <= until]
        complete = previous_whole and old == list(range(self.through + 1, until + 1))
        for number in old:
            report = _read_segment(files, folder / segment_name(number), self.fold).report
            complete = complete and report.whole
        complete = complete and not self.fold.notes()
        how = f"{SNAPSHOT} was damaged ({current.what}) and was rebuilt from the previous snapshot and the journal"
        if complete:
            self.notes.append(f"{how}; nothing was lost.")
        else:
            self.fold.gaps.clear()  # what is in the snapshot covers them
            self.fold.orphans.clear()
            before = len(self.fold.jobs)
            for job, fields in current.jobs.items():
                if current.through >= 0 or (job not in self.fold.jobs and job not in self.fold.removed):
                    self.fold.jobs[job] = fields
            self.fold.meta = {**self.fold.meta, **current.meta} if current.through >= 0 else {**current.meta, **self.fold.meta}
            self.notes.append(
                f"{how}, which are not complete either: {len(current.jobs)} jobs were saved from it, "
                f"{before} are in the older files; jobs or changes may be missing."
            )
        if current.through >= 0:
            self.fold.last_seq = max(self.fold.last_seq, current.seq)
        self.through = max(until, self.through)


@dataclass(slots=True)
class _Segment:
    report: Scan
    closed: bool = False  # its last line says that its owner closed it
    header: bool = False
    format: int = FORMAT


def _read_segment(files: FileLayer, path: Path, fold: Fold) -> _Segment:
    found = _Segment(Scan())
    for _, values in scan(files, path, found.report, parse=parse_heads):
        markers = [value for value in values if isinstance(value, dict) and "kind" in value]
        for value in markers:
            if value["kind"] == "segment" and type(value.get("format")) is int:
                found.header, found.format = True, value["format"]
        found.closed = bool(markers) and values[-1] is markers[-1] and markers[-1]["kind"] == "closed"
        records = [value for value in values if value not in markers] if markers else values
        if found.format < FORMAT:
            records = _migrated(records, found.format, fold)
        fold.defer(records)
    if not found.report.whole:
        found.closed = False
    return found


def _migrated(values: Sequence[Head | dict[str, Any]], version: int, fold: Fold) -> list[dict[str, Any]]:
    migrated = []
    for value in values:
        try:
            decoded = value if isinstance(value, dict) else parse_line(value.string)
            migrated.append(migrate(decoded or {}, version))
        except (KeyError, TypeError, ValueError):
            fold.malformed += 1
    return migrated


def read_state(folder: Path) -> Recovered:
    """The state in a folder, read without a lock while its owner may be writing. `clean` tells nothing while it is owned.

    A record that the owner is writing at this moment may be noted as an incomplete end. `StoreError` newer_version, missing_file.
    """
    if not folder.is_dir():
        raise StoreError("missing_file", f"There is no state folder {folder}. Check the path given with --state.")
    return load(folder).recovered


__all__ = [
    "PREVIOUS",
    "SNAPSHOT",
    "Loaded",
    "Scan",
    "first_line",
    "load",
    "read_snapshot",
    "read_state",
    "scan",
    "segment_name",
    "segment_numbers",
]
