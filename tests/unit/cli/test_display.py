# SPDX-License-Identifier: GPL-3.0-or-later
"""The terminal display: no line wider than the screen, redrawn in place, plain lines and JSON elsewhere."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest

from motion_queue.scripts.cli.display import Bars, JsonLines, PlainLines, Row, duration, fit, table, visible_width

RUNNING = Row(id="1", label="Hero walks in", state="running", progress=0.42, stage="Rendering frame 31 of 72", eta_seconds=75.0)
WAITING = Row(id="2", label="跳ぶ 02", state="queued")
DONE = Row(id="3", label="idle", state="completed", progress=1.0, seconds=12.0, output_dir="/out/idle")
FAILED = Row(id="4", label="bad", state="failed", error_code="bvh_truncated", error_message="The clip ends early.", log="/log")
ROWS = {row.id: row for row in (RUNNING, WAITING, DONE, FAILED)}


def bars(columns: int, rows: int = 24) -> tuple[Bars, io.StringIO, list[float], list[int]]:
    stream, now, size = io.StringIO(), [0.0], [columns, rows]
    return Bars(stream, size=lambda: (size[0], size[1]), clock=lambda: now[0]), stream, now, size


@pytest.mark.parametrize("columns", [20, 30, 40, 64, 80, 84, 120, 250])
def test_no_line_is_wider_than_the_screen(columns: int) -> None:
    display, *_ = bars(columns)
    many = {name: replace(RUNNING, id=name, label="跳" * 60) for name in ("a", "b", "c")}
    lines = display.lines(ROWS | many)
    assert len(lines) == 5
    assert all(visible_width(line) < columns or columns <= 20 for line in lines)


def test_a_wide_screen_shows_name_stage_percent_and_time_left() -> None:
    display, *_ = bars(100)
    text = re.sub(r"\x1b\[\d+m", "", display.lines(ROWS)[0])
    assert "Hero walks in" in text and "Rendering frame 31 of 72" in text and "42 %" in text and "~1:15 left" in text


def test_more_running_jobs_than_lines_are_counted() -> None:
    display, *_ = bars(80, rows=6)
    many = {str(i): replace(RUNNING, id=str(i)) for i in range(8)}
    lines = display.lines(many)
    assert len(lines) == 5 and "8 running, 4 shown" in lines[-1]


def test_it_redraws_in_place_at_most_ten_times_a_second() -> None:
    display, stream, now, _ = bars(80)
    for tick in range(100):
        now[0] = tick * 0.01
        display.tick({"1": replace(RUNNING, progress=tick / 100)})
    draws = stream.getvalue().count("\x1b[J")
    assert 9 <= draws <= 11
    assert stream.getvalue().count("\x1b[2F") == draws - 1, "each redraw goes up by the two lines that stand there"


def test_a_narrowed_screen_is_cleared_of_its_wrapped_lines() -> None:
    display, stream, now, size = bars(100)
    display.tick({"1": RUNNING})
    before = sum(-(-visible_width(line) // 50) for line in display.lines({"1": RUNNING}))
    size[0], now[0] = 50, 1.0
    display.tick({"1": RUNNING})
    assert f"\x1b[{before}F" in stream.getvalue()


def test_finished_jobs_scroll_by_and_the_end_is_one_sentence() -> None:
    display, stream, _, _ = bars(80)
    display.changed(DONE, None)
    display.changed(FAILED, None)
    display.close(ROWS)
    text = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", stream.getvalue())
    assert "idle: completed in 12 s, in /out/idle" in text
    assert "bad: failed: The clip ends early. [bvh_truncated]\n  log: /log" in text
    assert text.endswith("4 jobs: 1 completed, 1 failed, 2 unfinished.\n")


def test_a_note_is_said_at_once_and_with_the_result_and_is_no_failure() -> None:
    row = replace(WAITING, label="walks", note="not used: juggles")
    done = replace(DONE, note=row.note)
    assert not done.bad
    plain = io.StringIO()
    display = PlainLines(plain)
    display.changed(row, None)
    display.changed(replace(row, state="running"), row)
    display.changed(done, row)
    assert plain.getvalue().splitlines() == [
        "walks: queued (not used: juggles)",
        "walks: running",
        "idle: completed in 12 s, in /out/idle (not used: juggles)",
    ]
    bar, stream, _, _ = bars(80)
    bar.changed(row, None)
    bar.changed(replace(row, state="running"), row)
    bar.tick({"2": row})
    assert re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", stream.getvalue()).splitlines()[0] == "! walks (not used: juggles)"
    assert row.to_json()["note"] == "not used: juggles"


def test_plain_lines_are_state_changes_and_tenths() -> None:
    stream = io.StringIO()
    display = PlainLines(stream)
    row = replace(RUNNING, progress=0.0, eta_seconds=None, stage="render")
    display.changed(row, None)
    for percent in range(1, 101):
        display.changed(replace(row, progress=percent / 100), row)
    assert stream.getvalue().splitlines() == [
        "Hero walks in: running",
        *(f"Hero walks in: {n} % render" for n in range(10, 101, 10)),
    ]


def test_json_lines_are_one_object_each_and_end_with_a_summary() -> None:
    stream = io.StringIO()
    display = JsonLines(stream)
    display.changed(FAILED, None)
    display.close(ROWS)
    first, last = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["event"], first["state"], first["error"]["code"]) == ("job", "failed", "bvh_truncated")
    assert last == {"event": "summary", "jobs": 4, "completed": 1, "degraded": 0, "failed": 1, "cancelled": 0, "unfinished": 2}


def test_texts() -> None:
    assert [duration(s) for s in (0.04, 9.94, 9.96, 59.4, 60, 3723)] == ["0.0 s", "9.9 s", "10 s", "59 s", "1:00", "1:02:03"]
    assert fit("跳跳跳", 5) == "跳跳…" and fit("a\x1b[2Jb", 20) == "a?[2Jb"
    assert table([("A", "跳"), ("long", "b")]) == ["A     跳", "long  b"]
