# SPDX-License-Identifier: GPL-3.0-or-later
"""Reduced curves: within the tolerance at every frame, exact at their keys, and far fewer keys where motion is smooth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_queue.motion import quat, reduce
from motion_queue.motion.errors import MotionError
from motion_queue.motion.quat import Array


def smooth_rotations(seed: int, frames: int, bones: int, *, jitter: float = 0.0) -> Array:
    """Rotations [F, B, 4] of slow swings with at most `jitter` radians of noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None] / 30.0
    angles = rng.uniform(0.1, 1.2, (1, bones, 3)) * np.sin(
        rng.uniform(0.5, 5.0, (1, bones, 3)) * t + rng.uniform(0, 6, (1, bones, 3))
    )
    return quat.continuous(quat.from_euler(angles + rng.uniform(-jitter, jitter, angles.shape), "zyx"))


def worst(values: Array, keys: list[reduce.Keys], distance: reduce.Distance) -> float:
    at = np.arange(len(values), dtype=np.float64)
    return max(float(distance(values[:, i], reduce.evaluate(k, at)).max()) for i, k in enumerate(keys))


@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 4), st.floats(0.05, 10.0), st.floats(0.0, 0.2))
def test_no_frame_is_further_off_than_the_tolerance(seed: int, frames: int, bones: int, degrees: float, jitter: float) -> None:
    values = smooth_rotations(seed, frames, bones, jitter=jitter)
    keys = reduce.reduce(values, np.radians(degrees), reduce.rotation_distance)
    assert worst(values, keys, reduce.rotation_distance) <= np.radians(degrees) + 1e-9
    for bone, k in enumerate(keys):
        assert k.frames[0] == 0 and k.frames[-1] == frames - 1 and (np.diff(k.frames) > 0).all()
        np.testing.assert_array_equal(k.values, values[k.frames, bone])


def test_smooth_motion_needs_few_keys_and_a_wider_tolerance_fewer() -> None:
    values = smooth_rotations(3, 600, 8)
    counts = [
        sum(len(k) for k in reduce.reduce(values, np.radians(degrees), reduce.rotation_distance)) / values[..., 0].size
        for degrees in (0.1, 0.5, 2.0)
    ]
    assert counts[0] > counts[1] > counts[2]
    assert counts[1] < 0.15


def test_no_key_is_left_that_could_go() -> None:
    values = smooth_rotations(5, 300, 5, jitter=0.004)
    tolerance = np.radians(0.5)
    at = np.arange(len(values), dtype=np.float64)
    for bone, keys in enumerate(reduce.reduce(values, tolerance, reduce.rotation_distance)):
        for i in range(1, len(keys) - 1):
            less = reduce.Keys(
                frames=np.delete(keys.frames, i), values=np.delete(keys.values, i, 0), slopes=np.delete(keys.slopes, i, 0)
            )
            assert reduce.rotation_distance(values[:, bone], reduce.evaluate(less, at)).max() > tolerance


def test_what_does_not_move_has_two_keys_and_a_jump_is_kept() -> None:
    values = np.zeros((50, 2, 3))
    values[25:, 1] = [1.0, 0.0, 0.0]
    still, jump = reduce.reduce(values, 0.01, reduce.length_distance)
    assert still.frames.tolist() == [0, 49]
    assert worst(values[:, 1:], [jump], reduce.length_distance) <= 0.01


def test_a_tolerance_of_zero_keeps_every_frame() -> None:
    values = smooth_rotations(1, 40, 2)
    assert [len(k) for k in reduce.reduce(values, 0.0, reduce.rotation_distance)] == [40, 40]


def test_a_group_is_reduced_the_same_whatever_stands_beside_it() -> None:
    values = smooth_rotations(9, 200, 6, jitter=0.01)
    together = reduce.reduce(values, 0.01, reduce.rotation_distance)
    for bone, keys in enumerate(together):
        alone = reduce.reduce(values[:, bone : bone + 1], 0.01, reduce.rotation_distance)[0]
        np.testing.assert_array_equal(alone.frames, keys.frames)


@pytest.mark.parametrize("order", reduce.EULER_ORDERS)
def test_euler_angles_mean_the_same_rotation_and_are_reduced_within_the_tolerance(order: str) -> None:
    rotations = smooth_rotations(7, 200, 3)
    angles = reduce.to_euler(rotations, order)
    assert quat.angle(reduce.from_euler(angles, order), rotations).max() < 1e-6
    distance = reduce.euler_distance(order)
    keys = reduce.reduce(angles, np.radians(0.5), distance)
    assert worst(angles, keys, distance) <= np.radians(0.5) + 1e-9


def test_the_first_axis_of_an_order_turns_first() -> None:
    quarter = 0.5 * np.pi
    turned = quat.rotate(reduce.from_euler(np.array([quarter, 0.0, quarter]), "XYZ"), [0.0, 1.0, 0.0])
    np.testing.assert_allclose(turned, [0.0, 0.0, 1.0], atol=1e-12)  # y to z by X, and Z leaves it there


def test_angle_and_axis_mean_the_same_rotation() -> None:
    rotations = smooth_rotations(2, 100, 3)
    rotations[10] = quat.IDENTITY
    assert quat.angle(reduce.from_axis_angle(reduce.to_axis_angle(rotations)), rotations).max() < 1e-6


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_none_is_refused(tolerance: float) -> None:
    with pytest.raises(MotionError, match="tolerance"):
        reduce.reduce(np.zeros((3, 1, 3)), tolerance, reduce.length_distance)


@pytest.mark.parametrize("values", [np.zeros((0, 1, 3)), np.zeros((3, 3)), np.full((3, 1, 3), np.nan)])
def test_values_that_are_none_are_refused(values: Array) -> None:
    with pytest.raises(MotionError) as caught:
        reduce.reduce(values, 0.1, reduce.length_distance)
    assert caught.value.code == "bad_edit"
