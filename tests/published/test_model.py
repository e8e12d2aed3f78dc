# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of published models and of one motion: what is accepted, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from motion_queue.backends.published.model import (
    ModelDevice,
    MotionRequest,
    PublishedModel,
    Which,
    asked_for,
    chosen,
    models_of,
    validate,
)
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
        ("prompt", 7), ("seed", -1), ("seed", 1.5), ("sampling_steps", 0), ("sampling_steps", 1000), ("guidance", float("inf")),
        ("seed", 2**32), ("model_device", "gpu"), ("model_device", "numpy"), ("variation", -1), ("loop", 1), ("in_place", "yes"),
        ("speed", 0), ("heading", 400), ("fps", 0), ("bend", 10), ("path", [[0, 1]]), ("weights", "a"), ("end_pose_frame", 3),
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


def test_settings_are_models_and_back() -> None:
    model = PublishedModel.from_options(
        {**MODEL, "device": "cuda", "memory_limit_mb": 4000.0, "text_encoder": "~/clip", "transformer": "mine"}
    )
    assert models_of({"momask": model.to_options()}, "models.json") == (model,)
    least = PublishedModel.from_options(MODEL)
    assert least.to_options() == {"checkout": "/models/momask", "python": "/envs/momask/bin/python", "device": "auto"}
    assert models_of({}, "models.json") == ()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"mdm": {}}, "mdm"),
        ({"momask": {}}, "momask.checkout"),
        ({"momask": {**MODEL, "checkot": "/x"}}, "momask.which"),
        ({"momask": {"checkout": "/x", "python": "/y", "devise": "cpu"}}, "momask.devise"),
        ({"momask": {"checkout": "/x", "python": ["rm"]}}, "momask.python"),
        ({"momask": {"checkout": "/x", "python": "/y", "memory_limit_mb": "all"}}, "momask.memory_limit_mb"),
        ({"momask": {"checkout": "/x", "python": "/y", "transformer": "../up"}}, "momask.transformer"),
    ],
)
def test_settings_that_are_no_models_are_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(MotionQueueError) as caught:
        models_of(settings, "/home/me/models.json")
    assert caught.value.code == "published_settings_invalid" and named in caught.value.details
    assert "/home/me/models.json" in caught.value.message and named in caught.value.message


def test_the_one_that_is_asked_for_is_found_among_those_that_are_set() -> None:
    momask = PublishedModel.from_options(MODEL)
    assert chosen([momask], Which.MOMASK) is momask
    with pytest.raises(MotionQueueError) as caught:
        chosen([momask], Which.MOMASK_PLUS)
    assert caught.value.code == "published_not_set" and "mq.py models set momask++" in caught.value.message


@pytest.mark.parametrize("name", [None, "builtin"])
def test_without_a_name_or_with_its_own_the_built_in_model_is_meant(name: str | None) -> None:
    assert asked_for({"model": name}) is None


@pytest.mark.parametrize("name", ["", "MoMask", 1, [], {"a": 1}])
def test_a_model_that_there_is_not_is_refused(name: Any) -> None:
    with pytest.raises(MotionQueueError) as caught:
        asked_for({"model": name})
    assert caught.value.code == "invalid_options" and list(caught.value.details) == ["model"]


def test_variations_have_seeds_of_their_own() -> None:
    seeds = [MotionRequest(prompt="x", seed=2**32 - 1, variation=i).used_seed for i in range(3)]
    assert seeds == [2**32 - 1, 0, 1]
