# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 at random moments of a running queue, again and again, and what of its promises held.

Promises: no acknowledged job is lost; no job ends twice, and an end never changes; a step whose completion is durable never
runs again; a step that makes frames goes on at its first missing one; no job runs twice at once; after the last restart
every job comes to its end. `Victim` is the process to kill: another program that speaks the same lines can take its place.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...persistence.reader import read_state
from .crash_child import FRAMES, video_digest
from .report import Report

_TERMINAL = frozenset({"completed", "failed", "cancelled"})
_PER_ROUND = 25  # kills of one state folder
_HUNG = 60.0  # seconds: a bound against hanging, no measurement

Command = Callable[[Path, Path, int, int, bool], Sequence[str]]


def queue_process(folder: Path, deeds: Path, life: int, seed: int, finish: bool) -> list[str]:
    """The command line of the process that is killed."""
    module = f"{__package__}.crash_child"
    options = ["--life", str(life), "--seed", str(seed), *(["--finish"] if finish else [])]
    return [sys.executable, "-P", "-m", module, str(folder), str(deeds), *options]


@dataclass(slots=True)
class Tally:
    """What happened in one or more rounds."""

    kills: int = 0
    jobs: int = 0
    acknowledged: int = 0
    phases: Counter[str] = field(default_factory=Counter)  # what was going on at a kill; several at once count each
    problems: list[str] = field(default_factory=list)
    recovery: list[float] = field(default_factory=list)  # seconds from start of the process to `ready`

    def add(self, other: Tally) -> None:
        self.kills += other.kills
        self.jobs += other.jobs
        self.acknowledged += other.acknowledged
        self.phases += other.phases
        self.problems += other.problems
        self.recovery += other.recovery


class _Life:
    """One process, from start to kill or end, and the lines it said."""

    def __init__(self, command: Sequence[str], errors: Path) -> None:
        self.started = time.monotonic()
        self.started_at = time.time()
        self.ready_after: float | None = None
        self.lines: list[dict[str, Any]] = []
        self._ready = threading.Event()
        with errors.open("ab") as stream:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream, stdin=subprocess.DEVNULL)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break  # killed in the middle of it: nothing was said
                said = json.loads(line)
                self.lines.append(said)
                if said["kind"] == "ready":
                    self.ready_after = time.monotonic() - self.started
                    self._ready.set()
        self._ready.set()

    def wait_ready(self) -> None:
        self._ready.wait(_HUNG)

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> int:
        try:
            code = self.process.wait(_HUNG)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        self._reader.join(_HUNG)
        return code


