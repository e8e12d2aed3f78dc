# SPDX-License-Identifier: GPL-3.0-or-later
"""From published features to a clip: places within a centimetre, orientation kept whichever way the body turns, limbs sane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from motion_queue.motion import kinematics, quat
from motion_queue.motion.bvh import read_bvh, write_bvh
from motion_queue.motion.clip_map import map_motion
from motion_queue.motion.errors import MotionError
from motion_queue.motion.features import (
    HUMANML3D_WIDTH,
    SNAPMOGEN_LANDMARKS,
    SNAPMOGEN_NAMES,
    SNAPMOGEN_WIDTH,
    Pose,
    encode_snapmogen,
    heading,
    humanml3d_positions,
    snapmogen_pose,
)
from motion_queue.motion.from_features import humanml3d_motion, motion_from_places, snapmogen_motion
from motion_queue.motion.quat import Array

from .bodies import (
    AT,
    LANDMARKS_22,
    LIMBS,
    UNIT,
    Body,
    Z,
    animated,
    as_24,
    body_of,
    encode_humanml3d,
    facing_forward,
    offsets_24,
)

KINDS = ("standing", "spinning", "back turned", "lying", "lying down")
CLIPS = (
    "cmu_01_01_s1", "cmu_salsa_27_s1", "cmu_salsa_07_s2", "cmu_05_07_s2", "cmu_05_11", "cmu_05_13_s2", "cmu_85_14_s2",
    "kk_lie_down",
    "kk_lie_standup", "kk_crawling", "kk_sit_ups", "m2m_sleeping", "m2m_backflip", "m2m_victory", "ual_roll", "ual_death01",
)  # fmt: skip


def degrees(a: Array, b: Array) -> Array:
    return np.degrees(quat.angle(a, b))


def clip(folder: Path, name: str, fps: float) -> Body:
    return body_of(read_bvh(folder / f"{name}.bvh"), fps)


def check_humanml3d(body: Body) -> Body:
    """Encode, decode, compare; the decoded world."""
    motion = read_bvh(write_bvh(humanml3d_motion(encode_humanml3d(body))))
    order = [motion.skeleton.names.index(name) for name in AT]
    rotations, positions = kinematics.world(motion)
    made = Body(rotations[:, order], positions[:, order] / 100.0)
    yaw = float(heading(body.positions, LANDMARKS_22)[0])
    wanted = facing_forward(body, yaw)
    assert motion.fps == pytest.approx(20.0, rel=1e-3)
    assert np.linalg.norm(made.positions - wanted.positions[:-1], axis=-1).max() < 0.01
    for part in ("pelvis", "spine3"):
        assert degrees(made.rotations[:, AT[part]], wanted.rotations[:-1, AT[part]]).max() < 5.0, part
    return Body(made.rotations, made.positions)


def jumps(rotations: Array) -> Array:
    return degrees(rotations[1:], rotations[:-1])


@pytest.mark.parametrize("kind", KINDS)
def test_humanml3d_features_keep_places_and_orientation(kind: str) -> None:
    check_humanml3d(animated(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_limbs_recovered_from_places_turn_as_they_were_turned(kind: str) -> None:
    body = animated(kind)
    made = check_humanml3d(body)
    wanted = facing_forward(body, float(heading(body.positions, LANDMARKS_22)[0]))
    for name in LIMBS:
        assert degrees(made.rotations[:, AT[name]], wanted.rotations[:-1, AT[name]]).max() < 20.0, name
        assert jumps(made.rotations[:, AT[name]]).max() < jumps(wanted.rotations[:, AT[name]]).max() + 15.0, name


@pytest.mark.parametrize("name", CLIPS)
def test_humanml3d_features_of_real_clips_keep_places_and_orientation(motion_data: Path, name: str) -> None:
    body = clip(motion_data, name, 20.0)
    made = check_humanml3d(body)
    for limb in LIMBS:
        ours, theirs = jumps(made.rotations[:, AT[limb]]), jumps(body.rotations[:-1, AT[limb]])
        assert (ours - theirs)[theirs < 30.0].max(initial=0.0) < 30.0, limb


def test_a_limb_that_is_stretched_keeps_its_twist() -> None:
    """The elbow straightens for a while: nothing says where its hinge is, and it must not jump."""
    body = animated("standing")
    places = body.positions.copy()
    for frame in range(30, 50):
        arm = quat.normalize(places[frame, AT["l_elbow"]] - places[frame, AT["l_shoulder"]])
        places[frame, AT["l_wrist"]] = places[frame, AT["l_elbow"]] + 0.25 * arm
    motion = motion_from_places(places, 20.0)
    rotations, positions = kinematics.world(motion)
    assert np.abs(positions / 100.0 - places).max() < 1e-6
    assert jumps(rotations[:, AT["l_shoulder"]]).max() < 30.0


def test_bones_have_one_length_though_the_model_s_have_not() -> None:
    body = animated("spinning")
    noise = np.random.default_rng(0).normal(0.0, 0.003, body.positions.shape)
    motion = motion_from_places(body.positions + noise, 20.0)
    positions = kinematics.world(motion)[1]
    lengths = np.linalg.norm(positions[:, AT["l_knee"]] - positions[:, AT["l_hip"]], axis=-1)
    assert np.ptp(lengths) < 1e-6
    assert np.linalg.norm(positions / 100.0 - body.positions, axis=-1).max() < 0.05


def check_snapmogen(body: Body, rest: Array | None = None) -> None:
    offsets = offsets_24()
    source = as_24(body, offsets)
    features = encode_snapmogen(Pose(*source))
    assert features.shape == (len(body.positions) - 1, SNAPMOGEN_WIDTH)
    motion = read_bvh(write_bvh(snapmogen_motion(features.astype(np.float32), offsets if rest is None else rest)))
    order = [motion.skeleton.names.index(name) for name in SNAPMOGEN_NAMES]
    rotations, positions = kinematics.world(motion)
    wanted = facing_forward(source, float(heading(source.positions, SNAPMOGEN_LANDMARKS, smooth=5.0)[0]))
    feet = np.sort(wanted.positions[:, list(SNAPMOGEN_LANDMARKS.feet), 1], axis=None)
    floor = feet[: int(len(feet) * 0.1)].mean()
    assert degrees(rotations[:, order], wanted.rotations[:-1]).max() < 1.0
    centimetres = 100.0 / UNIT
    error = positions[:, order] - (wanted.positions[:-1] - [0.0, floor, 0.0]) * centimetres
    assert np.linalg.norm(error, axis=-1).max() < 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_snapmogen_features_keep_places_and_rotations(kind: str) -> None:
    check_snapmogen(animated(kind))


@pytest.mark.parametrize("name", CLIPS[:8])
def test_snapmogen_features_of_real_clips_keep_places_and_rotations(motion_data: Path, name: str) -> None:
    check_snapmogen(clip(motion_data, name, 30.0))


def test_the_rest_pose_is_that_of_the_features_and_not_that_of_the_skeleton_beside_them() -> None:
    rest = offsets_24()
    for joint in (8, 9, 10):  # arms that hang at rest
        rest[joint] = quat.rotate(quat.from_axis_angle(Z, np.array(-1.0)), rest[joint])
    check_snapmogen(animated("spinning"), rest)


def test_features_of_noise_give_a_finite_motion() -> None:
    rng = np.random.default_rng(3)
    motion = humanml3d_motion(rng.normal(0.0, 1.0, (50, HUMANML3D_WIDTH)))
    assert np.all(np.isfinite(motion.rotations)) and len(write_bvh(motion)) > 1000
    motion = snapmogen_motion(rng.normal(0.0, 1.0, (50, SNAPMOGEN_WIDTH)), offsets_24())
    assert np.all(np.isfinite(motion.rotations)) and len(write_bvh(motion)) > 1000
    motion = snapmogen_motion(np.zeros((3, SNAPMOGEN_WIDTH)), offsets_24())
    assert np.all(np.isfinite(motion.rotations))
    motion = humanml3d_motion(np.zeros((3, HUMANML3D_WIDTH)))
    assert np.all(np.isfinite(motion.rotations)) and len(write_bvh(motion)) > 1000


def test_one_frame_is_a_motion() -> None:
    assert len(humanml3d_motion(encode_humanml3d(animated("standing", 2)))) == 1


@pytest.mark.parametrize(
    "features",
    [
        np.zeros((4, 100)),
        np.zeros((0, HUMANML3D_WIDTH)),
        np.zeros(HUMANML3D_WIDTH),
        np.full((4, HUMANML3D_WIDTH), np.nan),
        np.full((4, HUMANML3D_WIDTH), 1e9),
    ],
    ids=["width", "empty", "flat", "nan", "absurd"],
)
def test_features_that_are_none_are_refused(features: Array) -> None:
    with pytest.raises(MotionError) as caught:
        humanml3d_positions(features)
    assert caught.value.code == "bad_features"
    with pytest.raises(MotionError):
        snapmogen_pose(features)


def test_both_skeletons_are_read_as_bodies_with_their_sides_told_apart() -> None:
    body = animated("back turned")
    for motion in (
        humanml3d_motion(encode_humanml3d(body)),
        snapmogen_motion(encode_snapmogen(Pose(*as_24(body, offsets_24()))), offsets_24()),
    ):
        found = {name: motion.skeleton.names[joint] for name, joint in map_motion(motion).joints.items()}
        assert (
            found["head"] == "head" and found["l_knee"] in {"l_knee", "l_shin"} and found["r_elbow"] in {"r_elbow", "r_lower_arm"}
        )
