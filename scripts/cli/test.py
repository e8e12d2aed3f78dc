# SPDX-License-Identifier: GPL-3.0-or-later
"""`test`: runs every suite that this machine can run, in each Blender that is there, and says what did not run and why.

In continuous integration it first sets up the Blender modules of all supported versions, and whatever is missing is a
failure; so is every test that skips itself there, unless its reason is excused below. Knows how suites are started and counted;
must not know what they test.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from argparse import Namespace
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .. import bootstrap
from ..window.harness import VARIABLE as WINDOW_VARIABLE
from . import exit_codes

TESTS = bootstrap.ROOT / "tests"
HANGING = 30 * 60.0  # seconds: a suite that takes longer hangs
TEST_HANGING = 15 * 60  # seconds: a single test that takes longer hangs; it is ended with the stacks of all threads
_SIDE_BY_SIDE = 2  # suites at once in continuous integration
_ALONE = "window"  # a suite whose children get only what others leave: beside another one it would wait for long
_NEWEST = "the newest Blender's window"
_IN_BLENDER = ("blender", "children", "ui")  # suites that run again in every further Blender module
_INSTALLED = "installed"  # the suite for an installed Blender
_TORCH = "train"  # the suite for a Python that has torch, which is too large to install for every run
_EXCUSED = ("is not beside",)  # reasons to skip that continuous integration forgives: motion data that is no part of the project
INSTALLED_VARIABLE = "MOTION_QUEUE_TEST_BLENDER"
TORCH_VARIABLE = "MOTION_QUEUE_TORCH_PYTHON"
NEWEST_VARIABLE = "MOTION_QUEUE_NEWEST_WINDOW"  # a second runner like that of MOTION_QUEUE_WINDOW
CI_VARIABLE = "MOTION_QUEUE_TEST_CI"

# Further Blender modules in continuous integration: environment, locks, Python.
_FURTHER = (
    (".venv-bpy42", "lock-py311-bpy42.txt", (3, 11), "Blender 4.2 LTS"),
    (".venv-bpy45", "lock-py311.txt", (3, 11), "Blender 4.5 LTS"),
    (".venv-bpy52", "lock-py313.txt", (3, 13), "Blender 5.2 LTS"),
)


@dataclass(slots=True)
class _Tally:
    """What all runs together came to. Runs that go on side by side add to it one at a time, under `lock`."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    not_run: dict[str, str] = field(default_factory=dict)  # what → why
    broken: list[str] = field(default_factory=list)  # runs that ended badly without a failed test
    absent: list[str] = field(default_factory=list)  # what continuous integration does not forgive
    seconds: dict[str, float] = field(default_factory=dict)  # run → how long it took
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def failures(self) -> int:
        return self.failed + len(self.broken) + len(self.absent)


