# SPDX-License-Identifier: GPL-3.0-or-later
"""How true the progress of real jobs is: clips that are retargeted and rendered, one after another, in a real Blender.

The engine has seen three similar jobs before (the same size of picture). Of every later job, all samples are compared with
elapsed / actual total; a sample that is more than 5 % off is a miss. Jobs differ in length and in what is shown.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion_queue.app import App, Settings
from motion_queue.queue import JobState

from .queue import scratch
from .report import Report, percentile

ALLOWED = 0.05
SAMPLE = Path(__file__).resolve().parents[2] / "examples" / "walk.bvh"
_EVERY = 0.1  # seconds between samples
_CLIP_FRAMES = 120


@dataclass(frozen=True, slots=True)
class Sample:
    job: int
    elapsed: float  # seconds
    progress: float
    truth: float

    @property
    def error(self) -> float:
        return self.progress - self.truth


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(prog="mq.py bench progress", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=20, help="jobs that are measured (default 20)")
    parser.add_argument("--learn", type=int, default=3, help="jobs before them (default 3)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", default="320x180", help="WIDTHxHEIGHT (default 320x180)")
    parser.add_argument("--blender", default="", help="an installed Blender (default: the one that is found)")
    parser.add_argument("--clip", type=Path, default=SAMPLE, help="clip the jobs are cut from (default: the sample)")
    parser.add_argument("--folder", type=Path, help="where the state folder is made (default: the temporary folder)")
    options = parser.parse_args(argv)
    report = Report("progress")
    chance = random.Random(options.seed)
    size = [int(part) for part in options.size.split("x")]
    samples: list[Sample] = []
    with (
        scratch(options.folder) as folder,
        App.open(Settings(state_dir=folder / "state", blender=options.blender, concurrency=1)) as app,
    ):
        for number in range(options.learn + options.jobs):
            first = chance.randrange(1, _CLIP_FRAMES // 2)
            last = min(_CLIP_FRAMES, first + chance.randrange(40, 90))
            found = _watch(app, number, options.clip, {"frame_start": first, "frame_end": last, "resolution": size})
            if number >= options.learn:
                samples.extend(found)
    errors = [abs(s.error) for s in samples]
    misses = [s for s in samples if abs(s.error) > ALLOWED]
    for miss in misses:
        print(f"miss: job {miss.job} at {miss.elapsed:.1f} s: progress {miss.progress:.3f}, truth {miss.truth:.3f}", flush=True)
    note = f"{len(samples)} samples of {options.jobs} jobs"
    report.add("|progress − elapsed/total|, median", percentile(errors, 0.5), "", note=note)
    report.add("|progress − elapsed/total|, p95", percentile(errors, 0.95), "", target=ALLOWED)
    report.add("|progress − elapsed/total|, largest", max(errors), "", target=ALLOWED)
    report.add("jobs with a sample more than 5 % off", len({s.job for s in misses}), "jobs", target=0)
    return report.finish()


def _watch(app: App, number: int, clip: Path, options: dict[str, Any]) -> list[Sample]:
    """Run one job and sample it, from its first step's start to its end."""
    job_id = app.engine.submit(app.clip_job(clip, options)).job_id
    seen: list[tuple[float, float]] = []
    while not (job := app.engine.get(job_id)).finished:
        if job.started_at is not None:
            seen.append((time.time() - job.started_at, job.progress))
        time.sleep(_EVERY)
    if job.state is not JobState.COMPLETED or job.degraded:
        raise RuntimeError(f"job {number} is {job.state}: {job.error or job.degraded}")
    total = (job.completed_at or 0.0) - (job.started_at or 0.0)
    print(f"job {number}: {total:.2f} s, {options}", flush=True)
    return [Sample(number, elapsed, progress, min(elapsed / total, 1.0)) for elapsed, progress in seen]
