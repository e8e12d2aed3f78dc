# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside the Blender under test: takes commands from the test over a socket, one a time, on the main thread.

A command is the body of a function. It may `yield` seconds to let the window live meanwhile, and what it returns goes back as
JSON. Names it can use: bpy, window, area(kind), region(kind, area), click(x, y), key(type), meter, and what it keeps in `kept`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import textwrap
import time
import traceback
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import bpy

POLL = 0.01  # seconds


class Driver:
    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)
        self._socket.setblocking(False)
        self._input = b""
        self._running: Generator[float, None, Any] | None = None
        self._resume_at = 0.0
        self.names: dict[str, Any] = {
            "bpy": bpy,
            "kept": SimpleNamespace(),
            "window": window,
            "area": area,
            "region": region,
            "click": click,
            "move": move,
            "key": key,
            "load": load,
            "show_tab": show_tab,
            "time": time,
            "package": package,
        }

    def tick(self) -> float:
        try:
            self._tick()
        except (ConnectionError, OSError):
            os._exit(70)  # the test is gone, and so is the reason for this Blender
        return POLL

    def _tick(self) -> None:
        if self._running is None:
            self._take()
        elif time.monotonic() >= self._resume_at:
            self._go_on()

    def _take(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError("the test has hung up")
        self._input += data
        line, end, rest = self._input.partition(b"\n")
        if not end:
            return
        self._input = rest
        message = json.loads(line)
        source = "def command():\n" + textwrap.indent(message["code"] or "return None", "    ")
        try:
            names: dict[str, Any] = {}
            exec(compile(source, "<command>", "exec"), self.names, names)
            made = names["command"]()
        except BaseException:
            self._answer(error=traceback.format_exc())
            return
        if isinstance(made, Generator):
            self._running = made
            self._go_on()
        else:
            self._answer(value=made)

    def _go_on(self) -> None:
        assert self._running is not None
        try:
            wait = next(self._running)
        except StopIteration as end:
            self._running = None
            self._answer(value=end.value)
        except BaseException:
            self._running = None
            self._answer(error=traceback.format_exc())
        else:
            self._resume_at = time.monotonic() + wait

    def _answer(self, **answer: Any) -> None:
        self._socket.setblocking(True)
        self._socket.sendall(json.dumps(answer, default=str).encode() + b"\n")
        self._socket.setblocking(False)


def window() -> Any:
    manager: Any = bpy.context.window_manager
    return manager.windows[0]


def area(kind: str = "VIEW_3D") -> Any:
    """The first area of a type."""
    return next(a for a in window().screen.areas if a.type == kind)


def region(kind: str = "UI", of: Any = None) -> Any:
    return next(r for r in (of or area()).regions if r.type == kind)


def move(x: int, y: int) -> None:
    """The mouse to a place in the window, in pixels from the lower left."""
    window().event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)


def click(x: int, y: int, button: str = "LEFTMOUSE") -> Generator[float, None, None]:
    """`yield from` it: a click as a person makes it, with the time that Blender needs to see it."""
    move(x, y)
    yield 0.05
    window().event_simulate(type=button, value="PRESS", x=x, y=y)
    yield 0.02
    window().event_simulate(type=button, value="RELEASE", x=x, y=y)
    yield 0.05


def key(kind: str, **modifiers: bool) -> Generator[float, None, None]:
    """`yield from` it: a key pressed and released where the mouse is."""
    place = region("WINDOW")
    x, y = place.x + place.width // 2, place.y + place.height // 2
    window().event_simulate(type=kind, value="PRESS", x=x, y=y, **modifiers)
    yield 0.02
    window().event_simulate(type=kind, value="RELEASE", x=x, y=y, **modifiers)
    yield 0.05


def show_tab(name: str) -> Generator[float, None, None]:
    """`yield from` it: open the sidebar of the 3D View with one of its tabs."""
    area().spaces.active.show_region_ui = True
    yield 0.3
    region("UI").active_panel_category = name
    region("UI").tag_redraw()  # as a click on the tab would
    yield 0.5


def load(path: str, name: str) -> Any:
    """A module from its file."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def package() -> str:
    """The extension's module name, empty while it is off."""
    return next((n for n in sys.modules if n.startswith("bl_ext.") and n.endswith(".motion_queue")), "")


def main() -> None:
    driver = Driver(sys.argv[-1])
    preferences: Any = bpy.context.preferences
    preferences.view.show_splash = False
    bpy.app.timers.register(driver.tick, first_interval=POLL, persistent=True)


main()
