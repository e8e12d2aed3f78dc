# SPDX-License-Identifier: GPL-3.0-or-later
"""Eight threads ask everything of one engine at once while real steps run; counters in the steps and the events watch."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from unit.queue.gates import BOUND, Instant, error, register

from motion_queue.persistence.journal import FileJournal
from motion_queue.persistence.reader import read_state
from motion_queue.queue import (
    Engine,
    JobSpec,
    JobState,
    Limits,
    MotionQueueError,
    Record,
    StepContext,
    StepRequest,
    StepResult,
    StepSpec,
)

THREADS = 8
OPERATIONS = 120  # of each thread
LANES = {"cpu": 3, "gpu": 1}
TOTAL = 4
MEMORY = 100.0
ENDS = {"job_completed", "job_failed", "job_cancelled"}


class Watched(Instant):
    """Counts what runs at once, by lane, memory and key, and keeps the most it saw."""

    def __init__(self, seed: int) -> None:
        super().__init__("watched", "cpu", self.step)
        self._lock = threading.Lock()
        self._chance = random.Random(seed)
        self._now: dict[str, tuple[str, float, str]] = {}  # job → lane, memory, key
        self.broken: list[str] = []
        self.finished: Counter[tuple[str, str]] = Counter()

    def estimate(self, payload: Any, results: Any) -> Any:
        from motion_queue.queue import Estimate  # noqa: PLC0415

        return Estimate(memory_mb=payload["memory"])

    def step(self, request: StepRequest, context: StepContext) -> StepResult:
        lane, key = ("gpu", "") if request.step == "render" else ("cpu", request.payload["key"])
        with self._lock:
            if request.job_id in self._now:
                self.broken.append(f"{request.job_id} ran twice at once")
            self._now[request.job_id] = (lane, request.payload["memory"], key)
            self._check()
            pause, fate = self._chance.uniform(0.0, 0.002), self._chance.random()
        try:
            context.progress(0.5, "half")
            if context.wait_stop(pause):
                context.check()
            if fate < 0.1:
                raise error("flaky", retryable=True)
            if fate < 0.15:
                raise error("broken")
            with self._lock:
                self.finished[request.job_id, request.step] += 1
            return StepResult(data={"by": request.token})
        finally:
            with self._lock:
                del self._now[request.job_id]

    def _check(self) -> None:
        lanes = Counter(lane for lane, _, _ in self._now.values())
        keys = Counter(key for _, _, key in self._now.values() if key)
        if len(self._now) > TOTAL or any(count > LANES[lane] for lane, count in lanes.items()):
            self.broken.append(f"too many at once: {lanes}")
        if sum(memory for _, memory, _ in self._now.values()) > MEMORY:
            self.broken.append("too much memory")
        if any(count > 1 for count in keys.values()):
            self.broken.append(f"a key was held twice: {keys}")


def disturb(engine: Engine, seed: int, ids: list[str], failures: list[BaseException]) -> None:
    chance = random.Random(seed)

    def spec() -> JobSpec:
        key = chance.choice(["", "camera"])
        return JobSpec(
            workflow="keyed" if key else "shot",
            priority=chance.choice([10, 50, 90]),
            batch_id=str(seed),
            payload={"memory": chance.choice([0.0, 20.0, 60.0]), "key": key},
        )

    places: list[str | int] = ["up", "down", "top", "bottom", 3]
    try:
        for _ in range(OPERATIONS):
            act = chance.randrange(12)
            if act < 4 or not ids:
                ids.extend(engine.submit_many([spec() for _ in range(chance.randint(1, 4))]).job_ids)
                continue
            job_id = chance.choice(ids)
            try:
                match act:
                    case 4:
                        engine.cancel(job_id)
                    case 5:
                        engine.pause(job_id)
                    case 6:
                        engine.resume(job_id)
                    case 7:
                        engine.move(job_id, chance.choice(places))
                    case 8:
                        engine.set_priority(job_id, chance.randrange(101))
                    case 9:
                        ids.append(engine.retry(job_id).job_id)
                    case 10:
                        engine.query(batch=str(seed), state="unfinished", limit=20)
                        engine.metrics()
                    case _:
                        engine.pause_queue()
                        engine.resume_queue()
            except MotionQueueError as refusal:
                if refusal.code != "wrong_state":
                    raise
    except BaseException as problem:
        failures.append(problem)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_eight_threads_ask_at_once_no_promise_is_broken(tmp_path: Path, seed: int) -> None:
    engine = Engine(
        journal=FileJournal(tmp_path, snapshot_after_bytes=100_000),
        limits=Limits(total=TOTAL, lanes=LANES, memory_mb=MEMORY, retry_base=0.0, finished_kept=100_000, events_kept=1_000_000),
    )
    watched = Watched(seed)
    engine.register_backend(watched)
    register(engine, "shot", StepSpec(name="retarget", backend="watched"), StepSpec(name="render", backend="watched", lane="gpu"))
    register(engine, "keyed", StepSpec(name="capture", backend="watched", exclusive_key="camera"))
    engine.start()
    lists: list[list[str]] = [[] for _ in range(THREADS)]
    failures: list[BaseException] = []
    threads = [
        threading.Thread(target=disturb, args=(engine, seed * 100 + number, lists[number], failures)) for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND * 3)
        assert not thread.is_alive()
    assert failures == []
    assert engine.wait_idle(BOUND * 3)  # from here on nothing runs that could still become paused
    for job in engine.query(state=JobState.PAUSED, limit=10_000).jobs:
        engine.resume(job.id)
    assert engine.wait_idle(BOUND * 3)

    ids = {job_id for each in lists for job_id in each}
    jobs = {job.id: job for job in engine.query(limit=10_000).jobs}
    assert jobs.keys() == ids
    assert watched.broken == []
    records, resync = engine.events(0, limit=1_000_000)
    assert not resync and [r.seq for r in records] == list(range(1, engine.last_event + 1))
    assert Counter(r.job for r in records if r.name in ENDS) == dict.fromkeys(ids, 1)
    _ends_are_final(records)
    for job in jobs.values():
        assert job.finished
        for step in job.steps:
            # A step that is completed finished once, in the attempt that counts; one that is not may have lost a race.
            assert watched.finished[job.id, step.name] == (1 if str(step.state) == "completed" else 0)
    assert engine._core.runs == {} and engine.metrics().memory_used_mb == 0.0
    assert all(running == waiting == 0 for running, waiting, _limit in engine.metrics().lanes.values())
    assert engine.close(BOUND)
    stored = read_state(tmp_path)
    assert stored.clean and stored.notes == ()
    assert {job_id: job["state"] for job_id, job in stored.jobs.items()} == {i: str(j.state) for i, j in jobs.items()}


def _ends_are_final(records: tuple[Record, ...]) -> None:
    over: set[str] = set()
    for record in records:
        assert record.job not in over, f"{record.name} after the end of {record.job}"
        if record.name in ENDS:
            over.add(record.job)
