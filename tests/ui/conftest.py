# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension in a real Blender module, on a fresh state folder, its timer ticked by hand: the module has no window."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from fault.mounts import Mount

LIMIT = 240.0  # seconds: only against hanging; children get only the time that others leave


class Interface:
    """What a test asks of the interface."""

    def __init__(self) -> None:
        import bpy  # noqa: PLC0415 (tests without Blender pass by)

        from motion_queue.operators import session  # noqa: PLC0415 (tests without Blender pass by)
        from motion_queue.panels import snapshot  # noqa: PLC0415 (tests without Blender pass by)

        self.bpy: Any = bpy
        self.session = session
        self._snapshot = snapshot

    @property
    def now(self) -> Any:
        return self._snapshot.current()

    @property
    def shown(self) -> Any:
        return self.bpy.context.window_manager.motion_queue.jobs

    @property
    def shot(self) -> Any:
        return self.bpy.context.window_manager.motion_queue.shot

    @property
    def engine(self) -> Any:
        return self.session.app().engine

    def run(self, name: str, /, **arguments: Any) -> set[str]:
        """An operator of ours."""
        result: set[str] = getattr(self.bpy.ops.motion_queue, name)(**arguments)
        return result

    def tick(self) -> float:
        """As the timer does; an exception that a tick swallows fails the test."""
        return self.session._tick()

    def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """Tick until something holds; what it returned."""
        deadline = time.monotonic() + LIMIT
        while True:
            wait = self.tick()
            if found := condition():
                return found
            assert time.monotonic() < deadline, f"{what or condition} did not come: {self.now}"
            time.sleep(min(wait, 0.05))

    def submit(self, **arguments: Any) -> str:
        """Queue one shot by the operator; its id once it is in the list."""
        before = {row.id for row in self.now.jobs.rows()}
        assert self.run("submit", **arguments) == {"FINISHED"}
        found = self.until(lambda: {row.id for row in self.now.jobs.rows()} - before, "the job in the list")
        return str(next(iter(found)))

    def over(self, job_id: str) -> Any:
        """Its row once the job is over."""

        def row() -> Any:
            found = self.now.jobs.get(job_id)
            return found if found is not None and found.over else None

        return self.until(row, f"the end of {job_id}")

    def entries(self) -> list[Any]:
        return [self.now.jobs.entry(i) for i in range(len(self.now.jobs))]


def our_threads() -> list[str]:
    """Threads besides the main one, once those are gone that only end something: a killed process that the system takes down, an
    engine that opens or closes, or the last task of the worker. Blender waits two seconds at most for these."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and thread.name.startswith(
            ("blender-", "python-", "motion-queue-open", "motion-queue-close", "motion-queue-prepare")
        ):
            thread.join(LIMIT)
    return [t.name for t in threading.enumerate() if t is not threading.main_thread()]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("MOTION_QUEUE_STATE", str(folder))
    return folder


@pytest.fixture
def preferences() -> Iterator[Any]:
    """Blender's preferences of the package, as an add-on that is switched on has them. Call it once the classes are there."""
    import bpy  # noqa: PLC0415 (tests without Blender pass by)

    # Before the add-on is there, since it frees all preferences; the file of the test before carries that one's jobs.
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addons: Any = cast("Any", bpy.context.preferences).addons
    addon = addons.new()
    addon.module = "motion_queue"
    yield lambda: addon.preferences
    addons.remove(addon)


@pytest.fixture
def ui(state: Path) -> Iterator[Interface]:
    """Open and ready; an empty file."""
    import bpy  # noqa: PLC0415 (tests without Blender pass by)

    bpy.ops.wm.read_factory_settings(use_empty=True)
    found = Interface()
    found.session.start()
    yield found
    found.session.unregister()
    assert our_threads() == []


@pytest.fixture
def held(ui: Interface) -> Interface:
    """With a queue that starts nothing."""
    assert ui.run("pause_queue") == {"FINISHED"}
    return ui


@pytest.fixture
def small(mount: Mount, tmp_path: Path) -> Path:
    """A disk with hardly any room."""
    folder: Path = mount(tmp_path / "small", megabytes=4)
    return folder
