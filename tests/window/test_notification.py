# SPDX-License-Identifier: GPL-3.0-or-later
"""A notification of the desktop, as Dunst shows it: https://dunst-project.org."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from motion_queue.scripts.window.harness import LIMIT, Screen

from .conftest import CI_VARIABLE, JOBS, OpenWindow, made_ready

NEEDED = ("dbus-daemon", "dunst", "notify-send")


class Desktop:
    """A session bus, and who shows the notifications that come over it."""

    def __init__(self, prefix: tuple[str, ...], screen: Screen, folder: Path) -> None:
        self._said = folder / "dunst.txt"
        self._bus = subprocess.Popen(
            [*prefix, "dbus-daemon", "--session", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._bus.stdout is not None
        self.environment = {"DBUS_SESSION_BUS_ADDRESS": self._bus.stdout.readline().strip()}
        with self._said.open("w") as file:
            self._dunst = subprocess.Popen(
                [*prefix, "dunst", "-print", "-conf", os.devnull],
                env=os.environ | screen.environment | self.environment | {"HOME": str(folder)},
                stdout=file,
                stderr=subprocess.DEVNULL,
            )

    def shown(self, text: str) -> bool:
        """Wait until a notification with this text is on the screen; False where it does not come."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            if text in self._said.read_text():
                return True
            time.sleep(0.1)
        return False

    def close(self) -> None:
        for process in (self._dunst, self._bus):
            process.terminate()
            process.wait(LIMIT)


@pytest.fixture
def desktop(prefix: tuple[str, ...], screen: Screen, tmp_path: Path) -> Iterator[Desktop]:
    where = [*prefix, "sh", "-c", f"command -v {' && command -v '.join(NEEDED)}"] if prefix else []
    there = not subprocess.run(where, capture_output=True, check=False).returncode if where else all(map(shutil.which, NEEDED))
    if not there:
        why = f"a desktop with notifications is not beside this checkout: {', '.join(NEEDED)} are needed"
        if os.environ.get(CI_VARIABLE):
            pytest.fail(why)
        pytest.skip(why)
    made = Desktop(prefix, screen, tmp_path)
    yield made
    made.close()


def test_the_desktop_says_when_a_job_is_done(open_window: OpenWindow, desktop: Desktop) -> None:
    blender = made_ready(open_window(environment=desktop.environment))
    blender.run("bpy.context.preferences.addons[package()].preferences.notify = 'SYSTEM'")
    name = "<b>Shot</b> & co"  # its text is shown as it is, and nothing in it is markup
    blender.run(f"bpy.ops.motion_queue.submit(prompt='a person jumps', character='BUILTIN', deliver=False, name={name!r})")
    blender.until(f"any(job.finished for job in {JOBS})")
    assert desktop.shown("&lt;b&gt;Shot&lt;/b&gt; &amp; co is done.")
    blender.run("yield 0.5")
    blender.shoot("notification")
