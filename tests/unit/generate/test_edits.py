# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to a motion on request, on a walk whose numbers are known: speed, bend, heading, loop, poses, in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from motion_queue.backends.generate import representation as rep
from motion_queue.backends.generate.edits import Edits, apply, read_pose
from motion_queue.motion import quat
from motion_queue.motion.bvh import read_bvh, write_bvh
from motion_queue.motion.errors import MotionError
from motion_queue.motion.humanoid import JointMap, find_joints
from motion_queue.motion.kinematics import world
from motion_queue.motion.skeleton import Motion

SPEED = 1.2  # metres a second
STEPS = 1.0  # seconds of a cycle


@pytest.fixture(scope="module")
def joints() -> JointMap:
    body = rep.skeleton()
    return find_joints(body.names, body.parents, body.rest_positions())


@pytest.fixture(scope="module")
def walk() -> Motion:
    """Four seconds straight on: legs swing about the hips, arms against them, the pelvis goes at an even pace."""
    frames = 121
    t = np.arange(frames) / rep.FPS
    rotations = np.zeros((frames, rep.JOINTS, 4))
    rotations[..., 0] = 1.0
    swing = 0.35 * np.sin(2 * np.pi * t / STEPS)
    across = np.array([1.0, 0.0, 0.0])
    for name, angle in (("l_hip", swing), ("r_hip", -swing), ("l_shoulder", -swing), ("r_shoulder", swing)):
        rotations[:, rep.NAMES.index(name)] = quat.from_axis_angle(across, angle)
    for side, angle in (("l", swing), ("r", -swing)):
        bent = np.clip(0.5 * np.cos(2 * np.pi * t / STEPS) * (1 if side == "l" else -1), 0.0, None)
        rotations[:, rep.NAMES.index(f"{side}_knee")] = quat.from_axis_angle(across, bent)
        rotations[:, rep.NAMES.index(f"{side}_ankle")] = quat.from_axis_angle(across, -angle)
    root = np.stack([np.zeros(frames), np.full(frames, 0.93), SPEED * t], axis=1)
    return rep.to_motion(rep.Body(rotations=rotations, root=root))


def way(motion: Motion) -> np.ndarray:
    return motion.positions[:, 0, [0, 2]] / 100.0


def bones(motion: Motion) -> np.ndarray:
    _, points = world(motion)
    parents = motion.skeleton.parents[1:]
    return np.asarray(np.linalg.norm(points[:, 1:] - points[:, parents], axis=-1))


@pytest.mark.parametrize(
    "edits",
    [
        Edits(speed=2.0),
        Edits(speed=0.6, keep_time=True),
        Edits(bend=90.0),
        Edits(path=((1.0, 1.0), (-1.0, 3.0))),
        Edits(heading=90.0),
        Edits(loop=True),
        Edits(loop=True, in_place=True),
        Edits(in_place=True),
        Edits(speed=1.5, bend=-45.0, heading=30.0, loop=True),
    ],
    ids=str,
)
def test_bones_keep_their_lengths_and_all_numbers_are_numbers(walk: Motion, joints: JointMap, edits: Edits) -> None:
    made = apply(walk, edits, joints)
    assert np.isfinite(made.rotations).all() and np.isfinite(made.positions).all()
    np.testing.assert_allclose(bones(made), np.broadcast_to(bones(walk)[0], bones(made).shape), atol=1e-6)


def test_without_edits_the_motion_is_the_same_object(walk: Motion, joints: JointMap) -> None:
    assert apply(walk, Edits(), joints) is walk


@pytest.mark.parametrize(("speed", "keep_time"), [(2.4, False), (0.6, False), (1.8, True)])
def test_the_way_is_gone_at_the_speed_that_was_asked_for(walk: Motion, joints: JointMap, speed: float, keep_time: bool) -> None:
    made = apply(walk, Edits(speed=speed, keep_time=keep_time), joints)
    gone = np.linalg.norm(way(made)[-1] - way(made)[0])
    assert gone / ((len(made) - 1) / rep.FPS) == pytest.approx(speed, rel=0.05)
    assert (len(made) == len(walk)) == keep_time


def test_a_motion_that_stays_in_place_has_no_speed_to_change(walk: Motion, joints: JointMap) -> None:
    still = apply(walk, Edits(in_place=True), joints)
    with pytest.raises(MotionError) as caught:
        apply(still, Edits(speed=1.0), joints)
    assert caught.value.code == "bad_edit" and "stays" in caught.value.message


