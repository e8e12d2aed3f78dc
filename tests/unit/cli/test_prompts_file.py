# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of prompts, as editors write it: what it accepts, and where it says that something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_queue.queue.errors import MotionQueueError
from motion_queue.scripts import prompts_file
from motion_queue.scripts.prompts_file import Line, load, parse

CODES = {"prompts_file_invalid", "prompts_file_too_large"}


def refused(data: bytes) -> MotionQueueError:
    with pytest.raises(MotionQueueError) as caught:
        parse(data, name="shots.txt")
    return caught.value


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_comments_and_blank_lines_are_passed_over_whatever_the_line_ends(mark: bytes, end: bytes) -> None:
    data = mark + end.join(
        [b"# shots", b"a person walks", b"", b" \t ", b"  # more", b"\tjumps twice ", b"waves # not a comment"]
    )
    assert parse(data, name="shots.txt") == (Line(2, "a person walks"), Line(6, "jumps twice"), Line(7, "waves # not a comment"))


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# nothing\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_prompt_is_refused(data: bytes) -> None:
    assert refused(data).code == "prompts_file_invalid"


def test_every_line_that_cannot_be_used_is_named() -> None:
    error = refused(b"walks\n" + b"w" * 2001 + b"\nruns\x00\njumps\x0b\n")
    assert error.code == "prompts_file_invalid"
    assert [line.split(": ")[0] for line in error.message.splitlines()] == ["shots.txt:2", "shots.txt:3", "shots.txt:4"]


def test_a_longest_prompt_is_taken() -> None:
    assert len(parse(b"w" * 2000, name="shots.txt")[0].prompt) == 2000


def test_another_encoding_is_refused() -> None:
    assert "UTF-8" in refused("läuft".encode("latin-1")).message
    assert "UTF-8" in refused("walks".encode("utf-16")).message


def test_ten_thousand_prompts_are_taken_and_one_more_is_not() -> None:
    assert len(parse(b"walks\n" * 10_000, name="shots.txt")) == 10_000
    assert refused(b"walks\n" * 10_001).code == "prompts_file_too_large"
    assert refused(b"#" * (prompts_file.MAX_BYTES + 1)).code == "prompts_file_too_large"


def test_many_mistakes_are_counted_and_not_all_shown() -> None:
    lines = refused(b"\x01x\n" * 80).message.splitlines()
    assert len(lines) == prompts_file.MAX_REPORTED + 1 and lines[-1] == "… and 30 more"


@pytest.mark.parametrize("name", ["gone.txt", ".", "a\x00b"])
def test_a_file_that_cannot_be_read_has_its_own_code(tmp_path: Path, name: str) -> None:
    with pytest.raises(MotionQueueError) as caught:
        load(tmp_path / name)
    assert caught.value.code == "prompts_file_unreadable"


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "shots.txt").write_text("walks\n", encoding="utf-8")
    assert load(tmp_path / "shots.txt") == (Line(1, "walks"),)


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_bytes_give_prompts_or_a_documented_error(data: bytes) -> None:
    try:
        assert all(line.prompt.strip() for line in parse(data, name="shots.txt"))
    except MotionQueueError as error:
        assert error.code in CODES
