# SPDX-License-Identifier: GPL-3.0-or-later
"""How free a Blender window stays: gaps of its event loop while idle and while the queue works, and the extension's own calls.

Needs a Blender with a window: Xvfb, blender and ImageMagick's import on this machine, or a program that runs its arguments where
they are, named in MOTION_QUEUE_WINDOW. A person at work (orbiting, properties, scenes) is imitated alike in both, in Blender's
own event loop: with simulated events it never sleeps, and takes a whole processor for nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from motion_queue.scripts import build
from motion_queue.scripts.cli.exit_codes import InputError
from motion_queue.scripts.window.harness import (
    LIMIT,
    NEEDED,
    VARIABLE,
    Screen,
    Window,
    install,
    module,
    runner,
    user_environment,
)

from .report import Report, percentile

_INSIDE = Path(__file__).with_name("window_inside.py")
_BUILDER = Path(__file__).parent / "retarget_eval" / "rigs.py"
_STARTING = 180.0  # seconds in which as many jobs should run as are meant to; what runs then is said
_ENDING = 20.0  # seconds in which a child that gets hardly any processor time may end, once it was told or killed
SIZE = (480, 400)  # of the window: software draws four times as much in 0.1 s, and every gap would be a freeze without us
_JUST_RUN = 10.0  # seconds of playback
_QUITS = 3
_RIGS = ("mixamo", "rigify")  # characters of the retargeting benchmark, of 65 bones and of 706 with controls
_RIG_SHOTS = 300  # that are queued of each
_SHOWN = 8.0  # seconds in which each scene is shown once: it then takes its own copy of a rig and of a capture
TICK, DRAW, OPERATOR, NEARLY = 2.0, 1.0, 10.0, 10.0  # milliseconds
GONE = 2.0  # seconds


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(prog="mq.py bench window", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement (default 30)")
    parser.add_argument("--jobs", type=int, default=8, help="that run at once, 1 to 8 (default 8)")
    parser.add_argument("--operations", type=int, default=1000, help="on the queue while it works (default 1000)")
    parser.add_argument("--many", type=int, default=10_000, help="jobs of the second measurement; 0: none (default 10000)")
    parser.add_argument("--json", type=Path, help="a file for everything that was measured, the single freezes too")
    options = parser.parse_args(argv)
    prefix = needed_runner()
    report = Report("window")
    details: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="motion-queue-bench-window-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        install(prefix, build.build(Path(folder) / "zip", blender=None), home)
        fresh = shutil.copytree(home, Path(folder) / "fresh", symlinks=True)
        rigs = [_built(prefix, name, Path(folder)) for name in _RIGS]
        screen = Screen(prefix)
        try:
            with Window(prefix, screen, home, size=SIZE, simulated=False) as window:
                _measure(report, window, options, rigs, details)
            seconds = []
            for number in range(_QUITS):
                own = shutil.copytree(fresh, Path(folder) / f"home {number}", symlinks=True)  # without another one's jobs
                seconds.append(_quit(Window(prefix, screen, own, size=SIZE, simulated=False)))
            report.add(f"quit with a job that does not stop, slowest of {_QUITS}", max(seconds), "s", target=GONE)
        finally:
            screen.close()
    if options.json:
        options.json.write_text(json.dumps(details, indent=1), encoding="utf-8")
    return report.finish()


def needed_runner() -> tuple[str, ...]:
    """What comes before the name of a program that needs a screen. `InputError` no_window."""
    prefix = runner()
    if prefix is None:
        raise InputError(
            "no_window",
            f"This benchmark needs a Blender with a window: install {', '.join(NEEDED)}, or name in {VARIABLE} a program that "
            "runs its arguments where they are. A Blender module from PyPI has none.",
        )
    return prefix


def whole_area(window: Window) -> None:
    """The 3D View as large as the window, with the extension's tab open."""
    window.run("""
with bpy.context.temp_override(window=window(), area=area(), region=region('WINDOW')):
    bpy.ops.screen.screen_full_area()
yield 1.0
yield from show_tab('Motion Queue')
""")


