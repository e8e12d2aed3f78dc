# SPDX-License-Identifier: GPL-3.0-or-later
"""What the figures of retargeting say: the worst case decides, what failed is counted, peers stand beside at equal lengths."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from motion_queue.scripts.bench.report import Measure, Report
from motion_queue.scripts.bench.retarget_eval import page, results, rigs, sources
from motion_queue.scripts.bench.retarget_eval.judge import judge
from motion_queue.scripts.bench.retarget_eval.peers import KEEMAP, ROKOKO
from motion_queue.scripts.bench.retarget_eval.tasks import FREE, LOCKED


@pytest.fixture(scope="module")
def verdict(checkout: Path) -> dict[str, Any]:
    walk = sources.read(checkout / "examples" / "walk.bvh", "smpl")
    return judge(walk, walk).to_json()


def _case(verdict: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {"verdict": {**verdict, **changed}, "seconds": 0.3, "frames": 100}


def _named(report: Report, words: str) -> Measure:
    return next(m for m in report.measures if words in m.measure)


def test_the_worst_case_is_named_and_held_against_the_target(verdict: dict[str, Any]) -> None:
    report = Report("retarget", io.StringIO())
    judged = {"mixamo": {"walk": {LOCKED: _case(verdict)}, "kick": {LOCKED: _case(verdict, jump=12.0)}}}

    results.measure(report, judged, [LOCKED, FREE])

    worst = _named(report, "rotation jump that the source lacks: worst")
    assert (worst.value, worst.ok, worst.note) == (12.0, False, "kick on mixamo")
    assert _named(report, "rotation jump that the source lacks: mean").value == pytest.approx(6.0, abs=1e-6)
    assert _named(report, "limbs swapped").ok


def test_a_case_that_failed_is_a_miss_and_stands_on_the_page(verdict: dict[str, Any], tmp_path: Path) -> None:
    report = Report("retarget", io.StringIO())
    judged = {
        "mixamo": {
            "walk": {LOCKED: _case(verdict), ROKOKO: {"failed": "No root bone found!"}},
            "kick": {LOCKED: {"failed": "Bad"}},
        }
    }

    results.measure(report, judged, [LOCKED])
    page.write(tmp_path, report.measures, judged, [LOCKED, ROKOKO], ["walk", "kick"], ["mixamo"])

    failed = _named(report, "cases that failed")
    assert (failed.value, failed.ok) == (1, False)
    assert "kick on mixamo: Bad" in failed.note
    text = (tmp_path / "retarget-report.md").read_text(encoding="utf-8")
    assert "refused: No root bone found!" in text
    assert "ours (1 of 2 refused)" in text
    assert "images/retarget-mixamo.png" in text


def test_times_of_peers_are_brought_to_the_same_number_of_frames() -> None:
    report = Report("retarget", io.StringIO())
    times = {
        "frames": {LOCKED: 3000, ROKOKO: 3000, KEEMAP: 300},
        LOCKED: {"read": [0.1, 0.2, 0.1], "solve": [0.2, 0.2, 0.2], "write": [0.1, 0.1, 0.1], "total": [0.4, 0.5, 0.4]},
        ROKOKO: {"read": [1.0], "solve": [15.0], "total": [16.0]},
        KEEMAP: {"read": [0.1], "solve": [9.9], "total": [10.0]},
    }

    results.measure_times(report, times)

    total = report.measures[0]
    assert (total.value, total.ok) == (0.4, True)
    assert dict(total.peers) == {ROKOKO: 16.0, KEEMAP: 100.0}
    faster = _named(report, "faster than Rokoko")
    assert faster.value == pytest.approx(40.0)
    assert faster.ok


def test_every_table_of_joints_has_what_the_judge_looks_at() -> None:
    needed = {f"{joint}_{side}" for side in "lr" for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")} | {
        "neck",
        "head",
    }
    for rig in rigs.RIGS:
        assert needed <= set(rig.bones()), rig.name
        assert rig.ball is not None or {"toe_l", "toe_r"} <= set(rig.bones()), rig.name
    for name, skeleton in sources.SKELETONS.items():
        assert needed | {"toe_l", "toe_r", "tip_l", "tip_r"} <= set(skeleton.names()), name
