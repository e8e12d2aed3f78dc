# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets a machine up on first use, then hands over to the command line in `scripts/cli`.

It makes `.venv` in the checkout, installs a locked set with hashes (with the `bpy` that fits this Python, unless an installed
Blender is used) and the package itself, and starts the command inside it. A stamp, written last, says which locks are in;
without one, or with another, the environment is made anew, so an interrupted set-up heals itself. What only reads or prints
(`--help`, `list`, `cancel`) needs no set-up. Standard library only; must not know what the sub-commands do.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
VENV = ROOT / ".venv"

# Python version → the lock with the Blender module that fits it, and that Blender's name.
BLENDER_LOCKS = {
    (3, 11): ("lock-py311.txt", "Blender 4.5 LTS"),
    (3, 13): ("lock-py313.txt", "Blender 5.2 LTS"),
}
BASE_LOCK = "lock-base.txt"
STAMP = "motion-queue.json"
UNPACKED = 3.2  # installed size over download size, measured with bpy

# What a sub-command needs on top of an interpreter with the package; the others run without any set-up.
NEEDS_BLENDER = {"run", "resume", "map", "retarget", "test", "bench"}
EXTRA_LOCKS = {"test": ("lock-test.txt", "lock-bench.txt"), "bench": ("lock-bench.txt",)}
NEEDS_ENVIRONMENT = NEEDS_BLENDER | {"build", "generate", "models"}
ONLY_SAYS = {"generate": ("--explain", "--known")}  # with these options a sub-command needs no set-up after all
ONLY_DOES = {"models": ("check",)}  # only with one of these words it needs any


