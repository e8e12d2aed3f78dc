# SPDX-License-Identifier: GPL-3.0-or-later
"""The child that runs in the user's own Python: speaks the protocol of the queue's children and hands jobs to a published model.

Run as a script: `own_main.py momask|momask++ CHECKOUT CONFIG`, or `own_main.py --probe MODULE…`, which prints as JSON what this
Python has. It runs in Python 3.7 and newer, knows nothing of torch itself, and loads this package by its path. The protocol is
described in `backends/protocol.py`, which needs a newer Python; a test holds the two together.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import json
import os
import platform
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Dict, Optional, Tuple  # noqa: UP035 - evaluated in an old Python

PROTOCOL_VERSION = 1
OLDEST = (3, 7)
_PACKAGE = "motion_queue"
_SEPARATOR = b"\x1e"
_CHUNK = 65536
_MAX_TEXT = 8000
_PROGRESS_INTERVAL = 0.05  # seconds; what comes faster is left out
_STOP_GRACE = 0.15  # seconds from being asked to stop until the process ends instead
_MODELS = {"momask": "momask", "momask++": "momask_plus"}

Values = Dict[str, Any]  # noqa: UP006

# Checkpoints are data: nothing in them may run. Nothing is fetched: text encoders come from local folders.
_SURROUNDINGS = {
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class Stopped(BaseException):
    """The job was asked to stop. No `Exception`, so that no code of a checkout takes it for one of its own."""


class Job:
    """One job as its code sees it."""

    def __init__(self, channel: Channel, name: str) -> None:
        self.name = name
        self._channel = channel
        self._stop = threading.Event()
        self._sent_at = 0.0
        self._stage = ""

    def check(self) -> None:
        """Raise `Stopped` when the job should stop."""
        if self._stop.is_set():
            raise Stopped

    def stop(self) -> None:
        self._stop.set()

    def progress(self, fraction: float, stage: str) -> None:
        """0 to 1, and what is being done."""
        self.check()
        now = time.monotonic()
        if stage == self._stage and now - self._sent_at < _PROGRESS_INTERVAL and fraction < 1.0:
            return
        self._sent_at, self._stage = now, stage
        fraction = min(1.0, max(0.0, float(fraction)))
        self._channel.send({"type": "progress", "job": self.name, "fraction": fraction, "stage": stage[:200], "data": None})

    def log(self, level: str, message: str) -> None:
        """One line into the job's log: debug, info, warning or error."""
        self._channel.send({"type": "log", "job": self.name, "level": level, "message": message[-_MAX_TEXT:]})


