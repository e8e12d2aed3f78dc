# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prompt's job may ask for: whatever is wrong is said when it is submitted, with a stable code and the field."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_queue.backends.generate.options import (
    MotionOptions,
    check_fields,
    expected_seconds,
    label_of,
    understood,
    validate,
)
from motion_queue.backends.workflows import note_of, shot_workflow
from motion_queue.queue.errors import MotionQueueError
from motion_queue.tests.unit.generate.weights_file import write_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_weights(tmp_path_factory.mktemp("weights") / "model.safetensors"))


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("", "prompt_empty"),
        (" \n\t ", "prompt_empty"),
        ("🙂🕺💃", "prompt_empty"),
        ("123 !!!", "prompt_empty"),
        ("walk " * 2000, "prompt_too_long"),
        ("walks\x00forward", "prompt_characters"),
        ("walks \x1b[2J forward", "prompt_characters"),
        ("walks \u202eforward", "prompt_characters"),
        ("eine Person winkt", "prompt_not_understood"),
        ("人が歩く", "prompt_not_understood"),
        ("juggles quietly", "prompt_not_understood"),
        ("walks for 1000 seconds", "invalid_duration"),
    ],
)
def test_a_prompt_of_which_nothing_can_be_used_is_refused_with_its_own_code(weights: str, prompt: str, code: str) -> None:
    with pytest.raises(MotionQueueError) as caught:
        understood(prompt, weights=weights)
    assert caught.value.code == code
    assert set(validate({"prompt": prompt, "weights": weights})) == {"prompt"}


@pytest.mark.parametrize("prompt", ["walks\nthen waves", "walks\r\nforward", "🙂 walks 🕺", "a person walks & juggles"])
def test_a_prompt_with_something_usable_in_it_is_taken(weights: str, prompt: str) -> None:
    assert understood(prompt, weights=weights).segments
    assert validate({"prompt": prompt, "weights": weights}) == {}


@pytest.mark.parametrize("seconds", [0, -1, 1e9, float("nan"), float("inf"), 0.99, 60.01, True, "4"])
def test_a_length_that_cannot_be_is_refused(weights: str, seconds: Any) -> None:
    with pytest.raises(MotionQueueError) as caught:
        understood("walks", seconds=seconds, weights=weights)
    assert caught.value.code == "invalid_duration"
    assert set(validate({"prompt": "walks", "seconds": seconds, "weights": weights})) == {"seconds"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", 7),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 1.5),
        ("variation", -1),
        ("guidance", float("nan")),
        ("guidance", 21),
        ("sampling_steps", 0),
        ("sampling_steps", 101),
        ("model_device", "gpu"),
        ("weights", "a\nb"),
        ("fps", 0),
        ("loop", 1),
        ("speed", 0),
        ("speed", -1),
        ("bend", 361),
        ("heading", float("inf")),
        ("path", "0,1"),
        ("path", [[1]]),
        ("path", [[1, float("nan")]]),
        ("path", [[0, 1]] * 1001),
        ("start_pose_frame", 0),
    ],
)
def test_an_option_out_of_range_is_named(field: str, value: Any) -> None:
    payload = {"prompt": "walks", field: value}
    assert set(check_fields(payload)) == {field}
    with pytest.raises(MotionQueueError) as caught:
        MotionOptions.from_payload(payload)
    assert caught.value.code == "invalid_options" and set(caught.value.details) == {field}


_json = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)


@given(st.dictionaries(st.sampled_from([f.name for f in fields(MotionOptions)]), _json))
def test_any_payload_is_either_refused_by_name_or_usable(payload: dict[str, Any]) -> None:
    problems = check_fields(payload)
    assert set(problems) <= {*payload, "prompt"}
    if not problems:
        assert 0 <= MotionOptions.from_payload(payload).used_seed < 2**32


def test_the_workflow_refuses_what_belongs_to_clips_and_unknown_prompts(weights: str) -> None:
    refuse = shot_workflow().validate
    assert refuse is not None
    good = {"prompt": "walks", "weights": weights}
    assert refuse(good) == {}
    assert set(refuse({**good, "frame_start": 2, "frame_end": 5})) == {"frame_start", "frame_end"}
    assert set(refuse({**good, "steps": ["read", "retarget"]})) == {"steps"}
    assert set(refuse({**good, "steps": ["read", "generate"]})) == {"steps"}
    assert set(refuse({**good, "resolution": [3, 3]})) == {"resolution"}
    assert set(refuse({"weights": weights})) == {"prompt"}
    assert set(refuse({**good, "weights": "/gone"})) == {"weights"}


def test_a_seed_and_a_variation_are_one_number() -> None:
    assert MotionOptions(prompt="walks", seed=3, variation=2).used_seed == 5
    assert MotionOptions(prompt="walks", seed=2**32 - 1, variation=1).used_seed == 0


def test_the_expected_length_is_what_was_asked_else_what_the_prompt_says(weights: str) -> None:
    assert expected_seconds(understood("walks", weights=weights), 7.5) == 7.5
    assert expected_seconds(understood("walks for 3 seconds, then jumps for 2 seconds", weights=weights)) == 5.0
    assert 1.0 < expected_seconds(understood("walks", weights=weights)) < 10.0


def test_a_label_is_one_short_line() -> None:
    assert label_of(" a person\nwalks\x1b[2J ") == "a person walks [2J"
    assert label_of("walks and " * 30) == "walks and walks and walks and walks and walks and walks and …"
    assert len(label_of("w" * 500)) <= 62


def test_unused_words_are_a_note_as_soon_as_they_are_known() -> None:
    assert note_of({}, {}) == ""
    assert note_of({"unmatched": ["juggles"]}, {}) == "not used: juggles"
    assert note_of({}, {"generate": {"unmatched": ["juggles", "sings"]}}) == "not used: juggles, sings"
    assert note_of({"unmatched": [str(i) for i in range(20)]}, {}).endswith("11, …")
    assert note_of({"unmatched": "of somebody else's"}, {"generate": "odd"}) == ""


def test_a_prompt_is_checked_without_numpy(weights: str) -> None:
    code = (
        "import sys, motion_queue.app\n"
        "from motion_queue.backends.generate.options import validate\n"
        f"assert validate({{'prompt': 'walks', 'weights': {weights!r}}}) == {{}}\n"
        "assert 'numpy' not in sys.modules, 'numpy was imported'; print('checked')"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "checked", done.stderr
