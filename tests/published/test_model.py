# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of published models and of one motion: what is accepted, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from motion_queue.backends.published.model import ModelDevice, MotionRequest, PublishedModel, Which, validate
from motion_queue.queue.errors import MotionQueueError

MODEL = {"which": "momask", "checkout": "/models/momask", "python": "/envs/momask/bin/python"}


def test_a_model_needs_no_more_than_its_name_its_checkout_and_its_python() -> None:
    model = PublishedModel.from_options(MODEL)
    assert (model.which, model.device) == (Which.MOMASK, ModelDevice.AUTO)
    assert model.checkpoints_path == Path("/models/momask/checkpoints")
    assert model.text_encoder_path == Path.home() / ".cache" / "clip" / "ViT-B-32.pt"


def test_momask_plus_looks_where_its_instructions_put_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "hub" / "models--google--t5-v1_1-base" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    model = PublishedModel.from_options({**MODEL, "which": "momask++", "checkout": "/models/snap"})
    assert model.checkpoints_path == Path("/models/snap/checkpoint_dir")
    assert model.statistics_path == Path("/models/snap/checkpoint_dir/snapmogen/meta_data")
    assert model.text_encoder_path == snapshot


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("which", "mdm"), ("which", None), ("checkout", ""), ("checkout", "a\nb"), ("python", 3), ("device", "tpu"),
        ("memory_limit_mb", float("nan")), ("memory_limit_mb", 0), ("transformer", "../elsewhere"), ("residual", ".."),
        ("refinement", "a\\b"), ("checkpoints", "x" * 5000),
    ],
)  # fmt: skip
def test_a_model_s_wrong_options_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(MotionQueueError) as caught:
        PublishedModel.from_options({**MODEL, field: value})
    assert caught.value.code == "invalid_options" and list(caught.value.details) == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""), ("prompt", "   "), ("prompt", None), ("prompt", "walks\nthen runs"), ("prompt", "x" * 10_000),
        ("seconds", 0), ("seconds", -1), ("seconds", 1e9), ("seconds", float("nan")), ("seconds", "4"), ("seconds", True),
        ("prompt", 7), ("seed", -1), ("seed", 1.5), ("steps", 0), ("steps", 1000), ("guidance", float("inf")),
        ("seed", 2**32), ("device", "gpu"),
    ],
)  # fmt: skip
def test_a_motion_s_wrong_options_are_refused_by_name(field: str, value: Any) -> None:
    payload = {"prompt": "a person walks", field: value}
    with pytest.raises(MotionQueueError) as caught:
        MotionRequest.from_payload(payload, Which.MOMASK)
    assert caught.value.code == "invalid_options" and list(caught.value.details) == [field]


@pytest.mark.parametrize(
    "prompt", ["a person walks 🚶", "一个人在走路", "walk " * 199 + "on", "'; DROP TABLE motions; --", "<|endoftext|>"]
)
def test_any_words_are_a_prompt(prompt: str) -> None:
    assert MotionRequest.from_payload({"prompt": f" {prompt} "}, Which.MOMASK).prompt == prompt


def test_a_length_is_limited_to_what_the_model_was_made_for() -> None:
    assert validate({"prompt": "x", "seconds": 9.8}, Which.MOMASK) == {}
    assert list(validate({"prompt": "x", "seconds": 10.6}, Which.MOMASK)) == ["seconds"]
    assert validate({"prompt": "x", "seconds": 10.6}, Which.MOMASK_PLUS) == {}


def test_without_a_length_one_model_estimates_it_and_the_other_makes_six_seconds() -> None:
    request = MotionRequest(prompt="x")
    assert (request.frames(Which.MOMASK), request.frames(Which.MOMASK_PLUS)) == (0, 180)
    assert MotionRequest(prompt="x", seconds=4.0).frames(Which.MOMASK) == 80
