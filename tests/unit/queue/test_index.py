# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of arrival numbers against a plain sorted list."""

from __future__ import annotations

import random

import pytest

from motion_queue.queue.index import ArrivalIndex


def _agrees(index: ArrivalIndex, numbers: set[int]) -> bool:
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return (
        len(index) == len(ordered)
        and list(index) == ordered
        and list(index.newest_first()) == ordered[::-1]
        and index.slice(0, 10) == ordered[:10]
        and index.slice(middle, middle + 1500) == ordered[middle : middle + 1500]
        and index.slice(len(ordered), len(ordered) + 5) == []
    )


def test_numbers_come_in_order_whatever_the_order_they_were_added_and_removed_in() -> None:
    chance = random.Random(7)
    index, numbers = ArrivalIndex(), set(range(500, 6_000, 2))
    index.add_many(sorted(numbers))
    assert _agrees(index, numbers)
    for _ in range(4_000):
        number = chance.randrange(8_000)
        if number in numbers:
            index.remove(number)
            numbers.remove(number)
        else:
            index.add(number)
            numbers.add(number)
        assert (number in index) == (number in numbers)
    assert _agrees(index, numbers)
    more = sorted(set(range(7_000, 9_000)) - numbers)
    index.add_many(more)
    assert _agrees(index, numbers.union(more))


def test_nothing_is_left_of_what_was_removed() -> None:
    index = ArrivalIndex()
    index.add_many(list(range(3_000)))
    for number in range(3_000):
        index.remove(number)
    assert _agrees(index, set())
    with pytest.raises(KeyError):
        index.remove(1)
    assert index.slice(0, 10) == []
