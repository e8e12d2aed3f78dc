# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Blender is taken, and what is said when none can be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from motion_queue.backends import blender_find
from motion_queue.backends.blender_find import ENVIRONMENT_VARIABLE, BlenderCommand, find_blender, parse_version
from motion_queue.queue.errors import MotionQueueError


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any Blender: empty PATH and variable, no bpy. Returns a folder to put one into."""
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "bpy", raising=False)
    return tmp_path


def program(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def code_of(choice: str | None) -> str:
    with pytest.raises(MotionQueueError) as caught:
        find_blender(choice)
    assert "lender" in caught.value.message or "bpy" in caught.value.message
    return caught.value.code


def test_without_any_blender_the_error_says_how_to_get_one(bare: Path) -> None:
    with pytest.raises(MotionQueueError) as caught:
        find_blender()
    assert caught.value.code == "blender_not_found"
    assert ENVIRONMENT_VARIABLE in caught.value.message


def test_a_blender_on_the_path_is_found_last(bare: Path) -> None:
    binary = program(bare / "blender", "echo 'Blender 4.3.2'")
    assert find_blender() == BlenderCommand(binary=binary, version=(4, 3, 2))


@pytest.mark.parametrize("inside", ["blender", "Contents/MacOS/Blender"])
def test_a_folder_or_application_with_a_blender_inside_is_a_choice(bare: Path, inside: str) -> None:
    binary = program(bare / "app" / inside, "echo 'Read prefs: x'; echo 'Blender 5.2.3 LTS'")
    assert find_blender(str(bare / "app")) == BlenderCommand(binary=binary, version=(5, 2, 3))


def test_the_variable_is_a_choice_and_the_argument_goes_before_it(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = program(bare / "one", "echo 'Blender 4.2.0'")
    two = program(bare / "two", "echo 'Blender 4.5.1'")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, one)
    assert find_blender().binary == one
    assert find_blender(two).binary == two


def test_a_choice_is_never_replaced_by_another_blender(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(bare / "blender", "echo 'Blender 4.3.2'")
    assert code_of(str(bare / "none")) == "blender_not_found"
    assert code_of("bpy") == "blender_not_found"
    (bare / "empty").mkdir()
    assert code_of(str(bare / "empty")) == "blender_not_found"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(bare / "none"))
    assert code_of(None) == "blender_not_found"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("echo 'Blender 4.1.9'", "blender_too_old"),
        ("echo 'Blender 2.79 (sub 0)'", "blender_too_old"),
        ("echo 'error while loading shared libraries: libX' >&2; exit 127", "blender_broken"),
        ("echo 'Python 3.11.4'", "blender_broken"),
        ("exit 0", "blender_broken"),
    ],
)
def test_a_blender_that_cannot_serve_is_named(bare: Path, text: str, code: str) -> None:
    assert code_of(program(bare / "blender", text)) == code


def test_a_blender_that_does_not_answer_is_broken(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blender_find, "_VERSION_TIMEOUT", 0.2)
    assert code_of(program(bare / "blender", "exec /bin/sleep 3600")) == "blender_broken"


def test_editor_stubs_named_bpy_are_no_blender(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "bpy").mkdir()
    (bare / "bpy" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(bare)])
    assert code_of(None) == "blender_not_found"


def test_the_blender_this_runs_in_goes_before_the_path(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Inside:
        class app:  # noqa: N801
            binary_path = "/opt/blender/blender"
            version = (4, 5, 3)

    program(bare / "blender", "echo 'Blender 4.3.2'")
    monkeypatch.setitem(sys.modules, "bpy", Inside)
    assert find_blender() == BlenderCommand(binary="/opt/blender/blender", version=(4, 5, 3))


@pytest.mark.parametrize(
    ("text", "version"), [("Blender 4.3.2", (4, 3, 2)), ("5.2", (5, 2, 0)), ("4.2.23", (4, 2, 23)), ("none", None)]
)
def test_versions_are_read_from_text(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


def test_an_installed_blender_runs_without_scripts_of_files_and_with_factory_settings_unless_told_otherwise() -> None:
    command = BlenderCommand(binary="blender")
    argv = command.argv(Path("s.py"), ["x"], threads=3)
    assert argv[:5] == ["blender", "--background", "--factory-startup", "--disable-autoexec", "--threads"]
    assert argv[-3:] == ["s.py", "--", "x"]
    own = command.argv(Path("s.py"), [], user_preferences=True, trust_scripts=True)
    assert "--factory-startup" not in own
    assert "--enable-autoexec" in own
