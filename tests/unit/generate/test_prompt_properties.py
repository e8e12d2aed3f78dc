# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every text: it is read, or refused with a documented error, and no word of it gets lost."""

from __future__ import annotations

import unicodedata

from hypothesis import example, given, settings
from hypothesis import strategies as st

from motion_queue.backends.generate.prompt import ACTIONS, MAX_CHARACTERS, MAX_SEGMENTS, explain, is_neutral, lexicon, read_prompt
from motion_queue.backends.generate.prompt.words import tokens
from motion_queue.backends.generate.timeline import Timeline
from motion_queue.queue.errors import MotionQueueError

from .prompt_shown import VOCABULARY

CODES = {
    "prompt_empty", "prompt_too_long", "prompt_characters", "prompt_not_understood", "prompt_too_many_parts", "invalid_duration",
    "invalid_count", "invalid_amount",
}  # fmt: skip
JOINING = {"and", "then", "while", "before", "after", "followed", "by", "finally", "next", "plus", "until", "till"}

_PIECES = (
    "walks walking turned twice half not without doesn't 3 2.5 1e9 90 seconds times degrees metres steps x °"
    " - . , ; ! ? \n one two hundred in all total for juggles wlaks 😀 跑 é ½ ² m/s"
)
_pieces = st.one_of(
    st.sampled_from(sorted({*VOCABULARY, *lexicon.NEUTRAL, *lexicon.UNUSED, *JOINING})),
    st.sampled_from(sorted(word for phrase in lexicon.PHRASES for word in phrase.split())),
    st.sampled_from(_PIECES.split(" ")),
    st.text(max_size=8),
)
_prompts = st.one_of(st.lists(_pieces, max_size=25).map(" ".join), st.text(max_size=200))


def _read(text: str) -> Timeline | str:
    try:
        return read_prompt(text, vocabulary=VOCABULARY)
    except MotionQueueError as error:
        assert error.message
        return error.code


@given(_prompts)
@settings(max_examples=500, deadline=None)
@example("walks " * 300)
@example("2 2 2 x x x walks ½ °")
@example("while before after then and walks")
@example("for in all 3 seconds in all")
@example("a half of a -")
@example("throw push-up then left")
@example("1.2.3 walks ٣ seconds")
def test_any_text_is_read_or_refused_with_a_documented_error(text: str) -> None:
    read = _read(text)
    if isinstance(read, str):
        assert read in CODES
        return
    assert 1 <= len(read.segments) <= MAX_SEGMENTS
    for segment in read.segments:
        assert set(segment.words) <= VOCABULARY
        assert segment.action in ACTIONS
        assert segment.action in segment.words
        assert segment.repeats >= 1
        assert segment.seconds is None or 0 < segment.seconds <= 60
        assert segment.text in text
    assert explain(read)
    assert read.prompt == text


@given(_prompts)
@settings(max_examples=100, deadline=None)
def test_reading_twice_gives_the_same(text: str) -> None:
    assert _read(text) == _read(text)


@given(_prompts)
@settings(max_examples=400, deadline=None)
@example("doesn't walks")
@example("walks followed by waves")
def test_every_word_is_used_or_not_used_or_says_nothing(text: str) -> None:
    read = _read(text)
    if isinstance(read, str):
        return
    accounted = {*read.matched, *read.unmatched}
    for token in tokens(text):
        if not token.is_word and token.number is None and unicodedata.category(token.text[0])[0] in "PZCMS":
            continue
        says_nothing = is_neutral(token.text) or token.base in JOINING | lexicon.NEUTRAL | {"one"}
        joins = token.text.casefold() in _JOINING_AS_WRITTEN or token.number is not None
        assert token.text in accounted or says_nothing or joins, (token, accounted)


_JOINING_AS_WRITTEN = frozenset(
    ("followed", "afterward", "afterwards", "eventually", "subsequently", "thereafter", "finally", "meanwhile", "whilst")
)


def test_a_prompt_of_the_longest_length_is_read_and_one_more_character_is_not() -> None:
    text = "walks" + " " * (MAX_CHARACTERS - 5)
    assert isinstance(_read(text), Timeline)
    assert _read(text + " ") == "prompt_too_long"
