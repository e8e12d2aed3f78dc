# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs stay within their size, keep what matters of it, and never stop the work."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path

import pytest

from motion_queue.persistence.logs import EngineLog, JobLog


def test_the_engine_log_rotates_in_utc_with_levels_and_lets_go_of_its_file(tmp_path: Path) -> None:
    log = EngineLog(tmp_path / "logs", level="INFO", max_bytes=2000, backups=2)
    child = logging.getLogger("motion_queue.journal")
    child.debug("not this")
    for number in range(200):
        child.warning("line %d \u4e16\udcff", number)
    log.set_level("DEBUG")
    child.debug("this")
    log.close()
    child.warning("after the end")
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["engine.log", "engine.log.1", "engine.log.2"]
    assert all(path.stat().st_size <= 2100 for path in (tmp_path / "logs").iterdir())
    lines = (tmp_path / "logs" / "engine.log").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z DEBUG   \S+ motion_queue\.journal: this", lines[-1])
    assert log._handler not in logging.getLogger("motion_queue").handlers


def test_a_job_log_keeps_its_beginning_and_its_end_and_counts_what_went(tmp_path: Path) -> None:
    log = JobLog(tmp_path / "logs" / "job.log", max_bytes=20_000)
    for number in range(5000):
        log.write("info", f"line {number}", at=0.0)
    text = log.path.read_text()
    assert len(text) <= 20_100
    lines = text.splitlines()
    assert lines[0] == "1970-01-01T00:00:00.000Z INFO    line 0"
    assert lines[-1].endswith("line 4999")
    marker = [index for index, line in enumerate(lines) if line.startswith("...")]
    assert len(marker) == 1
    match = re.fullmatch(r"\.\.\. (\d+) lines \((\d+) bytes\) left out \.\.\.", lines[marker[0]])
    assert match is not None
    assert int(match[1]) + len(lines) - 1 == 5000
    kept = [int(line.rpartition(" ")[2]) for index, line in enumerate(lines) if index != marker[0]]
    assert kept == sorted(kept)
    again = JobLog(log.path, max_bytes=20_000)  # after a restart
    for number in range(5000, 8000):
        again.write("info", f"line {number}")
    assert again.path.read_text().count("left out") == 1


def test_long_and_many_lined_messages_stay_readable(tmp_path: Path) -> None:
    log = JobLog(tmp_path / "job.log", max_bytes=8000)
    log.write("error", "first\nsecond\r\nthird\n")
    log.write("error", "x" * 100_000)
    lines = log.path.read_text().splitlines()
    assert [line.strip() for line in lines[1:3]] == ["second", "third"]
    assert "characters cut" in lines[3]
    assert log.tail(60).endswith("characters cut)\n") or log.tail(60) == ""
    assert JobLog(tmp_path / "none.log").tail() == ""


def test_a_log_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    log = JobLog(tmp_path / "file" / "job.log")
    log.write("info", "one")
    log.write("info", "two")
    assert capsys.readouterr().err.count("cannot write the log") == 1


def test_threads_share_a_job_log(tmp_path: Path) -> None:
    log = JobLog(tmp_path / "job.log", max_bytes=1 << 20)
    threads = [threading.Thread(target=lambda: [log.write("info", "y" * 50) for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    lines = log.path.read_text().splitlines()
    assert len(lines) == 400
    assert len(set(map(len, lines))) == 1
