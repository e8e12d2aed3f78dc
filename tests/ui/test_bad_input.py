# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scene, a disk or another Blender does to the queue is told clearly, and the queue stays as it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from motion_queue.backends.character import mannequin  # noqa: E402
from motion_queue.operators import jobs  # noqa: E402

from .conftest import LIMIT, Interface  # noqa: E402


@pytest.fixture
def armature(held: Interface) -> Any:
    made = mannequin.build(bpy.context.scene)
    bpy.context.view_layer.objects.active = made
    made.select_set(True)
    return made


def refused(ui: Interface, said: str, **arguments: Any) -> None:
    """Queueing is refused with these words, and changes nothing."""
    before = ui.now.counts
    with pytest.raises(RuntimeError, match=said):
        ui.run("submit", **{"prompt": "jumps", "deliver": False, **arguments})
    assert ui.now.counts == before


def test_an_armature_in_edit_mode_or_without_bones_is_refused(held: Interface, armature: Any) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    refused(held, "is in edit mode")
    for bone in list(armature.data.edit_bones):
        armature.data.edit_bones.remove(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    refused(held, "has no bones")


def test_a_hidden_armature_and_one_with_an_action_are_queued(held: Interface, armature: Any) -> None:
    armature.keyframe_insert("location", frame=1)
    action = armature.animation_data.action
    armature.hide_viewport = True
    job = held.engine.get(held.submit(prompt="jumps", deliver=False))
    assert job.source["armature"] == armature.name
    assert armature.animation_data.action == action, "a user's own action stays where it is"


def test_a_motion_is_applied_only_where_there_is_an_armature_that_can_take_one(held: Interface) -> None:
    assert not bpy.ops.motion_queue.apply.poll()
    made = mannequin.build(bpy.context.scene)
    bpy.context.view_layer.objects.active = None
    assert bpy.ops.motion_queue.apply.poll(), "it is looked for when the motion is applied"
    bpy.context.view_layer.objects.active = made
    assert bpy.ops.motion_queue.apply.poll()
    bpy.ops.object.mode_set(mode="EDIT")
    assert not bpy.ops.motion_queue.apply.poll()


def test_an_armature_that_is_renamed_or_deleted_leaves_its_job_as_it_was(held: Interface, armature: Any) -> None:
    job_id = held.submit(prompt="jumps", deliver=False, seconds=1)
    armature.name = "Somebody Else"
    bpy.data.objects.remove(armature)
    assert held.run("resume_queue") == {"FINISHED"}
    assert held.over(job_id).state == "completed", "it has the rig as it was"


def test_a_linked_armature_is_queued_and_one_whose_library_is_gone_is_refused(held: Interface, tmp_path: Path) -> None:
    library = tmp_path / "characters.blend"
    made = mannequin.build(bpy.context.scene)
    bpy.data.libraries.write(str(library), {made})
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(library), link=True) as (source, target):
        target.objects = source.objects
    linked = next(each for each in bpy.data.objects if each.type == "ARMATURE")
    bpy.context.scene.collection.objects.link(linked)
    bpy.context.view_layer.objects.active = linked
    linked.select_set(True)
    assert held.submit(prompt="jumps", deliver=False)
    film = tmp_path / "film.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(film))
    library.unlink()
    bpy.ops.wm.open_mainfile(filepath=str(film))
    refused(held, "library file that is missing|No armature is selected|has no bones")


def test_a_state_folder_that_vanished_is_told_and_the_queue_opens_anew(held: Interface, state: Path) -> None:
    held.submit(prompt="jumps", character="BUILTIN", deliver=False)
    shutil.rmtree(state)
    assert held.run("test_setup") == {"FINISHED"}
    held.until(lambda: not held.now.testing)
    found = dict(held.now.health)["Queue folder"]
    assert not found.ok and "is gone" in found.message
    assert held.run("restart") == {"FINISHED"}
    held.until(lambda: held.now.phase == "ready")
    held.submit(prompt="waves", character="BUILTIN", deliver=False)


def test_a_full_disk_is_told_in_the_panel_and_when_a_shot_is_queued(held: Interface, small: Path) -> None:
    held.shot.prompt, held.shot.character, held.shot.output = "jumps", "BUILTIN", str(small / "{shot}")
    held.until(lambda: held.now.draft_check and held.now.draft_check.problems)
    assert "MB are free" in held.now.draft_check.problems[0].message
    held.run("submit")
    held.until(lambda: held.now.notices)
    assert "MB are free" in held.now.notices[0].text and held.now.counts.total == 0


def test_two_blenders_at_once_have_a_queue_each(held: Interface, state: Path) -> None:
    held.submit(prompt="jumps", character="BUILTIN", deliver=False)
    other = (
        "import os, sys, bpy\n"
        "from motion_queue.operators import session\n"
        "app = session.start()\n"
        "app.engine.pause_queue()\n"
        "app.engine.submit(app.prompt_job('waves', {})).wait_durable(60)\n"
        "print('queued', app.engine.counts()['queued'], app.folder.path, flush=True)\n"
        "session.unregister()\nsys.stdout.flush()\nos._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", other], capture_output=True, text=True, timeout=LIMIT * 5, check=False)
    said = next((line for line in done.stdout.splitlines() if line.startswith("queued")), done.stderr)
    assert said.startswith("queued 1 ") and str(held.session.app().folder.path) not in said
    assert held.now.counts.waiting == 1, "each shows its own"


def test_the_dialog_for_another_try_has_the_old_values_and_those_that_were_given(held: Interface) -> None:
    job_id = held.submit(prompt="jumps", character="BUILTIN", deliver=False, seconds=3, seed=9, priority=70, name="Hop")
    job = held.engine.get(job_id)

    class Properties:
        given = frozenset({"seed"})

        def is_property_set(self, name: str) -> bool:
            return name in self.given

    class Dialog:
        properties = Properties()
        seed = 4

    dialog: Any = Dialog()
    jobs.MOTION_QUEUE_OT_retry_edited._take(dialog, job)
    assert (dialog.name, dialog.prompt, dialog.own_length, dialog.seconds) == ("Hop", "jumps", True, 3.0)
    assert (dialog.seed, dialog.priority, dialog.render, dialog.job_id) == (4, 70, False, job_id)
