# SPDX-License-Identifier: GPL-3.0-or-later
"""The one module of the command line that touches the application: opens it, submits shots, follows jobs, reads and asks.

Everything else here works on `Shot` and `Row` values.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ...backends.published.model import PublishedModel
from ...backends.workflows import note_of
from ...motion.travel import Travel
from ...queue.contract import Json, Record
from ...queue.errors import JobError, MotionQueueError
from ...queue.model import Job, JobSpec, Progress
from ..shots import Shot, motion_payload
from .display import Row

PAGE = 1000
_FLUSH = 30.0  # seconds that job records may take to reach the output folders; a slow network disk is no reason to hang
_POLL = 0.02  # seconds between looks at the channel


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    state_dir: Path
    blender: str = ""
    concurrency: int | None = None
    memory_mb: int | None = None
    max_crashes: int = 3
    jobs: int = 0  # how many will be submitted
    torch_python: str = ""
    published: tuple[PublishedModel, ...] = ()


class Session:
    """The queue of one state folder, owned by this process while it is open. A context manager."""

    def __init__(self, settings: SessionSettings) -> None:
        from ...app import App, Settings  # noqa: PLC0415 (only commands that run the queue pay for it)
        from ...backends.blender_find import find_blender  # noqa: PLC0415

        find_blender(settings.blender or None)  # no Blender, or one too old, is said before anything is queued
        values: dict[str, Any] = {
            "state_dir": settings.state_dir,
            "blender": settings.blender,
            "max_crashes": settings.max_crashes,
            "torch_python": settings.torch_python,
            "published": settings.published,
        }
        if settings.concurrency is not None:
            values["concurrency"] = settings.concurrency
        if settings.memory_mb is not None:
            values["memory_mb"] = float(settings.memory_mb)
        defaults = Settings(state_dir=settings.state_dir)
        values["max_queued"] = max(defaults.max_queued, settings.jobs)
        self.state_dir = settings.state_dir
        self.rows: dict[str, Row] = {}  # the jobs that are followed, in the order they were submitted
        self._changed: dict[str, None] = {}
        self._app = App.open(Settings(**values))
        self._unsubscribe = self._app.engine.subscribe(self._event)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop; running work goes back to the queue, and the records of finished jobs are in their folders."""
        self._unsubscribe()
        self._app.flush(_FLUSH)
        self._app.close()

    def notes(self) -> tuple[str, ...]:
        """What was recovered or dropped when the state folder was opened."""
        return tuple(self._app.engine.recovery_notes)

    def submit(self, shots: Sequence[Shot], out: Path) -> None:
        """Queue shots as one batch, and return when that is durable. Results go to a folder each in `out`."""
        engine = self._app.engine
        ticket = engine.submit_many([self._spec(shot, out) for shot in shots])
        ticket.wait_durable()
        for job_id in ticket.job_ids:
            self._follow(engine.get(job_id))

    def _spec(self, shot: Shot, out: Path) -> JobSpec:
        files, values = _files(shot), payload(shot, out)
        if shot.clip is not None:
            return self._app.clip_job(shot.clip, values, files=files, priority=shot.priority)
        return self._app.prompt_job(shot.prompt, values, files=files, priority=shot.priority)

    def adopt_unfinished(self) -> int:
        """Follow everything that is not finished; how many jobs that are. A paused queue or job goes on."""
        engine = self._app.engine
        engine.resume_queue()
        for offset in range(0, 1_000_000, PAGE):
            page = engine.query(state=("queued", "running", "paused", "stopping"), offset=offset, limit=PAGE)
            for job in page.jobs:
                self._follow(job)
            if offset + PAGE >= page.total:
                break
        for row in self.rows.values():
            if row.state == "paused":
                engine.resume(row.id)
        return len(self.rows)

    def changes(self, timeout: float) -> Iterator[Row]:
        """What changed in followed jobs within `timeout` seconds; returns early once something did."""
        deadline = time.monotonic() + timeout
        while True:
            more = self._app.pump()
            if self._changed and not more:
                break
            left = deadline - time.monotonic()
            if left <= 0:
                break
            if not more:
                time.sleep(min(_POLL, left))
        changed, self._changed = self._changed, {}
        yield from (self.rows[job_id] for job_id in changed)

    def _follow(self, job: Job) -> None:
        self.rows[job.id] = row_of(job)
        self._changed[job.id] = None

    def _event(self, event: Any) -> None:
        if event.progress is not None:
            self._progress(event.progress)
        elif event.record is not None:
            self._record(event.record)
        else:
            self._read_anew()

    def _progress(self, progress: Progress) -> None:
        row = self.rows.get(progress.job_id)
        if row is None or row.over:
            return
        self.rows[row.id] = replace(
            row,
            progress=progress.progress,
            stage=_clean(progress.stage),
            eta_seconds=progress.eta_seconds,
            eta_is_guess=progress.eta_is_guess,
        )
        self._changed[row.id] = None

    def _record(self, record: Record) -> None:
        row = self.rows.get(record.job)
        if row is None:
            return
        fields: Mapping[str, Json] = record.fields
        state = fields.get("state")
        if state in ("completed", "failed", "cancelled"):
            # The record says enough for a job that was pruned already; the engine knows the rest.
            error = JobError.from_json(fields["error"]) if fields.get("error") else None
            row = _with_error(replace(row, state=str(state), degraded=_clean(str(fields.get("degraded", row.degraded)))), error)
            try:
                row = row_of(self._app.engine.get(row.id))
            except MotionQueueError as gone:
                if gone.code != "no_such_job":
                    raise
            if row.state == "failed":
                # The error names the log by its place in the store; a person needs the whole path.
                row = replace(row, log=str(self._app.store.log_path(row.id)))
        elif state is not None:
            row = replace(row, state=str(state))
        self.rows[row.id] = row
        self._changed[row.id] = None

    def _read_anew(self) -> None:
        """Events were skipped: ask for every followed job."""
        for job_id, row in list(self.rows.items()):
            if not row.over:
                self._follow(self._app.engine.get(job_id))


