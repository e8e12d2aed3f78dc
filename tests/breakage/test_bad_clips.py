# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips that are none, in one batch with good ones: each fails with a code of its own, and the others do not notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from motion_queue.app import App, Settings
from motion_queue.queue import Job, MotionQueueError

from .support import NO_PICTURES, SMALL, error_of, run_all, says_what_to_do

CODES = {
    "empty": "bvh_empty",
    "blank": "bvh_empty",
    "cut in the skeleton": "bvh_hierarchy",
    "cut before the motion": "bvh_truncated",
    "cut in the header": "bvh_truncated",
    "binary": "bvh_binary",
    "a billion frames": "bvh_too_large",
    "a billion frames and none there": "bvh_too_large",
    "nothing but nan": "bvh_not_finite",
    "no frames": "no_frames",
    "gone after submit": "clip_missing",
}
GOOD = ("good first", "cut in the last frame", "good last")


def _contents(walk: bytes) -> dict[str, bytes]:
    head, _, motion = walk.partition(b"MOTION\n")
    first = motion.split(b"\n")[2]
    frames = head + b"MOTION\nFrames: %d\nFrame Time: 0.0333\n"
    nan = b" ".join([b"nan"] * len(first.split())) + b"\n"
    return {
        "good first": walk,
        "empty": b"",
        "blank": b" \n\t\n",
        "cut in the skeleton": walk[:400],
        "cut before the motion": head,
        "cut in the header": head + b"MOTION\nFrames: 1",
        "cut in the last frame": walk[: -len(first) // 2],
        "binary": bytes(range(256)) * 100,
        "a billion frames": frames % 10**9 + first + b"\n",
        "a billion frames and none there": frames % 10**9,
        "nothing but nan": frames % 2 + nan + nan,
        "no frames": frames % 0,
        "gone after submit": walk + b"\n",
        "good last": walk + b"\n\n",
    }


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, walk: Path, out: Path) -> Iterator[dict[str, Job]]:
    folder = tmp_path_factory.mktemp("clips")
    with App.open(Settings(state_dir=tmp_path_factory.mktemp("state"))) as app:
        specs = {}
        for name, content in _contents(walk.read_bytes()).items():
            path = folder / f"{name}.bvh"
            path.write_bytes(content)
            options = SMALL if name == "good last" else NO_PICTURES
            specs[name] = app.clip_job(path, {**options, "output_dir": str(out)})
        key = next(i.key for i in specs["gone after submit"].inputs)
        app.store.path(key).unlink()
        jobs = run_all(app, specs)
        app.flush()
        yield jobs


@pytest.mark.parametrize("name", CODES)
def test_a_bad_clip_fails_with_its_own_code_and_says_what_to_do(ended: dict[str, Job], name: str) -> None:
    job = ended[name]
    assert job.state == "failed"
    assert error_of(job).code == CODES[name]
    assert says_what_to_do(error_of(job).message)


@pytest.mark.parametrize("name", GOOD)
def test_the_others_of_the_batch_complete(ended: dict[str, Job], out: Path, name: str) -> None:
    assert ended[name].state == "completed", ended[name].error
    assert not ended[name].degraded
    assert (out / name / "character.fbx").stat().st_size > 0


@pytest.mark.parametrize("name", [*CODES, *GOOD])
def test_the_record_and_the_log_are_in_the_output_folder(ended: dict[str, Job], out: Path, name: str) -> None:
    record = json.loads((out / name / "job.json").read_text(encoding="utf-8"))
    assert record["id"] == ended[name].id
    assert record["state"] == ended[name].state
    assert (record["error"] or {}).get("code") == CODES.get(name)
    assert str(ended[name].state) in (out / name / "job.log").read_text(encoding="utf-8").splitlines()[-1]


def test_messages_name_the_users_file_and_not_the_stores(ended: dict[str, Job]) -> None:
    assert "no frames.bvh" in error_of(ended["no frames"]).message
    assert "gone after submit.bvh" in error_of(ended["gone after submit"]).message


def test_a_clip_that_is_not_there_is_refused_before_anything_is_queued(tmp_path: Path) -> None:
    with App.open(Settings(state_dir=tmp_path / "state")) as app:
        with pytest.raises(MotionQueueError) as caught:
            app.clip_job(tmp_path / "gone.bvh", {})
        assert caught.value.code == "input_missing"
        assert app.engine.query().total == 0
