# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole program on a fresh state folder, and files made by a Blender of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from motion_queue.app import App, Settings
from motion_queue.queue import Job

LIMIT = 300.0  # seconds: only against hanging

RunJob = Callable[..., Job]
InBlender = Callable[[str], str]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with App.open(Settings(state_dir=tmp_path_factory.mktemp("state"))) as opened:
        yield opened


@pytest.fixture
def run_job(app: App) -> RunJob:
    """Submit one clip with options and inputs; the job once it is over."""

    def run(clip: Path, options: dict[str, object], **files: Path) -> Job:
        spec = app.clip_job(clip, {"resolution": [96, 64], **options}, files=files)
        app.engine.submit(spec)
        return app.engine.wait(spec.id, LIMIT)

    return run


@pytest.fixture(scope="session")
def in_blender() -> InBlender:
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
def control_rig(in_blender: InBlender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a rig that Rigify generated, made in a process of its own as the rigs that children get are."""
    path = tmp_path_factory.mktemp("rigify") / "rig.blend"
    in_blender(f"""
from pathlib import Path
from motion_queue.scripts.bench.retarget_eval import rigs
bpy.ops.wm.read_factory_settings(use_empty=True)
rigs.build("rigify", Path({str(path)!r}))
""")
    return path


@pytest.fixture(scope="session")
def walk(checkout: Path) -> Path:
    """The project's own sample clip."""
    return checkout / "examples" / "walk.bvh"
