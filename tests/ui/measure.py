# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the interface's own calls (ticks, draws, operators) without a window, at so many waiting jobs, in a Blender module.

For a look while working on them: run by a Python that has bpy, as `python -P tests/ui/measure.py --jobs 9000`.
What a window feels is measured by `freeze_meter`. Drawing goes into a layout that does nothing: Blender's own part is left out.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

_LIMIT = 300.0  # seconds: only against hanging
_TURNS = 200


class _Layout:
    """Takes everything that panels draw, and draws nothing."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *_: Any, **__: Any) -> _Layout:
        return self


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="motion-queue-interface-") as folder:
        os.environ["MOTION_QUEUE_STATE"] = folder
        result = _measure(args.jobs)
    print(json.dumps(result, indent=2))
    sys.stdout.flush()
    os._exit(0)  # some Blender modules crash while Python takes them down


def _measure(count: int) -> dict[str, Any]:
    import bpy  # noqa: PLC0415 - only where it is run

    from motion_queue.operators import session  # noqa: PLC0415 - as above
    from motion_queue.panels import details, facts, job_list, properties, shot, snapshot  # noqa: PLC0415 - as above
    from motion_queue.panels.view import Row  # noqa: PLC0415 - as above
    from motion_queue.queue import JobSpec  # noqa: PLC0415 - as above

    bpy.ops.wm.read_factory_settings(use_empty=True)
    app = session.start()
    operators: Any = cast("Any", bpy.ops).motion_queue
    operators.pause_queue()
    times: dict[str, list[float]] = {}
    own: dict[str, list[float]] = {}  # of the processor, on this thread: without waiting for Python's lock, or for other programs

    def timed(name: str, call: Callable[[], Any]) -> Any:
        began, own_began = time.perf_counter(), time.thread_time()
        found = call()
        own.setdefault(name, []).append(time.thread_time() - own_began)
        times.setdefault(name, []).append(time.perf_counter() - began)
        return found

    def tick(seconds: float, name: str = "tick") -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(timed(name, session._tick), 0.05))

    def settle(wanted: int) -> None:
        end = time.monotonic() + _LIMIT
        while snapshot.current().counts.total < wanted and time.monotonic() < end:
            time.sleep(min(timed("tick, filling", session._tick), 0.02))

    blend = str(Path(bpy.app.tempdir) / "film.blend")
    source = {"blend": blend, "scene": "Scene"}
    specs = [JobSpec(workflow="shot", payload={"prompt": "jumps"}, label=f"Shot {i:05d}", source=source) for i in range(count)]
    for at in range(0, count, 1000):
        app.engine.submit_many(specs[at : at + 1000])
    settle(count)
    interface: Any = properties.interface()
    tick(2.0)
    rows = [row.id for row in snapshot.current().jobs.rows()]
    session.select(rows[count // 2])
    interface.shot.character = "BUILTIN"
    interface.shot.deliver = False
    interface.shot.prompt = "a person walks forward and waves"
    tick(2.0)

    layout = _Layout()

    def draw_queue() -> None:
        job_list.draw_queue(layout, snapshot.current(), interface)
        for index in range(10):
            entry = snapshot.current().jobs.entry(index)
            if isinstance(entry, Row):
                job_list.draw_row(layout, entry, saving=False)

    def draw_details() -> None:
        found = snapshot.current().details
        if found is not None:
            details.draw_details(layout, found)

    for turn in range(_TURNS):
        timed("draw: New Shot", lambda: shot.draw_shot(layout, snapshot.current(), interface.shot, facts.draft(bpy.context)))
        timed("draw: Queue", draw_queue)
        timed("draw: Details", draw_details)
        job = rows[turn * (count // _TURNS)]
        timed("submit", partial(operators.submit, prompt="a person jumps", seed=turn))
        timed("tick", session._tick)
        calls: tuple[tuple[str, dict[str, Any]], ...] = (
            ("move", {"to": "TOP"}),
            ("set_priority", {"priority": 50 + turn % 7}),
            ("pause", {}),
            ("resume", {}),
            ("cancel", {}),
            ("retry", {}),
        )
        for name, options in calls:
            timed(name, partial(getattr(operators, name), job_id=job, **options))
            timed("tick", session._tick)
    tick(2.0)
    for order in ("NAME", "NEWEST", "STATE", "QUEUE"):
        timed("sort", partial(setattr, interface.jobs, "order", order))
    timed("garbage collection, young", lambda: gc.collect(1))
    timed("garbage collection, full", gc.collect)
    objects = len(gc.get_objects())
    session.unregister()

    from motion_queue.scripts.bench.freeze_meter import distribution  # noqa: PLC0415 - as above

    return {
        "jobs": count,
        "blender": bpy.app.version_string,
        "ms": {name: distribution(values) for name, values in times.items()},
        "processor_ms": {name: distribution(values) for name, values in own.items()},
        "tracked_objects": objects,
    }


if __name__ == "__main__":
    main()
