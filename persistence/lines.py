# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of a journal or a snapshot: how it is written, how it is checked, and what its versions were.

A line is one JSON object whose first member is the CRC-32 of everything after it: `{"crc":"0a1b2c3d","seq":7,…}`. So every line
can be judged by itself, and damage costs the lines it hits and no others. Knows neither files nor what a job means.

A record's line begins with its number, time, name and job, in this order, so that it can be put where it belongs undecoded:

    {"crc":"0a1b2c3d","seq":7,"at":1700000000.5,"name":"step_started","job":"…","fields":{…},"steps":{…}}

In that of a submission the job's `"position"` follows, and at the end what the jobs of a batch have in common, `"shared":{…}`,
which is encoded and decoded once for all of them. Those are what indexes and the scheduler ask for; the rest can stay undecoded.

The first line of every file is its header and names the format (`"format": 1`). That line keeps its shape in all versions, so
that an old program recognises a newer file and leaves it alone.
"""

from __future__ import annotations

import json
import re
import secrets
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from json.encoder import encode_basestring_ascii as quoted
from operator import add
from typing import Any, NoReturn
from zlib import crc32

from ..queue.contract import SHARED_FIELDS, Json, Record
from ..queue.errors import StoreError

FORMAT = 1
MAX_LINE = 64 << 20  # bytes of one line that is read: a whole job in a snapshot
MAX_RECORD = 16 << 20  # bytes of one record that is written; a job's payload is limited far below that at submit
MAX_DEPTH = 64  # nested arrays and objects in a line that is read
MAX_RECORD_DEPTH = 60  # in a record that is written: a snapshot nests the same values a little deeper
PREFIX = b'{"crc":"'
_BODY = len(PREFIX) + 8 + 2  # the prefix, eight hex digits, `",`
_SHARED_MARK = ',"shared":'
SHARED_MARK = _SHARED_MARK.encode("ascii")
# The beginning of a line about a job, up to the opening brace of its fields: number, name, job, position. A line that does not
# look like this (an id that needs escapes, say) is decoded.
_HEAD = re.compile(
    rb'\{"crc":"[0-9a-f]{8}","seq":([1-9][0-9]{,15}),"at":[0-9.]{1,20},"name":"([^"\\]{1,40})","job":"([^"\\]{1,100})",'
    rb'(?:"position":([0-9.]{1,20}),)?"fields":(?=\{)'
)

Head = re.Match[bytes]  # of `_HEAD`; its `string` is the line


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON value")


# check_circular=False: a circle ends in RecursionError instead, and every record is encoded a tenth faster.
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":"), default=_plain).encode
_MARKER = secrets.token_hex(16)
_DIVIDER = f',"{_MARKER}",'
_decoder = json.JSONDecoder(parse_constant=_no_constant)
_decode = _decoder.decode
decode_at = _decoder.raw_decode  # (text, offset) → the value there, and where it ends


def encode_line(value: Mapping[str, Json], most: int = MAX_RECORD, deepest: int = MAX_RECORD_DEPTH) -> bytes:
    """The line for an object with at least one member, newline included. `StoreError` record_invalid or record_too_large."""
    try:
        body = _encode(value)[1:].encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(
            "record_invalid", f"A record holds something JSON cannot express: {error}. It was not stored."
        ) from error
    return _line(body, most, deepest)


def encode_record(record: Record) -> bytes:
    """The line of one record. `StoreError` record_invalid or record_too_large."""
    value, shared = _contents(record)
    head = {"seq": record.seq, "at": record.at, "name": record.name, "job": record.job}
    return encode_line({**head, **value, "shared": shared} if shared else {**head, **value})


def encode_records(records: Sequence[Record]) -> list[bytes] | None:
    """The lines of many records, or None when one of them cannot be stored: then encode each by itself.

    What is the same object in many records is encoded once: what the jobs of a batch share, and what happens to many at once.
    """
    values: list[Json] = []
    parts: list[tuple[str, int, str]] = []  # of each line: its head, which of `values` follows, its end
    places: dict[tuple[int, int], int] = {}  # in `values`, by the identity of fields and steps
    encoded: dict[tuple[object, ...], str] = {}  # the shared parts of submissions, by identity
    last_at, at_text = -1.0, ""
    try:
        for record in records:
            seq, at, name, job, fields, steps, _sync = record
            if at != last_at:
                last_at, at_text = at, _encode(at)
            head = f'"seq":{seq},"at":{at_text},"name":{quoted(name)},"job":{quoted(job)},'
            if name != "job_submitted":
                place = places.setdefault((id(fields), id(steps)), len(values))
                if place == len(values):
                    values.append(_contents(record)[0])
                parts.append((head, place, "}"))
                continue
            value, shared = _contents(record)
            end = "}"
            if shared:
                same = (*shared, *map(id, shared.values()))
                end = encoded.get(same, "")
                if not end:
                    end = encoded[same] = f"{_SHARED_MARK}{_encode(shared)}}}"
            parts.append((head, len(values), end))
            values.append(value)
        # Each without its braces: the opening one comes before the head, the closing one with the end.
        texts = [text[1:-1] for text in _encode_all(values)]
        if len(texts) != len(values):
            return None
        bodies = [f"{head}{texts[place]}{end}".encode("ascii") for head, place, end in parts]
        # Once for what many share. A line is nested as deep as the deeper of its two parts, and one level more.
        nested = 1 + max(map(_braces, (*texts, *encoded.values())))
        if max(map(len, bodies)) > MAX_RECORD - _BODY or nested >= MAX_RECORD_DEPTH:
            return [_line(body, MAX_RECORD, MAX_RECORD_DEPTH) for body in bodies]
        return [b'{"crc":"%08x",%b\n' % (crc32(body), body) for body in bodies]
    except (TypeError, ValueError, RecursionError, StoreError):
        return None


def _encode_all(values: Sequence[Json]) -> list[str]:
    """The text of each value, from one call of the encoder, which saves time: a marker that no value can contain divides it."""
    text = _encode([part for value in values for part in (value, _MARKER)])
    return f"{text[1:-1]},".split(_DIVIDER)[:-1]


def _contents(record: Record) -> tuple[dict[str, Json], dict[str, Json]]:
    """What follows the head of a record's line, and what of a submission stands at its end."""
    if record.name == "job_submitted" and record.job:
        fields = dict(record.fields)
        shared = {name: fields.pop(name) for name in SHARED_FIELDS if name in fields}
        if type(fields.get("position")) is float:
            return {"position": fields.pop("position"), "fields": fields}, shared
        return {"fields": fields}, shared
    return {"fields": record.fields, "steps": record.steps} if record.steps else {"fields": record.fields}, {}


