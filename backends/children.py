# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool of child processes: warm workers, plain Python and Blender, that do the work of steps outside this process.

`run` is called on an engine's pool thread and blocks until the job is done, failed or stopped. The scheduler decides how many
run at once; the pool starts a worker when no warm one fits. One watcher thread of its own looks after all workers: memory,
heartbeats, start and reset times, idle ends. It knows no jobs beyond their context, no store, no bpy.
"""

from __future__ import annotations

import itertools
import logging
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..queue.contract import Json, StepContext, StopReason
from ..queue.errors import MotionQueueError, StepStopped
from . import process_tree
from .blender_find import BlenderCommand, find_blender
from .child_worker import ChildProgram, Flavour, Worker, WorkerLimits, WorkerState, hung, no_hello
from .protocol import MAX_LINE, ChildKind, Failure, Result, Stopped

_TICK = 0.25  # seconds between two looks of the watcher while a job runs
_IDLE_TICK = 1.0
_SEARCH_INTERVAL = 1.0  # seconds between two searches for new descendants; one search reads all of /proc
_IDLE_POLITE = 1.0  # seconds an idle worker gets to end by itself
_CLOSE_POLITE = 0.3
_LOOK_BACK = 0.5  # seconds; how often a waiting run looks at things that notify nobody
_MAX_BACKOFF = 30.0  # seconds between starts of a flavour that keeps failing


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSettings:
    """How children are started and looked after. Times in seconds, memory in MB."""

    python: tuple[str, ...] = (sys.executable, "-I", "-P")  # inside Blender: (sys.executable, *bpy.app.python_args)
    blender: BlenderCommand | None = None  # None: find_blender() at the first job that needs one
    stop_grace: float = 5.0  # from asking a job to stop until its processes are terminated
    terminate_grace: float = 1.0  # from there until they are killed
    shutdown_grace: float = 0.5  # instead of stop_grace when the engine shuts down
    idle_seconds: float = 120.0  # a warm worker ends after that
    recycle_after: int = 100  # jobs of one worker
    recycle_memory_mb: float = 1200.0  # a worker that holds more after a job is not used again
    low_priority: bool = False  # children work only while nobody else wants the processor
    blender_threads: int = 0  # shared by all Blenders; 0: no limit
    blender_slots: int = 1  # how many Blenders share it
    trust_scripts: bool = False  # scripts in .blend files run in children with user preferences
    start_timeout: float = 120.0
    reset_timeout: float = 60.0  # for a Blender to become clean again
    heartbeat: float = 1.0
    heartbeat_timeout: float = 120.0
    log_lines: int = 5_000  # of one job
    stray_lines: int = 1_000  # lines of foreign output on the protocol's pipe before the child counts as broken
    max_line: int = MAX_LINE  # bytes
    max_starting: int = 2  # children that start at the same time


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats:
    name: str
    kind: ChildKind
    pid: int
    state: WorkerState
    jobs: int
    memory_mb: float
    idle: float  # seconds; 0 while it works


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """Workers as they are, and counts since the pool was made."""

    workers: tuple[WorkerStats, ...]
    started: int
    reused: int
    recycled: int
    killed: int  # ended against their will: not stopping, too much memory, hanging, garbage
    crashed: int
    memory_watched: bool


@dataclass(slots=True)
class _Counts:
    started: int = 0
    reused: int = 0
    recycled: int = 0
    killed: int = 0
    crashed: int = 0


@dataclass(slots=True)
class _Gate:
    """Slows down the starts of a flavour that keeps failing, so that a broken Blender is not started a hundred times a minute."""

    failures: int = 0
    not_before: float = 0.0

    def failed(self) -> None:
        self.failures += 1
        if self.failures > 1:  # the first one may try again at once
            self.not_before = time.monotonic() + min(_MAX_BACKOFF, 2.0 ** (self.failures - 2))


class _LostBeforeStart(Exception):
    """A warm worker turned out to be dead before it took the job: another one can do it."""


@dataclass(slots=True)
class _Task:
    """One call of `run`."""

    id: str
    entry: str
    arguments: Mapping[str, Json]
    context: StepContext
    memory_limit_mb: float | None
    reason: StopReason | None = None  # kept here, so that nobody asks the context with a lock of ours held
    waiting_on: threading.Condition | None = None
    over: bool = False

    def stop_requested(self, reason: StopReason) -> None:
        """Called on the engine's thread: only wakes the pool thread."""
        self.reason = reason
        condition = self.waiting_on
        if condition is not None and not self.over:
            with condition:
                condition.notify_all()


