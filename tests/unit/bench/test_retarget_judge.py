# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of retargeting: nothing to say of a clip beside itself, and every planted fault is found, and found alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from motion_queue.motion.bvh import read_bvh
from motion_queue.motion.kinematics import world
from motion_queue.scripts.bench.retarget_eval import judge as judging
from motion_queue.scripts.bench.retarget_eval import sources
from motion_queue.scripts.bench.retarget_eval.judge import SIDES, Array, Body, Verdict, judge

Change = Callable[[str, Array], Array]  # joint, [F, 3] → [F, 3]


@pytest.fixture(scope="module")
def walk(checkout: Path) -> Body:
    return sources.read(checkout / "examples" / "walk.bvh", "smpl")


def _moved(body: Body, change: Change) -> Body:
    soles = {s: np.stack([change(f"sole_{s}", p) for p in points.transpose(1, 0, 2)], 1) for s, points in body.soles.items()}
    return replace(body, joints={name: change(name, places) for name, places in body.joints.items()}, soles=soles)


def _rotated(axis: int, degrees: float) -> Array:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out = np.eye(3)
    out[i, i] = out[j, j] = cos
    out[j, i], out[i, j] = sin, -sin
    return out


def _swapped(name: str) -> str:
    return f"{name[:-1]}{'r' if name.endswith('l') else 'l'}"


def _sound(found: Verdict) -> dict[str, bool]:
    """Which of its figures are as in a clip beside itself."""
    return {
        "limbs": found.limb_mean < 1e-4 and found.limb_p95 < 1e-4,
        "feet": abs(found.foot_speed - found.foot_speed_source) < 1e-9 and abs(found.slide - found.slide_source) < 1e-6,
        "floor": found.penetration_p95 < 1.0 and found.floating < 5.0,
        "path": found.path < 1e-9,
        "height": found.height < 1e-9,
        "jump": found.jump < 1e-4,
        "hinges": max(found.bent_wrong.values()) == 0.0,
        "sides": not found.swapped,
    }


def _faults(found: Verdict) -> set[str]:
    return {name for name, sound in _sound(found).items() if not sound}


def test_a_clip_beside_itself_has_no_faults(walk: Body) -> None:
    found = judge(walk, walk)

    assert _faults(found) == set()
    assert found.foot_turn < 1e-4
    assert found.contacts >= 6
    assert found.not_finite == 0


def test_a_body_of_half_the_size_has_none_either_and_the_sources_speeds_are_given_at_its_size(walk: Body) -> None:
    small = _moved(walk, lambda name, places: 0.5 * places)
    small = replace(small, rest={name: 0.5 * place for name, place in walk.rest.items()})

    found, own = judge(walk, small), judge(walk, walk)

    assert _faults(found) == set()
    assert found.slide_source == pytest.approx(0.5 * own.slide_source)
    assert found.foot_speed == pytest.approx(0.5 * own.foot_speed)


def test_swapped_arms_are_found(walk: Body) -> None:
    def change(name: str, places: Array) -> Array:
        if name[:-2] not in ("elbow", "wrist"):
            return places
        shoulders = walk.joints[f"shoulder_{name[-1]}"], walk.joints[f"shoulder_{_swapped(name)[-1]}"]
        return np.asarray(shoulders[0] + walk.joints[_swapped(name)] - shoulders[1])

    found = judge(walk, _moved(walk, change))

    assert _faults(found) == {"limbs", "sides"} | ({"hinges"} & _faults(found))
    assert found.swapped == ("arm",)
    assert found.limbs["upper_arm"] > 20.0
    assert found.limbs["thigh"] < 1e-4


def test_swapped_legs_are_found_where_both_are_named_wrong(walk: Body) -> None:
    wrong = {_swapped(n) if n[:-2] in ("hip", "knee", "ankle", "toe") else n: v for n, v in walk.joints.items()}

    assert judge(walk, replace(walk, joints=wrong)).swapped == ("leg",)


