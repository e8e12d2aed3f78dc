# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole program on state folders of its own, and what the tests break it with: files and Blenders."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from motion_queue.app import App, Settings

from .support import LIMIT

OpenApp = Callable[..., App]


@pytest.fixture
def open_app(tmp_path: Path) -> Iterator[OpenApp]:
    """A program on a state folder of this test, with other settings as given; closed at the end."""
    opened: list[App] = []

    def make(**settings: Any) -> App:
        opened.append(App.open(Settings(**{"state_dir": tmp_path / "state", **settings})))
        return opened[-1]

    yield make
    for app in opened:
        app.close()


@pytest.fixture(scope="session")
def in_blender() -> Callable[[str], str]:
    """Run a script in a fresh Blender module; what it printed. A script that raises fails the test."""

    def run(script: str) -> str:
        wrapped = (
            "import os, sys, traceback\nimport bpy\n"
            f"try:\n    exec({script!r}, {{'bpy': bpy}})\nexcept BaseException:\n"
            "    traceback.print_exc()\n    sys.stderr.flush()\n    os._exit(1)\n"
            "sys.stdout.flush()\nos._exit(0)\n"
        )
        done = subprocess.run([sys.executable, "-P", "-c", wrapped], capture_output=True, text=True, timeout=LIMIT, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def walk(checkout: Path) -> Path:
    """The project's own sample clip."""
    return checkout / "examples" / "walk.bvh"


@pytest.fixture(autouse=True)
def _needs_blender() -> None:
    pytest.importorskip("bpy", reason="this environment has no bpy")
