# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries that run inside real children in these tests: well-behaved ones and all the bad ones a pool has to live with."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ...backends.protocol import ChildContext
from ...queue.errors import MotionQueueError

Arguments = dict[str, Any]
_FOR_EVER = 3600.0


def echo(arguments: Arguments, context: ChildContext) -> Arguments:
    return {"echo": arguments, "pid": os.getpid(), "main_thread": threading.current_thread() is threading.main_thread()}


def report(arguments: Arguments, context: ChildContext) -> Arguments:
    for i in range(int(arguments["count"])):
        context.progress((i + 1) / arguments["count"], f"stage {i}", {"i": i})
        context.log("info", f"line {i}")
    return {}


def environment(arguments: Arguments, context: ChildContext) -> Arguments:
    """What a job finds, before it changes it."""
    found = {
        "child": os.environ.get("MOTION_QUEUE_CHILD"),
        "left": os.environ.get("MQ_LEFT_BEHIND", ""),
        "folder": os.getcwd(),  # noqa: PTH109
        "path": [p for p in sys.path if p.startswith("/mq-")],
        "root_on_path": str(Path(__file__).resolve().parents[2]) in sys.path,
    }
    os.environ["MQ_LEFT_BEHIND"] = "yes"
    os.chdir("/")
    sys.path.append("/mq-left-behind")
    return found


def priority(arguments: Arguments, context: ChildContext) -> Arguments:
    policies = [os.sched_getscheduler(int(task)) for task in os.listdir("/proc/self/task")]  # noqa: PTH208
    return {"idle": all(policy == os.SCHED_IDLE for policy in policies), "threads": context.threads}


def count_until_stopped(arguments: Arguments, context: ChildContext) -> Arguments:
    context.log("info", "counting")
    while True:
        context.check()


def wait_for_stop(arguments: Arguments, context: ChildContext) -> Arguments:
    context.log("info", "waiting")
    context.wait_stop(_FOR_EVER)
    context.check()
    return {}


def finish_when_asked_to_stop(arguments: Arguments, context: ChildContext) -> Arguments:
    context.log("info", "waiting")
    context.wait_stop(_FOR_EVER)
    return {"finished": True}


