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


def test_one_step_that_met_a_slow_moment_does_not_bend_the_progress_of_the_next() -> None:
    durations = Durations()
    even = [(k / 10, k * 1.0) for k in range(1, 11)]
    stalled = [(k / 10, k * 0.5 if k < 5 else k * 0.5 + 5.0) for k in range(1, 11)]
    for samples in (even, even, even, stalled):
        durations.observe("render", "w", 10.0, 10.0, samples)
    total = durations.total_of_running("render", "w", elapsed=4.0, fraction=0.4, predicted=10.0)
    assert total == pytest.approx(10.0, rel=0.01)


def test_nothing_new_between_two_reports_does_not_change_the_estimate() -> None:
    durations = Durations()
    at_the_report = durations.total_of_running("render", "w", 4.0, 0.4, 10.0, measured=4.0)
    before_the_next = durations.total_of_running("render", "w", 4.9, 0.4, 10.0, measured=4.0)
    overdue = durations.total_of_running("render", "w", 8.0, 0.4, 10.0, measured=7.0)
    assert at_the_report == before_the_next == pytest.approx(10.0)
    assert overdue is not None and overdue > 13.0


def test_a_step_that_became_much_slower_is_expected_to_go_on_slower() -> None:
    durations = Durations()
    even = [(k / 100, k * 0.1) for k in range(1, 61)]
    steady = durations.total_of_running("render", "w", 6.0, 0.6, 10.0, 6.0, even)
    assert steady == pytest.approx(10.0)
    slowed = [*even[:40], *((k / 100, 4.0 + (k - 40) * 0.3) for k in range(41, 61))]  # a third of the speed since 0.4
    slower = durations.total_of_running("render", "w", 10.0, 0.6, 10.0, 10.0, slowed)
    without = durations.total_of_running("render", "w", 10.0, 0.6, 10.0, 10.0)
    assert slower is not None and without is not None and slower > without * 1.1
    jitter = [(f, t + (0.05 if k % 2 else 0.0)) for k, (f, t) in enumerate(even)]
    assert durations.total_of_running("render", "w", 6.0, 0.6, 10.0, 6.0, jitter) == steady


def test_a_machine_that_became_slower_is_expected_to_stay_slower_by_half_of_that() -> None:
    durations = learned(0.0, 0.1, [50, 60, 70, 80, 50, 60, 70, 80])
    for work in (55, 65, 75):
        durations.observe("render", "workbench 320x180", work, 0.1 * work * 1.4)
    slower = durations.predict("render", "workbench 320x180", 60.0)
    assert slower is not None and 6.6 < slower.seconds < 8.0
    durations.observe("render", "workbench 320x180", 60, 6.0)
    durations.observe("render", "workbench 320x180", 60, 6.0)
    recovered = durations.predict("render", "workbench 320x180", 60.0)
    assert recovered is not None and recovered.seconds == pytest.approx(6.0, rel=0.1)


def test_after_three_similar_steps_progress_is_within_a_twentieth_of_the_time_that_passed() -> None:
    chance = random.Random(5)
    durations = Durations()
    for number in range(40):
        # Loading, frames whose times drift and jitter, and an end in which little is reported. Now and then a slow first frame.
        frames = chance.randrange(40, 90)
        drift = 1.0 + chance.uniform(-0.1, 0.1)
        times = [0.14 * (1.0 + (drift - 1.0) * k / frames) * chance.uniform(0.85, 1.15) for k in range(frames)]
        times[0] += 0.6 if number in (0, 9, 21) else 0.0
        lead, tail = chance.uniform(0.25, 0.35), 0.005 * frames
        total = lead + sum(times) + tail
        predicted = durations.predict("render", "w", frames)
        reports = [(0.01, lead)]
        for k in range(frames):
            reports.append((0.01 + 0.97 * (k + 1) / frames, reports[-1][1] + times[k]))
        if number >= 3:
            assert predicted is not None
            for (fraction, at), (_, following) in zip(reports, [*reports[1:], (1.0, total)], strict=True):
                for now in (at, (at + following) / 2, following):
                    found = durations.total_of_running("render", "w", now, fraction, predicted.seconds, measured=at)
                    assert found is not None
                    assert abs(now / found - now / total) <= 0.05, f"job {number}, {now:.1f} of {total:.1f} s"
        durations.observe("render", "w", frames, total, [*reports, (1.0, total)])


def test_what_was_learned_survives_and_damage_is_refused() -> None:
    durations = learned(1.0, 0.1, [10, 20, 30])
    durations.observe("render", "workbench 320x180", 25.0, 4.0, [(0.1, 1.0), (0.5, 2.0), (0.9, 3.0)])
    again = Durations()
    again.load(durations.to_json())
    key = ("render", "workbench 320x180", 25.0)
    assert again.predict(*key) == durations.predict(*key)
    running = ("render", "workbench 320x180", 2.0, 0.3, 4.0)
    assert again.total_of_running(*running) == pytest.approx(durations.total_of_running(*running), rel=0.01)
    assert again.knows("render") and not again.knows("retarget")
    with pytest.raises((ValueError, TypeError, KeyError)):
        Durations().load({"render|x": {"seen": [[1.0]], "profiles": []}})
    with pytest.raises(ValueError, match="knots"):
        Durations().load({"render|x": {"seen": [[1.0, 2.0]], "profiles": [[0.0, 1.0]]}})
