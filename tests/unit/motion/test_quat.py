# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations: the smallest turn from one direction to another, products and norms, against matrices and the library's own."""

from __future__ import annotations

import numpy as np
import pytest

from motion_queue.motion import quat

RANDOM = np.random.default_rng(7)


def directions(count: int) -> np.ndarray:
    return RANDOM.normal(size=(count, 3)) * 10.0 ** RANDOM.uniform(-9.0, 9.0, size=(count, 1))


def test_between_turns_one_direction_into_the_other_by_the_smallest_angle() -> None:
    a, b = directions(2000), directions(2000)
    turn = quat.between(a, b)
    np.testing.assert_allclose(quat.rotate(turn, quat.normalize(a)), quat.normalize(b), atol=1e-7)
    cosine = np.sum(quat.normalize(a) * quat.normalize(b), axis=-1)
    np.testing.assert_allclose(quat.angle(turn, quat.IDENTITY), np.arccos(np.clip(cosine, -1.0, 1.0)), atol=1e-6)


def test_between_opposite_directions_is_half_a_turn() -> None:
    a = np.concatenate([directions(50), np.eye(3), -np.eye(3)])
    turn = quat.between(a, -3.0 * a)
    np.testing.assert_allclose(quat.rotate(turn, quat.normalize(a)), -quat.normalize(a), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(turn, axis=-1), 1.0)
    np.testing.assert_allclose(quat.rotate(quat.between([1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]), [1.0, 0.0, 0.0]), [-1.0, 0.0, 0.0])


def test_what_points_nowhere_is_not_turned() -> None:
    np.testing.assert_array_equal(quat.between(np.zeros((2, 3)), [0.0, 1.0, 0.0]), np.tile(quat.IDENTITY, (2, 1)))


def test_one_direction_is_turned_into_many() -> None:
    many = directions(7).reshape(7, 1, 3)
    assert quat.between(np.array([1.0, 0.0, 0.0]), many).shape == (7, 1, 4)


@pytest.mark.parametrize("shapes", [((5, 1, 4), (3, 4)), ((4,), (2, 4)), ((0, 4), (0, 4))])
def test_products_broadcast_and_are_those_of_the_matrices(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = (quat.normalize(RANDOM.normal(size=shape)) for shape in shapes)
    np.testing.assert_allclose(quat.to_matrix(quat.mul(a, b)), quat.to_matrix(a) @ quat.to_matrix(b), atol=1e-12)
    v = RANDOM.normal(size=(*a.shape[:-1], 3))
    np.testing.assert_allclose(quat.rotate(a, v), np.einsum("...ij,...j->...i", quat.to_matrix(a), v), atol=1e-12)


def test_norms_and_products_of_vectors() -> None:
    a, b = directions(100), directions(100)
    np.testing.assert_allclose(quat.cross(a, b), np.cross(a, b))
    np.testing.assert_allclose(quat.dot(a, b), np.sum(a * b, axis=-1), rtol=1e-9)
    np.testing.assert_allclose(quat.length(a), np.linalg.norm(a, axis=-1))
