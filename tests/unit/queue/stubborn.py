# SPDX-License-Identifier: GPL-3.0-or-later
"""A program whose queue runs something that never stops: it must end by itself all the same. Usage: stubborn.py KIND FOLDER."""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path

from motion_queue.persistence.journal import FileJournal
from motion_queue.queue import Engine, Estimate, Health, JobSpec, Limits, StepResult, StepSpec, Workflow

kind, folder = sys.argv[1], Path(sys.argv[2])
running = threading.Event()


class Stubborn:
    name = "stubborn"
    lane = "cpu"
    can_pause = False

    def run(self, request: object, context: object) -> StepResult:
        running.set()
        if kind == "loop":
            while True:
                sum(range(100))
        if kind == "sleep":
            time.sleep(3600)
        if kind == "socket":
            ours, theirs = socket.socketpair()
            ours.recv(1)
            theirs.close()
        if kind == "lock":
            threading.Lock().__enter__(), threading.Event().wait()
        return StepResult()

    def estimate(self, payload: object, results: object) -> Estimate:
        return Estimate()

    def health(self) -> Health:
        return Health(ok=True)


engine = Engine(journal=FileJournal(folder), limits=Limits(total=8, lanes={"cpu": 8}))
engine.register_backend(Stubborn())
engine.register_workflow(Workflow(name="w", steps=(StepSpec(name="s", backend="stubborn"),)))
engine.start()
ticket = engine.submit_many([JobSpec(workflow="w") for _ in range(3)])
assert ticket.wait_durable(10.0)
assert running.wait(10.0)
begin = time.monotonic()
clean = engine.close(2.0)
print(clean, time.monotonic() - begin < 4.0, flush=True)
