# SPDX-License-Identifier: GPL-3.0-or-later
"""The one engine of this Blender, and its heartbeat: opened off the main thread, pumped by one timer, ended on unregister.

In a window it starts by itself; in the background only when a script asks (`start`), and in a child of the queue never. Switching
the extension on in the background loads and registers nothing, so that children and batch renders stay as they are. Knows when an
engine may run here and where its state lies; must not know what the panels show.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .interpreter import Interpreter

if TYPE_CHECKING:
    from ..app import App, Settings
    from ..panels.choices import OnStart
    from ..panels.follower import Follower
    from ..panels.snapshot import Snapshot
    from ..queue.errors import MotionQueueError
    from .opening import Opening
    from .worker import Worker

_log = logging.getLogger(__name__)

CHILD_VARIABLE = "MOTION_QUEUE_CHILD"  # set for every child that the queue starts: the extension does nothing in those

BACKLOG = 0.02  # seconds to the next tick while events wait that did not fit into this one
BUSY = 0.1  # while anything runs
IDLE = 0.5
_EVERY = 0.09  # seconds between two snapshots of the timer at least: less than BUSY, since timers come late
BUDGET = 0.001  # seconds of one tick for the engine's events; showing them takes as long again
_ROOM = 0.0005  # seconds of one tick after which no ticker is begun in it: each may take as long, and showing comes after them
_CLOSE = 1.7  # seconds that Blender waits for the engine at its end, whatever it does
_CLOSE_POLITE = 1.0  # of those, for steps and children to stop by themselves

Ticker = Callable[["App", "Follower"], bool]

_app: App | None = None
_follower: Follower | None = None
_opening: Opening | None = None
_closing: threading.Thread | None = None  # an engine that is being closed and was not waited for any longer
_worker: Worker | None = None
_owner = ""  # the name of this installation
_applied: Settings | None = None  # what the engine runs with
_asked_for: Settings | None = None  # what it is being given
_shown = False  # classes, handlers and timer are registered
_problem = ""
_tickers: deque[Ticker] = deque()  # the first is the next one
_put_off = False  # the last tick had no time for any of them
_interpreter = Interpreter()
_publish_soon = False
_looked_at = 0.0  # when the timer published last
_drawn: tuple[object, ...] = ()  # what the panels have been told to show
_ticking = False
_due_at = 0.0  # when the timer ticks next


def register() -> None:
    """Called when the extension is switched on. In the background it starts nothing."""
    if inert() or _in_background():
        return
    show()
    start_soon()


def unregister() -> None:
    """Called when the extension is switched off and on a normal quit. Running work goes back to the queue."""
    hide()
    stop()


def inert() -> bool:
    """Whether this Blender is one of the queue's own children, in which no engine may run."""
    return os.environ.get(CHILD_VARIABLE) == "1"


# The interface


def show() -> None:
    """Register classes, handlers and the timer, unless they are."""
    global _shown  # noqa: PLW0603 (there is one interface for each Blender, as there is one engine)
    if _shown:
        return
    from . import registration  # noqa: PLC0415 (a background Blender loads nothing of this)

    registration.register()
    add_ticker(_look_ahead)
    add_ticker(_look_closer)
    _shown = True


def hide() -> None:
    """Take all of it back."""
    global _shown  # noqa: PLW0603
    if not _shown:
        return
    from ..panels import snapshot  # noqa: PLC0415 (as above)
    from . import registration  # noqa: PLC0415

    registration.unregister()
    snapshot.publish(snapshot.Snapshot())
    _tickers.clear()
    _shown = False


# The engine


def start() -> App:
    """The engine of this Blender, open and ready; waits for that. For scripts: the window never waits.

    Raises `MotionQueueError` child_is_inert, or why the state folder cannot be used.
    """
    if _app is None:
        start_soon()
        opening = _opening
        if opening is not None:
            opening.wait()
        _take_opened()
        publish()
        if opening is not None and opening.error is not None:
            raise opening.error
    return app()


def start_soon() -> None:
    """Begin to open the engine, unless it is open or being opened."""
    global _problem, _worker  # noqa: PLW0603
    if inert():
        from ..queue.errors import MotionQueueError  # noqa: PLC0415 (as above)

        raise MotionQueueError(
            "child_is_inert", "This Blender was started by the queue to do its work; it cannot run a queue of its own."
        )
    if _app is not None or _opening is not None:
        return
    show()
    from .worker import Worker  # noqa: PLC0415 (as above)

    _problem = ""
    _worker = _worker or Worker()
    _interpreter.open()
    _open(None)
    publish()