def test_a_foot_that_slides_ten_centimetres_is_found(walk: Body) -> None:
    begin, end = max(judging.spans(judging.contacts(walk, "l")), key=lambda span: span[1] - span[0])
    way = np.zeros((len(walk), 3))
    way[:, 0] = np.interp(np.arange(len(walk)), [begin, end - 1], [0.0, 0.1])

    found = judge(walk, _moved(walk, lambda name, places: places + way if name in ("toe_l", "sole_l") else places))

    assert _faults(found) == {"feet"}
    assert (found.slide - found.slide_source) * found.contacts == pytest.approx(100.0, rel=0.15)
    assert found.foot_speed > found.foot_speed_source + 0.005


def test_a_knee_that_bends_backwards_is_found(walk: Body) -> None:
    hip, ankle = walk.joints["hip_l"], walk.joints["ankle_l"]
    along = (ankle - hip) / np.linalg.norm(ankle - hip, axis=1, keepdims=True)

    def change(name: str, places: Array) -> Array:
        if name != "knee_l":
            return places
        foot = hip + along * np.sum((places - hip) * along, axis=1, keepdims=True)
        return np.asarray(2 * foot - places)

    found = judge(walk, _moved(walk, change))

    assert _faults(found) == {"limbs", "hinges"}
    assert found.bent_wrong["knee"] > 0.3
    assert found.bent_wrong["elbow"] == 0.0


@pytest.mark.parametrize(("metres", "sunk", "above"), [(-0.05, 50.0, 0.0), (0.05, 0.0, 50.0)])
def test_a_body_in_or_over_the_floor_is_found(walk: Body, metres: float, sunk: float, above: float) -> None:
    found, own = judge(walk, _moved(walk, lambda name, places: places + np.array([0.0, 0.0, metres]))), judge(walk, walk)

    assert _faults(found) == {"floor"}
    assert found.penetration_p95 == pytest.approx(sunk, abs=own.penetration_p95 + 1.0)
    assert found.floating == pytest.approx(above, abs=own.floating + 1.0)


def test_a_path_that_is_a_fifth_too_long_is_found(walk: Body) -> None:
    more = 0.2 * (walk.pelvis - walk.pelvis[0]) * [1.0, 1.0, 0.0]

    found = judge(walk, _moved(walk, lambda name, places: places + more))

    assert _faults(found) == {"path", "feet"}
    assert found.shape < 1e-9
    assert found.path == pytest.approx(float(np.sqrt(np.mean(np.sum(more**2, axis=1)))) / walk.leg)


def test_one_frame_that_is_thirty_degrees_off_is_found_and_named(walk: Body) -> None:
    turns = walk.rotations["elbow_r"].copy()
    turns[40] = turns[40] @ _rotated(0, 30.0)

    found = judge(walk, replace(walk, rotations={**walk.rotations, "elbow_r": turns}))

    assert _faults(found) == {"jump"}
    assert found.jump == pytest.approx(30.0, abs=5.0)
    assert found.jump_at in ("elbow_r 40", "elbow_r 41")


def test_a_turn_that_the_source_makes_too_is_no_jump(walk: Body) -> None:
    turns = walk.rotations["elbow_r"].copy()
    turns[40:] = turns[40:] @ _rotated(0, 90.0)
    spun = replace(walk, rotations={**walk.rotations, "elbow_r": turns})

    assert judge(spun, spun).jump < 1e-4
    assert judge(walk, spun).jump > 80.0


def test_a_body_that_heads_another_way_is_found(walk: Body) -> None:
    turn = _rotated(2, 15.0)
    turned = replace(
        _moved(walk, lambda name, places: places @ turn.T), rotations={name: turn @ m for name, m in walk.rotations.items()}
    )

    found = judge(walk, turned)

    assert {"limbs", "path"} <= _faults(found)
    assert found.foot_turn == pytest.approx(15.0, abs=2.0)


