# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a child process: hello, then job after job, each from a clean state, until the parent is gone.

Jobs run on the main thread, because bpy is only safe there. A reader thread takes messages and, at end of file, kills this
process with everything it started: the parent is gone, whatever killed it. A heartbeat thread says that Python still runs.
Runs only inside a child; the parent's half is `child_worker`.
"""

from __future__ import annotations

import errno
import faulthandler
import gc
import importlib
import math
import os
import platform
import queue
import re
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..queue.contract import Json, StopReason
from ..queue.errors import StepStopped
from . import process_tree
from .protocol import (
    LOG_LEVELS,
    MAX_LOG_MESSAGE,
    MAX_STAGE,
    PROTOCOL_VERSION,
    Alive,
    ChildKind,
    Failure,
    Hello,
    LineReader,
    Log,
    Message,
    Progress,
    ProtocolError,
    Quit,
    Ready,
    Result,
    Run,
    Started,
    Stop,
    Stopped,
    Stray,
    encode,
)

_PACKAGE = __name__.partition(".backends.")[0]
_ENTRY = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")
_PROGRESS_INTERVAL = 0.05  # seconds; what comes faster replaces what has not been sent yet
_CHUNK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildConfig:
    """What the parent tells a child on its command line."""

    kind: ChildKind
    heartbeat: float = 1.0  # seconds between two
    hang_after: float = 120.0  # seconds without Python running after which the process ends itself, with a traceback
    threads: int = 0
    user_preferences: bool = False
    python_path: tuple[str, ...] = ()  # appended to sys.path: bundled wheels

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ChildConfig:
        return cls(
            kind=ChildKind(value["kind"]),
            heartbeat=float(value["heartbeat"]),
            hang_after=float(value["hang_after"]),
            threads=int(value["threads"]),
            user_preferences=bool(value["user_preferences"]),
            python_path=tuple(str(p) for p in value["python_path"]),
        )


def serve(config_json: Mapping[str, Any], protocol: int) -> None:
    """Serve jobs over the descriptor `protocol` and standard input. Ends the process, never returns."""
    code = 1
    try:
        config = ChildConfig.from_json(config_json)
        _Child(config, _Channel(protocol)).run()
        code = 0
    except BrokenPipeError:
        code = 0  # the parent is gone; that is no error of this process
    except BaseException:  # the last frame of the process: say why it ends
        traceback.print_exc()
    finally:
        # Not sys.exit: some Blenders hang or crash while they tear down a Python that registered something.
        sys.stderr.flush()
        process_tree.send_signal(process_tree.descendants(os.getpid()), process_tree.kill_signal())
        os._exit(code)


class _Channel:
    """Sends messages to the parent, whole, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        self.send_bytes(encode(message))

    def send_bytes(self, data: bytes) -> None:
        with self._lock:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def beat(self, timeout: float) -> None:
        """Send a heartbeat unless the pipe is full: a parent that is suspended reads nothing and must not look like a hang."""
        if not self._lock.acquire(timeout=timeout):
            return
        try:
            if sys.platform == "win32" or select.select([], [self._descriptor], [], 0)[1]:
                os.write(self._descriptor, encode(Alive()))
        finally:
            self._lock.release()


class _Context:
    """The `ChildContext` of one job."""

    def __init__(self, channel: _Channel, job: str, threads: int) -> None:
        self._channel = channel
        self._job = job
        self._threads = threads
        self._stop = threading.Event()
        self._reason: StopReason | None = None
        self._lock = threading.Lock()
        self._unsent: Progress | None = None
        self._sent_at = 0.0
        self._sent_stage = ""

    @property
    def stop_reason(self) -> StopReason | None:
        return self._reason

    @property
    def threads(self) -> int:
        return self._threads

    def check(self) -> None:
        if self._reason is not None:
            raise StepStopped(self._reason)

    def wait_stop(self, timeout: float) -> bool:
        return self._stop.wait(timeout)

    def progress(self, fraction: float, stage: str = "", data: Mapping[str, Json] | None = None) -> None:
        if not math.isfinite(fraction):
            raise ValueError(f"progress must be a number from 0 to 1, not {fraction}")
        message = Progress(
            job=self._job,
            fraction=min(1.0, max(0.0, float(fraction))),
            stage=stage[:MAX_STAGE],
            data=dict(data) if data is not None else None,
        )
        now = time.monotonic()
        with self._lock:
            if stage == self._sent_stage and now - self._sent_at < _PROGRESS_INTERVAL:
                self._unsent = message
                return
            self._unsent = None
            self._sent_at = now
            self._sent_stage = stage
            self._channel.send(message)  # inside the lock, so that an older value cannot overtake a newer one

    def flush(self) -> None:
        with self._lock:
            if self._unsent is not None:
                self._channel.send(self._unsent)
                self._unsent = None

    def log(self, level: str, message: str) -> None:
        if level not in LOG_LEVELS:
            raise ValueError(f"unknown log level {level!r}; use one of {', '.join(LOG_LEVELS)}")
        self._channel.send(Log(job=self._job, level=level, message=message[:MAX_LOG_MESSAGE]))

    def stop(self, reason: StopReason) -> None:
        self._reason = reason
        self._stop.set()


