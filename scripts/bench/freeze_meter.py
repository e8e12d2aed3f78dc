# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how long the event loop of a Blender window stands still, and whether this extension had a part in it.

Runs inside a Blender with a window, loaded by its path: a timer that wants to be called every few milliseconds records each gap,
and the extension's own calls (ticks, draws, operators, handlers) are recorded with their times. Standard library, and bpy.
"""

from __future__ import annotations

import bisect
import functools
import gc
import inspect
import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import bpy

INTERVAL = 0.005  # seconds between two calls that are asked for
FREEZE = 0.1  # seconds; a gap longer than this is felt
STOLEN = 0.02  # seconds; when the host took more of a gap than this, its length says little of this program
UNDISTURBED = 0.005  # seconds; less of a gap than the kernel counts
_MOST = 2_000_000  # gaps and calls that are kept
# What a list draws of its lines is part of its panel's draw, which a clock around each of them would make longer by a tenth.
_DRAWS = ("draw", "draw_header")
_ACTS = ("execute", "invoke", "poll")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the extension's own code. Times in seconds of the performance counter."""

    kind: str  # tick, draw, operator or handler; collector: of Python's garbage, whoever made it
    name: str
    start: float
    end: float
    worked: float  # seconds of the processor that it took: without those in which others had it


class FreezeMeter:
    """`start`, do something, `stop`, `report`. There is one at a time, since it is a timer of Blender's."""

    def __init__(self, package: str, *, interval: float = INTERVAL) -> None:
        """`package` is the module name of the extension, as in bl_ext.user_default.motion_queue; empty: measure gaps alone."""
        self._package = package
        self._interval = interval
        self._times = array("d")
        self._stolen = array("d")  # seconds so far, at each of the times
        self._calls: list[Call] = []
        self._restore: list[Callable[[], None]] = []
        self._beat = self._called  # one object, by which Blender knows the timer

    def start(self) -> None:
        if self._package:
            for undo in _watch(self._package, self._calls):
                self._restore.append(undo)
            self._restore.append(_watch_collector(self._calls))
        bpy.app.timers.register(self._beat, first_interval=0.0, persistent=True)

    def stop(self) -> None:
        """Take everything back. Measured values stay."""
        if bpy.app.timers.is_registered(self._beat):
            bpy.app.timers.unregister(self._beat)
        while self._restore:
            self._restore.pop()()

    def clear(self) -> None:
        """Forget what was measured, and go on."""
        self._times, self._stolen = array("d"), array("d")
        self._calls.clear()

    def report(self) -> dict[str, Any]:
        """JSON: the distribution of gaps and of each kind of call in milliseconds, and each freeze with the calls in it."""
        times = self._times
        gaps = [b - a for a, b in pairwise(times)]
        kinds: dict[str, list[float]] = {}
        worked: dict[str, list[float]] = {}
        for call in self._calls:
            kinds.setdefault(call.kind, []).append(call.end - call.start)
            worked.setdefault(call.kind, []).append(call.worked)
        stolen = [b - a for a, b in pairwise(self._stolen)]
        freezes = [(a, b, s) for (a, b), s in zip(pairwise(times), stolen, strict=True) if b - a > FREEZE]
        return {
            "seconds": times[-1] - times[0] if times else 0.0,
            "stolen_seconds": round(sum(stolen), 3),
            "gaps": distribution(gaps),
            "undisturbed_gaps": distribution([gap for gap, lost in zip(gaps, stolen, strict=True) if lost < UNDISTURBED]),
            "calls": {kind: distribution(values) for kind, values in sorted(kinds.items())},
            "worked": {kind: distribution(values) for kind, values in sorted(worked.items())},
            "names": {
                name: distribution([c.end - c.start for c in found])
                | {"worked_p99": distribution([c.worked for c in found])["p99"]}
                for name, found in sorted(self._by_name().items())
            },
            "longest_calls": [
                {"kind": c.kind, "name": c.name, "ms": _ms(c.end - c.start), "worked_ms": _ms(c.worked)}
                for c in sorted(self._calls, key=lambda c: c.start - c.end)[:10]
            ],
            "freeze_counts": self._freeze_counts(freezes),
            "freezes": [
                {
                    "at": round(a - times[0], 3),
                    "ms": _ms(b - a),
                    "stolen_ms": _ms(s),
                    "calls": [
                        {"kind": c.kind, "name": c.name, "ms": _ms(c.end - c.start)}
                        for c in self._calls
                        if c.start < b and c.end > a
                    ],
                }
                for a, b, s in freezes[:100]
            ],
        }

    def _freeze_counts(self, freezes: Sequence[tuple[float, float, float]]) -> dict[str, int]:
        """How many there are, in how many a call of ours takes part at all, in how many of those this machine had its processors
        all the time, and in how many ours take a tenth of them or more."""
        calls = sorted(self._calls, key=lambda c: c.start)
        starts = [c.start for c in calls]
        touched, undisturbed, ours = 0, 0, 0
        for a, b, stolen in freezes:
            # Calls do not overlap, but for those within another, which begin later.
            within = calls[bisect.bisect_left(starts, a) : bisect.bisect_left(starts, b)]
            outer = [c for i, c in enumerate(within) if i == 0 or c.start >= max(o.end for o in within[:i])]
            touched += bool(within)
            undisturbed += bool(within) and stolen < STOLEN
            ours += sum(c.end - c.start for c in outer) >= 0.1 * (b - a)
        return {"all": len(freezes), "with_calls": touched, "undisturbed": undisturbed, "of_ours": ours}

    def _by_name(self) -> dict[str, list[Call]]:
        found: dict[str, list[Call]] = {}
        for call in self._calls:
            found.setdefault(call.name, []).append(call)
        return found

    def _called(self) -> float:
        if len(self._times) < _MOST:
            self._times.append(time.perf_counter())
            self._stolen.append(stolen_seconds())
        return self._interval


