# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the generator takes to load and to make four seconds of motion, and how much memory: in its own process, with numpy
alone and one thread, as the children of the queue have it; beside layers of a published model's sizes in torch with two."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from ....backends.generate.generator import GenerateOptions, Generator
from ..report import Report

_PEER = f"{__package__}.peer"  # imported only where torch is
_THREADS, _PEER_THREADS = "1", "2"
_ROUNDS = 5


def measure(report: Report, weights: Path | None) -> None:
    """Adds load, seconds a motion and memory, with the peer's seconds where torch is installed."""
    found = _run(__name__, f"part.main({str(weights or '')!r})", _THREADS)
    note = f"one thread, numpy; median of {_ROUNDS}: " + ", ".join(f"{s:.2f}" for s in found["seconds"])
    peers = {}
    if importlib.util.find_spec("torch"):
        other = _run(_PEER, "part.main()", _PEER_THREADS)
        peers = {"MoMask++'s sizes, random weights, torch": median(other["seconds"])}
        note += "; peer: " + ", ".join(f"{name} {size:.0f} M" for name, size in other["millions"].items() if size > 1)
    report.add("loading the model", found["load"], "s", target=0.3)
    report.add("a motion of 4 s once loaded", median(found["seconds"]), "s", target=0.5, peers=peers, note=note)
    report.add("memory of the process at its highest", found["megabytes"], "MB", target=300.0)


def _run(module: str, call: str, threads: str) -> dict[str, Any]:
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import {module} as part; {call}"],
        env={**os.environ, **limits, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"The measurement {module} ended with {done.returncode}: {done.stderr.strip()[-800:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main(weights: str) -> None:
    begin = time.perf_counter()
    generator = Generator.load(Path(weights) if weights else None)
    load = time.perf_counter() - begin
    seconds = []
    for seed in range(_ROUNDS):
        begin = time.perf_counter()
        generator.generate("a person walks forward and turns left", GenerateOptions(seconds=4.0, seed=seed))
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"load": load, "seconds": seconds, "megabytes": _peak_megabytes()}))


def _peak_megabytes() -> float:
    if sys.platform == "win32":
        import psutil  # noqa: PLC0415

        return float(psutil.Process().memory_info().peak_wset) / 1e6
    if sys.platform == "linux":
        # Not from the resource module: that also counts the process this one was started from.
        peak = next(line for line in Path("/proc/self/status").read_text("ascii").splitlines() if line.startswith("VmHWM"))
        return float(peak.split()[1]) * 1024 / 1e6
    import resource  # noqa: PLC0415

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
