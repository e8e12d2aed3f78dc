# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs that a .blend carries with it: a small, versioned text, read with the distrust that a file from elsewhere deserves.

The journal is the truth; this is what is left of it where the file came without its journal. Knows jobs and JSON, no Blender.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, NoReturn

from ..queue import Job, MotionQueueError
from ..queue.contract import JobState, Json

VERSION = 1
MAX_BYTES = 256 * 1024
MAX_JOBS = 2_000
MAX_DEPTH = 12
FINISHED = 20  # of the finished jobs, the last ones
IDENTITY = "identity"  # a file beside the state folders: which installation this is
_SMALL = 160  # characters of the smallest entry: three ids and what tells them apart
_MAX_TEXT = 4_096  # characters of a name, a path or a message
_MAX_INPUTS = 16
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OVER = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedInput:
    """A file that a job reads, wherever the .blend is now."""

    name: str
    path: str  # absolute, on the machine that queued it
    beside: str = ""  # from the .blend's folder, with "/", where it lies in there
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedJob:
    """What is needed to run a job again, or to say what became of it. Times in seconds since the epoch (UTC)."""

    id: str
    owner: str  # the installation whose journal has it
    workflow: str
    label: str = ""
    payload: Mapping[str, Json] = field(default_factory=dict)
    inputs: tuple[CarriedInput, ...] = ()
    priority: int = 50
    batch_id: str = ""
    state: JobState = JobState.QUEUED
    created_at: float = 0.0
    completed_at: float | None = None
    error: str = ""  # why it failed, with its code
    degraded: str = ""
    scene: str = ""
    armature: str = ""
    blend: str = ""  # the file it was queued from

    @property
    def over(self) -> bool:
        return self.state in _OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    jobs: tuple[CarriedJob, ...] = ()
    left_out: int = 0  # unfinished ones for which there was no room


def identity(folder: Path) -> str:
    """The name of this installation of the queue: made once, kept in `folder`, which holds the state folders. Raises OSError."""
    path = folder / IDENTITY
    for _ in range(3):
        try:
            found = path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            found = ""
        if _ID.fullmatch(found):
            return found
        folder.mkdir(parents=True, exist_ok=True)
        waiting = folder / f".{IDENTITY}-{uuid.uuid4().hex}"
        waiting.write_text(f"{uuid.uuid4().hex}\n", encoding="ascii")
        try:
            if path.exists():
                waiting.replace(path)  # damaged
            else:
                os.link(waiting, path)  # of two that start at once, the first one's stays
        except FileExistsError:
            continue
        except OSError:
            waiting.replace(path)  # a file system without links
        finally:
            waiting.unlink(missing_ok=True)
    raise OSError(f"{path} cannot be kept")


def carry(job: Job, *, owner: str, blend: str) -> CarriedJob:
    """A job as the file `blend` carries it."""
    source = job.source
    error = job.error
    return CarriedJob(
        id=job.id,
        owner=owner,
        workflow=job.workflow,
        label=job.label,
        payload=job.payload,
        inputs=tuple(CarriedInput(name=i.name, path=i.path, beside=beside(i.path, blend), sha256=i.sha256) for i in job.inputs),
        priority=job.priority,
        batch_id=job.batch_id,
        # On another machine nothing runs: what was at work there waits here.
        state=job.state if job.finished or job.state is JobState.PAUSED else JobState.QUEUED,
        created_at=job.created_at,
        completed_at=job.completed_at,
        error=f"{error.message} [{error.code}]" if error else "",
        degraded=job.degraded,
        scene=str(source.get("scene") or ""),
        armature=str(source.get("armature") or ""),
        blend=str(source.get("blend") or ""),
    )


def beside(path: str, blend: str) -> str:
    """A path from the .blend's folder, where it lies in there; else empty."""
    if not path or not blend:
        return ""
    try:
        found = PurePath(os.path.normpath(path)).relative_to(os.path.normpath(PurePath(blend).parent))
    except ValueError:
        return ""
    return found.as_posix()


def encode(jobs: Iterable[CarriedJob]) -> str:
    """Unfinished jobs in their order as far as there is room, then the last finished ones; at most MAX_BYTES."""
    everything = list(jobs)
    finished = sorted((job for job in everything if job.over), key=lambda job: -(job.completed_at or job.created_at))[:FINISHED]
    entries: list[str] = []
    room = Room()
    left_out = 0
    for job in (*(job for job in everything if not job.over), *finished):
        text = entry(job)
        if room.take(text):
            entries.append(text)
        else:
            left_out += not job.over
    return assemble(entries, left_out)


class Room:
    """How much may still be carried: MAX_BYTES and MAX_JOBS for one file, however many scenes share them."""

    def __init__(self) -> None:
        self._bytes = MAX_BYTES - 200  # for what stands around the entries
        self._jobs = MAX_JOBS

    def take(self, entry: str) -> bool:
        """Whether an entry has room; then it has less."""
        size = len(entry) + 1
        if size > self._bytes or not self._jobs:
            return False
        self._bytes -= size
        self._jobs -= 1
        return True

    @property
    def full(self) -> bool:
        """Hardly any entry is as small as what is left."""
        return self._bytes < _SMALL or not self._jobs


