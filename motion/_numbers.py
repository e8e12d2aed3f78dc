# SPDX-License-Identifier: GPL-3.0-or-later
"""Whitespace-separated decimal numbers to float64, many at once. The reader's speed is here; knows nothing of BVH.

A decimal of up to 15 digits is an exact integer times or over an exact power of ten, which rounds the same as `float()`.
Everything else (nan, inf, more digits, exponents) goes through `float()`, token by token.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from .quat import Array
from .skeleton import Ints

_MAX_CHARS = 18  # of a decimal: a sign, a point and 16 digits, of which 15 count
_EXACT_TENS = 22  # powers of ten up to this one are exact in float64
_TENS = 10.0 ** np.arange(_EXACT_TENS + 1)
_MANY_EXPONENTS = 0.002  # a byte
_BLANKS = bytes(max(byte, 32) for byte in range(256))  # to spaces
_BLOCK = 768 * 1024  # bytes parsed at once: bounds the temporary memory

Mask = NDArray[np.bool_]


class BadNumberError(ValueError):
    """`text` is no number; it stands at byte `position`."""

    def __init__(self, position: int, text: str) -> None:
        super().__init__(text)
        self.position = position
        self.text = text


def parse(data: bytes, start: int = 0, stop: int | None = None) -> Array:
    """All numbers in `data[start:stop]`. `BadNumberError` names the first that is none."""
    stop = len(data) if stop is None else stop
    parts: list[Array] = []
    while start < stop:
        end = stop if stop - start <= _BLOCK else _blank_before(data, start, start + _BLOCK)
        parts.append(_parse_block(data[start:end], start))
        start = end
    return np.concatenate(parts) if parts else np.zeros(0)


def _blank_before(data: bytes, start: int, stop: int) -> int:
    """A place near `stop` where no number is cut in two."""
    end = max(data.rfind(b"\n", start, stop), data.rfind(b" ", start, stop), data.rfind(b"\t", start, stop))
    return end if end > start else stop


def _parse_block(text: bytes, offset: int) -> Array:
    if text.count(b"e") + text.count(b"E") > _MANY_EXPONENTS * len(text):
        return _by_float(text, offset)
    chars = np.frombuffer(b" " + text + b" " * (_MAX_CHARS + 1), dtype=np.uint8)
    blank = chars <= 32
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    mantissa, decimals, good = _decimals(chars, starts, ends)
    out = mantissa / _TENS[decimals]
    for index in np.flatnonzero(~good):
        out[index] = _float(bytes(chars[starts[index] : ends[index]]), offset + int(starts[index]) - 1)
    return out


def _by_float(text: bytes, offset: int) -> Array:
    """The same by the library: slower for decimals, faster where many numbers have exponents."""
    if b"_" not in text:
        try:
            return np.array(text.translate(_BLANKS).split(), dtype=np.float64)
        except ValueError:
            pass
    return np.array([_float(word[0], offset + word.start()) for word in re.finditer(rb"[^\x00-\x20]+", text)])


def _float(token: bytes, position: int) -> float:
    try:
        if b"_" in token:  # float() reads 1_000, no file means it
            raise ValueError
        return float(token)
    except ValueError:
        raise BadNumberError(position, token[:40].decode("latin-1")) from None


def _decimals(chars: NDArray[np.uint8], starts: Ints, ends: Ints) -> tuple[Ints, Ints, Mask]:
    """Signed digits as an integer, how many of them stand after the point, and which tokens are plain decimals."""
    count = len(starts)
    lengths = ends - starts
    first = chars[starts]
    signed = (first == ord("-")) | (first == ord("+"))
    mantissa = np.zeros(count, dtype=np.int64)
    digits, decimals, points = (np.zeros(count, dtype=np.int8) for _ in range(3))
    at = starts.copy()
    for place in range(min(int(lengths.max(initial=0)), _MAX_CHARS)):
        char = chars.take(at, mode="clip")
        inside = lengths > place
        value = char - np.uint8(48)
        is_digit = (value < 10) & inside
        mantissa *= is_digit * np.uint8(9) + np.uint8(1)  # without a mask: several times faster than where=
        mantissa += value * is_digit
        digits += is_digit
        decimals += is_digit & (points > 0)
        points += (char == ord(".")) & inside
        at += 1
    good = (digits > 0) & (digits <= 15) & (points <= 1) & (digits + points + signed == lengths)
    np.negative(mantissa, out=mantissa, where=first == ord("-"))
    return mantissa, decimals.astype(np.int64), good
