# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever bytes the reader is given, a clip comes out or a documented error, never anything else."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from motion_queue.motion.bvh import read_bvh
from motion_queue.motion.errors import MotionError
from motion_queue.scripts.bench.bvh import fuzz_seeds, mutate

CODES = {
    "bvh_empty", "bvh_binary", "bvh_too_large", "bvh_hierarchy", "bvh_truncated", "bvh_channels", "bvh_header", "bvh_values",
    "bvh_not_finite",
}  # fmt: skip


def read_or_refuse(data: bytes) -> None:
    try:
        motion = read_bvh(data)
    except MotionError as error:
        assert error.code in CODES
        assert error.message.endswith((".", ")"))
    else:
        assert np.isfinite(motion.rotations).all()
        assert np.isfinite(motion.positions).all()
        assert motion.rotations.shape == (len(motion), len(motion.skeleton), 4)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(fuzz_seeds()), st.integers(0, 2**32))
def test_a_damaged_file_is_read_or_refused(data: bytes, seed: int) -> None:
    read_or_refuse(mutate(random.Random(seed), data))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=400))
@example(b"\xff\xfe")
@example(b"HIERARCHY")
@example(b"MOTION")
@example(b"HIERARCHY\nMOTION\nFrames: 1\nFrame Time: 1\n")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refuse(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(fuzz_seeds()), st.data())
def test_a_file_cut_anywhere_is_read_or_refused(data: bytes, draw: st.DataObject) -> None:
    read_or_refuse(data[: draw.draw(st.integers(0, len(data)))])
