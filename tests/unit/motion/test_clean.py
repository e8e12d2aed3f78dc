# SPDX-License-Identifier: GPL-3.0-or-later
"""Clean motion: feet stand where they stand, nothing sinks, nobody who flies or lies is pulled to the floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motion_queue.motion import ik, quat
from motion_queue.motion.clean import CleanResult, apply_lock, clean, foot_contacts
from motion_queue.motion.clip_map import map_motion
from motion_queue.motion.contacts import FootQuality, judge
from motion_queue.motion.errors import MotionError
from motion_queue.motion.footholds import LockOptions
from motion_queue.motion.footlock import lock_feet, locked_rotations
from motion_queue.motion.kinematics import forward, resample, world
from motion_queue.motion.legs import find_legs, legs_of_stance
from motion_queue.motion.retarget import RetargetOptions, map_rig, pose_world, retarget
from motion_queue.motion.rig import Rig
from motion_queue.motion.skeleton import Motion, Skeleton
from motion_queue.motion.smooth import mean_jerk
from motion_queue.scripts.make_sample import walk

from .clips import METRE, bone_lengths, generated, moved, of_pack, standing

Pack = Callable[[str], Path]
WALKS = ("ual_walk_loop", "cmu_06_05", "cmu_b_walkx_13")
FLIGHTS = ("cmu_91_49", "cmu_16_35", "cmu_13_39")
LEFT_ALONE = ("m2m_crawl", "kk_crawling", "kk_sit_floor_idle")


def cleaned(motion: Motion, **options: object) -> CleanResult:
    return clean(motion, map_motion(motion), metre=METRE, **options)  # type: ignore[arg-type]


def soles(motion: Motion) -> np.ndarray:
    """Heels and balls [F, 2, 2, 3]."""
    return find_legs(motion, map_motion(motion), up=1).soles(*world(motion))[:, :, :2]


def knee_angles(motion: Motion) -> np.ndarray:
    """Degrees [F, 2] that knees are bent."""
    joints = map_motion(motion)
    points = world(motion)[1]
    out = []
    for side in "lr":
        hip, knee, ankle = (points[:, joints[f"{side}_{part}"]] for part in ("hip", "knee", "ankle"))
        out.append(np.degrees(np.arccos(np.sum(quat.normalize(knee - hip) * quat.normalize(ankle - knee), axis=-1).clip(-1, 1))))
    return np.stack(out, axis=1)


def largest_step(motion: Motion) -> float:
    """Degrees that a leg's joint turns at most from one frame to the next."""
    joints = map_motion(motion)
    legs = [joints[f"{side}_{part}"] for side in "lr" for part in ("hip", "knee", "ankle")]
    return float(np.degrees(quat.angle(motion.rotations[1:, legs], motion.rotations[:-1, legs])).max())


def test_somebody_who_stands_still_is_left_alone() -> None:
    clip = standing()
    result = cleaned(clip)
    assert result.report.largest_turn < 0.2
    assert result.report.largest_shift < 0.1
    assert {(span.start, span.stop) for span in result.report.contacts} == {(0, 60)}
    assert len(result.report.contacts) == 4


def test_a_planted_slide_of_both_feet_is_taken_out() -> None:
    drift = np.zeros((60, 3))
    drift[:, 2] = 8.0 * np.sin(np.linspace(0.0, 3.0, 60))
    result = cleaned(moved(standing(), drift))
    assert result.report.before.skate > 0.07
    assert result.report.after.skate < 0.01
    np.testing.assert_allclose(soles(result.motion)[..., 2].std(axis=0), 0.0, atol=0.2)


