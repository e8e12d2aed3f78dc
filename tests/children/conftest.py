# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools for the tests of the children: every test ends with none of its processes left."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from motion_queue.backends.blender_find import ENVIRONMENT_VARIABLE, BlenderCommand, find_blender
from motion_queue.backends.children import ChildPool, ChildSettings

from .support import own_descendants, wait_gone

MakePool = Callable[..., ChildPool]


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    """A pool with short graces; other settings as given. Closed at the end, and everything it started must be gone."""
    before = set(own_descendants())
    pools: list[ChildPool] = []

    def make(**settings: Any) -> ChildPool:
        values: dict[str, Any] = {"stop_grace": 0.3, "terminate_grace": 0.3, **settings}
        pools.append(ChildPool(ChildSettings(**values)))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close(10.0)
    left = set(own_descendants()) - before
    wait_gone([pid for pid in left if pid != os.getpid()])


@pytest.fixture(scope="session")
def blender() -> BlenderCommand:
    """The Blender these tests run with: MOTION_QUEUE_BLENDER, or the bpy module of this Python."""
    if not os.environ.get(ENVIRONMENT_VARIABLE) and importlib.util.find_spec("bpy") is None:
        pytest.skip("neither MOTION_QUEUE_BLENDER nor the bpy module is here")
    return find_blender()
