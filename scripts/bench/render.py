# SPDX-License-Identifier: GPL-3.0-or-later
"""What the queue adds to a render: the same scene through the queue and by Blender alone (`blender -b FILE -a`), turn about.

Blender alone writes PNG frames and nothing else. The queue does that too, keeps every frame safe against a crash, reports
progress, and then makes a video, whose time is reported by itself.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from motion_queue.app import App, Settings
from motion_queue.backends.blender_find import BlenderCommand, find_blender
from motion_queue.backends.children import ChildPool
from motion_queue.backends.protocol import ChildKind
from motion_queue.queue import Estimate, Health, Job, JobSpec, StepContext, StepRequest, StepResult, StepSpec, Workflow

from .progress import SAMPLE
from .queue import scratch
from .report import Report, middle

_ALONE = """
import bpy, os, sys
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
bpy.context.scene.render.filepath = sys.argv[2]
bpy.ops.render.render(animation=True)
sys.stdout.flush()
os._exit(0)
"""


class Child:
    """A backend that has a Blender child run the entry which the payload names."""

    name = "bench_child"
    lane = "blender"
    can_pause = False

    def __init__(self, pool: ChildPool) -> None:
        self._pool = pool

    def run(self, request: StepRequest, context: StepContext) -> StepResult:
        arguments = dict(request.payload["arguments"])
        return StepResult(
            data=self._pool.run(ChildKind.BLENDER, f"scripts.bench.entries:{request.payload['entry']}", arguments, context)
        )

    def estimate(self, payload: Any, results: Any) -> Estimate:
        return Estimate()

    def health(self) -> Health:
        return Health(ok=True)


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(prog="mq.py bench render", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", default="320x180", help="WIDTHxHEIGHT (default 320x180)")
    parser.add_argument("--rounds", type=int, default=3, help="renders of each kind (default 3)")
    parser.add_argument("--blender", default="", help="an installed Blender (default: the one that is found)")
    parser.add_argument("--folder", type=Path, help="where everything is written (default: the temporary folder)")
    options = parser.parse_args(argv)
    size = [int(part) for part in options.size.split("x")]
    report = Report("render")
    with scratch(options.folder) as folder:
        settings = Settings(state_dir=folder / "state", blender=options.blender, concurrency=1)
        with App.open(settings) as app:
            app.engine.register_backend(Child(app.children))
            app.engine.register_workflow(Workflow(name="bench_child", steps=(StepSpec(name="child", backend="bench_child"),)))
            scene = _scene(app, folder, options.frames, size)
            _warm_start(report, app)
            _compare(report, app, find_blender(options.blender or None), scene, folder, options)
    return report.finish()


def _child(app: App, entry: str, arguments: dict[str, Any]) -> Job:
    job = app.engine.wait(
        app.engine.submit(JobSpec(workflow="bench_child", payload={"entry": entry, "arguments": arguments})).job_id
    )
    if job.error:
        raise RuntimeError(f"{entry}: {job.error.message}")
    return job


def _scene(app: App, folder: Path, frames: int, size: list[int]) -> Path:
    job = app.engine.wait(app.engine.submit(app.clip_job(SAMPLE, {"steps": ["read", "retarget"]})).job_id)
    character = next(a for a in job.artefacts if a.name == "character.blend")
    target = folder / "scene.blend"
    _child(
        app,
        "make_scene",
        {"character": str(app.store.path(character.key)), "frames": frames, "size": size, "target": str(target)},
    )
    return target


def _warm_start(report: Report, app: App) -> None:
    """From a job's submit to its end, with nothing to do in a Blender that is warm and was just used."""
    took = []
    for _ in range(20):
        start = time.perf_counter()
        _child(app, "nothing", {})
        took.append(time.perf_counter() - start)
    report.add("warm start of a Blender child, submit to end, median of 20", middle(took), "s", target=0.3)
    report.add("warm start of a Blender child, slowest of 20", max(took), "s", target=0.3)


def _compare(report: Report, app: App, blender: BlenderCommand, scene: Path, folder: Path, options: argparse.Namespace) -> None:
    size = [int(part) for part in options.size.split("x")]
    payload = {"steps": ["render"], "engine": "workbench", "samples": 1, "resolution": size}
    alone, queued, encoding = [], [], []
    for number in range(options.rounds + 1):
        start = time.perf_counter()
        spec = app.clip_job(SAMPLE, payload, files={"scene": scene})
        job = app.engine.wait(app.engine.submit(spec).job_id)
        took = time.perf_counter() - start
        if job.degraded or job.error:
            raise RuntimeError(job.degraded or str(job.error))
        encode = float(job.result["render"]["encode_seconds"])
        plain = _alone(blender, scene, folder / f"alone_{number}")
        # The first round warms the disk's cache, the shaders and the child.
        if number:
            alone.append(plain)
            queued.append(took - encode)
            encoding.append(encode)
    ratios = [100.0 * (q / a - 1.0) for q, a in zip(queued, alone, strict=True)]
    times = [", ".join(f"{seconds:.2f}" for seconds in measured) for measured in (alone, queued)]
    note = f"alone {times[0]} s; queue {times[1]} s, submit to end without the video"
    report.add(f"{options.frames}-frame Workbench render, over Blender alone, median", middle(ratios), "%", target=5.0, note=note)
    report.add("video of it, median", middle(encoding), "s")


def _alone(blender: BlenderCommand, scene: Path, frames: Path) -> float:
    frames.mkdir()
    output = str(frames / "frame_####.png")
    if blender.is_module:
        command = [blender.python, "-P", "-c", _ALONE, str(scene), output]
    else:
        command = [blender.binary, "--background", str(scene), "--render-output", output, "--render-anim"]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=1800)
    return time.perf_counter() - start