def test(args: Namespace) -> int:
    ci = args.ci or os.environ.get("CI", "").lower() == "true"
    tally = _Tally()
    options = ["-k", args.expression] if args.expression else []
    blender = _installed_blender(args.blender)
    paths = [Path(path).absolute() for path in args.paths] or _suites()
    ours = [path for path in paths if not {_INSTALLED, _TORCH} & set(path.parts)]
    groups = [("the tests", ours)] if args.paths else [(path.name, [path]) for path in ours]
    runs = [_Run(name=name, python=Path(sys.executable), paths=chosen) for name, chosen in groups if chosen]
    if not _has_module():
        _missing(tally, "tests in a Blender module", "this environment has no bpy", ci)
    if not args.paths:
        if ci:
            runs += _in_further_modules(tally)
        else:
            tally.not_run["the other Blender versions"] = "only with --ci"
    theirs = [path for path in paths if _INSTALLED in path.parts]
    if theirs and blender:
        name = f"the zip in {blender}"
        runs.append(_Run(name=name, python=Path(sys.executable), paths=theirs, environment={INSTALLED_VARIABLE: blender}))
    elif theirs:
        _missing(tally, "the zip in an installed Blender", "none found; give --blender PATH", ci)
    learning = [path for path in paths if _TORCH in path.parts]
    torch = os.environ.get(TORCH_VARIABLE, "")
    if learning and torch:
        runs.append(_Run(name="training", python=Path(torch), paths=learning))
    elif learning:
        _missing(tally, "training", f"no Python with torch; name one in {TORCH_VARIABLE}", ci)
    windows = [path for path in ours if _ALONE in path.parts]
    newest = os.environ.get(NEWEST_VARIABLE, "")
    if windows and newest:
        runs.append(_Run(name=_NEWEST, python=Path(sys.executable), paths=windows, environment={WINDOW_VARIABLE: newest}))
    elif windows and ci:
        tally.not_run[_NEWEST] = f"no program named in {NEWEST_VARIABLE}"
    # Many tests wait for a child most of the time. In continuous integration, where nobody watches, two suites go on at once.
    alone = [run for run in runs if any(_ALONE in path.parts for path in run.paths)]
    with ThreadPoolExecutor(_SIDE_BY_SIDE if ci else 1) as pool:
        for done in [pool.submit(_pytest, run, options, tally, ci) for run in runs if run not in alone]:
            done.result()
    for run in alone:
        _pytest(run, options, tally, ci)
    print("\n".join(_end(tally, ci)), flush=True)
    return exit_codes.FAILED if tally.failures else exit_codes.OK


def _suites() -> list[Path]:
    return sorted(path for path in TESTS.iterdir() if path.is_dir() and any(path.rglob("test_*.py")))


def _has_module() -> bool:
    return importlib.util.find_spec("bpy") is not None


def _installed_blender(chosen: str | None) -> str:
    named = chosen or os.environ.get("MOTION_QUEUE_BLENDER") or "blender"
    return shutil.which(named) or ""


def _missing(tally: _Tally, what: str, why: str, ci: bool) -> None:
    tally.not_run[what] = why
    if ci:
        tally.absent.append(what)


def _in_further_modules(tally: _Tally) -> Iterator[_Run]:
    """What concerns Blender, in the module versions that this environment does not have; they are set up here."""
    suites = [TESTS / name for name in _IN_BLENDER if any((TESTS / name).rglob("test_*.py"))]
    here = bootstrap.BLENDER_LOCKS.get(sys.version_info[:2], ("", ""))[0] if _has_module() else ""
    for folder, lock, version, name in _FURTHER:
        if lock == here or not suites:
            continue
        python = next(_pythons(version), None)
        if python is None:
            # Python 3.11 runs the two older versions; without it they are missing. 3.13 is asked for only where it is.
            _missing(tally, name, f"no Python {version[0]}.{version[1]} on this machine", version == (3, 11))
            continue
        started = time.monotonic()
        try:
            interpreter = bootstrap.prepare(bootstrap.ROOT / folder, (lock, "lock-test.txt"), python=str(python), version=version)
        except bootstrap.SetupError as error:
            print(f"mq.py: {error} [{error.code}]", file=sys.stderr)
            _missing(tally, name, f"could not be set up ({error.code})", True)
            continue
        tally.seconds[f"{name}, set up"] = time.monotonic() - started
        yield _Run(name=name, python=interpreter, paths=suites)


