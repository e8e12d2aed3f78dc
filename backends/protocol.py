# SPDX-License-Identifier: GPL-3.0-or-later
"""What a supervisor and its child process say to each other: JSON text sequences (RFC 7464) over pipes, and what child code sees.

Each message is one line: the record separator 0x1E, a JSON object, a line feed. Everything else on the pipe is stray
output (a banner, a library's print) and is told apart by the missing separator, even when it is glued to a message.
Both sides use this module. It knows no processes, no threads, no pipes and no bpy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from ..queue.contract import Json, StopReason

PROTOCOL_VERSION = 1
MAX_LINE = 32 * 1024 * 1024  # bytes of one message; bigger things go through files
MAX_STAGE = 200  # characters
MAX_LOG_MESSAGE = 8_000  # characters
LOG_LEVELS = ("debug", "info", "warning", "error")
_SEPARATOR = b"\x1e"


class ChildKind(StrEnum):
    """The two kinds of child: numerics need only numpy, scenes need a Blender."""

    PYTHON = "python"
    BLENDER = "blender"


class ChildContext(Protocol):
    """What the code of one job sees inside a child. Its entry is `def run(arguments: dict, context: ChildContext) -> dict`.

    Arguments and result are JSON objects without NaN; big arrays and motions go through files. An exception with a `code`
    (MotionQueueError, MotionError) reaches the parent as that error; any other becomes `child_error` with the traceback
    in the job's log. Every method may be called from any thread of the child.
    """

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the job should stop now, or None."""

    @property
    def threads(self) -> int:
        """How many threads this job may use (for `scene.render.threads`, a BLAS, …); 0: no limit."""

    def check(self) -> None:
        """Raise `StepStopped` when the parent asked to stop."""

    def wait_stop(self, timeout: float) -> bool:
        """Sleep up to `timeout` seconds; True as soon as the job should stop."""

    def progress(self, fraction: float, stage: str = "", data: Mapping[str, Json] | None = None) -> None:
        """Report progress 0–1. Cheap: latest value wins."""

    def log(self, level: str, message: str) -> None:
        """One line into the job's log. Levels: debug, info, warning, error."""


class ProtocolError(Exception):
    """The other side sent something that is no message of this protocol."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages. A subclass's fields are the JSON members beside `type`."""

    type: ClassVar[str] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Message):
    """Parent → child: do this job. The child has one job at a time."""

    type: ClassVar[str] = "run"
    job: str
    entry: str  # "backends.render.child:run", relative to the package
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Message):
    """Parent → child: please end this job at its next checkpoint."""

    type: ClassVar[str] = "stop"
    job: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quit(Message):
    """Parent → child: end yourself; no job is running."""

    type: ClassVar[str] = "quit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Message):
    """Child → parent: I am up and clean."""

    type: ClassVar[str] = "hello"
    protocol: int
    pid: int  # as the child sees it; differs from the parent's view where a wrapper or a namespace is between
    python: str
    blender: str = ""  # "4.5.15", or "" in a plain Python


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive(Message):
    """Child → parent: heartbeat, also while it works."""

    type: ClassVar[str] = "alive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Message):
    type: ClassVar[str] = "started"
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Message):
    type: ClassVar[str] = "progress"
    job: str
    fraction: float
    stage: str = ""
    data: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Message):
    type: ClassVar[str] = "log"
    job: str
    level: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Message):
    type: ClassVar[str] = "result"
    job: str
    value: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(Message):
    type: ClassVar[str] = "failure"
    job: str
    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)
    retryable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Message):
    """Child → parent: the job ended at a checkpoint because it was asked to."""

    type: ClassVar[str] = "stopped"
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Message):
    """Child → parent: the state the job left is gone, I am clean again."""

    type: ClassVar[str] = "ready"
    job: str


_TO_CHILD: dict[str, type[Message]] = {c.type: c for c in (Run, Stop, Quit)}
_TO_PARENT: dict[str, type[Message]] = {
    c.type: c for c in (Hello, Alive, Started, Progress, Log, Result, Failure, Stopped, Ready)
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


# Keyed by the annotation's text, which is what dataclasses.fields() gives here.
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "str": lambda v: isinstance(v, str),
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "float": _is_number,
    "bool": lambda v: isinstance(v, bool),
    "dict[str, Any]": lambda v: isinstance(v, dict),
    "dict[str, Any] | None": lambda v: v is None or isinstance(v, dict),
}


def encode(message: Message) -> bytes:
    """The bytes of one message. `ValueError` or `TypeError` when a value is no JSON (NaN, an array, an object)."""
    values = {f.name: getattr(message, f.name) for f in fields(message)}
    text = json.dumps({"type": message.type, **values}, allow_nan=False, separators=(",", ":"))
    return _SEPARATOR + text.encode("ascii") + b"\n"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _decode(line: bytes, known: Mapping[str, type[Message]]) -> Message:
    try:
        value = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ProtocolError("a message must be a JSON object")
    kind = value.pop("type", None)
    cls = known.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise ProtocolError(f"unknown message type {str(kind)[:40]!r}")
    for item in fields(cls):
        if item.name in value and not _CHECKS[str(item.type)](value[item.name]):
            raise ProtocolError(f"{kind}: field {item.name!r} is not {item.type}")
    try:
        return cls(**value)
    except TypeError as error:
        raise ProtocolError(f"{kind}: {error}") from error


@dataclass(frozen=True, slots=True)
class Stray:
    """Output on the pipe that is no message: logged, never parsed."""

    text: str


class LineReader:
    """Cuts a byte stream into messages and stray lines. Not thread-safe: one reader per pipe."""

    def __init__(self, *, from_child: bool, max_line: int = MAX_LINE) -> None:
        self._known = _TO_PARENT if from_child else _TO_CHILD
        self._max_line = max_line
        self._parts: list[bytes] = []  # of the unfinished line; joined once, so that a 30 MB line costs no 30 MB copies
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Message | Stray]:
        """Yield what is complete. `ProtocolError` for a broken message or a line over the limit; then the stream is unusable."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._parts.append(line)
            whole = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            yield from self._line(whole)
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
            if self._size > self._max_line:
                raise ProtocolError(f"a line of more than {self._max_line:,} bytes")

    def rest(self) -> Stray | None:
        """What was left without a line end when the stream ended."""
        text = b"".join(self._parts).decode("utf-8", "replace").strip()
        self._parts.clear()
        return Stray(text[:MAX_LOG_MESSAGE]) if text else None

    def _line(self, line: bytes) -> Iterator[Message | Stray]:
        if len(line) > self._max_line:
            raise ProtocolError(f"a line of more than {self._max_line:,} bytes")
        before, separator, message = line.partition(_SEPARATOR)
        text = before.decode("utf-8", "replace").strip()
        if text:
            yield Stray(text[:MAX_LOG_MESSAGE])
        if separator:
            yield _decode(message, self._known)
