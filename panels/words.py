# SPDX-License-Identifier: GPL-3.0-or-later
"""How the panels say things: durations, sizes, states, icons. Knows no Blender, only the names of its icons."""

from __future__ import annotations

from functools import lru_cache

from ..queue.contract import JobState, StepState

STATE_ICONS = {
    JobState.QUEUED: "TIME",
    JobState.RUNNING: "PLAY",
    JobState.PAUSED: "PAUSE",
    JobState.STOPPING: "SNAP_FACE",
    JobState.COMPLETED: "CHECKMARK",
    JobState.FAILED: "ERROR",
    JobState.CANCELLED: "X",
}
DEGRADED_ICON = "INFO"
STEP_ICONS = {
    StepState.PENDING: "RADIOBUT_OFF",
    StepState.RUNNING: "PLAY",
    StepState.COMPLETED: "CHECKMARK",
    StepState.FAILED: "ERROR",
    StepState.CANCELLED: "X",
    StepState.SKIPPED: "FORWARD",
}
STATE_WORDS = {
    JobState.QUEUED: "Waiting",
    JobState.RUNNING: "Running",
    JobState.PAUSED: "Paused",
    JobState.STOPPING: "Stopping",
    JobState.COMPLETED: "Completed",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
}
STEP_WORDS = {
    "generate": "Generate",
    "read": "Read",
    "retarget": "Retarget",
    "render": "Render",
    "deliver": "Deliver",
}
_UNITS = ("B", "KB", "MB", "GB", "TB")


def duration(seconds: float) -> str:
    """In the two units that matter, rounded as a person would say it: 8 s, 4 min, 1 h 20 min, 2 d 3 h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def step_time(seconds: float) -> str:
    """Of a step, where tenths of a short one are of interest."""
    return f"{seconds:.1f} s" if 0.0 < seconds < 10.0 else duration(seconds)


def eta(seconds: float | None, *, guess: bool) -> str:
    """Time left; `~` where nothing like it was timed yet; empty where nobody knows."""
    if seconds is None:
        return ""
    return f"~{duration(seconds)}" if guess else duration(seconds)


def percent(fraction: float) -> str:
    """100 % is for what is over."""
    return f"{int(100 * fraction)} %"


def size(count: float) -> str:
    """Bytes as files are shown."""
    unit = 0
    while count >= 1000 and unit + 1 < len(_UNITS):
        count /= 1000
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 or count >= 100 else f"{count:.1f} {_UNITS[unit]}"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 job`, `1,200 jobs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def clean(text: str) -> str:
    """One line without control characters: what a file or a child says is only shown."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


@lru_cache(maxsize=256)  # the same few texts are drawn ten times a second
def wrapped(text: str, width: int) -> tuple[str, ...]:
    """Lines of at most `width` characters: Blender's labels do not wrap. A longer word is cut."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in paragraph.split():
            while len(word) > width:
                room = width - len(line) - 1 if line else width
                if room < 8:
                    lines.append(line)
                    line = ""
                    continue
                lines.append(f"{line} {word[:room]}".strip())
                line, word = "", word[room:]  # noqa: PLW2901 (the rest of it)
            if line and len(line) + 1 + len(word) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}" if line else word
        if line:
            lines.append(line)
    return tuple(lines)
