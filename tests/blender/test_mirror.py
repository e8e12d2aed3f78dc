# SPDX-License-Identifier: GPL-3.0-or-later
"""A .blend carries its jobs: to this machine again, to another one, and whatever somebody has done to it meanwhile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from motion_queue.backends.character import mannequin
from motion_queue.persistence import mirror as carried
from motion_queue.queue import Job, JobSpec

from .conftest import LIMIT

bpy = pytest.importorskip("bpy")

from motion_queue.app import App  # noqa: E402
from motion_queue.operators import mirror, session  # noqa: E402

PROMPT = "a person walks forward"


class Machine:
    """This Blender with the state folder of one machine or another."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch = patch
        self._folder = folder

    def be(self, name: str) -> App:
        session.unregister()
        self._patch.setenv("MOTION_QUEUE_STATE", str(self._folder / name))
        app = session.start()
        app.engine.pause_queue().wait_durable(LIMIT)  # nothing here is about what becomes of jobs
        return app


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with pytest.MonkeyPatch.context() as patch:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        yield Machine(patch, tmp_path / "machines")
        session.unregister()


@pytest.fixture
def blend(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder / "shot.blend"


def save(path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(path))


def reopen(path: Path, app: App) -> mirror.Offer:
    bpy.ops.wm.open_mainfile(filepath=str(path))
    return mirror.look(app)


def prompt(app: App, prompt: str = PROMPT, **fields: Any) -> str:
    spec = app.prompt_job(prompt, {"seconds": 2.0, "seed": 7}, source={"blend": bpy.data.filepath, "scene": "Scene"}, **fields)
    return queue(app, spec)


def queue(app: App, spec: JobSpec) -> str:
    """As an operator does it."""
    app.engine.submit(spec)
    session.changed([spec.id])
    return spec.id


def inside(scene: str = "Scene") -> list[str]:
    return [job.id for job in carried.decode(bpy.data.scenes[scene].motion_queue.data).jobs]


def moved(blend: Path) -> Path:
    """The project on another machine: its folder, copied; the original is not there."""
    there = blend.parent.with_name("elsewhere")
    shutil.move(blend.parent, there)
    return there / blend.name


def test_on_the_same_machine_the_journal_is_the_truth_and_nothing_is_offered(machine: Machine, blend: Path) -> None:
    app = machine.be("here")
    save(blend)
    ids = [prompt(app), prompt(app)]
    save(blend)
    assert inside() == ids
    app.engine.cancel(ids[0])
    app.engine.clear_finished()
    assert not reopen(blend, app), "one is in the journal, and the other was cleared by a person"


@pytest.mark.parametrize("by", ["function", "operator"])
def test_on_another_machine_jobs_are_offered_and_resumed_with_their_settings(machine: Machine, blend: Path, by: str) -> None:
    app = machine.be("here")
    save(blend)
    first, second = prompt(app, priority=70), prompt(app, "a person waves")
    save(blend)
    there = machine.be("there")
    offered = reopen(moved(blend), there)
    assert [job.id for job in offered.jobs] == [first, second]

    if by == "function":
        assert mirror.resume(there).job_ids == (first, second)
    else:
        assert bpy.ops.motion_queue.resume_carried() == {"FINISHED"}

    made = there.engine.get(first)
    assert (made.payload["prompt"], made.payload["seed"], made.priority) == (PROMPT, 7, 70)
    assert made.source["blend"] == bpy.data.filepath != str(blend)
    assert not mirror.offer()
    bpy.ops.wm.save_mainfile()
    assert inside() == [first, second], "they are this machine's now"
    assert not reopen(Path(bpy.data.filepath), there)


def keep_up(app: App) -> None:
    """As the timer does, until the file carries what there is."""
    mirror._file.mirrored_at = 0.0
    mirror._ticker(app, session.follower())
    assert session.worker().wait(LIMIT)
    session.worker().deliver()


def test_a_state_that_changes_is_in_the_file_without_a_save_and_without_marking_it_as_changed(
    machine: Machine, blend: Path
) -> None:
    app = machine.be("here")
    save(blend)
    mirror.look(app)
    keep_up(app)
    assert inside() == []
    dirty = bpy.data.is_dirty
    first, second = prompt(app), prompt(app)
    keep_up(app)
    assert inside() == [first, second]
    app.engine.cancel(first)
    session.changed([first])
    keep_up(app)
    states = {job.id: str(job.state) for job in carried.decode(bpy.data.scenes["Scene"].motion_queue.data).jobs}
    assert states == {first: "cancelled", second: "queued"}
    assert bpy.data.is_dirty is dirty
    text = bpy.data.scenes["Scene"].motion_queue.data
    bpy.data.scenes["Scene"].motion_queue.data = "what an undo brought back"
    keep_up(app)
    assert bpy.data.scenes["Scene"].motion_queue.data != text, "nothing has changed: it is not looked at"
    mirror._undone()
    keep_up(app)
    assert bpy.data.scenes["Scene"].motion_queue.data == text


def test_thousands_of_jobs_have_room_for_some_and_the_others_are_counted(machine: Machine, blend: Path) -> None:
    app = machine.be("here")
    save(blend)
    spec = app.prompt_job(PROMPT, {"seconds": 2.0}, source={"blend": str(blend), "scene": "Scene"})
    app.engine.submit_many([replace(spec, id="") for _ in range(1_500)])
    jobs = app.engine.order(limit=1_500)
    session.changed(jobs)
    keep_up(app)
    keep_up(app)
    text = bpy.data.scenes["Scene"].motion_queue.data
    read = carried.decode(text)
    assert len(text) <= carried.MAX_BYTES and 0 < len(read.jobs) < 1_500
    assert [job.id for job in read.jobs] == list(jobs[: len(read.jobs)]), "the next ones"
    assert read.left_out == 1_500 - len(read.jobs)


def test_discarded_jobs_are_gone_once_the_file_is_saved(machine: Machine, blend: Path) -> None:
    app = machine.be("here")
    save(blend)
    prompt(app)
    save(blend)
    there = machine.be("there")
    place = moved(blend)
    assert reopen(place, there)
    assert bpy.ops.motion_queue.discard_carried() == {"FINISHED"}
    assert not mirror.offer() and there.engine.counts()["queued"] == 0
    bpy.ops.wm.save_mainfile()
    assert not reopen(place, there) and inside() == []


def test_what_nobody_decided_about_stays_in_the_file(machine: Machine, blend: Path) -> None:
    app = machine.be("here")
    save(blend)
    job = prompt(app)
    save(blend)
    there = machine.be("there")
    place = moved(blend)
    bpy.ops.wm.open_mainfile(filepath=str(place))
    bpy.ops.wm.save_mainfile()
    assert inside() == [job]
    assert [found.id for found in reopen(place, there).jobs] == [job]


def test_a_clip_beside_the_file_comes_along_and_a_changed_or_lost_one_is_named(
    machine: Machine, blend: Path, walk: Path, tmp_path: Path
) -> None:
    app = machine.be("here")
    save(blend)
    source = {"blend": bpy.data.filepath, "scene": "Scene"}
    clips = [blend.parent / name for name in ("kept.bvh", "changed.bvh")] + [tmp_path / "lost.bvh"]
    for clip in clips:
        shutil.copy(walk, clip)
        queue(app, app.clip_job(clip, {"steps": ["read"]}, source=source))
    save(blend)
    clips[2].unlink()
    place = moved(blend)
    with (place.parent / "changed.bvh").open("a") as file:
        file.write("\n")

    there = machine.be("there")
    reopen(place, there)
    result = mirror.resume(there)

    assert [there.engine.get(job_id).label for job_id in result.job_ids] == ["kept"]
    assert there.engine.get(result.job_ids[0]).inputs[0].path == str(place.parent / "kept.bvh")
    assert [label for label, _ in result.refused] == ["changed", "lost"]
    assert "[input_changed]" in result.refused[0][1] and "[input_missing]" in result.refused[1][1]
    assert [job.label for job in mirror.offer().jobs] == ["changed", "lost"], "they may come later"


def test_a_rig_that_stayed_behind_is_taken_from_the_file(machine: Machine, blend: Path, tmp_path: Path) -> None:
    app = machine.be("here")
    armature = mannequin.build(bpy.context.scene)
    save(blend)
    rig = tmp_path / "rig.blend"
    bpy.data.libraries.write(str(rig), {armature})
    spec = app.prompt_job(
        PROMPT,
        {"character": "file", "armature": armature.name},
        files={"character": rig},
        source={"blend": bpy.data.filepath, "scene": "Scene", "armature": armature.name},
    )
    queue(app, spec)
    save(blend)
    rig.unlink()

    there = machine.be("there")
    reopen(moved(blend), there)
    assert mirror.resume(there).job_ids == (spec.id,)
    made = there.engine.get(spec.id).inputs[0]
    assert made.name == "character" and Path(made.path).is_file()


def test_a_foreign_file_neither_writes_elsewhere_nor_runs_scripts(machine: Machine, blend: Path, tmp_path: Path) -> None:
    app = machine.be("here")
    save(blend)
    job = carried.CarriedJob(
        id="foreign",
        owner="f" * 32,
        workflow="shot",
        payload={
            "prompt": PROMPT, "output_dir": "/etc/cron.d", "trust_scripts": True, "weights": "/tmp/evil.safetensors", "seed": 3,
        },
        blend="/somewhere/shot.blend",
    )  # fmt: skip
    bpy.context.scene.motion_queue.data = carried.encode([job])
    reopen_text = bpy.context.scene.motion_queue.data
    mirror._opened()
    assert mirror.look(app).jobs == (job,) and reopen_text
    mirror.resume(app)
    made: Job = app.engine.get("foreign")
    assert made.payload["output_dir"] == str(blend.parent / "motion") and made.payload["seed"] == 3
    assert not made.payload.get("trust_scripts") and not made.payload.get("weights")


@pytest.mark.parametrize("text", ["nonsense", '{"motion_queue": 1, "jobs": [{}]}', "[" * 100_000])
def test_damaged_content_is_refused_with_a_code_and_the_queue_stays(machine: Machine, blend: Path, text: str) -> None:
    app = machine.be("here")
    save(blend)
    job = prompt(app)
    bpy.context.scene.motion_queue.data = text
    mirror._opened()
    offered = mirror.look(app)
    assert not offered and "mirror_damaged" in offered.problem
    assert app.engine.get(job).state == "queued"
    save(blend)
    assert inside() == [job], "what cannot be read is replaced by what is true"


def test_content_of_a_newer_version_is_left_as_it_is(machine: Machine, blend: Path) -> None:
    app = machine.be("here")
    newer = json.dumps({"motion_queue": 99, "jobs": "something"})
    bpy.context.scene.motion_queue.data = newer
    mirror._opened()
    assert "mirror_too_new" in mirror.look(app).problem
    save(blend)
    assert bpy.context.scene.motion_queue.data == newer


@pytest.mark.parametrize("value", [5, [1, 2], "text", {"data": 7}, {"data": [1]}, {}])
def test_a_property_of_another_kind_does_no_harm(machine: Machine, blend: Path, value: Any) -> None:
    session.unregister()
    bpy.context.scene["motion_queue"] = value
    save(blend)
    app = machine.be("here")
    assert not reopen(blend, app)
    job = prompt(app)
    save(blend)
    assert app.engine.get(job).state == "queued"


def test_undo_changes_the_copy_at_most_and_saving_makes_it_true_again(machine: Machine, blend: Path) -> None:
    app = machine.be("here")
    save(blend)
    bpy.ops.ed.undo_push(message="one")
    job = prompt(app)
    save(blend)
    bpy.ops.ed.undo_push(message="two")
    bpy.ops.ed.undo()
    assert app.engine.get(job).state == "queued"
    save(blend)
    assert inside() == [job]


def test_each_scene_carries_its_own_jobs_and_an_appended_one_brings_none(machine: Machine, blend: Path) -> None:
    app = machine.be("here")
    save(blend)
    bpy.data.scenes.new("Second")
    first = prompt(app)
    second = app.prompt_job(PROMPT, {}, source={"blend": bpy.data.filepath, "scene": "Second"})
    queue(app, second)
    save(blend)
    assert (inside("Scene"), inside("Second")) == ([first], [second.id])

    there = machine.be("there")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(blend)) as (_, wanted):
        wanted.scenes = ["Second"]
    assert not mirror.look(there), "only a file that is opened brings jobs"


def test_jobs_of_a_file_that_was_never_saved_go_with_it_when_it_is(machine: Machine, blend: Path) -> None:
    app = machine.be("here")
    job = prompt(app)
    save(blend)
    assert inside() == [job]
    reopen(blend, app)
    save(blend)
    assert inside() == [job]


def test_saving_without_a_queue_keeps_what_the_file_carries(machine: Machine, blend: Path) -> None:
    app = machine.be("here")
    save(blend)
    job = prompt(app)
    save(blend)
    session.stop()
    save(blend)
    assert inside() == [job]
