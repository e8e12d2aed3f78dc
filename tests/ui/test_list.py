# SPDX-License-Identifier: GPL-3.0-or-later
"""The list in Blender's own properties: as many lines as jobs are shown, the selection on its job wherever that goes, nothing
written while something is drawn; and everything that is drawn is something Blender knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from motion_queue.panels import checks, details, facts, job_list, shot, snapshot, words  # noqa: E402
from motion_queue.panels.snapshot import Phase, Recovery, Snapshot  # noqa: E402
from motion_queue.panels.view import Group, Row  # noqa: E402
from motion_queue.queue import JobSpec  # noqa: E402
from motion_queue.queue.contract import JobState  # noqa: E402

from .conftest import Interface  # noqa: E402


class Layout:
    """A layout that writes down what is drawn, and refuses what Blender would refuse."""

    def __init__(self, drawn: list[str] | None = None) -> None:
        self.drawn: list[str] = [] if drawn is None else drawn
        self.icons: set[str] = set()
        self.alert = self.enabled = self.active = True

    def _child(self, **_: Any) -> Layout:
        child = Layout(self.drawn)
        child.icons = self.icons
        return child

    row = column = box = split = _child

    def label(self, *, text: str = "", icon: str = "NONE", icon_value: int = 0, translate: bool = True) -> None:
        self._icon(icon, icon_value)
        assert text == words.clean(text)
        self.drawn.append(text)

    def context_pointer_set(self, name: str, data: Any) -> None:
        assert data.bl_rna

    def separator(self, **_: Any) -> None:
        self.drawn.append("")

    def prop(self, data: Any, name: str, *, icon: str = "NONE", **_: Any) -> None:
        self._icon(icon)
        assert name in data.bl_rna.properties or hasattr(data, name), name
        self.drawn.append(f"[{name}]")

    def prop_search(self, data: Any, name: str, others: Any, collection: str) -> None:
        assert hasattr(data, name) and hasattr(others, collection)
        self.drawn.append(f"[{name}]")

    def operator(
        self, name: str, *, text: str | None = None, icon: str = "NONE", icon_value: int = 0, emboss: bool = True
    ) -> Any:
        self._icon(icon, icon_value)
        operator = getattr(bpy.ops.motion_queue, name.partition(".")[2])
        rna = operator.get_rna_type()
        self.drawn.append(f"<{name.partition('.')[2]}>{text or ''}")

        class Given:
            def __setattr__(self, key: str, value: Any) -> None:
                assert key in rna.properties, f"{name} has no {key}"

        return Given()

    def menu(self, name: str, **options: Any) -> None:
        assert hasattr(bpy.types, name)

    def progress(self, *, factor: float, text: str) -> None:
        assert 0.0 <= factor <= 1.0
        self.drawn.append(text)

    def template_list(self, kind: str, _id: str, data: Any, lines: str, active_data: Any, active: str, **_: Any) -> None:
        assert hasattr(bpy.types, kind) and hasattr(data, lines) and hasattr(active_data, active)
        ui_list: Any = Lines()
        for index, item in enumerate(getattr(data, lines)[:20]):
            job_list.MOTION_QUEUE_UL_jobs.draw_item(ui_list, None, self, data, item, 0, active_data, active, index)

    def _icon(self, icon: str, value: int = 0) -> None:
        known = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
        assert icon in known, icon
        self.icons.add(next(each.identifier for each in known if each.value == value) if value else icon)


class Lines:
    """The list that draws."""


def many(ui: Interface, count: int, batch: str = "") -> None:
    """Waiting jobs, without the interface's help: as another add-on would queue them."""
    specs = [JobSpec(workflow="shot", payload={"prompt": "jumps"}, label=f"Shot {i:05d}", batch_id=batch) for i in range(count)]
    for at in range(0, count, 1000):
        ui.engine.submit_many(specs[at : at + 1000])


def drawn(function: Any, *arguments: Any) -> list[str]:
    layout = Layout()
    function(layout, *arguments)
    return layout.drawn


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_thousands_of_jobs_have_a_line_each_and_all_can_be_reached(held: Interface, count: int) -> None:
    many(held, count - 3)
    held.until(lambda: len(held.shown.lines) == count - 3)
    many(held, 3, "b#1")
    held.until(lambda: len(held.shown.lines) == count)
    assert held.now.counts.waiting == count
    held.shown.line = count // 2
    assert held.now.details.label == f"Shot {count // 2:05d}" and held.shown.line == count // 2
    selected = held.now.selected
    held.run("move", job_id=selected, to="TOP")
    held.until(lambda: held.shown.line == 0)
    assert held.now.selected == selected
    held.shown.text = f"{count // 2:05d}"
    held.until(lambda: len(held.shown.lines) == 1)
    held.shown.text = ""
    held.shown.order = "NAME"
    held.shown.reverse = True
    assert len(held.shown.lines) == count and held.now.jobs.entry(0).label == f"Shot {count - 4:05d}"
    held.shown.states = "RUNNING"
    assert len(held.shown.lines) == 0 and held.shown.line == -1
    held.shown.states = "ALL"
    held.shown.grouped = True
    assert len(held.shown.lines) == count + 2
    held.shown.line = 0  # a header: folds
    assert len(held.shown.lines) == 5
    assert held.shown.marks[0].line == held.shown.line, "what is marked is the selected job, wherever that is"
    held.run("fold", batch_id="")
    assert len(held.shown.lines) == count + 2
    assert held.run("cancel_all") == {"FINISHED"}
    held.until(lambda: held.now.counts.waiting == 0, "the end of all")