def _pythons(version: tuple[int, int]) -> Iterator[Path]:
    """Interpreters of a version that really start: this one, the PATH's, and those that pyenv keeps."""
    name = f"python{version[0]}.{version[1]}"
    candidates = [shutil.which(name)]
    if sys.version_info[:2] == version:
        candidates.insert(0, sys.executable)
    kept = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates += [str(path) for path in sorted(kept.glob(f"{version[0]}.{version[1]}.*/bin/{name}"), reverse=True)]
    for candidate in candidates:
        if (
            candidate
            and subprocess.run([candidate, "-I", "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode
            == 0
        ):
            yield Path(candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One pytest in one interpreter."""

    name: str
    python: Path
    paths: list[Path]
    environment: Mapping[str, str] = field(default_factory=dict)


def _pytest(run: _Run, options: list[str], tally: _Tally, ci: bool) -> None:
    """Run it and add it to the tally. In continuous integration what it prints is shown once it is over: others run beside it."""
    name = run.name
    heading = f"\n== {name} ({run.python}) =="
    if not ci:
        print(heading, flush=True)
    started = time.monotonic()
    # CI: pytest would print whole values and files where it is set.
    hidden = ("PYTHONPATH", "PYTEST_ADDOPTS", "CI")
    environment = {key: value for key, value in os.environ.items() if key not in hidden} | dict(run.environment)
    if ci:
        environment[CI_VARIABLE] = "1"
    with tempfile.TemporaryDirectory(prefix="motion-queue-test-") as folder:
        report, output = Path(folder) / "report.xml", Path(folder) / "output.txt"
        command = [
            str(run.python),
            "-P",
            "-m",
            "pytest",
            "-c",
            str(TESTS / "pytest.ini"),
            "--rootdir",
            str(TESTS),
            f"--junitxml={report}",
            "-o",
            f"faulthandler_timeout={TEST_HANGING}",
            "-o",
            "faulthandler_exit_on_timeout=true",
            "--tb=short",
            "-q",
            "-rfEs",
            *options,
            *map(str, run.paths),
        ]
        code: int | None = None
        with output.open("w+", encoding="utf-8", errors="replace") as shown:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = subprocess.run(
                    command,
                    env=environment,
                    timeout=HANGING,
                    check=False,
                    stdout=shown if ci else None,
                    stderr=subprocess.STDOUT if ci else None,
                ).returncode
            shown.seek(0)
            text = shown.read()
        with tally.lock:
            tally.seconds[name] = time.monotonic() - started
            if ci:
                print(heading, text, sep="\n", flush=True)
            if code is None:
                tally.broken.append(f"{name} did not end within {HANGING / 60:.0f} minutes")
            elif code == 5:  # pytest's "no tests were selected": a wish of the command line, no failure
                return
            elif not report.exists():
                tally.broken.append(f"{name} ended with code {code} without a report")
            else:
                failed = _count(report, name, tally, ci)
                if code not in (0, 1) or (code == 1 and not failed):
                    tally.broken.append(f"{name} ended with code {code}")


def _count(report: Path, name: str, tally: _Tally, ci: bool) -> int:
    """Add up one report; how many tests failed in it."""
    failed = 0
    for case in ET.parse(report).getroot().iter("testcase"):  # our own pytest wrote it a moment ago
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is not None:
            tally.skipped += 1
            reason = skip.get("message", "") or "skipped"
            tally.not_run.setdefault(f"{name}: {case.get('name')}", reason)
            if ci and not any(excuse in reason for excuse in _EXCUSED):
                tally.absent.append(f"{name}: {case.get('name')} ({reason})")
        else:
            tally.passed += 1
    tally.failed += failed
    return failed


def _end(tally: _Tally, ci: bool) -> list[str]:
    """The lines at the end: what took how long, what is wrong, and the counts with what did not run.

    In continuous integration the counts stand alone in the last line, for programs to read.
    """
    lines = ["", "== all =="] + [f"{seconds:6.0f} s  {name}" for name, seconds in tally.seconds.items()]
    lines += [f"broken: {what}" for what in tally.broken] + [f"must not be missing here: {what}" for what in tally.absent]
    counts = f"{tally.passed} passed, {tally.failures} failed, {tally.skipped} skipped"
    reasons: dict[str, list[str]] = {}
    for what, why in tally.not_run.items():
        reasons.setdefault(why, []).append(what)
    told = [
        f"{whats[0] if len(whats) == 1 else f'{whats[0]} and {len(whats) - 1} more'} ({why})" for why, whats in reasons.items()
    ]
    rest = f"did not run: {'; '.join(told)}" if told else "everything ran"
    return [*lines, rest, counts] if ci else [*lines, f"{counts}; {rest}"]
