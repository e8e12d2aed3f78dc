# SPDX-License-Identifier: GPL-3.0-or-later
"""The built zip, installed as a person installs it, in a Blender with a window."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from motion_queue.scripts import build
from motion_queue.scripts.window.harness import NEEDED, SHOTS_VARIABLE, VARIABLE, Screen, Window, install, module, runner

CI_VARIABLE = "MOTION_QUEUE_TEST_CI"

SESSION = module("operators.session")
READY = f"bool(package()) and not {SESSION}.why_not()"  # the queue is open
JOBS = f"{SESSION}.app().engine.query(limit=100).jobs"

# The queue's children work only while nobody else wants the processor, and where somebody always does they wait for ever: in a
# test they take part like everybody else. That they are modest otherwise is a test of its own.
HURRY = f"""
app = {SESSION}.app()
app.configure(__import__('dataclasses').replace(app.settings, low_priority=False))
"""

OpenWindow = Callable[..., Window]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure, show what Blender and the queue's children wrote, and the screen where pictures are kept."""
    report = yield
    if report.failed:
        for number, window in enumerate(Window.opened):
            report.sections += window.evidence()
            if os.environ.get(SHOTS_VARIABLE):
                window.shoot(f"failed-{item.name}-{number}")
    return report


@pytest.fixture(scope="session")
def prefix() -> tuple[str, ...]:
    found = runner()
    if found is None:
        why = f"a Blender with a window is not beside this checkout: {', '.join(NEEDED)} are needed, or a runner in {VARIABLE}"
        if os.environ.get(CI_VARIABLE):
            pytest.fail(why)
        pytest.skip(why)
    return found


@pytest.fixture(scope="session")
def screen(prefix: tuple[str, ...]) -> Iterator[Screen]:
    made = Screen(prefix)
    yield made
    made.close()


@pytest.fixture(scope="session")
def installed(prefix: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """User folders in which the zip is installed and switched on."""
    made = build.build(tmp_path_factory.mktemp("zip"), blender=None)
    home = tmp_path_factory.mktemp("home")
    install(prefix, made, home)
    return home


@pytest.fixture
def home(installed: Path, tmp_path: Path) -> Path:
    """A copy of them, for one test."""
    return shutil.copytree(installed, tmp_path / "home", symlinks=True)


def made_ready(window: Window) -> Window:
    """With the queue open, children that do not stand back, and the extension's tab in sight."""
    window.until(READY)
    window.run(HURRY)
    window.run("yield from show_tab('Motion Queue')")
    return window


@pytest.fixture
def open_window(prefix: tuple[str, ...], screen: Screen, home: Path) -> Iterator[OpenWindow]:
    """Start Blenders that share user folders; those that still run at the test's end are killed."""
    opened: list[Window] = []

    def start(*files: Path, **options: Any) -> Window:
        opened.append(Window(prefix, screen, home, *files, **options))
        return opened[-1]

    yield start
    for window in opened:
        window.__exit__(None, None, None)


@pytest.fixture
def window(open_window: OpenWindow) -> Window:
    """A Blender with the extension's tab open, and the queue ready."""
    return made_ready(open_window())
