# SPDX-License-Identifier: GPL-3.0-or-later
"""What a .blend carries of its jobs: whole on the way there and back, bounded, and read with distrust."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_queue.persistence import mirror
from motion_queue.persistence.mirror import MAX_BYTES, CarriedInput, CarriedJob
from motion_queue.queue import MotionQueueError
from motion_queue.queue.contract import JobState

OWNER = "b" * 32


def job(number: int, **fields: Any) -> CarriedJob:
    return CarriedJob(**{"id": f"job-{number}", "owner": OWNER, "workflow": "shot", "label": f"Shot {number}", **fields})


def code_of(text: str) -> str:
    with pytest.raises(MotionQueueError) as caught:
        mirror.decode(text)
    return caught.value.code


_texts = st.text(max_size=30)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_jobs = st.builds(
    CarriedJob,
    id=st.uuids().map(str),
    owner=st.just(OWNER),
    workflow=st.sampled_from(["shot", "clip"]),
    label=_texts,
    payload=st.dictionaries(_texts, _json, max_size=4),
    inputs=st.lists(st.builds(CarriedInput, name=st.just("clip"), path=_texts, beside=_texts), max_size=3).map(tuple),
    priority=st.integers(0, 100),
    state=st.sampled_from(JobState),
    created_at=st.floats(0, 1e10),
    completed_at=st.none() | st.floats(0, 1e10),
    error=_texts,
    scene=_texts,
)


@given(st.lists(_jobs, max_size=5, unique_by=lambda made: made.id))
def test_what_is_written_is_read_back(jobs: list[CarriedJob]) -> None:
    read = mirror.decode(mirror.encode(jobs)).jobs
    assert sorted(read, key=lambda made: made.id) == sorted(jobs, key=lambda made: made.id)
    assert [made for made in read if not made.over] == [made for made in jobs if not made.over], "waiting jobs keep their order"


@given(st.text(max_size=300) | _json.map(json.dumps))
def test_any_text_is_read_or_refused_with_a_code(text: str) -> None:
    try:
        mirror.decode(text)
    except MotionQueueError as error:
        assert error.code in ("mirror_damaged", "mirror_too_new")


def test_of_the_finished_jobs_the_last_twenty_are_kept() -> None:
    done = [job(n, state=JobState.COMPLETED, completed_at=float(n + 1)) for n in range(50)]
    read = mirror.decode(mirror.encode([*done, job(99)])).jobs
    assert [made.id for made in read] == ["job-99", *(f"job-{n}" for n in range(49, 29, -1))]


def test_what_is_too_much_is_left_out_and_counted_never_cut() -> None:
    jobs = [job(n, payload={"prompt": "a person walks " * 100}) for n in range(1000)]
    text = mirror.encode(jobs)
    read = mirror.decode(text)
    assert len(text.encode()) <= MAX_BYTES
    assert read.left_out == 1000 - len(read.jobs) > 0
    assert [made.id for made in read.jobs] == [f"job-{n}" for n in range(len(read.jobs))], "those that are next come first"


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../etc"},
        {"id": 7},
        {"owner": ""},
        {"workflow": None},
        {"payload": []},
        {"inputs": [{"path": "x"}]},
        {"inputs": [{"name": "clip"}] * 17},
        {"priority": 101},
        {"priority": True},
        {"created_at": "now"},
        {"state": "flying"},
        {"label": "x" * 5000},
        {"scene": 1},
    ],
)
def test_a_job_that_is_none_is_refused(change: dict[str, Any]) -> None:
    entry = {**json.loads(mirror.encode([job(1)]))["jobs"][0], **change}
    assert code_of(json.dumps({"motion_queue": 1, "jobs": [entry]})) == "mirror_damaged"


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "{}",
        '{"motion_queue": true, "jobs": []}',
        '{"motion_queue": 1, "jobs": {}}',
        '{"motion_queue": 1, "jobs": [NaN]}',
        '{"motion_queue": 1, "jobs": ' + "[" * 5000,
        '{"motion_queue": 1, "jobs": [' + "0," * 2001 + "0]}",
        "x" * (MAX_BYTES + 1),
        "ä" * (MAX_BYTES // 2 + 1),
    ],
)
def test_what_is_no_mirror_is_refused(text: str) -> None:
    assert code_of(text) == "mirror_damaged"


def test_two_jobs_of_one_id_are_refused() -> None:
    assert code_of(mirror.encode([job(1), job(1)])) == "mirror_damaged"


def test_a_newer_version_is_told_apart_from_damage() -> None:
    assert code_of('{"motion_queue": 2, "jobs": "whatever"}') == "mirror_too_new"


def test_a_file_beside_the_blend_is_found_where_the_folder_is_now(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "walk.bvh").write_text("here")
    carried = CarriedInput(
        name="clip", path="/gone/clips/walk.bvh", beside=mirror.beside("/gone/clips/walk.bvh", "/gone/shot.blend")
    )
    assert carried.beside == "clips/walk.bvh"
    assert mirror.input_path(carried, str(tmp_path / "shot.blend")) == tmp_path / "clips" / "walk.bvh"
    assert mirror.input_path(carried, "") is None


def test_a_path_from_outside_is_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("no")
    (tmp_path / "project").mkdir()
    blend = str(tmp_path / "project" / "shot.blend")
    for beside in ("../secret", str(tmp_path / "secret")):
        assert mirror.input_path(CarriedInput(name="clip", path="", beside=beside), blend) is None
    assert mirror.input_path(CarriedInput(name="clip", path="relative"), blend) is None


def test_an_installation_keeps_its_name_and_mends_a_damaged_one(tmp_path: Path) -> None:
    first = mirror.identity(tmp_path / "state")
    assert mirror.identity(tmp_path / "state") == first != mirror.identity(tmp_path / "other")
    (tmp_path / "state" / mirror.IDENTITY).write_bytes(b"\xff\xfe damaged")
    mended = mirror.identity(tmp_path / "state")
    assert mended == mirror.identity(tmp_path / "state") != first
    assert [path.name for path in (tmp_path / "state").iterdir()] == [mirror.IDENTITY]


def test_what_runs_here_waits_elsewhere() -> None:
    from motion_queue.queue.model import Job  # noqa: PLC0415

    made = Job()
    made.id, made.workflow, made.state = "a", "shot", JobState.RUNNING
    made.source = {"blend": "/p/shot.blend", "scene": "Scene", "armature": "Rig"}
    carried = mirror.carry(made, owner=OWNER, blend="/p/shot.blend")
    assert (carried.state, carried.scene, carried.armature) == (JobState.QUEUED, "Scene", "Rig")
    assert replace(carried, state=JobState.COMPLETED).over