def _line(body: bytes, most: int, deepest: int) -> bytes:
    """`body`: an object's text without its opening brace."""
    if len(body) > most - _BODY:
        raise StoreError(
            "record_too_large",
            f"A record of {len(body)} bytes is over the limit of {most}; it was not stored. Keep large data in files.",
        )
    # Braces inside strings count too: then the text is looked at again.
    if body.count(b"{") + body.count(b"[") >= deepest and depth_of(_decode("{" + body.decode("ascii"))) > deepest:
        raise StoreError(
            "record_invalid", f"A record is nested deeper than {deepest} levels; it was not stored. Make its payload flatter."
        )
    return b'{"crc":"%08x",%b\n' % (crc32(body), body)


def line_ok(line: bytes) -> bool:
    """Whether a line (without its newline) is whole."""
    return line[:8] == PREFIX and b"%08x" % crc32(line[_BODY:]) == line[8:16] and line[16:_BODY] == b'",'


def parse_lines(lines: list[bytes]) -> list[dict[str, Any]] | None:
    """The objects of many lines, without their CRCs, or None when anything at all is amiss: then look at each by itself.

    The quick way for the usual case. Loops stay inside the interpreter's C code: 30,000 lines take a tenth of a second.
    """
    bodies = [line[_BODY:] for line in lines]
    if not _crcs_ok(lines, bodies):
        return None
    if _most_braces(bodies) >= MAX_DEPTH:
        return None
    if max(map(len, bodies)) > MAX_LINE:
        return None
    try:
        values = _decode("[{" + b",{".join(bodies).decode("utf-8") + "]")
    except (ValueError, RecursionError):
        return None
    return values if len(values) == len(lines) else None