class _Child:
    def __init__(self, config: ChildConfig, channel: _Channel) -> None:
        self._config = config
        self._channel = channel
        self._inbox: queue.SimpleQueue[Run | Quit] = queue.SimpleQueue()
        self._current: _Context | None = None
        self._current_job = ""
        self._warning = ""  # what every job has to know of this process

    def run(self) -> None:
        # A crash in native code or a hang leaves a Python traceback on standard error, and so in the job's log.
        faulthandler.enable(file=sys.stderr)
        if sys.platform != "win32":
            faulthandler.register(signal.SIGUSR1, file=sys.stderr)  # the parent asks before it ends a child that seems to hang
        threading.Thread(target=self._read, name="parent-watch", daemon=True).start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        sys.path.extend(self._config.python_path)
        if self._config.kind is ChildKind.BLENDER:
            from .child_blender import CleanBlender  # noqa: PLC0415 - only here is there a bpy

            blender = CleanBlender(user_preferences=self._config.user_preferences)
            version, clean, self._warning = blender.version, blender.reset, blender.warning
        else:
            import numpy  # noqa: F401, PLC0415 - what this kind is for: paid once, not by the first job

            version, clean = "", _collect
        surroundings = _Surroundings()
        clean()
        self._channel.send(Hello(protocol=PROTOCOL_VERSION, pid=os.getpid(), python=platform.python_version(), blender=version))
        while isinstance(message := self._inbox.get(), Run):
            self._job(message)
            surroundings.restore()
            clean()
            self._channel.send(Ready(job=message.job))

    def _job(self, message: Run) -> None:
        context = _Context(self._channel, message.job, self._config.threads)
        self._current_job = message.job
        self._current = context
        self._channel.send(Started(job=message.job))
        if self._warning:
            context.log("warning", self._warning)
        try:
            outcome = self._outcome(message, context)
            data = encode(outcome)
        except (ValueError, TypeError, RecursionError) as error:
            outcome = Failure(
                job=message.job,
                code="child_error",
                message=f"{message.entry} returned something that is no JSON object: {error}. Return plain values without NaN.",
            )
            data = encode(outcome)
        finally:
            self._current = None
        context.flush()
        self._channel.send_bytes(data)

    def _outcome(self, message: Run, context: _Context) -> Message:
        job = message.job
        try:
            value = _find_entry(message.entry)(message.arguments, context)
        except StepStopped as stopped:
            if context.stop_reason is not None:
                return Stopped(job=job)
            text = f"{message.entry} stopped ({stopped.reason}) without being asked to."
            return Failure(job=job, code="child_error", message=text)
        except MemoryError:
            context.log("error", traceback.format_exc()[-MAX_LOG_MESSAGE:])
            return Failure(
                job=job,
                code="out_of_memory",
                message=f"{message.entry} ran out of memory. Close other programs, or make the job smaller "
                "(fewer frames, a lower resolution).",
            )
        except (Exception, SystemExit) as error:
            context.log("error", traceback.format_exc()[-MAX_LOG_MESSAGE:])
            return _failure(job, message.entry, error)
        if not isinstance(value, dict):
            raise TypeError(f"a {type(value).__name__}")
        return Result(job=job, value=value)

    def _read(self) -> None:
        """Take the parent's messages; when there are no more, end this process and everything it started."""
        reader = LineReader(from_child=False)
        try:
            while data := os.read(0, _CHUNK):
                for message in reader.feed(data):
                    self._take(message)
        except (OSError, ProtocolError) as error:
            print(f"The parent's pipe is unusable: {error}", file=sys.stderr)
        process_tree.end_own_tree()
        os._exit(0)

    def _take(self, message: Message | Stray) -> None:
        if isinstance(message, (Run, Quit)):
            self._inbox.put(message)
        elif isinstance(message, Stop):
            context = self._current
            if context is not None and message.job == self._current_job:
                context.stop(StopReason(message.reason))

    def _beat(self) -> None:
        hang_after = self._config.hang_after
        while True:
            # The interpreter's own C thread counts down: it ends this process also when native code holds the interpreter
            # for ever, so that not even the parent's death can leave a hanging child behind.
            faulthandler.dump_traceback_later(hang_after, exit=True, file=sys.stderr)
            try:
                self._channel.beat(self._config.heartbeat)
                context = self._current
                if context is not None:
                    context.flush()
            except OSError:
                return  # the pipe is closed; the reader sees the end of file and ends the process
            time.sleep(self._config.heartbeat)


class _Surroundings:
    """What any code can change in its process and the next job must not inherit."""

    def __init__(self) -> None:
        self._folder = os.getcwd()  # noqa: PTH109 - goes back to chdir as it is
        self._environment = dict(os.environ)
        self._path = list(sys.path)

    def restore(self) -> None:
        os.chdir(self._folder)
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        sys.path[:] = self._path


def _collect() -> None:
    gc.collect()


def _find_entry(entry: str) -> Callable[[dict[str, Any], _Context], Any]:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(f"{entry!r} is no entry; write 'package.module:function', relative to {_PACKAGE}")
    function: Callable[[dict[str, Any], _Context], Any] = getattr(importlib.import_module(f"{_PACKAGE}.{match[1]}"), match[2])
    return function


def _failure(job: str, entry: str, error: BaseException) -> Failure:
    """The error value of an exception; errors that carry a code keep it."""
    code = getattr(error, "code", None)
    text = getattr(error, "message", None)
    if isinstance(code, str) and isinstance(text, str):
        details = {str(k): str(v) for k, v in dict(getattr(error, "details", None) or {}).items()}
        return Failure(job=job, code=code, message=text, details=details, retryable=bool(getattr(error, "retryable", False)))
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        where = f" while writing {error.filename}" if error.filename else ""
        text = f"The disk is full{where}. Free some space and try again."
        return Failure(job=job, code="disk_full", message=text, retryable=True)
    if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        where = error.filename or "a file"
        return Failure(
            job=job,
            code="output_not_writable",
            message=f"No access to {where} ({error.strerror}). Choose another output folder, or change its permissions.",
        )
    return Failure(
        job=job,
        code="child_error",
        message=f"{entry} failed: {type(error).__name__}: {str(error)[:1000]}. The traceback is in the job's log.",
    )
