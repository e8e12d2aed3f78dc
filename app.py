# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the product together: engine, journal, artefact store, child processes and backends, from a plain `Settings` value.

Used by Blender's session, the batch script, `mq.py` and the service alike, so that all of them run the same queue. No bpy.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any

from .backends.blender_find import BlenderCommand, find_blender
from .backends.children import ChildPool, ChildSettings
from .backends.deliver import DeliverBackend
from .backends.generate import options as motion_options
from .backends.generate.backend import GenerateBackend
from .backends.published import model as published
from .backends.published.backend import PublishedBackend
from .backends.published.model import PublishedModel
from .backends.read.backend import ReadBackend
from .backends.read.header import ENOUGH, declared
from .backends.render.backend import RenderBackend
from .backends.retarget.backend import JOINT_MAP, RetargetBackend
from .backends.workflows import CLIP, SHOT, clip_workflow, shot_workflow
from .finish import Finisher
from .persistence.artefacts import FolderStore
from .persistence.inbox import Ack, Command, Inbox
from .persistence.journal import FileJournal
from .persistence.logs import EngineLog, JobLog
from .persistence.state import StateFolder, claim, find_orphans
from .queue import Engine, InputRef, JobSpec, Limits, MotionQueueError, StoreError, Ticket
from .queue.contract import Json

_log = logging.getLogger(__name__)

_LOGS_KEPT = 64
_INBOX_EVERY = 0.5  # seconds
_STORED_WITHIN = 5.0  # seconds
HOLD_AT_START = "start"
_COPIED = {JOINT_MAP, *published.POSES}  # small inputs
_COPIED_MOST = 512 * 1024 * 1024  # bytes; a clip larger than that is refused by the reader anyway


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that the program's user can choose. Memory in MB."""

    state_dir: Path
    store_dir: Path | None = None  # where results and work in progress are; None: in the state folder
    blender: str = ""  # path of an installed Blender; empty: find one
    python: tuple[str, ...] = ()  # command of a Python for numerics; empty: this one
    torch_python: str = ""  # a Python with torch, for prompts that ask for the device cpu or cuda; empty: as above
    published: tuple[PublishedModel, ...] = ()  # other people's motion models that are on this machine, one of each kind
    concurrency: int = 4  # steps at once, 1–8
    lanes: Mapping[str, int] = field(default_factory=dict)  # limits that differ from the defaults
    memory_mb: float = 0.0  # budget for all running steps together; 0: no limit
    job_memory_mb: float = 0.0  # a step that takes more is stopped; 0: no limit
    max_crashes: int = 3  # 0: never give a job up because of crashes
    finished_kept: int = 100
    max_queued: int = 10_000
    low_priority: bool = False  # children only use what others leave: for a Blender with a window
    trust_scripts: bool = False  # this session's script trust, for children that open the user's own files
    log_level: str = "info"
    hold_at_start: bool = False  # nothing starts before `engine.release(HOLD_AT_START)`: somebody is to decide what goes on


