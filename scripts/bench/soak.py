# SPDX-License-Identifier: GPL-3.0-or-later
"""A day of the pump, accelerated: 864,000 ticks (10 a second for 24 hours) with a steady stream of jobs and a journal on disk.

Memory, threads and file handles are sampled all along; what counts is how they change after the first quarter, the warm-up. By
its end every bounded buffer of the engine has been full many times over (finished jobs kept, events for replay, metrics,
segments of the journal), and the journal was folded. Folding is paced by the clock on the wall: the day waits for it before each
sample, since in a real one it would have hours. It also waits whenever eight jobs are under way: of jobs two seconds apart that
take no time, a real day has one.

glibc keeps up to seven freed blocks of each of 64 sizes in a cache of each thread, up to 0.2 MB, which fill over days: bounded,
but growth all the same. So the day is run a second time, in a process whose allocator keeps nothing back: what grows there grows
without bound.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from motion_queue.persistence.journal import FileJournal
from motion_queue.queue import Event, JobSpec

from .queue import WORKFLOW, open_engine, scratch
from .report import Report, middle

TICKS = 864_000
_SAMPLES = 200
_WAITING = 8  # jobs at most; of jobs two seconds apart that take no time, never more than one is under way
_NOTHING_KEPT_BACK = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0", "MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What changed from the end of the warm-up to the end of the day."""

    first_mb: float  # resident memory after the warm-up
    last_mb: float
    blocks: float  # per cent more memory blocks of Python, the last quarter of the day against the second
    threads: float  # more
    handles: float  # more
    submitted: int
    over: int
    events: int

    @property
    def growth(self) -> float:
        """Of the resident memory, per cent."""
        return 100.0 * (self.last_mb - self.first_mb) / self.first_mb


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(prog="mq.py bench soak", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ticks", type=int, default=TICKS, help=f"pump ticks (default {TICKS:,})")
    parser.add_argument("--every", type=int, default=20, help="ticks between two jobs (default 20: one every two seconds)")
    parser.add_argument("--folder", type=Path, help="where the journal is written (default: the temporary folder)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.inside:
        with scratch(options.folder) as folder:
            print(json.dumps(asdict(_day(folder, options.ticks, options.every))), flush=True)
        return []
    report = Report("soak")
    with scratch(options.folder) as folder:
        day = _day(folder, options.ticks, options.every)
    note = (
        f"{options.ticks:,} ticks, {day.submitted:,} jobs, {day.events:,} events; "
        f"{day.first_mb:.1f} MB after warm-up, {day.last_mb:.1f} MB at the end"
    )
    report.add("memory growth after warm-up", day.growth, "%", target=1.0, note=note)
    report.add("of that in use by Python (memory blocks)", day.blocks, "%", target=1.0, note="the rest is the allocator's")
    if platform.libc_ver()[0] == "glibc":
        again = _in_new_process(options)
        note = f"{again.first_mb:.1f} → {again.last_mb:.1f} MB; {' '.join(f'{k}={v}' for k, v in _NOTHING_KEPT_BACK.items())}"
        report.add("memory growth while glibc keeps no freed memory back", again.growth, "%", target=1.0, note=note)
    report.add("threads more at the end", day.threads, "", target=0.0)
    report.add("file handles more at the end", day.handles, "", target=0.0)
    report.add("jobs not accounted for", day.submitted - day.over, "", target=0.0)
    return report.finish()


def _in_new_process(options: argparse.Namespace) -> Day:
    command = [sys.executable, "-P", "-m", "motion_queue.scripts.bench.soak", "--inside"]
    command += ["--ticks", str(options.ticks), "--every", str(options.every)]
    if options.folder:
        command += ["--folder", str(options.folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **_NOTHING_KEPT_BACK})
    return Day(**json.loads(done.stdout.strip().splitlines()[-1]))


def _day(folder: Path, ticks: int, every: int) -> Day:
    journal = FileJournal(folder / "journal")
    engine = open_engine(folder, kept=100, journal=journal)
    heard = 0

    def listen(event: Event) -> None:
        nonlocal heard
        heard += 1

    unsubscribe = engine.subscribe(listen)
    process = psutil.Process()
    chance = random.Random(1)
    samples: list[tuple[float, int, int, int]] = []  # MB, threads, file handles, memory blocks of Python
    submitted = 0
    for tick in range(ticks):
        if tick % every == 0:
            # Jobs as people submit them: some are called off, some moved, and now and then nothing happens for a while.
            ticket = engine.submit(
                JobSpec(workflow=WORKFLOW, label=f"shot {tick}", payload={"seed": tick}, priority=chance.randrange(101))
            )
            submitted += 1
            if chance.random() < 0.05:
                engine.cancel(ticket.job_id)
            if submitted % _WAITING == 0 and not engine.wait_idle(60):
                raise RuntimeError("the engine fell behind")
        engine.pump.tick()
        if tick % (ticks // _SAMPLES) == 0:
            # Compared is what is left when the work of the moment is done.
            engine.wait_idle(60)
            while engine.pump.tick():
                pass
            if not journal.wait_folded(60):
                raise RuntimeError("the journal was not folded")
            gc.collect()
            samples.append(
                (process.memory_info().rss / 2**20, process.num_threads(), process.num_fds(), sys.getallocatedblocks())
            )
    engine.wait_idle(60)
    while engine.pump.tick():
        pass
    unsubscribe()
    over = sum(engine.metrics().finished.values())
    engine.close()
    course = ", ".join(f"{sample[0]:.1f}" for sample in samples[:: max(1, len(samples) // 10)])
    print(f"MB at each tenth: {course}", flush=True)
    settled = samples[len(samples) // 4 :]
    part = max(1, len(settled) // 10)
    first = [middle([s[i] for s in settled[:part]]) for i in range(3)]
    last = [middle([s[i] for s in settled[-part:]]) for i in range(3)]
    # Blocks go up and down with what is folded and freed at the moment, resident memory does not: many samples against many.
    quarter = len(samples) // 4
    second, fourth = (middle([s[3] for s in some]) for some in (samples[quarter : 2 * quarter], samples[-quarter:]))
    return Day(
        first_mb=first[0],
        last_mb=last[0],
        blocks=100.0 * (fourth / second - 1.0),
        threads=last[1] - first[1],
        handles=last[2] - first[2],
        submitted=submitted,
        over=over,
        events=heard,
    )


if __name__ == "__main__":
    run(sys.argv[1:])
