# SPDX-License-Identifier: GPL-3.0-or-later
"""Whitespace-separated decimal numbers to float64, many at once. The reader's speed is here; knows nothing of BVH.

Plain decimals of up to 15 digits are an exact integer divided by an exact power of ten, which rounds the same as `float()`.
Everything else (exponents, nan, inf, more digits) goes through `float()`, token by token.
"""

from __future__ import annotations

import numpy as np

from .quat import Array

_MAX_PLAIN = 18  # characters: a sign, a point and 16 digits, of which 15 count
_TENS = 10.0 ** np.arange(_MAX_PLAIN + 1)


class BadNumberError(ValueError):
    """`index`: which token it is; `text`: what stands there."""

    def __init__(self, index: int, text: str) -> None:
        super().__init__(text)
        self.index = index
        self.text = text


def parse(text: bytes) -> Array:
    """All numbers in `text`. `BadNumberError` names the first that is none."""
    padded = np.frombuffer(b" " + text + b" " * (_MAX_PLAIN + 1), dtype=np.uint8)
    blank = padded <= 32
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    if len(starts) == 0:
        return np.zeros(0)
    lengths = ends - starts
    first = padded[starts]
    negative = first == ord("-")
    signed = negative | (first == ord("+"))
    mantissa = np.zeros(len(starts), dtype=np.int64)
    digits, decimals = np.zeros(len(starts), dtype=np.int8), np.zeros(len(starts), dtype=np.int8)
    points = np.zeros(len(starts), dtype=np.int8)
    alive = np.ones(len(starts), dtype=bool)
    at = starts.copy()
    for _ in range(min(int(lengths.max()), _MAX_PLAIN)):
        char = padded[at]
        alive &= char > 32
        value = char - np.uint8(48)
        is_digit = (value < 10) & alive
        np.multiply(mantissa, 10, out=mantissa, where=is_digit)
        np.add(mantissa, value, out=mantissa, where=is_digit)
        digits += is_digit
        decimals += is_digit & (points > 0)
        points += (char == ord(".")) & alive
        at += 1
        np.minimum(at, len(padded) - 1, out=at)
    plain = (digits > 0) & (digits <= 15) & (points <= 1) & (digits + points + signed == lengths)
    out = mantissa / _TENS[decimals]
    np.negative(out, out=out, where=negative)
    for index in np.flatnonzero(~plain):
        token = bytes(padded[starts[index] : ends[index]])
        try:
            if b"_" in token:  # float() reads 1_000, no file means it
                raise ValueError
            out[index] = float(token)
        except ValueError:
            raise BadNumberError(int(index), token[:40].decode("latin-1")) from None
    return out
