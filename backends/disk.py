# SPDX-License-Identifier: GPL-3.0-or-later
"""Why something could not be written: Blender often says that it saved a file when the disk was full, so the disk is asked.

Runs wherever files are written, in the program and in its children. Standard library only.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from pathlib import Path

from ..queue.errors import MotionQueueError

_PROBE = 256 * 1024  # bytes; a folder that takes so many is not full …
_LITTLE = 16 << 20  # … but Blender removes what did not fit, and then there is room again, if not much


def problem(error: OSError, where: Path, what: str) -> MotionQueueError | None:
    """`what` failed with this error at `where`: `disk_full` or `output_not_writable`, None for other errors."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return MotionQueueError(
            "disk_full",
            f"{what}: the disk that holds {where} is full, or nearly. Free some space, then retry the job; what is finished "
            "is kept.",
            retryable=True,
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return MotionQueueError(
            "output_not_writable",
            f"{what}: {where} may not be written to ({error.strerror}). Change its permissions, or choose another folder.",
        )
    return None


def diagnose(folder: Path, what: str) -> MotionQueueError | None:
    """Why `what` may have failed, found out by writing into the folder; None when the disk is not to blame."""
    probe = folder / f".probe-{uuid.uuid4().hex}"
    try:
        try:
            with probe.open("xb", buffering=0) as file:
                left = _PROBE
                while left > 0:
                    left -= file.write(bytes(left))
                os.fsync(file.fileno())
            if shutil.disk_usage(folder).free < _LITTLE:
                raise OSError(errno.ENOSPC, "too little room")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return problem(error, folder, what)
    return None
