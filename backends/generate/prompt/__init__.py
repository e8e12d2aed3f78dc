# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts as people write them, read into a timeline. Standard library only; knows no arrays, files or networks."""

from __future__ import annotations

from .actions import ACTIONS, Action, Kind
from .explain import explain, explain_retrieved, known_actions
from .parse import MAX_CHARACTERS, MAX_SEGMENTS, read_prompt
from .words import canonical, is_neutral

__all__ = [
    "ACTIONS",
    "MAX_CHARACTERS",
    "MAX_SEGMENTS",
    "Action",
    "Kind",
    "canonical",
    "explain",
    "explain_retrieved",
    "is_neutral",
    "known_actions",
    "read_prompt",
]
