# SPDX-License-Identifier: GPL-3.0-or-later
"""One child process as its supervisor sees it: started, talked to, watched, ended with everything it started.

A worker knows its process and the job it has, nothing of the pool it belongs to. Two threads of its own read the child's
pipes; all state is behind one condition, on which the thread that gave it a job waits.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..queue.contract import Json, StepContext
from ..queue.errors import MotionQueueError
from . import process_tree
from .blender_find import BlenderCommand, parse_version, require_version
from .protocol import (
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

_SCRIPT = Path(__file__).resolve().parent / "child_main.py"
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_CHUNK = 65536
_TAIL_LINES = 40
_LINE_LIMIT = 2_000  # characters of one line of a child's own output
_KILLED_WAIT = 0.5  # seconds a killed process gets to leave; one in the middle of a disk access takes its time
_HANG_TRACEBACK = 0.8  # of the heartbeat timeout: a hanging child prints where it hangs before it is killed
_HANG_LOW = 30.0  # instead, for a child that may have to wait for the processor, which it cannot know; it is asked before
_TRACEBACK_WAIT = 0.5  # seconds for the answer
_TRACEBACK_SIGNAL = getattr(signal, "SIGUSR1", None)  # not on Windows


class WorkerState(StrEnum):
    STARTING = "starting"  # no hello yet
    READY = "ready"  # clean, can take a job
    BUSY = "busy"
    RESETTING = "resetting"  # has answered, is making itself clean
    ENDED = "ended"  # or of no more use and about to be ended: `failure` may say why


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildProgram:
    """A program that is no child of this package but speaks its protocol: a script in a Python of the user's own."""

    name: str  # for messages: "the MoMask child"
    command: tuple[str, ...]  # the configuration is appended as its last argument
    keep_mb: float  # a worker that holds more memory after a job is not used again


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """What a worker was started as. A job only goes to a worker of exactly its flavour."""

    kind: ChildKind
    user_preferences: bool = False
    trust_scripts: bool = False
    python_path: tuple[str, ...] = ()
    threads: int = 0
    low_priority: bool = False
    command: tuple[str, ...] = ()  # the Python of a plain worker
    blender: BlenderCommand | None = None
    program: ChildProgram | None = None

    def argv(self, heartbeat: float, hang_after: float) -> list[str]:
        config = json.dumps(
            {
                "kind": self.kind,
                "heartbeat": heartbeat,
                "hang_after": hang_after,
                "threads": self.threads,
                "user_preferences": self.user_preferences,
                "python_path": self.python_path,
            }
        )
        if self.program is not None:
            return [*self.program.command, config]
        if self.blender is None:
            return [*self.command, str(_SCRIPT), config]
        return self.blender.argv(
            _SCRIPT,
            [config],
            user_preferences=self.user_preferences,
            trust_scripts=self.trust_scripts,
            threads=self.threads,
        )

    @property
    def what(self) -> str:
        """For messages: which program this is."""
        if self.program is not None:
            return f"{self.program.name} ({self.program.command[0]})"
        if self.blender is None:
            return f"the Python child ({self.command[0]})"
        return f"the Blender child ({self.blender.binary or f'bpy module of {self.blender.python}'})"

    @property
    def subject(self) -> str:
        return self.what[0].upper() + self.what[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """Bounds for one worker; see ChildSettings for what they mean to a user."""

    heartbeat: float
    heartbeat_timeout: float
    log_lines: int
    stray_lines: int
    max_line: int


Outcome = Result | Failure | Stopped


class Worker:
    """One child process. Every method may be called from any thread."""

    def __init__(
        self, name: str, flavour: Flavour, limits: WorkerLimits, logger: logging.Logger, changed: Callable[[], None]
    ) -> None:
        """Start the process; it says hello later. `changed` is called, without locks, when it becomes ready or useless.

        MotionQueueError `child_start_failed` (or `blender_not_found`) where the system cannot start it.
        """
        self.name = name
        self.flavour = flavour
        self.condition = threading.Condition()
        self.state = WorkerState.STARTING
        self.failure: MotionQueueError | None = None  # why it is of no use any more
        self.jobs = 0
        self.idle_since = time.monotonic()
        self.silent = 0.0  # seconds without a sign of life, as `count` counts them
        self.in_state = 0.0  # the same for seconds in this state
        self.reserved = False  # a thread is waiting for it, or has it
        self.outcome: Outcome | None = None
        self.started_job = False
        self.relatives: list[process_tree.ProcessId] = []  # its descendants when they were last looked at
        self.job_peak_mb = 0.0
        self.memory_limit_mb: float | None = None
        self._limits = limits
        self._logger = logger
        self._changed = changed
        self._job = ""
        self._context: StepContext | None = None
        self._log_budget = 0
        self._stray = 0
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._write_lock = threading.Lock()
        self._end_lock = threading.Lock()
        self._hang_after = limits.heartbeat_timeout * (_HANG_LOW if flavour.low_priority else _HANG_TRACEBACK)
        self._processor: float | None = None  # seconds that it had when it wanted more
        self._process = self._start()
        self.pid = self._process.pid
        self._threads = [
            threading.Thread(target=self._read_messages, name=f"{name}-messages", daemon=True),
            threading.Thread(target=self._read_output, name=f"{name}-output", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # ---- for the thread that has a job ----

    def give(self, job: str, entry: str, arguments: Mapping[str, Json], context: StepContext) -> None:
        """Send a job to a ready worker. `ValueError` or `TypeError` when the arguments are no JSON; a dead child shows later."""
        data = encode(Run(job=job, entry=entry, arguments=dict(arguments)))
        if len(data) > self._limits.max_line:
            raise ValueError(f"{len(data):,} bytes are more than the {self._limits.max_line:,} of one message; pass a file")
        with self.condition:
            self.outcome = None
            self.started_job = False
            self.job_peak_mb = 0.0
            self._job = job
            self._context = context
            self._log_budget = self._limits.log_lines
            self._tail.clear()
            self._set_state(WorkerState.BUSY)
        self._send(data)

    def ask_to_stop(self, reason: str) -> None:
        self._send(encode(Stop(job=self._job, reason=reason)))

    def take_back(self) -> None:
        """The job is over: nothing more is reported to its context."""
        with self.condition:
            self._context = None
            self.memory_limit_mb = None

    def tail(self) -> list[str]:
        """The last lines of the child's own output during this job (or its start)."""
        with self.condition:
            return list(self._tail)

    # ---- for the pool ----

    def fail(self, error: MotionQueueError) -> None:
        """Declare it useless. The first reason stays."""
        with self.condition:
            if self.state is WorkerState.ENDED:
                return
            self.failure = error
            self._set_state(WorkerState.ENDED)
        self._changed()

    def count(self, passed: float) -> None:
        """So many seconds have passed. A child that wants the processor grows older by what it got of it only: where other
        programs take all of it (Blender renders), one of low priority stands still, and does not hang.
        """
        before, self._processor = self._processor, process_tree.processor_time(self.pid)
        if before is not None and self._processor is not None:
            passed = min(passed, self._processor - before)
        with self.condition:
            self.silent += passed
            self.in_state += passed

    def look(self, table: process_tree.Table | None) -> None:
        """Measure the memory of the whole tree, finding its members anew when a process table is given."""
        if table is not None:
            self.relatives = process_tree.descendants(self.pid, table)
        used = process_tree.rss_mb([self.pid, *(p.pid for p in self.relatives)])
        with self.condition:
            context = self._context
            limit = self.memory_limit_mb
            grown = used > self.job_peak_mb
            self.job_peak_mb = max(self.job_peak_mb, used)
        if context is not None and grown:
            self._report(lambda: context.memory(used))
        if context is not None and limit is not None and used > limit:
            self.fail(
                MotionQueueError(
                    "memory_limit",
                    f"The job was stopped because it used {used:,.0f} MB of memory; its limit is {limit:,.0f} MB. "
                    "Raise the memory limit, or make the job smaller (fewer frames, a lower resolution, a simpler scene).",
                )
            )

    def rss_mb(self) -> float:
        return process_tree.rss_mb([self.pid])

    def end(self, *, polite: float = 0.0, terminate: float = 0.0) -> None:
        """End the process and everything it started: ask and wait `polite` seconds, terminate and wait, then kill. Blocks."""
        with self._end_lock:
            with self.condition:
                if self.state is not WorkerState.ENDED:
                    self._set_state(WorkerState.ENDED)
            if self._process.returncode is not None:
                return
            messages = self._threads[0]
            if self.failure is not None and self.failure.code == "child_hung" and _TRACEBACK_SIGNAL is not None:
                self._process.send_signal(_TRACEBACK_SIGNAL)
                messages.join(_TRACEBACK_WAIT)
            if polite > 0 and messages.is_alive():
                self._send(encode(Quit()))
                messages.join(polite)  # the end of its pipe is the end of the process, and leaves it unreaped
            # Looked up while its parent lives: later they belong to init. Those it had at the last look may have left it since.
            tree = {*self.relatives, *process_tree.descendants(self.pid)}
            if terminate > 0 and messages.is_alive():
                process_tree.signal_group(self.pid, signal.SIGTERM)
                process_tree.send_signal(tree, signal.SIGTERM)
                messages.join(terminate)
                tree |= set(process_tree.descendants(self.pid))
            process_tree.signal_group(self.pid, process_tree.kill_signal())
            process_tree.send_signal(tree, process_tree.kill_signal())
            self._process.wait()
            if not process_tree.wait_gone(tree, _KILLED_WAIT):
                self._logger.error("%s: processes it started are killed but still there", self.name)
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join(1.0)  # only a grandchild of another user can still hold the pipe; the thread ends with it
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                if pipe is not None and not any(t.is_alive() for t in self._threads):
                    _close(pipe)
            code = self._process.returncode
            self._logger.debug("%s (pid %d) ended with %s after %d jobs", self.name, self.pid, code, self.jobs)

    @property
    def gone(self) -> bool:
        return self._process.returncode is not None

    @property
    def ended_well(self) -> bool:
        """It left by itself and without an error, as a program does that cannot stop a job in another way."""
        return self._process.returncode == 0

    def died(self) -> MotionQueueError:
        """Why the process ended by itself; call after `end`."""
        code = self._process.returncode
        last = f" Its last line was: {tail[-1][:300]}" if (tail := self.tail()) else ""
        if self.failure is not None and self.failure.code != "child_crashed":
            return self.failure
        if self.silent > self._hang_after / 2:
            return hung(self.flavour, self.silent)
        with self.condition:
            starting = self.jobs == 0 and not self.started_job
        if starting:
            return MotionQueueError(
                "child_start_failed",
                f"{self.flavour.subject} ended with {_ending(code)} before it was ready.{last} "
                "Start it by hand to see whether it works; the job's log has all it said.",
            )
        hint = " The system kills programs like this when memory runs out." if code == -getattr(signal, "SIGKILL", 9) else ""
        return MotionQueueError(
            "child_crashed",
            f"{self.flavour.subject} crashed with {_ending(code)}.{hint}{last} "
            "The job's log has more; if it crashes again, try the job with other input or another Blender version.",
            retryable=True,
        )

    # ---- inside ----

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "MOTION_QUEUE_CHILD": "1"}
        if self.flavour.kind is ChildKind.PYTHON and self.flavour.program is None:
            # numpy's threads wait for each other at every small product: beside a busy program (the Blender that animates on)
            # that takes ten times as long as one thread alone. Work in parallel is the queue's business.
            environment = {**dict.fromkeys(_ONE_THREAD, "1"), **environment}
        argv = self.flavour.argv(self._limits.heartbeat, self._hang_after)
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                # A group of its own: Ctrl-C is for the parent alone, and the whole group can be killed. Not a session of its own:
                # Linux may share the processor out between sessions first (sched(7), autogroup), and then the low priority of a
                # child counts for nothing beside the Blender in front of which somebody sits.
                process_group=None if sys.platform == "win32" else 0,
                creationflags=process_tree.creation_flags(low_priority=self.flavour.low_priority),
            )
        except OSError as error:
            missing = self.flavour.blender is not None and error.errno in {errno.ENOENT, errno.EACCES}
            advice = (
                "Is it still installed? Check the Blender path." if missing else "Check the path, and free memory if it is short."
            )
            raise MotionQueueError(
                "blender_not_found" if missing else "child_start_failed",
                f"{argv[0]} could not be started: {error.strerror or error}. {advice}",
                retryable=error.errno in {errno.EAGAIN, errno.ENOMEM, errno.EMFILE},
            ) from error
        if self.flavour.low_priority and (problem := process_tree.lower_priority(process.pid)):
            self._logger.warning("%s competes with other programs: %s", self.name, problem)
        return process

    def _set_state(self, state: WorkerState) -> None:
        self.state = state
        self.in_state = 0.0
        if state is WorkerState.READY:
            self.idle_since = time.monotonic()
        self.condition.notify_all()

    def _send(self, data: bytes) -> None:
        """Write to the child. A broken pipe needs no handling here: the end of its output says that it died."""
        pipe = self._process.stdin
        with self._write_lock:
            if pipe is None or pipe.closed:
                return
            view = memoryview(data)
            try:
                while view:
                    view = view[pipe.write(view) or 0 :]
            except OSError as error:
                self._logger.debug("%s takes no more messages: %s", self.name, error)

    def _read_messages(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        reader = LineReader(from_child=True, max_line=self._limits.max_line)
        try:
            while data := pipe.read(_CHUNK):
                for message in reader.feed(data):
                    self._take(message)
        except ProtocolError as error:
            self.fail(
                MotionQueueError(
                    "child_protocol",
                    f"{self.flavour.subject} sent something unreadable ({error}). "
                    "Something in it writes to the queue's own pipe: an add-on, a start-up script or a wrapper.",
                )
            )
            return
        except OSError as error:
            self._logger.warning("%s: its pipe broke: %s", self.name, error)
        if (rest := reader.rest()) is not None:
            self._output(rest.text)
        self.fail(MotionQueueError("child_crashed", f"{self.name} ended."))  # died() words it once the exit code is known

    def _read_output(self) -> None:
        pipe = self._process.stderr
        assert pipe is not None
        rest = b""
        try:
            while data := pipe.read(_CHUNK):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._output(line.decode("utf-8", "replace"))
                if len(rest) > 4 * _LINE_LIMIT:
                    self._output(rest.decode("utf-8", "replace"))
                    rest = b""
        except OSError as error:
            self._logger.warning("%s: its output broke: %s", self.name, error)
        if rest:
            self._output(rest.decode("utf-8", "replace"))

    def _output(self, text: str) -> None:
        """One line the child printed: the children's log, the tail for error messages, and the job's log."""
        line = text.rstrip()[:_LINE_LIMIT]
        if not line:
            return
        self._logger.info("%s: %s", self.name, line)
        with self.condition:
            self._tail.append(line)
        self._job_log("debug", line)

    def _job_log(self, level: str, message: str) -> None:
        with self.condition:
            context = self._context
            self._log_budget -= 1
            left = self._log_budget
        if context is None or left < -1:
            return
        if left == -1:
            level, message = "warning", f"The job has written {self._limits.log_lines:,} lines; what follows is left out here."
        self._report(lambda: context.log(level, message))

    def _report(self, call: Callable[[], None]) -> None:
        """Call into the engine from a reader thread, which has to live on whatever happens there."""
        try:
            call()
        except Exception:
            self._logger.exception("%s: the job's context failed", self.name)

    def _take(self, message: Message | Stray) -> None:
        self.silent = 0.0
        if isinstance(message, Stray):
            self._stray += self.state is not WorkerState.STARTING
            if self._stray > self._limits.stray_lines:
                raise ProtocolError(f"more than {self._limits.stray_lines} lines that are no messages")
            self._output(message.text)
        elif isinstance(message, Hello):
            self._hello(message)
        elif isinstance(message, Ready):
            with self.condition:
                if self.state is WorkerState.RESETTING:
                    self._set_state(WorkerState.READY)
            self._changed()
        elif not isinstance(message, Alive) and getattr(message, "job", None) != self._job:
            raise ProtocolError(f"a {message.type} message for another job")
        else:
            self._of_job(message)

    def _of_job(self, message: Message) -> None:
        with self.condition:
            context = self._context
            if isinstance(message, Started):
                self.started_job = True
            elif isinstance(message, (Result, Failure, Stopped)):
                self.outcome = message
                self.jobs += 1
                if self.state is WorkerState.BUSY:
                    self._set_state(WorkerState.RESETTING)
        if context is None:
            return
        if isinstance(message, Alive):
            self._report(context.heartbeat)
        elif isinstance(message, Progress):
            self._report(lambda: context.progress(message.fraction, message.stage, message.data))
        elif isinstance(message, Log):
            self._job_log(message.level, message.message)

    def _hello(self, message: Hello) -> None:
        if message.protocol != PROTOCOL_VERSION:
            raise ProtocolError(f"version {message.protocol} of the protocol, not {PROTOCOL_VERSION}")
        if self.flavour.kind is ChildKind.BLENDER:
            try:
                require_version(parse_version(message.blender) or (0, 0, 0), self.flavour.what)
            except MotionQueueError as error:
                self.fail(error)
                return
        with self.condition:
            if self.state is WorkerState.STARTING:
                self._set_state(WorkerState.READY)
        self._changed()


def hung(flavour: Flavour, seconds: float) -> MotionQueueError:
    return MotionQueueError(
        "child_hung",
        f"{flavour.subject} gave no sign of life for {seconds:.0f} s and was ended. "
        "The job's log says where it was; if it happens again, try the job with other input, or raise the heartbeat timeout.",
        retryable=True,
    )


def no_hello(flavour: Flavour, seconds: float) -> MotionQueueError:
    return MotionQueueError(
        "child_hung",
        f"{flavour.subject} was not ready after {seconds:.0f} s and was ended. "
        "Start it by hand to see whether it works, or raise the start timeout on a slow machine.",
        retryable=True,
    )


def _ending(code: int | None) -> str:
    if code is None:
        return "no exit code"
    if code < 0:
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code:#x}" if code > 255 else f"exit code {code}"  # Windows: 0xc0000005 is an access violation


def _close(pipe: object) -> None:
    try:
        pipe.close()  # type: ignore[attr-defined]
    except OSError as error:
        logging.getLogger(__name__).debug("closing a child's pipe: %s", error)
