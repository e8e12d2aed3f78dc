# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders that cannot be written to and disks that are full: what cannot be kept fails with a code, what can be goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fault.mounts import Mount

from motion_queue.app import App
from motion_queue.operators.submission import pack
from motion_queue.queue import JobSpec, StoreError
from motion_queue.queue.errors import MotionQueueError

from .conftest import OpenApp
from .support import LIMIT, SMALL, error_of, fill, rendered, run_all, says_what_to_do, wait_for

PATIENT = {"retry_base": 0.05}  # seconds before an automatic retry


def test_an_output_folder_that_cannot_be_written_fails_its_jobs_and_what_was_made_stays_in_the_store(
    open_app: OpenApp, mount: Mount, walk: Path, tmp_path: Path
) -> None:
    app = open_app()
    in_the_way = tmp_path / "a file"
    in_the_way.write_text("mine")
    read_only = mount(tmp_path / "read-only")
    good = tmp_path / "good"
    places = {"a file": in_the_way, "below a file": in_the_way / "out", "read-only": read_only / "out", "good": good}
    jobs = run_all(app, {name: app.clip_job(walk, {**SMALL, "output_dir": str(path)}) for name, path in places.items()})

    for name in ("a file", "below a file", "read-only"):
        assert jobs[name].state == "failed"
        assert error_of(jobs[name]).code == "output_not_writable"
        assert error_of(jobs[name]).details.keys() == {"output_dir"}
        assert says_what_to_do(error_of(jobs[name]).message)
        # What was made is not lost: it stays in the store.
        assert app.store.path(next(a.key for a in jobs[name].artefacts if a.name == "video.mp4")).stat().st_size > 0
    assert in_the_way.read_text() == "mine"
    assert jobs["good"].state == "completed"
    assert app.flush(LIMIT)
    assert (good / "walk" / "video.mp4").stat().st_size > 0


def test_a_full_output_disk_fails_the_delivery_and_leaves_no_half_file(
    open_app: OpenApp, mount: Mount, walk: Path, tmp_path: Path
) -> None:
    app = open_app()
    app.engine.set_limits(**PATIENT)
    small = mount(tmp_path / "small", megabytes=0.2)
    jobs = run_all(
        app,
        {
            "full": app.clip_job(walk, {**SMALL, "output_dir": str(small)}),
            "good": app.clip_job(walk, {**SMALL, "output_dir": str(tmp_path / "good")}),
        },
    )
    assert app.flush(LIMIT)

    assert jobs["full"].state == "failed"
    assert error_of(jobs["full"]).code == "disk_full"
    assert says_what_to_do(error_of(jobs["full"]).message)
    assert next(s for s in jobs["full"].steps if s.name == "deliver").attempt == 3
    assert not (small / "walk" / "character.fbx").exists()
    assert not list(small.rglob(".*.tmp"))
    record = json.loads((small / "walk" / "job.json").read_text(encoding="utf-8"))
    assert record["error"]["code"] == "disk_full"
    assert jobs["good"].state == "completed"


def test_a_disk_that_fills_up_during_a_render_ends_it_with_disk_full_and_keeps_what_was_rendered(
    open_app: OpenApp, mount: Mount, walk: Path, tmp_path: Path
) -> None:
    app = open_app()
    app.engine.set_limits(retry_base=1.0)
    work = mount(tmp_path / "state" / "artefacts" / "work", megabytes=16)
    spec = app.clip_job(walk, {"resolution": [256, 144], "frame_end": 20, "output_dir": str(tmp_path / "out")})
    app.engine.submit(spec)
    wait_for(app, spec.id, lambda job: rendered(job) >= 3)
    filler = fill(work)

    job = wait_for(app, spec.id, lambda job: any(s.error for s in job.steps))
    step = next(s for s in job.steps if s.name == "render")
    assert step.error is not None
    assert step.error.code == "disk_full"
    assert step.error.retryable
    assert says_what_to_do(step.error.message)
    filler.unlink()  # before the next automatic attempt, or the one after it
    job = app.engine.wait(spec.id, LIMIT)
    assert job.state == "completed", job.error
    assert not job.degraded
    assert job.result["render"]["frames_resumed"] >= 3
    assert job.result["render"]["frames"] == 20


