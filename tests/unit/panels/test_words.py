# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations, sizes and lines as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_queue.panels import words
from motion_queue.queue.contract import JobState, StepState


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (89, "1 min"),
        (3599, "1 h"),
        (4800, "1 h 20 min"),
        (86400, "1 d"),
        (97200, "1 d 3 h"),
    ],
)
def test_a_duration_is_said_in_the_units_that_matter(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_a_guess_is_marked_and_what_nobody_knows_is_not_said() -> None:
    assert words.eta(240, guess=True) == "~4 min" and words.eta(240, guess=False) == "4 min" and words.eta(None, guess=True) == ""


def test_a_hundred_percent_is_for_what_is_over() -> None:
    assert words.percent(0.999) == "99 %" and words.percent(1.0) == "100 %"


def test_sizes() -> None:
    assert [words.size(n) for n in (0, 999, 1500, 2_451_611, 123_000_000)] == ["0 B", "999 B", "1.5 KB", "2.5 MB", "123 MB"]


@given(st.text(max_size=300), st.integers(8, 60))
def test_wrapped_lines_fit_and_lose_nothing_but_space(text: str, width: int) -> None:
    lines = words.wrapped(text, width)
    assert all(len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_every_state_has_a_word_and_an_icon() -> None:
    assert set(words.STATE_ICONS) == set(words.STATE_WORDS) == set(JobState)
    assert set(words.STEP_ICONS) == set(StepState)