def _measure(report: Report, window: Window, options: argparse.Namespace, rigs: Sequence[Path], details: dict[str, Any]) -> None:
    bring_in(window)
    whole_area(window)
    window.run("kept.inside.prepare()")
    window.run("yield from kept.inside.work(10.0)")  # software compiles its shaders as they are first used
    window.meter()
    idle = _gaps(window, options.seconds, 0)
    with _loops(options.jobs):
        beside = _gaps(window, options.seconds, 0)
    frames = window.run(f"return (yield from kept.inside.play({_JUST_RUN}))")
    details["idle"], details["beside loops"] = idle, beside

    end = "kept.end_watch"
    window.run(f"{end} = kept.inside.watch_reports()")  # before anything runs: a step keeps the function that it reports to
    _fill(report, window, options)
    started = _wait_running(window, options.jobs)
    before = window.run("return kept.inside.thread_seconds()")
    busy = _gaps(window, options.seconds, options.operations)
    threads = window.run("return kept.inside.thread_seconds()") - before
    later = window.run("return kept.inside.counts()")
    busy_frames = window.run(f"return (yield from kept.inside.play({_JUST_RUN}))")
    window.run("kept.inside.show_running(); kept.inside.take_latency()")
    window.run(f"yield from kept.inside.work({options.seconds})")
    latency = window.run("return kept.inside.take_latency()")
    window.run(f"{end}()")
    details["busy"], details["started"], details["later"], details["latency"] = busy, started, later, latency

    note = f"jobs at its begin: {_said(started)}; at its end: {_said(later)}"
    _report_gaps(report, idle, beside, busy, note)
    share = 100 * threads / busy["seconds"]
    report.add(
        "processor time of the queue's threads in Blender, busy", share, "% of one", note=f"{options.operations:,} operations"
    )
    _report_calls(report, busy, f"{started['waiting'] + started['running']:,} jobs")
    if latency:
        report.add(
            "child's report to drawn row, p99", percentile(latency, 0.99), "s", target=1.0, note=f"{len(latency):,} reports"
        )
    report.add("playback of an animated scene, idle", frames, "frames/s")
    report.add("playback of an animated scene, busy", busy_frames, "frames/s", note=f"{100 * busy_frames / frames:.0f} % of idle")

    details["rigs"] = [found for rig in rigs for found in _queue_rig(report, window, rig)]
    if options.many:
        details["many"] = _many(report, window, options)
    _disable(report, window)


def _built(prefix: Sequence[str], name: str, folder: Path) -> Path:
    """A character's .blend, by a Blender of its own: Rigify's operators need one."""
    builder, rig = shutil.copy(_BUILDER, folder), folder / f"{name}.blend"
    script = f"import pathlib, runpy; runpy.run_path({str(builder)!r})['build']({name!r}, pathlib.Path({str(rig)!r}))"
    command = [*prefix, "blender", "--background", "--factory-startup", "--python-exit-code", "1", "--python-expr", script]
    subprocess.run(command, env=user_environment(folder), timeout=LIMIT, check=True, capture_output=True)
    return rig


def _queue_rig(report: Report, window: Window, rig: Path) -> list[dict[str, Any]]:
    """New shots of an armature of the scene, which is edited meanwhile: as it is, and with a capture on it."""
    window.run(f"kept.inside.bring_rig({window.send(rig)!r})")
    window.run(f"yield from kept.inside.work({_SHOWN})")
    still = _gaps(window, 0.0, _RIG_SHOTS, with_rig=True)
    keys = window.run("return kept.inside.animate_rig()")
    window.run(f"yield from kept.inside.work({_SHOWN})")
    moving = _gaps(window, 0.0, _RIG_SHOTS, with_rig=True)
    bones = window.run("return kept.inside.remove_rig()")
    for found, what in ((still, f"{bones} bones"), (moving, f"{bones} bones and {keys:,} keys")):
        submit = found["names"]["MOTION_QUEUE_OT_submit.execute"]
        report.add(
            f"a new shot of a selected armature with {what}, p99 of {_RIG_SHOTS}", submit["p99"], "ms", target=OPERATOR,
            note=f"median {submit['p50']:.1f}, longest {submit['max']:.1f}; {found['work']['refused']} refused",
        )  # fmt: skip
        counts = found["freeze_counts"]
        report.add(
            f"gaps over 100 ms with a call of ours meanwhile, {what}", counts["undisturbed"], "", target=0,
            note=f"{counts['all']} in all, {counts['with_calls']} with those in which the host took processors away",
        )  # fmt: skip
    return [still, moving]


