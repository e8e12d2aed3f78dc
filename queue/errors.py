# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the engine: one exception with a stable code, one plain value that crosses borders.

A message says what happened, to what, and what to do. A code never changes its meaning; all codes are listed in docs/errors.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a step or a job failed, as it is journaled and shown."""

    code: str
    message: str
    details: Mapping[str, str] = field(default_factory=dict)  # field of the payload → what is wrong with it
    retryable: bool = False
    log: str = ""  # the job's log: its path within the artefact store

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "details": dict(self.details),
            "retryable": self.retryable,
            "log": self.log,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> JobError:
        return cls(
            code=str(value.get("code", "internal")),
            message=str(value.get("message", "")),
            details={str(k): str(v) for k, v in dict(value.get("details") or {}).items()},
            retryable=bool(value.get("retryable", False)),
            log=str(value.get("log", "")),
        )


class MotionQueueError(Exception):
    """Base of every error this package raises on purpose."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: Mapping[str, str] | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"

    def as_job_error(self) -> JobError:
        details = {str(name): str(problem) for name, problem in self.details.items()}
        return JobError(str(self.code), str(self.message), details, bool(self.retryable))


class StepStopped(MotionQueueError):
    """Raised inside a backend when the engine asked it to stop; `reason` is a `StopReason`."""

    def __init__(self, reason: str) -> None:
        super().__init__("stopped", f"The step was asked to stop ({reason}).")
        self.reason = reason


class StoreError(MotionQueueError):
    """The journal, the snapshot or the artefact store could not do its work (disk full, read-only, newer version, locked)."""