class SetupError(Exception):
    """Set-up cannot go on. The message says what is wrong and what to do; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def main(argv: Sequence[str]) -> int:
    """Set up what `argv` needs, then run it. Does not return where the command replaces this process."""
    command = next((word for word in argv if not word.startswith("-")), "")
    try:
        if not _needs_environment(command, argv):
            return _run_here(argv)
        locks = locks_for(command, argv)
        if _missing_locks(VENV, locks) and (wrong := _check_here(argv)):
            return wrong  # said before hundreds of megabytes are downloaded
        python = prepare(VENV, locks)
    except SetupError as error:
        print(f"mq.py: {error} [{error.code}]", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nmq.py: set-up interrupted; run the same command again, what is downloaded is kept.", file=sys.stderr)
        return 130
    return _hand_over(python, argv)


def _needs_environment(command: str, argv: Sequence[str]) -> bool:
    if command not in NEEDS_ENVIRONMENT or _asks_for_help(argv) or set(ONLY_SAYS.get(command, ())) & set(argv):
        return False
    words = [word for word in argv if not word.startswith("-")]
    return command not in ONLY_DOES or (len(words) > 1 and words[1] in ONLY_DOES[command])


def locks_for(command: str, argv: Sequence[str] = ()) -> tuple[str, ...]:
    """The locks a sub-command needs on this Python. `SetupError` where no Blender module fits it and none is installed."""
    extra = EXTRA_LOCKS.get(command, ())
    fitting = BLENDER_LOCKS.get(sys.version_info[:2])
    if command == "test" and fitting:
        return (fitting[0], *extra)  # tests want both: the module and an installed Blender beside it
    if command not in NEEDS_BLENDER or _installed_blender(argv) or (command == "map" and _names_a_clip(argv)):
        return (BASE_LOCK, *extra)
    if fitting is None:
        raise SetupError("python_unsupported", _unsupported_python())
    return (fitting[0], *extra)


def _names_a_clip(argv: Sequence[str]) -> bool:
    """Whether the file that a command is about is a BVH, for which no Blender is needed."""
    return any(word.lower().endswith(".bvh") for word in argv)


def prepare(venv: Path, locks: Sequence[str], *, python: str = sys.executable, version: tuple[int, int] | None = None) -> Path:
    """Make or mend the environment at `venv` so that all `locks` are in it; its Python. `SetupError` says what is missing.

    `python` is the interpreter it is made with and `version` that one's version (default: the running one's).
    """
    interpreter = venv_python(venv)
    missing = _missing_locks(venv, locks)
    if not missing:
        return interpreter
    with _one_at_a_time():
        missing = _missing_locks(venv, locks)  # another process may have done it while this one waited
        if missing:
            _install(venv, list(locks), missing, python, version or sys.version_info[:2])
    return interpreter


def venv_python(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def load_package() -> ModuleType:
    """The checkout as the package `motion_queue`, loaded by path: nothing is put on sys.path."""
    if "motion_queue" in sys.modules:
        return sys.modules["motion_queue"]
    spec = importlib.util.spec_from_file_location("motion_queue", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["motion_queue"] = module
    spec.loader.exec_module(module)
    return module


# --- what is there, what is missing ---------------------------------------------------------------------------------


def _missing_locks(venv: Path, locks: Sequence[str]) -> list[str]:
    """The locks that are not in the environment as they are now; all of them where it is broken or from another place."""
    stamp = _read_stamp(venv)
    if stamp is None or not venv_python(venv).exists() or stamp.get("root") != str(ROOT):
        return list(locks)
    installed: dict[str, str] = stamp["locks"]
    if any(_digest(name) != digest for name, digest in installed.items()):
        return list(locks)  # a lock changed: start afresh, so that nothing of the old set stays behind
    return [name for name in locks if name not in installed and not (name == BASE_LOCK and _has_interpreter_lock(installed))]


def _has_interpreter_lock(installed: dict[str, str]) -> bool:
    """An interpreter lock contains all of the base lock."""
    return any(name.startswith("lock-py") for name in installed)


def _read_stamp(venv: Path) -> dict[str, Any] | None:
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # no stamp, or half a one: the environment counts as not made
    return stamp if isinstance(stamp, dict) and isinstance(stamp.get("locks"), dict) else None


def _write_stamp(venv: Path, locks: Sequence[str]) -> None:
    stamp = {"root": str(ROOT), "locks": {name: _digest(name) for name in locks}}
    beside = venv / (STAMP + ".new")
    beside.write_text(json.dumps(stamp, indent=2), encoding="utf-8")
    beside.replace(venv / STAMP)


def _digest(lock: str) -> str:
    path = REQUIREMENTS / lock
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _asks_for_help(argv: Sequence[str]) -> bool:
    words = argv[: argv.index("--")] if "--" in argv else argv
    return "-h" in words or "--help" in words


def _installed_blender(argv: Sequence[str]) -> str:
    """The Blender named by --blender or the environment; "" where the module is to be used."""
    for index, word in enumerate(argv):
        if word == "--blender" and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith("--blender="):
            return word.partition("=")[2]
    return os.environ.get("MOTION_QUEUE_BLENDER", "")


def _unsupported_python() -> str:
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    fits = " and ".join(f"Python {v[0]}.{v[1]} ({name})" for v, (_, name) in sorted(BLENDER_LOCKS.items()))
    message = f"this is Python {here}, for which there is no Blender module. {fits} fit"
    found = [f"python{v[0]}.{v[1]}" for v in sorted(BLENDER_LOCKS, reverse=True) if _runs(f"python{v[0]}.{v[1]}")]
    if found:
        message += f"; {found[0]} is on this machine: run `{found[0]} scripts/mq.py …`"
    else:
        message += "; install one of them (Debian 12 has 3.11, Debian 13 has 3.13)"
    return message + ". Or use an installed Blender 4.2 or newer with `--blender PATH`, which any Python from 3.11 on can drive."


def _runs(program: str) -> bool:
    """Whether a Python of that name really starts (version managers leave stand-ins that do not)."""
    path = shutil.which(program)
    if path is None:
        return False
    return subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0


# --- installing -----------------------------------------------------------------------------------------------------


def _install(venv: Path, locks: list[str], missing: list[str], python: str, version: tuple[int, int]) -> None:
    stamp = _read_stamp(venv)
    afresh = stamp is None or set(missing) == set(locks) or not venv_python(venv).exists()
    with_blender = any(name.startswith("lock-py") for name in missing)
    size = sum(_download_size(name) for name in missing)
    if with_blender:
        _check_libraries([] if _can_make_venv(python) else [_venv_package(version)])
    _check_space(size)
    blender = next(
        (name for lock, name in BLENDER_LOCKS.values() if lock in missing), "Blender as a module" if with_blender else ""
    )
    what = f"{blender} and what it needs" if blender else "what this command needs"
    total = f"about {size / 1e6:.0f} MB" if size else "an unknown amount"
    print(f"Setting up {venv.name} (once): {what}, {total} to download.", file=sys.stderr, flush=True)
    started = time.monotonic()
    kept: list[str] = []
    if afresh:
        _make_venv(venv, python, version)
    else:
        kept = list((stamp or {}).get("locks", {}))
        (venv / STAMP).unlink(missing_ok=True)  # half done from here on, until the new stamp is written
    interpreter = venv_python(venv)
    _pip(interpreter, [*_requirement("lock-pip.txt")], 0) if afresh else None
    _pip(interpreter, [part for name in missing for part in _requirement(name)], size)
    if afresh:
        _pip(interpreter, ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)], 0)
    if with_blender:
        print("  checking that Blender starts …", file=sys.stderr, flush=True)
        _check_module(interpreter)
    _write_stamp(venv, [*kept, *missing])
    print(f"  ready after {time.monotonic() - started:.0f} s; from now on it starts at once.", file=sys.stderr, flush=True)


def _make_venv(venv: Path, python: str, version: tuple[int, int]) -> None:
    advice = f"On Debian: `apt-get install -y {_venv_package(version)}`, then run the same command again."
    if not _can_make_venv(python):
        raise SetupError("venv_missing", f"this Python cannot make virtual environments (no venv or ensurepip module). {advice}")
    result = subprocess.run([python, "-I", "-m", "venv", "--clear", str(venv)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = (result.stderr or result.stdout).strip()
        raise SetupError("venv_failed", f"could not make the environment {venv}: {reason}")


def _can_make_venv(python: str) -> bool:
    """Debian keeps ensurepip in a package of its own."""
    return subprocess.run([python, "-I", "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0


def _venv_package(version: tuple[int, int]) -> str:
    return f"python{version[0]}.{version[1]}-venv"


def _requirement(lock: str) -> list[str]:
    return ["--require-hashes", "--only-binary", ":all:", "--requirement", str(REQUIREMENTS / lock)]


def _pip(python: Path, arguments: Sequence[str], size: int) -> None:
    """Run the environment's pip, showing how far the downloads are. `SetupError` with pip's own last words when it fails."""
    command = [
        str(python),
        "-I",
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--no-warn-script-location",
    ]
    command += ["--progress-bar", "raw"] if size else ["--quiet"]
    process = subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    tail: list[str] = []
    try:
        assert process.stdout is not None
        meter = _Meter(size)
        for line in process.stdout:
            if not meter.feed(line):
                tail = [*tail[-14:], line.rstrip()]
        meter.close()
        failed = process.wait() != 0
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if failed:
        raise SetupError(
            "setup_failed",
            "installing did not work; pip says:\n\n    "
            + "\n    ".join(line for line in tail if line.strip())
            + "\n\nCheck the network and pip's configuration, then run the same command again: finished downloads are kept.",
        )


class _Meter:
    """Adds up pip's raw progress over all files of an install and shows it: in place on a terminal, else every tenth."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.done = 0  # bytes of the files before the current one
        self.current = 0
        self.expected = 0
        self.shown = -1
        self.name = ""
        self.tty = sys.stderr.isatty()
        self.last = 0.0

    def feed(self, line: str) -> bool:
        """Take one line of pip's output; True when it was about progress and not worth keeping."""
        if match := re.match(r"Progress (\d+) of (\d+)", line):
            done, expected = int(match[1]), int(match[2])
            if done < self.current or expected != self.expected:
                self.done += self.expected
                self.expected = expected
            self.current = done
            self._show()
            return True
        if match := re.match(r"\s*(?:Downloading|Using cached) (?:\S*/)?([^\s/]+?)-\d\S*", line):
            self.name = match[1]
            return True
        if line.startswith("Installing collected packages"):
            self._say(f"  unpacking {line.partition(':')[2].strip()} …")
            return True
        return line.startswith(("Collecting", "Requirement already"))

    def close(self) -> None:
        if self.tty and self.size:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _show(self) -> None:
        done = self.done + self.current
        total = max(self.size, done)
        tenth = int(10 * done / total) if total else 10
        now = time.monotonic()
        if self.tty:
            if now - self.last >= 0.1 or done == total:
                self.last = now
                bar = "━" * int(30 * done / total)
                sys.stderr.write(f"\r\x1b[K  {bar:<30} {done / 1e6:5.0f} of {total / 1e6:.0f} MB  {self.name}")
                sys.stderr.flush()
        elif tenth > self.shown:
            self.shown = tenth
            self._say(f"  downloaded {done / 1e6:.0f} of {total / 1e6:.0f} MB ({self.name})")

    def _say(self, text: str) -> None:
        start = "\r\x1b[K" if self.tty else ""
        if self.tty:
            text = text[: shutil.get_terminal_size().columns - 1]
        print(start + text, file=sys.stderr, end="" if self.tty else "\n", flush=True)


