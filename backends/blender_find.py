# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a Blender that can do the work, and knows how one is started: an installed Blender, or the `bpy` module of a Python.

It starts a Blender only to ask for its version, and never imports bpy: in this process that would cost a second, 200 MB and
Blender's own signal handlers. Inside a Blender, bpy is there already and is only looked at.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from ..queue.errors import MotionQueueError

MINIMUM_VERSION = (4, 2, 0)
ENVIRONMENT_VARIABLE = "MOTION_QUEUE_BLENDER"
MODULE_NAME = "bpy"  # as an explicit choice: the Python module instead of an installed Blender
_VERSION_TIMEOUT = 60.0  # seconds; a first start from a cold disk or a network share is slow
_HOW_TO = (
    f"Install Blender {MINIMUM_VERSION[0]}.{MINIMUM_VERSION[1]} or newer and give its path with --blender or "
    f"{ENVIRONMENT_VARIABLE}, or install the 'bpy' module into this Python."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlenderCommand:
    """How to start a Blender. Either `binary` (an installed Blender) or `python` (a Python that has the bpy module) is set."""

    binary: str = ""
    python: str = ""
    version: tuple[int, int, int] = (0, 0, 0)  # (0, 0, 0): not known before the first start

    @property
    def is_module(self) -> bool:
        return not self.binary

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version)) if any(self.version) else "unknown version"

    def argv(
        self,
        script: Path,
        arguments: Sequence[str],
        *,
        user_preferences: bool = False,
        trust_scripts: bool = False,
        threads: int = 0,
    ) -> list[str]:
        """The command line that runs `script` with `arguments`.

        An installed Blender starts with factory settings unless `user_preferences`; scripts inside .blend files run only with
        `trust_scripts`. `threads` limits Blender's own threads (0: all cores). The module has none of these options: the
        script has to see to them.
        """
        if self.is_module:
            return [self.python, "-P", str(script), *arguments]
        options = ["--background"]
        if not user_preferences:
            options.append("--factory-startup")
        options.append("--enable-autoexec" if trust_scripts else "--disable-autoexec")
        if threads > 0:
            options += ["--threads", str(threads)]
        return [self.binary, *options, "--python-exit-code", "70", "--python", str(script), "--", *arguments]


def find_blender(explicit: str | None = None) -> BlenderCommand:
    """The Blender to work with: `explicit`, else MOTION_QUEUE_BLENDER, else the Blender this runs in, else bpy in this Python,
    else `blender` on the PATH. A choice made by name (`explicit`, the variable) is never replaced by another one.

    A choice is the path of an executable, of a folder or macOS application with one inside, a command on the PATH, or `bpy`.
    Raises MotionQueueError: `blender_not_found`, `blender_too_old`, `blender_broken`.
    """
    if explicit:
        return _chosen(explicit, "--blender")
    if variable := os.environ.get(ENVIRONMENT_VARIABLE):
        return _chosen(variable, ENVIRONMENT_VARIABLE)
    if around := _running_inside():
        return _check_version(around)
    if module := _module():
        return _check_version(module)
    if on_path := shutil.which("blender"):
        return _installed(on_path)
    raise MotionQueueError("blender_not_found", f"No Blender was found. {_HOW_TO}")


def require_version(version: tuple[int, int, int], what: str) -> None:
    """Raise `blender_too_old` when a Blender is older than this package works with."""
    if version < MINIMUM_VERSION:
        raise MotionQueueError(
            "blender_too_old",
            f"{what} is Blender {'.'.join(map(str, version))}; at least "
            f"{MINIMUM_VERSION[0]}.{MINIMUM_VERSION[1]} is needed. {_HOW_TO}",
        )


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The first `4.3` or `4.3.2` in a text, or None."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def _chosen(choice: str, source: str) -> BlenderCommand:
    if choice == MODULE_NAME:
        module = _module()
        if module is None:
            raise MotionQueueError(
                "blender_not_found", f"{source} asks for the bpy module, but {sys.executable} has none. Run: pip install bpy"
            )
        return _check_version(module)
    path = Path(choice).expanduser()
    if path.is_dir():
        inside = _inside_folder(path)
        if inside is None:
            raise MotionQueueError("blender_not_found", f"There is no Blender in the folder {choice} ({source}). {_HOW_TO}")
        return _installed(str(inside))
    found = shutil.which(str(path))
    if found is None:
        what = "is not executable" if path.is_file() else "does not exist"
        raise MotionQueueError("blender_not_found", f"{choice} ({source}) {what}. {_HOW_TO}")
    return _installed(str(Path(found).absolute()))


def _inside_folder(folder: Path) -> Path | None:
    names = ("blender", "blender.exe", "Contents/MacOS/Blender", "Blender.app/Contents/MacOS/Blender")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _installed(binary: str) -> BlenderCommand:
    try:
        done = subprocess.run(
            [binary, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_VERSION_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MotionQueueError(
            "blender_broken", f"{binary} --version gave no answer within {_VERSION_TIMEOUT:.0f} s. Does it start by hand?"
        ) from error
    except OSError as error:
        raise MotionQueueError("blender_broken", f"{binary} cannot be started: {error.strerror or error}. {_HOW_TO}") from error
    text = done.stdout.decode("utf-8", "replace")
    line = next((line for line in text.splitlines() if line.startswith("Blender ")), "")
    version = parse_version(line)
    if done.returncode != 0 or version is None:
        last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing")
        raise MotionQueueError(
            "blender_broken",
            f"{binary} --version ended with code {done.returncode} and said: {last[:300]}. It is no working Blender. {_HOW_TO}",
        )
    return _check_version(BlenderCommand(binary=binary, version=version))


def _running_inside() -> BlenderCommand | None:
    """The Blender whose Python this is. The bpy module, once imported, has no binary_path."""
    app = getattr(sys.modules.get("bpy"), "app", None)
    binary = getattr(app, "binary_path", "")
    if not binary:
        return None
    major, minor, patch = tuple(getattr(app, "version", (0, 0, 0)))
    return BlenderCommand(binary=str(binary), version=(int(major), int(minor), int(patch)))


def _module() -> BlenderCommand | None:
    """The bpy module of this Python; stubs for editors (fake-bpy-module) go by the same name and are not compiled."""
    try:
        spec = importlib.util.find_spec(MODULE_NAME)
    except ValueError:  # a bpy put into sys.modules by hand, without a spec
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(tuple(EXTENSION_SUFFIXES)):
        return None
    try:
        version = parse_version(importlib.metadata.version(MODULE_NAME))
    except importlib.metadata.PackageNotFoundError:
        version = None  # built by hand: its hello tells
    return BlenderCommand(python=sys.executable, version=version or (0, 0, 0))


def _check_version(command: BlenderCommand) -> BlenderCommand:
    if any(command.version):
        require_version(command.version, command.binary or f"The bpy module of {command.python}")
    return command
