# SPDX-License-Identifier: GPL-3.0-or-later
"""The state folder: where it is, who owns it, and what becomes of one whose owner is gone.

One process owns a folder by a lock of the operating system, which ends with the process, however that ends. What the lock file
says (pid, host) is for messages only. Knows nothing of what lies in the folder but the names of the journal's files.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import sys
import time
from pathlib import Path
from types import TracebackType

from ..queue.errors import StoreError
from .files import FOLDER_MODE, OsFiles, store_error
from .reader import PREVIOUS, SNAPSHOT, segment_name, segment_numbers

ENVIRONMENT = "MOTION_QUEUE_STATE"
LOCK = "lock"
_RETIRING = "retiring"  # a file that says: the jobs in here are taken over, only the moving aside was interrupted
ADOPTED = "adopted"  # where the journal of a folder goes once another one has taken its jobs over
_NUMBERED = re.compile(r"state-(\d{1,4})")
_MOST_FOLDERS = 64
_PROBE = ".write-test"


def resolve(argument: str | os.PathLike[str] | None = None, extension: Path | None = None) -> Path:
    """The state folder to use, not made yet: `--state`, else MOTION_QUEUE_STATE, else `extension` (the path Blender gives an
    extension for user files; the caller asks for it), else the user's state directory. Absolute."""
    if argument:
        return Path(argument).expanduser().absolute()
    if named := os.environ.get(ENVIRONMENT):
        return Path(named).expanduser().absolute()
    if extension is not None:
        return extension.absolute()
    return user_state_dir() / "motion_queue"


def user_state_dir() -> Path:
    """Where programs keep state for this user on this platform."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    named = os.environ.get("XDG_STATE_HOME", "")
    return Path(named) if named.startswith("/") else Path.home() / ".local" / "state"


class StateFolder:
    """A state folder that this process owns until `release`. Made by `acquire` or `claim`, not directly."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, path: Path) -> StateFolder:
        """Make the folder if need be and own it. `StoreError` state_locked, state_read_only, or of the disk."""
        path = path.absolute()
        try:
            path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0), 0o600)
        except FileExistsError as error:
            raise StoreError("state_not_a_folder", f"{path} is a file. Choose a folder for the state of the queue.") from error
        except OSError as error:
            raise _state_error(error, path) from error
        try:
            if not _try_lock(fd):
                raise StoreError("state_locked", _locked_message(path), retryable=True)
            _check_writable(path)
            _write_owner(fd)
        except OSError as error:
            os.close(fd)
            raise _state_error(error, path) from error
        except BaseException:
            os.close(fd)
            raise
        folder = cls(path, fd)
        if (path / _RETIRING).exists():
            folder.retire()
        return folder

    @property
    def journal(self) -> Path:
        """The folder of its journal."""
        return journal_of(self.path)

    @property
    def held(self) -> bool:
        return self._fd >= 0

    def release(self) -> None:
        """Give the folder up. The lock file stays: removing it would let two processes lock two files of the same name."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.ftruncate(fd, 0)
            os.close(fd)

    def retire(self) -> None:
        """Put the journal aside once another folder has all its unfinished jobs, durably; artefacts stay where they are.

        To adopt a folder: acquire it, open its journal, append its unfinished jobs under their own ids to one's own journal, wait
        until they are durable, close it, retire, release. A crash in between repeats the adoption: who appends skips known ids.
        """
        files = OsFiles()
        target = self.path / ADOPTED / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        try:
            names = _journal_files(self.path)
            if not names and not (self.path / _RETIRING).exists():
                return
            while target.exists():
                target = target.with_name(target.name + "-")
            files.make_dir(target)
            files.create(self.path / _RETIRING).close()
            files.sync_dir(self.path)  # from here on nobody adopts them again
            for name in names:
                files.replace(self.journal / name, target / name)
            files.sync_dir(target)
            if names:
                files.sync_dir(self.journal)
            files.remove(self.path / _RETIRING)
            files.sync_dir(self.path)
        except OSError as error:
            raise store_error(error, f"retiring {self.path}") from error

    def __enter__(self) -> StateFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def claim(parent: Path) -> StateFolder:
    """Own a folder under `parent`: the first of state-1, state-2, … that nobody owns, made if need be."""
    for number in range(1, _MOST_FOLDERS + 1):
        try:
            return StateFolder.acquire(parent / f"state-{number}")
        except StoreError as error:
            if error.code != "state_locked":
                raise
    raise StoreError(
        "state_locked", f"All {_MOST_FOLDERS} state folders in {parent} are in use. Close a Blender, or name another folder."
    )


def find_orphans(parent: Path) -> list[Path]:
    """State folders under `parent` that hold a journal and that nobody owns: ready to be acquired and adopted."""
    try:
        folders = [path for path in parent.iterdir() if _NUMBERED.fullmatch(path.name) and path.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise store_error(error, f"looking for state folders in {parent}") from error
    folders.sort(key=lambda path: int(path.name.partition("-")[2]))
    return [path for path in folders if _journal_files(path) and not (path / _RETIRING).exists() and not is_owned(path)]


def is_owned(path: Path) -> bool:
    """Whether a running process owns the folder. True also where the lock may not be looked at."""
    try:
        fd = os.open(path / LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return True
        raise store_error(error, f"looking at the lock of {path}") from error
    try:
        return not _try_lock(fd)
    finally:
        os.close(fd)


def owner_of(path: Path) -> tuple[int, str]:
    """Process id and host that the lock file names; (0, "") where it names none. For messages: it may be out of date."""
    try:
        with (path / LOCK).open("rb") as file:
            value = json.loads(file.read(4096) or b"{}")
    except (OSError, ValueError):
        return 0, ""
    if not isinstance(value, dict) or type(value.get("pid")) is not int:
        return 0, ""
    return value["pid"], str(value.get("host", ""))


def remove(path: Path) -> None:
    """Delete a state folder with everything in it. Only one that is not in use: `StoreError` state_locked."""
    with StateFolder.acquire(path):
        shutil.rmtree(path)


def journal_of(path: Path) -> Path:
    """The folder of a state folder's journal; `read_state` reads it without the lock."""
    return path / "journal"


