# SPDX-License-Identifier: GPL-3.0-or-later
"""What the status bar says."""

from __future__ import annotations

import pytest

from motion_queue.panels.snapshot import Snapshot
from motion_queue.panels.view import Counts


@pytest.mark.parametrize(
    ("now", "status"),
    [
        (Snapshot(), ""),
        (Snapshot(counts=Counts(completed=3)), ""),
        (
            Snapshot(counts=Counts(running=3, waiting=12), eta=240.0, eta_is_guess=False),
            "3 running · 12 waiting · 4 min",
        ),
        (Snapshot(counts=Counts(running=1, stopping=1)), "2 running"),
        # Between two steps a job has begun, and waits for room.
        (Snapshot(counts=Counts(running=1_016, waiting=2_000, resting=1_008)), "8 running · 3,008 waiting"),
        (Snapshot(counts=Counts(waiting=2), held={"paused": "Paused."}, eta=1.0), "2 waiting · paused"),
        (Snapshot(counts=Counts(waiting=2), held={"recovered": "…"}, preparing=1), "2 waiting · 1 being prepared · on hold"),
    ],
)
def test_the_status_says_what_works_and_what_waits(now: Snapshot, status: str) -> None:
    assert now.status == status
