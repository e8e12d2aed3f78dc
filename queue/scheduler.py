# SPDX-License-Identifier: GPL-3.0-or-later
"""Which waiting step runs next. A pure data structure: no threads, no clock, no jobs, only keys and needs.

Order: higher priority, then manual position, then arrival. A step starts when its lane, the total, the memory budget, its
exclusive key and its backend allow. Within a lane nobody overtakes a step that waits for memory; across lanes only steps
that need none do, so a large step is never starved by a stream of small ones. Steps that wait for a key or for a backend
that is away, or that need more memory than there is in all, are parked and do not hold up the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .order import SortedKeys

Key = tuple[int, float, str]  # (-priority, position, job id)


def order_key(job_id: str, priority: int, position: float) -> Key:
    return (-priority, position, job_id)


@dataclass(slots=True)
class Waiting:
    """One job's next step, waiting for its turn."""

    key: Key
    lane: str
    backend: str
    memory_mb: float
    exclusive_key: str
    parked: str = ""  # "" in its lane's order, else "key", "backend" or "memory"


@dataclass(slots=True)
class _Lane:
    limit: int
    running: int = 0
    ready: SortedKeys[Key] = field(default_factory=SortedKeys)


class Scheduler:
    """Not thread-safe: the engine calls it under its lock."""

    def __init__(self, *, total: int, lanes: Mapping[str, int], memory_mb: float) -> None:
        self._total = total
        self._lane_limits = dict(lanes)
        self._memory = memory_mb
        self._lanes: dict[str, _Lane] = {}
        self._waiting: dict[str, Waiting] = {}
        self._running: dict[str, Waiting] = {}
        self._memory_used = 0.0
        self._keys_held: dict[str, str] = {}  # exclusive key → job id
        self._away: set[str] = set()  # backends held back
        self._parked_by_key: dict[str, set[str]] = {}
        self._parked_by_backend: dict[str, set[str]] = {}
        self._parked_by_memory: set[str] = set()  # larger than the whole budget, since that was lowered
        self.held = False  # the whole queue: paused, draining, or the journal cannot write

    # What waits

    def add(self, entries: Iterable[Waiting]) -> None:
        """Put steps in line."""
        by_lane: dict[str, list[Key]] = {}
        for waiting in entries:
            self._waiting[waiting.key[2]] = waiting
            by_lane.setdefault(waiting.lane, []).append(waiting.key)
        for lane, keys in by_lane.items():
            self._lane(lane).ready.update(keys)

    def discard(self, job_id: str) -> None:
        """Take a job out of the waiting ones, if it is there."""
        waiting = self._waiting.pop(job_id, None)
        if waiting is None:
            return
        if waiting.parked == "key":
            self._unpark(self._parked_by_key, waiting.exclusive_key, job_id)
        elif waiting.parked == "backend":
            self._unpark(self._parked_by_backend, waiting.backend, job_id)
        elif waiting.parked == "memory":
            self._parked_by_memory.discard(job_id)
        else:
            self._lane(waiting.lane).ready.remove(waiting.key)

    def rekey(self, job_id: str, key: Key) -> None:
        """Priority or position changed."""
        waiting = self._waiting.get(job_id)
        if waiting is None:
            return
        if not waiting.parked:
            ready = self._lane(waiting.lane).ready
            ready.remove(waiting.key)
            ready.add(key)
        waiting.key = key

    def position(self, job_id: str) -> int | None:
        """0-based rank within the lane, None when the job does not wait there."""
        waiting = self._waiting.get(job_id)
        return None if waiting is None else self._lane(waiting.lane).ready.rank(waiting.key)

    def is_waiting(self, job_id: str) -> bool:
        return job_id in self._waiting

    # What starts and ends

    def pick(self) -> str | None:
        """The job whose step starts now (it then holds its lane, memory and key until `release`), or None."""
        if self.held or len(self._running) >= self._total:
            return None
        heads = [
            waiting for lane in self._lanes.values() if lane.running < lane.limit and (waiting := self._head(lane)) is not None
        ]
        if len(heads) > 1:
            heads.sort(key=lambda waiting: waiting.key)
        memory_blocked = False
        for waiting in heads:
            need = waiting.memory_mb
            if need and self._memory:
                if memory_blocked:
                    continue
                if self._memory_used + need > self._memory:
                    memory_blocked = True
                    continue
            job_id = waiting.key[2]
            lane = self._lanes[waiting.lane]
            lane.ready.remove_first()
            lane.running += 1
            self._memory_used += need
            if waiting.exclusive_key:
                self._keys_held[waiting.exclusive_key] = job_id
            del self._waiting[job_id]
            self._running[job_id] = waiting
            return job_id
        return None

    def takes(self, job_id: str, memory_mb: float) -> None:
        """What a running step takes has become known only now."""
        running = self._running[job_id]
        self._memory_used += memory_mb - running.memory_mb
        running.memory_mb = memory_mb

    def release(self, job_id: str) -> None:
        """The step of this job has ended, however."""
        waiting = self._running.pop(job_id)
        self._lanes[waiting.lane].running -= 1
        # Sums of floats drift; with nothing running nothing is used.
        self._memory_used = self._memory_used - waiting.memory_mb if self._running else 0.0
        if waiting.exclusive_key:
            del self._keys_held[waiting.exclusive_key]
            self._return(self._parked_by_key.pop(waiting.exclusive_key, set()))

    # What limits

    def set_limits(self, *, total: int, lanes: Mapping[str, int], memory_mb: float) -> None:
        """Takes effect with the next start; what runs goes on."""
        self._total = total
        self._lane_limits = dict(lanes)
        self._memory = memory_mb
        for name, lane in self._lanes.items():
            lane.limit = self._lane_limits.get(name, total)
        too_large, self._parked_by_memory = self._parked_by_memory, set()
        self._return(too_large)

    def hold_backend(self, backend: str) -> None:
        self._away.add(backend)

    def free_backend(self, backend: str) -> None:
        self._away.discard(backend)
        self._return(self._parked_by_backend.pop(backend, set()))

    def is_away(self, backend: str) -> bool:
        return backend in self._away

    def is_too_large(self, job_id: str) -> bool:
        """It waits for a memory budget that it fits into."""
        waiting = self._waiting.get(job_id)
        return waiting is not None and 0 < self._memory < waiting.memory_mb

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def memory_used_mb(self) -> float:
        return self._memory_used

    def lane_counts(self) -> dict[str, tuple[int, int, int]]:
        """Lane → (running, waiting, limit)."""
        return {name: (lane.running, len(lane.ready), lane.limit) for name, lane in self._lanes.items()}

    # Inside

    def _lane(self, name: str) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(self._lane_limits.get(name, self._total))
        return lane

    def _head(self, lane: _Lane) -> Waiting | None:
        """The first of the lane that neither its key nor its backend nor its size holds up; parks those it passes."""
        while (key := lane.ready.first()) is not None:
            job_id = key[2]
            waiting = self._waiting[job_id]
            if waiting.backend in self._away:
                waiting.parked = "backend"
                self._parked_by_backend.setdefault(waiting.backend, set()).add(job_id)
            elif waiting.exclusive_key and waiting.exclusive_key in self._keys_held:
                waiting.parked = "key"
                self._parked_by_key.setdefault(waiting.exclusive_key, set()).add(job_id)
            elif 0 < self._memory < waiting.memory_mb:
                waiting.parked = "memory"
                self._parked_by_memory.add(job_id)
            else:
                return waiting
            lane.ready.remove_first()
        return None

    def _return(self, job_ids: set[str]) -> None:
        for job_id in job_ids:
            waiting = self._waiting[job_id]
            waiting.parked = ""
            self._lane(waiting.lane).ready.add(waiting.key)

    @staticmethod
    def _unpark(parked: dict[str, set[str]], name: str, job_id: str) -> None:
        jobs = parked[name]
        jobs.discard(job_id)
        if not jobs:
            del parked[name]