def test_in_place_takes_the_way_out(walk: Motion, joints: JointMap) -> None:
    assert np.linalg.norm(way(apply(walk, Edits(in_place=True), joints)) - way(walk)[0], axis=1).max() < 0.1


@pytest.mark.parametrize("degrees", [90.0, -90.0])
def test_a_heading_turns_the_whole_motion(walk: Motion, joints: JointMap, degrees: float) -> None:
    made = apply(walk, Edits(heading=degrees), joints)
    gone = way(made)[-1] - way(made)[0]
    # Left of +Z is +X.
    assert gone == pytest.approx([np.sign(degrees) * SPEED * 4.0, 0.0], abs=0.05)


def test_a_bend_to_the_left_ends_on_the_left(walk: Motion, joints: JointMap) -> None:
    made = apply(walk, Edits(bend=90.0), joints)
    last = way(made)[-1] - way(made)[-10]
    assert last[0] > 5 * abs(last[1])


def test_it_goes_through_the_points_of_a_path(walk: Motion, joints: JointMap) -> None:
    made = apply(walk, Edits(path=((0.0, 1.5), (1.5, 3.0))), joints)
    ways = way(made)
    for point in ((0.0, 1.0), (1.0, 2.5)):
        assert np.linalg.norm(ways - np.array(point), axis=1).min() < 0.25
    assert ways[-1, 0] > 1.2


def test_a_loop_goes_on_into_itself(walk: Motion, joints: JointMap) -> None:
    made = apply(walk, Edits(loop=True, in_place=True), joints)
    seam = np.degrees(quat.angle(made.rotations[-1], made.rotations[0])).max()
    usual = np.degrees(quat.angle(made.rotations[1:], made.rotations[:-1])).max()
    assert seam < 2.0 * usual
    steps = np.linalg.norm(np.diff(way(made), axis=0), axis=1)
    assert np.linalg.norm(way(made)[0] - way(made)[-1]) < 2.0 * steps.max() + 0.01
    assert way(made)[0] == pytest.approx(way(walk)[0], abs=0.02)


def test_it_begins_and_ends_in_the_poses_that_were_given(walk: Motion, joints: JointMap, tmp_path: Path) -> None:
    path = tmp_path / "walk.bvh"
    path.write_bytes(write_bvh(walk))
    start, end = read_pose(path, 9), read_pose(path, 24)
    made = apply(walk, Edits(start=start, end=end), joints)
    for pose, at in ((start, 0), (end, -1)):
        # Legs may be moved a little, so that feet stand.
        arms = [rep.NAMES.index(name) for name in ("l_shoulder", "r_shoulder", "l_elbow")]
        assert np.degrees(quat.angle(made.rotations[at, arms], pose.rotations[arms])).max() < 0.1


def test_a_pose_of_our_own_file_is_exactly_its_frame(walk: Motion, tmp_path: Path) -> None:
    path = tmp_path / "walk.bvh"
    path.write_bytes(write_bvh(walk))
    pose = read_pose(path, 31)
    assert np.degrees(quat.angle(pose.rotations, walk.rotations[30])).max() < 1e-3
    assert pose.height == pytest.approx(walk.positions[30, 0, 1], abs=1e-3)


def test_a_pose_of_another_body_stands_like_it(checkout: Path) -> None:
    clip = read_bvh(checkout / "examples" / "walk.bvh")
    pose = read_pose(checkout / "examples" / "walk.bvh", 10)
    assert 80.0 < pose.height < 105.0
    assert np.isfinite(pose.rotations).all() and len(clip) >= 10


@pytest.mark.parametrize(("frame", "code"), [(0, "bad_range"), (1000, "bad_range")])
def test_a_frame_that_is_not_there_is_said(walk: Motion, tmp_path: Path, frame: int, code: str) -> None:
    path = tmp_path / "walk.bvh"
    path.write_bytes(write_bvh(walk))
    with pytest.raises(MotionError) as caught:
        read_pose(path, frame)
    assert caught.value.code == code


def test_a_loop_with_poses_is_refused(walk: Motion, joints: JointMap, tmp_path: Path) -> None:
    path = tmp_path / "walk.bvh"
    path.write_bytes(write_bvh(walk))
    with pytest.raises(MotionError) as caught:
        apply(walk, Edits(loop=True, start=read_pose(path, 1)), joints)
    assert caught.value.code == "bad_edit"