class ChildPool:
    """Runs jobs in warm child processes. Every method may be called from any thread."""

    def __init__(self, settings: ChildSettings | None = None, *, logger: logging.Logger | None = None) -> None:
        """`logger` gets what children print and what happens to them: the application's rotating children's log."""
        self._settings = settings or ChildSettings()
        self._logger = logger or logging.getLogger(__name__)
        self._lock = threading.Condition()
        self._workers: list[Worker] = []
        self._gates: dict[Flavour, _Gate] = {}
        self._starting = 0
        self._counts = _Counts()
        self._numbers = itertools.count(1)
        self._blender: BlenderCommand | None = self._settings.blender
        self._find_lock = threading.Lock()
        self._closing = threading.Event()
        self._look = threading.Event()
        self._watcher: threading.Thread | None = None
        self._warned_of_memory = False

    # ---- public ----

    def run(
        self,
        kind: ChildKind,
        entry: str,
        arguments: Mapping[str, Json],
        context: StepContext,
        *,
        memory_limit_mb: float | None = None,
        user_preferences: bool = False,
        extra_python_path: Sequence[str | Path] = (),
        program: ChildProgram | None = None,
    ) -> dict[str, Any]:
        """Run `entry` ("backends.render.child:run") in a child and return its result. Blocks.

        Progress, log lines, heartbeats, the worker's name and its peak memory go to `context`. `user_preferences` takes a
        Blender with the user's own preferences; `extra_python_path` is appended to the child's sys.path. With a `program` that is
        started instead of this package's own plain Python child; what `entry` means is its business.

        Raises `StepStopped` when the context asked to stop, else MotionQueueError with the child's own code or one of:
        `child_error`, `out_of_memory`, `disk_full`, `output_not_writable`, `child_crashed`, `child_hung`, `child_protocol`,
        `child_start_failed`, `child_arguments`, `memory_limit`, `blender_not_found`, `blender_too_old`, `blender_broken`.
        """
        task = _Task(str(next(self._numbers)), entry, arguments, context, memory_limit_mb, waiting_on=self._lock)
        context.on_stop(task.stop_requested)
        try:
            flavour = self._flavour(kind, user_preferences, extra_python_path, program)
            if memory_limit_mb is not None:
                self._say_if_memory_is_unwatched(context)
            while True:
                worker = self._acquire(flavour, task)
                try:
                    return self._run_on(worker, task)
                except _LostBeforeStart:
                    self._logger.info("%s was gone before it took a job; the job goes to another", worker.name)
        finally:
            task.over = True

    def configure(self, settings: ChildSettings) -> None:
        """Use other settings from now on. Running jobs go on as they are; warm workers that no longer fit end."""
        with self._lock:
            if settings.blender != self._settings.blender:
                self._blender = settings.blender
            self._settings = settings
            self._gates.clear()
        self._look.set()

    def stats(self) -> PoolStats:
        with self._lock:
            workers = list(self._workers)
            counts = self._counts
        now = time.monotonic()
        return PoolStats(
            workers=tuple(
                WorkerStats(
                    name=w.name,
                    kind=w.flavour.kind,
                    pid=w.pid,
                    state=w.state,
                    jobs=w.jobs,
                    memory_mb=w.rss_mb(),
                    idle=now - w.idle_since if w.state is WorkerState.READY and not w.reserved else 0.0,
                )
                for w in workers
            ),
            started=counts.started,
            reused=counts.reused,
            recycled=counts.recycled,
            killed=counts.killed,
            crashed=counts.crashed,
            memory_watched=process_tree.can_measure(),
        )

    def blender(self) -> BlenderCommand:
        """The Blender that children are started with: the one of the settings, else the one that is found.

        It may be started once to ask for its version. MotionQueueError: `blender_not_found`, `blender_too_old`, `blender_broken`.
        """
        with self._find_lock:
            if self._blender is None:
                self._blender = find_blender()
            return self._blender

    def reap_idle(self, *, everything: bool = False) -> int:
        """End warm workers that have been idle for long enough, or all idle ones; how many. The watcher does this by itself."""
        return self._end_idle(everything=everything)

    def close(self, timeout: float = 2.0) -> None:
        """End all children, at the latest after `timeout` seconds by killing them. `run` then raises StepStopped(shutdown)."""
        deadline = time.monotonic() + timeout
        self._closing.set()
        self._look.set()
        with self._lock:
            workers = list(self._workers)
            self._lock.notify_all()
        for worker in workers:
            with worker.condition:
                worker.condition.notify_all()
        # Each run ends its own worker after its grace; idle ones go now; whatever is left at half time is killed.
        idle = [worker for worker in workers if not worker.reserved]
        enders = [_in_thread(worker, polite=_CLOSE_POLITE) for worker in idle]
        with self._lock:
            self._lock.wait_for(lambda: not any(w.reserved for w in self._workers), timeout / 2)
            # Also those that a run gave back meanwhile, because they were still starting: nobody else ends them.
            left = [w for w in self._workers if w not in idle]
        enders += [_in_thread(worker) for worker in left]
        for thread in enders:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._workers = [w for w in self._workers if not w.gone]
            names = ", ".join(f"{w.name} (pid {w.pid})" for w in self._workers)
        if names:
            self._logger.error("Children that could not be ended within %.1f s: %s", timeout, names)

    # ---- choosing and starting ----

    def _flavour(
        self, kind: ChildKind, user_preferences: bool, extra_path: Sequence[str | Path], program: ChildProgram | None
    ) -> Flavour:
        settings = self._settings
        path = tuple(str(p) for p in extra_path)
        if program is not None:
            return Flavour(kind=ChildKind.PYTHON, python_path=path, low_priority=settings.low_priority, program=program)
        if kind is ChildKind.PYTHON:
            return Flavour(kind=kind, python_path=path, low_priority=settings.low_priority, command=settings.python)
        blender = self.blender()
        return Flavour(
            kind=kind,
            user_preferences=user_preferences,
            trust_scripts=user_preferences and settings.trust_scripts,
            python_path=path,
            threads=_threads_of_one(settings),
            low_priority=settings.low_priority,
            blender=blender,
        )

    def _acquire(self, flavour: Flavour, task: _Task) -> Worker:
        """A ready worker, reserved for this task. Waits for one that starts or cleans itself rather than start another."""
        while True:
            self._check(task)
            with self._lock:
                worker = self._free_worker(flavour)
                if worker is not None:
                    worker.reserved = True
                elif self._may_start(flavour):
                    self._starting += 1
                else:
                    self._lock.wait(_LOOK_BACK)
                    continue
            if worker is None:
                return self._start_ready(flavour, task)
            if self._wait_ready(worker, task, fresh=False):
                with self._lock:
                    self._counts.reused += worker.jobs > 0
                return worker

    def _free_worker(self, flavour: Flavour) -> Worker | None:
        free = [w for w in self._workers if not w.reserved and w.flavour == flavour]
        for state in (WorkerState.READY, WorkerState.RESETTING, WorkerState.STARTING):
            for worker in reversed(free):  # the last one used: its caches are warm, and the others can grow old
                if worker.state is state:
                    return worker
        return None

    def _may_start(self, flavour: Flavour) -> bool:
        gate = self._gates.setdefault(flavour, _Gate())
        return self._starting < self._settings.max_starting and time.monotonic() >= gate.not_before

    def _start_ready(self, flavour: Flavour, task: _Task) -> Worker:
        """A new worker, reserved, once it has said hello. The caller has counted it in `_starting`."""
        ok = False
        try:
            worker = self._start(flavour)
            self._wait_ready(worker, task, fresh=True)
            ok = True
            return worker
        except StepStopped:
            ok = True  # nothing is known against this flavour
            raise
        finally:
            with self._lock:
                self._starting -= 1
                if ok:
                    self._gates[flavour] = _Gate()
                else:
                    self._gates.setdefault(flavour, _Gate()).failed()
                self._lock.notify_all()

    def _start(self, flavour: Flavour) -> Worker:
        settings = self._settings
        limits = WorkerLimits(
            heartbeat=settings.heartbeat,
            heartbeat_timeout=settings.heartbeat_timeout,
            log_lines=settings.log_lines,
            stray_lines=settings.stray_lines,
            max_line=settings.max_line,
        )
        worker = Worker(f"{flavour.kind}-{next(self._numbers)}", flavour, limits, self._logger, self._look.set)
        worker.reserved = True
        with self._lock:
            too_late = self._closing.is_set()
            if not too_late:
                self._workers.append(worker)
                self._counts.started += 1
                if self._watcher is None:
                    self._watcher = threading.Thread(target=self._watch, name="children-watch", daemon=True)
                    self._watcher.start()
        if too_late:
            worker.end()
            raise StepStopped(StopReason.SHUTDOWN)
        self._look.set()
        return worker

    def _wait_ready(self, worker: Worker, task: _Task, *, fresh: bool) -> bool:
        """Until it is ready (True), or of no use while another may do (False). Raises when a fresh one did not start."""
        task.waiting_on = worker.condition
        with worker.condition:
            while worker.state in {WorkerState.STARTING, WorkerState.RESETTING} and self._stopped(task) is None:
                worker.condition.wait(_LOOK_BACK)
            state = worker.state
        task.waiting_on = self._lock
        if state is WorkerState.ENDED:
            error = self._discard(worker, task, log=fresh)
            if fresh:
                raise error
            return False
        if self._stopped(task) is not None:
            self._release(worker)  # it goes on becoming ready, for the next one
            self._check(task)
        program = worker.flavour.program
        most = self._settings.recycle_memory_mb if program is None else program.keep_mb
        if not fresh and worker.rss_mb() > most:
            self._recycle(worker)  # measured now: what the job before held is gone, what is still here will stay
            return False
        return True

    # ---- running ----

    def _run_on(self, worker: Worker, task: _Task) -> dict[str, Any]:
        task.context.worker(worker.name, worker.pid)
        worker.memory_limit_mb = task.memory_limit_mb
        task.waiting_on = worker.condition
        try:
            worker.give(task.id, task.entry, task.arguments, task.context)
        except (ValueError, TypeError, RecursionError) as error:
            worker.take_back()
            self._release(worker)
            raise MotionQueueError(
                "child_arguments", f"The arguments of {task.entry} cannot be sent to a child: {error}. Send plain JSON values."
            ) from error
        self._look.set()
        in_time = self._wait_outcome(worker, task)
        task.waiting_on = None
        outcome, reason = worker.outcome, self._stopped(task)
        if outcome is None:
            why = self._discard(worker, task, log=True, terminate=not in_time)
            if reason is None and not worker.started_job and worker.jobs > 0:
                task.waiting_on = self._lock
                raise _LostBeforeStart
            if reason is not None:
                if in_time:  # it did not outlast its grace: it broke while it was being stopped
                    task.context.log("warning", f"While stopping: {why}")
                raise StepStopped(reason)
            raise why
        task.context.memory(max(worker.job_peak_mb, worker.rss_mb()))
        worker.take_back()
        self._after_job(worker)
        if isinstance(outcome, Result):
            return outcome.value
        if isinstance(outcome, Stopped):
            raise StepStopped(reason or StopReason.CANCEL)
        assert isinstance(outcome, Failure)
        if reason is not None:
            task.context.log("warning", f"While stopping: {outcome.message} [{outcome.code}]")
            raise StepStopped(reason)
        raise MotionQueueError(
            outcome.code,
            outcome.message,
            details={k: str(v) for k, v in outcome.details.items()},
            retryable=outcome.retryable,
        )

    def _wait_outcome(self, worker: Worker, task: _Task) -> bool:
        """Until the job has an outcome or its worker is of no use any more; False when it did not stop in its grace time."""
        deadline: float | None = None
        asked: StopReason | None = None
        while True:
            with worker.condition:
                if worker.outcome is None and worker.state is not WorkerState.ENDED and self._stopped(task) == asked:
                    left = _LOOK_BACK if deadline is None else deadline - time.monotonic()
                    if left <= 0:
                        return False
                    worker.condition.wait(min(left, _LOOK_BACK))
                if worker.outcome is not None or worker.state is WorkerState.ENDED:
                    return True
            task.reason = task.context.stop_reason or task.reason
            reason = self._stopped(task)
            if reason is None or reason == asked:
                continue
            if asked is None:
                worker.ask_to_stop(reason)
            asked = reason
            grace = self._settings.shutdown_grace if reason is StopReason.SHUTDOWN else self._settings.stop_grace
            limit = time.monotonic() + grace
            deadline = limit if deadline is None else min(deadline, limit)

    def _after_job(self, worker: Worker) -> None:
        if worker.jobs >= self._settings.recycle_after:
            self._recycle(worker)
        else:
            self._release(worker)

    def _recycle(self, worker: Worker) -> None:
        """It is not used again; the watcher ends it."""
        with self._lock:
            self._counts.recycled += 1
        worker.fail(MotionQueueError("recycled", f"{worker.name} has done its work."))
        self._release(worker)

    def _release(self, worker: Worker) -> None:
        with self._lock:
            worker.reserved = False
            self._lock.notify_all()
        self._look.set()

    def _discard(self, worker: Worker, task: _Task, *, log: bool, terminate: bool = False) -> MotionQueueError:
        """End a reserved worker with all its processes, and say why it was of no use."""
        grace = self._settings.terminate_grace
        if self._closing.is_set():
            grace = min(grace, self._settings.shutdown_grace / 2)
        worker.end(terminate=grace if terminate else 0.0)
        error = worker.died()
        crashed = error.code in {"child_crashed", "child_start_failed"} and not terminate
        with self._lock:
            self._counts.crashed += crashed
            self._counts.killed += not crashed
        if log and not terminate:
            for line in worker.tail():
                task.context.log("error", f"| {line}")
        worker.take_back()
        self._logger.log(logging.INFO if terminate else logging.WARNING, "%s was ended: %s", worker.name, error.code)
        self._forget(worker)
        return error

    def _forget(self, worker: Worker) -> None:
        with self._lock:
            worker.reserved = False
            if worker in self._workers:
                self._workers.remove(worker)
            self._lock.notify_all()

    def _stopped(self, task: _Task) -> StopReason | None:
        return StopReason.SHUTDOWN if self._closing.is_set() else task.reason

    def _check(self, task: _Task) -> None:
        task.reason = task.context.stop_reason or task.reason
        reason = self._stopped(task)
        if reason is not None:
            raise StepStopped(reason)

    def _say_if_memory_is_unwatched(self, context: StepContext) -> None:
        if not process_tree.can_measure() and not self._warned_of_memory:
            self._warned_of_memory = True
            context.log("warning", "Memory is not watched: the psutil module is missing in this Python.")

    # ---- watching ----

    def _watch(self) -> None:
        """The pool's one watcher: looks after all workers until the pool is closed."""
        counted = measured = searched = time.monotonic()
        while True:
            with self._lock:
                workers = list(self._workers)
            idle = all(w.state is WorkerState.READY for w in workers)
            # None left: sleep until one is started.
            self._look.wait((_IDLE_TICK if idle else _TICK) if workers else None)
            self._look.clear()
            if self._closing.is_set():
                return
            now = time.monotonic()
            try:
                # Capped: when the machine or this process was suspended, nobody has been silent for an hour.
                self._check_signs_of_life(workers, min(now - counted, 2 * _IDLE_TICK))
                counted = now
                if now - measured >= _TICK * 0.9:
                    measured = now
                    working = [w for w in workers if w.state is WorkerState.BUSY]
                    search = bool(working) and now - searched >= _SEARCH_INTERVAL
                    if search:
                        searched = now
                    table = process_tree.process_table() if search else None
                    for worker in working:
                        worker.look(table)
                self._end_idle()
            except Exception:
                self._logger.exception("The look at the children failed; it goes on")

    def _check_signs_of_life(self, workers: Sequence[Worker], passed: float) -> None:
        settings = self._settings
        for worker in workers:
            worker.count(passed)
            if worker.state is WorkerState.STARTING:
                if worker.in_state > settings.start_timeout:
                    worker.fail(no_hello(worker.flavour, worker.in_state))
            elif worker.state is WorkerState.RESETTING and worker.in_state > settings.reset_timeout:
                worker.fail(hung(worker.flavour, worker.in_state))
            elif worker.state is not WorkerState.ENDED and worker.silent > settings.heartbeat_timeout:
                worker.fail(hung(worker.flavour, worker.silent))

    def _end_idle(self, *, everything: bool = False) -> int:
        """End unreserved workers that are of no use, no longer fit the settings or have been idle long enough; how many."""
        with self._lock:
            ended = [w for w in self._workers if not w.reserved and self._has_had_its_time(w, everything)]
            for worker in ended:
                worker.reserved = True
        for worker in ended:
            failure = worker.failure
            worker.end(polite=0.0 if failure is not None else _IDLE_POLITE)
            if failure is not None and failure.code != "recycled" and not worker.ended_well:
                self._logger.warning("%s was ended while idle: %s", worker.name, worker.died())
            self._forget(worker)
        return len(ended)

    def _has_had_its_time(self, worker: Worker, everything: bool) -> bool:
        if worker.state is not WorkerState.READY:
            return worker.state is WorkerState.ENDED
        settings = self._settings
        flavour = worker.flavour
        if flavour.blender is not None:
            fits = flavour.blender == self._blender and flavour.threads == _threads_of_one(settings)
        else:
            fits = flavour.program is not None or flavour.command == settings.python
        fits = fits and flavour.low_priority == settings.low_priority
        return everything or not fits or time.monotonic() - worker.idle_since > settings.idle_seconds


def _threads_of_one(settings: ChildSettings) -> int:
    """One Blender's share of the thread budget; 0: no limit."""
    return max(1, settings.blender_threads // max(1, settings.blender_slots)) if settings.blender_threads > 0 else 0


def _in_thread(worker: Worker, *, polite: float = 0.0) -> threading.Thread:
    thread = threading.Thread(target=worker.end, kwargs={"polite": polite}, name=f"{worker.name}-end", daemon=True)
    thread.start()
    return thread