class Channel:
    """Sends messages to the parent, whole, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, message: Values) -> None:
        data = memoryview(_SEPARATOR + json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n")
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]


class Child:
    """Serves jobs on the main thread until the parent is gone or says so."""

    def __init__(self, config: Values, channel: Channel, model: Any) -> None:
        self._config = config
        self._channel = channel
        self._model = model
        self._inbox: queue.Queue[Optional[Tuple[Values, Job]]] = queue.Queue()  # noqa: UP006, UP045
        self._ending = threading.Lock()  # held by whoever says how the current job ended
        self._current: Optional[Job] = None  # noqa: UP045

    def run(self) -> None:
        faulthandler.enable(file=sys.stderr)
        if hasattr(faulthandler, "register"):
            faulthandler.register(signal.SIGUSR1, file=sys.stderr)  # the parent asks before it ends a child that seems to hang
        self._channel.send(
            {
                "type": "hello",
                "protocol": PROTOCOL_VERSION,
                "pid": os.getpid(),
                "python": platform.python_version(),
                "blender": "",
            }
        )
        for work in (self._read, self._beat):
            threading.Thread(target=work, daemon=True).start()
        while True:
            found = self._inbox.get()
            if found is None:
                return
            message, job = found
            self._channel.send({"type": "started", "job": job.name})
            outcome = self._outcome(message, job)
            with self._ending:
                self._current = None
                self._channel.send(outcome)
            self._channel.send({"type": "ready", "job": job.name})

    def _outcome(self, message: Values, job: Job) -> Values:
        try:
            value = self._model.ENTRIES[message["entry"]](message["arguments"], job)
        except Stopped:
            return {"type": "stopped", "job": job.name}
        except Exception as error:
            job.log("error", traceback.format_exc())
            known: Any = error
            if isinstance(getattr(error, "code", None), str) and isinstance(getattr(error, "message", None), str):
                code, text = known.code, known.message
                details = dict(getattr(error, "details", {}))
            else:
                code = "published_code_failed"
                details = {}
                text = (
                    f"The checkout's code failed: {type(error).__name__}: {str(error)[:1000]}. The traceback is in the log. "
                    "Does its own demonstration run in this Python?"
                )
            return {
                "type": "failure",
                "job": job.name,
                "code": code,
                "message": text,
                "details": {str(key): str(value) for key, value in details.items()},
                "retryable": False,
            }
        return {"type": "result", "job": job.name, "value": value}

    def _read(self) -> None:
        """Take the parent's messages. When there are no more, or unreadable ones, nobody is left to work for."""
        try:
            rest = b""
            while True:
                data = os.read(0, _CHUNK)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line.partition(_SEPARATOR)[2]))
        except (OSError, ValueError, KeyError) as error:
            print(f"The parent's pipe is unusable: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(0)

    def _take(self, message: Values) -> None:
        if message["type"] == "run":
            self._current = Job(self._channel, message["job"])  # from here on it can be stopped
            self._inbox.put((message, self._current))
        elif message["type"] == "quit":
            self._inbox.put(None)
        elif message["type"] == "stop":
            self._stop(message["job"])

    def _stop(self, name: str) -> None:
        job = self._current
        if job is not None and job.name == name:
            job.stop()
            timer = threading.Timer(_STOP_GRACE, self._give_up, [job])
            timer.daemon = True
            timer.start()

    def _give_up(self, job: Job) -> None:
        """The job has not come to a checkpoint (a network is being read, native code is busy): end the process instead."""
        with self._ending:
            if self._current is job:
                self._channel.send({"type": "stopped", "job": job.name})
                os._exit(0)

    def _beat(self) -> None:
        while True:
            # Counted down by the interpreter's own C thread: also native code that holds the interpreter for ever is ended.
            faulthandler.dump_traceback_later(float(self._config["hang_after"]), exit=True, file=sys.stderr)
            self._channel.send({"type": "alive"})
            time.sleep(float(self._config["heartbeat"]))


def load_model(which: str) -> Any:
    """The module that drives a model, from this package, whose folder is loaded under its own name without being on sys.path."""
    root = Path(__file__).resolve().parents[2]
    spec = importlib.util.spec_from_file_location(_PACKAGE, str(root / "__init__.py"), submodule_search_locations=[str(root)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{root} is no Python package")
    package = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = package
    spec.loader.exec_module(package)
    return importlib.import_module(f"{_PACKAGE}.backends.published.{_MODELS[which]}")


def probe(modules: list[str]) -> Values:
    """What this Python is, and which modules it does not have. Imports none of them: torch alone takes seconds."""
    return {
        "python": platform.python_version(),
        "missing": [name for name in modules if importlib.util.find_spec(name) is None],
    }


def main() -> None:
    """Does not return: it ends the process."""
    sys.path[:] = [path for path in sys.path if path and Path(path).resolve() != Path(__file__).resolve().parent]
    if sys.version_info[:2] < OLDEST:
        sys.exit(f"Python {platform.python_version()} is too old: at least {OLDEST[0]}.{OLDEST[1]} is needed.")
    if sys.argv[1] == "--probe":
        print(json.dumps(probe(sys.argv[2:])))
        return
    # Whatever prints to "standard output" from here on, in Python or in C, goes to standard error and so into the job's log.
    protocol = os.dup(1)
    os.dup2(2, 1)
    which, checkout, config = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    os.environ.update(_SURROUNDINGS)
    sys.dont_write_bytecode = True  # the checkout is the user's: leave nothing in it
    code = 1
    try:
        model = load_model(which)
        sys.path.insert(0, checkout)
        Child(config, Channel(protocol), model).run()
        code = 0
    except BrokenPipeError:
        code = 0  # the parent is gone
    except BaseException:  # the last frame of the process: say why it ends
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
