# SPDX-License-Identifier: GPL-3.0-or-later
"""What the window's benchmark does inside the Blender that it measures: a scene, a person at work, queue operations, clocks.

Loaded by its path into a Blender with a window, where the extension runs under another name. Standard library, and bpy.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

import bpy
from mathutils import Euler

STEP = 0.1  # seconds between two turns of the view: software draws it in half of that
OBJECTS, SCENES = 20, 3
OUT_OF_SIGHT = 10_000  # objects of each scene that are not drawn: who walks through all objects of a film's scene is found out
CAPTURED, CAPTURED_BONES = 3000, 65  # frames of a capture, and bones that it keys
Wait = Generator[float, None, Any]


class Inside:
    """One for a Blender. Generators are driven by the window's own timer: what they yield is the time to let it live."""

    def __init__(self, package: str, driver: dict[str, Any]) -> None:
        """`driver` has the names of the harness's driver: window, area, region."""
        self._package = package
        self._driver = driver
        self._session = self._module("operators.session")
        self._own: set[str] = set()  # workflows of this file's
        self._submitted = self._operations = self._draws = 0  # of a day
        self._latency: list[float] = []
        self._reports: dict[str, deque[tuple[str, int, float]]] = {}  # stage, the job's revision, when
        self._in_sight: frozenset[str] = frozenset()  # jobs whose rows were drawn last
        self._rig: Any = None

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"{self._package}.{name}")

    # A scene

    def prepare(self) -> None:
        """Scenes in which things move, of the size that the render jobs take, in a view that software can draw."""
        preferences: Any = bpy.context.preferences
        preferences.system.viewport_aa = "OFF"
        preferences.system.use_region_overlap = False  # drawing regions over one another takes software half of a frame
        space = self._driver["area"]().spaces.active
        space.shading.type = "WIREFRAME"
        space.overlay.show_overlays = space.show_gizmo = False
        space.show_region_header = space.show_region_tool_header = space.show_region_toolbar = False
        shelf = bpy.data.collections.new("Out of Sight")
        for index in range(OUT_OF_SIGHT):
            shelf.objects.link(bpy.data.objects.new(f"Other {index}", None))
        for number in range(SCENES):
            scene = bpy.context.scene if number == 0 else bpy.data.scenes.new(f"Scene {number}")
            scene.frame_end = 240
            scene.render.resolution_x, scene.render.resolution_y = 320, 240
            scene.collection.children.link(shelf)
            scene.view_layers[0].layer_collection.children[shelf.name].exclude = True
            for index in range(OBJECTS):
                mesh = bpy.data.meshes.get("Cube") or bpy.data.meshes.new("Cube")
                thing = bpy.data.objects.new(f"Thing {number}.{index}", mesh)
                scene.collection.objects.link(thing)
                for frame in range(0, 241, 24):
                    turn = 2.0 * math.pi * (index / OBJECTS + frame / 240)
                    thing.location = (5 * math.cos(turn), 5 * math.sin(turn), 0.2 * index)
                    thing.keyframe_insert("location", frame=frame)

    def bring_rig(self, path: str) -> None:
        """The armature of a file, selected and active in every scene."""
        with bpy.data.libraries.load(path) as (there, wanted):
            wanted.objects = [name for name in there.objects if not name.startswith("WGT-")]  # what controls look like
        (self._rig,) = (thing for thing in wanted.objects if thing.type == "ARMATURE")
        for scene in bpy.data.scenes:
            scene.collection.objects.link(self._rig)
            self._rig.select_set(True, view_layer=scene.view_layers[0])
            scene.view_layers[0].objects.active = self._rig

    def animate_rig(self) -> int:
        """Give it an action as Blender imports a capture, a key in each frame for all that a bone can do; how many keys."""
        compat = self._module("backends.compat")
        action = bpy.data.actions.new("Capture")
        curves, _ = compat.action_curves(action, self._rig.name)
        keyed = [bone for bone in self._rig.pose.bones if not bone.name.startswith(("DEF-", "MCH-", "ORG-"))]
        for bone in keyed[:CAPTURED_BONES]:
            for path, rest in (("location", (0.0,) * 3), ("rotation_quaternion", (1.0, 0.0, 0.0, 0.0)), ("scale", (1.0,) * 3)):
                for index, value in enumerate(rest):
                    keys = [x for frame in range(CAPTURED) for x in (frame + 1.0, value)]
                    curve = curves.new(f'pose.bones["{bone.name}"].{path}', index=index)
                    curve.keyframe_points.add(CAPTURED)
                    curve.keyframe_points.foreach_set("co", keys)
                    curve.update()
        compat.assign_action(self._rig, action)
        return len(curves) * CAPTURED

    def remove_rig(self) -> int:
        """How many bones it has."""
        bones = len(self._rig.data.bones)
        bpy.data.objects.remove(self._rig)
        bpy.ops.outliner.orphans_purge(do_recursive=True)
        return bones

    # A person

    def work(self, seconds: float, operations: int = 0, *, with_rig: bool = False) -> Wait:
        """Orbit, edit properties, change frames and scenes for so long, with a queue operation in each turn until so many are
        done: ten a second, and longer where they need it. `with_rig`: each is a new shot of the rig, which was posed anew."""
        began = time.monotonic()
        step, failed = 0, 0
        acts = [self._queue_rig] if with_rig else self._acts()
        window = self._driver["window"]()
        view = self._driver["area"]().spaces.active.region_3d
        while step < operations or time.monotonic() - began < seconds:
            if step < operations:
                failed += not acts[step % len(acts)]()
            step += 1
            view.view_rotation = Euler((1.1 + 0.3 * math.sin(step / 7), 0.0, step / 15)).to_quaternion()
            self._driver["region"]("WINDOW").tag_redraw()
            thing = window.scene.collection.objects[0]
            thing.scale.x = 1.0 + 0.5 * math.sin(step / 3)
            if step % 3 == 0:
                window.scene.frame_set(step % 240)
            if step % 15 == 0:
                window.scene = bpy.data.scenes[(step // 15) % len(bpy.data.scenes)]
            yield STEP
        return {"steps": step, "operations": operations, "refused": failed}

    def play(self, seconds: float) -> Wait:
        """Frames a second that an animated scene plays with, every frame shown, faster than this machine can."""
        window = self._driver["window"]()
        window.scene.render.fps = 120
        window.scene.sync_mode = "NONE"
        count = 0

        def counted(*_: object) -> None:
            nonlocal count
            count += 1

        bpy.app.handlers.frame_change_post.append(counted)
        with bpy.context.temp_override(window=window, area=self._driver["area"]()):
            bpy.ops.screen.animation_play()
        began = time.monotonic()
        yield seconds
        took = time.monotonic() - began
        bpy.ops.screen.animation_cancel(restore_frame=False)
        bpy.app.handlers.frame_change_post.remove(counted)
        return count / took

    # The queue

    def allow(self, at_once: int) -> None:
        """So many jobs at once, as a person sets it in the preferences."""
        chosen: Any = bpy.context.preferences.addons[self._package].preferences
        chosen.concurrency = at_once
        chosen.lane_cpu = chosen.lane_blender = at_once

    def submit_running(self, count: int) -> None:
        """The jobs that run meanwhile: prompts that are retargeted and rendered, every second one by Cycles."""
        scene = bpy.context.scene
        for number in range(count):
            scene.render.engine = "CYCLES" if number % 2 else "BLENDER_WORKBENCH"
            scene.cycles.samples, scene.cycles.use_denoising = 8, False
            bpy.ops.motion_queue.submit(
                prompt="a person walks in a circle", character="BUILTIN", seconds=8.0, render=True, deliver=False,
                priority=100, seed=number + 1, name=f"Shot {number + 1}",
            )  # fmt: skip

    def submit_waiting(self, batches: int) -> Wait:
        """Batches of a hundred through the operator; seconds until all are in the list."""
        began = time.monotonic()
        wanted = len(self._rows()) + 100 * batches
        for number in range(batches):
            bpy.ops.motion_queue.submit(
                prompt="a person walks forward",
                character="BUILTIN",
                seconds=2.0,
                deliver=False,
                takes=100,
                name=f"Batch {number}",
            )
            yield 0.05
        while len(self._rows()) < wanted:
            yield 0.05
        return time.monotonic() - began

    def submit_deaf(self) -> str:
        """A job that does not stop, whatever it is told; its id."""

        def wait_for_ever() -> None:
            while True:
                time.sleep(0.1)

        return self._submit_own("deaf", wait_for_ever, priority=100)

    def _submit_own(self, name: str, work: Callable[[], None], **options: Any) -> str:
        """A job whose only step calls `work`, on a thread of the queue's; its id."""
        queue = self._module("queue")
        engine = self._session.app().engine
        if name not in self._own:
            self._own.add(name)

            class Backend:
                lane, can_pause = "cpu", False

                def run(self, _request: Any, _context: Any) -> None:
                    work()

                def estimate(self, _payload: Any, _results: Any) -> Any:
                    return queue.Estimate()

                def health(self) -> Any:
                    return queue.Health(ok=True)

            backend: Any = Backend()
            backend.name = name
            engine.register_backend(backend)
            engine.register_workflow(queue.Workflow(name=name, steps=(queue.StepSpec(name=name, backend=name),)))
        return str(engine.submit(queue.JobSpec(workflow=name, **options)).job_id)

    def counts(self) -> dict[str, int]:
        steps: dict[str, int] = {}
        engine = self._session.app().engine
        for row in self._session.follower().jobs.running():
            step = engine.get(row.id).current
            name = f"in {step.name}" if step else "between steps"
            steps[name] = steps.get(name, 0) + 1
        counts = self._session.follower().jobs.counts
        return {"running": counts.running, "waiting": counts.waiting, **steps}

    def memory_mb(self) -> float:
        with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 - a line of a file that is none
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

    def threads(self) -> list[str]:
        """Python threads of the extension, and children that it has."""
        names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        children = []
        for task in os.listdir("/proc/self/task"):  # noqa: PTH208
            with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:  # noqa: PTH123
                children += [f"child {pid}" for pid in file.read().split()]
        return names + children

    def thread_seconds(self) -> float:
        """Processor time of the extension's threads so far: all that Python started here."""
        ticks = 0
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                with open(f"/proc/self/task/{thread.native_id}/stat", encoding="ascii") as file:  # noqa: PTH123
                    fields = file.read().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return float(ticks / os.sysconf("SC_CLK_TCK"))

    def disable(self) -> None:
        bpy.ops.preferences.addon_disable(module=self._package)

    def _rows(self) -> list[Any]:
        return list(self._session.follower().jobs.rows())

    def _acts(self) -> list[Callable[[], bool]]:
        """What a person can do to jobs, each once, to another job each time."""
        rows = iter([row.id for row in self._rows() if str(row.state) == "queued"])
        cancelled: deque[str] = deque()
        operators = bpy.ops.motion_queue
        call = _call

        def cancel() -> bool:
            cancelled.append(next(rows))
            return call(operators.cancel, job_id=cancelled[-1])

        def retry() -> bool:
            return call(operators.retry, job_id=cancelled.popleft())

        def paused_and_resumed() -> tuple[Callable[[], bool], Callable[[], bool]]:
            chosen: list[str] = []

            def pause() -> bool:
                chosen.append(next(rows))
                return call(operators.pause, job_id=chosen[-1])

            return pause, lambda: call(operators.resume, job_id=chosen[-1])

        pause, resume = paused_and_resumed()
        return [
            lambda: call(operators.move, job_id=next(rows), to="TOP"),
            lambda: call(operators.move, job_id=next(rows), to="UP"),
            pause,
            lambda: call(operators.move, job_id=next(rows), to="DOWN"),
            resume,
            lambda: call(operators.set_priority, job_id=next(rows), priority=40),
            cancel,
            lambda: call(operators.select, job_id=next(rows)),
            lambda: call(operators.submit, prompt="a person jumps", character="BUILTIN", seconds=2.0, deliver=False),
            retry,
        ]

    def _queue_rig(self) -> bool:
        self._rig.pose.bones[-1].location.x += 0.001
        return _call(bpy.ops.motion_queue.submit, prompt="a person jumps", character="SELECTED", seconds=2.0, deliver=False)

    # A day

    def begin_soak(self) -> None:
        """Count how often the queue's panel is drawn."""
        panel = self._module("panels.job_list").MOTION_QUEUE_PT_queue
        draw = panel.draw

        def counted(this: Any, context: Any) -> None:
            self._draws += 1
            draw(this, context)

        panel.draw = counted

    def soak(self, seconds: float, submitted: int) -> Wait:
        """Work for so long, with so many jobs submitted by its end, and some handled; then what there is of everything."""
        began, before = time.monotonic(), self._submitted
        working = self.work(seconds)
        for wait in working:
            due = min(submitted, before + int((submitted - before) * (time.monotonic() - began) / (0.9 * seconds)) + 1)
            self._submit_nothings(due)
            self._touch_some()
            yield wait
        self._submit_nothings(submitted)
        while self._session.follower().jobs.counts.unfinished:
            yield 0.1
        yield 0.5
        gc.collect()
        engine = self._session.app().engine
        threads = self.threads()
        return {
            "mb": self.memory_mb(),
            "threads": sum(not name.startswith("child") for name in threads),
            "children": sum(name.startswith("child") for name in threads),
            "handles": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
            "over": sum(engine.metrics().finished.values()),
            "draws": self._draws,
            "operations": self._operations,
        }

    def _submit_nothings(self, until: int) -> None:
        """Jobs that do nothing, until there were so many."""
        while self._submitted < until:
            self._submitted += 1
            self._submit_own("nothing", lambda: None, label=f"Shot {self._submitted:05d}", priority=self._submitted % 101)

    def _touch_some(self) -> None:
        """One operation of a person on the newest job."""
        rows = self._rows()
        if not rows:
            return
        operators = bpy.ops.motion_queue
        acts = (
            lambda: operators.select(job_id=rows[-1].id),
            lambda: operators.move(job_id=rows[-1].id, to="TOP"),
            lambda: operators.cancel(job_id=rows[-1].id),
            lambda: operators.set_priority(job_id=rows[-1].id, priority=60),
            operators.clear_finished,
        )
        # Most jobs are over before they can be moved or cancelled: the operator refuses then, and says so.
        with contextlib.suppress(RuntimeError):
            acts[self._operations % len(acts)]()
        self._operations += 1

    # From a child's report to the row

    def watch_reports(self) -> Callable[[], None]:
        """Begin to measure it, for rows that are in sight; returns what ends that."""
        run = self._module("queue.run").Run
        rows = self._module("panels.job_list")
        clean = self._module("panels.words").clean
        progress, draw_queue, draw_row = run.progress, rows.draw_queue, rows.draw_row
        seen: set[str] = set()

        def report(this: Any, fraction: float, stage: str = "", data: Any = None) -> None:
            if stage and stage != this.stage and this.job.id in self._in_sight:
                self._reports.setdefault(this.job.id, deque()).append((clean(stage), this.job.revision, time.perf_counter()))
            progress(this, fraction, stage, data)

        def draw_all(*arguments: Any, **options: Any) -> None:
            seen.clear()
            draw_queue(*arguments, **options)
            for job_id in set(self._reports) - seen:
                del self._reports[job_id]  # others have taken its place
            self._in_sight = frozenset(seen)

        def draw(layout: Any, row: Any, **options: Any) -> None:
            draw_row(layout, row, **options)
            seen.add(row.id)
            waiting = self._reports.get(row.id, deque())
            # What is on the screen is newer than a report before it, and than any before the job's last change of state.
            newest = max((i for i, (stage, _, _) in enumerate(waiting) if stage == row.stage), default=-1)
            while waiting and (newest >= 0 or waiting[0][1] < row.revision):
                self._latency.append(time.perf_counter() - waiting.popleft()[2])
                newest -= 1

        run.progress, rows.draw_queue, rows.draw_row = report, draw_all, draw

        def end() -> None:
            run.progress, rows.draw_queue, rows.draw_row = progress, draw_queue, draw_row

        return end

    def show_running(self) -> None:
        """Have the list show the jobs that run: it goes to the one that is selected."""
        self._session.select(self._session.follower().jobs.entry(0).id)
        self._reports.clear()

    def take_latency(self) -> list[float]:
        found, self._latency = self._latency, []
        return found


def _call(operator: Any, **options: Any) -> bool:
    """Whether an operator did what it is for."""
    try:
        return "FINISHED" in operator(**options)
    except RuntimeError:  # it has refused and said why: the job may have begun to run, say
        return False
