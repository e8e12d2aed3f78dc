# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a job that waits will take: what its clip declares, until the clip was read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from motion_queue.app import App, Settings
from motion_queue.backends.blender_find import BlenderCommand
from motion_queue.backends.children import ChildPool, ChildSettings
from motion_queue.backends.options import validate
from motion_queue.backends.read.header import Declared, declared
from motion_queue.backends.render.backend import RenderBackend
from motion_queue.backends.retarget.backend import RetargetBackend, clip_frames
from motion_queue.queue import MotionQueueError

CLIP = (
    b"HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n}\n"
    b"MOTION\nFrames: %d\nFrame Time: %s\n0 0 0\n"
)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with App.open(Settings(state_dir=tmp_path / "state")) as opened:
        opened.engine.pause_queue()
        yield opened


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (CLIP % (90, b"0.0333333"), Declared(90, 30.0)),
        (CLIP.replace(b"\n", b"\r\n") % (90, b"0.0333333"), Declared(90, 30.0)),
        (b"\tMOTION\r\rFrames\t7\rframe time 1E-02\r", Declared(7, 100.0)),
        (CLIP % (0, b"0.1"), None),
        (CLIP % (10**9, b"0.1"), None),
        (CLIP % (10**8, b"0.1"), None),
        (CLIP % (90, b"0"), None),
        (CLIP % (90, b"1e-+5"), None),
        (CLIP % (90, b"nan"), None),
        (b"\x00\xff" * 1000, None),
        (b"", None),
    ],
)
def test_a_header_is_believed_only_where_it_could_be_true(head: bytes, expected: Declared | None) -> None:
    assert declared(head) == expected


@pytest.mark.parametrize(
    ("payload", "results", "frames"),
    [
        ({}, {}, 120),
        ({"clip_frames": 900}, {}, 900),
        ({"clip_frames": 900, "frame_start": 101}, {}, 800),
        ({"clip_frames": 900, "frame_start": 101, "frame_end": 200}, {}, 100),
        ({"clip_frames": 900, "frame_end": 5000}, {}, 900),
        ({"clip_frames": 50, "frame_start": 60}, {}, 1),
        ({"clip_frames": 900, "clip_fps": 120.0, "fps": 30}, {}, 225),
        ({"frame_start": 11, "frame_end": 20}, {}, 10),
        ({"clip_frames": 900}, {"read": {"frames": 12}}, 12),
    ],
)
def test_frames_are_those_read_else_those_declared(payload: dict[str, object], results: dict[str, object], frames: int) -> None:
    assert clip_frames(payload, results) == frames


@pytest.mark.parametrize("field", ["clip_frames", "clip_fps"])
@pytest.mark.parametrize("value", [0, -1, "x", True, float("inf"), []])
def test_a_declaration_that_could_not_be_counted_with_is_refused(field: str, value: object) -> None:
    assert set(validate({field: value})) == {field}


def test_a_waiting_job_knows_how_long_its_clip_is(app: App, tmp_path: Path) -> None:
    etas = []
    for frames in (100, 1000):
        clip = tmp_path / f"{frames}.bvh"
        clip.write_bytes(CLIP % (frames, b"0.0333333"))
        spec = app.clip_job(clip, {"resolution": [640, 360]})
        assert (spec.payload["clip_frames"], spec.payload["clip_fps"]) == (frames, 30.0)
        app.engine.submit(spec)
        etas.append(app.engine.get(spec.id).eta_seconds)
    assert etas[0] is not None and etas[1] is not None
    render = RenderBackend(app.children)
    assert render.estimate({"clip_frames": 1000}, {}).work == pytest.approx(10 * render.estimate({"clip_frames": 100}, {}).work)
    assert etas[1] > 5 * etas[0]


@pytest.mark.parametrize("make", [RetargetBackend, RenderBackend])
def test_health_speaks_of_the_blender_that_was_chosen(
    make: type[RetargetBackend] | type[RenderBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = BlenderCommand(binary="/opt/blender/blender", version=(4, 3, 2))
    monkeypatch.setenv("MOTION_QUEUE_BLENDER", "/nowhere/blender")
    pool, lost = ChildPool(ChildSettings(blender=chosen)), ChildPool()
    try:
        assert make(pool).health().ok
        assert "4.3.2" in make(pool).health().message
        assert not make(lost).health().ok
        assert "/nowhere/blender" in make(lost).health().message
    finally:
        pool.close()
        lost.close()


def test_a_blender_that_was_chosen_and_is_not_there_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(MotionQueueError) as caught:
        App.open(Settings(state_dir=tmp_path / "state", blender="/nowhere/blender"))
    assert caught.value.code == "blender_not_found"
    with App.open(Settings(state_dir=tmp_path / "state")) as opened:  # its folder was given back
        assert opened.engine.query().total == 0
