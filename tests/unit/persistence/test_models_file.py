# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of motion models: what is written is read, garbage is told and left alone, and there is always a whole file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_queue.persistence import models_file
from motion_queue.queue.errors import StoreError

MODELS = {"momask": {"checkout": "/models/mömask", "python": "/envs/a b/bin/python", "memory_limit_mb": 4000.0}, "momask++": {}}


def refused(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        models_file.read(path)
    assert str(path) in caught.value.message
    return caught.value


def test_what_is_written_is_read_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "settings" / "models.json"
    assert models_file.read(path) == {}
    models_file.write(path, MODELS)
    assert models_file.read(path) == MODELS
    models_file.write(path, {})
    assert models_file.read(path) == {} and [p.name for p in path.parent.iterdir()] == ["models.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"version": true}',
        b'{"version": "1"}',
        b'{"version": 0}',
        b'{"version": 1, "models": []}',
        b'{"version": 1, "models": {"momask": "/models"}}',
        b'{"version": 1, "models": {"momask": {}, "momask": {}}}',
        b'{"version": 1, "model": {}}',
        b'{"version": 1, "models": {"momask": {"memory_limit_mb": NaN}}}',
        b'{"version": 1, "models": {"momask": {"memory_limit_mb": ' + b"9" * 5000 + b"}}}",
        b"[" * 60_000,
        b'{"version": 1, "models": {"momask": {"checkout": "' + b"x" * models_file.MAX_BYTES + b'"}}}',
    ],
    ids=range(18),
)
def test_garbage_is_told_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "models.json"
    path.write_bytes(content)
    assert refused(path).code == "models_file_invalid"
    assert path.read_bytes() == content


@given(st.binary(max_size=200))
def test_any_bytes_are_models_or_a_documented_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    try:
        assert isinstance(models_file.read(path), dict)
    except StoreError as error:
        assert error.code in {"models_file_invalid", "newer_version"}


def test_a_newer_file_and_what_is_no_file_have_codes_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    path.write_text('{"version": 2, "models": {}, "more": 1}', encoding="utf-8")
    assert refused(path).code == "newer_version"
    assert refused(tmp_path).code == "models_file_invalid"
    assert refused(path / "below").code == "models_file_unreadable"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_in_its_place_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe").code == "models_file_invalid"


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    models_file.write(path, MODELS)
    (tmp_path / f".models.json.{os.getpid()}.tmp").mkdir()  # what would be written beside it has no place
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        models_file.write(path, {})
    assert caught.value.code == "models_file_not_writable" and path.read_bytes() == before
    with pytest.raises(StoreError) as caught:
        models_file.write(path / "below" / "models.json", {})
    assert caught.value.code == "models_file_not_writable"


def test_it_is_where_the_environment_says_else_among_the_user_s_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(models_file.ENVIRONMENT, str(tmp_path / "mine.json"))
    assert models_file.resolve() == tmp_path / "mine.json"
    monkeypatch.delenv(models_file.ENVIRONMENT)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert models_file.resolve() == tmp_path / "motion_queue" / "models.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert models_file.resolve() == Path.home() / ".config" / "motion_queue" / "models.json"


def test_the_file_is_plain_json_for_people(tmp_path: Path) -> None:
    models_file.write(path := tmp_path / "models.json", MODELS)
    assert json.loads(path.read_text(encoding="utf-8")) == {"version": 1, "models": MODELS}
    assert "mömask" in path.read_text(encoding="utf-8") and path.stat().st_mode & 0o077 == 0
