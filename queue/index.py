# SPDX-License-Identifier: GPL-3.0-or-later
"""One answer to one criterion of a query: the arrival numbers of the jobs that meet it, in ascending order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

_BITS = 10  # 1,024 numbers to a block


class ArrivalIndex:
    """Numbers in blocks by their upper bits.

    Adding and removing cost next to nothing, since every change of state does both; order is made by whoever asks, of the blocks
    that are asked for. A page from the middle of 100,000 numbers passes over 50 blocks without looking into them.
    """

    __slots__ = ("_blocks", "_size")

    def __init__(self) -> None:
        self._blocks: dict[int, set[int]] = {}
        self._size = 0

    def add(self, number: int) -> None:
        """A number that is not there."""
        block = self._blocks.get(number >> _BITS)
        if block is None:
            block = self._blocks[number >> _BITS] = set()
        block.add(number)
        self._size += 1

    def add_many(self, numbers: list[int]) -> None:
        """As `add`, for numbers in ascending order."""
        start = 0
        while start < len(numbers):
            name = numbers[start] >> _BITS
            end = bisect_left(numbers, (name + 1) << _BITS, start)
            self._blocks.setdefault(name, set()).update(numbers[start:end])
            start = end
        self._size += len(numbers)

    def remove(self, number: int) -> None:
        """A number that is there, or `KeyError`."""
        block = self._blocks[number >> _BITS]
        block.remove(number)
        self._size -= 1
        if not block:
            del self._blocks[number >> _BITS]

    def __len__(self) -> int:
        return self._size

    def __contains__(self, number: int) -> bool:
        return number in self._blocks.get(number >> _BITS, ())

    def __iter__(self) -> Iterator[int]:
        for name in sorted(self._blocks):
            yield from sorted(self._blocks[name])

    def newest_first(self) -> Iterator[int]:
        for name in sorted(self._blocks, reverse=True):
            yield from sorted(self._blocks[name], reverse=True)

    def slice(self, start: int, stop: int) -> list[int]:
        """The numbers of ranks `start` … `stop - 1`, as far as there are."""
        found: list[int] = []
        for name in sorted(self._blocks):
            block = self._blocks[name]
            if start < len(block):
                found += sorted(block)[max(0, start) : stop]
            start -= len(block)
            stop -= len(block)
            if stop <= 0:
                break
        return found
