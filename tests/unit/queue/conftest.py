# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines that are closed when their test is over, and leave no thread behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from motion_queue.queue import Engine, Limits

from .gates import Gate, with_gate

Make = Callable[..., Engine]


@pytest.fixture
def make_engine() -> Iterator[Make]:
    """`make_engine(total=2, …)`: a started engine with these limits; keyword arguments of `Engine` too."""
    engines: list[Engine] = []

    def make(*, start: bool = True, setup: Callable[[Engine], object] | None = None, **options: Any) -> Engine:
        own = {name: options.pop(name) for name in ("journal", "store", "job_log", "on_finished") if name in options}
        engine = Engine(limits=Limits(**{"retry_base": 0.0, "grace": 0.2, **options}), **own)
        engines.append(engine)
        if setup is not None:
            setup(engine)
        if start:
            engine.start()
        return engine

    yield make
    for engine in engines:
        engine.close(5.0)
    left = [t.name for t in threading.enumerate() if t.name.startswith("motion-queue") and not t.daemon]
    assert left == []


@pytest.fixture
def engine(make_engine: Make) -> Engine:
    return make_engine()


@pytest.fixture
def gate(engine: Engine) -> Gate:
    return with_gate(engine)
