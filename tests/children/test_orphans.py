# SPDX-License-Identifier: GPL-3.0-or-later
"""Children, and what they started, die with their parent, whatever kills it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from motion_queue.backends.blender_find import BlenderCommand

from .support import ENTRIES, alive, wait_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")

_PARENT = """
import importlib.util, json, sys
here, kind, entry, arguments, blender = sys.argv[1:]
spec = importlib.util.spec_from_file_location("support", here + "/support.py")
support = importlib.util.module_from_spec(spec)
spec.loader.exec_module(support)
from motion_queue.backends.blender_find import BlenderCommand
from motion_queue.backends.children import ChildKind, ChildPool, ChildSettings

class Speaking(support.Context):
    def log(self, level, message):
        sys.stdout.write(message + "\\n")  # in one piece: both reader threads come here
        sys.stdout.flush()

chosen = json.loads(blender)
command = BlenderCommand(**{**chosen, "version": tuple(chosen["version"])}) if chosen else None
settings = ChildSettings(blender=command, heartbeat=0.1, heartbeat_timeout=3.0)
ChildPool(settings).run(ChildKind(kind), entry, json.loads(arguments), Speaking())
"""


StartParent = Callable[[str, str, str, str], tuple[subprocess.Popen[str], list[int]]]


@pytest.fixture
def start_parent() -> Iterator[StartParent]:
    """Start a process that runs one job in a child; gives it and the pids the job says it consists of."""
    parents: list[subprocess.Popen[str]] = []

    def start(kind: str, entry: str, arguments: str, blender: str) -> tuple[subprocess.Popen[str], list[int]]:
        command = [
            sys.executable,
            "-P",
            "-c",
            _PARENT,
            str(Path(__file__).parent),
            kind,
            f"{ENTRIES}:{entry}",
            arguments,
            blender,
        ]
        parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        parents.append(parent)
        assert parent.stdout is not None
        said: list[str] = []
        for line in parent.stdout:
            said.append(line)
            if line.startswith("pids"):
                return parent, [int(pid) for pid in line.split()[1:]]
        raise AssertionError(f"the parent ended early: {said}")

    yield start
    for parent in parents:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_python_children_and_theirs_die_when_the_parent_is_killed(start_parent: StartParent, number: int) -> None:
    parent, pids = start_parent("python", "ignore_everything", "{}", "{}")
    assert len(pids) == 5
    assert all(alive(pid) for pid in pids)
    os.kill(parent.pid, number)
    parent.wait()
    wait_gone(pids)


def test_a_child_whose_interpreter_is_held_dies_too(start_parent: StartParent) -> None:
    parent, pids = start_parent("python", "hold_the_interpreter", "{}", "{}")
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_gone(pids)


def test_a_blender_in_the_middle_of_a_render_and_its_children_die_when_the_parent_is_killed(
    start_parent: StartParent, blender: BlenderCommand, tmp_path: Path
) -> None:
    command = json.dumps({"binary": blender.binary, "python": blender.python, "version": blender.version})
    parent, pids = start_parent("blender", "render_slowly", json.dumps({"out": str(tmp_path / "a.png")}), command)
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_gone(pids)
    assert not (tmp_path / "a.png").exists()
