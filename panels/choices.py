# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person chose in the preferences, as one plain value with the defaults, and what the engine gets of it. No Blender."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ..app import Settings
from ..queue.model import Limits


class OnStart(StrEnum):
    """What becomes of work that an earlier session left unfinished."""

    RESUME = "RESUME"
    ASK = "ASK"
    LEAVE = "LEAVE"


class Notify(StrEnum):
    NONE = "NONE"
    BLENDER = "BLENDER"
    SYSTEM = "SYSTEM"


LANES = ("cpu", "blender", "gpu", "network", "io")
HAS_NOTIFICATIONS = sys.platform in ("linux", "darwin")  # of the desktop, by what it brings along
DEFAULT_OUTPUT = "//motion/{scene}/{shot}_{take}_v{version}"


def default_lanes() -> dict[str, int]:
    return {lane: int(count) for lane, count in Limits().lanes.items() if lane in LANES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    concurrency: int = 4  # 1–8
    lanes: Mapping[str, int] = field(default_factory=default_lanes)
    memory_mb: int = 0  # 0: no limit
    job_memory_mb: int = 0
    finished_kept: int = 100
    output: str = DEFAULT_OUTPUT
    state_folder: str = ""  # absolute; empty: the extension's own
    on_start: OnStart = OnStart.RESUME
    notify: Notify = Notify.BLENDER
    status_bar: bool = True
    apply_automatically: bool = False  # a finished motion goes onto the armature that it was made for
    torch_python: str = ""
    blender: str = ""
    log_level: str = "info"

    def settings(self, *, state_dir: Path, blender: str, python: tuple[str, ...], window: bool, trust_scripts: bool) -> Settings:
        """For the engine. `blender` and `python` are this Blender's own, where nothing else was chosen."""
        return Settings(
            state_dir=Path(self.state_folder) if self.state_folder else state_dir,
            blender=self.blender or blender,
            python=python,
            torch_python=self.torch_python,
            concurrency=self.concurrency,
            lanes=dict(self.lanes),
            memory_mb=float(self.memory_mb),
            job_memory_mb=float(self.job_memory_mb),
            finished_kept=self.finished_kept,
            low_priority=window,
            trust_scripts=trust_scripts,
            log_level=self.log_level,
            hold_at_start=self.on_start is not OnStart.RESUME,
        )
