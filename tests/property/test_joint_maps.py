# SPDX-License-Identifier: GPL-3.0-or-later
"""However a body is turned, scaled, mirrored, posed and hung with other bones: left and right are never exchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motion_queue.motion import quat
from motion_queue.motion.errors import MotionError
from motion_queue.motion.humanoid import JointMap, find_joints
from motion_queue.scripts.bench.map_rigs import EXTRAS, FAMILIES, POSES, MapRig, build, reordered, scrambled
from motion_queue.scripts.bench.retarget_map import compare, swapped

rigs = st.builds(
    build,
    st.sampled_from(FAMILIES),
    st.sampled_from(POSES),
    legs=st.floats(0.6, 1.3),
    arms=st.floats(0.7, 1.3),
    extras=st.lists(st.sampled_from(EXTRAS), unique=True, max_size=4),
)
turns = st.lists(st.floats(-1.0, 1.0), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1)
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def find(rig: MapRig) -> JointMap:
    return find_joints(rig.names, rig.parents, rig.heads, rig.tails)


def placed(rig: MapRig, turn: list[float], scale: float, shift: float) -> MapRig:
    turned = quat.normalize(np.array(turn))
    heads, tails = (scale * quat.rotate(turned, points) + shift for points in (rig.heads, rig.tails))
    return replace(rig, heads=heads, tails=tails)


@many
@given(rigs, turns, st.floats(0.01, 200.0), st.floats(-50.0, 50.0), st.integers(0, 10**6))
def test_a_named_body_is_mapped_right_wherever_it_stands(
    rig: MapRig, turn: list[float], scale: float, shift: float, seed: int
) -> None:
    rig = placed(reordered(rig, seed), turn, scale, shift)
    assert compare(rig, find(rig)) == (len(rig.core()), "")


@many
@given(rigs, turns, st.floats(0.01, 200.0), st.booleans(), st.integers(0, 10**6))
def test_a_nameless_body_never_has_its_sides_exchanged(
    rig: MapRig, turn: list[float], scale: float, mirror: bool, seed: int
) -> None:
    rig = placed(scrambled(rig, seed), turn, scale, 0.0)
    if mirror:
        rig = reflected(rig)
    try:
        found = find(rig)
    except MotionError as error:
        assert error.code == "unknown_skeleton"
        return
    assert not swapped(rig, found)
    right, _ = compare(rig, found)
    assert right >= 0.55 * len(rig.core()), "wings, by shape alone, are arms to some"


@many
@given(rigs, turns, st.integers(0, 10**6))
def test_a_mirrored_body_with_names_is_read_one_way_or_the_other_but_never_mixed(
    rig: MapRig, turn: list[float], seed: int
) -> None:
    rig = placed(reordered(rig, seed), turn, 1.0, 0.0)
    found = find(reflected(rig))
    other = reflected(rig)
    straight = compare(rig, found)[0] == len(rig.core())
    crossed = compare(other, found)[0] == len(rig.core())
    assert straight or crossed


@many
@given(rigs, st.integers(0, 2**32 - 1), st.floats(0.0, 0.5))
def test_a_named_body_is_mapped_right_in_any_pose(rig: MapRig, seed: int, amount: float) -> None:
    rig = posed(rig, seed, amount)
    found = find(rig)
    assert not swapped(rig, found)
    assert compare(rig, found) == (len(rig.core()), "")


@many
@given(rigs, st.integers(0, 2**32 - 1), st.integers(0, 10**6))
def test_a_nameless_body_in_an_odd_pose_keeps_its_sides(rig: MapRig, seed: int, order: int) -> None:
    rig = scrambled(posed(rig, seed, 0.25), order)
    try:
        found = find(rig)
    except MotionError as error:
        assert error.code == "unknown_skeleton"
        return
    assert not swapped(rig, found)


def reflected(rig: MapRig) -> MapRig:
    """Seen in a mirror: what was left is right now, in the truth too."""
    flip = np.array([-1.0, 1.0, 1.0])

    def other(name: str) -> str:
        return {"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:]

    joints = {other(name): joint for name, joint in rig.joints.items()}
    return replace(rig, heads=rig.heads * flip, tails=rig.tails * flip, joints=joints)


def posed(rig: MapRig, seed: int, amount: float) -> MapRig:
    """Every bone turned about its head by up to so many radians, but twist bones, which go with their limb."""
    twists = {joint for chain in rig.twists.values() for joint in chain}
    rng = np.random.default_rng(seed)
    heads, tails = rig.heads.copy(), rig.tails.copy()
    world = np.tile(quat.IDENTITY, (len(rig.names), 1))
    for bone, parent in enumerate(rig.parents):
        if parent >= 0:
            heads[bone] = heads[parent] + quat.rotate(world[parent], rig.heads[bone] - rig.heads[parent])
            world[bone] = world[parent]
        axis = quat.normalize(rng.normal(size=3))
        if bone not in twists:
            world[bone] = quat.mul(quat.from_axis_angle(axis, rng.uniform(0.0, amount)), world[bone])
        tails[bone] = heads[bone] + quat.rotate(world[bone], rig.tails[bone] - rig.heads[bone])
    return replace(rig, heads=heads, tails=tails)
