# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever skeleton and motion is written to BVH reads back the same, to a millionth."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_queue.motion import quat
from motion_queue.motion.bvh import read_bvh, write_bvh
from motion_queue.motion.skeleton import Motion, Skeleton

ORDERS = ["".join(order) for order in itertools.permutations("xyz")]
POSITIONS = ["", "Y", "XYZ", "ZXY", "XZ"]
NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, blacklist_characters="{}\x7f\x85\xa0"), min_size=1, max_size=8
)
QUARTERS = st.sampled_from([-180.0, -90.0, 0.0, 90.0, 180.0])  # where two of three axes fall together
ANGLES = st.one_of(QUARTERS, st.floats(-720, 720), st.floats(-90 - 1e-6, -90 + 1e-6), st.floats(90 - 1e-6, 90 + 1e-6))
LENGTHS = st.floats(-1000, 1000)


@st.composite
def motions(draw: st.DrawFn) -> Motion:
    joints = draw(st.integers(1, 8))
    parents = [-1, *(draw(st.integers(-1, i - 1)) for i in range(1, joints))]
    channels = tuple(draw(st.sampled_from(POSITIONS)) + draw(st.sampled_from(ORDERS)) for _ in range(joints))
    channels = tuple(c[::-1] if draw(st.booleans()) else c for c in channels)
    offsets = np.array([[draw(LENGTHS) for _ in range(3)] for _ in range(joints)])
    frames = draw(st.integers(0, 4))
    angles = np.array([[[draw(ANGLES) for _ in range(3)] for _ in range(joints)] for _ in range(frames)]).reshape(
        frames, joints, 3
    )
    rotations = quat.from_euler(np.radians(angles), draw(st.sampled_from(ORDERS)))
    positions = np.tile(offsets, (frames, 1, 1))
    for j, code in enumerate(channels):
        for c in code:
            if c.isupper():
                positions[:, j, "XYZ".index(c)] = [draw(LENGTHS) for _ in range(frames)]
    ends = draw(st.lists(st.integers(0, joints - 1), max_size=3).map(sorted))
    return Motion(
        skeleton=Skeleton(
            names=tuple(draw(NAMES) for _ in range(joints)),
            parents=np.array(parents),
            offsets=offsets,
            channels=channels,
            end_parents=np.array(ends, dtype=np.int64),
            end_offsets=np.array([[draw(LENGTHS) for _ in range(3)] for _ in ends]).reshape(-1, 3),
        ),
        rotations=rotations,
        positions=positions,
        frame_time=draw(st.floats(1e-4, 10.0)),
    )


def depth_first(parents: np.ndarray) -> list[int]:
    children: dict[int, list[int]] = {}
    for joint, parent in enumerate(parents):
        children.setdefault(int(parent), []).append(joint)

    def below(joint: int) -> list[int]:
        return [joint, *(j for child in children.get(joint, []) for j in below(child))]

    return [j for root in children[-1] for j in below(root)]


@settings(max_examples=300, deadline=None)
@given(motions())
def test_write_then_read_is_exact_to_a_millionth(motion: Motion) -> None:
    back = read_bvh(write_bvh(motion))
    order = depth_first(motion.skeleton.parents)
    ours, theirs = motion.skeleton, back.skeleton
    assert theirs.names == tuple(ours.names[j] for j in order)
    assert theirs.channels == tuple(ours.channels[j] for j in order)
    assert [order[p] if p >= 0 else -1 for p in theirs.parents] == [ours.parents[j] for j in order]
    assert sorted(order[p] for p in theirs.end_parents) == sorted(ours.end_parents)
    assert np.abs(theirs.offsets - ours.offsets[order]).max() <= 1e-6
    assert np.abs(np.sort(theirs.end_offsets, axis=0) - np.sort(ours.end_offsets, axis=0)).max(initial=0.0) <= 1e-6
    assert abs(back.frame_time / motion.frame_time - 1.0) <= 1e-6
    assert len(back) == len(motion)
    assert back.notes == ()
    assert np.abs(back.positions - motion.positions[:, order]).max(initial=0.0) <= 1e-6
    assert quat.angle(back.rotations, motion.rotations[:, order]).max(initial=0.0) <= 1e-6


@settings(max_examples=50, deadline=None)
@given(motions())
def test_what_was_read_writes_the_same_skeleton_again(motion: Motion) -> None:
    once = write_bvh(read_bvh(write_bvh(motion)))
    back = read_bvh(once)
    assert quat.angle(back.rotations, read_bvh(write_bvh(back)).rotations).max(initial=0.0) <= 1e-6
    assert once.split(b"MOTION")[0] == write_bvh(back).split(b"MOTION")[0]
