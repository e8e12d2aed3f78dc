# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes and their descendants: find them, measure them, end them, lower their priority. One small function per system.

On Linux it reads /proc itself: children look too, in Pythons that have no psutil, and a look costs a fraction of psutil's.
Elsewhere it uses psutil. It knows nothing of jobs, protocols or Blender; both the supervisor and the child use it. The
Windows and macOS branches have not been run by anybody yet.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

try:
    import psutil
except ImportError:  # not in every Python a child runs in; can_measure() tells
    _HAS_PSUTIL = False
else:
    _HAS_PSUTIL = True

_PROC = Path("/proc")
_DARWIN_PRIO_PROCESS = 4  # sys/resource.h: PRIO_DARWIN_PROCESS
_DARWIN_BACKGROUND = 0x1000  # sys/resource.h: PRIO_DARWIN_BG


class ProcessId(NamedTuple):
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    started: float  # in the system's own unit; only compared for equality


def can_measure() -> bool:
    """Whether memory and descendants can be seen on this machine."""
    return _HAS_PSUTIL or sys.platform == "linux"


Table = Mapping[int, Sequence[ProcessId]]  # parent pid → its living children


def process_table() -> Table:
    """All living processes by their parent. Empty where they cannot be seen."""
    if sys.platform == "linux":
        return _linux_table()
    table: dict[int, list[ProcessId]] = {}
    if _HAS_PSUTIL:
        for process in psutil.process_iter(["ppid", "create_time"]):
            table.setdefault(process.info["ppid"] or 0, []).append(ProcessId(process.pid, process.info["create_time"] or 0.0))
    return table


def descendants(pid: int, table: Table | None = None) -> list[ProcessId]:
    """All living children of `pid` and theirs, without `pid` itself; from a table read just now, or one read here."""
    children = process_table() if table is None else table
    found: list[ProcessId] = []
    unvisited = [pid]
    while unvisited:
        for child in children.get(unvisited.pop(), ()):
            found.append(child)
            unvisited.append(child.pid)
    return found


def rss_mb(pids: Iterable[int]) -> float:
    """Resident memory of these processes together, in MB. Those that ended count nothing."""
    total = 0
    for pid in pids:
        if sys.platform == "linux":
            total += _linux_rss(pid)
        elif _HAS_PSUTIL:
            try:
                total += psutil.Process(pid).memory_info().rss
            except psutil.Error:
                continue  # ended meanwhile
    return total / 1_000_000


def send_signal(processes: Iterable[ProcessId], number: int) -> None:
    """Signal each of them that is still the same process. One that is gone is what was wanted."""
    for process in processes:
        if _still_the_same(process):
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                continue
            except PermissionError:
                continue  # it changed its user; nothing in our hands can end it


def wait_gone(processes: Iterable[ProcessId], timeout: float) -> bool:
    """Wait until none of them lives, at most `timeout` seconds. They may be anybody's children, so nothing tells when."""
    deadline = time.monotonic() + timeout
    left = [p for p in processes if _still_the_same(p)]
    while left and time.monotonic() < deadline:
        time.sleep(0.005)
        left = [p for p in left if _still_the_same(p)]
    return not left


def signal_group(pid: int, number: int) -> None:
    """Signal the process group led by `pid` (POSIX), or the process itself (Windows). Only while `pid` is not reaped."""
    try:
        if sys.platform == "win32":
            os.kill(pid, number)
        else:
            os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left in it; macOS says EPERM for a group of zombies


def kill_signal() -> int:
    """The signal that cannot be ignored."""
    if sys.platform == "win32":
        return signal.SIGTERM  # os.kill makes it TerminateProcess
    return signal.SIGKILL


def end_own_tree() -> None:
    """Kill everything this process started, then its own process group. Does not return where this process leads its group."""
    number = kill_signal()
    for _ in range(2):  # twice: one of them may have been starting another
        send_signal(descendants(os.getpid()), number)
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), number)


def processor_time(pid: int) -> float | None:
    """Seconds of the processor that the first thread of a process has had, while it wants more: it has it now, or waits for it.
    None while it waits for something else, and where that cannot be seen.
    """
    if sys.platform != "linux":
        return None
    stat = _linux_stat(pid)
    if stat is None or stat[2] != "R":
        return None
    try:
        return int((_PROC / str(pid) / "schedstat").read_bytes().split()[0]) / 1e9
    except (OSError, IndexError):
        return None


def lower_priority(pid: int) -> str:
    """Let a child, and all that it starts, work only while nobody else wants the processor. Right after its start, before it has
    threads. Returns "" or why that was not possible.
    """
    try:
        if sys.platform == "linux":
            _linux_idle(pid)
        elif sys.platform == "darwin":
            os.setpriority(_DARWIN_PRIO_PROCESS, pid, _DARWIN_BACKGROUND)
        # Windows: the class is given at creation, see creation_flags().
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has ended
    except OSError as error:
        return f"the priority of process {pid} could not be lowered: {error.strerror or error}"
    return ""


def creation_flags(*, low_priority: bool) -> int:
    """Popen's creationflags on Windows: no console window, and idle priority when wanted. 0 elsewhere."""
    if sys.platform != "win32":
        return 0
    import subprocess  # noqa: PLC0415 - only this branch needs it

    flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    return flags | subprocess.IDLE_PRIORITY_CLASS if low_priority else flags


def _linux_idle(pid: int) -> None:
    assert sys.platform == "linux"
    # On Linux the policy belongs to a thread. What a thread starts, threads and processes, inherits it.
    for task in (_PROC / str(pid) / "task").iterdir():
        try:
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
        except ProcessLookupError:
            continue  # that thread ended


def _linux_stat(pid: int) -> tuple[int, int, str] | None:
    """Parent, start time in clock ticks, and state letter; see proc(5). The name in brackets may hold anything."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None  # gone, or another user's in a hardened /proc
    rest = text[text.rindex(b")") + 2 :].split()
    return int(rest[1]), int(rest[19]), rest[0].decode("ascii")


def _linux_table() -> Table:
    table: dict[int, list[ProcessId]] = {}
    for entry in os.listdir(_PROC):  # noqa: PTH208 - once a second over all processes; no Path for each
        if entry.isdigit():
            stat = _linux_stat(int(entry))
            if stat is not None and stat[2] not in "ZX":
                table.setdefault(stat[0], []).append(ProcessId(int(entry), stat[1]))
    return table


def _linux_rss(pid: int) -> int:
    assert sys.platform == "linux"
    try:
        pages = int((_PROC / str(pid) / "statm").read_bytes().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * int(os.sysconf("SC_PAGE_SIZE"))


def _still_the_same(process: ProcessId) -> bool:
    if sys.platform == "linux":
        stat = _linux_stat(process.pid)
        return stat is not None and stat[1] == process.started and stat[2] not in "ZX"
    if not _HAS_PSUTIL:
        return True
    try:
        return bool(psutil.Process(process.pid).create_time() == process.started)
    except psutil.Error:
        return False
