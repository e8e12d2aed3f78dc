# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model wrote becomes a clip in a child of this package, or an error with a code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from motion_queue.backends.children import ChildPool
from motion_queue.backends.protocol import ChildKind
from motion_queue.motion.bvh import read_bvh
from motion_queue.queue.errors import MotionQueueError
from motion_queue.tests.children.support import Context

from .bodies import animated, encode_humanml3d

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
