# SPDX-License-Identifier: GPL-3.0-or-later
"""The file layer: the few operations that durability rests on, so that a test can put one in their place that forgets.

Knows nothing of journals or jobs. Everything that must survive a power cut goes through a `FileLayer`; what the layer promises
is written at each method, and no more than that may be relied on. Errors are the system's own `OSError`; `store_error` turns
one into the `StoreError` that people see.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from ..queue.errors import StoreError

CHUNK = 1 << 20  # bytes read at a time
FILE_MODE = 0o600
FOLDER_MODE = 0o700


class OpenFile(Protocol):
    """A file opened for appending. One thread at a time."""

    def write(self, data: bytes) -> int:
        """Append; how many bytes were taken, which may be fewer than given. Not durable before `sync`."""

    def sync(self) -> None:
        """Returns once everything written is durable. After an error nothing may be assumed of what was not durable before."""

    def truncate(self, size: int) -> None:
        """Cut to `size` bytes; later writes append there."""

    def size(self) -> int: ...

    def close(self) -> None: ...


class FileLayer(Protocol):
    """Files as the store needs them. Names of created, replaced and removed files are durable only after `sync_dir`."""

    def create(self, path: Path) -> OpenFile:
        """Open an empty file for appending; what was there is gone."""

    def append(self, path: Path) -> OpenFile:
        """Open an existing file for appending at its end."""

    def chunks(self, path: Path, size: int = CHUNK) -> Iterator[bytes]:
        """The file's bytes from the beginning, in pieces of at most `size`."""

    def replace(self, source: Path, target: Path) -> None: ...

    def remove(self, path: Path) -> None: ...

    def make_dir(self, path: Path) -> None:
        """Make a folder and its parents, readable by the user alone. Fine if it is there."""

    def sync_dir(self, path: Path) -> None: ...

    def names(self, path: Path) -> list[str]:
        """Names of the regular files in a folder, sorted; empty when there is no such folder."""

    def size(self, path: Path) -> int: ...


def write_all(file: OpenFile, data: bytes) -> None:
    """Append all of `data`, however many writes that takes."""
    taken = file.write(data)
    if taken == len(data):
        return
    rest = memoryview(data)[taken:]
    while rest:
        taken = file.write(bytes(rest))
        if taken <= 0:
            raise OSError(errno.EIO, "The system took no more bytes and gave no reason.")
        rest = rest[taken:]


_CODES = {
    errno.ENOSPC: ("disk_full", "The disk is full. Free some space; writing is tried again by itself."),
    errno.EDQUOT: ("disk_full", "The disk quota is used up. Free some space; writing is tried again by itself."),
    errno.EFBIG: ("disk_full", "The file may not grow any further (file size limit). Raise the limit or choose another folder."),
    errno.EROFS: ("read_only", "The folder is on a read-only file system. Choose a folder that can be written to."),
    errno.EACCES: ("read_only", "The folder may not be written to. Change its permissions or choose another folder."),
    errno.EPERM: ("read_only", "The folder may not be written to. Change its permissions or choose another folder."),
}


def store_error(error: OSError, doing: str) -> StoreError:
    """The error people see. Codes: disk_full, read_only, missing_file, io_error. `doing`: "writing journal-00000001.jsonl"."""
    if isinstance(error, FileNotFoundError):
        return StoreError(
            "missing_file", f"Failed {doing}: the file or folder is gone ({error}). Restore it or choose another folder."
        )
    code, advice = _CODES.get(
        error.errno or 0, ("io_error", "Check the disk and its connection; writing is tried again by itself.")
    )
    return StoreError(code, f"Failed {doing}: {error.strerror or error}. {advice}", retryable=True)


class _OsFile:
    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def sync(self) -> None:
        _sync(self._fd)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class OsFiles:
    """The real files of this machine."""

    __slots__ = ()

    def create(self, path: Path) -> OpenFile:
        return _OsFile(os.open(path, _FLAGS | os.O_CREAT | os.O_TRUNC, FILE_MODE))

    def append(self, path: Path) -> OpenFile:
        return _OsFile(os.open(path, _FLAGS))

    def chunks(self, path: Path, size: int = CHUNK) -> Iterator[bytes]:
        with path.open("rb", buffering=0) as file:
            while data := file.read(size):
                yield data

    def replace(self, source: Path, target: Path) -> None:
        _retry_busy(lambda: source.replace(target))

    def remove(self, path: Path) -> None:
        _retry_busy(path.unlink)

    def make_dir(self, path: Path) -> None:
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)

    def sync_dir(self, path: Path) -> None:
        if os.name == "nt":
            return  # Windows has no such call: NTFS journals its names itself
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def names(self, path: Path) -> list[str]:
        try:
            with os.scandir(path) as entries:
                return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def size(self, path: Path) -> int:
        return path.stat().st_size


# O_APPEND: a truncated file goes on at its new end. No symbolic links: the folder may have been written to by others.
_FLAGS = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def _sync(fd: int) -> None:
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415  (not on Windows)

        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync alone leaves the data in the drive's cache there
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
            os.fsync(fd)  # a file system without it (network shares)
    elif sys.platform == "win32":
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def _retry_busy(action: Callable[[], object]) -> None:
    """On Windows a virus scanner or indexer may hold a file for a moment: try for two seconds before giving up."""
    deadline = time.monotonic() + 2.0
    while True:
        try:
            action()
        except PermissionError:
            if os.name != "nt" or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def is_regular(path: Path) -> bool:
    """Whether it is a plain file itself, not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


__all__ = ["CHUNK", "FILE_MODE", "FOLDER_MODE", "FileLayer", "OpenFile", "OsFiles", "is_regular", "store_error", "write_all"]