def stolen_seconds() -> float:
    """Processor time that a virtual machine was not given though it wanted it, so far, of all processors; 0 where unknown.

    The kernel counts it in hundredths of a second (proc(5), /proc/stat, steal).
    """
    try:
        with open("/proc/stat", encoding="ascii") as file:  # noqa: PTH123 - a line of a file that is none
            return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def distribution(values: Sequence[float]) -> dict[str, float]:
    """Count, and median, p90, p99, maximum and sum in milliseconds, of values in seconds."""
    if not values:
        return {"count": 0}
    ordered = sorted(values)

    def at(share: float) -> float:
        return _ms(ordered[min(len(ordered) - 1, int(share * len(ordered)))])

    return {
        "count": len(ordered),
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "max": _ms(ordered[-1]),
        "sum": _ms(sum(ordered)),
    }


def _ms(seconds: float) -> float:
    return round(1000.0 * seconds, 3)


def _watch(package: str, calls: list[Call]) -> Iterator[Callable[[], None]]:
    """Put a clock around everything of `package` that Blender calls; yields what takes it away again."""
    for cls in _classes(package):
        for name in (*_DRAWS, *_ACTS):
            # What it inherits from elsewhere is Blender's.
            if any(name in vars(base) for base in cls.__mro__ if base.__module__.startswith(package)):
                kind = "draw" if name in _DRAWS else "operator"
                yield _wrap(cls, name, kind, f"{cls.__name__}.{name}", calls)
    for name in dir(bpy.app.handlers):
        handlers = getattr(bpy.app.handlers, name)
        if isinstance(handlers, list):
            for handler in [h for h in handlers if getattr(h, "__module__", "").startswith(package)]:
                timed = _timed(handler, "handler", f"{name}: {handler.__name__}", calls)
                handlers[handlers.index(handler)] = timed
                yield functools.partial(_put_back, handlers, timed, handler)
    for module in [m for n, m in sys.modules.items() if n.startswith(f"{package}.operators.")]:
        for name, function in list(vars(module).items()):
            own = callable(function) and getattr(function, "__module__", "") == module.__name__
            # Some are registered only while they have something to do: those are known by their name.
            if own and (name.endswith("timer") or _is_timer(function)):
                yield _wrap_timer(module, name, calls)


def _watch_collector(calls: list[Call]) -> Callable[[], None]:
    """Full collections, of which each looks at all objects there are, of Blender and of everybody."""
    began = (0.0, 0.0)

    def collected(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter(), time.thread_time()
        elif info["generation"] == 2 and len(calls) < _MOST:
            calls.append(Call("collector", "gc", began[0], time.perf_counter(), time.thread_time() - began[1]))

    gc.callbacks.append(collected)
    return functools.partial(gc.callbacks.remove, collected)


def _classes(package: str) -> list[type]:
    found: list[type] = []
    for module in [m for n, m in sys.modules.items() if n.startswith(f"{package}.")]:
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__ and getattr(value, "is_registered", False):
                found.append(value)
    return found


def _is_timer(function: Callable[..., Any]) -> bool:
    try:
        return bool(bpy.app.timers.is_registered(function))
    except ValueError:
        return False


def _timed(function: Callable[..., Any], kind: str, label: str, calls: list[Call]) -> Callable[..., Any]:
    def watched(*args: Any, **options: Any) -> Any:
        start, worked = time.perf_counter(), time.thread_time()
        try:
            return function(*args, **options)
        finally:
            if len(calls) < _MOST:
                calls.append(Call(kind, label, start, time.perf_counter(), time.thread_time() - worked))

    # Blender passes as many arguments as the function's code says it takes: the stand-in has to say the same.
    count = function.__code__.co_argcount
    names = ", ".join(f"_{i}" for i in range(count))
    made: dict[str, Any] = {}
    exec(
        f"def timed({names}, *rest, **options): return watched({names}, *rest, **options)".replace("(, ", "("),
        {"watched": watched},
        made,
    )
    timed: Callable[..., Any] = functools.wraps(function)(made["timed"])
    timed.__defaults__ = function.__defaults__
    return timed


def _wrap(owner: type, name: str, kind: str, label: str, calls: list[Call]) -> Callable[[], None]:
    own = inspect.getattr_static(owner, name)
    inherited = name not in vars(owner)
    if isinstance(own, classmethod):
        setattr(owner, name, classmethod(_timed(own.__func__, kind, label, calls)))
    else:
        setattr(owner, name, _timed(own, kind, label, calls))
    return functools.partial(delattr, owner, name) if inherited else functools.partial(setattr, owner, name, own)


def _wrap_timer(module: Any, name: str, calls: list[Call]) -> Callable[[], None]:
    """Blender knows a timer by its function: the one that is timed takes its place, there and in its module."""
    own = getattr(module, name)
    timed = _timed(own, "tick", f"{module.__name__.rpartition('.')[2]}.{name}", calls)

    def swap(old: Callable[..., Any], new: Callable[..., Any]) -> None:
        setattr(module, name, new)
        if bpy.app.timers.is_registered(old):
            bpy.app.timers.unregister(old)
            bpy.app.timers.register(new, first_interval=0.0, persistent=True)

    swap(own, timed)
    return functools.partial(swap, timed, own)


def _put_back(handlers: list[Any], timed: Any, own: Any) -> None:
    if timed in handlers:
        handlers[handlers.index(timed)] = own
