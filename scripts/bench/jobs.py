# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs file reader under 100,000 mutations, and how long ten thousand jobs take to read."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import fuzz_jobs, jobs_file
from .report import Report


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(prog="mq.py bench jobs", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mutations", type=int, default=100_000, help="how many (default 100,000)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (default 0)")
    options = parser.parse_args(argv)
    report = Report("jobs")
    counts = fuzz_jobs.run(options.mutations, seed=options.seed)  # raises on anything but shots or a documented error
    for verdict, count in sorted(counts.items()):
        report.add(f"mutations: {verdict}", count, "")
    report.add("undocumented errors", options.mutations - sum(counts.values()), "", target=0)
    data = json.dumps({"version": 1, "jobs": [{"clip": f"{i}.bvh"} for i in range(jobs_file.MAX_JOBS)]}).encode()
    started = time.perf_counter()
    jobs_file.parse(data, name="jobs.json", folder=Path("/shots"))
    report.add(f"reading {jobs_file.MAX_JOBS:,} jobs", time.perf_counter() - started, "s")
    return report.finish()
