# SPDX-License-Identifier: GPL-3.0-or-later
"""Retargeting: limbs of the target point where the source's do, whatever the rest poses; knees and elbows bend the right way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from motion_queue.motion import anatomy, quat
from motion_queue.motion.bvh import read_bvh
from motion_queue.motion.clip_map import map_motion
from motion_queue.motion.contacts import contacts
from motion_queue.motion.errors import MotionError
from motion_queue.motion.grounding import rest_floor
from motion_queue.motion.humanoid import JointMap
from motion_queue.motion.kinematics import world
from motion_queue.motion.legs import legs_of_stance
from motion_queue.motion.retarget import Pose, RetargetOptions, map_rig, pose_world, retarget
from motion_queue.motion.rig import Rig
from motion_queue.motion.skeleton import Motion
from motion_queue.motion.travel import Travel
from motion_queue.scripts.make_sample import walk

RIGS = ("smpl_rig", "mixamo_rig", "rigify_rig")
CLIPS = (
    "bvh/cmu_01_01_s1.bvh",
    "bvh/cmu_salsa_09_s3.bvh",
    "bvh/kk_zombie_walk.bvh",
    "bvh/kk_push_ups.bvh",
    "bvh/ual_roll.bvh",
    "raw/cc_base_60fps_002_04.bvh",
    "raw/cc_base_60fps_007_08.bvh",
    "raw/cmu_120fps_martial_04.bvh",
    "raw/cmu_120fps_salsa_07.bvh",
)
LIMBS = [("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")]


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Rig:
    named: Rig = request.getfixturevalue(request.param)
    return named


def source_positions(source: Motion) -> np.ndarray:
    """Joint positions with Z up; all clips here have Y up."""
    points = world(source)[1]
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)


def limb_errors(source: Motion, rig: Rig, pose: Pose, joints: JointMap) -> np.ndarray:
    """Degrees [F, limbs] between limb directions of source and target."""
    target = map_rig(rig)
    p, q = source_positions(source), pose_world(rig, pose)[1]
    out = []
    for side in "lr":
        for a, b in LIMBS:
            a, b = f"{side}_{a}", f"{side}_{b}"  # noqa: PLW2901
            cos = np.sum(
                quat.normalize(p[:, joints[b]] - p[:, joints[a]]) * quat.normalize(q[:, target[b]] - q[:, target[a]]), axis=-1
            )
            out.append(np.degrees(np.arccos(np.clip(cos, -1.0, 1.0))))
    return np.stack(out, axis=1)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize(("foot_lock", "mean", "most"), [(False, 1.0, 3.0), (True, 2.0, 8.0)])
def test_limbs_point_where_the_sources_do(
    clip: str, foot_lock: bool, mean: float, most: float, rig: Rig, pack: Callable[[str], Path]
) -> None:
    source = read_bvh(pack(clip))
    pose = retarget(source, rig, options=RetargetOptions(foot_lock=foot_lock))
    errors = limb_errors(source, rig, pose, map_motion(source))
    assert errors.mean() <= mean
    assert np.percentile(errors, 95) <= most


@pytest.mark.parametrize("clip", CLIPS)
def test_trunk_head_and_feet_follow_the_source(clip: str, rig: Rig, pack: Callable[[str], Path]) -> None:
    source = read_bvh(pack(clip))
    joints, target = map_motion(source), map_rig(rig)
    p, q = source_positions(source), pose_world(rig, retarget(source, rig))[1]
    for a, b, limit in (("pelvis", "head", 12.0), ("r_hip", "l_hip", 6.0), ("r_shoulder", "l_shoulder", 12.0)):
        cos = np.sum(
            quat.normalize(p[:, joints[b]] - p[:, joints[a]]) * quat.normalize(q[:, target[b]] - q[:, target[a]]), axis=-1
        )
        assert np.degrees(np.arccos(np.clip(cos, -1, 1))).mean() < limit, (a, b)


@pytest.mark.parametrize("clip", CLIPS)
def test_knees_bend_backwards_and_no_bone_twists_half_a_turn(clip: str, rig: Rig, pack: Callable[[str], Path]) -> None:
    source = read_bvh(pack(clip))
    pose, target = retarget(source, rig), map_rig(rig)
    rotations, heads = pose_world(rig, pose)
    turned = quat.mul(rotations, quat.inverse(quat.from_matrix(rig.rest)))  # from rest, in the world
    forward = quat.rotate(turned, np.array([0.0, -1.0, 0.0]))
    for side in "lr":
        hip, knee, ankle = (heads[:, target[f"{side}_{part}"]] for part in ("hip", "knee", "ankle"))
        bend = knee - 0.5 * (hip + ankle)
        bent = np.linalg.norm(bend, axis=-1) > 0.05
        ahead = np.sum(bend * forward[:, target[f"{side}_hip"]], axis=-1)
        assert np.count_nonzero(ahead[bent] < 0) <= 0.03 * len(bent)
        for part, parent in (("hip", "pelvis"), ("knee", f"{side}_hip"), ("ankle", f"{side}_knee"), ("wrist", f"{side}_elbow")):
            twist = quat.mul(quat.inverse(turned[:, target[parent]]), turned[:, target[f"{side}_{part}"]])
            assert np.median(np.degrees(quat.angle(twist, quat.IDENTITY))) < 130.0, part


def test_feet_stand_on_the_floor_and_do_not_slide(rig: Rig) -> None:
    source, target = walk(), map_rig(rig)
    pose = retarget(source, rig)
    heads = pose_world(rig, pose)[1]
    feet = [target["l_foot"], target["r_foot"]]
    level = rig.heads[feet, 2] - rest_floor(rig, target)
    assert np.abs(heads[:, feet, 2].min(axis=0) - level).max() < 0.015
    planted = contacts(heads[:, feet], pose.frame_time)
    assert 0.3 < planted.mean() < 0.8


@pytest.mark.parametrize("clip", ["bvh/cmu_02_01.bvh", "bvh/cmu_salsa_09_s3.bvh", "raw/cmu_120fps_martial_04.bvh"])
def test_feet_that_stand_in_the_source_stand_in_the_target(clip: str, rig: Rig, pack: Callable[[str], Path]) -> None:
    source = read_bvh(pack(clip))
    joints, target = map_motion(source), map_rig(rig)
    pose = retarget(source, rig)
    free = retarget(source, rig, options=RetargetOptions(foot_lock=False))
    name = "foot" if "l_foot" in joints.joints else "ankle"
    feet = source_positions(source)[:, [joints[f"l_{name}"], joints[f"r_{name}"]]] * pose.scale
    standing = contacts(feet, source.frame_time, speed=0.2)
    standing = standing[1:] & standing[:-1]

    def speed(pose: Pose) -> float:
        balls = pose_world(rig, pose)[1][:, [target["l_foot"], target["r_foot"]], :2]
        return float((np.linalg.norm(np.diff(balls, axis=0), axis=-1) / pose.frame_time)[standing].mean())

    assert standing.mean() > 0.1
    assert speed(free) > 0.03
    assert speed(pose) < 0.02


def test_no_sole_sinks_into_the_floor(rig: Rig, pack: Callable[[str], Path]) -> None:
    source, target = read_bvh(pack("raw/cmu_120fps_salsa_07.bvh")), map_rig(rig)  # a foot without toes, heels high up
    rest = quat.from_matrix(rig.rest)
    legs = legs_of_stance(target, rig.heads, rest, rig.tails, up=2, lowest=rest_floor(rig, target))

    def deepest(foot_lock: bool) -> float:
        soles = legs.soles(*pose_world(rig, retarget(source, rig, options=RetargetOptions(foot_lock=foot_lock))))
        return rest_floor(rig, target) - float(np.percentile(soles[..., 2].min(axis=(1, 2)), 5))

    assert deepest(False) > 0.02
    assert deepest(True) < 0.01


def with_big_shoes(rig: Rig) -> Rig:
    """The rig with hips three times as wide and feet twice as long as they were, as figures for games have them."""
    joints, heads, tails, ground = map_rig(rig), rig.heads.copy(), rig.tails.copy(), rig.ground.copy()
    half = 0.5 * (heads[joints["l_hip"]] - heads[joints["r_hip"]])
    for side, sign in (("l", 1.0), ("r", -1.0)):
        ankle = heads[joints[f"{side}_ankle"]].copy()
        for points, bones in ((heads, range(len(heads))), (tails, range(len(tails))), (ground, rig.ground_bones)):
            for i, bone in enumerate(bones):
                if is_below(rig, bone, joints[f"{side}_ankle"]):
                    points[i, 1] += points[i, 1] - ankle[1]
                if is_below(rig, bone, joints[f"{side}_hip"]):
                    points[i] += 2.0 * sign * half
    return replace(rig, heads=heads, tails=tails, ground=ground)


def is_below(rig: Rig, bone: int, top: int) -> bool:
    while bone not in (top, -1):
        bone = int(rig.parents[bone])
    return bone == top


@pytest.mark.parametrize("clip", ["bvh/cmu_a_walkx_18.bvh", "raw/cc_base_60fps_007_08.bvh"])
def test_big_shoes_and_wide_hips_do_not_bend_the_legs(clip: str, mixamo_rig: Rig, pack: Callable[[str], Path]) -> None:
    source, big = read_bvh(pack(clip)), with_big_shoes(mixamo_rig)
    pose = retarget(source, big)
    legs = np.abs(limb_errors(source, big, pose, map_motion(source))[:, [2, 3, 6, 7]])
    assert legs.mean() < 5.0
    assert np.percentile(legs, 95) < 14.0
    turned, own = leg_steps(pose_world(big, pose)[0], map_rig(big)), leg_steps(world(source)[0], map_motion(source))
    assert (turned - own).max() < 15.0


def leg_steps(rotations: np.ndarray, joints: JointMap) -> np.ndarray:
    """By how many degrees thighs and shins turn [F - 1, 4] from frame to frame."""
    bones = [joints[name] for name in ("l_hip", "r_hip", "l_knee", "r_knee")]
    return np.degrees(quat.angle(rotations[1:, bones], rotations[:-1, bones]))


def test_heading_and_path_are_kept(rig: Rig) -> None:
    source = walk()
    pose = retarget(source, rig)
    hips = pose_world(rig, pose)[1][:, map_rig(rig)["pelvis"]]
    path = hips[-1] - hips[0]
    length = pose.scale * np.linalg.norm(source.positions[-1, 0] - source.positions[0, 0])
    assert path[1] == pytest.approx(-length, rel=0.02)
    assert abs(path[0]) < 0.05


def test_a_turned_source_turns_the_target(smpl_rig: Rig) -> None:
    source = walk()
    turn = quat.from_axis_angle(np.array([0.0, 1.0, 0.0]), np.pi / 2)
    rotations, positions = source.rotations.copy(), source.positions.copy()
    rotations[:, 0], positions[:, 0] = quat.mul(turn, rotations[:, 0]), quat.rotate(turn, positions[:, 0])
    hips = pose_world(smpl_rig, retarget(replace(source, rotations=rotations, positions=positions), smpl_rig))[1][:, 0]
    assert hips[-1, 0] - hips[0, 0] > 4.0


def test_a_rig_that_looks_the_other_way_walks_the_same_path(mixamo_rig: Rig) -> None:
    half = quat.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.pi)
    turned = replace(
        mixamo_rig,
        heads=quat.rotate(half, mixamo_rig.heads),
        tails=quat.rotate(half, mixamo_rig.tails),
        rest=quat.to_matrix(half) @ mixamo_rig.rest,
    )
    source = walk()
    heads = [pose_world(r, retarget(source, r))[1] for r in (mixamo_rig, turned)]
    bone = map_rig(turned)["l_wrist"]
    assert np.abs(heads[0][:, bone] - heads[1][:, bone]).max() < 1e-6


def test_a_pose_at_rest_gives_an_upright_target_with_straight_arms(mixamo_rig: Rig) -> None:
    source = walk()
    still = replace(source, rotations=np.broadcast_to(quat.IDENTITY, source.rotations.shape).copy())
    heads = pose_world(mixamo_rig, retarget(still, mixamo_rig))[1][0]
    joints = map_rig(mixamo_rig)
    arm = heads[joints["l_wrist"]] - heads[joints["l_shoulder"]]
    assert arm[0] > 0.99 * np.linalg.norm(arm)  # a T, though the rig rests in an A


def test_unmapped_bones_stay_at_rest_and_signs_are_continuous(rigify_rig: Rig) -> None:
    pose = retarget(walk(), rigify_rig)
    still = [i for i in range(len(rigify_rig.names)) if i not in pose.mapped]
    assert {rigify_rig.names[i] for i in still} >= {"face", "ear.L", "pelvis.L", "heel.02.R"}
    assert np.sum(pose.rotations[1:] * pose.rotations[:-1], axis=-1).min() > 0.0


def test_units_and_up_axis_of_the_source_do_not_matter(rigify_rig: Rig) -> None:
    source = walk()
    z_up = quat.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.pi / 2)
    rotations, positions = source.rotations.copy(), 0.01 * source.positions
    # The whole skeleton lies in a Z-up file in metres: offsets turned, rotations conjugated.
    positions = quat.rotate(z_up, positions)
    rotations = quat.mul(z_up, quat.mul(rotations, quat.inverse(z_up)))
    body = source.skeleton
    moved = replace(body, offsets=0.01 * quat.rotate(z_up, body.offsets), end_offsets=0.01 * quat.rotate(z_up, body.end_offsets))
    other = Motion(skeleton=moved, rotations=rotations, positions=positions, frame_time=source.frame_time)
    a, b = retarget(source, rigify_rig), retarget(other, rigify_rig)
    assert quat.angle(a.rotations, b.rotations).max() < 1e-6
    assert a.locations.keys() == b.locations.keys()
    assert all(np.abs(a.locations[bone] - b.locations[bone]).max() < 1e-6 for bone in a.locations)


def test_in_place_keeps_the_hips_over_the_origin_with_their_sway(smpl_rig: Rig) -> None:
    free, still = (
        retarget(walk(), smpl_rig, options=RetargetOptions(travel=travel)) for travel in (Travel.HIPS, Travel.IN_PLACE)
    )
    hips = pose_world(smpl_rig, still)[1][:, 0]
    assert np.abs(hips[:, :2]).max() < 0.05
    assert np.ptp(hips[:, 0]) > 0.005  # from side to side
    assert np.abs(free.rotations - still.rotations).max() < 1e-9


@pytest.mark.parametrize("rig", ["mixamo_rig"], indirect=True)
def test_the_root_bone_carries_path_and_heading_and_the_body_moves_as_before(rig: Rig) -> None:
    source = walk()
    angle = np.linspace(0.0, 1.5, len(source))
    turn = quat.from_axis_angle(np.array([0.0, 1.0, 0.0]), angle)
    rotations, positions = source.rotations.copy(), source.positions.copy()
    rotations[:, 0], positions[:, 0] = quat.mul(turn, rotations[:, 0]), quat.rotate(turn, positions[:, 0])
    curve = replace(source, rotations=rotations, positions=positions)
    free, rooted = (retarget(curve, rig, options=RetargetOptions(travel=travel)) for travel in (Travel.HIPS, Travel.ROOT))
    (free_r, free_p), (rooted_r, rooted_p) = pose_world(rig, free), pose_world(rig, rooted)
    body = [bone for bone in range(len(rig.names)) if bone > 0]
    assert np.abs(free_p[:, body] - rooted_p[:, body]).max() < 1e-6
    assert quat.angle(free_r[:, body], rooted_r[:, body]).max() < 1e-6
    root = rooted_p[:, 0]
    assert np.abs(root[:, 2] - rig.heads[0, 2]).max() < 1e-9
    hips = 0.5 * (rooted_p[:, map_rig(rig)["l_hip"]] + rooted_p[:, map_rig(rig)["r_hip"]])
    assert np.linalg.norm((root - hips)[:, :2], axis=-1).max() < 0.15
    assert np.degrees(quat.angle(rooted_r[0, 0], rooted_r[-1, 0])) == pytest.approx(np.degrees(1.5), abs=15.0)


def test_a_path_for_the_root_needs_a_root(smpl_rig: Rig) -> None:
    with pytest.raises(MotionError) as caught:
        retarget(walk(), smpl_rig, options=RetargetOptions(travel=Travel.ROOT))
    assert caught.value.code == "no_root_bone"


def test_start_and_heading_are_as_asked(rig: Rig) -> None:
    pose = retarget(walk(), rig, options=RetargetOptions(start=(2.0, -3.0), heading=np.pi / 2))
    heads, joints = pose_world(rig, pose)[1], map_rig(rig)
    hips = 0.5 * (heads[:, joints["l_hip"]] + heads[:, joints["r_hip"]])
    assert hips[0, :2] == pytest.approx([2.0, -3.0], abs=0.02)
    way = hips[-1] - hips[0]
    assert way[0] > 10.0 * abs(way[1])  # from -Y a quarter turn to +X


@pytest.mark.parametrize("axis", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
@pytest.mark.parametrize("angle", [0.5 * np.pi, np.pi])
def test_a_rig_that_was_turned_over_moves_as_one_that_stands(rig: Rig, axis: list[float], angle: float) -> None:
    turn = quat.from_axis_angle(np.array(axis), angle)
    over = replace(
        rig,
        heads=quat.rotate(turn, rig.heads),
        tails=quat.rotate(turn, rig.tails),
        rest=quat.to_matrix(turn) @ rig.rest,
    )
    wanted, pose = retarget(walk(), rig), retarget(walk(), over)
    assert pose.mapped == wanted.mapped
    # Distances within the body: it may look another way.
    spread = [np.linalg.norm(p - p[:, :1], axis=-1) for p in (pose_world(over, pose)[1], pose_world(rig, wanted)[1])]
    assert np.abs(spread[0] - spread[1]).max() < 0.02


def test_bones_with_hardly_a_length_turn_as_their_limbs_do(rig: Rig) -> None:
    stubs = replace(rig, tails=rig.heads + np.array([0.0, 0.0, 1e-5]))
    joints = map_rig(rig)
    turns = [pose_world(r, retarget(walk(), r, target_map=joints))[0] for r in (rig, stubs)]
    for name in ("l_wrist", "r_foot", "head", "l_ankle"):
        off = np.degrees(quat.angle(turns[0][:, joints[name]], turns[1][:, joints[name]]))
        assert np.median(off) < 35.0, name


def test_a_clip_without_frames_is_refused(smpl_rig: Rig) -> None:
    source = walk()
    empty = replace(source, rotations=source.rotations[:0], positions=source.positions[:0])
    with pytest.raises(MotionError) as caught:
        retarget(empty, smpl_rig)
    assert caught.value.code == "no_frames"


def test_a_bone_space_skeleton_is_no_stance(pack: Callable[[str], Path]) -> None:
    source = read_bvh(pack("raw/cc_base_60fps_002_04.bvh"))
    assert not anatomy.stands(map_motion(source), source.skeleton.rest_positions())