@pytest.mark.parametrize("height", [3.0, -3.0])
def test_a_body_that_hovers_or_sinks_is_put_on_the_floor(height: float) -> None:
    drift = np.zeros((60, 3))
    drift[:, 1] = height
    result = cleaned(moved(standing(), drift))
    assert np.abs(soles(result.motion)[..., 1]).max() < 0.3
    assert result.report.after.penetration < 0.3


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("metre", [100.0, 1.0])
def test_units_and_the_upward_axis_make_no_difference(up: int, metre: float) -> None:
    clip = generated(walk())
    joints = map_motion(clip)
    expected = clean(clip, joints, metre=METRE).motion
    turn = quat.IDENTITY if up == 1 else quat.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.pi / 2)

    def other(motion: Motion) -> Motion:
        scale = metre / METRE
        body = motion.skeleton
        rotations = quat.mul(quat.mul(turn, motion.rotations), quat.inverse(turn))
        offsets = quat.rotate(turn, body.offsets) * scale
        tips = quat.rotate(turn, body.end_offsets) * scale
        skeleton = Skeleton(
            names=body.names, parents=body.parents, offsets=offsets, end_parents=body.end_parents, end_offsets=tips
        )
        positions = quat.rotate(turn, motion.positions) * scale
        return Motion(skeleton=skeleton, rotations=rotations, positions=positions, frame_time=motion.frame_time)

    result = clean(other(clip), joints, metre=metre, up=up).motion
    assert np.degrees(quat.angle(result.rotations, other(expected).rotations)).max() < 1e-3
    np.testing.assert_allclose(result.positions, other(expected).positions, atol=1e-6 * metre)


@pytest.mark.parametrize("seed", range(3))
def test_a_generated_walk_gets_steady_feet(seed: int) -> None:
    clip = generated(walk(), seed)
    result = cleaned(clip)
    assert result.report.before.skate > 0.1
    assert result.report.after.skate < 0.05
    assert result.report.after.penetration < 1.0
    assert mean_jerk(result.motion) < 1.3 * mean_jerk(walk())
    assert largest_step(result.motion) < largest_step(clip) + 10.0
    assert knee_angles(result.motion).min() >= 0.0
    np.testing.assert_allclose(bone_lengths(result.motion), bone_lengths(clip), atol=1e-9)


def test_the_frame_rate_makes_little_difference() -> None:
    clip = generated(walk())
    for fps in (20.0, 60.0, 120.0):
        report = cleaned(resample(clip, fps)).report
        assert report.after.skate < 0.06
        assert report.after.penetration < 1.0


def test_toes_stay_on_the_floor_while_the_heel_lifts() -> None:
    clip = walk()
    rotations = clip.rotations.copy()
    for side in "lr":  # a model that knows no toes
        rotations[:, clip.skeleton.names.index(f"{side}_foot")] = quat.IDENTITY
    stiff = replace(clip, rotations=rotations)
    legs = find_legs(stiff, map_motion(stiff), up=1)
    tips = legs.soles(*world(stiff))[:, :, 2, 1]
    assert tips.min() < -3.0
    assert legs.soles(*world(cleaned(stiff).motion))[:, :, 2, 1].min() > -1.5


def test_a_flight_above_the_floor_is_not_touched_and_no_contact_is_seen_in_it() -> None:
    t = np.arange(90) / 30.0
    flight = np.zeros((90, 3))
    flight[:, 1] = np.maximum(0.0, 122.6 - 490.5 * (t - 1.5) ** 2)  # cm: half a second up, half down
    result = cleaned(moved(standing(90), flight))
    airborne = flight[:, 1] > 12.0
    rise = soles(result.motion)[airborne][..., 1] - flight[airborne][:, 1, None, None]
    assert np.abs(rise).max() < 1.0
    assert not any(span.start < 58 and span.stop > 32 for span in result.report.contacts)


def test_feet_that_are_not_near_the_floor_stay_as_they_are() -> None:
    raised = moved(generated(standing()), np.tile([0.0, 40.0, 0.0], (60, 1)))
    result = cleaned(raised)
    assert result.report.contacts == ()
    assert result.report.largest_turn < 1e-3


def test_a_foot_out_of_reach_lowers_the_pelvis_and_snaps_no_knee() -> None:
    clip = standing(90)
    legs = find_legs(clip, map_motion(clip), up=1)
    rise = np.zeros((90, 3))
    rise[:, 1] = 4.0 * np.sin(np.linspace(0.0, np.pi, 90)) ** 2
    lifted = moved(clip, rise)
    contacts = np.ones((90, 2, 2), dtype=bool)
    result = clean(lifted, map_motion(clip), metre=METRE, contacts=contacts, legs=legs)
    assert np.abs(soles(result.motion)[..., 1]).max() < 0.6
    assert np.abs(np.diff(knee_angles(result.motion), axis=0)).max() < 3.0