class App:
    """An engine with everything around it. `open` takes the state folder's lock; `close` gives it back."""

    def __init__(self, settings: Settings, folder: StateFolder) -> None:
        self.settings = settings
        self.folder = folder
        root = folder.path
        self._log = EngineLog(root / "logs", level=settings.log_level.upper())
        self.store = FolderStore(settings.store_dir or root / "artefacts")
        self.job_logs = JobLogs(self.store.log_path, chatter=settings.log_level == "debug")
        defaults = Limits()
        lanes = {**defaults.lanes, **settings.lanes}
        children = logging.getLogger("motion_queue.children")
        self._blender = _chosen_blender(settings)
        self.children = ChildPool(_child_settings(settings, lanes["blender"], self._blender), logger=children)
        self._finisher = Finisher(self.store, self.job_logs.write)
        self.engine = Engine(
            journal=FileJournal(folder.journal),
            store=self.store,
            limits=Limits(
                total=settings.concurrency,
                lanes=lanes,
                memory_mb=settings.memory_mb,
                max_queued=settings.max_queued,
                finished_kept=settings.finished_kept,
                max_crashes=settings.max_crashes,
            ),
            job_log=self.job_logs.write,
            on_finished=self._finisher.put,
        )
        self._register_backends(settings)
        self.engine.register_workflow(clip_workflow())
        self.engine.register_workflow(shot_workflow())
        self._inbox = Inbox(root)
        self._inbox_reader = threading.Thread(target=self._read_inbox, name="motion-queue-inbox", daemon=True)
        self._closing = threading.Event()

    @classmethod
    def open(cls, settings: Settings) -> App:
        """Take the state folder, take up what it holds, and begin to run. `StoreError` when the folder cannot be had."""
        return cls._start(settings, StateFolder.acquire(settings.state_dir))

    @classmethod
    def _start(cls, settings: Settings, folder: StateFolder) -> App:
        try:
            app = cls(settings, folder)
            if settings.hold_at_start:
                app.engine.hold(HOLD_AT_START, "The queue waits to be told what becomes of the work of the last session.")
            app.engine.start()
        except BaseException:
            folder.release()
            raise
        app._finisher.start(app.engine)
        app._inbox_reader.start()
        return app

    @classmethod
    def claim(cls, settings: Settings) -> App:
        """As `open`, for programs of which several may run: each gets a folder of its own under `settings.state_dir`.

        What others left behind whose process is gone is adopted. All of them share one artefact store.
        """
        parent = settings.state_dir
        folder = claim(parent)
        app = cls._start(replace(settings, state_dir=folder.path, store_dir=settings.store_dir or parent / "artefacts"), folder)
        app.adopt(find_orphans(parent))
        return app

    def adopt(self, orphans: Sequence[Path]) -> int:
        """Take over the unfinished jobs of state folders that nobody owns any more; how many there were."""
        count = 0
        for path in orphans:
            try:
                with StateFolder.acquire(path) as orphan:
                    journal = FileJournal(orphan.journal)
                    recovered = journal.open()
                    try:
                        ticket = self.engine.adopt(recovered.jobs, clean=recovered.clean)
                        # Only what is safe here may be put aside there; a crash in between repeats the adoption.
                        ticket.wait_durable()
                    finally:
                        journal.close()
                    orphan.retire()
                    count += len(ticket.job_ids)
            except StoreError as error:
                # Another process may have been faster; or its disk is gone. The jobs stay where they are.
                _log.warning("The jobs in %s were not adopted: %s", path, error)
        return count

    def close(self, timeout: float = 2.0) -> bool:
        """Stop everything within about `timeout` seconds; running jobs go back to the queue. True when all threads ended."""
        if self._closing.is_set():
            return True
        self._closing.set()
        clean = True
        try:
            # The steps are asked to stop; while the engine waits for them, children that do not obey are killed.
            self.engine.begin_close()
            children = threading.Thread(
                target=self.children.close, args=(timeout * 0.5,), name="motion-queue-end-children", daemon=True
            )
            children.start()
            clean = self.engine.close(timeout)
            children.join(timeout)
        finally:
            self._finisher.close(timeout)
            self._inbox_reader.join(timeout)  # once the folder is released, its inbox is somebody else's
            self.folder.release()
            self._log.close()
        return clean and not self._inbox_reader.is_alive()

    def __enter__(self) -> App:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def configure(self, settings: Settings) -> None:
        """Take other settings while jobs run; what runs goes on as it was started, and folders stay where they are.

        May start a Blender to ask for its version, so it is nothing for a thread that must not wait. `MotionQueueError` where the
        Blender chosen is none, or a limit is out of range: then all is as before.
        """
        lanes = {**Limits().lanes, **settings.lanes}
        blender = self._blender if settings.blender == self.settings.blender else _chosen_blender(settings)
        self.engine.set_limits(
            total=settings.concurrency,
            lanes=lanes,
            memory_mb=settings.memory_mb,
            max_queued=settings.max_queued,
            finished_kept=settings.finished_kept,
            max_crashes=settings.max_crashes,
        )
        self._blender = blender
        self.children.configure(_child_settings(settings, lanes["blender"], blender))
        theirs = attrgetter("job_memory_mb", "torch_python", "published")  # what backends are made with
        if theirs(settings) != theirs(self.settings):
            self._register_backends(settings)
        self._log.set_level(settings.log_level.upper())
        self.job_logs.chatter = settings.log_level == "debug"
        self.settings = replace(settings, state_dir=self.settings.state_dir, store_dir=self.settings.store_dir)

    def _register_backends(self, settings: Settings) -> None:
        limit = settings.job_memory_mb or None
        for make in (ReadBackend, RetargetBackend, RenderBackend):
            self.engine.register_backend(make(self.children, memory_limit_mb=limit))
        self.engine.register_backend(GenerateBackend(self.children, memory_limit_mb=limit, torch_python=settings.torch_python))
        self.engine.register_backend(PublishedBackend(self.children, settings.published, memory_limit_mb=limit))
        self.engine.register_backend(DeliverBackend())

    def pump(self, budget: float = 0.002) -> bool:
        """Hand out events on this thread, for at most `budget` seconds. True when some are left."""
        return self.engine.pump.tick(budget)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until the records of all jobs that are over were written to their output folders."""
        return self._finisher.flush(timeout)

    # Jobs

    def clip_job(
        self, clip: Path, options: Mapping[str, Json], *, files: Mapping[str, Path] | None = None, **fields: Any
    ) -> JobSpec:
        """A job that takes a BVH clip to a finished video.

        `options` is the payload (see `backends.options.ClipOptions`); `files` are further inputs ("character", "scene",
        "joint_map"). Clip and joint map are copied into the store, so that a later edit cannot change a waiting job; other files
        are hashed, and a step that finds them changed fails with `input_changed`. `fields` are further fields of `JobSpec`.
        Raises `MotionQueueError` for missing files. What the clip declares goes into the payload as `clip_frames` and
        `clip_fps`, for predictions.
        """
        job_id = str(uuid.uuid4())
        inputs = [self._copied("clip", clip)]
        inputs += self._inputs(files or {})
        payload = {"label": clip.stem, **options, **self._declared(inputs[0])}
        return JobSpec(workflow=CLIP, payload=payload, inputs=tuple(inputs), id=job_id, label=str(payload["label"]), **fields)

    def prompt_job(
        self,
        prompt: str,
        options: Mapping[str, Json] | None = None,
        *,
        files: Mapping[str, Path] | None = None,
        metadata: Mapping[str, Json] | None = None,
        **fields: Any,
    ) -> JobSpec:
        """A job that takes a prompt to a finished video.

        `options` is the rest of the payload (see `backends.generate.options.MotionOptions` and `backends.options.ClipOptions`);
        `files` are inputs ("character", "scene"; and "joint_map", and BVH files "start_pose" and "end_pose", which are copied).
        `fields` are further fields of `JobSpec`. The prompt is read here, in milliseconds: words that are of no use are in the
        job's metadata as `unmatched` (and `corrected`), and how long the motion will be about in the payload, for predictions.
        Raises `MotionQueueError`: the codes of prompts and of weights, invalid_duration, invalid_options, missing files.

        With "model" in the options a published model gets the words as they are (see `backends.published.model.MotionRequest`),
        and poses are refused. Raises also published_not_set.
        """
        payload: dict[str, Json] = {**(options or {}), "prompt": prompt}
        said: dict[str, Json] = {}
        if (which := published.asked_for(payload)) is not None:
            published.chosen(self.settings.published, which)
            published.refuse_poses(files or (), which)
            request = published.MotionRequest.from_payload(payload, which)
            expected = _frames(request.seconds or which.usual_seconds, which.fps)
        else:
            asked = motion_options.MotionOptions.from_payload({**payload, "seconds": None})
            seconds = payload.get("seconds")
            timeline = motion_options.understood(prompt, seconds=seconds, weights=asked.weights)
            said = {"unmatched": list(timeline.unmatched), "corrected": [list(c) for c in timeline.corrected]}
            expected = _frames(motion_options.expected_seconds(timeline, seconds), motion_options.FPS)
        payload = {"label": motion_options.label_of(prompt), **payload, **expected}
        return JobSpec(
            workflow=SHOT,
            payload=payload,
            inputs=tuple(self._inputs(files or {})),
            id=str(uuid.uuid4()),
            label=str(payload["label"]),
            metadata={**(metadata or {}), **{name: words for name, words in said.items() if words}},
            **fields,
        )

    def _inputs(self, files: Mapping[str, Path]) -> list[InputRef]:
        return [self._copied(name, path) if name in _COPIED else _hashed(name, path) for name, path in files.items()]

    def _copied(self, name: str, path: Path) -> InputRef:
        found = _hashed(name, path)
        if found.size > _COPIED_MOST:
            raise MotionQueueError(
                "input_too_large", f"{path} has {found.size >> 20} MB; a clip may have {_COPIED_MOST >> 20} MB."
            )
        key = f"inputs/{found.sha256}{path.suffix.lower()}"
        if not self.store.path(key).exists():
            self.store.put(key, path)
        return InputRef(name=name, path=found.path, key=key, sha256=found.sha256, size=found.size)

    def _declared(self, clip: InputRef) -> dict[str, Json]:
        try:
            with self.store.path(clip.key).open("rb") as file:
                found = declared(file.read(ENOUGH))
        except OSError as error:
            raise MotionQueueError("input_unreadable", f"The queue's copy of {clip.path} cannot be read: {error}.") from error
        return {} if found is None else {"clip_frames": found.frames, "clip_fps": found.fps}

    # Commands of other processes

    def _read_inbox(self) -> None:
        """On a thread of its own: an acknowledgement is durable, and the window never waits for the disk."""
        while not self._closing.wait(_INBOX_EVERY):
            try:
                for command in self._inbox.drain():
                    if self._closing.is_set():
                        return  # what is not begun stays in the folder for its next owner
                    self._inbox.acknowledge(self._obey(command))
            except StoreError as error:
                _log.error("The inbox could not be served: %s", error)

    def _obey(self, command: Command) -> Ack:
        """Carry out one command of another process; a refusal goes back as its answer."""
        try:
            action = _COMMANDS.get(command.command)
            if action is None:
                raise MotionQueueError(
                    "unknown_command", f"{command.command!r} is no command; use one of {', '.join(_COMMANDS)}."
                )
            return Ack(id=command.id, ok=True, result=action(self.engine, command.arguments))
        except MotionQueueError as error:
            return Ack(id=command.id, ok=False, code=error.code, message=error.message)


class JobLogs:
    """The logs of the jobs that were written to lately. What children print on their own, two lines a frame, is in the children's
    part of the engine's log; it goes into the jobs' logs too only with `chatter`."""

    def __init__(self, path: Callable[[str], Path], *, chatter: bool = False) -> None:
        self._path = path
        self.chatter = chatter
        self._lock = threading.Lock()
        self._logs: OrderedDict[str, JobLog] = OrderedDict()

    def write(self, job_id: str, level: str, message: str) -> None:
        if level == "debug" and not self.chatter:
            return
        with self._lock:
            log = self._logs.get(job_id)
            if log is None:
                log = self._logs[job_id] = JobLog(self._path(job_id))
                if len(self._logs) > _LOGS_KEPT:
                    self._logs.popitem(last=False)
        log.write(level, message)


def _frames(seconds: float, fps: float) -> dict[str, Json]:
    return {"clip_frames": max(1, round(seconds * fps)), "clip_fps": fps}


def _ids(arguments: Mapping[str, Json]) -> list[str]:
    ids = arguments.get("jobs")
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids) or len(ids) > 10_000:
        raise MotionQueueError("bad_command", 'The command needs "jobs", a list of at most 10,000 job ids.')
    return ids


def _stored(*tickets: Ticket) -> None:
    """Wait for the last of them, and so for all. `StoreError` when that is not on disk in time: it may be lost in a crash."""
    if tickets and not tickets[-1].wait_durable(_STORED_WITHIN):
        raise StoreError(
            "journal_busy",
            f"The change was made, but the disk has not stored it within {_STORED_WITHIN:g} s. Look at it before you repeat it.",
        )


def _cancel(engine: Engine, arguments: Mapping[str, Json]) -> dict[str, Json]:
    batch = arguments.get("batch")
    ticket = engine.cancel_batch(str(batch)) if batch else engine.cancel_many(_ids(arguments))
    _stored(ticket)
    return {"jobs": list(ticket.job_ids)}


def _each(operation: Callable[[Engine, str], Ticket]) -> Callable[[Engine, Mapping[str, Json]], dict[str, Json]]:
    def run(engine: Engine, arguments: Mapping[str, Json]) -> dict[str, Json]:
        tickets = [operation(engine, job_id) for job_id in _ids(arguments)]
        _stored(*tickets)
        return {"jobs": [ticket.job_id for ticket in tickets]}

    return run


def _whole(operation: Callable[[Engine], Ticket]) -> Callable[[Engine, Mapping[str, Json]], dict[str, Json]]:
    def run(engine: Engine, arguments: Mapping[str, Json]) -> dict[str, Json]:
        _stored(operation(engine))
        return {}

    return run


_COMMANDS: dict[str, Callable[[Engine, Mapping[str, Json]], dict[str, Json]]] = {
    "cancel": _cancel,
    "pause": _each(lambda engine, job_id: engine.pause(job_id)),
    "resume": _each(lambda engine, job_id: engine.resume(job_id)),
    "retry": _each(lambda engine, job_id: engine.retry(job_id)),
    "pause_queue": _whole(lambda engine: engine.pause_queue()),
    "resume_queue": _whole(lambda engine: engine.resume_queue()),
}


def _chosen_blender(settings: Settings) -> BlenderCommand | None:
    return find_blender(settings.blender) if settings.blender else None


def _child_settings(settings: Settings, blenders: int, blender: BlenderCommand | None) -> ChildSettings:
    return ChildSettings(
        python=settings.python or ChildSettings().python,
        blender=blender,
        low_priority=settings.low_priority,
        # With a window the children share what one core leaves free; headless each Blender may use all.
        blender_threads=max(1, (os.cpu_count() or 1) - 1) if settings.low_priority else 0,
        blender_slots=max(1, min(blenders, settings.concurrency)),
        trust_scripts=settings.trust_scripts,
    )


def _hashed(name: str, path: Path) -> InputRef:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise MotionQueueError(
            "input_missing", f"There is no file {path} (for {name!r}). Check the path.", details={name: "no such file"}
        )
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise MotionQueueError(
            "input_unreadable",
            f"{path} (for {name!r}) cannot be read: {error.strerror}. Check its permissions.",
            details={name: "unreadable"},
        ) from error
    return InputRef(name=name, path=str(path), sha256=digest, size=size)
