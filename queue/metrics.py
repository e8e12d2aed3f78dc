# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts and times of the queue: how long jobs waited and ran, how many finished a minute."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_KEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Seconds."""

    p50: float
    p90: float
    p99: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    states: dict[str, int]  # jobs kept, by state
    finished: dict[str, int]  # jobs that ended since the start of this process, by state
    waiting: Percentiles | None  # submit → first start, of the last 1,000 that ended
    running: Percentiles | None  # time at work of the last 1,000 that ended
    per_minute: float  # jobs that ended in the last minute
    lanes: dict[str, tuple[int, int, int]]  # lane → (running, waiting, limit)
    memory_used_mb: float
    retries: int
    abandoned_threads: int  # backends that did not stop when asked and were given up


class Meter:
    """Not thread-safe: the engine calls it under its lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waits: deque[float] = deque(maxlen=_KEPT)
        self._runs: deque[float] = deque(maxlen=_KEPT)
        self._ends: deque[list[int]] = deque(maxlen=61)  # [second, jobs that ended in it]: a minute's worth
        self.finished: Counter[str] = Counter()
        self.retries = 0
        self.abandoned = 0

    def ended(self, state: str, waited: float | None, ran: float) -> None:
        self.finished[state] += 1
        second = int(self._clock())
        if self._ends and self._ends[-1][0] == second:
            self._ends[-1][1] += 1
        else:
            self._ends.append([second, 1])
        if waited is not None:
            self._waits.append(waited)
            self._runs.append(ran)

    @property
    def waiting(self) -> Percentiles | None:
        return _percentiles(self._waits)

    @property
    def running(self) -> Percentiles | None:
        return _percentiles(self._runs)

    @property
    def per_minute(self) -> float:
        since = self._clock() - 60.0
        return float(sum(count for second, count in self._ends if second >= since))


def _percentiles(values: Iterable[float]) -> Percentiles | None:
    ordered = sorted(values)
    if not ordered:
        return None

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Percentiles(p50=at(0.5), p90=at(0.9), p99=at(0.99), count=len(ordered))
