# SPDX-License-Identifier: GPL-3.0-or-later
"""Set-up on first use: which environments count as made, what each command needs, and what a Python that does not fit is told."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from motion_queue.scripts import bootstrap

INTERPRETER, TESTS = "lock-py311.txt", "lock-test.txt"


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment as set-up leaves it, with locks of its own that the test may change."""
    locks = tmp_path / "requirements"
    locks.mkdir()
    for name in (bootstrap.BASE_LOCK, INTERPRETER, TESTS):
        (locks / name).write_text(f"# {name}\n", encoding="utf-8")
    monkeypatch.setattr(bootstrap, "REQUIREMENTS", locks)
    folder = tmp_path / "venv"
    python = bootstrap.venv_python(folder)
    python.parent.mkdir(parents=True)
    python.touch()
    bootstrap._write_stamp(folder, [INTERPRETER, TESTS])
    return folder


def test_an_environment_with_its_stamp_lacks_nothing_and_is_used_as_it_is(venv: Path) -> None:
    before = sorted(venv.rglob("*"))
    assert bootstrap.prepare(venv, [INTERPRETER, TESTS]) == bootstrap.venv_python(venv)
    assert sorted(venv.rglob("*")) == before


def test_a_further_lock_is_added_and_the_base_lock_is_part_of_every_interpreters(venv: Path) -> None:
    bootstrap._write_stamp(venv, [INTERPRETER])
    assert bootstrap._missing_locks(venv, [INTERPRETER, TESTS]) == [TESTS]
    assert bootstrap._missing_locks(venv, [bootstrap.BASE_LOCK]) == []
    bootstrap._write_stamp(venv, [bootstrap.BASE_LOCK])
    assert bootstrap._missing_locks(venv, [INTERPRETER]) == [INTERPRETER]


@pytest.mark.parametrize("harm", ["no stamp", "half a stamp", "not a stamp", "no Python", "moved", "another lock", "lock gone"])
def test_an_environment_that_is_half_made_or_made_for_something_else_is_made_anew(venv: Path, harm: str) -> None:
    stamp = venv / bootstrap.STAMP
    whole = stamp.read_text(encoding="utf-8")
    match harm:
        case "no stamp":
            stamp.unlink()
        case "half a stamp":
            stamp.write_text(whole[: len(whole) // 2], encoding="utf-8")
        case "not a stamp":
            stamp.write_text("[]", encoding="utf-8")
        case "no Python":
            bootstrap.venv_python(venv).unlink()
        case "moved":
            value: dict[str, Any] = json.loads(whole)
            stamp.write_text(json.dumps(value | {"root": "/elsewhere"}), encoding="utf-8")
        case "another lock":
            (bootstrap.REQUIREMENTS / TESTS).write_text("# newer\n", encoding="utf-8")
        case "lock gone":
            (bootstrap.REQUIREMENTS / TESTS).unlink()
    assert bootstrap._missing_locks(venv, [INTERPRETER]) == [INTERPRETER]


def test_making_an_environment_removes_what_an_interrupted_one_left(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    left = venv / "lib" / "half.so"
    left.parent.mkdir(parents=True)
    left.touch()
    bootstrap._make_venv(venv, sys.executable, sys.version_info[:2])
    assert not left.exists() and bootstrap.venv_python(venv).exists()


@pytest.mark.parametrize(
    ("version", "command", "arguments", "locks"),
    [
        ((3, 11), "run", [], ["lock-py311.txt"]),
        ((3, 13), "run", [], ["lock-py313.txt"]),
        ((3, 12), "run", ["--blender", "/b"], ["lock-base.txt"]),
        ((3, 11), "resume", ["--blender=/b"], ["lock-base.txt"]),
        ((3, 12), "build", [], ["lock-base.txt"]),
        ((3, 12), "generate", ["walks"], ["lock-base.txt"]),
        ((3, 11), "map", ["hero.fbx"], ["lock-py311.txt"]),
        ((3, 12), "map", ["hero.fbx", "--blender", "/b"], ["lock-base.txt"]),
        ((3, 12), "map", ["walk.BVH"], ["lock-base.txt"]),
        ((3, 11), "retarget", ["walk.bvh", "--out", "w.fbx"], ["lock-py311.txt"]),
        ((3, 11), "test", ["--blender", "/b"], ["lock-py311.txt", "lock-test.txt", "lock-bench.txt"]),
    ],
)
def test_each_command_gets_the_locks_it_needs(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], command: str, arguments: list[str], locks: list[str]
) -> None:
    monkeypatch.delenv("MOTION_QUEUE_BLENDER", raising=False)
    monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))
    assert list(bootstrap.locks_for(command, arguments)) == locks


def test_a_python_without_a_blender_module_is_told_which_ones_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOTION_QUEUE_BLENDER", raising=False)
    monkeypatch.setattr(sys, "version_info", (3, 12, 0, "final", 0))
    with pytest.raises(bootstrap.SetupError) as caught:
        bootstrap.locks_for("run")
    assert caught.value.code == "python_unsupported"
    assert all(words in str(caught.value) for words in ("Python 3.12", "Python 3.11", "Python 3.13", "--blender PATH"))


def test_a_python_too_old_for_the_program_gets_a_sentence_and_no_syntax_error(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = checkout / "scripts" / "mq.py"
    ast.parse(entry.read_text(encoding="utf-8"), feature_version=(3, 7))
    module = _load(entry)
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    assert module.main() == 2
    assert "this is Python 3.9" in (said := capsys.readouterr().err) and "[python_unsupported]" in said


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("motion_queue_entry", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (["models"], False),
        (["models", "--json"], False),
        (["models", "set", "momask", "--checkout", "check"], False),
        (["models", "check", "momask"], True),
        (["models", "--json", "check"], True),
        (["models", "check", "--help"], False),
        (["generate", "walks", "--explain"], False),
        (["generate", "walks", "--model", "momask", "--out", "x.bvh"], True),
        (["list"], False),
        (["map", "walk.bvh"], True),
        (["map", "--help"], False),
        (["retarget", "walk.bvh", "--out", "w.fbx"], True),
    ],
)
def test_only_what_computes_needs_set_up(command: list[str], needed: bool) -> None:
    assert bootstrap._needs_environment(command[0], command) is needed
