# SPDX-License-Identifier: GPL-3.0-or-later
"""The built zip, installed as a person installs it, in a Blender with a window."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from motion_queue.scripts import build

from .harness import LIMIT, NEEDED, VARIABLE, Screen, Window, module, runner, user_environment

CI_VARIABLE = "MOTION_QUEUE_TEST_CI"

SESSION = module("operators.session")
READY = f"bool(package()) and not {SESSION}.why_not()"  # the queue is open
JOBS = f"{SESSION}.app().engine.query(limit=100).jobs"

OpenWindow = Callable[..., Window]


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
    command = [*prefix, "blender", "--command", "extension", "install-file", "--repo", "user_default", "--enable", str(made)]
    done = subprocess.run(command, env=user_environment(home), capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Compiled once, and not again by each test's Blender.
    code = f"import compileall; compileall.compile_dir({str(home / 'extensions')!r}, quiet=1)"
    subprocess.run([*prefix, "blender", "-b", "--python-expr", code], env=user_environment(home), timeout=LIMIT, check=True)
    return home


@pytest.fixture
def home(installed: Path, tmp_path: Path) -> Path:
    """A copy of them, for one test."""
    return shutil.copytree(installed, tmp_path / "home", symlinks=True)


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
    made = open_window()
    made.until(READY)
    made.run("yield from show_tab('Motion Queue')")
    return made