def _download_size(lock: str) -> int:
    """Bytes this lock downloads here, from the table beside the locks; 0 when it does not say."""
    table = json.loads((REQUIREMENTS / "sizes.json").read_text(encoding="utf-8"))
    system = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}.get(platform.system(), platform.system().lower())
    machine = {"amd64": "x86_64", "AMD64": "amd64"}.get(platform.machine(), platform.machine())
    return int(table.get(lock, {}).get(f"{system}-{machine}", 0))


def _check_space(size: int) -> None:
    needed = int(size * (1 + UNPACKED))
    free = shutil.disk_usage(ROOT).free
    if free < needed:
        raise SetupError(
            "disk_full",
            f"set-up needs about {needed / 1e9:.1f} GB and {ROOT} has {free / 1e9:.1f} GB free. "
            "Make room, then run the same command again.",
        )


def _check_libraries(also: Sequence[str]) -> None:
    """`also`: packages that will be asked for anyway, so that one command installs all."""
    libraries = _beside("system_libraries")
    names = libraries.missing()
    if names:
        raise SetupError("system_libraries_missing", libraries.advice(names, also))


def _check_module(python: Path) -> None:
    """Start the Blender module once, so that what is wrong with it is said now and not in the middle of a job."""
    # os._exit: a Blender module need not be torn down, and some versions do not survive it.
    code = "import os, sys, bpy; print(bpy.app.version_string); sys.stdout.flush(); os._exit(0)"
    result = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return
    libraries = _beside("system_libraries")
    found = subprocess.run(
        [str(python), "-I", "-c", "import importlib.util as u; print(u.find_spec('bpy').origin)"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    names = libraries.missing_for(Path(found)) if found else ()
    if names:
        raise SetupError("system_libraries_missing", libraries.advice(names))
    raise SetupError("blender_broken", f"the Blender module does not start: {(result.stderr or result.stdout).strip()[-800:]}")


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"motion_queue_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two commands started at once must not make the same environment; the second waits for the first."""
    folder = ROOT / ".cache"
    try:
        folder.mkdir(exist_ok=True)
        handle = (folder / "setup.lock").open("a+b")
    except OSError as error:
        raise SetupError(
            "checkout_not_writable", f"the checkout {ROOT} cannot be written to ({error.strerror}); set-up goes there."
        ) from error
    with handle:
        _lock(handle)
        yield


def _lock(handle: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        handle.seek(0)
        while True:
            try:
                msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
                return
            except OSError:
                continue  # LK_LOCK gives up after ten seconds; the other set-up may take minutes
    else:
        import fcntl  # noqa: PLC0415

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another mq.py is setting up; waiting for it …", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)


# --- handing over ---------------------------------------------------------------------------------------------------


def _run_here(argv: Sequence[str]) -> int:
    load_package()
    from motion_queue.scripts.cli import main as cli  # noqa: PLC0415

    return cli.main(list(argv))


def _check_here(argv: Sequence[str]) -> int:
    """Whether the command line can be used at all, without running it: 0, or the exit code after saying what is wrong."""
    load_package()
    from motion_queue.scripts.cli import main as cli  # noqa: PLC0415

    return cli.check(list(argv))


def _hand_over(python: Path, argv: Sequence[str]) -> int:
    """Become the command inside the environment. Isolated, so that no PYTHONPATH puts the checkout in front."""
    command = [str(python), "-I", "-m", "motion_queue.scripts.cli", *argv]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        os.execv(command[0], command)
    # Windows' exec returns to the shell at once: wait for it there. Ctrl-C reaches the child by itself.
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
