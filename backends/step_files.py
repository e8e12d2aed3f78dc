# SPDX-License-Identifier: GPL-3.0-or-later
"""From references to local files and back: what every step of this machine does with its inputs and its results.

Knows the store by its protocol; starts nothing.
"""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

from ..queue.contract import Artefact, StepContext, StepRequest
from ..queue.errors import MotionQueueError

_MEDIA_TYPES = {
    ".bvh": "model/x-bvh",
    ".fbx": "application/octet-stream",
    ".mp4": "video/mp4",
    ".blend": "application/x-blender",
}


def input_path(request: StepRequest, context: StepContext, name: str) -> Path:
    """The local file of an input, unchanged since the job was submitted.

    Raises `MotionQueueError`: `<name>_missing`, `input_changed`.
    """
    found = request.input(name)
    if found is None:
        raise MotionQueueError(
            f"{name}_missing", f"The job has no {name} file. Submit it again with one.", details={name: "missing"}
        )
    path = context.store.path(found.key) if found.key else Path(found.path)
    try:
        if found.sha256 and not found.key and _sha256(path, context) != found.sha256:
            raise MotionQueueError(
                "input_changed",
                f"The {name} file {path} has changed since the job was submitted. Submit the job again to use it as it is now.",
                details={name: "changed"},
            )
        if not path.is_file():
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    except OSError as error:
        what = f"The queue's copy of the {name} file {found.path}" if found.key else f"The {name} file {path}"
        advice = "Submit the job again" if found.key else "Put it back, or submit the job again with another one"
        raise MotionQueueError(
            f"{name}_missing",
            f"{what} cannot be read ({error.strerror or error}). {advice}.",
            details={name: "cannot be read"},
        ) from error
    return path


def artefact_path(request: StepRequest, context: StepContext, name: str) -> Path:
    """The local file of what an earlier step made. Raises `MotionQueueError("artefact_missing")`."""
    found = request.artefact(name)
    path = context.store.path(found.key) if found else None
    if path is None or not path.is_file():
        raise MotionQueueError(
            "artefact_missing", f"{name}, which an earlier step should have made, is not there. Retry the job."
        )
    return path


def keep(request: StepRequest, context: StepContext, path: Path, *, move: bool = True) -> Artefact:
    """Put a result into the store, under the name it has."""
    key = f"jobs/{request.job_id}/{request.step}/{request.attempt}/{path.name}"
    media_type = _MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    return context.store.put(key, path, name=path.name, media_type=media_type, move=move)


def cannot_write(error: OSError, where: Path) -> MotionQueueError:
    """What a failed write means for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MotionQueueError(
            "disk_full", f"The disk that holds {where} is full. Free some space, then retry the job.", retryable=True
        )
    return MotionQueueError(
        "output_not_writable",
        f"{where} cannot be written ({error.strerror or error}). Choose another output folder, or change its permissions.",
        details={"output_dir": str(error.strerror or error)},
    )


def _sha256(path: Path, context: StepContext) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(4 << 20):
            digest.update(block)
            context.check()
    return digest.hexdigest()