def entry(job: CarriedJob) -> str:
    """One job, for `assemble`. ASCII."""
    return json.dumps(_to_json(job), ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def assemble(entries: Iterable[str], left_out: int) -> str:
    """What a scene carries. `left_out`: unfinished jobs for which there was no room."""
    return f'{{"motion_queue":{VERSION},"left_out":{left_out},"jobs":[{",".join(entries)}]}}'


def decode(text: str) -> Carried:
    """Read what `encode` wrote. `MotionQueueError`: mirror_damaged, or mirror_too_new for a later version's."""
    if not text:
        return Carried()
    if len(text) > MAX_BYTES or len(text.encode("utf-8", errors="replace")) > MAX_BYTES:
        _refuse(f"they take more than {MAX_BYTES // 1024} KB")
    if _depth(text) > MAX_DEPTH:
        _refuse(f"they are nested more than {MAX_DEPTH} deep")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        _refuse(f"they are no JSON ({error})")
    if not isinstance(value, dict):
        _refuse("they are no JSON object")
    version = value.get("motion_queue")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        _refuse("they have no version")
    if version > VERSION:
        raise MotionQueueError(
            "mirror_too_new",
            f"The file carries jobs of a newer Motion Queue (format {version}; this one reads {VERSION}). They were left as they "
            "are. Update the extension to take them up.",
        )
    listed, left_out = value.get("jobs"), value.get("left_out", 0)
    if not isinstance(listed, list) or len(listed) > MAX_JOBS:
        _refuse(f"their list is none, or longer than {MAX_JOBS:,}")
    jobs = tuple(_from_json(entry, number) for number, entry in enumerate(listed, 1))
    if len({job.id for job in jobs}) != len(jobs):
        _refuse("two have the same id")
    return Carried(jobs=jobs, left_out=left_out if isinstance(left_out, int) and 0 <= left_out < 10**6 else 0)


def input_path(carried: CarriedInput, blend: str) -> Path | None:
    """Where the file of an input is now: beside the .blend as it was, else where it was. None: in neither place."""
    folder = Path(blend).parent if blend else None
    if folder is not None and carried.beside:
        inside = folder / carried.beside
        # What a foreign file says is joined only where the result stays in its own folder.
        if inside.resolve().is_relative_to(folder.resolve()) and inside.is_file():
            return inside
    there = Path(carried.path)
    return there if carried.path and there.is_absolute() and there.is_file() else None


def _to_json(job: CarriedJob) -> dict[str, Json]:
    values: dict[str, Json] = {
        "id": job.id,
        "owner": job.owner,
        "workflow": job.workflow,
        "label": job.label[:_MAX_TEXT],
        "payload": dict(job.payload),
        "inputs": [{"name": i.name, "path": i.path, "beside": i.beside, "sha256": i.sha256} for i in job.inputs],
        "priority": job.priority,
        "batch_id": job.batch_id,
        "state": str(job.state),
        "created_at": job.created_at,
        "completed_at": job.completed_at,
        "error": job.error[:_MAX_TEXT],
        "degraded": job.degraded[:_MAX_TEXT],
        "scene": job.scene,
        "armature": job.armature,
        "blend": job.blend,
    }
    return {name: value for name, value in values.items() if value not in ("", None, [], {})}


_TEXTS = ("label", "batch_id", "error", "degraded", "scene", "armature", "blend")


def _from_json(entry: Any, number: int) -> CarriedJob:
    if not isinstance(entry, dict):
        _refuse(f"number {number} is no object")
    texts = {name: entry.get(name, "") for name in _TEXTS}
    inputs = entry.get("inputs", [])
    payload = entry.get("payload", {})
    priority, created, completed = entry.get("priority", 50), entry.get("created_at", 0.0), entry.get("completed_at")
    checks: Sequence[tuple[bool, str]] = (
        (isinstance(entry.get("id"), str) and _ID.fullmatch(entry["id"]) is not None, "its id"),
        (isinstance(entry.get("owner"), str) and _ID.fullmatch(entry["owner"]) is not None, "its owner"),
        (isinstance(entry.get("workflow"), str) and _ID.fullmatch(entry["workflow"]) is not None, "its workflow"),
        (all(isinstance(text, str) and len(text) <= _MAX_TEXT for text in texts.values()), "its texts"),
        (isinstance(payload, dict), "its payload"),
        (isinstance(inputs, list) and len(inputs) <= _MAX_INPUTS and all(map(_is_input, inputs)), "its inputs"),
        (isinstance(priority, int) and not isinstance(priority, bool) and 0 <= priority <= 100, "its priority"),
        (_is_time(created) and (completed is None or _is_time(completed)), "its times"),
        (entry.get("state") in tuple(map(str, JobState)), "its state"),
    )
    wrong = [what for good, what in checks if not good]
    if wrong:
        _refuse(f"number {number} is not usable in {', '.join(wrong)}")
    return CarriedJob(
        id=entry["id"],
        owner=entry["owner"],
        workflow=entry["workflow"],
        payload=payload,
        inputs=tuple(CarriedInput(**{name: given.get(name, "") for name in _INPUT}) for given in inputs),
        priority=priority,
        state=JobState(entry["state"]),
        created_at=float(created),
        completed_at=None if completed is None else float(completed),
        **texts,
    )


_INPUT = ("name", "path", "beside", "sha256")


def _is_input(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value.get("name"))
        and all(isinstance(value.get(name, ""), str) and len(value.get(name, "")) <= _MAX_TEXT for name in _INPUT)
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11


def _depth(text: str) -> int:
    """How deep brackets are nested, without decoding: the decoder recurses, and a file may say anything."""
    depth = deepest = 0
    for character in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _refuse(what: str) -> NoReturn:
    raise MotionQueueError(
        "mirror_damaged",
        f"The jobs that the file carries cannot be read: {what}. They are not taken up; the queue itself is not touched.",
    )
