# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels draw from: one small value, replaced as a whole, never while something is drawn. No Blender.

Panels ask `current()`; only the session, on Blender's main thread, publishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from ..backends.published.model import Which
from ..queue.contract import Health
from . import words
from .checks import Draft, Problem
from .job_details import Details
from .view import Counts, JobList


class Phase(StrEnum):
    OFF = "off"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"  # the engine could not be opened; `problem` says why
    INERT = "inert"  # this Blender is a child of a queue


class Severity(StrEnum):
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened and that a person may want to know, without being interrupted."""

    severity: Severity
    text: str
    at: float  # seconds since the epoch (UTC)
    job_id: str = ""
    loud: bool = False  # worth a notification of the system, where that is wished


@dataclass(frozen=True, slots=True)
class Recovery:
    """What an earlier session left unfinished."""

    unfinished: int
    interrupted: int  # of those, that were running when it ended
    notes: tuple[str, ...] = ()  # what was dropped or mended
    asks: bool = False  # nothing starts before a person has decided


@dataclass(frozen=True, slots=True)
class DraftCheck:
    """What the disk says of the new shot as it is filled in."""

    draft: Draft
    problems: tuple[Problem, ...] = ()
    place: str = ""  # where the results of its first take will be; empty: they stay with the queue
    clips: int = 0  # in the folder that is chosen


@dataclass(frozen=True, kw_only=True)  # without slots, which have no room for what is kept
class Snapshot:
    phase: Phase = Phase.OFF
    problem: str = ""
    jobs: JobList = field(default_factory=JobList)  # may be ahead of the rest by a tenth of a second
    counts: Counts = field(default_factory=Counts)
    held: Mapping[str, str] = field(default_factory=dict)  # why nothing starts: reason → explanation
    eta: float | None = None  # seconds until nothing waits any more
    eta_is_guess: bool = True
    selected: str = ""  # job id
    details: Details | None = None  # of the selected job
    durable: int = 0  # the newest event that is on disk
    notices: tuple[Notice, ...] = ()  # newest first
    recovery: Recovery | None = None
    preparing: int = 0  # shots that are being read and copied before they are jobs
    health: tuple[tuple[str, Health], ...] = ()  # what the test of the set-up found
    testing: bool = False  # it is under way
    draft_check: DraftCheck | None = None
    models: tuple[Which, ...] = ()  # published motion models that are set on this machine
    revision: int = 0  # differs where something that can be seen does

    @property
    def paused(self) -> bool:
        """A person paused the whole queue."""
        return "paused" in self.held

    @cached_property  # asked for by every draw
    def status(self) -> str:
        """For the status bar: `3 running · 12 waiting · 4 min`; empty when there is nothing to say."""
        counts = self.counts
        parts = []
        if at_work := counts.running + counts.stopping - counts.resting:
            parts.append(f"{at_work:,} running")
        if waiting := counts.waiting + counts.resting:
            parts.append(f"{waiting:,} waiting")
        if self.preparing:
            parts.append(f"{self.preparing:,} being prepared")
        if not parts:
            return ""
        if self.held:
            parts.append("paused" if self.paused else "on hold")
        elif self.eta is not None:
            parts.append(words.eta(self.eta, guess=self.eta_is_guess))
        return " · ".join(parts)


_current = Snapshot()


def current() -> Snapshot:
    return _current


def publish(snapshot: Snapshot) -> None:
    """Main thread only."""
    global _current  # noqa: PLW0603 (there is one interface for each Blender)
    _current = snapshot
