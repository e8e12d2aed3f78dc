# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that touch: thighs, the floor and each other, with arms of any length; who touches nothing moves as before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from motion_queue.motion import quat
from motion_queue.motion.anatomy import Performance
from motion_queue.motion.bvh import read_bvh
from motion_queue.motion.clip_map import map_motion
from motion_queue.motion.grounding import rest_floor
from motion_queue.motion.retarget import Pose, RetargetOptions, map_rig, pose_world, retarget
from motion_queue.motion.rig import Rig
from motion_queue.motion.skeleton import Motion
from motion_queue.motion.touch import Hands, palms
from motion_queue.scripts.make_sample import walk

HANDS_ON_THIGHS = ("bvh/cmu_127_05.bvh", slice(60, 80))  # out of breath after a run
PUSH_UPS = ("bvh/kk_push_ups.bvh", slice(9, 15))  # arms bent, palms down
TOUCH = RetargetOptions(hand_contacts=True)


@pytest.fixture
def long_arms(mixamo_rig: Rig) -> Rig:
    """A rig whose arms are half as long again."""
    joints, heads, tails = map_rig(mixamo_rig), mixamo_rig.heads.copy(), mixamo_rig.tails.copy()
    for side in "lr":
        shoulder = joints[f"{side}_shoulder"]
        for bone in range(len(heads)):
            above = bone
            while above not in (shoulder, -1):
                above = int(mixamo_rig.parents[above])
            if above == shoulder:
                for points in (heads, tails):
                    points[bone] += 0.5 * (points[bone] - mixamo_rig.heads[shoulder])
    return replace(mixamo_rig, heads=heads, tails=tails)


def performance(source: Motion) -> Hands:
    body = Performance.of(source, map_motion(source))
    palm = palms(body.joints, body.stance, body.stance_rotations, body.stance_tips)
    return Hands.of(body.joints, body.rotations, body.positions, palm)


def played(rig: Rig, pose: Pose) -> Hands:
    joints = map_rig(rig)
    palm = palms(joints, rig.heads, quat.from_matrix(rig.rest), rig.tails)
    return Hands.of(joints, *pose_world(rig, pose), palm)


def from_thighs(body: Hands) -> np.ndarray:
    """How far both palms are from the lines of their thighs [F, 2], in breadths of the shoulders."""
    out = []
    for hand, side in enumerate("lr"):
        start, end = body.points[f"{side}_hip"], body.points[f"{side}_knee"]
        along = quat.normalize(end - start)
        way = body.palms[:, hand] - start
        out.append(np.linalg.norm(way - along * np.sum(way * along, axis=-1, keepdims=True), axis=-1) / body.breadth)
    return np.stack(out, axis=1)


@pytest.mark.parametrize("name", ["mixamo_rig", "long_arms"])
def test_hands_on_thighs_lie_on_the_characters_thighs(
    name: str, request: pytest.FixtureRequest, pack: Callable[[str], Path]
) -> None:
    clip, touching = HANDS_ON_THIGHS
    source, rig = read_bvh(pack(clip)), request.getfixturevalue(name)
    own = from_thighs(performance(source))[touching]
    free, held = (
        np.abs(from_thighs(played(rig, retarget(source, rig, options=options)))[touching] - own) for options in (None, TOUCH)
    )
    assert free.mean() > 0.05
    assert held.mean() < 0.03
    assert held.max() < 0.05


def test_palms_on_the_floor_stay_where_they_are(long_arms: Rig, pack: Callable[[str], Path]) -> None:
    clip, touching = PUSH_UPS
    source, floor = read_bvh(pack(clip)), rest_floor(long_arms, map_rig(long_arms))
    free, held = (played(long_arms, retarget(source, long_arms, options=options)).palms for options in (None, TOUCH))
    assert free[..., 2].min() < floor - 0.1
    assert held[..., 2].min() > floor + 0.015
    slides = [np.ptp(hands[touching, :, :2], axis=0).max() for hands in (free, held)]
    assert slides[1] < 0.5 * slides[0]


@pytest.mark.parametrize("side", ["l", "r"])
def test_hands_keep_their_directions(side: str, long_arms: Rig, pack: Callable[[str], Path]) -> None:
    source, wrist = read_bvh(pack(HANDS_ON_THIGHS[0])), map_rig(long_arms)[f"{side}_wrist"]
    free, held = (pose_world(long_arms, retarget(source, long_arms, options=options))[0][:, wrist] for options in (None, TOUCH))
    np.testing.assert_allclose(quat.angle(free, held), 0.0, atol=1e-6)


def test_arms_do_not_jerk(long_arms: Rig, pack: Callable[[str], Path]) -> None:
    source, joints = read_bvh(pack(HANDS_ON_THIGHS[0])), map_rig(long_arms)
    bones = [joints[f"{side}_{part}"] for side in "lr" for part in ("shoulder", "elbow")]
    free, held = (pose_world(long_arms, retarget(source, long_arms, options=options))[0][:, bones] for options in (None, TOUCH))
    more = quat.angle(held[1:], held[:-1]) - quat.angle(free[1:], free[:-1])
    assert np.degrees(more).max() < 10.0


def test_who_touches_nothing_moves_as_before(mixamo_rig: Rig) -> None:
    free, held = (retarget(walk(), mixamo_rig, options=options) for options in (None, TOUCH))
    np.testing.assert_allclose(free.rotations, held.rotations, atol=1e-9)


def test_a_character_without_hands_and_a_clip_of_one_frame_are_no_trouble(mixamo_rig: Rig, pack: Callable[[str], Path]) -> None:
    source, joints = read_bvh(pack(HANDS_ON_THIGHS[0])), map_rig(mixamo_rig)
    handless = replace(joints, joints={k: v for k, v in joints.joints.items() if "wrist" not in k}, fingers={})
    free, held = (retarget(source, mixamo_rig, target_map=handless, options=options) for options in (None, TOUCH))
    np.testing.assert_allclose(free.rotations, held.rotations, atol=1e-9)
    one = replace(source, rotations=source.rotations[70:71], positions=source.positions[70:71])
    assert np.isfinite(retarget(one, mixamo_rig, options=TOUCH).rotations).all()
    assert np.isfinite(retarget(source, mixamo_rig, options=replace(TOUCH, floor=False, foot_lock=False)).rotations).all()
