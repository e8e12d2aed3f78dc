# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of `motion/`. It knows no jobs and no queue: whoever runs a step turns it into a job's error.

A message says what happened, to what, and what to do. A code never changes its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping


class MotionError(ValueError):
    """Motion data, a skeleton or a request that cannot be used. `details` says more exactly where ("line", "joint" …)."""

    def __init__(self, code: str, message: str, *, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: dict[str, str] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"
