# SPDX-License-Identifier: GPL-3.0-or-later
"""What is learned of durations: times grow with work, profiles bend progress to time, and nothing is claimed without history."""

from __future__ import annotations

import random

import pytest

from motion_queue.queue.eta import Durations


def learned(fixed: float, per_unit: float, works: list[float], noise: float = 0.0) -> Durations:
    chance = random.Random(3)
    durations = Durations()
    for work in works:
        durations.observe("render", "workbench 320x180", work, (fixed + per_unit * work) * (1 + chance.uniform(-noise, noise)))
    return durations


def test_without_history_there_is_a_guess_or_nothing() -> None:
    durations = Durations()
    assert durations.predict("render", "cycles", 10.0) is None
    guess = durations.predict("render", "cycles", 10.0, first_guess=42.0)
    assert guess is not None and guess.seconds == 42.0 and guess.guess and not guess.timed


def test_a_fixed_cost_and_a_cost_per_unit_are_told_apart() -> None:
    durations = learned(2.0, 0.1, [40, 60, 90])
    for work in (20, 50, 120, 300):
        prediction = durations.predict("render", "workbench 320x180", work)
        assert prediction is not None and not prediction.guess
        assert prediction.seconds == pytest.approx(2.0 + 0.1 * work, rel=0.05)


def test_noise_never_makes_more_work_take_less_time() -> None:
    durations = learned(1.0, 0.05, [50, 51, 52, 49, 48, 60, 40], noise=0.3)
    seconds = [durations.predict("render", "workbench 320x180", work).seconds for work in (10, 50, 100, 400)]  # type: ignore[union-attr]
    assert seconds == sorted(seconds)
    assert all(s > 0 for s in seconds)


def test_another_size_of_the_same_engine_stands_in_and_says_so() -> None:
    durations = learned(0.0, 0.1, [50, 80, 100])
    other = durations.predict("render", "workbench 640x360", 60.0, first_guess=1000.0)
    assert other is not None and other.guess and other.timed
    assert other.seconds == pytest.approx(6.0, rel=0.05)
    assert durations.predict("render", "cycles 640x360", 60.0) is None


def test_the_time_profile_bends_reported_fractions_to_time() -> None:
    durations = Durations()
    # Half of the time passes before a tenth is reported.
    for _ in range(3):
        durations.observe("render", "w", 10.0, 10.0, [(0.1, 5.0), (0.4, 7.0), (0.7, 8.5), (1.0, 10.0)])
    total = durations.total_of_running("render", "w", elapsed=5.0, fraction=0.1, predicted=10.0)
    assert total == pytest.approx(10.0, rel=0.05)
    # The machine is half as fast now: towards the end the reports win over the prediction.
    slow = durations.total_of_running("render", "w", elapsed=17.0, fraction=0.7, predicted=10.0)
    assert slow == pytest.approx(20.0, rel=0.05)


def test_what_was_learned_survives_and_damage_is_refused() -> None:
    durations = learned(1.0, 0.1, [10, 20, 30])
    again = Durations()
    again.load(durations.to_json())
    key = ("render", "workbench 320x180", 25.0)
    assert again.predict(*key) == durations.predict(*key)
    assert again.knows("render") and not again.knows("retarget")
    with pytest.raises((ValueError, TypeError, KeyError)):
        Durations().load({"render|x": {"seen": [[1.0]], "profile": None}})
    with pytest.raises(ValueError, match="knots"):
        Durations().load({"render|x": {"seen": [[1.0, 2.0]], "profile": [0.0, 1.0]}})
