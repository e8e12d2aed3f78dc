# SPDX-License-Identifier: GPL-3.0-or-later
"""The durable inbox: how another process tells the owner of a state folder what to do, and learns that it was done.

A command is a file, written beside, synced and renamed into `inbox/`; it stays until its acknowledgement lies in `inbox/done/`.
So a crash of either side loses nothing: an owner that died in between gets the command again. Knows no command by name.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..queue.contract import Json
from ..queue.errors import StoreError
from .files import FileLayer, OsFiles, is_regular, store_error, write_all
from .lines import depth_of

FORMAT = 1
MAX_BYTES = 1 << 20  # of one command
MAX_DEPTH = 32
MAX_DRAINED = 1000  # commands taken at once
MAX_REJECTED = 200  # refused commands kept for looking at
ACKS_KEPT = 24 * 3600.0  # seconds
_NAME = re.compile(r"\d{20}-([0-9a-f]{32})\.json")
_ID = re.compile(r"[0-9a-f]{32}")
_COMMAND = re.compile(r"[a-z][a-z0-9_]{0,63}")
_log = logging.getLogger("motion_queue.inbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    id: str
    command: str
    arguments: Mapping[str, Json] = field(default_factory=dict)
    at: float = 0.0  # when it was sent: seconds since the epoch, UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The owner's answer. `code` and `message` say why when it is not `ok`."""

    id: str
    ok: bool
    result: Json = None
    code: str = ""
    message: str = ""


class Inbox:
    """The owner's side. One thread at a time."""

    def __init__(self, folder: Path, files: FileLayer | None = None) -> None:
        """`folder`: the state folder."""
        self.folder = folder / "inbox"
        self._files = files or OsFiles()
        self._taken: dict[str, str] = {}  # id → file name, handed out and not acknowledged
        self._last_prune = 0.0
        try:
            for path in (self.folder, self._done, self._rejected):
                self._files.make_dir(path)
        except OSError as error:
            raise store_error(error, f"making {self.folder}") from error

    @property
    def _done(self) -> Path:
        return self.folder / "done"

    @property
    def _rejected(self) -> Path:
        return self.folder / "rejected"

    def drain(self) -> list[Command]:
        """The commands that came since, oldest first. Each must be acknowledged; until then a new owner would get it again."""
        commands: list[Command] = []
        try:
            taken = set(self._taken.values())
            for name in self._files.names(self.folder):
                if name in taken or not name.endswith(".json"):
                    continue
                if len(commands) >= MAX_DRAINED:
                    break
                try:
                    command = self._read(name)
                except _RefusedError as refused:
                    self._reject(name, str(refused))
                    continue
                if is_regular(self._done / f"{command.id}.json"):
                    self._files.remove(self.folder / name)  # answered just before a crash
                    continue
                self._taken[command.id] = name
                commands.append(command)
            self._prune()
        except OSError as error:
            raise store_error(error, f"reading {self.folder}") from error
        return commands

    def acknowledge(self, ack: Ack) -> None:
        """Answer a drained command, durably. `StoreError` when the disk refuses; the command stays open then."""
        value = {"format": FORMAT, "id": ack.id, "ok": ack.ok, "result": ack.result, "code": ack.code, "message": ack.message}
        if not _ID.fullmatch(ack.id):
            raise ValueError(f"{ack.id!r} is not the id of a command")
        try:
            _drop(self._files, self._done, f"{ack.id}.json", json.dumps(value).encode("ascii"))
            name = self._taken.pop(ack.id, "")
            if name:
                self._files.remove(self.folder / name)
        except OSError as error:
            raise store_error(error, f"acknowledging command {ack.id}") from error

    def _read(self, name: str) -> Command:
        match = _NAME.fullmatch(name)
        if match is None:
            raise _RefusedError("its name is not that of a command")
        value = _read_json(self.folder / name)
        if value.get("format") != FORMAT:
            raise _RefusedError(f"format {value.get('format')!r} is not known; this version reads {FORMAT}")
        command, arguments, at = value.get("command"), value.get("arguments", {}), value.get("at", 0.0)
        if value.get("id") != match[1]:
            raise _RefusedError("id does not agree with the file's name")
        if not isinstance(command, str) or not _COMMAND.fullmatch(command):
            raise _RefusedError("command is not a name of small letters, digits and underscores")
        if not isinstance(arguments, dict):
            raise _RefusedError("arguments is not an object")
        if isinstance(at, bool) or not isinstance(at, (int, float)):
            raise _RefusedError("at is not a time in seconds")
        return Command(id=match[1], command=command, arguments=arguments, at=float(at))

    def _reject(self, name: str, reason: str) -> None:
        """Put a command aside with the reason, and answer its sender where it can be told apart."""
        _log.warning("Command file %s refused: %s", name, reason)
        kept = self._files.names(self._rejected)
        for old in kept[: max(0, len(kept) - MAX_REJECTED + 2)]:
            self._files.remove(self._rejected / old)
        self._files.replace(self.folder / name, self._rejected / name)
        _drop(self._files, self._rejected, f"{name}.reason.txt", (reason + "\n").encode("utf-8"))
        match = _NAME.fullmatch(name)
        if match is not None:
            self.acknowledge(Ack(id=match[1], ok=False, code="command_invalid", message=f"The command was refused: {reason}."))

    def _prune(self) -> None:
        now = time.time()
        if now - self._last_prune < 60.0:
            return
        self._last_prune = now
        for folder in (self._done, self.folder):
            for name in self._files.names(folder):
                if folder == self.folder and not name.endswith(".tmp"):
                    continue
                path = folder / name
                if now - path.stat().st_mtime > ACKS_KEPT:
                    self._files.remove(path)


