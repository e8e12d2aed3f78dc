# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a job: where they are, how large, their text. Plain Python; may wait for a disk."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..app import App
from ..backends.deliver import MARKER, own_marker
from ..finish import LOG
from ..queue.errors import MotionQueueError
from ..queue.model import Job


class Tail(NamedTuple):
    text: str
    end: int  # bytes of the log that were read so far
    from_start: bool  # it was shortened meanwhile: this replaces what was read before


class MadeFile(NamedTuple):
    path: Path
    size: int  # bytes


def tail(log: Path, most: int, *, start: int = 0) -> Tail:
    """What a log has from byte `start` on, its last `most` bytes; empty where there is none yet."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            anew = size < start or start == 0
            begin = max(0 if anew else start, size - most)
            file.seek(begin)
            data = file.read(most)
    except FileNotFoundError:
        return Tail("", 0, True)
    except OSError as error:
        raise MotionQueueError("log_unreadable", f"The log {log} cannot be read: {error.strerror or error}.") from error
    text = data.decode("utf-8", "replace")
    if begin and anew:
        text = "…\n" + text.partition("\n")[2]
    return Tail(text, begin + len(data), anew)


def error_text(job: Job, *, log: Path) -> str:
    """What went wrong, for a mail or a bug report; empty where nothing did."""
    lines = []
    if job.error is not None:
        lines.append(f"{job.error.message} [{job.error.code}]")
        lines += [f"  {name}: {problem}" for name, problem in job.error.details.items()]
    for step in job.steps:
        if step.error is not None and (job.error is None or step.error.message != job.error.message):
            lines.append(f"{step.name} (attempt {step.attempt}): {step.error.message} [{step.error.code}]")
    if job.degraded:
        lines.append(f"Missing: {job.degraded}")
    return "\n".join([f"{job.label} ({job.id})", *lines, f"Log: {log}"]) if lines else ""


def folder_of(app: App, job: Job) -> Path | None:
    """Where a job's results are: delivered, else in the store; None where there are none."""
    delivered = str(job.result.get("deliver", {}).get("folder") or "")
    if delivered and Path(delivered).is_dir():
        return Path(delivered)
    for artefact in job.artefacts:
        folder = app.store.path(artefact.key).parent
        if folder.is_dir():
            return folder
    return None


def made_by(app: App, job: Job) -> list[MadeFile]:
    """All files of a job that are there: delivered ones in a folder that says it is this job's, and those in the store."""
    paths = [app.store.path(artefact.key) for artefact in job.artefacts]
    delivered = job.result.get("deliver", {})
    folder = Path(str(delivered.get("folder") or ""))
    if folder.is_absolute() and own_marker(folder) == job.id:
        named = [Path(str(file)) for file in delivered.get("files") or ()]
        paths += [path for path in named if path.parent == folder]
        paths += [folder / MARKER, folder / LOG]
    found = []
    for path in dict.fromkeys(paths):
        try:
            found.append(MadeFile(path, path.stat().st_size))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise MotionQueueError("output_not_writable", f"{path} cannot be looked at: {error.strerror or error}.") from error
    return found


def delete(app: App, job: Job) -> tuple[int, int]:
    """Delete them; how many, and how many bytes that were. What else lies in the output folder stays."""
    count = size = 0
    for each in made_by(app, job):
        try:
            each.path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise MotionQueueError(
                "output_not_writable", f"{each.path} cannot be deleted ({error.strerror or error}). Change its permissions."
            ) from error
        count += 1
        size += each.size
    folder = Path(str(job.result.get("deliver", {}).get("folder") or ""))
    if folder.is_absolute() and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    return count, size
