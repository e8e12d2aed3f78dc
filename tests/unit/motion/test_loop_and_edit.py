# SPDX-License-Identifier: GPL-3.0-or-later
"""Loops and edits: no jump in place or speed at the seam, poses reached, ways followed, bones as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from motion_queue.motion import edit, quat
from motion_queue.motion.clean import clean, foot_contacts
from motion_queue.motion.clip_map import map_motion
from motion_queue.motion.errors import MotionError
from motion_queue.motion.kinematics import world
from motion_queue.motion.legs import find_legs
from motion_queue.motion.loop import find_cut, make_loop, repeat
from motion_queue.motion.skeleton import Motion
from motion_queue.scripts.make_sample import walk

from .clips import METRE, bone_lengths, generated, of_pack

UP = np.array([0.0, 1.0, 0.0])


def seam(motion: Motion, at: int) -> float:
    """How much more joints accelerate at a seam than the clip does elsewhere at its 99th percentile."""
    second = np.linalg.norm(np.diff(world(motion)[1], n=2, axis=0), axis=-1).max(axis=1)
    return float(second[at - 2 : at + 1].max() / np.percentile(second, 99))


def heading(motion: Motion) -> np.ndarray:
    ahead = quat.rotate(motion.rotations[:, 0], [0.0, 0.0, 1.0])
    return np.degrees(np.unwrap(np.arctan2(ahead[:, 0], ahead[:, 2])))


def way(motion: Motion) -> np.ndarray:
    return motion.positions[:, 0, [0, 2]]


def test_the_cut_is_a_whole_cycle() -> None:
    clip = walk()
    start, stop = find_cut(clip, metre=METRE)
    assert (stop - start) % 30 == 0
    assert stop - start >= 60


@pytest.mark.parametrize("cut", [True, False])
def test_a_loop_of_a_generated_walk_has_no_seam_and_keeps_its_way(cut: bool) -> None:
    clip = generated(walk(), 3)
    loop = make_loop(clip, metre=METRE, cut=cut)
    twice = repeat(loop, 3)
    frames = len(loop.motion)
    assert len(twice) == 3 * frames
    assert seam(twice, frames) < 1.3
    travelled = twice.positions[frames, 0] - twice.positions[0, 0]
    np.testing.assert_allclose(travelled - UP * travelled[1], loop.travel, atol=1e-6)
    assert loop.travel[2] == pytest.approx(118.0 * frames / 30.0, rel=0.1)
    np.testing.assert_allclose(bone_lengths(loop.motion)[0], bone_lengths(clip)[0], atol=1e-9)


def test_a_loop_that_turns_goes_on_turning() -> None:
    loop = make_loop(edit.bend(walk(), 80.0), metre=METRE)
    assert np.degrees(loop.turn) == pytest.approx(80.0 * len(loop.motion) / 120.0, abs=8.0)
    rounds = repeat(loop, 3)
    assert seam(rounds, len(loop.motion)) < 1.3
    assert seam(rounds, 2 * len(loop.motion)) < 1.3


def test_a_loop_in_place_stays_there() -> None:
    loop = make_loop(walk(), metre=METRE, in_place=True)
    assert not loop.travel.any()
    assert np.ptp(way(loop.motion), axis=0).max() < 12.0
    assert seam(repeat(loop, 2), len(loop.motion)) < 1.3


def test_a_cleaned_loop_has_steady_feet_over_the_seam() -> None:
    loop = make_loop(generated(walk(), 3), metre=METRE)
    result = clean(repeat(loop, 3), map_motion(loop.motion), metre=METRE)
    assert result.report.after.skate < 0.05
    assert seam(result.motion, len(loop.motion)) < 1.5


def test_a_loop_needs_frames() -> None:
    with pytest.raises(MotionError) as error:
        make_loop(walk().cut(0, 3), metre=METRE)
    assert error.value.code == "bad_edit"
    with pytest.raises(MotionError):
        repeat(make_loop(walk(), metre=METRE), 0)


@pytest.mark.parametrize("at_end", [True, False])
def test_a_given_pose_is_reached_without_a_jump(at_end: bool) -> None:
    clip = edit.turn(walk(), 40.0)
    pose = np.tile(quat.IDENTITY, (len(clip.skeleton), 1))
    out = edit.blend_to_pose(clip, pose, at_end=at_end, height=90.0)
    edge, far = (-1, 0) if at_end else (0, -1)
    assert np.degrees(quat.angle(out.rotations[edge, 1:], pose[1:])).max() < 1e-3
    assert heading(out)[edge] == pytest.approx(heading(clip)[edge], abs=1.0)
    assert out.positions[edge, 0, 1] == pytest.approx(90.0)
    np.testing.assert_array_equal(out.positions[far], clip.positions[far])
    assert np.degrees(quat.angle(out.rotations[far], clip.rotations[far])).max() < 1e-3
    speed = np.degrees(quat.angle(out.rotations[1:], out.rotations[:-1]))
    assert (
        np.abs(np.diff(speed, axis=0)).max()
        < np.abs(np.diff(np.degrees(quat.angle(clip.rotations[1:], clip.rotations[:-1])), axis=0)).max() + 2.0
    )


def test_a_pose_of_another_skeleton_is_refused() -> None:
    with pytest.raises(MotionError) as error:
        edit.blend_to_pose(walk(), np.zeros((3, 4)), at_end=True)
    assert error.value.code == "bad_edit"


@pytest.mark.parametrize(("stride", "frames", "length"), [(0.0, 80, 1.0), (1.0, 120, 1.5), (0.5, 98, 1.5**0.5)])
def test_speed_is_shared_between_steps_and_time(stride: float, frames: int, length: float) -> None:
    clip = walk()
    out = edit.change_speed(clip, 1.5, stride=stride)
    assert len(out) == pytest.approx(frames, abs=1)
    assert way(out)[-1, 1] == pytest.approx(length * way(clip)[-1, 1])
    speed = [np.linalg.norm(m.positions[-1, 0] - m.positions[0, 0]) / ((len(m) - 1) * m.frame_time) for m in (clip, out)]
    assert speed[1] / speed[0] == pytest.approx(1.5, rel=0.03)


@pytest.mark.parametrize("factor", [0.0, -1.0, 1e9, float("nan")])
def test_speeds_that_are_none_are_refused(factor: float) -> None:
    with pytest.raises(MotionError) as error:
        edit.change_speed(walk(), factor)
    assert error.value.code == "bad_edit"


def test_a_turn_turns_the_way_and_the_body_alike() -> None:
    out = edit.turn(walk(), 90.0)
    assert heading(out).mean() == pytest.approx(90.0, abs=2.0)
    assert way(out)[-1, 0] - way(out)[0, 0] == pytest.approx(np.ptp(way(walk())[:, 1]), rel=0.02)


@pytest.mark.parametrize("degrees", [90.0, -180.0])
def test_a_bend_is_spread_over_the_way_and_feet_can_be_locked_after_it(degrees: float) -> None:
    clip = walk()
    joints = map_motion(clip)
    legs = find_legs(clip, joints, up=1)
    out = edit.bend(clip, degrees)
    turned = heading(out)
    assert turned[-1] - turned[0] == pytest.approx(degrees, abs=3.0)
    assert turned[60] - turned[0] == pytest.approx(0.5 * degrees, abs=8.0)
    steps = [np.linalg.norm(np.diff(way(m), axis=0), axis=1).sum() for m in (clip, out)]
    assert steps[1] == pytest.approx(steps[0], rel=0.05)
    result = clean(out, joints, metre=METRE, contacts=foot_contacts(clip, legs, metre=METRE))
    assert result.report.after.skate < 0.04


def test_a_clip_follows_an_arc_and_a_straight_line_elsewhere() -> None:
    clip = walk()
    start = clip.positions[0, 0]
    length = float(np.ptp(way(clip)[:, 1]))
    path = edit.arc(start, np.array([1.0, 0.0, 0.0]), length, 90.0)
    out = edit.follow(clip, path)
    np.testing.assert_allclose(way(out)[-1], path[-1, [0, 2]], atol=8.0)
    turned = heading(out) - heading(clip)
    assert turned[10] == pytest.approx(90.0, abs=15.0)
    assert turned[-10] == pytest.approx(180.0, abs=15.0)
    np.testing.assert_array_equal(out.positions[:, 0, 1], clip.positions[:, 0, 1])


def test_a_fitted_path_is_walked_to_its_end() -> None:
    clip = walk()
    start = clip.positions[0, 0]
    end = start + np.array([300.0, 0.0, 300.0])
    out = edit.follow(clip, np.stack([start, end]), fit=True)
    np.testing.assert_allclose(way(out)[-1], end[[0, 2]], atol=6.0)


def test_the_same_way_changes_nothing() -> None:
    clip = walk()
    straight = np.stack([clip.positions[0, 0], clip.positions[0, 0] + np.array([0.0, 0.0, 1000.0])])
    out = edit.follow(clip, straight)
    np.testing.assert_allclose(way(out), way(clip), atol=1.5)
    assert np.abs(heading(out) - heading(clip)).max() < 3.0


def test_paths_that_are_none_are_refused() -> None:
    clip = walk()
    for path in (np.zeros((1, 3)), np.zeros((2, 3)), np.full((2, 3), np.nan), np.zeros((2, 2))):
        with pytest.raises(MotionError) as error:
            edit.follow(clip, path)
        assert error.value.code == "bad_edit"


@pytest.mark.parametrize("name", ["cmu_06_05", "cmu_16_35", "cmu_salsa_10_s2"])
def test_captured_clips_loop_without_a_seam(pack: Callable[[str], Path], name: str) -> None:
    loop = make_loop(of_pack(pack("motions.npz"), name), metre=METRE)
    assert seam(repeat(loop, 2), len(loop.motion)) < 1.5
