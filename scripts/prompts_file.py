# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a file of prompts, one a line, with its limits. Blank lines and lines that begin with `#` are passed over.

Knows nothing of what a prompt says. Standard library only.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..queue.errors import MotionQueueError
from . import shots

MAX_BYTES = 4 * 2**20
MAX_PROMPTS = shots.MAX_SHOTS
MAX_REPORTED = 50


class Line(NamedTuple):
    number: int  # from 1
    prompt: str


def load(path: Path) -> tuple[Line, ...]:
    """The prompts of a file. `MotionQueueError`: prompts_file_unreadable, prompts_file_too_large, prompts_file_invalid."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MotionQueueError("prompts_file_unreadable", f"Cannot read the file of prompts {str(path)!r}: {reason}.") from error
    return parse(data, name=path.name)


def parse(data: bytes, *, name: str) -> tuple[Line, ...]:
    """The prompts in the bytes of a file. Raises as `load`, whatever the bytes."""
    if len(data) > MAX_BYTES:
        raise MotionQueueError("prompts_file_too_large", f"{name} is over {MAX_BYTES >> 20} MiB. Split it.")
    try:
        text = data.decode("utf-8-sig")  # with or without the mark that some editors put first
    except UnicodeDecodeError as error:
        raise MotionQueueError(
            "prompts_file_invalid", f"{name} is not UTF-8 text (byte {error.start}): save it as UTF-8."
        ) from error
    # Only the ends that editors write: other separators are control characters, and reported.
    lines = [Line(n, line.strip(" \t")) for n, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1)]
    prompts = [line for line in lines if line.prompt and not line.prompt.startswith("#")]
    if not prompts:
        raise MotionQueueError("prompts_file_invalid", f"{name} has no prompt: write one a line.")
    if len(prompts) > MAX_PROMPTS:
        raise MotionQueueError(
            "prompts_file_too_large", f"{name} has {len(prompts):,} prompts; {MAX_PROMPTS:,} are the most. Split it."
        )
    wrong = []
    for line in prompts:
        try:
            shots.read_prompt(line.prompt)
        except ValueError as error:
            wrong.append(f"{name}:{line.number}: {error}")
    refuse(wrong)
    return tuple(prompts)


def refuse(wrong: list[str]) -> None:
    """Raise `prompts_file_invalid` with what is wrong, each with its place, where anything is."""
    if wrong:
        more = [f"… and {len(wrong) - MAX_REPORTED} more"] if len(wrong) > MAX_REPORTED else []
        raise MotionQueueError("prompts_file_invalid", "\n".join(wrong[:MAX_REPORTED] + more))
