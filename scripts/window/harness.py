# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Blender with a real window on a screen of its own: started, driven, looked at and ended from outside.

Where the window is, is said by MOTION_QUEUE_WINDOW: a program that runs its arguments where Xvfb, Blender, xdotool and
ImageMagick's `import` are (a chroot, say, that shares /tmp); without it they are looked for on this machine.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

VARIABLE = "MOTION_QUEUE_WINDOW"
SHOTS_VARIABLE = "MOTION_QUEUE_WINDOW_SHOTS"  # a folder in which the screenshots are kept
NEEDED = ("Xvfb", "blender", "import", "xdotool")
SIZE = (1400, 900)
LIMIT = 300.0  # seconds: only against hanging; on a busy machine the queue's children get what others leave
_PR_SET_PDEATHSIG = 1
_TAIL = 4000  # characters of a log that a failure shows
_LOGS = 6  # logs that it shows, the latest
_DRIVER = Path(__file__).with_name("driver.py")
_METER = Path(__file__).parents[1] / "bench" / "freeze_meter.py"


def module(name: str) -> str:
    """An expression for a module of the installed extension, for commands: `operators.session`, say."""
    return f"__import__('importlib').import_module(package() + '.{name}')"


def runner() -> tuple[str, ...] | None:
    """What comes before a program's name, or None where no window can be had."""
    named = os.environ.get(VARIABLE, "")
    if named:
        return (named,)
    return () if all(map(shutil.which, NEEDED)) else None