def send(
    folder: Path,
    command: str,
    arguments: Mapping[str, Json] | None = None,
    timeout: float = 10.0,
    files: FileLayer | None = None,
) -> Ack:
    """Tell the owner of a state folder to do something, and wait up to `timeout` seconds for its answer.

    `StoreError` command_invalid (nothing was sent), command_pending (no answer yet: it stays in the inbox and is done when an
    owner runs), or of the disk.
    """
    files = files or OsFiles()
    number = uuid.uuid4().hex
    if not _COMMAND.fullmatch(command):
        raise StoreError("command_invalid", f"{command!r} is no command: use small letters, digits and underscores.")
    value = {"format": FORMAT, "id": number, "command": command, "arguments": dict(arguments or {}), "at": time.time()}
    try:
        data = json.dumps(value, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError("command_invalid", f"The arguments of {command} cannot be sent: {error}.") from error
    if len(data) > MAX_BYTES or depth_of(value) > MAX_DEPTH:
        raise StoreError("command_invalid", f"The arguments of {command} are over {MAX_BYTES} bytes or {MAX_DEPTH} levels deep.")
    inbox = folder / "inbox"
    try:
        if not folder.is_dir():
            raise StoreError("missing_file", f"There is no state folder {folder}. Check the path given with --state.")
        files.make_dir(inbox)
        _drop(files, inbox, f"{time.time_ns():020}-{number}.json", data)
    except OSError as error:
        raise store_error(error, f"sending {command} to {folder}") from error
    answer = inbox / "done" / f"{number}.json"
    deadline = time.monotonic() + timeout
    while True:
        if is_regular(answer):
            return _read_ack(answer)
        if time.monotonic() >= deadline:
            raise StoreError(
                "command_pending",
                f"{command} was left in the inbox of {folder}, but no answer came within {timeout:g} s. It is done as soon "
                "as the queue of that folder runs.",
                retryable=True,
            )
        time.sleep(0.02)


class _RefusedError(Exception):
    """Why a command file is not taken."""


def _read_ack(path: Path) -> Ack:
    try:
        value = _read_json(path)
    except _RefusedError as refused:
        raise StoreError("ack_invalid", f"The answer {path} cannot be read: {refused}. Look at the queue's log.") from refused
    return Ack(
        id=str(value.get("id", "")),
        ok=value.get("ok") is True,
        result=value.get("result"),
        code=str(value.get("code", "")),
        message=str(value.get("message", "")),
    )


def _no_constant(text: str) -> Json:
    raise ValueError(f"{text} is no JSON value")


def _read_json(path: Path) -> dict[str, Any]:
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(fd, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _RefusedError(f"it is over {MAX_BYTES} bytes")
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(f"it is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise _RefusedError("it is no JSON object")
    if depth_of(value) > MAX_DEPTH:
        raise _RefusedError(f"it is nested deeper than {MAX_DEPTH} levels")
    return value


def _drop(files: FileLayer, folder: Path, name: str, data: bytes) -> None:
    """Put a whole file into a folder: nobody ever sees half of it, and it is durable on return."""
    temp = folder / f"{name}.{uuid.uuid4().hex[:8]}.tmp"
    file = files.create(temp)
    try:
        write_all(file, data)
        file.sync()
    except BaseException:
        file.close()
        files.remove(temp)
        raise
    file.close()
    files.replace(temp, folder / name)
    files.sync_dir(folder)


__all__ = ["Ack", "Command", "Inbox", "send"]
