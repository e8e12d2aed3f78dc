# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports go one way between the rooms, heavy modules stay where they belong, and the package loads without Blender."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Room → what it may import of the others. `app.py` and `finish.py` are a room of their own.
ALLOWED = {
    "queue": set[str](),
    "motion": set[str](),
    "persistence": {"queue"},
    "backends": {"queue", "motion"},
    "app": {"queue", "persistence", "backends"},
    "panels": {"app", "queue", "persistence", "backends", "motion"},
    "operators": {"app", "queue", "persistence", "backends", "motion", "panels"},
    "service": {"app", "queue", "persistence", "backends", "motion"},
    "scripts": {"app", "queue", "persistence", "backends", "motion", "operators", "service"},
}
STANDARD = set(sys.stdlib_module_names)
# Modules that only run inside a Blender; everybody else does not know bpy.
BPY_ROOMS = {"operators", "panels"}
BPY_FILES = {"child_blender.py", "child_loop.py", "compat.py", "driver.py", "freeze_meter.py", "window_inside.py"}


def sources() -> Iterator[tuple[str, Path]]:
    for room in ALLOWED:
        if room == "app":
            yield from (("app", ROOT / name) for name in ("app.py", "finish.py"))
        elif (ROOT / room).is_dir():
            yield from ((room, path) for path in sorted((ROOT / room).rglob("*.py")))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Absolute dotted names that a file imports; those of this package begin with `motion_queue.`"""
    package = ["motion_queue", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "motion_queue":
                yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield module, node.lineno


FILES = list(sources())


@pytest.mark.parametrize(("room", "path"), FILES, ids=[str(path.relative_to(ROOT)) for _, path in FILES])
def test_a_file_imports_only_what_its_room_may(room: str, path: Path) -> None:
    for name, line in imported(path):
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        top, *rest = name.split(".")
        if top == "motion_queue":
            other = "app" if rest[0] in ("app", "finish") else rest[0]
            assert other == room or other in ALLOWED[room], where
        elif room == "queue":
            assert top in STANDARD, where
        elif room == "motion":
            assert top in STANDARD or top == "numpy", where
        if top in ("bpy", "bmesh", "mathutils", "bpy_extras", "addon_utils"):
            child_side = room in ("backends", "scripts") and (path.name in BPY_FILES or not at_module_level(path, name))
            assert room in BPY_ROOMS or child_side, where


def at_module_level(path: Path, name: str) -> bool:
    """Whether importing the file imports `name`, type checking aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(
        (isinstance(node, ast.Import) and any(alias.name == name for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == name)
        for node in tree.body
    )


def test_the_rules_see_a_forbidden_import(tmp_path: Path) -> None:
    file = ROOT / "queue" / "engine.py"
    names = {name for name, _ in imported(file)}
    assert "motion_queue.queue.core" in names
    assert not any(name.startswith("motion_queue.persistence") for name in names)


def test_the_whole_application_loads_without_blender_and_without_importing_it() -> None:
    code = "import sys, motion_queue, motion_queue.app; assert 'bpy' not in sys.modules, 'bpy was imported'; print('loaded')"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "loaded", done.stderr
