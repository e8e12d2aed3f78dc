# SPDX-License-Identifier: GPL-3.0-or-later
"""The exit codes of every command, and the error that carries one out of the middle."""

from __future__ import annotations

from ...queue.errors import MotionQueueError

OK = 0  # all completed
FAILED = 1  # some failed, were cancelled or came out degraded
WRONG_INPUT = 2  # wrong input or a machine that lacks something: nothing ran
INTERRUPTED = 130


class InputError(MotionQueueError):
    """What was asked for cannot be done as asked; nothing was started. Ends the command with `WRONG_INPUT`."""
