# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model wrote becomes a clip in a child of this package, or an error with a code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motion_queue.backends.children import ChildPool
from motion_queue.backends.protocol import ChildKind
from motion_queue.backends.published.model import Which
from motion_queue.motion import kinematics, quat
from motion_queue.motion.bvh import read_bvh
from motion_queue.motion.features import Pose, encode_snapmogen
from motion_queue.motion.offsets import heading_change
from motion_queue.motion.quat import Array
from motion_queue.queue.errors import MotionQueueError
from motion_queue.tests.children.support import Context

from .bodies import Body, animated, as_24, encode_humanml3d, offsets_24

ENTRY = "backends.published.child:convert"


def test_features_become_a_clip(pool: ChildPool, tmp_path: Path) -> None:
    np.savez(tmp_path / "features.npz", features=encode_humanml3d(animated("spinning")))
    arguments = {"which": "momask", "features": str(tmp_path / "features.npz"), "target": str(tmp_path / "motion.bvh")}
    data = pool.run(ChildKind.PYTHON, ENTRY, arguments, Context())
    assert data == {"frames": 79, "fps": 20.0, "seconds": 3.95, "joints": 22}
    assert len(read_bvh(tmp_path / "motion.bvh")) == 79


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 but no archive", b"\x93NUMPY"])
def test_a_broken_file_of_features_is_told(pool: ChildPool, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "features.npz").write_bytes(content)
    arguments = {"which": "momask", "features": str(tmp_path / "features.npz"), "target": str(tmp_path / "motion.bvh")}
    with pytest.raises(MotionQueueError) as caught:
        pool.run(ChildKind.PYTHON, ENTRY, arguments, Context())
    assert caught.value.code == "published_output_unreadable"


def test_features_with_objects_in_them_are_not_unpickled(pool: ChildPool, tmp_path: Path) -> None:
    np.savez(tmp_path / "features.npz", features=np.array([{"a": 1}], dtype=object))
    arguments = {"which": "momask", "features": str(tmp_path / "features.npz"), "target": str(tmp_path / "motion.bvh")}
    with pytest.raises(MotionQueueError) as caught:
        pool.run(ChildKind.PYTHON, ENTRY, arguments, Context())
    assert caught.value.code == "published_output_unreadable"


def test_features_that_are_no_motion_are_told(pool: ChildPool, tmp_path: Path) -> None:
    np.savez(tmp_path / "features.npz", features=np.full((10, 263), np.nan))
    arguments = {"which": "momask", "features": str(tmp_path / "features.npz"), "target": str(tmp_path / "motion.bvh")}
    with pytest.raises(MotionQueueError) as caught:
        pool.run(ChildKind.PYTHON, ENTRY, arguments, Context())
    assert caught.value.code == "bad_features"


def converted(pool: ChildPool, tmp_path: Path, which: Which, body: Body, **asked: Any) -> tuple[Array, Array, float]:
    """World rotations and places (metres) of the clip that is made of a body's features, and its frame rate."""
    if which is Which.MOMASK:
        features, more = encode_humanml3d(body), {}
    else:
        features = encode_snapmogen(Pose(*as_24(body, offsets_24())))
        more = {"offsets": offsets_24().tolist()}
    np.savez(tmp_path / "features.npz", features=features)
    arguments = {"which": str(which), "features": str(tmp_path / "features.npz"), "target": str(tmp_path / "motion.bvh")}
    data = pool.run(ChildKind.PYTHON, ENTRY, {**arguments, **more, **asked}, Context())
    motion = read_bvh(tmp_path / "motion.bvh")
    assert (data["frames"], data["fps"]) == (len(motion), pytest.approx(motion.fps, rel=1e-3))
    rotations, positions = kinematics.world(motion)
    return rotations, positions / 100.0, motion.fps


WHICH = pytest.mark.parametrize("which", list(Which), ids=[w.name.lower() for w in Which])


@WHICH
def test_a_motion_faces_and_goes_where_it_is_asked_to(pool: ChildPool, tmp_path: Path, which: Which) -> None:
    rotations, places, _ = converted(pool, tmp_path, which, animated("standing"), edits={"heading": 90.0})
    assert np.degrees(heading_change(quat.IDENTITY, rotations[0, 0], 1)) == pytest.approx(90.0, abs=1.0)
    assert places[-1, 0] - places[0, 0] == pytest.approx([1.46, 0.0, 0.0], abs=0.1), "to its own front, which is +X now"


@WHICH
def test_a_motion_stays_in_place_or_goes_at_another_speed_or_rate(pool: ChildPool, tmp_path: Path, which: Which) -> None:
    _, places, fps = converted(pool, tmp_path, which, animated("standing"), edits={"in_place": True}, fps=24.0)
    assert np.abs(places[:, 0, [0, 2]] - places[0, 0, [0, 2]]).max() < 0.1 and round(fps) == 24
    _, places, fps = converted(pool, tmp_path, which, animated("standing"), edits={"speed": 0.8})
    way = np.linalg.norm(places[-1, 0] - places[0, 0])
    assert way / ((len(places) - 1) / fps) == pytest.approx(0.8, rel=0.1)


@WHICH
def test_a_loop_ends_where_it_begins(pool: ChildPool, tmp_path: Path, which: Which) -> None:
    _, places, _ = converted(pool, tmp_path, which, animated("standing"), edits={"loop": True, "in_place": True})
    steps = np.linalg.norm(np.diff(places, axis=0), axis=-1).max()
    assert np.linalg.norm(places[0] - places[-1], axis=-1).max() < 1.5 * steps, "the seam is no larger than a step in between"


@WHICH
def test_a_speed_for_a_motion_that_stays_where_it_is_is_told(pool: ChildPool, tmp_path: Path, which: Which) -> None:
    body = animated("standing")
    places = body.positions.copy()
    places[..., 2] -= body.positions[:, :1, 2]
    with pytest.raises(MotionQueueError) as caught:
        converted(pool, tmp_path, which, Body(body.rotations, places), edits={"speed": 1.0})
    assert caught.value.code == "bad_edit"
