# SPDX-License-Identifier: GPL-3.0-or-later
"""Files dragged from a desktop and dropped into a window: the side that a file manager has of the X drag-and-drop protocol.

https://freedesktop.org/wiki/Specifications/XDND, version 5.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from Xlib import X, Xatom
from Xlib.display import Display
from Xlib.protocol.event import ClientMessage, SelectionNotify

_VERSION = 5
_KIND = "text/uri-list"
_ANSWER = 60.0  # seconds: only against hanging


class Drag:
    """`over` moves the files to a place of the screen, `drop` lets go of them there.

    Blender waits for the drop from the moment that they come in, and does nothing else until then.
    """

    def __init__(self, screen: str, files: Sequence[Path]) -> None:
        self._display = Display(screen)
        root = self._display.screen().root
        self._root = root
        self._source = root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
        self._data = "".join(f"{file.as_uri()}\r\n" for file in files).encode()
        self._source.set_selection_owner(self._atom("XdndSelection"), X.CurrentTime)
        self._target = _aware(root, self._atom("XdndAware"))
        self._send("XdndEnter", _VERSION << 24, self._atom(_KIND), 0, 0)

    def over(self, x: int, y: int) -> bool:
        """Whether the window would take them there."""
        self._root.warp_pointer(x, y)
        self._send("XdndPosition", 0, x << 16 | y, X.CurrentTime, self._atom("XdndActionCopy"))
        return bool(self._wait("XdndStatus")[1] & 1)

    def drop(self) -> None:
        """And wait until the window is done with them. (Blender speaks version 3, which does not tell what became of them.)"""
        self._send("XdndDrop", 0, X.CurrentTime, 0, 0)
        self._wait("XdndFinished")
        self._display.close()

    def _atom(self, name: str) -> int:
        return int(self._display.intern_atom(name))

    def _send(self, kind: str, *data: int) -> None:
        message = ClientMessage(
            window=self._target, client_type=self._atom(kind), data=(32, [self._source.id, *data, 0, 0, 0, 0][:5])
        )
        self._target.send_event(message)
        self._display.flush()

    def _wait(self, kind: str) -> list[int]:
        """The data of the window's answer; it is given the files meanwhile, when it asks."""
        end = time.monotonic() + _ANSWER
        while time.monotonic() < end:
            while self._display.pending_events():
                event = self._display.next_event()
                if event.type == X.SelectionRequest:
                    self._give(event)
                elif event.type == X.ClientMessage and event.client_type == self._atom(kind):
                    return list(event.data[1])
            time.sleep(0.01)
        raise AssertionError(f"the window did not answer with {kind} within {_ANSWER:.0f} s")

    def _give(self, request: Any) -> None:
        known = request.target == self._atom(_KIND)
        if known:
            request.requestor.change_property(request.property, request.target, 8, self._data)
        request.requestor.send_event(
            SelectionNotify(
                time=request.time,
                requestor=request.requestor,
                selection=request.selection,
                target=request.target,
                property=request.property if known else X.NONE,
            )
        )
        self._display.flush()


def _aware(window: Any, xdnd_aware: int) -> Any:
    """The window that says it takes files."""
    for child in window.query_tree().children:
        if child.get_full_property(xdnd_aware, Xatom.ATOM) is not None:
            return child
        if (found := _aware(child, xdnd_aware)) is not None:
            return found
    return None
