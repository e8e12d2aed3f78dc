# SPDX-License-Identifier: GPL-3.0-or-later
"""Hips wider than the performer's sway less, but turn, lean and spin with the body."""

from __future__ import annotations

import numpy as np
import pytest

from motion_queue.motion import hips, quat

FRAME = 1.0 / 30.0
UP, LEFT = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
TIME = np.arange(240) * FRAME


def about(axis: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    return quat.from_axis_angle(axis, np.radians(degrees))


def yaw(frames: np.ndarray) -> np.ndarray:
    left = quat.rotate(frames, LEFT)
    return np.degrees(np.unwrap(np.arctan2(left[:, 1], left[:, 0])))


@pytest.mark.parametrize("wider", [0.5, 1.0, 1.3])
def test_hips_of_about_the_same_width_turn_as_captured(wider: float) -> None:
    sway = about(UP, 10.0 * np.sin(2.0 * np.pi * TIME))
    np.testing.assert_array_equal(hips.steadied(sway, FRAME, 0.2 * wider, 0.2), sway)


def test_a_performer_whose_hips_are_one_point_is_no_trouble() -> None:
    sway = about(UP, 8.0 * np.sin(2.0 * np.pi * TIME))
    assert np.abs(yaw(hips.steadied(sway, FRAME, 0.2, 0.0)))[30:-30].max() < 1.0


def test_wide_hips_go_about_as_far_as_narrow_ones() -> None:
    sway = about(UP, 8.0 * np.sin(2.0 * np.pi * TIME))
    assert np.abs(yaw(hips.steadied(sway, FRAME, 0.8, 0.2)))[30:-30].max() * 4.0 < 1.6 * 8.0


def test_leaning_forward_and_slow_turns_stay() -> None:
    lean = about(LEFT, 40.0 * np.sin(2.0 * np.pi * TIME))
    np.testing.assert_allclose(hips.steadied(lean, FRAME, 0.8, 0.2), lean, atol=1e-9)
    turn = about(UP, 10.0 * TIME)
    assert np.abs(yaw(hips.steadied(turn, FRAME, 0.8, 0.2)) - 10.0 * TIME).max() < 3.0


def test_who_spins_is_not_held_back_nor_jerked() -> None:
    spin = about(UP, 720.0 * TIME)
    steadied = hips.steadied(spin, FRAME, 0.8, 0.2)
    assert np.abs(yaw(steadied) - 720.0 * TIME)[30:-30].max() < 3.0
    assert np.abs(np.diff(yaw(steadied)) - 24.0)[30:-30].max() < 8.0
    assert np.isfinite(hips.steadied(spin[:1], FRAME, 0.8, 0.2)).all()
