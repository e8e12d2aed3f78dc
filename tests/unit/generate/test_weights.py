# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of weights: damaged, foreign and missing ones are told apart, and its header is read alone and remembered."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from motion_queue.backends.generate import header
from motion_queue.backends.generate.generator import Generator
from motion_queue.backends.generate.header import read_header
from motion_queue.backends.generate.weights import read_weights
from motion_queue.queue.errors import MotionQueueError
from motion_queue.tests.unit.generate.weights_file import WORDS, write_weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "model.safetensors")


def refused(path: Path, code: str) -> None:
    """The whole reader refuses it with that code."""
    with pytest.raises(MotionQueueError) as caught:
        read_weights(path)
    assert caught.value.code == code, caught.value
    assert str(path) in caught.value.message


def with_header(path: Path, **entries: object) -> Path:
    """The file with other entries in its header."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    text = json.dumps({**json.loads(raw[8 : 8 + length]), **entries}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])
    return path


def test_the_header_says_what_the_whole_file_says(weights: Path) -> None:
    short, whole = read_header(weights), read_weights(weights)
    assert short.words == whole.words == WORDS
    assert (short.config, short.actions, short.name) == (whole.config, whole.actions, whole.name)


def test_missing_weights_have_a_code_of_their_own(tmp_path: Path) -> None:
    refused(tmp_path / "gone.safetensors", "weights_missing")
    refused(tmp_path, "weights_missing")


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 10, 200, 5000, -1, -1000])
def test_weights_that_are_cut_are_damaged(weights: Path, length: int) -> None:
    weights.write_bytes(weights.read_bytes()[:length])
    refused(weights, "weights_damaged")


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04" + b"x" * 4000, b"\x80\x02}q\x00" * 400, b"\xff" * 4000, b"\x02" + b"\x00" * 7 + b"[]" + b"x" * 100],
    ids=["zip", "pickle", "ones", "list"],
)
def test_other_files_are_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    refused(path, "weights_damaged")


def test_weights_of_another_model_or_version_are_foreign(weights: Path) -> None:
    refused(with_header(weights, __metadata__={"format": "pt"}), "weights_foreign")
    refused(write_weights(weights, metadata={"format": "3"}), "weights_foreign")


@pytest.mark.parametrize(
    "metadata",
    [
        {"config": "{"},
        {"config": "[]"},
        {"config": '{"width": -1}'},
        {"words": '{"a": 1}'},
        {"words": "[1]"},
        {"words": '["walk"]'},
        {"clips": '["walk_a"]'},
        {"clips": "7"},
    ],
)
def test_a_description_that_cannot_be_is_damaged(tmp_path: Path, metadata: dict[str, str]) -> None:
    refused(write_weights(tmp_path / "model.safetensors", metadata=metadata), "weights_damaged")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F64", "shape": [16], "data_offsets": [0, 128]},
        {"dtype": "F16", "shape": [16], "data_offsets": [0, 10**9]},
        {"dtype": "F16", "shape": [16], "data_offsets": [-32, 0]},
        {"dtype": "F16", "shape": [2**23, 2**23], "data_offsets": [0, 32]},
        {"dtype": "F16", "shape": "x", "data_offsets": [0, 32]},
        "no table",
    ],
)
def test_an_array_that_is_not_there_as_described_is_damaged(weights: Path, entry: object) -> None:
    refused(with_header(weights, **{"tokens.hidden": entry}), "weights_damaged")


def test_numbers_that_are_none_are_damaged(weights: Path) -> None:
    raw = bytearray(weights.read_bytes())
    raw[-4:] = struct.pack("<f", float("nan"))
    weights.write_bytes(raw)
    refused(weights, "weights_damaged")


def test_examples_that_cannot_be_are_damaged(weights: Path) -> None:
    raw = weights.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    entries = json.loads(raw[8 : 8 + length])
    for name, number in (
        ("examples.codes", 16),
        ("examples.codes", -1),
        ("examples.runs", 2),
        ("examples.clips", 9),
        ("examples.words", 999),
    ):
        start = 8 + length + entries[name]["data_offsets"][0]
        weights.write_bytes(raw[:start] + struct.pack("<h", number) + raw[start + 2 :])
        refused(weights, "weights_damaged")
    start = 8 + length + entries["examples.runs"]["data_offsets"][0]
    weights.write_bytes(raw[:start] + struct.pack("<h", 1) + raw[start + 2 :])  # the first token after the others
    refused(weights, "weights_damaged")
    weights.write_bytes(raw)
    refused(with_header(weights, **{"examples.runs": entries["norm.mean"]}), "weights_damaged")


def test_a_header_is_read_once_and_again_when_the_file_changes(weights: Path) -> None:
    first = read_header(weights)
    assert read_header(weights) is first
    write_weights(weights, words=("walk", "wave"))
    assert read_header(weights).words == ("walk", "wave")


def test_the_shipped_header_is_not_asked_for_again(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "SHIPPED", weights)
    first = read_header()
    weights.unlink()
    assert read_header() is first
    with pytest.raises(MotionQueueError):
        read_header(fresh=True)


def test_weights_made_for_a_test_can_be_used(weights: Path) -> None:
    made = Generator.load(weights).generate("a person walks")
    assert len(made.motion) > 0 and made.motion.fps == pytest.approx(30.0)
