# SPDX-License-Identifier: GPL-3.0-or-later
"""The example in docs/api.md runs and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_example_of_the_api_page_prints_what_the_page_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    expected = re.search(r"It prints\n\n```\n(.*?)```", text, re.DOTALL)
    assert code and expected
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code[1], str(PAGE), "exec"), {})
    assert printed.getvalue() == expected[1]
