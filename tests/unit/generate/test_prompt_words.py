# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of captions and prompts come to the same canonical words."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from motion_queue.backends.generate.prompt import ACTIONS, canonical, explain, is_neutral, known_actions, lexicon, read_prompt
from motion_queue.backends.generate.prompt.words import readings, tokens

from .prompt_shown import VOCABULARY

_CAPTIONS = Path(__file__).resolve().parents[4] / "shared" / "motion_data" / "captions.jsonl"


@pytest.mark.parametrize(
    ("forms", "word"),
    [
        ("walk walks walked walking strolls strode marching", "walk"),
        ("run runs ran running", "run"),
        ("sit sits sat sitting", "sit"),
        ("jumps jumping jumped leaps leapt", "jump"),
        ("lies lying lay", "lie"),
        ("hopping hopped hops", "hop"),
        ("kneels knelt kneeling", "kneel"),
        ("briskly quickly fast rapidly", "fast"),
        ("backward backwards", "backward"),
        ("gracefully graceful", "graceful"),
        ("arm arms hands fist", "hand"),
    ],
)
def test_inflections_and_synonyms_are_one_word(forms: str, word: str) -> None:
    assert {form: canonical(form) for form in forms.split()} == dict.fromkeys(forms.split(), (word,))


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Someone sprints straight ahead!", "run fast forward"),
        ("a person TIPTOES", "sneak"),
        ("raises the left arm, then both hands", "raise left hand both hand"),
        ("takes 6 steps forward", "walk forward"),
        ("jumps in place", "jump in-place"),
        ("gets back up", "rise"),
        ("throws a quick jab", "fast punch"),
        ("does jumping jacks", "jumping-jack"),
        ("ｗａｌｋｓ", "walk"),
        ("walks — slowly…", "walk slow"),
    ],
)
def test_a_sentence_comes_to_its_canonical_words(sentence: str, words: str) -> None:
    assert " ".join(canonical(sentence)) == words


def test_words_that_only_look_like_known_ones_stay_what_they_are() -> None:
    assert canonical("a box") == ()
    assert canonical("draws a bow") != canonical("takes a bow")
    assert canonical("walk loop") == ("walk",)
    assert canonical("walks a loop") == ("walk", "circle")


def test_a_canonical_word_means_itself_and_no_form_has_two_meanings() -> None:
    for word in lexicon.SYNONYMS:
        assert canonical(word) in ((word,), ()) or word in ("pick", "loop"), word
    names = Counter(name for word, names in lexicon.SYNONYMS.items() for name in (word, *names.split()))
    names.update(list(lexicon.COMPOUNDS))
    names.update(lexicon.NEUTRAL)
    names.update(lexicon.UNUSED)
    assert [name for name, times in names.items() if times > 1] == []


def test_phrases_are_written_in_base_forms() -> None:
    known = {name for word, names in lexicon.SYNONYMS.items() for name in (word, *names.split())}
    known |= lexicon.NEUTRAL | lexicon.UNUSED | set(lexicon.COMPOUNDS)
    inflected = {
        word
        for phrase in lexicon.PHRASES
        for word in phrase.split()
        for ending in ("ing", "ed", "s")
        if word not in known and word.endswith(ending) and known & {word.removesuffix(ending), word.removesuffix(ending) + "e"}
    }
    assert inflected == {"ups"}  # "sit ups" are an exercise, who "sits up" does none


def test_every_action_is_a_canonical_word_with_an_example_that_is_read_as_it() -> None:
    for word, example in known_actions(VOCABULARY):
        assert ACTIONS[word].example == example
        timeline = read_prompt(example, vocabulary=VOCABULARY)
        assert word in {w for segment in timeline.segments for w in (segment.action, *segment.words)}, example


def test_articles_and_helpers_say_nothing() -> None:
    assert all(is_neutral(word) for word in ("a", "The", "please", "character", "then", "someone"))
    assert not any(is_neutral(word) for word in ("walk", "juggle", "left", "slowly", "clap"))


def test_what_was_read_is_explained() -> None:
    text = explain(read_prompt("a person wlaks forward for 3 s, then jumps twice and juggles", vocabulary=VOCABULARY))
    assert "0.0–3.0 s: walk forward" in text
    assert "2 times" in text
    assert "“wlaks” was read as “walk”" in text
    assert "juggles" in text.rsplit("\n", 1)[1]


@pytest.mark.skipif(not _CAPTIONS.is_file(), reason="the motion data is not beside the checkout")
def test_the_training_captions_have_exactly_the_vocabulary_and_no_unknown_word() -> None:
    rows = [json.loads(line) for line in _CAPTIONS.read_text(encoding="utf-8").splitlines()]
    sentences = [(row["split"], sentence) for row in rows for sentence in row["captions"]]
    taught = {word for split, sentence in sentences if split == "train" for word in canonical(sentence)}
    unknown = {reading.words for _, s in sentences for reading in readings(tokens(s)) if reading.words and not reading.known}
    assert unknown == set()
    assert taught == VOCABULARY
    assert 150 <= len(taught) <= 250
