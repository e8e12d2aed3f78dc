# SPDX-License-Identifier: GPL-3.0-or-later
"""Warm Blenders: clean for every job, stopped and killed like any child, never mixed with ones of another flavour."""

from __future__ import annotations

from pathlib import Path

import pytest

from motion_queue.backends.blender_find import BlenderCommand
from motion_queue.backends.protocol import ChildKind
from motion_queue.queue.errors import MotionQueueError, StepStopped

from .conftest import MakePool
from .support import ENTRIES, Call, Context, wait_gone

BLENDER = ChildKind.BLENDER


def test_a_warm_blender_is_clean_for_every_job(make_pool: MakePool, blender: BlenderCommand) -> None:
    pool = make_pool(blender=blender)
    found = [pool.run(BLENDER, f"{ENTRIES}:dirty_blender", {}, Context()) for _ in range(3)]
    assert found[0] == found[1] == found[2]
    assert found[0]["objects"] == 0
    assert found[0]["handlers"] == 0
    assert found[0]["unit"] == 32
    assert found[0]["background"]
    assert not found[0]["auto_run"]
    assert tuple(found[0]["version"]) >= (4, 2, 0)
    assert pool.stats().started == 1


def test_blenders_with_and_without_user_preferences_are_not_mixed(make_pool: MakePool, blender: BlenderCommand) -> None:
    pool = make_pool(blender=blender)
    factory = pool.run(BLENDER, f"{ENTRIES}:dirty_blender", {}, Context())["pid"]
    own = [pool.run(BLENDER, f"{ENTRIES}:dirty_blender", {}, Context(), user_preferences=True) for _ in range(2)]
    assert own[0] == own[1]
    assert own[0]["pid"] != factory


def test_a_module_that_cannot_read_preferences_says_that_it_works_without(make_pool: MakePool, blender: BlenderCommand) -> None:
    contexts = [Context(), Context()]
    pool = make_pool(blender=blender)
    for context in contexts:
        pool.run(BLENDER, f"{ENTRIES}:dirty_blender", {}, context, user_preferences=True)
    without = blender.is_module and blender.version < (4, 5, 0)
    for context in contexts:
        warnings = [message for level, message in context.lines if level == "warning"]
        assert bool(warnings) == without
        assert not without or "installed Blender" in warnings[0]


def test_a_render_that_hears_nothing_is_killed_with_what_it_started(
    make_pool: MakePool, blender: BlenderCommand, tmp_path: Path
) -> None:
    pool = make_pool(blender=blender)
    context = Context()
    call = Call(lambda: pool.run(BLENDER, f"{ENTRIES}:render_slowly", {"out": str(tmp_path / "a.png")}, context))
    pids = [int(pid) for pid in context.wait_line("pids").split()[1:]]
    context.stop()
    with pytest.raises(StepStopped):
        call.result()
    wait_gone(pids)
    assert pool.run(BLENDER, f"{ENTRIES}:dirty_blender", {}, Context())["objects"] == 0


def test_a_blender_that_crashes_is_an_error_and_the_next_job_goes_on(make_pool: MakePool, blender: BlenderCommand) -> None:
    pool = make_pool(blender=blender)
    with pytest.raises(MotionQueueError) as caught:
        pool.run(BLENDER, f"{ENTRIES}:crash", {}, context := Context())
    assert caught.value.code == "child_crashed"
    assert "SIGSEGV" in caught.value.message
    assert "last words" in context.text()
    assert pool.run(BLENDER, f"{ENTRIES}:dirty_blender", {}, Context())["objects"] == 0


def test_the_thread_budget_is_shared_and_told_to_the_job(make_pool: MakePool, blender: BlenderCommand) -> None:
    pool = make_pool(blender=blender, blender_threads=6, blender_slots=3, low_priority=True)
    result = pool.run(BLENDER, f"{ENTRIES}:priority", {}, Context())
    assert result == {"idle": True, "threads": 2}