@pytest.mark.parametrize("name", ["smpl_rig", "mixamo_rig", "rigify_rig"])
def test_feet_of_a_rig_with_other_bones_and_axes_are_held_too(request: pytest.FixtureRequest, name: str) -> None:
    rig: Rig = request.getfixturevalue(name)
    pose = retarget(generated(walk(), 2), rig, options=RetargetOptions(foot_lock=False))
    rotations, points = pose_world(rig, pose)
    tips = np.where(np.isin(np.arange(len(rig.names)), rig.parents)[:, None], np.nan, rig.tails)
    legs = legs_of_stance(map_rig(rig), rig.heads, quat.from_matrix(rig.rest), tips, up=2)

    def seen(rotations: np.ndarray, points: np.ndarray) -> FootQuality:
        pelvis = points[:, map_rig(rig)["pelvis"]]
        return judge(legs.soles(rotations, points)[:, :, :2], pelvis, pose.frame_time, up=2, floor=0.0, metre=1.0)

    lock = lock_feet(legs, rotations, points, pose.frame_time, up=2, floor=0.0, metre=1.0)
    turned = locked_rotations(lock, legs, rig.parents, rotations)
    # The corrected pose from its rotations and the offsets that the bones had, so that no bone can change its length.
    inner = rig.parents >= 0
    local, offsets = turned.copy(), points + lock.shift[:, None]
    above = rig.parents[inner]
    local[:, inner] = quat.mul(quat.inverse(turned[:, above]), turned[:, inner])
    offsets[:, inner] = quat.rotate(quat.inverse(rotations[:, above]), points[:, inner] - points[:, above])
    after = seen(*forward(rig.parents, local, offsets))
    assert seen(rotations, points).skate > 0.1
    assert after.skate < 0.05
    assert after.penetration < 1.0


def test_a_foot_rolls_over_its_flat_toes_while_the_heel_lifts() -> None:
    clip = walk()
    legs = find_legs(clip, map_motion(clip), up=1)
    result = cleaned(clip)
    joints = world(result.motion)[1][:, legs.toe]
    rolls = 0
    for span in result.report.contacts:
        side = "lr".index(span.side)
        if span.part == "ball" and span.stop - span.start > 6:
            place = joints[span.start + 1 : span.stop - 1, side]
            heels = soles(result.motion)[span.start + 1 : span.stop - 1, side, 0, 1]
            rolls += heels.max() > 5.0
            assert np.ptp(place, axis=0).max() < 0.3
    assert rolls > 0


def shuffling() -> Motion:
    """A walk over ground whose feet are all but dragged: the swinging foot is never lifted more than a centimetre."""
    clip = walk()
    legs = find_legs(clip, map_motion(clip), up=1)
    rotations, points = world(clip)
    lock = lock_feet(legs, rotations, points, clip.frame_time, up=1, floor=0.0, metre=METRE)
    lowest = legs.soles(rotations, points)[:, :, :2, 1].min(axis=2)
    ankle = points[:, legs.ankle].copy()
    ankle[..., 1] -= np.maximum(lowest - 1.0, 0.0)
    leg = ik.solve(
        points[:, legs.hip], points[:, legs.knee], points[:, legs.ankle], ankle,
        forward=quat.rotate(rotations[:, legs.hip], legs.forward),
    )  # fmt: skip
    still = np.broadcast_to(quat.IDENTITY, leg.upper.shape)
    turns = np.stack([leg.upper, leg.lower, still, still], axis=2)
    return apply_lock(clip, legs, rotations, replace(lock, shift=np.zeros((len(clip), 3)), turns=turns))


def test_swinging_feet_are_lifted_on_request_alone() -> None:
    clip = shuffling()
    joints = map_motion(clip)
    low, high = (clean(clip, joints, metre=METRE, options=LockOptions(clearance=share)).motion for share in (0.0, 1.0))
    speed = np.linalg.norm(np.gradient(soles(clip)[..., [0, 2]], clip.frame_time, axis=0), axis=-1).min(axis=2) / METRE
    swings = speed > 1.5
    assert swings.any()
    assert np.median(soles(low)[..., 1].min(axis=2)[swings]) < 2.0
    assert np.median(soles(high)[..., 1].min(axis=2)[swings]) > 3.0
    assert np.abs(np.diff(knee_angles(high), axis=0)).max() < np.abs(np.diff(knee_angles(walk()), axis=0)).max() + 10.0


