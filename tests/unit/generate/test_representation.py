# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion to features and back: nothing is lost, whatever way the figure faces, and mirrors are exact."""

from __future__ import annotations

import numpy as np
import pytest

from motion_queue.backends.generate import representation as rep
from motion_queue.motion import quat


def body(seed: int, frames: int = 90) -> rep.Body:
    """Smooth random motion that wanders, turns and leans."""
    draw = np.random.default_rng(seed)
    angles = rep.smooth(draw.normal(size=(frames, rep.JOINTS, 3)) * 2.0, 6.0)
    rotations = quat.from_euler(angles, "zxy")
    turn = quat.from_axis_angle(np.array([0.0, 1.0, 0.0]), np.linspace(0.0, draw.uniform(-7.0, 7.0), frames))
    rotations[:, 0] = quat.mul(turn, quat.from_euler(0.4 * angles[:, 0], "zxy"))
    root = np.cumsum(rep.smooth(draw.normal(size=(frames, 3)) * 0.1, 6.0), axis=0) + np.array([0.0, 1.0, 0.0])
    return rep.Body(rotations=rotations, root=root)


@pytest.mark.parametrize("seed", range(6))
def test_features_hold_the_whole_motion(seed: int) -> None:
    motion = body(seed)
    facing = rep.heading(rep.world(motion)[0][:, 0])[0]
    back = rep.decode(rep.encode(motion), facing=float(facing), start=(float(motion.root[0, 0]), float(motion.root[0, 2])))
    np.testing.assert_allclose(rep.world(back)[1], rep.world(motion)[1], atol=2e-5)
    assert np.degrees(quat.angle(back.rotations, motion.rotations)).max() < 0.01


@pytest.mark.parametrize("turn", [0.5, 2.0, np.pi, -2.5])
def test_features_do_not_depend_on_where_it_happens(turn: float) -> None:
    motion = body(3)
    about = quat.from_axis_angle(np.array([0.0, 1.0, 0.0]), np.array(turn))
    rotations = motion.rotations.copy()
    rotations[:, 0] = quat.mul(about, rotations[:, 0])
    elsewhere = rep.Body(rotations=rotations, root=quat.rotate(about, motion.root) + np.array([3.0, 0.0, -2.0]))
    np.testing.assert_allclose(rep.encode(elsewhere), rep.encode(motion), atol=1e-5)


def test_a_mirrored_motion_has_left_and_right_exchanged() -> None:
    motion = body(4)
    _, points = rep.world(motion)
    _, mirrored = rep.world(rep.mirror(motion))
    left, right = rep.NAMES.index("l_wrist"), rep.NAMES.index("r_wrist")
    np.testing.assert_allclose(mirrored[:, left], points[:, right] * np.array([-1.0, 1.0, 1.0]), atol=1e-9)
    np.testing.assert_allclose(rep.encode(rep.mirror(rep.mirror(motion))), rep.encode(motion), atol=1e-6)


def test_walking_forward_is_forward_and_turning_left_is_positive() -> None:
    frames = 60
    rotations = np.zeros((frames, rep.JOINTS, 4))
    rotations[..., 0] = 1.0
    angle = np.linspace(0.0, 1.0, frames)
    rotations[:, 0] = quat.from_axis_angle(np.array([0.0, 1.0, 0.0]), angle)
    step = np.stack([np.sin(angle), np.zeros(frames), np.cos(angle)], axis=-1) * 0.04
    features = rep.encode(rep.Body(rotations=rotations, root=np.cumsum(step, axis=0) + np.array([0.0, 0.95, 0.0])))
    middle = features[20:40]
    assert middle[:, rep.VELOCITY][:, 1] == pytest.approx(0.04, abs=2e-3)
    assert middle[:, rep.VELOCITY][:, 0] == pytest.approx(0.0, abs=2e-3)
    assert middle[:, rep.YAW] * (frames - 1) == pytest.approx(1.0, abs=0.05)


def test_matrices_of_any_numbers_are_rotations() -> None:
    columns = np.random.default_rng(0).normal(size=(50, 6)) * 3.0
    matrices = rep.matrices_of(columns)
    np.testing.assert_allclose(matrices @ np.swapaxes(matrices, -1, -2), np.broadcast_to(np.eye(3), (50, 3, 3)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0, atol=1e-9)


def test_a_single_frame_and_two_frames_go_through() -> None:
    for frames in (1, 2):
        motion = body(5, 30)
        short = rep.Body(rotations=motion.rotations[:frames], root=motion.root[:frames])
        assert rep.encode(short).shape == (frames, rep.FEATURES)
        assert len(rep.decode(rep.encode(short))) == frames


def test_the_body_as_a_clip_keeps_its_path_in_centimetres() -> None:
    motion = body(6)
    clip = rep.to_motion(motion)
    np.testing.assert_allclose(clip.positions[:, 0], motion.root * 100.0)
    np.testing.assert_allclose(rep.from_motion(clip).root, motion.root)
