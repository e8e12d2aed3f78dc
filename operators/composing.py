# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the texts that the scenes of the open file carry, of the jobs in the queue. Plain values only, on any thread. No bpy.

A job is asked of the engine and written as JSON again only after it has changed: with hundreds of jobs in a file, one of which
ends each second, that is what the rest of it would cost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..panels.view import Row, row_of
from ..persistence import mirror
from ..persistence.mirror import CarriedJob, Room
from ..queue.engine import Engine
from ..queue.errors import MotionQueueError


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """What is known of the open file. Times in seconds since the epoch (UTC)."""

    owner: str  # the name of this installation
    blend: str = ""  # its path, by which its jobs know it; empty: it was never saved
    path: str = ""  # where it will be read from next
    opened_at: float = 0.0
    scenes: tuple[str, ...] = ()  # those that can be written
    own: frozenset[str] = frozenset()  # jobs that are known to be its own, wherever it was when they were queued
    offered: tuple[CarriedJob, ...] = ()  # what it brought from elsewhere, and nobody has decided about

    def has(self, row: Row) -> bool:
        if row.id in self.own:
            return True
        # A file that was never saved has no name to know its jobs by, only the time since it is open.
        return row.blend == self.blend if self.blend else (not row.blend and row.created_at >= self.opened_at)


@dataclass(frozen=True, slots=True)
class Composed:
    texts: Mapping[str, str]  # scene → what it carries
    own: frozenset[str]  # all of the file's jobs that there are


class _Entry(NamedTuple):
    revision: int
    scene: str
    text: str


class Composer:
    """`compose`, for one file after the other. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Entry] = {}
        self._known_for = ("", "")  # owner and path: entries differ with both

    def compose(self, engine: Engine, rows: Iterable[Row], file: OpenFile) -> Composed:
        """Unfinished jobs in their order as far as there is room, then what finished last, each with its scene."""
        mine = [row for row in rows if file.has(row)]
        mine += _rows_of(engine, file.own - {row.id for row in mine})
        unfinished = sorted((row for row in mine if not row.over), key=lambda row: (-row.priority, row.position, row.created_at))
        finished = sorted((row for row in mine if row.over), key=lambda row: -(row.completed_at or row.created_at))
        with self._lock:
            return Composed(self._texts(engine, unfinished, finished, file), frozenset(row.id for row in mine))

    def _texts(self, engine: Engine, unfinished: Sequence[Row], finished: Sequence[Row], file: OpenFile) -> dict[str, str]:
        if self._known_for != (file.owner, file.path):
            self._known, self._known_for = {}, (file.owner, file.path)
        before, self._known = self._known, {}
        if not file.scenes:
            return {}
        room = Room()
        scenes: dict[str, list[str]] = {scene: [] for scene in file.scenes}
        first = file.scenes[0]
        left_out = 0

        def add(found: Iterable[_Entry], count: int) -> int:
            """Those that have room; how many have none."""
            for each in found:
                count -= 1
                if not room.take(each.text):
                    return count + 1
                # What belongs to no scene any more goes with the first one.
                scenes[each.scene if each.scene in scenes else first].append(each.text)
                if room.full:
                    break
            return count

        offered = [_entry(job) for job in file.offered if not job.over]
        left_out += add(self._entries(engine, unfinished, before, file), len(unfinished))
        left_out += add(offered, len(offered))
        shown = finished[: mirror.FINISHED]
        over = [_entry(job) for job in file.offered if job.over][: mirror.FINISHED - len(shown)]
        add(self._entries(engine, shown, before, file), 0)
        add(over, 0)
        return {
            scene: mirror.assemble(entries, left_out if scene == first else 0) if entries or (left_out and scene == first) else ""
            for scene, entries in scenes.items()
        }

    def _entries(self, engine: Engine, rows: Iterable[Row], before: Mapping[str, _Entry], file: OpenFile) -> Iterator[_Entry]:
        for row in rows:
            known = before.get(row.id)
            if known is None or known.revision != row.revision:
                try:
                    job = engine.get(row.id)
                except MotionQueueError as error:
                    if error.code != "no_such_job":
                        raise
                    continue  # cleared meanwhile: its row follows
                known = _entry(mirror.carry(job, owner=file.owner, blend=file.path), row.revision)
            self._known[row.id] = known
            yield known


def _rows_of(engine: Engine, job_ids: Iterable[str]) -> Iterator[Row]:
    """Of jobs that the list does not have: their events are still on the way, or they were cleared."""
    for job_id in job_ids:
        try:
            yield row_of(engine.get(job_id))
        except MotionQueueError as error:
            if error.code != "no_such_job":
                raise


def _entry(job: CarriedJob, revision: int = 0) -> _Entry:
    return _Entry(revision, job.scene, mirror.entry(job))