def stop() -> None:
    """Close the engine, when there is one; comes back within two seconds.

    On a thread, since a busy machine may take longer over it: threads wait for the processor, and ended processes for the system.
    Blender goes on then, and may end: what is durable stays so, children die with it, and the next start finds the rest.
    """
    global _app, _closing, _follower, _opening, _owner, _worker, _applied, _asked_for  # noqa: PLW0603
    opening, _opening = _opening, None
    worker, _worker = _worker, None
    app, _app = _app, None
    follower, _follower = _follower, None
    _applied, _asked_for, _owner = None, None, ""
    _interpreter.close()
    deadline = time.monotonic() + _CLOSE
    if opening is not None and (opened := opening.abandon()) is not None:
        app, follower = opened.app, opened.follower
    if worker is not None:
        worker.close(0.0)
    if follower is not None:
        follower.close()
    if app is not None:
        _closing = threading.Thread(target=_close, args=(app,), name="motion-queue-close", daemon=True)
        _closing.start()
        _closing.join(_CLOSE)
        if _closing.is_alive():
            _log.warning("The queue is not closed after %.1f s; it goes on closing", _CLOSE)
        else:
            _closing = None
    if opening is not None:
        opening.wait(max(0.1, deadline - time.monotonic()))
    if worker is not None and not worker.close(max(0.1, deadline - time.monotonic())):
        _log.warning("Files were still being prepared when the queue was closed")


def _close(app: App) -> None:
    try:
        app.close(_CLOSE_POLITE)
    except Exception:
        # There is nobody left to tell; its folder's lock goes with the process.
        _log.exception("The queue could not be closed")


def restart() -> None:
    """Close the engine and open it anew, off the main thread: the state folder is another one, or the last try failed."""
    global _app, _follower
    if _opening is not None:
        return
    app, _app = _app, None
    follower, _follower = _follower, None
    if follower is not None:
        follower.close()
    if app is None:
        start_soon()
        return
    _open(app)
    publish()


def app() -> App:
    """The engine's application. `MotionQueueError` not_started while there is none."""
    if _app is None:
        from ..queue.errors import MotionQueueError  # noqa: PLC0415 (as above)

        raise MotionQueueError("not_started", f"{why_not() or 'The queue is not open.'} Try again in a moment.", retryable=True)
    return _app


def follower() -> Follower:
    """What keeps the list up to date. `MotionQueueError` as `app`."""
    app()
    assert _follower is not None  # they come and go together
    return _follower


def worker() -> Worker:
    """For what would make the window wait. `MotionQueueError` as `app`."""
    app()
    assert _worker is not None  # it lives longer than the engine
    return _worker


def owner() -> str:
    """The name of this installation, by which files know whose jobs they carry; empty where it has none."""
    return _owner


def why_not() -> str:
    """Why nothing can be queued at the moment; empty when it can. For polls."""
    if _app is not None:
        return ""
    if _opening is not None:
        return "The queue is starting."
    return _problem or "The queue is not open in this Blender."


# The heartbeat


def tick() -> float:
    """The timer's function: seconds until it wants to be called again. Scripts without a window call it in a loop."""
    global _due_at, _ticking  # noqa: PLW0603
    _due_at = math.inf  # whoever asks for a tick meanwhile gets another one
    _ticking = True
    try:
        wait = _tick()
    except Exception:
        # A timer that raises is dropped by Blender without a word to the user, and the list would stand still for ever.
        _log.exception("A tick of the interface failed")
        wait = IDLE
    finally:
        _ticking = False
    _due_at = min(_due_at, time.monotonic() + wait)
    return wait


def add_ticker(ticker: Ticker) -> None:
    """Call `ticker(app, follower)` in every tick that has time for it, on the main thread; it must be quick. True: again soon."""
    if ticker not in _tickers:
        _tickers.append(ticker)


def remove_ticker(ticker: Ticker) -> None:
    if ticker in _tickers:
        _tickers.remove(ticker)