def _journal_files(path: Path) -> list[str]:
    """Oldest first."""
    files, folder = OsFiles(), journal_of(path)
    names = set(files.names(folder))
    return [name for name in (PREVIOUS, SNAPSHOT) if name in names] + [segment_name(n) for n in segment_numbers(files, folder)]


def _state_error(error: OSError, path: Path) -> StoreError:
    found = store_error(error, f"taking the state folder {path}")
    if found.code == "read_only":
        return StoreError(
            "state_read_only", f"The state folder {path} cannot be written to ({error.strerror}). Name another one with --state."
        )
    return found


def _locked_message(path: Path) -> str:
    pid, host = owner_of(path)
    who = "another process"
    if pid:
        who = f"process {pid}" + (f" on {host}" if host != socket.gethostname() else "")
    return (
        f"The state folder {path} is in use by {who}. Close that one, send it commands through its inbox, or name another folder."
    )


def _check_writable(path: Path) -> None:
    """A lock may be had in a folder where no file can be made (permissions, a disk remounted read-only)."""
    probe = path / _PROBE
    fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    os.close(fd)
    probe.unlink()


def _write_owner(fd: int) -> None:
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "at": time.time()}).encode("ascii")
    try:
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, text)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise  # a full disk is no reason not to own the folder: the pid is a courtesy


if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 30  # far behind the text: Windows locks keep others from reading the bytes they cover

    def _try_lock(fd: int) -> bool:
        """Lock without waiting; False when another process has it. Ends with the process or when `fd` is closed."""
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

else:
    import fcntl

    def _try_lock(fd: int) -> bool:
        """Lock without waiting; False when another process has it. Ends with the process or when `fd` is closed."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True


__all__ = [
    "ENVIRONMENT",
    "StateFolder",
    "claim",
    "find_orphans",
    "is_owned",
    "journal_of",
    "owner_of",
    "remove",
    "resolve",
    "user_state_dir",
]
