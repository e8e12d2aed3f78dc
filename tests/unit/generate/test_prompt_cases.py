# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts as people write them, and what each is read as: `prompt_cases.txt` has a prompt, then its reading, indented."""

from __future__ import annotations

from pathlib import Path

import pytest

from .prompt_shown import shown

_FILE = Path(__file__).with_name("prompt_cases.txt")
_CASES = [tuple(case.split("\n", 1)) for case in _FILE.read_text(encoding="utf-8").strip().split("\n\n")]


def test_there_are_many_prompts_and_none_twice() -> None:
    prompts = [prompt for prompt, _ in _CASES]
    assert len(prompts) > 120
    assert len(prompts) == len(set(prompts))


@pytest.mark.parametrize(("prompt", "reading"), _CASES, ids=[prompt for prompt, _ in _CASES])
def test_a_prompt_is_read_as_written_down(prompt: str, reading: str) -> None:
    assert shown(prompt.replace("\\n", "\n")) == reading
