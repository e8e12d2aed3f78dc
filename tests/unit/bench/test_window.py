# SPDX-License-Identifier: GPL-3.0-or-later
"""The window's benchmark on a machine that has no window."""

from __future__ import annotations

import pytest

from motion_queue.scripts.bench import window
from motion_queue.scripts.cli import bench
from motion_queue.scripts.cli.exit_codes import InputError
from motion_queue.scripts.window.harness import VARIABLE


def test_without_a_window_it_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="window") as caught:
        window.run([])
    assert caught.value.code == "no_window"
    assert VARIABLE in str(caught.value)


def test_it_is_one_of_the_benchmarks_and_its_helpers_are_not() -> None:
    assert "window" in bench.names()
    assert not {"freeze_meter", "window_inside"} & set(bench.names())
