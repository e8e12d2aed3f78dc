# SPDX-License-Identifier: GPL-3.0-or-later
"""Backends whose steps begin and end when a test says so, and an engine around them: real threads, no sleeping."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from motion_queue.queue import (
    Engine,
    Estimate,
    Health,
    Job,
    JobSpec,
    JobState,
    MotionQueueError,
    StepContext,
    StepRequest,
    StepResult,
    StepSpec,
    StepStopped,
    StopReason,
    Workflow,
)

BOUND = 20.0  # seconds; only ever against hanging


class Call:
    """One running step, on its pool thread, doing what the test tells it."""

    def __init__(self, request: StepRequest, context: StepContext, obeys: bool) -> None:
        self.request = request
        self.context = context
        self.job_id = request.job_id
        self.thread = threading.current_thread()
        self.asked = threading.Event()  # to stop
        self.left = threading.Event()  # the backend has returned or raised
        self._orders: queue.SimpleQueue[Callable[[], StepResult | None]] = queue.SimpleQueue()
        self._obeys = obeys
        context.on_stop(self._on_stop)

    def _on_stop(self, reason: StopReason) -> None:
        self.asked.set()
        if self._obeys:
            self._orders.put(lambda: self._stop(reason))

    @staticmethod
    def _stop(reason: StopReason) -> StepResult:
        raise StepStopped(reason)

    def play(self) -> Any:
        try:
            while True:
                result = self._orders.get()()
                if result is not None:
                    return result
        finally:
            self.left.set()

    def do(self, action: Callable[[StepContext], object]) -> None:
        """Something on the step's own thread, waited for."""
        done = threading.Event()
        raised: list[BaseException] = []

        def order() -> None:
            try:
                action(self.context)
            except BaseException as error:
                raised.append(error)
            finally:
                done.set()

        self._orders.put(order)
        assert done.wait(BOUND)
        if raised:
            raise raised[0]

    def finish(self, **data: Any) -> None:
        self._orders.put(lambda: StepResult(data=data))

    def give(self, value: Any) -> None:
        self._orders.put(lambda: value)

    def fail(self, error: BaseException) -> None:
        def order() -> None:
            raise error

        self._orders.put(order)


class Gate:
    """A backend that counts what runs at once and hands every call to the test."""

    def __init__(
        self,
        name: str = "gate",
        lane: str = "cpu",
        *,
        can_pause: bool = False,
        obeys: bool = True,
        estimate: Callable[[Mapping[str, Any]], Any] = lambda payload: Estimate(memory_mb=payload.get("memory", 0.0)),
    ) -> None:
        self.name = name
        self.lane = lane
        self.can_pause = can_pause
        self.obeys = obeys
        self._estimate = estimate
        self._changed = threading.Condition()
        self.running: dict[str, Call] = {}  # job id → its call
        self.history: list[Call] = []
        self._taken = 0
        self.doubled: list[str] = []  # jobs that ran twice at once
        self.most = 0

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        call = Call(request, context, self.obeys)
        with self._changed:
            if request.job_id in self.running:
                self.doubled.append(request.job_id)
            self.running[request.job_id] = call
            self.most = max(self.most, len(self.running))
            self.history.append(call)
            self._changed.notify_all()
        try:
            result: StepResult = call.play()
            return result
        finally:
            with self._changed:
                if self.running.get(request.job_id) is call:
                    del self.running[request.job_id]
                self._changed.notify_all()

    def next(self) -> Call:
        """The next step that began, in the order of beginning; waits for it."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.history) > self._taken, BOUND), "no step began"
            self._taken += 1
            return self.history[self._taken - 1]

    def of(self, job_id: str) -> Call:
        """The running step of a job; waits for it."""
        with self._changed:
            assert self._changed.wait_for(lambda: job_id in self.running, BOUND), f"no step of {job_id} began"
            return self.running[job_id]

    def estimate(self, payload: Mapping[str, Any], results: Mapping[str, Any]) -> Estimate:
        guess: Estimate = self._estimate(payload)
        return guess

    def health(self) -> Health:
        return Health(ok=True)


class Instant:
    """Ends at once with what its function returns."""

    can_pause = False

    def __init__(
        self,
        name: str = "instant",
        lane: str = "cpu",
        work: Callable[[StepRequest, StepContext], Any] = lambda request, context: StepResult(data={"step": request.step}),
    ) -> None:
        self.name = name
        self.lane = lane
        self.work = work

    def run(self, request: StepRequest, context: StepContext) -> Any:
        return self.work(request, context)

    def estimate(self, payload: Mapping[str, Any], results: Mapping[str, Any]) -> Estimate:
        return Estimate()

    def health(self) -> Health:
        return Health(ok=True)


def error(code: str = "broken", *, retryable: bool = False) -> MotionQueueError:
    return MotionQueueError(code, f"It is {code}.", retryable=retryable)


def register(engine: Engine, name: str, *steps: StepSpec) -> None:
    engine.register_workflow(Workflow(name=name, steps=steps))


def with_gate(engine: Engine, **step: Any) -> Gate:
    """A gate as the one step of the workflow `gate`."""
    gate = Gate()
    engine.register_backend(gate)
    register(engine, "gate", StepSpec(name="work", backend="gate", **step))
    return gate


def submit(engine: Engine, workflow: str = "gate", **spec: Any) -> str:
    return engine.submit(JobSpec(workflow=workflow, **spec)).job_id


def wait_for(engine: Engine, condition: Callable[[], Any]) -> None:
    """Until it holds; looked at whenever something became durable."""
    with engine._core.changed:
        assert engine._core.changed.wait_for(condition, BOUND)


def wait_state(engine: Engine, job_id: str, *states: JobState) -> Job:
    wait_for(engine, lambda: engine.get(job_id).state in states)
    return engine.get(job_id)


def ended(engine: Engine, job_id: str) -> Job:
    job = engine.wait(job_id, BOUND)
    assert job.finished, f"still {job.state}"
    return job


def pump_until(engine: Engine, condition: Callable[[], bool]) -> None:
    """Tick until it holds; sleeps on the channel, not on time."""
    waited = 0.0
    while not condition():
        if not engine.pump.tick(0.1):
            engine._publisher.channel.wait(0.05)
            waited += 0.05
            assert waited < BOUND