def test_a_body_goes_as_its_standing_feet_say_and_stays_near_its_path() -> None:
    drift = np.zeros((120, 3))
    drift[:, 2] = 6.0 * np.sin(np.linspace(0.0, 6.0 * np.pi, 120))  # it sways by 6 cm over feet that slide along
    clip = moved(standing(120), drift)
    joints = map_motion(clip)
    left, carried = (clean(clip, joints, metre=METRE, options=LockOptions(carry=carry)) for carry in (0.0, 0.5))
    assert left.report.after.skate < 0.02
    assert carried.report.after.skate < 0.02
    ways = [np.ptp(result.motion.positions[:, 0, 2]) for result in (left, carried)]
    assert ways[1] < 0.5 * ways[0]
    assert carried.report.largest_shift < 8.0


def test_drag_keeps_a_low_foot_from_sliding_where_no_contact_is_seen() -> None:
    drift = np.zeros((90, 3))
    drift[:, 2] = 3.0 * np.sin(np.linspace(0.0, 4.0 * np.pi, 90))
    clip = moved(standing(90), drift)
    joints = map_motion(clip)
    nowhere = np.zeros((90, 2, 2), dtype=bool)
    free, held = (
        clean(clip, joints, metre=METRE, contacts=nowhere, options=LockOptions(drag=drag)).report.after.skate
        for drag in (0.0, 1.0)
    )
    assert free > 0.04
    assert held < 0.4 * free


def test_contacts_found_before_an_edit_hold_after_it() -> None:
    clip = walk()
    legs = find_legs(clip, map_motion(clip), up=1)
    contacts = foot_contacts(clip, legs, metre=METRE)
    faster = clip.positions.copy()
    faster[:, 0, 2] *= 1.1
    slid = replace(clip, positions=faster)
    assert cleaned(slid, contacts=contacts).report.after.skate < 0.03


def test_without_foot_lock_only_jitter_is_removed() -> None:
    clip = generated(walk())
    result = cleaned(clip, foot_lock=False)
    assert result.motion is clip
    assert result.report.contacts == ()


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7])
def test_the_shortest_clips_work(frames: int) -> None:
    result = cleaned(generated(walk()).cut(0, frames))
    assert np.isfinite(result.motion.rotations).all()
    assert len(result.motion) == frames


def test_bad_input_is_refused_by_name() -> None:
    clip = walk()
    broken = clip.rotations.copy()
    broken[3, 2] = np.nan
    cases: list[tuple[Motion, dict[str, Any], str]] = [
        (replace(clip, rotations=broken), {}, "not_finite"),
        (replace(clip, rotations=clip.rotations[:0], positions=clip.positions[:0]), {}, "no_frames"),
        (clip, {"metre": 0.0}, "bad_motion"),
        (clip, {"contacts": np.ones((3, 2, 2), dtype=bool)}, "bad_motion"),
        (clip, {"cutoff": 0.0}, "bad_edit"),
    ]
    for motion, options, code in cases:
        with pytest.raises(MotionError) as error:
            clean(motion, map_motion(clip), **({"metre": METRE} | options))
        assert error.value.code == code


# Captured motion


@pytest.mark.parametrize("name", WALKS)
def test_a_captured_walk_gets_steady_feet(pack: Pack, name: str) -> None:
    clip = of_pack(pack("motions.npz"), name)
    for motion in (clip, generated(clip, 7)):
        result = cleaned(motion)
        assert result.report.after.skate < 0.05
        assert result.report.after.penetration < 1.0
        assert mean_jerk(result.motion) < 1.3 * mean_jerk(clip)
        assert largest_step(result.motion) < largest_step(motion) + 10.0


@pytest.mark.parametrize("name", FLIGHTS)
def test_who_jumps_or_runs_still_flies(pack: Pack, name: str) -> None:
    clip = of_pack(pack("motions.npz"), name)
    result = cleaned(clip)
    before, after = (soles(motion)[..., 1].min(axis=(1, 2)) for motion in (clip, result.motion))
    airborne = before > 6.0
    assert airborne.any()
    assert (after[airborne] > 0.5 * before[airborne]).all()
    assert after.max() > 0.8 * before.max()


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_who_crawls_or_sits_on_the_floor_is_not_damaged(pack: Pack, name: str) -> None:
    clip = of_pack(pack("motions.npz"), name)
    result = cleaned(clip)
    assert np.degrees(quat.angle(clip.rotations, result.motion.rotations)).max() < 8.0
    assert result.report.largest_shift < 2.0