class Round:
    """One state folder whose owner is killed again and again. `problems` names every promise that was broken."""

    def __init__(self, folder: Path, seed: int, command: Command = queue_process) -> None:
        self._folder = folder
        self._state = folder / "state"
        self._state.mkdir(parents=True)
        self._deeds = folder / "deeds.jsonl"
        self._errors = folder / "stderr.txt"
        self._seed = seed
        self._command = command
        self._chance = random.Random(seed)
        self._lives = 0
        self._read_to = 0
        self.tally = Tally()
        # What was known for certain before the current life began.
        self._acknowledged: set[str] = set()
        self._cancelled: set[str] = set()
        self._ended_by_event: Counter[str] = Counter()
        self._terminal: dict[str, tuple[str, Any]] = {}  # job → its state and when it came to it
        self._steps_done: set[tuple[str, str]] = set()
        self._frames_done: set[tuple[str, str, int]] = set()

    def run(self, kills: int) -> Tally:
        for _ in range(kills):
            self._live_and_die()
        self._live_to_the_end()
        return self.tally

    def _start(self, finish: bool) -> _Life:
        self._lives += 1
        return _Life(self._command(self._state, self._deeds, self._lives, self._seed * 1000 + self._lives, finish), self._errors)

    def _live_and_die(self) -> None:
        life = self._start(finish=False)
        if self._chance.random() < 0.1:
            time.sleep(self._chance.uniform(0.05, 0.3))  # while it starts and recovers
        else:
            life.wait_ready()
            if life.process.poll() is not None:
                self._problem(f"the process ended by itself with {life.process.returncode}: {self._last_words()}")
            time.sleep(min(self._chance.expovariate(1 / 0.07), 0.5))
        life.kill()
        self.tally.kills += 1
        self._take_in(life)

    def _live_to_the_end(self) -> None:
        life = self._start(finish=True)
        code = life.end()
        if code != 0 or not any(line["kind"] == "done" and line["clean"] for line in life.lines):
            self._problem(f"the last process did not finish cleanly (exit code {code}): {self._last_words()}")
        self._take_in(life)
        jobs = read_state(self._state).jobs
        self.tally.jobs = len(jobs)
        self.tally.acknowledged = len(self._acknowledged)
        for job_id, job in jobs.items():
            state = job.get("state", "queued")
            if state not in _TERMINAL:
                self._problem(f"job {job_id} is {state} at the end")
            if state == "failed":
                self._problem(f"job {job_id} failed: {job.get('error')}")
            if state == "completed":
                self._check_result(job_id, job)

    def _check_result(self, job_id: str, job: Mapping[str, Any]) -> None:
        for step in job["steps"]:
            if step.get("state") != "completed":
                self._problem(f"job {job_id} is completed and its step {step['name']} is {step.get('state')}")
            for artefact in step.get("artefacts", ()):
                stored = self._state / "artefacts" / artefact["key"]
                if not stored.is_file() or artefact["sha256"] != video_digest(job_id):
                    self._problem(f"the artefact {artefact['key']} is missing or wrong")

    def _take_in(self, life: _Life) -> None:
        """Compare what one life said and did with what was certain before, then with what it left on disk."""
        if life.ready_after is not None:
            self.tally.recovery.append(life.ready_after)
        submitting = False
        for line in life.lines:
            match line["kind"]:
                case "submitting":
                    submitting = True
                case "acknowledged":
                    submitting = False
                    self._acknowledged.update(line["ids"])
                case "cancelled":
                    self._cancelled.add(line["id"])
                case "ended":
                    self._ended_by_event[line["id"]] += 1
                    if self._ended_by_event[line["id"]] > 1:
                        self._problem(f"job {line['id']} ended twice")
        finished, running = self._take_in_deeds()
        state = read_state(self._state)
        for note in state.notes:
            # A torn end is what a kill leaves; anything else is damage.
            if "was incomplete" not in note:
                self._problem(f"after kill {self.tally.kills}: {note}")
        self._take_in_state(state.jobs)
        phases = self.tally.phases
        phases["starting"] += life.ready_after is None
        phases["submitting"] += submitting
        phases["running"] += bool(running)
        phases["finishing"] += bool(finished - self._steps_done)
        phases["snapshotting"] += _written_since(self._state / "snapshot.jsonl.new", life.started_at)
        phases["torn journal"] += any("was incomplete" in note for note in state.notes)

    def _take_in_deeds(self) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        """What steps did in this life: those that finished, and those that were running when it ended."""
        finished: set[tuple[str, str]] = set()
        running: dict[str, tuple[str, str]] = {}
        rendered: Counter[tuple[str, str, int]] = Counter()
        if not self._deeds.exists():
            return finished, set()
        with self._deeds.open("rb") as stream:
            stream.seek(self._read_to)
            data = stream.read()
        self._read_to += len(data)
        for line in data.splitlines():
            deed = json.loads(line)
            job, step = deed["job"], (deed["job"], deed["step"])
            match deed["what"]:
                case "start":
                    if job in running:
                        self._problem(f"job {job} ran twice at once")
                    if job in self._terminal:
                        self._problem(f"step {step} began after its job was {self._terminal[job][0]}")
                    if step in self._steps_done or step in finished:
                        self._problem(f"step {step} was finished and ran again")
                    running[job] = step
                case "render":
                    frame = (*step, deed["frame"])
                    rendered[frame] += 1
                    if frame in self._frames_done:
                        self._problem(f"frame {frame} was there and was made again")
                case "finish":
                    finished.add(step)
                    running.pop(job, None)
                case _:
                    running.pop(job, None)
        return finished, set(running.values())

    def _take_in_state(self, jobs: Mapping[str, Mapping[str, Any]]) -> None:
        for job_id in self._acknowledged - jobs.keys():
            self._problem(f"job {job_id} was acknowledged and is lost")
        for job_id, job in jobs.items():
            state = str(job.get("state", "queued"))
            if job_id in self._cancelled and state not in ("cancelled", "stopping", "completed"):
                self._problem(f"job {job_id} was cancelled, acknowledged, and is {state}")
            before = self._terminal.get(job_id)
            if before is not None and before != (state, job.get("completed_at")):
                self._problem(f"job {job_id} was {before} and is {state}")
            if state in _TERMINAL:
                self._terminal[job_id] = (state, job.get("completed_at"))
            for step in job["steps"]:
                if step.get("state") == "completed":
                    self._steps_done.add((job_id, step["name"]))
        self._frames_done = {
            (job.name, step.name, int(frame.name))
            for job in (self._state / "work").glob("*")
            for step in job.iterdir()
            for frame in step.glob("[0-9]*")
            if frame.name.isdecimal() and int(frame.name) < FRAMES
        }

    def _problem(self, text: str) -> None:
        self.tally.problems.append(f"seed {self._seed}, life {self._lives}: {text}")

    def _last_words(self) -> str:
        return self._errors.read_text("utf-8", "replace")[-2000:] if self._errors.exists() else ""


