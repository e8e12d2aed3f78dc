# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine against a plain model of a queue, in whatever order things are asked of it.

The model is a list of dicts and loops over it. It decides after every operation which steps must be running; the engine, with
its real threads, must come to exactly that. Steps end when the machine says so, and how it says.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from unit.queue.gates import BOUND, Gate, error, register

from motion_queue.persistence.journal import FileJournal
from motion_queue.queue import Engine, JobSpec, Limits, MotionQueueError, StepSpec, StepStopped, StopReason

WANTED_MEMORY = (0.0, 30.0, 80.0, 120.0)  # MB
LANES = ("cpu", "gpu", "net")
# Workflow → its steps: (lane, exclusive key, optional)
WORKFLOWS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "one": (("cpu", "", False),),
    "two": (("cpu", "", False), ("gpu", "", False)),
    "keyed": (("net", "camera", False),),
    "key_then_gpu": (("cpu", "camera", False), ("gpu", "", True)),
}
MAX_ATTEMPTS = 2
ENDS = ("completed", "failed", "cancelled")


class Model:
    """What the queue is meant to do, as simply as it can be said."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []  # in order of arrival
        self.total = 2
        self.lanes = {"cpu": 1, "gpu": 1, "net": 2}
        self.memory = 100.0
        self.paused = False
        self.line: list[str] = []  # unfinished jobs in the order in which they should run
        self.starts: list[tuple[str, int]] = []

    def job(self, job_id: str) -> dict[str, Any]:
        return next(job for job in self.jobs if job["id"] == job_id)

    def submit(self, job_id: str, workflow: str, priority: int, memory: float) -> None:
        self.jobs.append(
            {
                "id": job_id,
                "workflow": workflow,
                "priority": priority,
                "memory": memory,
                "state": "queued",
                "step": 0,
                "attempt": 1,
                "running": False,
                "pausing": False,
                "degraded": False,
            }
        )
        self.insert(job_id)
        self.enqueue(self.job(job_id))

    def enqueue(self, job: dict[str, Any]) -> None:
        """A step comes into line; one that is larger than the whole memory is given up."""
        while job["memory"] > self.memory > 0:
            job["degraded"] = True
            if not self.step(job)[2]:
                self.end(job, "failed")
                return
            if job["step"] == len(WORKFLOWS[job["workflow"]]) - 1:
                self.end(job, "completed")
                return
            job.update(step=job["step"] + 1, attempt=1)

    def insert(self, job_id: str) -> None:
        """Behind all of its priority."""
        priority = self.job(job_id)["priority"]
        at = sum(self.job(other)["priority"] >= priority for other in self.line)
        self.line.insert(at, job_id)

    def step(self, job: dict[str, Any]) -> tuple[str, str, bool]:
        return WORKFLOWS[job["workflow"]][job["step"]]

    def running(self) -> list[dict[str, Any]]:
        return [job for job in self.jobs if job["running"]]

    def dispatch(self) -> None:
        """Start what may start: lane by lane only the first that its key allows, of these the first in line that fits."""
        while not self.paused and len(self.running()) < self.total:
            heads = []
            for lane in LANES:
                if sum(self.step(job)[0] == lane for job in self.running()) >= self.lanes[lane]:
                    continue
                keys = {self.step(job)[1] for job in self.running()} - {""}
                for job_id in self.line:
                    job = self.job(job_id)
                    waits = job["state"] in ("queued", "running") and not job["running"]
                    if not waits or self.step(job)[0] != lane or self.step(job)[1] in keys or job["memory"] > self.memory > 0:
                        continue
                    heads.append(job)
                    break
            heads.sort(key=lambda job: self.line.index(job["id"]))
            used = sum(job["memory"] for job in self.running())
            chosen = None
            blocked = False
            for job in heads:
                if job["memory"] and self.memory and (blocked or used + job["memory"] > self.memory):
                    blocked = True
                    continue
                chosen = job
                break
            if chosen is None:
                return
            chosen["running"] = True
            chosen["state"] = "running"
            self.starts.append((chosen["id"], chosen["step"]))

    def end(self, job: dict[str, Any], state: str) -> None:
        job.update(state=state, running=False, pausing=False)
        self.line.remove(job["id"])

    def step_ended(self, job: dict[str, Any], how: str) -> None:
        job["running"] = False
        optional = self.step(job)[2]
        last = job["step"] == len(WORKFLOWS[job["workflow"]]) - 1
        if how == "retryable" and job["attempt"] < MAX_ATTEMPTS and job["state"] != "stopping":
            job["attempt"] += 1
            if job["pausing"]:
                job.update(state="paused", pausing=False)
            else:
                job["state"] = "queued"
                self.enqueue(job)
            return
        if how == "ok" or (optional and job["state"] != "stopping"):
            job["degraded"] = job["degraded"] or how != "ok"
            if last:
                self.end(job, "completed")
                return
            job["step"] += 1
            job["attempt"] = 1
            if job["state"] == "stopping":
                self.end(job, "cancelled")
            elif job["pausing"]:
                job.update(state="paused", pausing=False)
            else:
                self.enqueue(job)
            return
        self.end(job, "cancelled" if job["state"] == "stopping" else "failed")


class EngineMachine(RuleBasedStateMachine):
    """Every rule does the same to the engine and to the model; then the two must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="motion-queue-machine-")
        self.model = Model()
        self.number = 0
        self.seen_terminal: dict[str, Any] = {}

    @initialize()
    def open(self) -> None:
        model = self.model
        self.gate = Gate(obeys=False)
        self.engine = Engine(
            journal=FileJournal(Path(self.folder.name), group_ms=0.0, snapshot_after_bytes=20_000, settle_seconds=0.0),
            limits=Limits(
                total=model.total, lanes=model.lanes, memory_mb=model.memory, retry_base=0.0, finished_kept=10_000, grace=1000.0
            ),
        )
        self.engine.register_backend(self.gate)
        for name, steps in WORKFLOWS.items():
            register(
                self.engine,
                name,
                *(
                    StepSpec(
                        name=f"s{i}", backend="gate", lane=lane, exclusive_key=key, optional=optional, max_attempts=MAX_ATTEMPTS
                    )
                    for i, (lane, key, optional) in enumerate(steps)
                ),
            )
        self.engine.start()
        self.events_seen = self.engine._publisher.first_event - 1  # starting has started steps already

    # -- what may be asked

    @rule(
        specs=st.lists(
            st.tuples(st.sampled_from(sorted(WORKFLOWS)), st.sampled_from([0, 50, 100]), st.sampled_from(WANTED_MEMORY)),
            min_size=1,
            max_size=4,
        )
    )
    def submit(self, specs: list[tuple[str, int, float]]) -> None:
        ids = [f"job-{self.number + i}" for i in range(len(specs))]
        self.number += len(specs)
        self.engine.submit_many(
            [
                JobSpec(id=job_id, workflow=workflow, priority=priority, payload={"memory": memory})
                for job_id, (workflow, priority, memory) in zip(ids, specs, strict=True)
            ]
        )
        for job_id, (workflow, priority, memory) in zip(ids, specs, strict=True):
            self.model.submit(job_id, workflow, priority, memory)
        self.settle()

    def pick(self, data: st.DataObject, jobs: list[dict[str, Any]]) -> dict[str, Any]:
        return data.draw(st.sampled_from(jobs))

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = self.pick(data, self.model.jobs)
        self.engine.cancel(job["id"])
        if job["state"] in ENDS:
            pass
        elif job["running"]:
            job["state"] = "stopping"
        else:
            self.model.end(job, "cancelled")
        self.settle()

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        job = self.pick(data, self.model.jobs)
        if job["state"] in ENDS or job["state"] == "stopping":
            with pytest.raises(MotionQueueError):
                self.engine.pause(job["id"])
            return
        self.engine.pause(job["id"])
        if job["running"]:
            job["pausing"] = True
        else:
            job["state"] = "paused"
        self.settle()

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        job = self.pick(data, self.model.jobs)
        if job["state"] == "running" and job["pausing"]:
            job["pausing"] = False
        elif job["state"] == "paused":
            job["state"] = "queued"
            self.model.enqueue(job)
        else:
            with pytest.raises(MotionQueueError):
                self.engine.resume(job["id"])
            return
        self.engine.resume(job["id"])
        self.settle()

    @precondition(lambda self: self.model.line)
    @rule(data=st.data(), to=st.sampled_from(["up", "down", "top", "bottom"]) | st.integers(-1, 12))
    def move(self, data: st.DataObject, to: str | int) -> None:
        line = self.model.line
        job_id = data.draw(st.sampled_from(line))
        own = line.index(job_id)
        places: dict[str | int, int] = {"up": own - 1, "down": own + 1, "top": 0, "bottom": len(line) - 1}
        wanted = to if isinstance(to, int) else places[to]
        self.engine.move(job_id, to)
        line.remove(job_id)
        line.insert(max(0, min(wanted, len(line))), job_id)
        at = line.index(job_id)
        job = self.model.job(job_id)
        if at:
            job["priority"] = min(job["priority"], self.model.job(line[at - 1])["priority"])
        if at + 1 < len(line):
            job["priority"] = max(job["priority"], self.model.job(line[at + 1])["priority"])
        self.settle()

    @precondition(lambda self: self.model.line)
    @rule(data=st.data())
    def set_priority(self, data: st.DataObject) -> None:
        """To one that no other job has: among equals the place would be a matter of numbers, which the model does not know."""
        job = self.model.job(data.draw(st.sampled_from(self.model.line)))
        free = sorted(set(range(1, 100)) - {other["priority"] for other in self.model.jobs} - {50})
        job["priority"] = data.draw(st.sampled_from(free))
        self.engine.set_priority(job["id"], job["priority"])
        self.model.line.remove(job["id"])
        self.model.insert(job["id"])
        self.settle()

    @rule(paused=st.booleans())
    def pause_queue(self, paused: bool) -> None:
        if paused:
            self.engine.pause_queue()
        else:
            self.engine.resume_queue()
        self.model.paused = paused
        self.settle()

    @rule(
        total=st.integers(1, 5),
        limits=st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3)),
        memory=st.sampled_from([0.0, 100.0, 150.0]),
    )
    def change_limits(self, total: int, limits: tuple[int, int, int], memory: float) -> None:
        self.model.total, self.model.memory = total, memory
        self.model.lanes = dict(zip(LANES, limits, strict=True))
        self.engine.set_limits(total=total, lanes=self.model.lanes, memory_mb=memory)
        self.settle()

    @precondition(lambda self: self.model.running())
    @rule(data=st.data(), how=st.sampled_from(["ok", "ok", "broken", "retryable"]))
    def end_step(self, data: st.DataObject, how: str) -> None:
        job = self.pick(data, self.model.running())
        call = self.gate.of(job["id"])
        before = self.engine.get(job["id"]).revision
        if how == "ok":
            call.finish()
        else:
            call.fail(error(how, retryable=how == "retryable"))
        self.wait(lambda: self.engine.get(job["id"]).revision > before and self.gate.running.get(job["id"]) is not call)
        self.model.step_ended(job, how)
        self.settle()

    @precondition(lambda self: any(job["state"] in ENDS for job in self.model.jobs))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        job = self.pick(data, [job for job in self.model.jobs if job["state"] in ENDS])
        new = self.engine.retry(job["id"]).job_id
        self.model.submit(new, job["workflow"], job["priority"], job["memory"])
        self.settle()

    @rule()
    def restart(self) -> None:
        """A clean shutdown: running steps stop and begin again, in the same attempt; nothing else changes."""
        gate = self.gate
        self.engine.begin_close()
        for call in list(gate.running.values()):
            call.fail(_stopped())
        assert self.engine.close(BOUND)
        assert gate.doubled == []
        self.compare_starts()
        for job in self.model.running():
            if job["state"] == "stopping":
                self.model.end(job, "cancelled")
            else:
                job.update(running=False, state="paused" if job["pausing"] else "queued", pausing=False)
        for job in self.model.jobs:
            if job["state"] == "running":  # between two steps
                job["state"] = "queued"
            if job["state"] == "queued":
                self.model.enqueue(job)
        self.open()
        self.settle()

    # -- what must hold

    def wait(self, condition: Any) -> None:
        with self.engine._core.changed:
            assert self.engine._core.changed.wait_for(condition, BOUND), "the engine did not come to it"

    def settle(self) -> None:
        """Let both start what may start, and wait until the backend has been called for all of it."""
        self.model.dispatch()
        for job in self.model.running():
            self.gate.of(job["id"])

    def compare_starts(self) -> None:
        """The durable events have every step's start, in the order that the model chose."""
        last = self.engine._core.ledger.seq_of_sync  # learned durations and progress may be on disk later
        self.wait(lambda: self.engine.last_event >= last)
        records, resync = self.engine.events(self.events_seen, limit=10_000)
        assert not resync
        self.events_seen = records[-1].seq if records else self.events_seen
        started = [(record.job, next(iter(record.steps))) for record in records if record.name == "step_started" and record.steps]
        assert started == [(job_id, str(step)) for job_id, step in self.model.starts]
        self.model.starts.clear()

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "engine"):
            return
        model = self.model
        assert list(self.engine.order(limit=10_000)) == model.line
        assert set(self.engine._core.runs) == {job["id"] for job in model.running()}
        assert self.gate.doubled == []
        self.compare_starts()
        known = {job.id: job for job in self.engine.query(limit=10_000).jobs}
        assert list(known) == [job["id"] for job in model.jobs]  # none lost, in order of arrival
        for expected in model.jobs:
            job = known[expected["id"]]
            state = str(job.state)
            assert (job.id, state, job.priority) == (expected["id"], expected["state"], expected["priority"])
            assert bool(job.degraded) == (expected["degraded"] and state == "completed")
            if state in ENDS:
                fixed = self.seen_terminal.setdefault(job.id, (state, job.completed_at, job.steps[-1].state))
                assert fixed == (state, job.completed_at, job.steps[-1].state)  # final

    @invariant()
    def limits_hold_inside_the_backend(self) -> None:
        if not hasattr(self, "gate"):
            return
        keys = [self.model.step(self.model.job(job_id))[1] for job_id in list(self.gate.running)]
        held = [key for key in keys if key]
        assert len(held) == len(set(held))

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.begin_close()
            for call in list(self.gate.running.values()):
                call.fail(_stopped())
            self.engine.close(BOUND)
        self.folder.cleanup()


def _stopped() -> MotionQueueError:
    return StepStopped(StopReason.SHUTDOWN)


EngineMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEngineAgreesWithTheModel = EngineMachine.TestCase