def ignore_everything(arguments: Arguments, context: ChildContext) -> Arguments:
    """Ignores the request to stop and SIGTERM, and so do its child, its grandchild and one in a session of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(3600)"
    pids = [os.getpid()]
    for own_session in (False, True):
        child = subprocess.Popen([python(), "-c", code], stdout=subprocess.PIPE, start_new_session=own_session)
        assert child.stdout is not None
        child.stdout.readline()
        pids.append(child.pid)
    shell = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 3600 & echo $!; wait"], stdout=subprocess.PIPE)
    assert shell.stdout is not None
    pids += [shell.pid, int(shell.stdout.readline())]
    context.log("info", "pids " + " ".join(map(str, pids)))
    time.sleep(_FOR_EVER)
    return {}


def python() -> str:
    """A Python that can be started by name; inside an installed Blender sys.executable is its own."""
    return sys.executable


def crash(arguments: Arguments, context: ChildContext) -> Arguments:
    print("last words", file=sys.stderr, flush=True)
    if arguments.get("leave_behind"):
        child = subprocess.Popen(["sleep", "3600"])
        context.log("info", f"pids {os.getpid()} {child.pid}")
    os.kill(os.getpid(), getattr(signal, arguments.get("signal", "SIGSEGV")))
    time.sleep(_FOR_EVER)
    return {}


def exit_process(arguments: Arguments, context: ChildContext) -> Arguments:
    os._exit(int(arguments["code"]))


def hold_the_interpreter(arguments: Arguments, context: ChildContext) -> Arguments:
    """Native code that never gives the interpreter back: no Python thread of this process runs any more."""
    context.log("info", f"pids {os.getpid()}")
    ctypes.PyDLL(None).sleep(3600)
    return {}


def stop_the_process(arguments: Arguments, context: ChildContext) -> Arguments:
    os.kill(os.getpid(), signal.SIGSTOP)
    return {}


def eat_memory(arguments: Arguments, context: ChildContext) -> Arguments:
    if arguments.get("in_child"):
        code = "import time; x = bytearray(b'x') * 300_000_000; time.sleep(3600)"
        subprocess.Popen([python(), "-c", code])
        time.sleep(_FOR_EVER)
    eaten = bytearray(b"x") * int(arguments["bytes"])
    if arguments.get("stay"):
        time.sleep(_FOR_EVER)
    return {"size": len(eaten)}


def _protocol_descriptor() -> int:
    """The pipe the child speaks on: the one beside 0, 1 and 2 that is a pipe for writing."""
    for name in sorted(os.listdir("/proc/self/fd"), key=int):  # noqa: PTH208
        number = int(name)
        if number > 2 and os.readlink(f"/proc/self/fd/{name}").startswith("pipe:"):  # noqa: PTH115
            return number
    raise AssertionError("no protocol pipe found")


def print_garbage(arguments: Arguments, context: ChildContext) -> Arguments:
    descriptor = _protocol_descriptor()
    kind = arguments["kind"]
    if kind == "a stray line":
        os.write(descriptor, b"Fra:1 Mem:10M\n")
        return {"fine": True}
    if kind == "broken json":
        os.write(descriptor, b'\x1e{"type": "progress", "fraction": \n')
    elif kind == "another job":
        os.write(descriptor, b'\x1e{"type":"result","job":"no such job","value":{}}\n')
    elif kind == "an endless line":
        _write_for_ever(descriptor, b"x" * 65536)
    elif kind == "endless lines":
        _write_for_ever(descriptor, os.urandom(30).replace(b"\x1e", b"") + b"\n")
    time.sleep(_FOR_EVER)
    return {}


def _write_for_ever(descriptor: int, data: bytes) -> None:
    while True:
        os.write(descriptor, data)


def print_everywhere(arguments: Arguments, context: ChildContext) -> Arguments:
    print("from python")
    sys.stdout.flush()
    os.write(1, b"from C\n")
    subprocess.run(["echo", "from a grandchild"], check=True)
    return {"fine": True}


def print_much(arguments: Arguments, context: ChildContext) -> Arguments:
    for i in range(int(arguments["lines"])):
        context.log("info", f"line {i}")
    return {}


def fail(arguments: Arguments, context: ChildContext) -> Arguments:
    how = arguments["how"]
    if how == "coded":
        raise MotionQueueError("bvh_broken", "The clip is broken.", details={"clip": "line 3"}, retryable=True)
    if how == "memory":
        raise MemoryError
    if how == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "/out/video.mp4")
    if how == "read-only":
        raise OSError(errno.EROFS, "Read-only file system", "/out")
    if how == "exit":
        sys.exit(3)
    if how == "nan":
        return {"value": float("nan")}
    if how == "list":
        return [1]  # type: ignore[return-value]
    raise ZeroDivisionError("what a pity")


# ---- in a Blender ----


def dirty_blender(arguments: Arguments, context: ChildContext) -> Arguments:
    """What a job finds in its Blender, before it leaves a mess."""
    import bpy  # noqa: PLC0415

    found = {
        "pid": os.getpid(),
        "objects": len(bpy.data.objects),
        "unit": bpy.context.preferences.edit.undo_steps,
        "handlers": sum(f.__name__ == "_left" for f in bpy.app.handlers.render_write),
        "auto_run": bpy.context.preferences.filepaths.use_scripts_auto_execute,
        "version": list(bpy.app.version),
        "background": bpy.app.background,
    }
    bpy.ops.mesh.primitive_cube_add()
    bpy.context.preferences.edit.undo_steps = 7
    bpy.app.handlers.render_write.append(_left)
    return found


def _left(*_: object) -> None:
    raise AssertionError("a handler of an earlier job was called")


def render_slowly(arguments: Arguments, context: ChildContext) -> Arguments:
    """A Cycles render that takes minutes and, in background mode, hears nothing; with a child of its own beside it."""
    import bpy  # noqa: PLC0415

    bpy.ops.preferences.addon_enable(module="cycles")
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 100_000
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_denoising = False
    scene.render.resolution_x = scene.render.resolution_y = 512
    bpy.ops.mesh.primitive_monkey_add()
    bpy.ops.object.camera_add(location=(0, -5, 0), rotation=(1.57, 0, 0))
    scene.camera = bpy.context.object
    scene.render.filepath = str(arguments["out"])
    child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    said: list[bool] = []

    def say(*_: object) -> None:
        if not said:
            said.append(True)
            context.log("info", f"pids {os.getpid()} {child.pid}")

    bpy.app.handlers.render_stats.append(say)
    bpy.ops.render.render(write_still=True)
    return {"said": bool(said)}
