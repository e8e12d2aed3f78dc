# SPDX-License-Identifier: GPL-3.0-or-later
"""Further codes by example: a clip's first codes bring back the clip, cuts are made where clips are alike, and are told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_queue.backends.generate.details import Examples

_LEVELS, _CODES = 3, 12


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def bank(*clips: list[int], seed: int = 0) -> Examples:
    """Clips of those first codes; the further ones say which clip and which token they are."""
    draw = np.random.default_rng(seed)
    rows = [(code, number % _CODES, at % _CODES) for number, clip in enumerate(clips) for at, code in enumerate(clip)]
    runs = np.repeat(np.arange(len(clips)), [len(clip) for clip in clips])
    books = np.zeros((_LEVELS, _CODES, 2))
    books[0, :, 0] = np.arange(_CODES)  # codes whose numbers are near look alike
    books[1:] = draw.normal(size=(_LEVELS - 1, _CODES, 2)) * 0.01
    names = tuple(f"clip{number}" for number in range(len(clips)))
    words = np.stack([np.arange(len(clips)), np.full(len(clips), -1)], axis=1)  # a clip's word is its number
    return Examples(np.array(rows), runs, names, np.arange(len(clips)), words, books.astype(np.float32))


def test_the_first_codes_of_a_clip_bring_the_clip_back() -> None:
    examples = bank([1, 2, 3, 4, 5, 6], [1, 2, 3, 9, 9, 9], [7, 3, 4, 5, 8, 8])
    chosen = examples.choose(np.array([1, 2, 3, 9, 9]), draws())
    assert examples.pieces(chosen.sources) == [("clip1", 0, 5)]
    assert chosen.codes[:, 1].tolist() == [1] * 5


def test_where_no_clip_goes_on_so_pieces_are_as_long_as_they_can_be() -> None:
    examples = bank([1, 2, 3, 4], [4, 8, 9, 10], [2, 8, 4, 1])
    chosen = examples.choose(np.array([1, 2, 3, 4, 8, 9, 10]), draws())
    assert examples.pieces(chosen.sources) in (
        [("clip0", 0, 4), ("clip1", 4, 3)],
        [("clip0", 0, 3), ("clip1", 3, 4)],
    )


def test_what_came_before_is_gone_on_with() -> None:
    examples = bank([5, 1, 2], [6, 1, 2])
    for before, clip in ((0, "clip0"), (3, "clip1")):
        assert examples.pieces(examples.choose(np.array([1, 2]), draws(), before=before).sources) == [(clip, 0, 2)]


def test_a_code_that_no_clip_has_is_taken_for_the_nearest() -> None:
    examples = bank([1, 2, 3, 8])
    assert examples.choose(np.array([1, 2, 3, 11]), draws()).codes[:, 0].tolist() == [1, 2, 3, 8]


def test_words_lean_to_the_codes_of_their_clips() -> None:
    examples = bank([1, 2, 3, 4], [8, 9, 10, 11], [8, 9, 10, 11])
    leaning = examples.leaning([0])
    assert leaning[[1, 2, 3, 4]].min() > 0.3 and leaning[[8, 9, 10, 11]].max() < -1.0
    assert examples.leaning([1])[[8, 9]].min() > 0.0 > examples.leaning([1])[[1, 2, 3, 4]].max()
    assert not examples.leaning([7]).any() and not examples.leaning([]).any()


def test_anchors_are_moments_of_a_clip_that_the_words_fit() -> None:
    clip = [1, 1, 1, 1, 9, 2, 8, 3, 1, 1, 1, 1]  # stands, does something, stands
    examples = bank(clip, [5, 6, 7, 6, 5, 6])
    for seed in range(20):
        draw = np.random.default_rng(seed)
        whole = examples.anchors([0], 16, draw, from_start=False)
        assert whole is not None and whole.clip == "clip0"
        assert whole.codes[whole.pinned].tolist() == np.array([*clip, 0, 0, 0, 0])[whole.pinned].tolist()
        assert whole.pinned[0] and not whole.pinned[12:].any()
        lively = examples.anchors([0], 5, draw, from_start=False)
        assert lively is not None and {9, 2, 8} <= set(lively.codes.tolist())
        first = examples.anchors([0], 5, draw, from_start=True)
        assert first is not None and first.codes.tolist() == clip[:5]
    assert examples.anchors([7], 5, np.random.default_rng(0), from_start=False) is None


@given(st.lists(st.integers(0, _CODES - 1), min_size=1, max_size=40), st.integers(0, 5))
def test_any_first_codes_get_details_that_belong_to_them(first: list[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    clips = [draw.integers(0, _CODES, size=size).tolist() for size in (30, 5, 17)]
    examples = bank(*clips, list(range(_CODES)), seed=seed)
    chosen = examples.choose(np.array(first), draws(seed))
    assert chosen.codes[:, 0].tolist() == first
    pieces = examples.pieces(chosen.sources)
    assert sum(tokens for _, _, tokens in pieces) == len(first)
    assert [start for _, start, _ in pieces] == np.cumsum([0] + [tokens for _, _, tokens in pieces])[:-1].tolist()
    assert chosen.cost == pytest.approx(chosen.cost) and chosen.cost >= 0.0
