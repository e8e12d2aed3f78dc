# SPDX-License-Identifier: GPL-3.0-or-later
"""Lengths and paths of a timeline's parts."""

from __future__ import annotations

import numpy as np
import pytest

from motion_queue.backends.generate.network import Expected
from motion_queue.backends.generate.plan import TOKEN_SECONDS, Plan, make_plan
from motion_queue.backends.generate.timeline import Control, Segment, Timeline
from motion_queue.queue.errors import MotionQueueError


def segment(action: str = "walk", **fields: object) -> Segment:
    return Segment(text=action, words=(action,), action=action, **fields)  # type: ignore[arg-type]


def plan(*segments: Segment, seconds: float | None = None, guess: float = 3.0) -> Plan:
    timeline = Timeline(prompt="", segments=segments, matched=(), unmatched=())
    expected = [Expected(seconds=guess, left=0.0, forward=0.0, turn=0.0) for _ in segments]
    return make_plan(timeline, expected, seconds)


def test_a_part_without_a_length_gets_the_estimate() -> None:
    assert plan(segment(), guess=3.2).seconds == pytest.approx(3.2, abs=TOKEN_SECONDS)


def test_a_way_that_nobody_gave_a_length_takes_some_steps() -> None:
    assert plan(segment(control=Control(forward=1.1)), guess=1.5).seconds > 3.0
    assert plan(segment("bow"), guess=1.5).seconds == pytest.approx(2.0, abs=TOKEN_SECONDS)


def test_a_part_keeps_the_length_that_was_asked() -> None:
    made = plan(segment(seconds=5.0), segment("wave", seconds=2.0))
    assert [p.tokens * TOKEN_SECONDS for p in made.parts] == pytest.approx([5.0, 2.0], abs=TOKEN_SECONDS)


def test_the_whole_length_is_taken_from_parts_without_their_own() -> None:
    made = plan(segment(seconds=3.0), segment("wave"), segment("bow"), seconds=8.0)
    assert made.seconds == pytest.approx(8.0, abs=2 * TOKEN_SECONDS)
    assert made.parts[0].tokens * TOKEN_SECONDS == pytest.approx(3.0, abs=TOKEN_SECONDS)


def test_where_only_fixed_lengths_are_left_they_are_scaled() -> None:
    assert plan(segment(seconds=3.0), segment("wave", seconds=3.0), seconds=4.0).seconds == pytest.approx(
        4.0, abs=2 * TOKEN_SECONDS
    )


def test_what_is_repeated_stands_there_as_often() -> None:
    made = plan(segment("jump", seconds=2.0, repeats=3))
    assert len(made.parts) == 3 and made.seconds == pytest.approx(6.0, abs=0.2)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9, float("nan"), float("inf"), 0.5, 61.0])
def test_lengths_out_of_range_are_refused(seconds: float) -> None:
    with pytest.raises(MotionQueueError) as caught:
        plan(segment(), seconds=seconds)
    assert caught.value.code == "invalid_duration"


def test_more_than_a_minute_in_all_is_refused() -> None:
    with pytest.raises(MotionQueueError) as caught:
        plan(*[segment(seconds=30.0)] * 3)
    assert caught.value.code == "invalid_duration"


@pytest.mark.parametrize("guess", [2.38, 3.0, 3.13, 3.6])  # 2.38 * (60.0 / 2.38) is more than 60.0
@pytest.mark.parametrize("parts", [1, 3])
def test_a_whole_minute_may_be_asked_for(guess: float, parts: int) -> None:
    assert plan(*[segment()] * parts, seconds=60.0, guess=guess).seconds == pytest.approx(60.0, abs=2 * TOKEN_SECONDS)


def test_a_direction_without_a_turn_is_a_straight_path() -> None:
    made = plan(segment(control=Control(forward=1.2), seconds=4.0))
    np.testing.assert_allclose(made.control, np.tile([0, 1.2, 0, 1, 1, 1], (made.tokens, 1)), atol=1e-6)


def test_what_nobody_asked_for_is_left_to_the_model() -> None:
    assert not plan(segment("dance", seconds=4.0)).control.any()


def test_a_turn_comes_to_what_was_asked_also_beside_other_parts() -> None:
    turn = float(np.radians(90))
    made = plan(
        segment(control=Control(forward=1.2), seconds=3.0),
        segment("turn", control=Control(forward=0.0, turn=turn)),
        segment(control=Control(forward=1.2), seconds=3.0),
    )
    part = made.parts[1]
    total = made.control[part.start : part.stop, 2].sum() * TOKEN_SECONDS
    assert total == pytest.approx(turn, rel=0.02)


def test_speed_changes_gradually_from_part_to_part() -> None:
    made = plan(segment(control=Control(forward=0.0), seconds=3.0), segment("run", control=Control(forward=3.0), seconds=3.0))
    assert np.abs(np.diff(made.control[:, 1])).max() < 0.8


@pytest.mark.parametrize("seconds", [1.0, 1.5, 2.0, 60.0])
def test_several_parts_fit_in_the_shortest_and_in_the_longest_motion(seconds: float) -> None:
    parts = [segment(control=Control(forward=1.0)), segment("turn", control=Control(forward=0.0, turn=1.0))]
    made = plan(*parts, seconds=seconds)
    assert made.control.shape == (made.tokens, 6)
    assert made.seconds == pytest.approx(seconds, abs=0.2)
