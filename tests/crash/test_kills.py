# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 at random moments of a real queue process, and that the checks which watch over it would notice a broken promise."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from motion_queue.scripts.bench.crash import Round, kill_many, queue_process

KILLS = 200


def test_nothing_acknowledged_is_lost_and_nothing_done_is_repeated_over_200_kills(tmp_path: Path) -> None:
    tally = kill_many(KILLS, seed=4711, folder=tmp_path)
    assert tally.problems == []
    assert tally.kills == KILLS
    assert tally.acknowledged > KILLS
    # The kills were where it hurts.
    for phase in ("starting", "submitting", "running", "finishing", "snapshotting"):
        assert tally.phases[phase] > 0, phase


def test_a_journal_that_vanishes_between_two_lives_is_noticed(tmp_path: Path) -> None:
    def command(folder: Path, deeds: Path, life: int, seed: int, finish: bool) -> Sequence[str]:
        if life == 4:
            for file in folder.glob("*.jsonl*"):
                file.unlink()
        return queue_process(folder, deeds, life, seed, finish)

    tally = Round(tmp_path, 1, command).run(4)
    assert any("was acknowledged and is lost" in problem for problem in tally.problems)


def test_work_that_is_done_again_is_noticed(tmp_path: Path) -> None:
    """Going back to an older state of the journal makes the queue repeat what it forgot."""
    old = tmp_path / "old"

    def command(folder: Path, deeds: Path, life: int, seed: int, finish: bool) -> Sequence[str]:
        files = list(folder.glob("*.jsonl*"))
        if life == 4:
            old.mkdir()
            for file in files:
                shutil.copy2(file, old)
        if life == 7:
            for file in files:
                file.unlink()
            for file in old.iterdir():
                shutil.copy2(file, folder)
        return queue_process(folder, deeds, life, seed, finish)

    tally = Round(tmp_path / "round", 2, command).run(8)
    assert any("ran again" in problem or "began after" in problem for problem in tally.problems)