def test_a_line_that_is_clicked_is_selected_and_the_mark_stays_on_its_job(held: Interface) -> None:
    many(held, 5)
    held.until(lambda: len(held.shown.lines) == 5)
    assert held.shown.marks[0].line == -1
    held.shown.marks[0].line = 3  # as the list does it
    job_id = held.now.selected
    assert held.now.details.label == "Shot 00003"
    held.run("move", job_id=job_id, to="UP")
    held.until(lambda: held.shown.marks[0].line == 2, "the mark goes with the job")
    assert held.now.selected == job_id
    held.shown.grouped = True
    assert held.shown.marks[0].line == 3, "below a header"
    held.shown.marks[0].line = 0  # that header: folds
    assert held.now.selected == job_id and held.shown.marks[0].line == -1
    assert isinstance(held.now.jobs.entry(0), Group) and held.now.jobs.entry(0).folded
    held.shown.marks[0].line = 0
    assert held.shown.marks[0].line == 3


def test_another_file_brings_the_list_back(held: Interface) -> None:
    many(held, 5)
    held.until(lambda: len(held.shown.lines) == 5)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert len(held.shown.lines) == 5, "the queue is no part of the file"
    assert held.now.counts.waiting == 5


def test_undo_does_not_touch_the_queue(held: Interface) -> None:
    bpy.ops.ed.undo_push(message="before")
    many(held, 2)
    held.until(lambda: held.now.counts.waiting == 2)
    bpy.ops.ed.undo_push(message="after")
    bpy.ops.ed.undo()
    held.until(lambda: held.now.counts.waiting == 2 and len(held.shown.lines) == 2)


def test_a_new_shot_that_nobody_touched_is_met_by_a_hint_and_the_button_says_the_rest(held: Interface) -> None:
    draft = facts.draft(bpy.context, with_text=False)
    layout = Layout()
    shot.draw_shot(layout, held.now, held.shot, draft)
    assert "ERROR" not in layout.icons and "Say what the character does." in " ".join(layout.drawn)
    assert "No armature is selected" not in " ".join(layout.drawn), "one thing after the other"

    class Button:
        motion_queue_new_shot = held.shot

    assert "No armature is selected" in shot.reasons(Button()) and shot.reasons(bpy.context) == ""
    assert bpy.ops.motion_queue.submit.poll(), "a script gives its own values"
    held.shot.prompt, held.shot.character, held.shot.deliver = "jumps", "BUILTIN", False
    shot.draw_shot(layout, held.now, held.shot, facts.draft(bpy.context, with_text=False))
    assert shot.reasons(Button()) == ""
    held.shot.prompt = "xyzzy"
    shot.draw_shot(layout, held.now, held.shot, facts.draft(bpy.context, with_text=False))
    assert "ERROR" in layout.icons, "what is wrong is said as such"


@pytest.fixture
def drawing(held: Interface) -> Iterator[Interface]:
    """Nothing may be changed while it is drawn."""
    yield held


def test_each_state_of_a_job_is_drawn(drawing: Interface) -> None:
    for row in (Row("a", "Walk", state=state, progress=0.42, eta=240.0, stage="Render") for state in JobState):
        text = drawn(lambda layout, row=row: job_list.draw_row(layout, row, saving=False))
        assert text[0] == "Walk" and len(text) >= 2
        selected = drawn(lambda layout, row=row: job_list.draw_row(layout, row, saving=False, selected=True))
        wanted = {
            JobState.PAUSED: ["<resume>"],
            JobState.FAILED: ["<retry>"],
            JobState.CANCELLED: ["<retry>"],
            JobState.STOPPING: [],
            JobState.COMPLETED: [],
        }
        assert selected == text + wanted.get(row.state, ["<cancel>"]), "the selected one has its button"
    running = Row("a", "Walk", state=JobState.RUNNING, progress=0.42, eta=240.0, stage="Render", eta_is_guess=False)
    assert "42 % · 4 min · Render" in drawn(lambda layout: job_list.draw_row(layout, running, saving=False))
    assert "Saving" in drawn(lambda layout: job_list.draw_row(layout, Row("a", "Walk"), saving=True))
    failed = Row("a", "Walk", state=JobState.FAILED, error_code="no_camera")
    assert "No camera" in drawn(lambda layout: job_list.draw_row(layout, failed, saving=False))


