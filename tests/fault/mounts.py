# SPDX-License-Identifier: GPL-3.0-or-later
"""Real file systems for tests: small ones that fill up, and folders that may only be read."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Mount = Callable[..., Path]


@contextlib.contextmanager
def mounting() -> Iterator[Mount]:
    """Mount something on a folder until the end: `tmpfs` of so many `megabytes`, or the folder itself read-only. Skips the test
    where this user may not."""
    mounted: list[Path] = []

    def make(folder: Path, *, megabytes: float = 0.0) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        if megabytes:
            commands = [["mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", str(folder)]]
        else:
            commands = [["mount", "--bind", str(folder), str(folder)], ["mount", "-o", "remount,bind,ro", str(folder)]]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                pytest.skip(f"this user may not mount: {done.stderr.strip()}")
            if folder not in mounted:
                mounted.append(folder)
        return folder

    try:
        yield make
    finally:
        for folder in reversed(mounted):
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
