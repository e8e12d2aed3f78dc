# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed and size of the engine with its journal on disk, beside other queues in the same run.

Peers: the standard library's ThreadPoolExecutor with a PriorityQueue (no durability), huey with SQLite, persist-queue's
SQLiteAckQueue. All of them run jobs that do nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import queue
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from motion_queue.persistence.journal import FileJournal
from motion_queue.queue import Engine, Estimate, Health, JobSpec, Limits, StepContext, StepRequest, StepResult, StepSpec, Workflow

from .report import Report, middle, percentile

WORKFLOW = "nothing"


def interpreter(report: Report) -> None:
    """What the figures below were measured with: Pythons differ by a third in speed by how they were built."""
    took = []
    for _ in range(3):
        start = time.process_time()
        total = 0
        for i in range(5_000_000):
            total += i
        took.append(time.process_time() - start)
    stated = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    build = "built with --enable-optimizations" if stated else "--enable-optimizations not among its build options"
    note = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}, {build}"
    report.add("five million rounds of s += i, CPU", min(took), "s", note=note)


class Nothing:
    """A backend that does nothing."""

    name = "nothing"
    lane = "cpu"
    can_pause = False

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        return StepResult()

    def estimate(self, payload: Mapping[str, Any], results: Mapping[str, Any]) -> Estimate:
        return Estimate()

    def health(self) -> Health:
        return Health(ok=True)


def open_engine(folder: Path, *, paused: bool = False, kept: int = 200_000, journal: FileJournal | None = None) -> Engine:
    limits = Limits(max_queued=1_000_000, finished_kept=kept, lanes={"cpu": 4})
    engine = Engine(journal=journal or FileJournal(folder / "journal"), limits=limits)
    engine.register_backend(Nothing())
    engine.register_workflow(Workflow(name=WORKFLOW, steps=(StepSpec(name="work", backend="nothing"),)))
    engine.start()
    if paused:
        engine.pause_queue().wait_durable()
    return engine


def specs(count: int) -> list[JobSpec]:
    return [
        JobSpec(workflow=WORKFLOW, label=f"walk {i}", payload={"clip": f"clips/walk_{i:05}.bvh", "seed": i}, project_id="bench")
        for i in range(count)
    ]


