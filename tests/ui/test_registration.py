# SPDX-License-Identifier: GPL-3.0-or-later
"""Switching the extension on and off leaves nothing behind, however often, and with work under way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from motion_queue.backends import process_tree  # noqa: E402
from motion_queue.operators import registration, session  # noqa: E402

from .conftest import Interface, our_threads  # noqa: E402


def traces() -> dict[str, Any]:
    """What a Blender knows of its add-ons."""
    return {
        "classes": sorted(name for name in dir(bpy.types) if name.startswith("MOTION_QUEUE")),
        "operators": sorted(dir(bpy.ops.motion_queue)),
        "handlers": {
            name: len(handlers) for name in dir(bpy.app.handlers) if isinstance(handlers := getattr(bpy.app.handlers, name), list)
        },
        "timer": bpy.app.timers.is_registered(session.tick),
        "properties": hasattr(bpy.types.WindowManager, "motion_queue"),
        "menu": len(bpy.types.TOPBAR_MT_render._dyn_ui_initialize()),
        "threads": our_threads(),
    }


def children() -> list[int]:
    return [each.pid for each in process_tree.descendants(os.getpid())]


def test_every_class_is_known_while_the_extension_is_on_and_none_afterwards(state: Path) -> None:
    without = traces()
    session.show()
    with_it = traces()
    assert set(with_it["classes"]) >= {
        each.__name__ for each in registration.classes() if issubclass(each, bpy.types.Operator | bpy.types.Panel)
    }
    assert with_it["timer"] and with_it["properties"]
    assert all(getattr(each, "is_registered") for each in registration.classes())  # noqa: B009 (no type has it)
    session.unregister()
    assert traces() == without
    assert not state.exists(), "classes alone need no queue"


def test_switched_on_in_the_background_it_does_nothing(state: Path) -> None:
    without = traces()
    session.register()
    assert traces() == without and not state.exists()
    session.unregister()


def test_a_hundred_times_on_and_off_with_jobs_at_work_leaves_nothing(state: Path) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    without, ui, submitted = traces(), Interface(), list[str]()
    for round_ in range(100):
        if round_ % 10:
            session.show()
            session.start_soon()  # ended while it is still opening, or just open
        else:
            session.start()
            # A fast machine may be done with what the rounds before began: each has work of its own.
            submitted.append(
                ui.submit(prompt="a person walks forward", character="BUILTIN", deliver=False, seconds=6, seed=round_)
            )
            ui.until(lambda: ui.now.counts.running or ui.now.jobs.get(submitted[-1]).over)
            assert ui.now.counts.failed + ui.now.counts.cancelled == 0
        session.unregister()
        assert traces() == without, f"after {round_ + 1} times"
    assert children() == []
    session.start()
    try:
        assert {row.id for row in ui.now.jobs.rows()} == set(submitted), "no job was lost"
        assert ui.now.counts.unfinished + ui.now.counts.completed == len(submitted)
    finally:
        session.unregister()


def test_a_child_of_the_queue_has_no_interface(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setenv(session.CHILD_VARIABLE, "1")
    without = traces()
    session.register()
    assert traces() == without
    with pytest.raises(Exception, match="child_is_inert"):
        session.start()
    assert traces() == without


def test_a_state_folder_that_cannot_be_had_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("MOTION_QUEUE_STATE", str(blocked))
    ui = Interface()
    try:
        with pytest.raises(Exception, match="Not a directory"):
            session.start()
        assert ui.now.phase == "failed" and str(blocked) in ui.now.problem
        assert not bpy.ops.motion_queue.submit.poll()
        blocked.unlink()
        assert ui.run("restart") == {"FINISHED"}
        ui.until(lambda: ui.now.phase == "ready")
        assert bpy.ops.motion_queue.submit.poll()
    finally:
        session.unregister()


def test_opening_is_under_way_until_it_is_over(state: Path) -> None:
    ui = Interface()
    try:
        session.start_soon()
        assert ui.now.phase == "starting" and session.why_not() == "The queue is starting."
        assert not bpy.ops.motion_queue.submit.poll()
        ui.until(lambda: ui.now.phase == "ready")
    finally:
        session.unregister()
