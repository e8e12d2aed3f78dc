# SPDX-License-Identifier: GPL-3.0-or-later
"""A day of jobs (one every two seconds) goes through the queue of a Blender with a window, and through its list, in the time that
is given: what is left of memory, threads, file handles and children.

Needs a window, as `bench window` does. The jobs do nothing, so that it is the interface that works; meanwhile a person orbits,
edits and switches scenes, and selects, moves, cancels and clears jobs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from motion_queue.scripts import build
from motion_queue.scripts.window.harness import Screen, Window, install

from .report import Report, middle
from .window import SIZE, bring_in, needed_runner, whole_area

JOBS = 43_200  # one every two seconds for a day
_SAMPLES = 120


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(prog="mq.py bench window_soak", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=30.0, help="for all of them (default 30)")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"(default {JOBS:,})")
    options = parser.parse_args(argv)
    prefix = needed_runner()
    report = Report("window_soak")
    with tempfile.TemporaryDirectory(prefix="motion-queue-bench-soak-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        install(prefix, build.build(Path(folder) / "zip", blender=None), home)
        screen = Screen(prefix)
        try:
            samples = _day(prefix, screen, home, 60.0 * options.minutes, options.jobs)
        finally:
            screen.close()
    every = len(samples) // 10
    course = ", ".join(f"{sample['mb']:.0f}" for sample in samples[every - 1 :: every])
    first, last = _settled(samples, "mb")
    note = f"{options.jobs:,} jobs in {options.minutes:g} min; MB at each tenth: {course}"
    report.add("memory growth of Blender after warm-up", 100.0 * (last - first) / first, "%", target=1.0, note=note)
    for key, name in (("threads", "threads"), ("handles", "file handles"), ("children", "children")):
        first, last = _settled(samples, key)
        report.add(f"{name} more at the end", last - first, "", target=0.0)
    report.add("jobs not accounted for", options.jobs - samples[-1]["over"], "", target=0.0)
    report.add("draws of the queue's panel", samples[-1]["draws"], "", note=f"{samples[-1]['operations']:,} operations")
    return report.finish()


def _day(prefix: tuple[str, ...], screen: Screen, home: Path, seconds: float, jobs: int) -> list[dict[str, float]]:
    with Window(prefix, screen, home, size=SIZE, simulated=False) as window:
        bring_in(window)
        whole_area(window)
        window.run("kept.inside.prepare(); kept.inside.begin_soak()")
        samples: list[dict[str, float]] = []
        for number in range(1, _SAMPLES + 1):
            samples.append(window.run(f"return (yield from kept.inside.soak({seconds / _SAMPLES}, {jobs * number // _SAMPLES}))"))
        return samples


def _settled(samples: Sequence[dict[str, float]], key: str) -> tuple[float, float]:
    """After the warm-up, a quarter of the time, and at the end; a tenth of what is left each."""
    settled = [sample[key] for sample in samples[len(samples) // 4 :]]
    part = max(1, len(settled) // 10)
    return middle(settled[:part]), middle(settled[-part:])
