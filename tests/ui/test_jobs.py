# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person can do to jobs, by the operators that the panel and F3 offer: each does it at once, says why it cannot, and never
loses a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from .conftest import Interface  # noqa: E402


def shot(ui: Interface, prompt: str = "jumps", **more: Any) -> str:
    return ui.submit(prompt=prompt, character="BUILTIN", deliver=False, **more)


def order(ui: Interface) -> list[str]:
    return [row.label for row in ui.entries() if not row.over]


def state(ui: Interface, job_id: str) -> str:
    return str(ui.now.jobs.get(job_id).state)


def test_nothing_can_be_done_without_a_job_and_the_poll_says_so(held: Interface) -> None:
    ops = bpy.ops.motion_queue
    for name in (
        "cancel",
        "cancel_all",
        "pause",
        "resume",
        "move",
        "retry",
        "retry_edited",
        "clear_finished",
        "show_log",
        "copy_error",
    ):
        assert not getattr(ops, name).poll(), name
    assert ops.submit.poll() and ops.resume_queue.poll() and not ops.pause_queue.poll()
    with pytest.raises(RuntimeError, match="Nothing runs or waits"):
        ops.cancel()


def test_a_waiting_job_is_cancelled_cleared_and_retried(held: Interface) -> None:
    first, second = shot(held, "jumps"), shot(held, "waves")
    assert held.run("cancel", job_id=first) == {"FINISHED"}
    assert state(held, first) == "cancelled", "the row says so at once"
    with pytest.raises(RuntimeError, match="over already"):
        held.run("cancel", job_id=first)
    assert held.run("retry", job_id=first) == {"FINISHED"}
    again = held.now.selected
    assert held.engine.get(again).retry_of == first and held.now.jobs.get(again).label == "jumps"
    with pytest.raises(RuntimeError, match="only a job that is over"):
        held.run("retry", job_id=second)
    held.until(lambda: held.engine.last_event >= held.engine.get(first).revision)
    assert held.run("clear_finished", states={"FAILED"}) == {"FINISHED"}
    assert held.now.jobs.get(first) is not None
    assert held.run("clear_finished") == {"FINISHED"}
    held.until(lambda: held.now.jobs.get(first) is None)
    held.until(lambda: held.now.counts.total == 2)
    assert held.run("cancel_all") == {"FINISHED"}
    held.until(lambda: held.now.counts.cancelled == 2)


def test_waiting_jobs_are_moved(held: Interface) -> None:
    ids = {name: shot(held, name) for name in ("jumps", "waves", "kicks")}
    assert order(held) == ["jumps", "waves", "kicks"]
    for job, to, expected in (
        ("kicks", "TOP", ["kicks", "jumps", "waves"]),
        ("kicks", "DOWN", ["jumps", "kicks", "waves"]),
        ("waves", "UP", ["jumps", "waves", "kicks"]),
        ("jumps", "BOTTOM", ["waves", "kicks", "jumps"]),
    ):
        assert held.run("move", job_id=ids[job], to=to) == {"FINISHED"}
        held.until(lambda expected=expected: order(held) == expected, f"{job} {to}")
    assert held.run("set_priority", job_id=ids["jumps"], priority=90) == {"FINISHED"}
    assert order(held)[0] == "jumps" and held.now.jobs.get(ids["jumps"]).priority == 90


def test_jobs_and_the_queue_are_paused_and_go_on(held: Interface) -> None:
    job_id = shot(held)
    assert held.now.paused and held.now.status == "1 waiting · paused"
    assert held.run("pause", job_id=job_id) == {"FINISHED"} and state(held, job_id) == "paused"
    assert held.run("resume", job_id=job_id) == {"FINISHED"} and state(held, job_id) == "queued"
    with pytest.raises(RuntimeError, match="cannot resume"):
        held.run("resume", job_id=job_id)
    assert held.run("resume_queue") == {"FINISHED"} and not held.now.paused
    held.until(lambda: state(held, job_id) in ("running", "completed"))
    held.run("cancel_all")
    held.over(job_id)


def test_a_running_job_is_cancelled_and_its_row_goes_through_stopping(ui: Interface) -> None:
    job_id = shot(ui, "a person walks forward", seconds=8)
    ui.until(lambda: state(ui, job_id) == "running")
    assert ui.run("cancel", job_id=job_id) == {"FINISHED"}
    assert state(ui, job_id) in ("stopping", "cancelled")
    assert ui.over(job_id).state in ("cancelled", "completed")


def test_cancel_asks_only_for_several_jobs_or_much_work(held: Interface) -> None:
    from motion_queue.operators.jobs import MOTION_QUEUE_OT_cancel  # noqa: PLC0415 (needs registered properties)

    shot(held, takes=2)
    held.until(lambda: held.now.counts.waiting == 2)
    row = next(iter(held.now.jobs.rows()))

    class Given:
        job_id, batch_id = row.id, ""
        chosen = MOTION_QUEUE_OT_cancel.chosen

    assert MOTION_QUEUE_OT_cancel._question(Given()) == ""
    Given.batch_id = row.batch_id
    assert MOTION_QUEUE_OT_cancel._question(Given()) == "2 jobs of jumps will be cancelled."
    assert held.run("cancel", batch_id=row.batch_id) == {"FINISHED"}
    held.until(lambda: held.now.counts.cancelled == 2)