def test_a_torso_that_leans_is_found_and_one_that_is_built_so_is_not(walk: Body) -> None:
    def lean(places: Array, pelvis: Array) -> Array:
        across = walk.joints["hip_l"] - walk.joints["hip_r"] if places.ndim == 2 else walk.rest["hip_l"] - walk.rest["hip_r"]
        way, axis = places - pelvis, across / np.linalg.norm(across, axis=-1, keepdims=True)
        cos, sin = np.cos(np.radians(10.0)), np.sin(np.radians(10.0))
        along = np.sum(way * axis, axis=-1, keepdims=True) * axis
        return np.asarray(pelvis + way * cos + np.cross(axis, way) * sin + along * (1 - cos))

    leaning = replace(walk, joints={**walk.joints, "neck": lean(walk.joints["neck"], walk.pelvis)})
    rest_pelvis = 0.5 * (walk.rest["hip_l"] + walk.rest["hip_r"])
    built = replace(leaning, rest={**walk.rest, "neck": lean(walk.rest["neck"], rest_pelvis)})

    assert judge(walk, leaning).limbs["spine"] == pytest.approx(10.0, abs=1.0)
    assert judge(walk, built).limbs["spine"] < 0.2


def test_values_that_are_no_numbers_are_counted(walk: Body) -> None:
    broken = walk.joints["head"].copy()
    broken[3, 1] = np.nan

    assert judge(walk, replace(walk, joints={**walk.joints, "head": broken})).not_finite == 1


def test_clips_of_unlike_length_are_refused(walk: Body) -> None:
    short = _moved(walk, lambda name, places: places[:-1])

    with pytest.raises(ValueError, match="frames"):
        judge(walk, short)


def test_a_foot_that_trembles_between_the_thresholds_stands_once(walk: Body) -> None:
    still = np.tile(walk.joints["toe_l"][:1], (90, 1))
    still[:, 0] += np.cumsum(np.where((np.arange(90) // 3) % 2, 0.22, 0.05)) / walk.fps * walk.leg
    still[60:, 2] += 0.3
    standing = replace(
        walk, joints={name: still if name == "toe_l" else places[:1].repeat(90, 0) for name, places in walk.joints.items()}
    )

    assert len(judging.spans(judging.contacts(standing, "l"))) == 1


def test_the_walks_contacts_are_its_planned_steps(walk: Body) -> None:
    for side in SIDES:
        stands = judging.contacts(walk, side)
        assert 0.35 < stands.mean() < 0.75
        speed = np.linalg.norm(np.diff(walk.joints[f"toe_{side}"][:, :2], axis=0), axis=1) * walk.fps
        assert speed[stands[:-1] & stands[1:]].mean() < 0.1
        assert speed[~stands[:-1]].mean() > 1.0


def test_the_judges_reading_is_that_of_the_project_by_another_way(checkout: Path, walk: Body) -> None:
    motion = read_bvh(checkout / "examples" / "walk.bvh")
    _, places = world(motion)
    for joint, name in sources.SKELETONS["smpl"].names().items():
        if name.endswith("/end"):
            continue
        theirs = places[:, motion.skeleton.names.index(name)] * 0.01
        np.testing.assert_allclose(walk.joints[joint], np.stack([theirs[:, 0], -theirs[:, 2], theirs[:, 1]], 1), atol=1e-6)


def test_a_reading_known_by_hand(tmp_path: Path) -> None:
    """The root turns a quarter about Z and then about X; the channel's place replaces the root's offset or is added to it."""
    text = """HIERARCHY
ROOT a
{
  OFFSET 0 100 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT b
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 0 5
    }
  }
}
MOTION
Frames: 1
Frame Time: 0.5
1 2 3 90 90 0 0 0 0
"""
    path = tmp_path / "hand.bvh"
    path.write_text(text, encoding="utf-8")
    found = sources.parse(path)

    assert found.names == ["a", "b", "b/end"]
    assert found.frame_time == 0.5
    # Y goes to Z by the turn about X and stays there under the one about Z; Z goes to -Y and then to X. Then Y up becomes Z up.
    for moves, height in ((False, 0.02), (True, 1.02)):
        _, places = sources.places(found, root_moves=moves)
        np.testing.assert_allclose(places[0], [[0.01, -0.03, height], [0.01, -0.13, height], [0.06, -0.13, height]], atol=1e-12)
