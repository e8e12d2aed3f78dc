# SPDX-License-Identifier: GPL-3.0-or-later
"""Notifications of the desktop, by what each system brings along. Called on a thread; touches no bpy.

On Windows there is none, which the preferences say: what it brings along shows notifications of installed programs only. macOS
has not been run by anybody yet.
"""

from __future__ import annotations

import html
import shutil
import subprocess
import sys
from collections.abc import Sequence

from ..queue.errors import MotionQueueError

TITLE = "Motion Queue"
_LONGEST = 240  # characters
_TIMEOUT = 10.0  # seconds


def send(text: str) -> None:
    """Show a text for a few seconds. `MotionQueueError` no_notifications where the system has no way to."""
    command = _command(text[:_LONGEST])
    if command is None or shutil.which(command[0]) is None:
        raise MotionQueueError(
            "no_notifications",
            "This system has no notifications that can be reached (on Linux: install libnotify's notify-send). "
            "Choose another kind in the preferences.",
        )
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MotionQueueError(
            "no_notifications", f"The system's notification failed: {error}. Choose another kind in the preferences."
        ) from error


def _command(text: str) -> Sequence[str] | None:
    """The text is an argument of its own, never part of a script."""
    if sys.platform == "linux":
        # In the body of a notification a few tags mean something: https://specifications.freedesktop.org/notification-spec
        return ["notify-send", "--app-name", TITLE, "--", TITLE, html.escape(text, quote=False)]
    if sys.platform == "darwin":
        script = "on run {title, message}\ndisplay notification message with title title\nend run"
        return ["osascript", "-e", script, TITLE, text]
    return None