def parse_heads(lines: list[bytes]) -> list[Head | dict[str, Any]] | None:
    """As `parse_lines`, but lines about a job are checked only and left undecoded behind their heads."""
    if not _crcs_ok(lines, [line[_BODY:] for line in lines]) or max(map(len, lines)) > MAX_LINE:
        return None
    heads = list(map(_HEAD.match, lines))
    if None not in heads:
        return heads  # type: ignore[return-value]
    found = [head or parse_line(line) for line, head in zip(lines, heads, strict=True)]
    return None if None in found else found  # type: ignore[return-value]


def _most_braces(bodies: list[bytes]) -> int:
    """An upper bound of how deep any of these texts is nested."""
    most: int = max(map(add, map(bytes.count, bodies, repeat(b"{")), map(bytes.count, bodies, repeat(b"["))))
    return most


def _braces(text: str) -> int:
    """An upper bound of how deep it is nested."""
    return text.count("{") + text.count("[")


def _crcs_ok(lines: list[bytes], bodies: list[bytes]) -> bool:
    try:
        stated = bytes.fromhex(b"".join([line[8:16] for line in lines]).decode("ascii"))
    except ValueError:
        return False
    return stated == struct.pack(f">{len(lines)}I", *map(crc32, bodies))


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The object of one line, or None where it is damaged, oversize, too deep or no object."""
    if len(line) > MAX_LINE or not line_ok(line):
        return None
    try:
        value = _decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or depth_of(value) > MAX_DEPTH:
        return None
    return value


def salvage_line(line: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    """The whole lines inside a damaged one. Where the newline between two was hit, both are still there."""
    found = []
    starts = [0] if line[:8] == PREFIX else []
    at = line.find(PREFIX, 1)
    while at >= 0 and len(starts) < 1024:
        starts.append(at)
        at = line.find(PREFIX, at + 1)
    for start, end in zip(starts, [*starts[1:], len(line)], strict=False):
        for piece in (line[start:end], line[start : end - 1]):
            value = parse_line(piece)
            if value is not None:
                found.append((piece, value))
                break
    return found


def depth_of(value: Json) -> int:
    """How deep arrays and objects are nested; 0 for a scalar. Stops counting beyond the limit."""
    level: list[Json] = [value]
    depth = 0
    while level and depth <= MAX_DEPTH:
        inner: list[Json] = []
        for item in level:
            if isinstance(item, Mapping):
                inner.extend(item.values())
            elif isinstance(item, (list, tuple)):
                inner.extend(item)
            else:
                continue
        depth += any(isinstance(item, (Mapping, list, tuple)) for item in level)
        level = inner
    return depth


def header_format(line: bytes) -> int | None:
    """The format a header line names, or None where the line is damaged or no header."""
    value = parse_line(line)
    if value is None or not isinstance(value.get("format"), int):
        return None
    return int(value["format"])


def check_format(name: str, line: bytes) -> None:
    """Refuse a file written by a newer version: `StoreError` newer_version. Called before anything is touched."""
    found = header_format(line)
    if found is not None and found > FORMAT:
        raise StoreError(
            "newer_version",
            f"{name} has format {found}; this version of Motion Queue reads up to {FORMAT}. Nothing was changed. "
            "Update Motion Queue, or choose another state folder.",
        )


def _from_0(value: dict[str, Any]) -> dict[str, Any]:
    """Format 0, before the first release: times in milliseconds as `ms`, step changes as [index, fields] pairs."""
    if "ms" in value:
        value["at"] = value.pop("ms") / 1000.0
    if isinstance(value.get("steps"), list):
        value["steps"] = {str(index): fields for index, fields in value["steps"]}
    return value


# format → what turns one object of that format into the next one. Applied in turn up to FORMAT.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {0: _from_0}


def migrate(value: dict[str, Any], found: int) -> dict[str, Any]:
    """An object of an older format in today's. KeyError, TypeError or ValueError where it is not of that format."""
    for version in range(found, FORMAT):
        value = MIGRATIONS[version](value)
    return value