def read_jobs(state_dir: Path) -> list[Job]:
    """The jobs of a state folder, in order of submission, without its lock and without changing anything.

    Progress and stage of unfinished ones are what their owner recorded last, by the weights of the steps: how long they will take
    only the owner knows.
    """
    from ...persistence.reader import load  # noqa: PLC0415
    from ...persistence.state import journal_of  # noqa: PLC0415
    from ...queue.forecast import by_weight  # noqa: PLC0415

    recovered = load(journal_of(state_dir)).recovered
    jobs = []
    for job_id, record in recovered.jobs.items():
        try:
            job = Job.from_record({**record, "id": job_id})
            if not job.finished:
                current = job.current
                job.__dict__.update(progress=by_weight(job), stage=current.stage if current is not None else "")
            jobs.append(job)
        except (KeyError, TypeError, ValueError) as error:
            message = f"Job {job_id} in {state_dir} is damaged ({error}); opening the queue mends it."
            raise MotionQueueError("job_unreadable", message) from error
    return jobs


def cancel_jobs(state_dir: Path, ids: Sequence[str]) -> None:
    """Cancel jobs: through the process that owns the folder, or by owning it for a moment when none does. Starts no job."""
    from ...persistence import inbox  # noqa: PLC0415
    from ...persistence.journal import FileJournal  # noqa: PLC0415
    from ...persistence.state import StateFolder, is_owned  # noqa: PLC0415
    from ...queue import Engine  # noqa: PLC0415

    if is_owned(state_dir):
        ack = inbox.send(state_dir, "cancel", {"jobs": list(ids)})
        if not ack.ok:
            raise MotionQueueError(ack.code or "command_refused", ack.message or "The process that owns the queue refused.")
        return
    folder = StateFolder.acquire(state_dir)
    try:
        engine = Engine(journal=FileJournal(folder.journal))  # without backends: what waits keeps waiting
        engine.start()
        try:
            engine.cancel_many(ids).wait_durable()
        finally:
            engine.close()
    finally:
        folder.release()


def payload(shot: Shot, out: Path) -> dict[str, Json]:
    """The options of a shot as the workflow takes them."""
    steps = [
        "read" if shot.clip is not None else "generate",
        "retarget",
        *(["render"] if "render" in shot.steps else []),
        "deliver",
    ]
    values: dict[str, Json] = {
        "label": shot.name,
        "steps": steps,
        "engine": shot.engine,
        "device": shot.device,
        "resolution": list(shot.resolution),
        "output_dir": str(out),
    }
    optional: dict[str, Json] = {"armature": shot.armature, "camera": shot.camera, "samples": shot.samples, "fps": shot.fps}
    if shot.frames is not None:
        optional["frame_start"], optional["frame_end"] = shot.frames
    if not shot.foot_lock:
        optional["foot_lock"] = False
    if shot.hand_contacts:
        optional["hand_contacts"] = True
    if shot.travel != Travel.HIPS:
        optional["travel"] = shot.travel
    if shot.trust_scripts:
        optional["trust_scripts"] = True
    if shot.clip is None:
        optional |= motion_payload(shot)
    return values | {name: value for name, value in optional.items() if value not in (None, "")}


def _files(shot: Shot) -> dict[str, Path]:
    files = (("character", shot.character), ("scene", shot.scene), ("joint_map", shot.map))
    return {name: path for name, path in files if path is not None}


def row_of(job: Job) -> Row:
    row = Row(
        id=job.id,
        label=_clean(job.label) or job.id[:8],
        state=str(job.state),
        progress=1.0 if str(job.state) == "completed" else job.progress,
        stage=_clean(job.stage),
        eta_seconds=job.eta_seconds,
        eta_is_guess=job.eta_is_guess,
        degraded=_clean(job.degraded),
        note=_clean(note_of(job.metadata, job.result)),
        output_dir=str(job.result.get("deliver", {}).get("folder", "")),
        seconds=job.processing_time,
    )
    return _with_error(row, job.error)


def _with_error(row: Row, error: JobError | None) -> Row:
    if error is None:
        return row
    return replace(row, error_code=error.code, error_message=_clean(error.message))


def _clean(text: str) -> str:
    """Without control characters: what a file or a child says must not move the cursor."""
    return "".join(char if char.isprintable() else " " for char in text)
