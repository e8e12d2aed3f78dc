# SPDX-License-Identifier: GPL-3.0-or-later
"""Contacts: hysteresis, gaps and short touches; the judge of sliding feet finds planted faults and believes nobody."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from motion_queue.motion import contacts
from motion_queue.motion.contacts import ContactOptions, find_contacts, judge

FRAME = 1.0 / 30.0
masks = arrays(np.bool_, st.integers(0, 40))


def bits(text: str) -> np.ndarray:
    return np.array([c == "#" for c in text])


@given(masks)
def test_runs_and_masks_are_the_same_thing(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(contacts.from_runs(contacts.runs(mask), len(mask)), mask)


def test_hysteresis_keeps_runs_that_were_entered() -> None:
    found = contacts.hysteresis(bits("..#......#"), bits(".###.##..."))
    np.testing.assert_array_equal(found, bits(".###......"))


def test_short_gaps_are_closed_and_short_touches_dropped_but_not_at_the_ends_of_the_clip() -> None:
    np.testing.assert_array_equal(contacts.close_gaps(bits(".##.##...#."), 2), bits(".#####...#."))
    np.testing.assert_array_equal(contacts.drop_short(bits("#..##.####"), 3), bits("#.....####"))


def test_a_gap_after_which_the_point_is_elsewhere_stays() -> None:
    mask, along = bits("##.###..##"), np.array([0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 1.1])
    point = np.stack([along, np.zeros(10), np.zeros(10)], axis=-1)
    np.testing.assert_array_equal(contacts.close_gaps(mask, 2, point, 0.2), bits("##.#######"))
    np.testing.assert_array_equal(contacts.close_gaps(mask, 2, point), bits("##########"))


def foot(height: np.ndarray, along: np.ndarray) -> np.ndarray:
    """One point [F, 1, 3] from heights and places in metres, Y up."""
    return np.stack([np.zeros_like(height), height, along], axis=-1)[:, None]


def found(points: np.ndarray, metre: float = 1.0, floor: float = 0.0, options: ContactOptions | None = None) -> np.ndarray:
    return find_contacts(points * metre, FRAME, up=1, floor=floor * metre, metre=metre, options=options)[:, 0]


@pytest.mark.parametrize("metre", [1.0, 100.0, 39.37])
def test_a_standing_point_is_found_in_any_unit(metre: float) -> None:
    height = np.concatenate([np.zeros(30), 0.2 * np.sin(np.linspace(0.0, np.pi, 20)), np.zeros(30)])
    along = np.concatenate([np.zeros(30), np.linspace(0.0, 1.0, 20), np.ones(30)])
    stands = found(foot(height, along), metre)
    assert stands[:27].all()
    assert not stands[33:47].any()
    assert stands[53:].all()


def test_a_low_flight_a_fast_pass_and_a_raised_foot_are_no_contacts() -> None:
    t = np.arange(60) * FRAME
    assert not found(foot(np.full(60, 0.02), 1.5 * t)).any()
    assert not found(foot(np.full(60, 0.3), 0.0 * t)).any()
    hop = np.maximum(0.0, 0.06 * np.sin(np.pi * (t - 0.8) / 0.3) * ((t > 0.8) & (t < 1.1)))
    assert not found(foot(hop, 0.0 * t))[27:31].any()


def test_a_foot_that_twitches_to_another_place_stands_twice() -> None:
    place = np.where(np.arange(40) < 20, 0.0, 0.07)
    options = ContactOptions(step=0.04)
    assert not found(foot(np.zeros(40), place), options=options)[18:22].all()
    assert found(foot(np.zeros(40), place)).all()
    assert found(foot(np.zeros(40), 0.2 * place), options=options).all()


def test_who_made_the_motion_is_believed_where_a_point_hovers_but_not_where_it_swings() -> None:
    still, told = np.zeros(60), np.ones((60, 1), dtype=bool)
    hovering, swinging = foot(np.full(60, 0.08), still), foot(np.full(60, 0.02), 1.2 * np.arange(60) * FRAME)
    assert not found(hovering).any()
    assert find_contacts(hovering, FRAME, up=1, floor=0.0, metre=1.0, believed=told).all()
    assert not find_contacts(swinging, FRAME, up=1, floor=0.0, metre=1.0, believed=told).any()
    nowhere = ~told
    assert not find_contacts(hovering, FRAME, up=1, floor=0.0, metre=1.0, believed=told, allowed=nowhere).any()


def feet(speed: float, height: float = 0.0, frames: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Both soles [F, 2, 2, 3] and a pelvis that slide at `speed` m/s."""
    way = np.arange(frames)[:, None] * FRAME * speed * np.array([0.0, 0.0, 1.0])
    soles = np.tile(way[:, None, None], (1, 2, 2, 1))
    soles[..., 1] = height
    return soles, way


def test_the_judge_measures_a_planted_slide_and_depth() -> None:
    soles, pelvis = feet(0.3, height=-0.02)
    seen = judge(soles, pelvis, FRAME, up=1, floor=0.0, metre=1.0)
    assert seen.skate == pytest.approx(0.3)
    assert seen.penetration == pytest.approx(2.0)
    assert seen.near == 240


def test_the_judge_lets_swings_and_high_feet_go_but_counts_swings_apart() -> None:
    soles, pelvis = feet(2.0)
    seen = judge(soles, 0.5 * pelvis, FRAME, up=1, floor=0.0, metre=1.0)
    assert (seen.skate, seen.near) == (0.0, 0)
    assert seen.skate_all == pytest.approx(2.0)
    assert judge(*feet(0.3, height=0.1), FRAME, up=1, floor=0.0, metre=1.0).near == 0