def test_a_prompt_is_edited_and_tried_again(held: Interface) -> None:
    old = shot(held, "jumps", seed=4)
    held.run("cancel", job_id=old)
    assert held.run("retry_edited", job_id=old, prompt="waves", own_length=True, seconds=2.0, name="Hello", render=True) == {
        "FINISHED"
    }
    job = held.engine.get(held.now.selected)
    assert job.retry_of == old and job.label == "Hello"
    assert (job.payload["prompt"], job.payload["seconds"], job.payload["seed"]) == ("waves", 2.0, 4)
    assert job.payload["clip_frames"] == 60 and "render" in job.payload["steps"]
    with pytest.raises(RuntimeError, match="motion"):
        held.run("cancel", job_id=job.id) and held.run("retry_edited", job_id=job.id, prompt="xyzzy")


def test_a_clip_is_edited_and_tried_again(held: Interface, checkout: Path) -> None:
    old = held.submit(clip=str(checkout / "examples" / "walk.bvh"), character="BUILTIN", deliver=False)
    held.run("cancel", job_id=old)
    assert held.run("retry_edited", job_id=old, first=3, last=9, width=321, height=200) == {"FINISHED"}
    payload = held.engine.get(held.now.selected).payload
    assert (payload["frame_start"], payload["frame_end"], payload["resolution"]) == (3, 9, [320, 200])


def test_a_failed_job_says_what_and_its_error_and_log_are_at_hand(ui: Interface, tmp_path: Path) -> None:
    clip = tmp_path / "broken.bvh"
    clip.write_text("HIERARCHY\nROOT nothing\n")
    job_id = ui.submit(clip=str(clip), character="BUILTIN", deliver=False)
    row = ui.over(job_id)
    assert row.state == "failed" and row.error_code.startswith("bvh")
    details = ui.until(lambda: ui.now.details if ui.now.details and ui.now.details.over else None)
    assert details.error.code == row.error_code and details.error.message
    notice = ui.until(lambda: ui.now.notices)[0]
    assert notice.severity == "ERROR" and row.error_code in notice.text and notice.job_id == job_id

    assert ui.run("copy_error", job_id=job_id) == {"FINISHED"}
    # The module has no clipboard of its own to read back: what is copied is asked of the same function.
    from motion_queue.operators import files  # noqa: PLC0415

    text = files.error_text(ui.engine.get(job_id), log=Path(details.log))
    assert row.error_code in text and details.log in text

    ui.session.app().flush(60)
    assert ui.run("show_log", job_id=job_id) == {"FINISHED"}
    shown = next(each for each in bpy.data.texts if each.name.startswith("Log "))
    assert row.error_code in shown.as_string()


def test_a_log_that_is_shown_grows(held: Interface) -> None:
    job_id = shot(held)
    held.run("show_log", job_id=job_id)
    shown = next(each for each in bpy.data.texts if each.name.startswith("Log "))
    held.session.app().job_logs.write(job_id, "info", "the first line")
    held.until(lambda: "the first line" in shown.as_string())
    held.session.app().job_logs.write(job_id, "info", "another line")
    held.until(lambda: "another line" in shown.as_string())
    assert shown.as_string().count("the first line") == 1


def test_files_are_deleted_only_by_the_operator_for_it_and_only_the_jobs_own(ui: Interface, tmp_path: Path) -> None:
    job_id = ui.submit(prompt="jumps", character="BUILTIN", seconds=1, output=str(tmp_path / "{shot}"))
    ui.over(job_id)
    ui.session.app().flush(60)
    folder = tmp_path / "jumps"
    assert (folder / "motion.bvh").is_file()
    (folder / "mine.txt").write_text("a person's own")
    job = ui.engine.get(job_id)
    stored = [ui.session.app().store.path(artefact.key) for artefact in job.artefacts]
    assert all(path.is_file() for path in stored)
    assert ui.run("delete_files", job_id=job_id) == {"FINISHED"}
    ui.until(lambda: not any(path.exists() for path in stored))
    ui.until(lambda: [path.name for path in folder.iterdir()] == ["mine.txt"])


def test_a_job_that_was_cleared_meanwhile_is_named_in_the_error(held: Interface) -> None:
    shot(held)
    with pytest.raises(RuntimeError, match="There is no job"):
        held.run("cancel", job_id="gone")


def test_every_operator_has_a_description_and_none_is_an_undo_step_but_the_import() -> None:
    from motion_queue.operators import registration, session  # noqa: PLC0415

    session.show()
    try:
        each: Any
        for each in registration.classes():
            if issubclass(each, bpy.types.Operator):
                rna = getattr(bpy.ops.motion_queue, each.bl_idname.partition(".")[2]).get_rna_type()
                assert rna.description, each
                assert ("UNDO" in each.bl_options) is (each.bl_idname == "motion_queue.import_file"), each
                assert not rna.description.endswith("."), f"{each}: Blender adds the full stop"
    finally:
        session.unregister()