def _gaps(window: Window, seconds: float, operations: int, *, with_rig: bool = False) -> dict[str, Any]:
    window.run("kept.meter.clear()")
    done = window.run(f"return (yield from kept.inside.work({seconds}, {operations}, with_rig={with_rig}))")
    found: dict[str, Any] = window.run("return kept.meter.report()")
    return found | {"work": done}


@contextlib.contextmanager
def _loops(count: int) -> Iterator[None]:
    """So many programs beside, of the queue's children's priority, that do nothing but take the time that is left."""
    command = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"
    loops = [subprocess.Popen([sys.executable, "-c", command]) for _ in range(count)]
    try:
        time.sleep(1.0)
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _fill(report: Report, window: Window, options: argparse.Namespace) -> None:
    """The stress: a thousand jobs through the operator, and what they take."""
    before = window.run("return kept.inside.memory_mb()")
    window.run(f"kept.inside.allow({options.jobs}); bpy.ops.motion_queue.pause_queue(); yield 1.0")
    window.run(f"kept.inside.submit_running({options.jobs}); yield 0.5")
    window.run("kept.meter.clear()")
    took = window.run("return (yield from kept.inside.submit_waiting(10))")
    calls = window.run("return kept.meter.report()")
    submit = calls["names"]["MOTION_QUEUE_OT_submit.execute"]
    report.add("1,000 jobs through the operator until all are in the list", took, "s")
    report.add("the operator for 100 jobs, slowest of 10", submit["max"], "ms", target=OPERATOR)
    after = window.run("yield 2.0; return kept.inside.memory_mb()")
    report.add("memory of Blender before 1,000 jobs", before, "MB")
    report.add("memory of Blender with them", after, "MB", note=f"{after - before:+.0f} MB")
    window.run("bpy.ops.motion_queue.resume_queue()")


def _wait_running(window: Window, jobs: int) -> dict[str, int]:
    """Until so many run, some of them in a Blender; how many do."""
    counts: dict[str, int] = window.run(f"""
end = time.monotonic() + {_STARTING}
while time.monotonic() < end:
    counts = kept.inside.counts()
    if counts['running'] >= {jobs} and counts.get('in render', 0) >= {max(1, jobs // 2)}:
        break
    yield 0.5
return counts
""")
    return counts


def _report_gaps(report: Report, idle: dict[str, Any], beside: dict[str, Any], busy: dict[str, Any], note: str) -> None:
    for name, found in (("idle", idle), ("beside loops", beside), ("busy", busy)):
        gaps = found["gaps"]
        for key in ("p50", "p90", "max"):
            report.add(f"gaps of the event loop, {name}, {key}", gaps[key], "ms")
    report.add("gaps of the event loop, idle, p99", idle["gaps"]["p99"], "ms", note=f"{idle['gaps']['count']:,} gaps")
    report.add(
        "gaps of the event loop, beside loops, p99", beside["gaps"]["p99"], "ms", note="what any program costs that only idles"
    )
    target = idle["gaps"]["p99"] + NEARLY
    report.add("gaps of the event loop, busy, p99", busy["gaps"]["p99"], "ms", target=target, note=note)
    alone, shared = idle["freeze_counts"], busy["freeze_counts"]
    own, others = idle["undisturbed_gaps"], busy["undisturbed_gaps"]
    note = f"{own['p99']:.1f} ms idle; without {busy['gaps']['count'] - others['count']:,} of {busy['gaps']['count']:,} gaps"
    report.add("of these, those in which the host took no time away", others["p99"], "ms", target=own["p99"] + NEARLY, note=note)
    work = busy["work"]
    report.add("gaps over 100 ms, idle", alone["all"], "", note=f"{alone['with_calls']} with a call of ours in it")
    report.add(
        "gaps over 100 ms, busy", shared["all"], "", note=f"{work['operations']:,} operations, {work['refused']:,} refused"
    )
    stolen = f"the host took {busy['stolen_seconds']:.1f} s away (idle: {idle['stolen_seconds']:.1f} s)"
    report.add("gaps over 100 ms, busy, in which a call of ours takes part", shared["with_calls"], "", note=stolen)
    undisturbed = shared["undisturbed"]
    report.add("of these, those in which the host left the machine its processors", undisturbed, "", target=0)
    report.add("gaps over 100 ms, busy, of which our calls take a tenth or more", shared["of_ours"], "", target=0)


