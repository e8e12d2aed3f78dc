# SPDX-License-Identifier: GPL-3.0-or-later
"""Two-bone IK: reaches what can be reached, keeps lengths and the knee's plane, and never snaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_queue.motion import ik, quat

UP, AHEAD = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])


def bent(knee_degrees: float, thigh: float = 0.4, shin: float = 0.42) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hip, knee, ankle of a leg that hangs down and bends forward."""
    half = np.radians(0.5 * knee_degrees)
    hip = np.array([0.1, 0.9, 0.0])
    knee = hip + thigh * np.array([0.0, -np.cos(half), np.sin(half)])
    return hip, knee, knee + shin * np.array([0.0, -np.cos(half), -np.sin(half)])


def posed(hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray, limb: ik.Limb) -> tuple[np.ndarray, np.ndarray]:
    """Knee and ankle after the turns."""
    new_knee = hip + quat.rotate(limb.upper, knee - hip)
    return new_knee, new_knee + quat.rotate(limb.lower, ankle - knee)


numbers = st.floats(-1.0, 1.0)


@given(st.floats(2.0, 140.0), numbers, numbers, numbers)
def test_a_target_within_reach_is_met_and_no_bone_changes_its_length(knee: float, x: float, y: float, z: float) -> None:
    hip, middle, end = bent(knee)
    target = hip + 0.75 * np.array([x, y, z]) / np.sqrt(3.0) + np.array([0.0, -0.05, 0.0])
    limb = ik.solve(hip, middle, end, target, forward=AHEAD)
    new_knee, new_ankle = posed(hip, middle, end, limb)
    assert np.isfinite(new_ankle).all()
    assert np.linalg.norm(new_knee - hip) == pytest.approx(0.4)
    assert np.linalg.norm(new_ankle - new_knee) == pytest.approx(0.42)
    np.testing.assert_allclose(new_ankle, limb.end, atol=1e-9)
    if 0.021 < np.linalg.norm(target - hip) < 0.98 * 0.82:
        np.testing.assert_allclose(new_ankle, target, atol=1e-6)


@pytest.mark.parametrize("degrees", [0.5, 5.0, 40.0, 120.0])
def test_a_limb_that_is_where_it_should_be_is_left_alone(degrees: float) -> None:
    hip, knee, ankle = bent(degrees)
    limb = ik.solve(hip, knee, ankle, ankle, forward=AHEAD)
    assert np.degrees(quat.angle(limb.upper, quat.IDENTITY)) < 0.3
    np.testing.assert_allclose(posed(hip, knee, ankle, limb)[1], ankle, atol=1e-9)


def test_the_knee_stays_in_its_plane() -> None:
    hip, knee, ankle = bent(60.0)
    sideways = quat.from_axis_angle(UP, np.radians(35.0))  # knees turned out
    hip, knee, ankle = (quat.rotate(sideways, p) for p in (hip, knee, ankle))
    new_knee, new_ankle = posed(hip, knee, ankle, ik.solve(hip, knee, ankle, ankle + 0.1 * UP, forward=AHEAD))
    before, after = np.cross(knee - hip, ankle - knee), np.cross(new_knee - hip, new_ankle - new_knee)
    assert np.dot(quat.normalize(before), quat.normalize(after)) > 0.999


def test_a_straight_leg_bends_where_the_knee_points() -> None:
    hip, knee, ankle = bent(0.0)
    new_knee, _ = posed(hip, knee, ankle, ik.solve(hip, knee, ankle, ankle + 0.08 * UP, forward=AHEAD))
    assert (new_knee - hip)[2] > 0.05


def test_a_knee_that_is_bent_a_little_backwards_bends_forward() -> None:
    hip, knee, ankle = bent(-6.0)
    new_knee, new_ankle = posed(hip, knee, ankle, ik.solve(hip, knee, ankle, ankle + 0.08 * UP, forward=AHEAD))
    assert (new_knee - hip)[2] > 0.05
    np.testing.assert_allclose(new_ankle, ankle + 0.08 * UP, atol=1e-9)


def test_a_knee_does_not_snap_as_the_target_goes_out_of_reach() -> None:
    hip, knee, ankle = bent(20.0)
    down = np.linspace(0.0, 0.1, 201)[:, None] * -UP
    limb = ik.solve(*(np.broadcast_to(p, (201, 3)) for p in (hip, knee, ankle)), ankle + down, forward=AHEAD)
    bend = np.degrees(quat.angle(limb.upper, limb.lower))
    assert np.abs(np.diff(bend)).max() < 0.6  # a hard limit gives 3 degrees here
    assert np.linalg.norm(limb.end - hip, axis=-1).max() <= ik.FULL * 0.82 + 1e-9


def test_frames_and_limbs_are_solved_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    points = [np.asarray(p) + 0.01 * rng.normal(size=(7, 2, 3)) for p in bent(50.0)]
    target = points[2] + 0.1 * rng.normal(size=(7, 2, 3))
    whole = ik.solve(*points, target, forward=np.broadcast_to(AHEAD, (7, 2, 3)))
    single = ik.solve(*(p[3, 1] for p in points), target[3, 1], forward=AHEAD)
    np.testing.assert_allclose(whole.end[3, 1], single.end)
    np.testing.assert_allclose(whole.lower[3, 1], single.lower)