class Screen:
    """An X server without a monitor, on a display number that was free."""

    def __init__(self, prefix: tuple[str, ...]) -> None:
        self._prefix = prefix
        read, write = os.pipe()
        self._process = subprocess.Popen(
            [
                *prefix,
                "Xvfb",
                "-displayfd",
                str(write),
                "-screen",
                "0",
                f"{SIZE[0]}x{SIZE[1]}x24",
                "+extension",
                "GLX",
                "-noreset",
            ],
            pass_fds=(write,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_end_with_the_test,  # noqa: PLW1509 - tests have no other threads while a screen is made
        )
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()  # written once it takes clients
        if not number:
            raise AssertionError(f"Xvfb ended with code {self._process.wait()} before it was ready")
        self.name = f":{number}"
        # Software OpenGL compiles Blender's shaders and keeps them on disk, by threads that only run while nobody else does, and
        # for which a Blender that ends waits: all Blenders of a screen share what the first one has made.
        self._shaders = tempfile.TemporaryDirectory(prefix="motion-queue-shaders-")
        self.environment = {
            "DISPLAY": self.name,
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "MESA_SHADER_CACHE_DIR": self._shaders.name,
        }

    def shoot(self, path: Path) -> Path:
        """A picture of the whole screen."""
        done = subprocess.run(
            [*self._prefix, "import", "-window", "root", "-display", self.name, str(path)],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 and path.stat().st_size > 0, done.stderr.decode()
        return path

    def do(self, *what: str) -> None:
        """Move the mouse, press keys: commands of xdotool(1), as `"mousemove", "10", "20", "click", "1"`."""
        command = [*self._prefix, "xdotool", *what]
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(LIMIT)
        self._shaders.cleanup()


class Window:
    """One Blender. `run` gives it commands; leaving the context kills it where it still runs."""

    opened: ClassVar[list[Window]] = []  # those that were not left yet: what a failed test is asked about

    def __init__(
        self,
        prefix: tuple[str, ...],
        screen: Screen,
        home: Path,
        *files: Path,
        environment: Mapping[str, str] | None = None,
        size: tuple[int, int] = SIZE,
        simulated: bool = True,
    ) -> None:
        """`home` holds the user's folders, with the extension installed; `size` is the window's, in pixels.

        `simulated`: events come from `event_simulate` alone. Otherwise from a mouse and keys (`Screen.do`), as a person's do, and
        panels that grow move apart, which simulation leaves out.
        """
        self._screen = screen
        self._home = home
        self._since = time.time()
        self._folder = Path(tempfile.mkdtemp(prefix="motion-queue-window-"))
        self.log = self._folder / "blender.log"
        listener = socket.socket(socket.AF_UNIX)
        listener.settimeout(LIMIT)
        # Beside the socket, since the window may be where the checkout is not in sight.
        driver = shutil.copy(_DRIVER, self._folder)
        address = str(self._folder / "socket")
        listener.bind(address)
        listener.listen(1)
        blender = ["blender", *(["--enable-event-simulate"] if simulated else []), "--window-geometry", "0", "0", *map(str, size)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *blender, *map(str, files), "--python", driver, "--", address],
                env=user_environment(home) | screen.environment | dict(environment or {}),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._socket, _ = listener.accept()
        except TimeoutError:
            self.process.kill()
            raise AssertionError(f"Blender did not come up:\n{self.output()}") from None
        finally:
            listener.close()
        self._socket.settimeout(LIMIT)
        self._answers = self._socket.makefile("rb")
        Window.opened.append(self)

    def run(self, body: str) -> Any:
        """Let Blender carry out the body of a function (see `driver`); what it returned. A failure in there fails the test."""
        self._socket.sendall(json.dumps({"code": body}).encode() + b"\n")
        try:
            line = self._answers.readline()
        except TimeoutError:
            raise AssertionError(f"Blender did not answer within {LIMIT:.0f} s:\n{self.output()}") from None
        assert line, f"Blender ended with code {self.process.wait(LIMIT)}:\n{self.output()}"
        answer = json.loads(line)
        assert "error" not in answer, f"{answer['error']}\n{self.output()}"
        return answer.get("value")

    def until(self, condition: str, *, limit: float = LIMIT) -> Any:
        """Let the window live until an expression is true; its value."""
        return self.come(f"return {condition}", limit=limit)

    def come(self, body: str, *, limit: float = LIMIT) -> Any:
        """Let the window live until what the body of a function returns is true; that."""
        end = time.monotonic() + limit
        while not (value := self.run(body)):
            assert time.monotonic() < end, f"never came: {body}\n{self.output()}"
            time.sleep(0.05)
        return value

    def send(self, file: Path) -> str:
        """A copy of a file where this Blender can see it; its path."""
        return str(shutil.copy(file, self._folder))

    def meter(self) -> None:
        """Begin to measure how long the event loop stands still; it is `kept.meter` in there."""
        source = self.send(_METER)
        self.run(f"kept.meter = load({source!r}, 'freeze_meter').FreezeMeter(package()); kept.meter.start()")

    def shoot(self, name: str) -> Path:
        """A picture of the screen, kept where MOTION_QUEUE_WINDOW_SHOTS says."""
        folder = Path(os.environ.get(SHOTS_VARIABLE) or self._folder)
        folder.mkdir(parents=True, exist_ok=True)
        return self._screen.shoot(folder / f"{name}.png")

    def quit(self) -> float:
        """Quit as a person does, by the operator; seconds until the process was gone."""
        self._socket.sendall(json.dumps({"code": "bpy.ops.wm.quit_blender()"}).encode() + b"\n")
        began = time.monotonic()
        self.process.wait(LIMIT)
        return time.monotonic() - began

    def kill(self) -> None:
        """As a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LIMIT)

    def output(self) -> str:
        """The end of what Blender wrote."""
        return _tail(self.log)

    def evidence(self) -> list[tuple[str, str]]:
        """What is known of how things stand, for somebody who reads of a failure later: titles and texts."""
        ended = self.process.poll()
        state = "runs" if ended is None else f"ended with code {ended}"
        found = [(f"Blender {self.process.pid} {state}", self.output()), ("processes", _processes())]
        # The queue's own log, the logs of jobs, and what Blender writes when it crashes.
        logs = [*self._home.rglob("*.log"), *Path(tempfile.gettempdir()).glob("*.crash.txt")]
        times = {log: log.stat().st_mtime for log in logs}
        for log in sorted((log for log in logs if times[log] >= self._since), key=times.__getitem__)[-_LOGS:]:
            found.append((str(log.name), _tail(log)))
        return found

    def __enter__(self) -> Window:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self in Window.opened:
            Window.opened.remove(self)
        self._answers.close()
        self._socket.close()
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self._folder)


def _tail(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    except OSError as error:
        return f"{path} cannot be read: {error}"


def _processes() -> str:
    """The machine's load and who takes it: a test that waits for a child fails where others leave it nothing."""
    load = f"load {os.getloadavg()}, {os.cpu_count()} processors"
    if shutil.which("ps") is None:
        return f"{load}; there is no ps to list processes"
    listed = subprocess.run(
        ["ps", "-eo", "pid,ppid,ni,cls,pcpu,etime,args", "--sort=-pcpu"], capture_output=True, text=True, timeout=60, check=False
    )
    lines = [line[:160] for line in listed.stdout.splitlines()[:20]]
    return "\n".join([load, *lines])


def _end_with_the_test() -> None:
    """In the child: be killed when the tests are. (A Blender ends by itself when nobody listens to it any more.)"""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def install(prefix: tuple[str, ...], zip_file: Path, home: Path) -> None:
    """Install the extension into user folders and switch it on, as a person does. `AssertionError` with what Blender said."""
    command = [*prefix, "blender", "--command", "extension", "install-file", "--repo", "user_default", "--enable", str(zip_file)]
    done = subprocess.run(command, env=user_environment(home), capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Compiled once, and not again by each Blender that gets a copy of the folders.
    compiling = f"import compileall; compileall.compile_dir({str(home / 'extensions')!r}, quiet=1)"
    subprocess.run(
        [*prefix, "blender", "-b", "--python-expr", compiling],
        env=user_environment(home),
        timeout=LIMIT,
        check=True,
        capture_output=True,
    )


def user_environment(home: Path) -> dict[str, str]:
    """Folders of its own for a Blender, so that nothing of this machine's user is seen or changed."""
    environment = os.environ | {"BLENDER_USER_RESOURCES": str(home), "HOME": str(home), "LANG": "C.UTF-8"}
    for name in ("MOTION_QUEUE_STATE", "PYTHONPATH", "DISPLAY", "WAYLAND_DISPLAY"):
        environment.pop(name, None)
    return environment