def changed(job_ids: Iterable[str] = ()) -> None:
    """A person has just done something: show what became of these jobs at once, and look at the rest soon."""
    global _publish_soon  # noqa: PLW0603
    if _follower is not None:
        _follower.touch(job_ids)
        _follower.changed()
    if _ticking:
        _publish_soon = True  # once, at the end of the tick
        return
    publish()
    wake()


def select(job_id: str) -> None:
    """Show the details of this job."""
    if _follower is not None and _follower.selected != job_id:
        _follower.selected = job_id
        _follower.changed()
        publish()


def publish() -> Snapshot:
    """Make a snapshot of how things are, for the panels, and see to it that they are drawn where it differs."""
    global _publish_soon  # noqa: PLW0603
    from ..panels import properties, snapshot, status_bar  # noqa: PLC0415 (as above)

    before = snapshot.current()
    if _follower is None:
        phase = snapshot.Phase.STARTING if _opening else snapshot.Phase.FAILED if _problem else snapshot.Phase.OFF
        now = snapshot.Snapshot(phase=phase, problem=_problem)
    else:
        now = _follower.snapshot(preparing=_worker.pending if _worker else 0)
        now = replace(now, health=before.health, testing=before.testing, draft_check=before.draft_check)
    snapshot.publish(now)
    _publish_soon = False
    if _shown:
        properties.fit()
        status_bar.show(now.status)
        if _draw(now) and not _ticking:
            wake()
    return now


def _draw(now: Snapshot) -> bool:
    """Have the panels drawn where there is something new in them; whether that is still to be done, as they just were."""
    global _drawn  # noqa: PLW0603
    from ..panels import redraw  # noqa: PLC0415 (as above)

    seen = (now.phase, now.revision, now.preparing, now.problem, now.eta, now.draft_check, now.health, now.testing)
    if seen == _drawn:
        return False
    if redraw.wait():
        return True
    redraw.sidebars()
    _drawn = seen
    return False


def wake() -> None:
    """Tick soon, where the timer sleeps for longer."""
    global _due_at  # noqa: PLW0603
    from . import registration  # noqa: PLC0415 (as above)

    now = time.monotonic()
    at = max(now + BACKLOG, _looked_at + _EVERY)
    # Only ever earlier: set anew each time, it would never come while something is done in every round of a slow window.
    if _shown and at < _due_at:
        registration.hasten(at - now)
        _due_at = at


def preferences_changed() -> None:
    """Give the engine what was chosen. Off the main thread, since another Blender is started once to ask for its version."""
    global _asked_for  # noqa: PLW0603
    if _app is None or _worker is None or _asked_for is not None:
        return  # whatever opens reads them itself; and what is being given is compared once it is there
    settings, _ = _settings()
    if settings == _applied:
        return
    if _applied is not None and settings.state_dir != _applied.state_dir:
        restart()
        return
    from .opening import with_models  # noqa: PLC0415 (as above)

    app_now = _app
    _asked_for = settings
    _worker.run(lambda: app_now.configure(with_models(settings)[0]), lambda _, error: _configured(settings, error))
    wake()


def _configured(settings: Settings, error: Exception | None) -> None:
    global _applied, _asked_for
    from ..panels.snapshot import Severity  # noqa: PLC0415 (as above)

    _applied, _asked_for = settings, None
    if error is not None and _follower is not None:
        _follower.notify(Severity.ERROR, f"The preferences were not taken: {error}")
    preferences_changed()  # what was chosen meanwhile


def _tick() -> float:
    global _looked_at, _publish_soon  # noqa: PLW0603
    from ..panels import redraw, snapshot  # noqa: PLC0415 (as above)

    began = time.perf_counter()
    if _opening is not None and _opening.over:
        _take_opened()
        _publish_soon = True
    if _worker is not None and _worker.deliver():
        _publish_soon = True
    if _app is None or _follower is None:
        if _publish_soon:
            publish()
        return BUSY if _opening is not None or _draw(snapshot.current()) else IDLE
    more = _follower.tick(BUDGET)
    busy = more or (_worker is not None and _worker.busy) or _asked_for is not None
    busy = _run_tickers(began) or busy
    now = snapshot.current()
    if _publish_soon or time.monotonic() - _looked_at >= _EVERY:
        _looked_at = time.monotonic()
        now = publish()
        if not more:
            _interpreter.look(now.counts.total)
        _tell(_follower)
    busy = busy or now.counts.running + now.counts.stopping > 0 or (now.counts.waiting > 0 and not now.held)
    if more:
        return BACKLOG
    if _draw(now):
        return min(BUSY, redraw.wait())
    return BUSY if busy else IDLE


