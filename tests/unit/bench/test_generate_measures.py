# SPDX-License-Identifier: GPL-3.0-or-later
"""The measures of generated motion give the known answer on motion whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from unit.bench import bodies

from motion_queue.motion.skeleton import Motion
from motion_queue.scripts.bench.generate_eval import body, features, measures
from motion_queue.scripts.bench.generate_eval.body import FPS, STANDING
from motion_queue.scripts.bench.generate_eval.nearest import Library
from motion_queue.scripts.cli.exit_codes import InputError


@pytest.mark.parametrize("speed", [0.1, 0.5, 1.5])
def test_a_figure_that_glides_skates_at_its_speed(speed: float) -> None:
    assert measures.skate(bodies.gliding(speed)) == pytest.approx(speed, rel=1e-6)


def test_a_figure_that_stands_does_not_skate_and_is_held() -> None:
    assert measures.skate(bodies.standing()) == pytest.approx(0.0, abs=1e-9)
    assert measures.skating_share(bodies.standing()) == 0.0
    assert measures.skating_share(bodies.gliding(0.5)) == 1.0


def test_a_foot_that_swings_close_over_the_floor_is_no_sliding_foot() -> None:
    walker = bodies.gliding(1.0)
    soles = walker.soles.copy()
    soles[:, 0:2] = bodies.standing().soles[:, 0:2]  # the left foot stands
    soles[:, 2:4, 2] += 1.0 * np.arange(len(walker))[:, None] / FPS  # the right one overtakes the body, 2 m/s
    assert measures.skate(replace(walker, soles=soles)) == pytest.approx(0.0, abs=1e-6)


def test_feet_in_the_air_skate_nowhere() -> None:
    by = np.zeros((90, 3))
    by[:, 1] = 0.5
    assert np.isnan(measures.skate(bodies.moved(bodies.gliding(1.0), by)))


def test_a_figure_sunk_by_three_centimetres_penetrates_by_three() -> None:
    by = np.zeros((90, 3))
    by[:, 1] = -0.03
    assert measures.depths(bodies.moved(bodies.standing(), by)) == pytest.approx(np.full(90, 0.03))
    assert measures.depths(bodies.standing()) == pytest.approx(np.zeros(90), abs=1e-9)


def test_the_soles_of_the_standing_body_are_on_the_floor() -> None:
    assert bodies.standing().soles[:, STANDING, 1] == pytest.approx(0.0, abs=1e-9)


def test_jerk_is_that_of_the_path_and_none_at_a_steady_pace() -> None:
    times = np.arange(60) / FPS
    by = np.zeros((60, 3))
    by[:, 0] = 2.0 * times**3  # third derivative 12
    assert measures.jerk(bodies.moved(bodies.standing(60), by)) == pytest.approx(12.0, rel=1e-6)
    assert measures.jerk(bodies.gliding(1.0)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("degrees", [90.0, -45.0, 360.0])
def test_a_turn_has_its_angle(degrees: float) -> None:
    assert np.degrees(body.turn(bodies.turning(degrees))) == pytest.approx(degrees, abs=0.5)


def test_travel_is_told_as_the_body_faces() -> None:
    ahead, left, path = body.travel(body.turned(bodies.gliding(1.0), 1.0))
    assert ahead == pytest.approx(path)
    assert left == pytest.approx(0.0, abs=1e-6)
    ahead, left, _ = body.travel(body.turned(bodies.gliding(1.0, direction=0), -2.0))
    assert left > 2.0
    assert ahead == pytest.approx(0.0, abs=1e-6)


def test_a_mirror_image_turns_the_other_way_and_swaps_the_hands() -> None:
    source = bodies.waving("l")
    image = body.mirrored(source)
    assert image.height("r_wrist") == pytest.approx(source.height("l_wrist"))
    assert body.turn(body.mirrored(bodies.turning(90.0))) == pytest.approx(-body.turn(bodies.turning(90.0)))


def test_clips_joined_go_on_where_the_one_before_ended() -> None:
    whole = body.spliced([bodies.turning(90.0), bodies.gliding(1.0)])
    assert len(whole) == 180
    assert np.linalg.norm(np.diff(whole.joint("pelvis"), axis=0), axis=1).max() < 0.05
    assert whole.joint("pelvis")[-1, 0] == pytest.approx(89 / FPS, abs=0.02)  # forward is +X after a quarter turn to the left


def test_features_know_neither_place_nor_heading() -> None:
    source = bodies.waving()
    assert features.frames(body.turned(source, 2.0, (3.0, 0.0, -1.0))) == pytest.approx(features.frames(source), abs=1e-6)


def test_a_short_clip_has_one_window_that_ends_standing_still() -> None:
    windows = features.windows(bodies.gliding(1.0, frames=20))
    assert windows.shape == (1, 20, features.FRAME_WIDTH)
    assert np.abs(windows[0, -1, 66:]).max() == 0.0
    assert np.abs(windows[0, 0, 66:]).max() == pytest.approx(1.0)


def test_kid_of_one_distribution_is_nothing_and_of_two_is_not() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(400, 8)), rng.normal(size=(400, 8)), rng.normal(1.0, 1.0, size=(400, 8))
    same, spread = measures.kid(a, b)
    assert abs(same) < spread
    other, spread = measures.kid(a, c)
    assert other > 5.0 * spread


def test_kid_is_unbiased() -> None:
    rng = np.random.default_rng(1)
    values = [measures.polynomial_mmd(rng.normal(size=(20, 4)), rng.normal(size=(20, 4))) for _ in range(400)]
    assert abs(np.mean(values)) < 3.0 * np.std(values) / np.sqrt(len(values))


def test_diversity_is_the_mean_distance_and_nothing_between_copies() -> None:
    a, b = np.zeros((3, 2)), np.tile([3.0, 4.0], (2, 1))
    assert measures.diversity([a, b]) == pytest.approx(5.0)
    assert measures.diversity([a, a.copy()]) == 0.0
    assert np.isnan(measures.diversity([a]))


def test_a_copy_is_at_no_distance_wherever_it_stands_and_if_mirrored() -> None:
    library = Library([("wave", bodies.waving()), ("turn", bodies.turning(180.0)), ("still", bodies.standing())])
    copy = body.turned(body.mirrored(bodies.waving()), 1.0, (2.0, 0.0, 5.0))
    found = library.nearest(copy)
    assert found.name == "wave"
    assert found.overall == pytest.approx(0.0, abs=0.01)
    assert library.nearest(bodies.waving(), without={"wave"}).closest > 1.0


def test_the_distance_of_a_body_a_centimetre_higher_is_a_centimetre() -> None:
    by = np.zeros((90, 3))
    by[:, 1] = 0.01
    found = Library([("still", bodies.standing())]).nearest(bodies.moved(bodies.standing(), by))
    assert found.overall == pytest.approx(1.0, rel=1e-3)


def test_an_interval_holds_the_value_and_is_wider_when_values_of_a_group_are_alike() -> None:
    rng = np.random.default_rng(2)
    groups = [[float(v)] * 20 for v in rng.random(10)]
    alike = measures.bootstrap(groups)
    apart = measures.bootstrap([[v] for group in groups for v in group])
    assert alike.low < alike.value < alike.high
    assert alike.high - alike.low > 2.0 * (apart.high - apart.low)
    assert alike.value == pytest.approx(apart.value)


def test_nothing_to_measure_is_no_number() -> None:
    assert np.isnan(measures.bootstrap([[float("nan")], []]).value)
    assert measures.bootstrap([]).text() == "–"


def test_another_skeleton_is_refused() -> None:
    source = bodies.motion(3)
    other = Motion(
        skeleton=replace(source.skeleton, names=("hips", *source.skeleton.names[1:])),
        rotations=source.rotations,
        positions=source.positions,
        frame_time=source.frame_time,
    )
    with pytest.raises(InputError) as caught:
        body.track(other)
    assert caught.value.code == "not_the_body"
