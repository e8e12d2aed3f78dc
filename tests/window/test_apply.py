# SPDX-License-Identifier: GPL-3.0-or-later
"""A finished motion comes onto the armature while the window lives, and one Ctrl-Z takes it away again."""

from __future__ import annotations

import shutil
from pathlib import Path

from motion_queue.scripts.window.harness import Window, module

from .conftest import SESSION

PREPARE = """
importlib = __import__('importlib')
mannequin = importlib.import_module(package() + '.backends.character.mannequin')
bpy.ops.object.select_all(action='SELECT')
bpy.ops.object.delete()
armature = mannequin.build(bpy.context.scene)
yield 0.2
bpy.ops.ed.undo_push(message='Character')
app = {session}.app()
spec = app.clip_job(__import__('pathlib').Path({clip!r}), {{'steps': ['read']}})
app.engine.submit(spec)
{session}.changed([spec.id])
return spec.id
"""
ACTION = (
    "(lambda a: a.animation_data and a.animation_data.action and a.animation_data.action.name)(bpy.data.objects['Mannequin'])"
)


def test_a_motion_is_applied_and_undone(window: Window, checkout: Path, tmp_path: Path) -> None:
    clip = shutil.copy(checkout / "examples" / "walk.bvh", tmp_path)
    job = window.run(PREPARE.format(session=SESSION, clip=clip))
    window.until(f"{SESSION}.app().engine.get({job!r}).finished")
    window.meter()

    window.run(f"bpy.ops.motion_queue.apply(job_id={job!r}, extend_range=True); yield 0.1")
    assert window.until(ACTION) == "walk"
    window.run("kept.meter.stop()")
    slices = window.run("return kept.meter.report()")["names"]["apply._timer"]
    assert slices["count"] > 1, "it was built a little at a time"
    window.run("bpy.context.scene.frame_set(40); yield 0.5")
    window.shoot("applied")

    window.run("yield from key('Z', ctrl=True); yield 0.5")
    assert not window.run(f"return {ACTION}")
    assert window.run("return len(bpy.data.actions)") == 0
    assert window.run(f"return len({module('operators.applying')}.going())") == 0
