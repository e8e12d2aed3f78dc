# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tick does and what it leaves to the next one, and how often the panels are drawn."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

pytest.importorskip("bpy")

from motion_queue.operators import session
from motion_queue.panels import redraw

from .conftest import Interface


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(redraw, "time", found)
    monkeypatch.setattr(redraw, "_tagged_at", 0.0)
    redraw.forget()
    return found


def test_tickers_for_which_a_tick_has_no_time_have_their_turn_in_the_next(ui: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def ticker(name: str) -> session.Ticker:
        return lambda _app, _follower: bool(called.append(name))

    monkeypatch.setattr(session, "_tickers", deque(ticker(name) for name in "abc"))
    monkeypatch.setattr(session, "_ROOM", 60.0)
    ui.tick()
    assert called == ["a", "b", "c"], "all of them where there is time"
    called.clear()
    monkeypatch.setattr(session, "_ROOM", -1.0)  # whatever else it does has taken all of it
    per_tick = []
    for _ in range(8):
        before = len(called)
        assert ui.tick() <= session.BUSY, "the next one comes soon"
        per_tick.append(len(called) - before)
    assert per_tick == [0, 1] * 4, "put off once, then one goes first whatever the time is"
    assert called == ["a", "b", "c", "a"]


def test_a_ticker_that_fails_holds_up_no_other(ui: Interface, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    called = []

    def broken(_app: Any, _follower: Any) -> bool:
        raise ValueError("broken")

    monkeypatch.setattr(session, "_ROOM", 60.0)
    monkeypatch.setattr(session, "_tickers", deque([broken, lambda _app, _follower: bool(called.append(1))]))
    ui.tick()
    assert called == [1] and "broken" in caplog.text


def test_panels_are_drawn_less_often_the_longer_that_takes(clock: Clock) -> None:
    assert redraw.wait() == 0.0
    for seconds, every in ((0.005, 0.09), (0.05, 0.25), (2.0, 0.5)):
        for _ in range(5):
            redraw.sidebars()
            clock.now += seconds
            redraw._drawn()
        redraw.sidebars()
        assert redraw.wait() == pytest.approx(every)
        clock.now += every
        assert redraw.wait() == 0.0


def test_many_operations_in_a_row_are_drawn_once_and_then_again(
    ui: Interface, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ui.until(lambda: ui.now.draft_check)  # which comes from another thread, and is drawn too
    clock.now += 0.1
    ui.tick()
    clock.now += 0.1
    drawn = []
    own = redraw.sidebars
    monkeypatch.setattr(redraw, "sidebars", lambda: (drawn.append(ui.now), own()))
    ui.run("pause_queue")
    for _ in range(5):
        ui.run("resume_queue")
        ui.run("pause_queue")
    assert len(drawn) == 1 and ui.now.paused, "the snapshot is of now, whatever is drawn"
    assert 0.0 < ui.tick() <= session.BUSY and len(drawn) == 1
    clock.now += 0.1
    ui.tick()
    assert len(drawn) == 2 and drawn[-1].paused
    clock.now += 0.1
    ui.tick()
    assert len(drawn) == 2, "nothing has changed since"