def test_the_queue_and_a_job_are_drawn(drawing: Interface) -> None:
    job_id = drawing.submit(prompt="a person walks and juggles", character="BUILTIN", deliver=False, takes=1)
    interface = bpy.context.window_manager.motion_queue
    text = drawn(job_list.draw_queue, drawing.now, interface)
    assert "1 waiting · paused" in text and "a person walks and juggles" in text and "The queue is paused." in text
    assert "<resume_queue>" in text and "<clear_finished>" in text
    drawing.session.select(job_id)
    # Until it is on disk the job is being saved.
    found = drawing.until(lambda: shown if (shown := drawing.now.details) and not shown.waits_for_disk else None)
    text = drawn(details.draw_details, found)
    assert any("Waiting · 1. in line" in each for each in text) and any("juggles" in each for each in text)
    assert drawn(details.draw_steps, found)[0] == "Generate"
    assert "<cancel>" in drawn(job_list.draw_job_menu, drawing.now)
    drawing.run("cancel", job_id=job_id)
    assert "<retry>" in drawn(job_list.draw_job_menu, drawing.now)


def test_the_results_of_a_job_are_drawn_with_their_buttons(ui: Interface) -> None:
    job_id = ui.submit(prompt="jumps", character="BUILTIN", deliver=False, seconds=1)
    ui.over(job_id)
    found = ui.until(lambda: ui.now.details if ui.now.details.over else None)
    text = drawn(details.draw_results, found)
    assert "<apply>" in text and "<open_folder>" in text and any(each.startswith("motion.bvh") for each in text)
    assert drawn(details.draw_details, found)
    assert job_list.MOTION_QUEUE_PT_notices.poll(bpy.context) and drawn(job_list.draw_notices, ui.now)


def test_what_is_not_ready_and_what_was_recovered_are_drawn(drawing: Interface) -> None:
    interface = bpy.context.window_manager.motion_queue
    for phase, said in (
        (Phase.STARTING, "The queue is starting …"),
        (Phase.FAILED, "No room"),
        (Phase.OFF, "The queue is not open in this Blender"),
    ):
        assert said in drawn(job_list.draw_queue, Snapshot(phase=phase, problem="No room"), interface)
    for asks in (True, False):
        now = replace(drawing.now, recovery=Recovery(3, 1, ("One line was mended.",), asks))
        text = drawn(job_list.draw_recovery, now)
        assert any("3 jobs of the last session" in each for each in text) and "One line was mended." in text
        assert ("<recovered>Resume" in text) is asks


def test_a_new_shot_is_drawn_with_what_is_wrong_with_it(drawing: Interface) -> None:
    drawing.shot.prompt = "xyzzy"
    draft = facts.draft(bpy.context)
    text = drawn(shot.draw_shot, drawing.now, drawing.shot, draft)
    whole = " ".join(text)
    assert "is a motion that is known" in whole and "No armature is selected" in whole and "<submit>Queue Shot" in text
    for source in checks.Source:
        for character in checks.Character:
            drawing.shot.source, drawing.shot.character = source, character
            assert drawn(shot.draw_shot, drawing.now, drawing.shot, facts.draft(bpy.context, with_text=False))


def test_the_disk_is_asked_while_a_shot_is_filled_in(held: Interface, tmp_path: Any) -> None:
    held.shot.source, held.shot.character, held.shot.output = "FOLDER", "BUILTIN", str(tmp_path / "{shot}_v{version}")
    held.shot.folder = str(tmp_path / "clips")
    held.until(lambda: held.now.draft_check and held.now.draft_check.problems)
    assert "There is no folder" in held.now.draft_check.problems[0].message
    (tmp_path / "clips").mkdir()
    for name in ("a.bvh", "b.bvh"):
        (tmp_path / "clips" / name).touch()
    held.until(lambda: held.now.draft_check and held.now.draft_check.clips == 2)
    text = drawn(shot.draw_shot, held.now, held.shot, facts.draft(bpy.context))
    assert "2 shots" in text and "<submit>Queue 2 Shots" in text


def test_the_panels_are_in_one_tab_and_draw_nothing_before_there_is_something(drawing: Interface) -> None:
    assert snapshot.current().details is None
    lately = job_list.MOTION_QUEUE_PT_notices
    panels = [job_list.MOTION_QUEUE_PT_queue, lately, shot.MOTION_QUEUE_PT_shot, details.MOTION_QUEUE_PT_details]
    assert {panel.bl_category for panel in panels} == {"Motion Queue"}
    assert not lately.poll(bpy.context)
    assert not details.MOTION_QUEUE_PT_details.poll(bpy.context) and not details.MOTION_QUEUE_PT_results.poll(bpy.context)
