# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoothing: no delay, no drift, jitter gone; offsets that hold exactly and fade; envelopes that cover."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from motion_queue.motion import quat, smooth
from motion_queue.motion.errors import MotionError
from motion_queue.scripts.make_sample import walk

from .clips import bone_lengths

FRAME = 1.0 / 30.0


def test_low_pass_keeps_slow_waves_without_delay_and_takes_fast_ones_out() -> None:
    t = np.arange(300) * FRAME
    slow, fast = np.sin(2 * np.pi * 1.0 * t), np.sin(2 * np.pi * 13.0 * t)
    out = smooth.low_pass((slow + fast)[:, None], FRAME, 5.0)[:, 0]
    assert np.abs(out - slow)[20:-20].max() < 0.05


def test_low_pass_keeps_a_line_and_the_ends() -> None:
    line = np.stack([np.linspace(0.0, 300.0, 50), np.full(50, 7.0)], axis=1)
    np.testing.assert_allclose(smooth.low_pass(line, FRAME, 3.0), line, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 9])
def test_low_pass_takes_clips_of_any_length(frames: int) -> None:
    values = np.random.default_rng(0).normal(size=(frames, 2))
    assert np.isfinite(smooth.low_pass(values, FRAME, 3.0)).all()


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frequency_that_is_none_is_refused(cutoff: float) -> None:
    with pytest.raises(MotionError) as error:
        smooth.low_pass(np.zeros((5, 1)), FRAME, cutoff)
    assert error.value.code == "bad_edit"


def test_jitter_goes_and_the_motion_and_its_bones_stay() -> None:
    clip = walk()
    rng = np.random.default_rng(1)
    angle = np.radians(1.5) * rng.normal(size=(len(clip), len(clip.skeleton)))
    axis = quat.normalize(rng.normal(size=(*angle.shape, 3)))
    shaking = replace(clip, rotations=quat.mul(clip.rotations, quat.from_axis_angle(axis, angle)))
    calm = smooth.remove_jitter(shaking, 6.0)
    assert smooth.mean_jerk(shaking) > 5.0 * smooth.mean_jerk(clip)
    assert smooth.mean_jerk(calm) < 0.3 * smooth.mean_jerk(shaking)
    assert np.degrees(quat.angle(calm.rotations, clip.rotations)).mean() < 1.5
    np.testing.assert_allclose(bone_lengths(calm), bone_lengths(clip), atol=1e-9)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 8, 50, 300])
def test_ease_is_the_least_squares_solution(frames: int) -> None:
    rng = np.random.default_rng(frames)
    target, weight = rng.normal(size=(frames, 2, 3)), np.where(rng.random((frames, 2)) > 0.6, 4e4, 0.0)
    eased = smooth.ease(target, weight, FRAME, seconds=0.1)
    third = np.diff(np.eye(frames), n=3, axis=0) if frames > 3 else np.zeros((1, frames))
    for k in range(2):
        system = 3.0**6 * third.T @ third + np.eye(frames) + np.diag(weight[:, k])
        np.testing.assert_allclose(eased[:, k], np.linalg.solve(system, weight[:, k, None] * target[:, k]), atol=1e-7)


@pytest.mark.parametrize("frames", [2, 3, 4, 8, 50])
def test_ease_with_steps_is_the_least_squares_solution(frames: int) -> None:
    rng = np.random.default_rng(frames)
    target, weight = rng.normal(size=(frames, 2, 3)), np.where(rng.random((frames, 2)) > 0.6, 4e4, 0.0)
    step, drag = rng.normal(size=(frames - 1, 2, 3)), 100.0 * rng.random((frames - 1, 2))
    eased = smooth.ease(target, weight, FRAME, seconds=0.1, step=step, drag=drag)
    first = np.diff(np.eye(frames), axis=0)
    third = np.diff(np.eye(frames), n=3, axis=0) if frames > 3 else np.zeros((1, frames))
    for k in range(2):
        pulled = first.T * drag[:, k]
        system = 3.0**6 * third.T @ third + np.eye(frames) + np.diag(weight[:, k]) + pulled @ first
        wanted = weight[:, k, None] * target[:, k] + pulled @ step[:, k]
        np.testing.assert_allclose(eased[:, k], np.linalg.solve(system, wanted), atol=1e-7)


def test_an_eased_offset_holds_and_fades_without_a_jump() -> None:
    weight = np.zeros((120, 1))
    weight[50:70] = 4e4
    curve = smooth.ease(np.ones((120, 1, 1)), weight, FRAME, seconds=0.07)[:, 0, 0]
    assert np.abs(curve[50:70] - 1.0).max() < 0.02
    assert np.abs(curve[:35]).max() < 0.02
    assert np.abs(np.diff(curve)).max() < 0.35


def test_an_envelope_is_never_below_and_smooth() -> None:
    values = np.zeros(60)
    values[30] = 1.0
    cover = smooth.envelope(values, FRAME, seconds=0.1)
    assert (cover >= values - 1e-12).all()
    assert np.abs(np.diff(cover)).max() < 0.4
    assert not cover[:20].any()
