# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps are made of, as far as it needs no Blender: options, shape, framing, frames, delivery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_queue.backends.character import shape
from motion_queue.backends.deliver import folder_name, own_folder
from motion_queue.backends.options import ClipOptions, validate
from motion_queue.backends.render import contact, framing
from motion_queue.backends.render.frames import FrameFolder
from motion_queue.backends.workflows import clip_workflow
from motion_queue.queue.errors import MotionQueueError

_PNG = b"\x89PNG\r\n\x1a\n" + bytes(20) + b"IEND\xaeB`\x82"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("engine", "luxrender"),
        ("engine", 3),
        ("samples", -1),
        ("samples", True),
        ("resolution", [641, 480]),
        ("resolution", [1e9, 2]),
        ("resolution", "hd"),
        ("fps", float("nan")),
        ("fps", 0),
        ("frame_start", 0),
        ("frame_end", 10**9),
        ("steps", []),
        ("steps", ["retarget"]),
        ("steps", ["fly"]),
        ("label", "a\x00b"),
        ("output_dir", 7),
        ("trust_scripts", "yes"),
    ],
)
def test_a_wrong_option_is_named(field: str, value: Any) -> None:
    assert set(validate({field: value})) == {field}
    with pytest.raises(MotionQueueError) as caught:
        ClipOptions.from_payload({field: value})
    assert set(caught.value.details) == {field}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(st.dictionaries(st.sampled_from(sorted(ClipOptions.__dataclass_fields__)), _json))
def test_any_payload_is_either_refused_by_name_or_usable(payload: dict[str, Any]) -> None:
    problems = validate(payload)
    assert set(problems) <= set(payload)
    if not problems:
        assert ClipOptions.from_payload(payload).megapixels > 0


def test_a_subset_of_steps_needs_only_what_is_in_it() -> None:
    plan = clip_workflow().plan
    assert plan is not None
    steps = plan({"steps": ["render"]})
    assert [(s.name, s.needs) for s in steps] == [("render", ()), ("deliver", ())]


def test_every_part_of_the_mannequin_is_closed_and_fully_weighted() -> None:
    names = {j.name for j in shape.joints()}
    for part in shape.parts():
        edges: dict[tuple[int, int], int] = {}
        for face in part.faces:
            corners = list(dict.fromkeys(face.tolist()))
            for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
                edges[a, b] = edges.get((a, b), 0) + 1
        assert all(count == 1 and edges.get((b, a)) == 1 for (a, b), count in edges.items())
        assert set(part.weights) <= names
        np.testing.assert_allclose(sum(part.weights.values()), 1.0, atol=1e-12)


def test_the_mannequin_stands_on_the_ground_and_is_170_cm_tall() -> None:
    points = np.concatenate([p.vertices for p in shape.parts()])
    assert points[:, 2].min() == pytest.approx(0.0, abs=1e-6)
    assert points[:, 2].max() == pytest.approx(1.70, abs=1e-6)
    assert points[:, 0].min() == pytest.approx(-points[:, 0].max())
    assert len(shape.joints()) == 22


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 3.0), st.floats(0.05, 200.0))
def test_the_camera_sees_every_point(seed: int, aspect: float, size: float) -> None:
    points = np.random.default_rng(seed).normal(size=(40, 3)) * size * [3, 1, 1]
    tangents = (0.33, 0.33 / aspect)
    view = framing.choose_view(framing.Bounds(points=points, ground=0.0, height=size), tangents)
    seen = (points - view.position) @ view.axes
    depth = -seen[:, 2]
    assert (depth > 0).all()
    assert (np.abs(seen[:, :2]) / depth[:, None] <= np.array(tangents)).all()


def test_a_jump_does_not_raise_the_floor() -> None:
    clouds = np.zeros((20, 2, 3))
    clouds[:, 1, 2] = 1.7
    clouds[5:12, :, 2] += 0.6
    assert framing.bounds(clouds, 1.7).ground == pytest.approx(0.0)


def test_only_whole_frames_of_the_same_picture_count(tmp_path: Path) -> None:
    folder = FrameFolder(tmp_path / "frames", "a")
    for number, content in ((1, _PNG), (2, _PNG[:-3]), (3, b"")):
        folder.path(number).write_bytes(content)

    assert folder.whole(range(1, 6)) == {1}
    assert FrameFolder(tmp_path / "frames", "a").whole(range(1, 6)) == {1}
    assert FrameFolder(tmp_path / "frames", "b").whole(range(1, 6)) == set()


def test_a_torn_frame_is_not_taken(tmp_path: Path) -> None:
    folder = FrameFolder(tmp_path, "a")
    Path(folder.partial.replace("####", "0007") + ".png").write_bytes(_PNG[:-1])
    with pytest.raises(OSError, match="no whole picture"):
        folder.take(7)


def test_a_folder_of_somebody_else_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    first = own_folder(tmp_path, "walk", "job 1")
    second = own_folder(tmp_path, "walk", "job 2")
    assert [first.name, second.name] == ["walk-2", "walk-3"]
    assert own_folder(tmp_path, "walk", "job 1") == first


@given(st.text())
def test_any_label_is_a_folder_name_inside_the_output_folder(label: str) -> None:
    name = folder_name(label)
    assert name not in ("", ".", "..")
    assert Path("out", name).parent == Path("out")
    assert len(name.encode()) <= 121


def test_a_foot_on_the_floor_has_a_contact_shadow_that_goes_as_it_rises() -> None:
    sole = np.random.default_rng(1).uniform([-0.05, -0.13, 0.0], [0.05, 0.13, 0.05], size=(24, 3))
    rise = np.array([0.0, 0.03, 0.06, 0.5])
    foot = np.stack([sole + np.array([0.2 * i, 0.0, z]) for i, z in enumerate(rise)])
    head = foot + np.array([0.0, 0.0, 1.6])
    (patch,) = contact.patches([foot, head], ground=0.0, height=1.7)
    np.testing.assert_allclose(patch.centre[:, 0], 0.2 * np.arange(4), atol=0.03)
    assert (np.diff(patch.half[:, 0]) < 0).all()
    assert (patch.half[:, 0] >= patch.half[:, 1]).all()
    assert (patch.half[-1] == 0.0).all()
    assert abs(np.cos(patch.turn[0])) < 0.3, "the long side lies along Y"
    assert contact.patches([head], ground=0.0, height=1.7) == []
