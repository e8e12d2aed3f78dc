# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the engine on a thread of its own: taking a state folder, reading its journal and adopting what others left may take
seconds, and Blender's main thread must not wait. Touches no bpy.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace

from ..app import HOLD_AT_START, App, Settings
from ..backends.published.model import models_of
from ..panels.choices import OnStart
from ..panels.follower import Follower
from ..panels.snapshot import Recovery, Severity
from ..persistence import models_file
from ..persistence.mirror import identity
from ..queue.contract import JobState
from ..queue.errors import MotionQueueError
from ..queue.states import WAITING
from .submission import SENT

_log = logging.getLogger(__name__)

_CLOSING = 20.0  # seconds that an engine before this one gets to give its folder back; after that, another folder is taken
_SENT_KEPT = 30 * 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class Opened:
    app: App
    follower: Follower
    owner: str = ""  # the name of this installation, for files that carry its jobs; empty: it has none


class Opening:
    """Under way from the moment it is made. `result` and `error` are None until it is `over`."""

    def __init__(
        self,
        settings: Settings,
        on_start: OnStart,
        previous: App | None = None,
        *,
        after: threading.Thread | None = None,
    ) -> None:
        """`previous` is closed first: an engine in another folder. `after` ends first: it closes one in the same folder."""
        self.error: MotionQueueError | None = None
        self._settings = settings
        self._on_start = on_start
        self._previous = previous
        self._after = after
        self._lock = threading.Lock()
        self._result: Opened | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="motion-queue-open", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    @property
    def result(self) -> Opened | None:
        with self._lock:
            return self._result

    def wait(self, timeout: float | None = None) -> bool:
        self._thread.join(timeout)
        return self.over

    def abandon(self) -> Opened | None:
        """Nobody wants it any more: what is open already is the caller's to close, what opens later closes itself."""
        with self._lock:
            self._abandoned = True
            result, self._result = self._result, None
            return result

    def _run(self) -> None:
        try:
            if self._after is not None:
                self._after.join(_CLOSING)
            if self._previous is not None:
                self._previous.close()
            opened = self._open()
        except MotionQueueError as error:
            _log.error("The queue could not be opened: %s", error)
            self.error = error
            return
        except Exception as error:
            _log.exception("The queue could not be opened")
            self.error = MotionQueueError("internal", f"The queue could not be opened: {type(error).__name__}: {error}.")
            return
        with self._lock:
            if not self._abandoned:
                self._result = opened
                return
        opened.follower.close()
        opened.app.close()

    def _open(self) -> Opened:
        settings, problem = with_models(self._settings)
        app = App.claim(settings)
        try:
            follower = Follower(app)
            if problem:
                follower.notify(Severity.WARNING, problem)
            follower.recovery = self._recover(app, follower)
            forget_sent(app)
            owner = self._owner()
        except BaseException:
            app.close()
            raise
        return Opened(app, follower, owner)

    def _owner(self) -> str:
        try:
            return identity(self._settings.state_dir)
        except OSError as error:
            _log.warning("This installation has no name of its own, so no file carries its jobs: %s", error)
            return ""

    def _recover(self, app: App, follower: Follower) -> Recovery | None:
        left = [row for row in follower.jobs.rows() if not row.over]
        notes = app.engine.recovery_notes
        recovery = Recovery(
            unfinished=len(left),
            interrupted=sum(row.recovered for row in left),
            notes=notes,
            asks=self._on_start is OnStart.ASK and bool(left),
        )
        if self._settings.hold_at_start and not recovery.asks:
            for row in left if self._on_start is OnStart.LEAVE else ():
                leave(app, row.id)
            app.engine.release(HOLD_AT_START)
        return recovery if left or notes else None


def with_models(settings: Settings) -> tuple[Settings, str]:
    """The settings with the published models that the user's file names, and why there are none where it cannot be used.

    Reads a file: not for the main thread.
    """
    path = models_file.resolve()
    try:
        return replace(settings, published=models_of(models_file.read(path), str(path))), ""
    except MotionQueueError as error:
        _log.warning("%s", error)
        return settings, error.message


def leave(app: App, job_id: str) -> None:
    """Pause a job that waits, so that it goes on only when it is told to."""
    try:
        if app.engine.get(job_id).state in WAITING - {JobState.PAUSED}:
            app.engine.pause(job_id)
    except MotionQueueError as error:
        if error.code not in ("no_such_job", "wrong_state"):
            raise
        _log.info("Job %s was not paused: %s", job_id, error)


def forget_sent(app: App, *, now: float | None = None) -> int:
    """Delete rigs and copies of scenes that no job here needs and that are so old that no other Blender's does; how many."""
    folder = (app.settings.store_dir or app.folder.path / "artefacts") / SENT
    before = (time.time() if now is None else now) - _SENT_KEPT
    try:
        old = [path for path in folder.glob("*.blend*") if path.stat().st_mtime < before]
        if not old:
            return 0
        needed, offset = set(), 0
        while (page := app.engine.query(offset=offset, limit=100)).jobs:
            needed |= {found.path for job in page.jobs for found in job.inputs}
            offset += len(page.jobs)
        unused = [path for path in old if str(path) not in needed]
        for path in unused:
            path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("Files that no job needs any more could not be deleted from %s: %s", folder, error)
        return 0
    return len(unused)
