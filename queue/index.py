# SPDX-License-Identifier: GPL-3.0-or-later
"""One answer to one criterion of a query: the arrival numbers of the jobs that meet it, in ascending order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice


class ArrivalIndex:
    """Adding and removing cost next to nothing, since every change of state does both.

    Numbers come in order nearly always; when one did not, the next query sorts, which on almost sorted numbers is linear.
    """

    __slots__ = ("_newest", "_numbers", "_sorted")

    def __init__(self) -> None:
        self._numbers: dict[int, None] = {}
        self._newest = 0
        self._sorted = True

    def add(self, number: int) -> None:
        self._numbers[number] = None
        if number < self._newest:
            self._sorted = False
        else:
            self._newest = number

    def add_many(self, numbers: list[int]) -> None:
        """As `add`, for numbers in ascending order."""
        if numbers:
            self.add(numbers[0])
            self._numbers.update(dict.fromkeys(numbers))
            self._newest = max(self._newest, numbers[-1])

    def remove(self, number: int) -> None:
        del self._numbers[number]

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, number: int) -> bool:
        return number in self._numbers

    def __iter__(self) -> Iterator[int]:
        self._order()
        return iter(self._numbers)

    def newest_first(self) -> Iterator[int]:
        self._order()
        return reversed(self._numbers)

    def slice(self, start: int, stop: int) -> list[int]:
        self._order()
        return list(islice(self._numbers, start, stop))

    def _order(self) -> None:
        if not self._sorted:
            self._numbers = dict.fromkeys(sorted(self._numbers))
            self._newest = next(reversed(self._numbers), 0)
            self._sorted = True