def _report_calls(report: Report, found: dict[str, Any], with_what: str) -> None:
    names = found["names"]

    def slowest(kind: str, which: str) -> tuple[float, str, dict[str, float]]:
        chosen = [(v[which], n, v) for n, v in names.items() if n.rpartition(".")[2] == kind]
        return max(chosen, key=lambda found: found[0], default=(0.0, "none", {"p50": 0.0, "p99": 0.0}))

    # What code takes is processor time; how long it lasts is also a matter of who else wants the two processors of a machine.
    value, _, tick = slowest("tick", "worked_p99")
    note = f"{tick.get('count', 0):,} ticks; lasting {tick['p99']:.1f} ms, median {tick['p50']:.1f}"
    report.add(f"a tick, {with_what}, p99 of the processor", value, "ms", target=TICK, note=note)
    value, name, draw = slowest("draw", "worked_p99")
    note = f"{name}; lasting {draw['p99']:.1f} ms, median {draw['p50']:.1f}"
    report.add(f"a panel's draw, {with_what}, p99 of the processor, the slowest", value, "ms", target=DRAW, note=note)
    value, name, _ = slowest("execute", "p99")
    report.add(f"an operator, {with_what}, p99 of the slowest", value, "ms", target=OPERATOR, note=name)
    every = found["worked"].get("operator", {"p99": 0.0, "count": 0})
    both = found["calls"].get("operator", {"p99": 0.0})
    report.add(
        f"all operators, {with_what}, p99", both["p99"], "ms", target=OPERATOR, note=f"{every.get('count', 0):,} calls, polls too"
    )


def _many(report: Report, window: Window, options: argparse.Namespace) -> dict[str, Any]:
    there = window.run("return len(kept.inside._rows())")
    batches = max(1, (options.many - there) // 100)
    took = window.run(f"return (yield from kept.inside.submit_waiting({batches}))")
    report.add(f"{100 * batches:,} more jobs through the operator", took, "s")
    window.run("yield 3.0")
    found = _gaps(window, options.seconds, min(options.operations, 500))
    _report_calls(report, found, f"{there + 100 * batches:,} jobs")
    gaps, counts = found["gaps"], found["freeze_counts"]
    report.add(f"gaps, {there + 100 * batches:,} jobs, p99", gaps["p99"], "ms", note=f"max {gaps['max']:.0f} ms")
    note = f"{counts['with_calls']} with those in which the host took processors away"
    report.add(
        f"gaps over 100 ms with a call of ours, {there + 100 * batches:,} jobs", counts["undisturbed"], "", target=0, note=note
    )
    return found


def _disable(report: Report, window: Window) -> None:
    report.add("memory of Blender at the end", window.run("return kept.inside.memory_mb()"), "MB")
    before = window.run("return kept.inside.threads()")
    window.run("kept.meter.stop(); kept.inside.disable()")
    took, left = window.run(f"""
began = time.monotonic()
while (left := kept.inside.threads()) and time.monotonic() - began < {_ENDING}:
    yield 0.1
return time.monotonic() - began, left
""")
    note = f"before: {len(before)}; left: {', '.join(left) or 'none'}; {took:.1f} s"
    report.add("threads and children after the extension was switched off", len(left), "", target=0, note=note)


def _quit(window: Window) -> float:
    """Seconds until the window was gone."""
    with window:
        bring_in(window)
        window.run("kept.job = kept.inside.submit_deaf(); kept.inside.submit_running(2)")
        window.until(f"str({module('operators.session')}.app().engine.get(kept.job).state) == 'running'")
        return window.quit()


def bring_in(window: Window) -> None:
    """`kept.inside` in there."""
    window.until(f"bool(package()) and not {module('operators.session')}.why_not()")
    names = "{'window': window, 'area': area, 'region': region}"
    window.run(f"kept.inside = load({window.send(_INSIDE)!r}, 'window_inside').Inside(package(), {names})")


def _said(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
