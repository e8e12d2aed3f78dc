# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that `crash` kills: a queue on a real state folder that submits, runs, cancels and finishes without a pause.

It says on its standard output what it was told is durable, and writes into a file what its steps really did: one JSON object a
line in both. Its parent compares the two with what is in the state folder after it was killed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...persistence.artefacts import FolderStore
from ...persistence.journal import FileJournal
from ...persistence.state import StateFolder
from ...queue import (
    Engine,
    Estimate,
    Event,
    Health,
    Job,
    JobSpec,
    JobState,
    Limits,
    MotionQueueError,
    StepContext,
    StepRequest,
    StepResult,
    StepSpec,
    Workflow,
)

FRAMES = 4
BACKLOG = 40  # waiting jobs; below that more are submitted


class Told:
    """Lines for the parent: what was acknowledged (pipe) and what steps did (file)."""

    def __init__(self, life: int, deeds: Path) -> None:
        self._life = life
        self._deeds = os.open(deeds, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()

    def say(self, kind: str, **fields: Any) -> None:
        line = json.dumps({"kind": kind, **fields}).encode() + b"\n"
        with self._lock:
            os.write(1, line)

    def did(self, what: str, request: StepRequest, frame: int = -1) -> None:
        """One write to a file opened for appending: a kill leaves all of the line or nothing, without a sync."""
        deed = {
            "life": self._life,
            "what": what,
            "job": request.job_id,
            "step": request.step,
            "token": request.token,
            "frame": frame,
        }
        os.write(self._deeds, json.dumps(deed).encode() + b"\n")


class Quick:
    """A step of a few milliseconds; every tenth first attempt fails in a way worth another."""

    name = "quick"
    lane = "cpu"
    can_pause = False

    def __init__(self, told: Told, chance: random.Random) -> None:
        self._told = told
        self._chance = chance

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        self._told.did("start", request)
        if context.wait_stop(self._chance.uniform(0.0, 0.006)):
            self._told.did("stop", request)
            context.check()
        if request.attempt == 1 and request.payload.get("flaky"):
            self._told.did("fail", request)
            raise MotionQueueError("flaky", "This one fails at its first attempt.", retryable=True)
        self._told.did("finish", request)
        return StepResult(data={"step": request.step})

    def estimate(self, payload: Mapping[str, Any], results: Mapping[str, Any]) -> Estimate:
        return Estimate()

    def health(self) -> Health:
        return Health(ok=True)


class Frames(Quick):
    """Makes frames in the step's scratch folder, one file each, and an artefact of them all: what a render does."""

    name = "frames"
    lane = "blender"

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        self._told.did("start", request)
        folder = context.store.work_dir(request.job_id, request.step)
        for number in range(FRAMES):
            frame = folder / f"{number:04d}"
            if frame.exists():
                continue
            self._told.did("render", request, number)
            if context.wait_stop(self._chance.uniform(0.0, 0.004)):
                self._told.did("stop", request)
                context.check()
            half = frame.with_suffix(".part")
            half.write_bytes(frame_bytes(request.job_id, number))
            half.replace(frame)
            context.progress((number + 1) / FRAMES, f"frame {number + 1} of {FRAMES}")
        video = folder / "video"
        video.write_bytes(b"".join((folder / f"{number:04d}").read_bytes() for number in range(FRAMES)))
        key = f"jobs/{request.job_id}/{request.step}/{request.attempt}/video.txt"
        artefact = context.store.put(key, video, name="video.txt")
        self._told.did("finish", request)
        return StepResult(artefacts=(artefact,))


def frame_bytes(job_id: str, number: int) -> bytes:
    return f"{job_id} {number} ".encode() * 20


def video_digest(job_id: str) -> str:
    return hashlib.sha256(b"".join(frame_bytes(job_id, number) for number in range(FRAMES))).hexdigest()


def build(folder: Path, told: Told, chance: random.Random) -> Engine:
    store = FolderStore(folder)

    def tidy(jobs: Sequence[Job]) -> None:
        for job in jobs:
            store.clear_work(job.id)

    engine = Engine(
        # Small segments: some kills are to hit the making of a snapshot.
        journal=FileJournal(folder, snapshot_after_bytes=30_000, settle_seconds=0.0),
        store=store,
        limits=Limits(
            total=4, lanes={"cpu": 2, "blender": 2}, retry_base=0.01, finished_kept=1_000_000, max_crashes=0, max_queued=1_000_000
        ),
        job_log=lambda job, level, message: None,
        on_finished=tidy,
    )
    engine.register_backend(Quick(told, chance))
    engine.register_backend(Frames(told, chance))
    engine.register_workflow(Workflow(name="single", steps=(StepSpec(name="only", backend="quick"),)))
    engine.register_workflow(
        Workflow(
            name="shot",
            steps=(
                StepSpec(name="retarget", backend="quick"),
                StepSpec(name="render", backend="frames"),
                StepSpec(name="check", backend="quick", optional=True),
            ),
        )
    )
    return engine


def disturb(engine: Engine, told: Told, chance: random.Random) -> None:
    """Submit, cancel, pause, resume and move, until the process is killed."""
    while True:
        waiting = engine.query(state=JobState.QUEUED, limit=BACKLOG).jobs
        if len(waiting) < BACKLOG:
            specs = [
                JobSpec(
                    workflow=chance.choice(("single", "shot")),
                    priority=chance.choice((10, 50, 90)),
                    payload={"flaky": chance.random() < 0.1, "note": "x" * chance.randrange(200)},
                )
                for _ in range(chance.choice((1, 1, 2, 10)))
            ]
            told.say("submitting")
            ticket = engine.submit_many(specs)
            ticket.wait_durable()
            told.say("acknowledged", ids=ticket.job_ids)
        elif waiting:
            job = chance.choice(waiting)
            _do_something_to(engine, told, chance, job.id)


def _do_something_to(engine: Engine, told: Told, chance: random.Random, job_id: str) -> None:
    try:
        match chance.randrange(4):
            case 0:
                engine.cancel(job_id).wait_durable()
                told.say("cancelled", id=job_id)
            case 1:
                engine.pause(job_id).wait_durable()
                engine.resume(job_id).wait_durable()
            case 2:
                engine.move(job_id, chance.choice(("top", "up", "down", "bottom"))).wait_durable()
            case _:
                engine.set_priority(job_id, chance.randrange(101)).wait_durable()
    except MotionQueueError as error:
        # It may have ended meanwhile; anything else must be seen.
        if error.code not in ("wrong_state", "no_such_job"):
            raise


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("deeds", type=Path)
    parser.add_argument("--life", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--finish", action="store_true", help="submit nothing; end when all jobs have")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.ERROR)
    chance = random.Random(args.seed)
    told = Told(args.life, args.deeds)
    with StateFolder.acquire(args.folder):
        engine = build(args.folder, told, chance)

        def tell(event: Event) -> None:
            if event.record is not None and event.record.name in ("job_completed", "job_failed", "job_cancelled"):
                told.say("ended", id=event.record.job, how=event.record.name)

        engine.subscribe(tell)
        engine.start()
        told.say("ready", notes=engine.recovery_notes)
        if not args.finish:
            threading.Thread(target=disturb, args=(engine, told, chance), daemon=True).start()
            while True:
                engine.pump.tick(0.01)
                time.sleep(0.001)
        for job in engine.query(state=JobState.PAUSED, limit=10_000).jobs:
            engine.resume(job.id)
        while not engine.wait_idle(0.01):
            engine.pump.tick(0.01)
        while engine.pump.tick(1.0):
            continue
        clean = engine.close(5.0)
    told.say("done", clean=clean)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
