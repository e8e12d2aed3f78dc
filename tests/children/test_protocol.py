# SPDX-License-Identifier: GPL-3.0-or-later
"""The language of children and their supervisor: whatever is cut or mixed in, messages come out whole or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_queue.backends.protocol import (
    Alive,
    Failure,
    LineReader,
    Log,
    Message,
    Progress,
    ProtocolError,
    Result,
    Run,
    Stop,
    Stray,
    encode,
)

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
_object = st.dictionaries(st.text(), _json, max_size=4)
_messages = st.one_of(
    st.just(Alive()),
    st.builds(Progress, job=st.text(), fraction=st.floats(0, 1), stage=st.text(), data=st.none() | _object),
    st.builds(Log, job=st.text(), level=st.text(), message=st.text()),
    st.builds(Result, job=st.text(), value=_object),
    st.builds(Failure, job=st.text(), code=st.text(), message=st.text(), details=_object, retryable=st.booleans()),
)
_noise = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(parts=st.lists(_messages | _noise, max_size=8), cuts=st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_messages_and_stray_text_are_told_apart_however_the_stream_is_cut(parts: list[Message | str], cuts: list[int]) -> None:
    stream = b"".join(p.encode() + b"\n" if isinstance(p, str) else encode(p) for p in parts)
    reader = LineReader(from_child=True)
    found: list[Message | Stray] = []
    position = turn = 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        found += reader.feed(stream[position : position + size])
        position += size
        turn += 1
    assert found == [Stray(p) if isinstance(p, str) else p for p in parts]
    assert reader.rest() is None


@given(noise=_noise, message=_messages)
def test_stray_text_without_a_line_end_does_not_swallow_the_message_behind_it(noise: str, message: Message) -> None:
    assert list(LineReader(from_child=True).feed(noise.encode() + encode(message))) == [Stray(noise), message]


@given(st.binary(max_size=300))
def test_garbage_is_stray_text_or_a_protocol_error_and_nothing_else(data: bytes) -> None:
    try:
        found = list(LineReader(from_child=True).feed(data + b"\n"))
    except ProtocolError:
        return
    assert all(isinstance(item, Stray) for item in found)


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"type":"unknown"}',
        b'{"type":"run","job":"1","entry":"x","arguments":{}}',  # goes the other way
        b'{"type":"progress","job":"1","fraction":NaN}',
        b'{"type":"progress","job":"1","fraction":"half"}',
        b'{"type":"progress","job":"1","fraction":true}',
        b'{"type":"progress","fraction":0.5}',
        b'{"type":"alive","more":1}',
        b'{"type":["alive"]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_broken_message_is_a_protocol_error(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(LineReader(from_child=True).feed(b"\x1e" + line + b"\n"))


def test_a_line_over_the_limit_is_a_protocol_error_before_it_ends() -> None:
    reader = LineReader(from_child=True, max_line=1000)
    assert list(reader.feed(b"x" * 900)) == []
    with pytest.raises(ProtocolError):
        list(reader.feed(b"x" * 200))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1}])
def test_what_is_no_json_cannot_be_sent(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode(Run(job="1", entry="a:b", arguments={"value": value}))


def test_the_child_reads_only_what_a_parent_may_send() -> None:
    assert list(LineReader(from_child=False).feed(encode(Stop(job="1", reason="cancel")))) == [Stop(job="1", reason="cancel")]
    with pytest.raises(ProtocolError):
        list(LineReader(from_child=False).feed(encode(Alive())))
