# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue's Python threads and Blender's operators do not get in each other's way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("bpy")

# Threads that never rest, as no thread of the queue is, make what is rare there happen within a second.
BUSY = """
import os, sys, threading, time
import bpy
from motion_queue.backends.character import mannequin

def busy():
    while True:
        made = {str(i): [i] for i in range(1000)}

bpy.ops.wm.read_factory_settings(use_empty=True)
for _ in range(3):
    threading.Thread(target=busy, daemon=True).start()
sys.setswitchinterval(1e-5)
for _ in range(100):
    armature = mannequin._armature(bpy.context.scene)
    assert len(armature.data.bones) > 10 and armature.mode == "OBJECT"
    bpy.data.armatures.remove(armature.data)
print("whole", flush=True)
os._exit(0)
"""


def test_a_character_is_built_while_other_threads_run_python(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-X", "faulthandler", "-c", BUSY], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "whole" in done.stdout, done.stderr[-2000:]


def test_no_operator_of_the_window_is_run_under_an_override(checkout: Path) -> None:
    """Up to Python 3.11 Blender reads the override without Python's lock while an operator runs: see `mannequin`."""
    used = {
        str(path.relative_to(checkout))
        for folder in ("operators", "panels", "backends")
        for path in (checkout / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "temp_override"
    }
    assert used == {"backends/character/mannequin.py"}, "there only where a timer of a window builds it"
