# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies what a job made to where the user wants it. In this process: it only waits for the disk.

A folder of its own per job, `<output_dir>/<label>`, with a marker that says whose it is. A folder of another job, or one that
was there before, is never written into: the new one gets a number. Files are written beside and renamed, and are copies, so that
the user may edit them.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from ..queue.contract import Estimate, Health, Json, StepContext, StepRequest, StepResult
from ..queue.errors import MotionQueueError
from . import step_files
from .options import ClipOptions

NAME = "deliver"
DELIVERED = ("motion.bvh", "character.fbx", "video.mp4")
MARKER = "job.json"  # the job's record goes there too, once it is complete
_MOST_SAME_NAMES = 10_000
_RESERVED = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10))}  # on Windows


class DeliverBackend:
    """motion.bvh, character.fbx and video.mp4, as far as they were made; data: folder, files."""

    name = NAME
    lane = "io"
    can_pause = False

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        options = ClipOptions.from_payload(request.payload)
        if not options.output_dir:
            return StepResult(data={"folder": "", "files": []})
        parent = Path(options.output_dir)
        if not parent.is_absolute():
            raise MotionQueueError(
                "output_not_writable",
                f"The output folder {parent} must be an absolute path.",
                details={"output_dir": "is not absolute"},
            )
        wanted = [a for name in DELIVERED if (a := request.artefact(name)) is not None]
        files: list[Json] = []
        try:
            folder = own_folder(parent, folder_name(options.label or request.job_id), request.job_id)
            for number, artefact in enumerate(wanted):
                context.check()
                context.progress(number / len(wanted), f"Copying {artefact.name}")
                target = folder / artefact.name
                _copy(step_files.artefact_path(request, context, artefact.name), target)
                files.append(str(target))
        except OSError as error:
            raise step_files.cannot_write(error, parent) from error
        context.progress(1.0, "Delivered")
        context.log("info", f"Delivered {', '.join(a.name for a in wanted) or 'nothing'} to {folder}.")
        return StepResult(data={"folder": str(folder), "files": files})

    def estimate(self, payload: Mapping[str, Json], results: Mapping[str, Json]) -> Estimate:
        return Estimate(work=1.0, seconds=0.05)

    def health(self) -> Health:
        return Health(ok=True)


def folder_name(label: str) -> str:
    """A label as a name that every file system takes."""
    text = unicodedata.normalize("NFC", label)
    text = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]+', "_", text).strip(" ._")
    while len(text.encode()) > 120:
        text = text[:-1]
    return "job" if not text else f"{text}_" if text.partition(".")[0].lower() in _RESERVED else text


def own_folder(parent: Path, name: str, job_id: str) -> Path:
    """The folder of this job under `parent`, made when it is not there. Raises OSError."""
    parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, _MOST_SAME_NAMES):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            if own_marker(folder) == job_id:
                return folder  # an earlier attempt made it
            continue
        waiting = folder / f".{MARKER}.tmp"
        waiting.write_text(json.dumps({"id": job_id}) + "\n", encoding="utf-8")
        waiting.replace(folder / MARKER)
        return folder
    raise FileExistsError(errno.EEXIST, f"there are {_MOST_SAME_NAMES} folders of that name", str(parent / name))


def own_marker(folder: Path) -> str:
    """The id of the job whose folder it is; empty where it says none."""
    try:
        value = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return ""
    return str(value.get("id", "")) if isinstance(value, dict) else ""


def _copy(source: Path, target: Path) -> None:
    waiting = target.with_name(f".{target.name}.tmp")
    try:
        with source.open("rb") as read, waiting.open("wb") as write:
            shutil.copyfileobj(read, write, 1 << 20)
            write.flush()
            os.fsync(write.fileno())
        waiting.replace(target)
    finally:
        waiting.unlink(missing_ok=True)
