# SPDX-License-Identifier: GPL-3.0-or-later
"""A day of the pump, accelerated: 864,000 ticks (10 a second for 24 hours) with a steady stream of jobs and a journal on disk.

Memory, threads and file handles are sampled all along; what counts is how they change after the first quarter, the warm-up, in
which the journal was folded for the first times. Folding is paced by the clock on the wall: the day waits for it now and then,
since in a real one it would have hours.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from motion_queue.queue import Event, JobSpec

from .queue import WORKFLOW, open_engine, scratch
from .report import Report, middle

TICKS = 864_000
_SAMPLES = 200


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(prog="mq.py bench soak", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ticks", type=int, default=TICKS, help=f"pump ticks (default {TICKS:,})")
    parser.add_argument("--every", type=int, default=20, help="ticks between two jobs (default 20: one every two seconds)")
    parser.add_argument("--folder", type=Path, help="where the journal is written (default: the temporary folder)")
    options = parser.parse_args(argv)
    report = Report("soak")
    with scratch(options.folder) as folder:
        _soak(report, folder, options.ticks, options.every)
    return report.finish()


def _soak(report: Report, folder: Path, ticks: int, every: int) -> None:
    engine = open_engine(folder, kept=100)
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
            if submitted % 500 == 0 and not engine.wait_idle(60):
                raise RuntimeError("the engine fell behind")
        engine.pump.tick()
        if tick % (ticks // _SAMPLES) == 0:
            # Compared is what is left when the work of the moment is done.
            engine.wait_idle(60)
            while engine.pump.tick():
                pass
            _let_fold(folder / "journal")
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
    settled = samples[len(samples) // 4 :]
    part = max(1, len(settled) // 10)
    first, last = middle([s[0] for s in settled[:part]]), middle([s[0] for s in settled[-part:]])
    course = ", ".join(f"{sample[0]:.1f}" for sample in samples[:: max(1, len(samples) // 10)])
    print(f"MB at each tenth: {course}", flush=True)
    note = f"{ticks:,} ticks, {submitted:,} jobs, {heard:,} events; {first:.1f} MB after warm-up, {last:.1f} MB at the end"
    report.add("memory growth after warm-up", 100.0 * (last - first) / first, "%", target=1.0, note=note)
    blocks = [middle([s[3] for s in part_of]) for part_of in (settled[:part], settled[-part:])]
    growth = 100.0 * (blocks[1] / blocks[0] - 1.0)
    report.add("of that in use by Python (memory blocks)", growth, "%", target=1.0, note="the rest is the allocator's")
    for name, i in (("threads", 1), ("file handles", 2)):
        more = middle([s[i] for s in settled[-part:]]) - middle([s[i] for s in settled[:part]])
        report.add(f"{name} more at the end", more, "", target=0.0)
    report.add("jobs not accounted for", submitted - over, "", target=0.0)


def _let_fold(journal: Path, seconds: float = 60.0) -> None:
    """Wait until closed segments are folded into the snapshot; the newest snapshot's predecessor keeps one segment alive."""
    end = time.monotonic() + seconds
    while len(list(journal.glob("journal-*.jsonl"))) > 2 and time.monotonic() < end:
        time.sleep(0.05)