def _run_tickers(began: float) -> bool:
    """Each in its turn, and those for which this tick has no time left in the next; whether another one is wanted soon."""
    global _put_off  # noqa: PLW0603
    assert _app is not None and _follower is not None
    busy = False
    for done in range(len(_tickers)):
        if time.perf_counter() - began > _ROOM and (done or not _put_off):
            _put_off = not done  # then the next tick has one, whatever else it does
            return True
        _put_off = False
        if not _tickers:
            break  # the one before has taken itself out
        ticker = _tickers[0]
        _tickers.rotate(-1)
        try:
            busy = ticker(_app, _follower) or busy
        except Exception:
            _log.exception("Something that the interface does in every tick failed")
    return busy


def _look_ahead(_app: App, follower: Follower) -> bool:
    follower.look_ahead()
    return False


def _look_closer(_app: App, follower: Follower) -> bool:
    follower.look_closer()
    return False


def _tell(follower: Follower) -> None:
    from ..panels import preferences, status_bar  # noqa: PLC0415 (as above)
    from ..panels.choices import HAS_NOTIFICATIONS, Notify  # noqa: PLC0415
    from . import notification  # noqa: PLC0415

    fresh = follower.take_fresh()
    if not fresh:
        return
    notify = preferences.read().notify
    if notify is not Notify.NONE:
        status_bar.say(fresh[-1].text)
    loud = [notice for notice in fresh if notice.loud]
    if notify is Notify.SYSTEM and HAS_NOTIFICATIONS and loud and _worker is not None:
        text = loud[-1].text if len(loud) == 1 else f"{loud[-1].text} ({len(loud) - 1} more)"
        _worker.run(lambda: notification.send(text), _notified)


def _notified(_result: None, error: MotionQueueError | None) -> None:
    if error is not None:
        _log.warning("%s", error)


def _open(previous: App | None) -> None:
    global _opening, _applied  # noqa: PLW0603
    from .opening import Opening  # noqa: PLC0415 (as above)

    _applied, on_start = _settings()
    _opening = Opening(_applied, on_start, previous, after=_closing)


def _take_opened() -> None:
    global _app, _follower, _opening, _owner, _problem  # noqa: PLW0603
    if _opening is None:
        return
    opening, _opening = _opening, None
    if opening.error is not None:
        _problem = str(opening.error)
        return
    if (opened := opening.result) is not None:
        _app, _follower, _owner, _problem = opened.app, opened.follower, opened.owner, ""
        preferences_changed()


def _settings() -> tuple[Settings, OnStart]:
    """What the preferences say, for the engine, and what is to become of unfinished work. Main thread."""
    import bpy  # noqa: PLC0415

    from ..backends.blender_find import ENVIRONMENT_VARIABLE, MODULE_NAME  # noqa: PLC0415 (as above)
    from ..panels import preferences  # noqa: PLC0415

    chosen = preferences.read()
    # Said here, since no thread may look at bpy. What the environment names is found by whoever needs it.
    blender = "" if os.environ.get(ENVIRONMENT_VARIABLE) else bpy.app.binary_path or MODULE_NAME
    settings = chosen.settings(
        state_dir=state_dir(),
        blender=blender,
        python=(sys.executable, *bpy.app.python_args),
        window=not _in_background(),
        trust_scripts=bool(bpy.context.preferences.filepaths.use_scripts_auto_execute),
    )
    return settings, chosen.on_start


def state_dir() -> Path:
    """Where the queues of this user's Blenders are, one folder each.

    MOTION_QUEUE_STATE, else the extension's user folder, else the user's state directory.
    """
    from ..persistence.state import resolve  # noqa: PLC0415 (as above)

    return resolve(extension=_extension_folder())


def _extension_folder() -> Path | None:
    package = __package__.rpartition(".")[0]
    if not package.startswith("bl_ext."):
        return None  # loaded by path or installed as a plain package: Blender has no folder for that
    import bpy  # noqa: PLC0415

    return Path(bpy.utils.extension_path_user(package, path="state", create=True))


def _in_background() -> bool:
    import bpy  # noqa: PLC0415

    return bool(bpy.app.background)