@contextmanager
def scratch(parent: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="motion-queue-bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def operations(report: Report, parent: Path | None, rounds: int) -> None:
    """Each operation from the caller's side, with more and more jobs waiting."""
    medians: dict[str, dict[int, float]] = {}
    for waiting in (100, 1_000, 10_000, 100_000):
        with scratch(parent) as folder:
            engine = open_engine(folder, paused=True)
            ids = list(engine.submit_many(specs(waiting)).job_ids)
            engine.submit_many(specs(1)).wait_durable(60)
            took = time_operations(engine, ids, rounds)
            engine.close()
        for name, seconds in took.items():
            medians.setdefault(name, {})[waiting] = middle(seconds)
            if waiting in (1_000, 10_000):
                value = percentile(seconds, 0.99) * 1e3
                report.add(f"{name} with {waiting:,} waiting, p99", value, "ms", target=1.0)
    for name, by_size in medians.items():
        ratio = by_size[100_000] / by_size[100]
        note = f"median {by_size[100] * 1e6:.0f} µs with 100, {by_size[100_000] * 1e6:.0f} µs with 100,000"
        report.add(f"{name}, 100,000 waiting against 100", ratio, "×", target=2.0, note=note)


def time_operations(engine: Engine, ids: Sequence[str], rounds: int) -> dict[str, list[float]]:
    step = max(1, len(ids) // rounds)
    chosen = [ids[(i * step * 7) % len(ids)] for i in range(rounds)]
    one = specs(1)[0]
    line = list(ids)  # whose turn it is to be cancelled
    places = ("top", "bottom", "up", "down", len(ids) // 2)
    calls: dict[str, Callable[[int], object]] = {
        "submit": lambda i: engine.submit(one),
        "status": lambda i: engine.get(chosen[i]),
        "reorder": lambda i: engine.move(chosen[i], places[i % len(places)]),
        "query a page": lambda i: engine.query(project="bench", offset=len(ids) // 2, limit=20),
        "cancel": lambda i: engine.cancel(line[i]),
    }
    took: dict[str, list[float]] = {}
    for name, call in calls.items():
        seconds = took.setdefault(name, [])
        for i in range(rounds):
            start = time.perf_counter()
            call(i)
            seconds.append(time.perf_counter() - start)
            if name == "cancel":
                # A job can be cancelled once: another one takes its place, so that as many go on waiting.
                line.append(engine.submit(one).job_id)
            # A person's operations come one after another, not in one burst: let the journal's thread have its turn.
            time.sleep(0.0005)
    return took


def durability(report: Report, parent: Path | None, rounds: int) -> None:
    with scratch(parent) as folder:
        engine = open_engine(folder, paused=True)
        one = specs(1)[0]
        took = []
        for _ in range(rounds):
            start = time.perf_counter()
            engine.submit(one).wait_durable(10)
            took.append(time.perf_counter() - start)
        engine.close()
    report.add("wait_durable of one job, p50", percentile(took, 0.5) * 1e3, "ms", target=10.0)
    report.add("wait_durable of one job, p99", percentile(took, 0.99) * 1e3, "ms", target=50.0)
    batches = []
    for _ in range(5):
        with scratch(parent) as folder:
            engine = open_engine(folder, paused=True)
            batch = specs(10_000)
            gc.collect()
            start = time.perf_counter()
            engine.submit_many(batch).wait_durable(60)
            batches.append(time.perf_counter() - start)
            engine.close()
    report.add("batch of 10,000 jobs durable, median of 5", middle(batches), "s", target=0.4)


def ours(parent: Path | None, count: int) -> float:
    with scratch(parent) as folder:
        engine = open_engine(folder)
        batch = specs(count)
        gc.collect()
        start = time.perf_counter()
        engine.submit_many(batch)
        if not engine.wait_idle(120):
            raise RuntimeError("the engine did not finish")
        took = time.perf_counter() - start
        done = engine.counts()["completed"]
        engine.close()
    if done != count:
        raise RuntimeError(f"{done} of {count} jobs completed")
    return count / took


def executor(count: int) -> float:
    """A PriorityQueue in front of four threads; nothing is kept."""
    waiting: queue.PriorityQueue[tuple[int, int]] = queue.PriorityQueue()
    left = threading.Semaphore(0)

    def work() -> None:
        waiting.get_nowait()
        left.release()

    start = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        for i in range(count):
            waiting.put((-50, i))
            pool.submit(work)
    return count / (time.perf_counter() - start)


def huey_sqlite(parent: Path | None, count: int) -> float:
    from huey import SqliteHuey  # noqa: PLC0415

    with scratch(parent) as folder:
        instance = SqliteHuey(filename=str(folder / "huey.db"), fsync=True)
        done = threading.Semaphore(0)

        @instance.task()  # type: ignore[untyped-decorator]
        def nothing() -> None:
            done.release()

        start = time.perf_counter()
        for _ in range(count):
            nothing()
        consumer = instance.create_consumer(workers=4, initial_delay=0.001, max_delay=0.01, periodic=False)
        consumer.start()
        for _ in range(count):
            done.acquire()
        took = time.perf_counter() - start
        consumer.stop()
    return count / took


def persist_queue(parent: Path | None, count: int) -> float:
    import persistqueue  # noqa: PLC0415

    with scratch(parent) as folder:
        waiting = persistqueue.SQLiteAckQueue(str(folder), multithreading=True, auto_commit=True)
        start = time.perf_counter()
        for i in range(count):
            waiting.put(i)
        for _ in range(count):
            waiting.ack(waiting.get(block=False))
        return count / (time.perf_counter() - start)


def throughput(report: Report, parent: Path | None, count: int) -> None:
    rates = [ours(parent, count) for _ in range(5)]
    peers = {
        "ThreadPoolExecutor + PriorityQueue (nothing kept)": middle([executor(count) for _ in range(5)]),
        "huey SQLite": middle([huey_sqlite(parent, max(200, count // 10)) for _ in range(3)]),
        "persist-queue SQLiteAckQueue": middle([persist_queue(parent, max(200, count // 10)) for _ in range(3)]),
    }
    rate = middle(rates)
    note = f"runs {', '.join(f'{r:,.0f}' for r in rates)}"
    report.add("jobs through the whole engine, median of 5", rate, "jobs/s", target=10_000, at_most=False, peers=peers, note=note)
    report.add("the same against huey SQLite", rate / peers["huey SQLite"], "×", target=5.0, at_most=False)


def reopening(report: Report, parent: Path | None) -> None:
    with scratch(parent) as folder:
        engine = open_engine(folder)
        engine.submit_many(specs(10_000))
        engine.wait_idle(120)
        engine.close()
        took = [float(_in_new_process("reopen", folder)) for _ in range(5)]
    report.add("reopening 10,000 jobs / 30,000 events, median of 5", middle(took) * 1e3, "ms", target=200.0)
    with scratch(parent) as folder:
        engine = open_engine(folder, paused=True)
        engine.submit_many(specs(10_000)).wait_durable(60)
        engine.close()
        took = [float(_in_new_process("reopen", folder)) for _ in range(5)]
    report.add("reopening 10,000 waiting jobs, median of 5", middle(took) * 1e3, "ms", target=200.0)


def memory(report: Report, parent: Path | None) -> None:
    with scratch(parent) as folder:
        grown = float(_in_new_process("memory", folder))
    report.add("memory of the engine with 10,000 waiting jobs, over bare Python", grown, "MB", target=40.0)


def _in_new_process(what: str, folder: Path) -> str:
    command = [sys.executable, "-P", "-m", "motion_queue.scripts.bench.queue", "--inside", what, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return done.stdout.strip().splitlines()[-1]


def _reopen(folder: Path) -> float:
    start = time.perf_counter()
    engine = open_engine(folder)
    took = time.perf_counter() - start
    if sum(engine.counts().values()) != 10_000:
        raise RuntimeError(f"not all jobs came back: {engine.counts()}")
    engine.close()
    return took


def _memory(folder: Path) -> float:
    bare = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            "print(next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS')))",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    engine = open_engine(folder, paused=True)
    for _ in range(10):
        # In ten batches: what the caller holds of a batch is not the engine's.
        engine.submit_many(specs(1_000)).wait_durable(60)
    gc.collect()
    used = psutil.Process().memory_info().rss / 1024
    engine.close()
    return (used - float(bare.stdout)) / 1024


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(prog="mq.py bench queue", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs of the throughput measure (default 10,000)")
    parser.add_argument("--rounds", type=int, default=1_000, help="calls of each operation (default 1,000)")
    parser.add_argument(
        "--folder", type=Path, help="where the journals are written: the disk to be measured (default: the temporary folder)"
    )
    parser.add_argument("--only", choices=list(_PARTS), action="append", help="only this part; may be given several times")
    options = parser.parse_args(argv)
    report = Report("queue")
    interpreter(report)
    for name in options.only or _PARTS:
        _PARTS[name](report, options)
    return report.finish()


_PARTS: dict[str, Callable[[Report, argparse.Namespace], None]] = {
    "operations": lambda report, options: operations(report, options.folder, options.rounds),
    "durability": lambda report, options: durability(report, options.folder, options.rounds),
    "throughput": lambda report, options: throughput(report, options.folder, options.jobs),
    "reopening": lambda report, options: reopening(report, options.folder),
    "memory": lambda report, options: memory(report, options.folder),
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        print(json.dumps({"reopen": _reopen, "memory": _memory}[sys.argv[2]](Path(sys.argv[3]))))
    else:
        run(sys.argv[1:])
