# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk in memory that keeps no more than the file layer promises: for tests of what survives a power cut and a failing disk.

What was not synced may be there afterwards, in part, or not at all: bytes of files, and the names of created, replaced and
removed files. A failed sync loses the bytes it was for, even when a later sync succeeds. Faults are set by operation and count.
"""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class _Inode:
    content: bytes = b""  # what a running system reads
    durable: bytes = b""  # what is certain after a power cut
    lost_from: int | None = None  # bytes from here on were given up by a failed sync


@dataclass
class Fault:
    """Fails operations of one kind ("write", "sync", "create", "replace", "sync_dir", …) after `after` of them went well."""

    operation: str
    number: int = errno.ENOSPC
    after: int = 0
    times: int = 1
    short: bool = False  # a write takes half of the bytes first
    name: str = ""  # only files whose name contains this

    def hits(self, operation: str, path: Path) -> bool:
        if operation != self.operation or self.name not in path.name or self.times <= 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class FaultyFiles:
    """A `FileLayer`. `cut_at`: the power fails at that operation; from then on every operation fails."""

    cut_at: int | None = None
    seed: int = 0
    short_writes: bool = False
    faults: list[Fault] = field(default_factory=list)
    operations: int = 0
    syncs: int = 0
    dead: bool = False
    _names: dict[Path, _Inode] = field(default_factory=dict)
    _durable_names: dict[Path, _Inode] = field(default_factory=dict)
    _pending: list[tuple[Path, Callable[[dict[Path, _Inode]], None]]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.died = threading.Event()

    # -- the file layer

    def create(self, path: Path) -> _File:
        with self._lock:
            self._step("create", path)
            inode = _Inode()
            self._name(path.parent, lambda names: names.__setitem__(path, inode))
            return _File(self, path, inode)

    def append(self, path: Path) -> _File:
        with self._lock:
            self._step("append", path)
            return _File(self, path, self._inode(path))

    def chunks(self, path: Path, size: int = 1 << 20) -> Iterator[bytes]:
        with self._lock:
            self._step("read", path)
            data = self._inode(path).content
        for start in range(0, len(data), size):
            yield data[start : start + size]

    def replace(self, source: Path, target: Path) -> None:
        with self._lock:
            self._step("replace", target)
            inode = self._inode(source)

            def rename(names: dict[Path, _Inode]) -> None:
                names.pop(source, None)
                names[target] = inode

            self._name(target.parent, rename)

    def remove(self, path: Path) -> None:
        with self._lock:
            self._step("remove", path)
            self._inode(path)
            self._name(path.parent, lambda names: names.pop(path, None))

    def make_dir(self, path: Path) -> None:
        self._step("make_dir", path)

    def sync_dir(self, path: Path) -> None:
        with self._lock:
            self._step("sync_dir", path)
            for folder, change in self._pending:
                if folder == path:
                    change(self._durable_names)
            self._pending = [entry for entry in self._pending if entry[0] != path]

    def names(self, path: Path) -> list[str]:
        with self._lock:
            return sorted(name.name for name in self._names if name.parent == path)

    def size(self, path: Path) -> int:
        with self._lock:
            return len(self._inode(path).content)

    # -- for the test

    def put(self, path: Path, data: bytes) -> None:
        """A file that was always there."""
        self._names[path] = self._durable_names[path] = _Inode(data, data)

    def get(self, path: Path) -> bytes:
        return self._inode(path).content

    def power_cut(self) -> FaultyFiles:
        """What is there when the machine is switched on again; this layer is dead from now on."""
        with self._lock:
            self.dead = True
            self.died.set()
            names = dict(self._durable_names)
            for _, change in self._pending:
                if self._random.random() < 0.5:
                    change(names)
            after = FaultyFiles(seed=self.seed + 1)
            for path, inode in names.items():
                after.put(path, self._survivor(inode))
            return after

    def _survivor(self, inode: _Inode) -> bytes:
        if self._random.random() < 0.3:
            return inode.durable
        same = next(
            (at for at, (old, new) in enumerate(zip(inode.durable, inode.content, strict=False)) if old != new),
            min(len(inode.durable), len(inode.content)),
        )
        if same < len(inode.durable):  # it was cut and written anew since
            return self._random.choice([inode.durable, inode.content])
        kept = self._random.randint(same, len(inode.content))
        tail = b"\0" * self._random.choice([0, 0, len(inode.content) - kept])  # grown, but the bytes never came
        return inode.content[:kept] + tail

    def _inode(self, path: Path) -> _Inode:
        try:
            return self._names[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "No such file", str(path)) from None

    def _name(self, folder: Path, change: Callable[[dict[Path, _Inode]], object]) -> None:
        change(self._names)
        self._pending.append((folder, change))  # type: ignore[arg-type]

    def _step(self, operation: str, path: Path) -> None:
        with self._lock:
            if self.dead:
                raise OSError(errno.EIO, "the power is off")
            self.operations += 1
            if self.cut_at is not None and self.operations >= self.cut_at:
                self.dead = True
                self.died.set()
                raise OSError(errno.EIO, "the power failed")
            for fault in self.faults:
                if fault.hits(operation, path):
                    raise OSError(fault.number, os.strerror(fault.number))


class _File:
    def __init__(self, disk: FaultyFiles, path: Path, inode: _Inode) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode

    def write(self, data: bytes) -> int:
        disk = self._disk
        with disk._lock:
            try:
                disk._step("write", self._path)
            except OSError:
                if not disk.dead or disk.cut_at == disk.operations:
                    self._inode.content += data[: len(data) // 2]  # a failing write may have taken some
                raise
            if disk.short_writes and len(data) > 1:
                data = data[: disk._random.randint(1, len(data))]
            self._inode.content += data
            return len(data)

    def sync(self) -> None:
        disk, inode = self._disk, self._inode
        with disk._lock:
            try:
                disk._step("sync", self._path)
            except OSError:
                if inode.lost_from is None:
                    inode.lost_from = len(inode.durable)
                raise
            disk.syncs += 1
            content = inode.content
            if inode.lost_from is not None:
                # The system thinks these bytes are on the disk; they never got there.
                content = content[: inode.lost_from] + b"\0" * (len(content) - inode.lost_from)
            inode.durable = content

    def truncate(self, size: int) -> None:
        with self._disk._lock:
            self._disk._step("truncate", self._path)
            self._inode.content = self._inode.content[:size]
            if self._inode.lost_from is not None and size <= self._inode.lost_from:
                self._inode.lost_from = None

    def size(self) -> int:
        return len(self._inode.content)

    def close(self) -> None:
        return