def kill_many(kills: int, seed: int, folder: Path, report: Callable[[Tally], None] | None = None) -> Tally:
    """Rounds of at most 25 kills, two at a time, each on a state folder of its own. Folders without a problem are removed."""

    def one(number: int) -> Tally:
        place = folder / f"round-{number}"
        tally = Round(place, seed + number).run(min(_PER_ROUND, kills - number * _PER_ROUND))
        if not tally.problems:
            shutil.rmtree(place)
        return tally

    total = Tally()
    with ThreadPoolExecutor(2) as pool:
        for tally in pool.map(one, range(-(-kills // _PER_ROUND))):
            total.add(tally)
            if report is not None:
                report(total)
    return total


def _written_since(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime >= moment
    except FileNotFoundError:
        return False


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(prog="mq.py bench crash", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=1000, help="how many (default 1,000)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the work and of the moments")
    parser.add_argument("--keep", type=Path, help="folder for the rounds; those with a problem stay there")
    args = parser.parse_args(argv)
    folder = args.keep or Path(tempfile.mkdtemp(prefix="motion-queue-crash-"))
    folder.mkdir(parents=True, exist_ok=True)

    def show(total: Tally) -> None:
        print(f"{total.kills} of {args.kills} kills, {len(total.problems)} problems", file=sys.stderr)

    tally = kill_many(args.kills, args.seed, folder, show)
    report = Report("crash")
    report.add("kills", tally.kills, "", note=f"seed {args.seed}")
    report.add("jobs acknowledged", tally.acknowledged, "")
    for phase, count in sorted(tally.phases.items()):
        report.add(f"kills while {phase}", count, "")
    report.add("restart to ready, median", sorted(tally.recovery)[len(tally.recovery) // 2] if tally.recovery else 0.0, "s")
    report.add("promises broken", len(tally.problems), "", target=0)
    measured = report.finish()
    for problem in tally.problems[:50]:
        print(problem, file=sys.stderr)
    if not tally.problems and args.keep is None:
        shutil.rmtree(folder)
    return measured


if __name__ == "__main__":
    run(sys.argv[1:])