def test_a_character_that_does_not_fit_on_the_disk_is_tried_again_and_then_left_out(
    open_app: OpenApp, mount: Mount, walk: Path, tmp_path: Path
) -> None:
    app = open_app()
    app.engine.set_limits(**PATIENT)
    mount(tmp_path / "state" / "artefacts" / "work", megabytes=1)
    job = run_all(app, {"": app.clip_job(walk, {**SMALL, "output_dir": str(tmp_path / "out")})})[""]
    assert error_of(job).code == "disk_full"
    assert says_what_to_do(error_of(job).message)
    assert job.degraded.startswith("retarget: ")
    assert job.degraded.endswith("[disk_full]; render: not run")
    assert (tmp_path / "out" / "walk" / "motion.bvh").stat().st_size > 0


@pytest.mark.parametrize("kilobytes", [4, 16])
def test_a_video_that_does_not_fit_is_not_taken_for_one(
    in_blender: Callable[[str], str], mount: Mount, tmp_path: Path, kilobytes: int
) -> None:
    target = mount(tmp_path / "small", megabytes=kilobytes / 1024) / "video.mp4"
    said = in_blender(f"""
from pathlib import Path
from motion_queue.backends.render import video
from motion_queue.queue.errors import MotionQueueError
frames = []
for number in range(40):
    image = bpy.data.images.new("noise", 256, 128)
    image.pixels = [((i * 7919 + number * 104729) % 251) / 251 for i in range(256 * 128 * 4)]
    image.filepath_raw, image.file_format = {str(tmp_path)!r} + f"/{{number:04d}}.png", "PNG"
    image.save()
    frames.append(Path(image.filepath_raw))
try:
    video.encode(frames, Path({str(target)!r}), 30.0, (256, 128), lambda frame: None)
except MotionQueueError as error:
    print(error.code)
else:
    print("taken")
""")
    assert said.splitlines()[-1] == "disk_full"


def test_while_the_journal_cannot_be_written_nothing_new_is_taken_and_nothing_is_lost(
    open_app: OpenApp, mount: Mount, walk: Path, tmp_path: Path
) -> None:
    journal = mount(tmp_path / "state" / "journal", megabytes=2)
    app = open_app()
    first = app.clip_job(walk, {**SMALL, "frame_end": 30, "output_dir": str(tmp_path / "out")})
    app.engine.submit(first).wait_durable(LIMIT)
    wait_for(app, first.id, lambda job: rendered(job) >= 1)
    filler = fill(journal)
    with pytest.raises(StoreError) as caught:
        for _ in range(1000):  # until a write has failed
            app.engine.submit(app.clip_job(walk, {**SMALL, "output_dir": str(tmp_path / "out")})).wait_durable(LIMIT)
    assert caught.value.code == "disk_full"
    assert says_what_to_do(caught.value.message)

    filler.unlink()
    job = app.engine.wait(first.id, LIMIT)
    assert job.state == "completed", job.error
    last = app.clip_job(walk, {**SMALL, "output_dir": str(tmp_path / "out")})
    _submit_once_it_can_be(app, last)
    assert app.engine.wait(last.id, LIMIT).state == "completed"
    app.close()
    again = open_app()
    assert {again.engine.get(spec.id).state for spec in (first, last)} == {"completed"}


def _submit_once_it_can_be(app: App, spec: JobSpec) -> None:
    """The journal tries again by itself, and takes jobs as soon as it can."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            app.engine.submit(spec).wait_durable(LIMIT)
        except StoreError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


def test_a_rig_of_the_window_that_fits_the_disk_once_only_stays_as_it_was(mount: Mount, tmp_path: Path) -> None:
    folder = mount(tmp_path / "full", megabytes=0.3)
    rig = folder / "rig-1.blend"
    content = os.urandom(200_000)  # does not become smaller
    rig.write_bytes(content)
    with pytest.raises(MotionQueueError) as caught:
        pack(rig)
    assert caught.value.code == "output_not_writable" and "Free some space" in caught.value.message
    assert [path.name for path in folder.iterdir()] == ["rig-1.blend"] and rig.read_bytes() == content
