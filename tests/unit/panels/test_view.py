# SPDX-License-Identifier: GPL-3.0-or-later
"""The list follows the engine's events, and what it shows is what a fresh look at all jobs would show."""

from __future__ import annotations

import random

import pytest

from motion_queue.panels.view import Filter, Group, JobList, Order, Row, batch_title, new_batch_id
from motion_queue.queue.channel import Event
from motion_queue.queue.contract import JobState, Record
from motion_queue.queue.model import Progress
from motion_queue.queue.states import TERMINAL

ENDS = {JobState.COMPLETED: "job_completed", JobState.FAILED: "job_failed", JobState.CANCELLED: "job_cancelled"}
FILTERS = [
    Filter(),
    Filter(order=Order.NEWEST),
    Filter(order=Order.NAME, reverse=True),
    Filter(order=Order.STATE),
    Filter(text="walk b1"),
    Filter(states=frozenset({JobState.FAILED, JobState.QUEUED})),
    Filter(grouped=True),
    Filter(grouped=True, folded=frozenset({"b1#x", ""}), text="run"),
]


class Story:
    """What an engine tells of jobs that come, run, are moved, end and are cleared; by the same rules, at random."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seq = 0
        self.open: dict[str, JobState] = {}
        self.over: list[str] = []
        self.arrived = 0

    def record(self, name: str, job: str = "", **fields: object) -> Event:
        self.seq += 1
        return Event(record=Record(self.seq, 1000.0 + self.seq, name, job, fields))

    def submitted(self) -> Event:
        self.arrived += 1
        job = f"job{self.arrived:05d}"
        self.open[job] = JobState.QUEUED
        label = f"{self.random.choice(('walk', 'run', 'Jump'))} {self.random.randrange(100)}"
        return self.record(
            "job_submitted",
            job,
            label=label,
            batch_id=self.random.choice(("", "b1#x", "b2#y")),
            priority=self.random.choice((10, 50, 90)),
            position=float(self.arrived),
            created_at=1000.0 + self.arrived // 7,
        )

    def next(self) -> Event:
        what = self.random.random()
        if what < 0.35 or not self.open:
            return self.submitted()
        job = self.random.choice(list(self.open))
        if what < 0.45:
            self.open[job] = JobState.RUNNING
            return self.record("step_started", job, state=JobState.RUNNING)
        if what < 0.5:
            return Event(progress=Progress(job, self.random.random(), "Working", 3.0, False, {}))
        if what < 0.6:
            return self.record("job_moved", job, priority=self.random.choice((10, 50)), position=self.random.uniform(-5, 50))
        if what < 0.85:
            state = self.random.choice(list(ENDS))
            del self.open[job]
            self.over.append(job)
            error = {"error": {"code": "timeout", "message": "late"}} if state is JobState.FAILED else {}
            return self.record(ENDS[state], job, state=state, completed_at=2000.0 + self.seq, **error)
        if what < 0.9 and self.over:
            gone, self.over = self.over[:2], self.over[2:]
            return self.record("jobs_removed", ids=gone)
        self.open[job] = JobState.PAUSED
        return self.record("job_paused", job, state=JobState.PAUSED)


def lines(jobs: JobList) -> list[Row | Group | None]:
    return [jobs.entry(i) for i in range(len(jobs))]


def afresh(jobs: JobList) -> list[Row | Group | None]:
    """The same rows and filter in a list that has seen no change."""
    other = JobList()
    other.install(jobs.rows())
    other.show(jobs.filter)
    return lines(other)


def _batch(entry: Row | Group | None) -> str:
    assert entry is not None
    return entry.batch_id


@pytest.mark.parametrize("wanted", FILTERS, ids=lambda f: f"{f.order}-{f.text}-{len(f.states)}-{f.grouped}")
@pytest.mark.parametrize("seed", range(5))
def test_after_any_changes_the_list_shows_what_a_fresh_look_would(wanted: Filter, seed: int) -> None:
    story, jobs = Story(seed), JobList()
    jobs.show(wanted)
    for _ in range(300):
        before = jobs.revision
        event = story.next()
        jobs.apply(event)
        if event.record is not None:
            assert jobs.revision > before
    found = lines(jobs)
    assert found and None not in found
    if wanted.grouped:
        # Where a batch stands is settled by its first job, which may have been cleared since; what it holds is not.
        header = ""
        for entry in found:
            if isinstance(entry, Group):
                header = entry.batch_id
            assert entry is not None and entry.batch_id == header
        found.sort(key=_batch)
        assert found == sorted(afresh(jobs), key=_batch)
        found = lines(jobs)
    else:
        assert found == afresh(jobs)
    assert sorted(map(repr, found)) == sorted(map(repr, afresh(jobs)))
    assert jobs.entry(len(found)) is None and jobs.entry(-1) is None
    for at, entry in enumerate(found):
        if isinstance(entry, Row):
            assert jobs.index_of(entry.id) == at
    counts = jobs.counts
    assert counts.total == len(list(jobs.rows()))
    assert counts.unfinished == len(story.open) and counts.finished == len(story.over)


def test_the_queue_order_is_running_then_waiting_by_priority_then_the_newest_end() -> None:
    jobs = JobList()
    jobs.install(
        [
            Row("a", "a", priority=50, position=1.0),
            Row("b", "b", priority=90, position=2.0),
            Row("c", "c", state=JobState.RUNNING, priority=10, position=3.0),
            Row("d", "d", state=JobState.COMPLETED, completed_at=5.0),
            Row("e", "e", state=JobState.FAILED, completed_at=9.0),
            Row("f", "f", state=JobState.PAUSED, position=0.5),
        ]
    )
    assert [entry.id for entry in lines(jobs) if isinstance(entry, Row)] == ["c", "b", "f", "a", "e", "d"]


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_thousands_of_rows_are_filtered_sorted_and_paged(count: int) -> None:
    jobs = JobList()
    states = list(JobState)
    jobs.install(
        [
            Row(
                f"{i:08d}",
                f"Shot {i % 97} of {i}",
                state=states[i % len(states)],
                position=float(i),
                batch_id=f"b{i % 3}#1",
                created_at=float(i),
            )
            for i in range(count)
        ]
    )
    assert len(jobs) == count
    jobs.show(Filter(order=Order.NEWEST))
    newest = [jobs.entry(i) for i in range(10)]
    assert [row.id for row in newest if isinstance(row, Row)] == [f"{i:08d}" for i in range(count - 1, count - 11, -1)]
    jobs.show(Filter(text="shot 13 OF", states=frozenset({JobState.FAILED})))
    expected = {f"{i:08d}" for i in range(count) if i % 97 == 13 and states[i % len(states)] is JobState.FAILED}
    found = {row.id for row in lines(jobs) if isinstance(row, Row)}
    assert expected and expected <= found
    assert all("13" in row.label and row.state is JobState.FAILED for row in lines(jobs) if isinstance(row, Row))
    jobs.show(Filter(order=Order.NAME, reverse=True))
    labels = [row.label.casefold() for row in lines(jobs) if isinstance(row, Row)]
    assert labels == sorted(labels, reverse=True) and len(labels) == count
    jobs.show(Filter(grouped=True, folded=frozenset({"b1#1"})))
    groups = [entry for entry in lines(jobs) if isinstance(entry, Group)]
    assert [g.title for g in groups] == ["b2", "b1", "b0"] and sum(g.total for g in groups) == count
    assert len(jobs) == count - groups[1].total + 3
    assert groups[1].done == sum(row.over for row in jobs.rows() if row.batch_id == "b1#1")


def test_a_row_that_was_asked_for_is_not_overwritten_by_older_events() -> None:
    jobs = JobList()
    jobs.put(Row("a", "a", state=JobState.CANCELLED, completed_at=3.0, revision=7))
    jobs.apply(Event(record=Record(5, 0.0, "step_started", "a", {"state": JobState.RUNNING})))
    row = jobs.get("a")
    assert row is not None and row.state is JobState.CANCELLED and jobs.counts.running == 0
    jobs.put(Row("a", "a", revision=6))
    assert jobs.get("a") == row


def test_an_end_is_told_once_also_when_it_was_asked_for_before_its_event() -> None:
    jobs = JobList()
    jobs.put(Row("a", "a", state=JobState.RUNNING, revision=2))
    end = Record(3, 0.0, "job_completed", "a", {"state": JobState.COMPLETED, "completed_at": 4.0})
    assert jobs.apply(Event(record=end)) is not None
    jobs.put(Row("b", "b", state=JobState.COMPLETED, completed_at=4.0, revision=5))
    told = jobs.apply(Event(record=Record(5, 0.0, "job_completed", "b", {"state": JobState.COMPLETED, "completed_at": 4.0})))
    assert told is not None and told.id == "b"


def test_what_is_removed_while_all_jobs_are_read_does_not_come_back() -> None:
    jobs = JobList()
    jobs.apply(Event(record=Record(1, 0.0, "job_submitted", "a", {"label": "a"})))
    jobs.begin_reading()
    read = list(jobs.rows())
    jobs.apply(Event(record=Record(2, 0.0, "jobs_removed", "", {"ids": ["a"]})))
    jobs.apply(Event(record=Record(3, 0.0, "job_submitted", "b", {"label": "b"})))
    jobs.install(read)
    assert [row.id for row in jobs.rows()] == ["b"]


def test_lost_events_ask_for_a_new_reading_and_old_rows_that_are_gone_disappear() -> None:
    jobs = JobList()
    jobs.apply(Event(record=Record(1, 0.0, "job_submitted", "old", {"label": "old"})))
    jobs.apply(Event())
    assert jobs.resync
    jobs.begin_reading()
    assert not jobs.resync
    jobs.install([Row("new", "new", revision=9)])
    assert [row.id for row in jobs.rows()] == ["new"] and jobs.counts.total == 1


@pytest.mark.parametrize("seed", range(20))
def test_after_lost_events_a_reading_among_further_events_brings_the_truth_back(seed: int) -> None:
    story, truth, jobs = Story(seed), JobList(), JobList()
    truth.begin_reading()
    truth.install(())

    def happen(count: int, *, lost: bool = False) -> None:
        for _ in range(count):
            while (event := story.next()).progress is not None:
                continue
            truth.apply(event)
            if not lost:
                jobs.apply(event)

    happen(60)
    happen(60, lost=True)
    jobs.apply(Event())
    happen(20)  # rows that miss something get newer by these
    assert jobs.resync
    jobs.begin_reading()
    happen(10)
    read = list(truth.rows())
    happen(15)
    some = story.random.sample(list(truth.rows()), 5)
    for row in some:
        jobs.put(row)  # asked of the engine
    happen(15)
    jobs.install(read)
    assert {row.id: row for row in jobs.rows()} == {row.id: row for row in truth.rows()}
    assert lines(jobs) == lines(truth) and jobs.counts == truth.counts
    happen(20)
    assert lines(jobs) == lines(truth)


def test_a_row_that_missed_its_move_is_moved_by_the_reading_though_it_became_newer_meanwhile() -> None:
    jobs = JobList()
    for number, name in enumerate("abc", 1):
        jobs.apply(Event(record=Record(number, 0.0, "job_submitted", name, {"label": name, "position": float(number)})))
    jobs.apply(Event())  # that c was moved to the top (4) was lost
    jobs.begin_reading()
    read = [Row(name, name, position=at, revision=seq) for name, at, seq in (("a", 1.0, 1), ("b", 2.0, 2), ("c", 0.0, 4))]
    jobs.apply(Event(record=Record(5, 0.0, "job_pausing", "c", {"pause_requested": True})))
    jobs.install(read)
    assert jobs.index_of("c") == 0 and jobs.entry(0) == read[2]._replace(pausing=True, revision=5)


def test_progress_never_goes_back_and_nothing_progresses_after_its_end() -> None:
    jobs = JobList()
    jobs.put(Row("a", "a", state=JobState.RUNNING, progress=0.5, revision=1))
    jobs.apply(Event(progress=Progress("a", 0.4, "Render", 5.0, False, {})))
    row = jobs.get("a")
    assert row is not None and (row.progress, row.stage, row.eta) == (0.5, "Render", 5.0)
    jobs.apply(Event(record=Record(2, 0.0, "job_failed", "a", {"state": "failed", "error": {"code": "no_camera"}})))
    jobs.apply(Event(progress=Progress("a", 0.9, "Render", 5.0, False, {})))
    row = jobs.get("a")
    assert row is not None and row.progress == 0.5 and row.stage == "" and row.error_code == "no_camera" and row.state in TERMINAL


def test_batch_names_survive_marks_and_control_characters() -> None:
    assert batch_title(new_batch_id("walks #2", "a1")) == "walks #2"
    assert batch_title("plain") == "plain" and batch_title("") == "Single shots"
    assert batch_title(new_batch_id("a\0b\n", "1")) == "a b "


def test_between_two_steps_a_job_rests() -> None:
    jobs = JobList()
    jobs.apply(Event(record=Record(1, 0.0, "job_submitted", "a", {"label": "a"})))
    started = {"0": {"state": "running"}}
    jobs.apply(Event(record=Record(2, 0.0, "step_started", "a", {"state": JobState.RUNNING}, started)))
    assert (jobs.counts.running, jobs.counts.resting) == (1, 0)
    jobs.apply(Event(record=Record(3, 0.0, "step_completed", "a", {}, {"0": {"state": "completed"}})))
    assert (jobs.counts.running, jobs.counts.resting) == (1, 1)
    jobs.apply(Event(record=Record(4, 0.0, "step_started", "a", {}, {"1": {"state": "running"}})))
    assert (jobs.counts.running, jobs.counts.resting) == (1, 0)
    jobs.apply(Event(record=Record(5, 0.0, "step_completed", "a", {}, {"1": {"state": "completed"}})))
    jobs.apply(Event(record=Record(6, 0.0, "job_completed", "a", {"state": JobState.COMPLETED})))
    assert (jobs.counts.completed, jobs.counts.resting) == (1, 0)
