# SPDX-License-Identifier: GPL-3.0-or-later
"""From written words to the canonical words of the motion model, the same way for training captions and for prompts.

Knows words and phrases, but neither sentences nor what a motion is made of.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

from . import lexicon

NUMBERS = {
    word: value
    for value, names in {
        0: "zero", 1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine",
        10: "ten", 11: "eleven", 12: "twelve", 13: "thirteen", 14: "fourteen", 15: "fifteen", 16: "sixteen", 17: "seventeen",
        18: "eighteen", 19: "nineteen", 20: "twenty", 30: "thirty", 40: "forty", 45: "forty-five", 50: "fifty", 60: "sixty",
        90: "ninety", 100: "hundred", 180: "one-eighty", 360: "three-sixty", 1000: "thousand",
    }.items()
    for word in names.split()
}  # fmt: skip

# A word with inner hyphens and apostrophes, a number with its decimal part, or a mark that the reader of sentences needs.
_TOKEN = re.compile(r"[^\W\d_]+(?:['’‑-][^\W\d_]+)*|\d+(?:[.,]\d+)*(?:[eE][+-]?\d+(?![^\W\d_]))?|[^\w\s]|_")
LINE_ENDS = "\n\r\u2028\u2029\x85"
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+")
_VOWELS = frozenset("aeiou")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One word, number or mark of a text."""

    text: str  # as written
    base: str  # lower-cased base form; a mark stands for itself
    start: int  # offset in the text as it was given to `tokens`
    is_word: bool
    number: float | None = None
    begins_line: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Tokens in a row that are read together, and what they mean to the model."""

    first: int  # index of the first token
    last: int  # index of the last one, inclusive
    words: tuple[str, ...]  # canonical words, none for what says nothing
    known: bool  # whether these words are in the lexicon at all
    neutral: bool = False  # says nothing of the motion, and need not


def canonical(sentence: str) -> tuple[str, ...]:
    """The words of a sentence as the model is given them, in order, a word that follows itself once.

    Words that nobody has listed stay as they are, in lower case.
    """
    words = [word for reading in readings(tokens(sentence)) for word in reading.words]
    return tuple(word for before, word in zip(["", *words], words, strict=False) if word != before)


def is_neutral(word: str) -> bool:
    """Whether a written word says nothing of the motion: articles, "please", "character", "then"."""
    return base_form(normalise(word)) in lexicon.NEUTRAL


def normalise(text: str) -> str:
    """One spelling for what looks alike: compatibility forms, case, apostrophes, hyphens and accents."""
    plain = unicodedata.normalize("NFKD", text).casefold().replace("’", "'").replace("‑", "-").replace("–", "-")
    return "".join(c for c in plain if not unicodedata.combining(c))


def tokens(text: str) -> tuple[Token, ...]:
    """Words, numbers and marks of a text, with their base forms. Spaces are passed over."""
    found: list[Token] = []
    end = 0
    for match in _TOKEN.finditer(text):
        parts = list(_split(match.group(), match.start()))
        if not found or any(c in LINE_ENDS for c in text[end : match.start()]):
            parts[:1] = [replace(parts[0], begins_line=True)]
        found += parts
        end = match.end()
    return tuple(found)


def readings(written: tuple[Token, ...]) -> tuple[Reading, ...]:
    """What tokens mean, phrases first, a longer one before a shorter one. Marks and numbers have no reading of their own."""
    found: list[Reading] = []
    place = 0
    while place < len(written):
        reading = _phrase(written, place) or _single(written, place)
        if reading is None:
            place += 1
            continue
        found.append(reading)
        place = reading.last + 1
    return tuple(found)


def base_form(word: str) -> str:
    """The base form of a normalised word, where it leads to a listed one; else the word itself."""
    return next((base for base in _bases(word) if base in _LISTED), word)


def meaning(base: str) -> tuple[str, ...] | None:
    """Canonical words of a base form: none for a neutral or unused one, None where it is not listed."""
    return _MEANINGS.get(base)


def listed_words() -> frozenset[str]:
    """Every base form that a table has: what a misspelling may have meant."""
    return frozenset(_LISTED)


def _split(written: str, start: int) -> Iterator[Token]:
    word = normalise(written)
    if written[0].isdigit():
        yield Token(text=written, base=word, start=start, is_word=False, number=_number(word))
    elif not written[0].isalpha():
        yield Token(text=written, base=written, start=start, is_word=False)
    elif "-" in word and word not in NUMBERS and base_form(word) not in _LISTED:
        for part in re.finditer(r"[^‑-]+", written):  # "slow-motion" is two words where nobody lists it as one
            yield from _split(part.group(), start + part.start())
    else:
        number = NUMBERS.get(word)
        yield Token(
            text=written, base=base_form(word), start=start, is_word=True, number=None if number is None else float(number)
        )


def _number(written: str) -> float:
    """A number in digits: "2.5", "2,5", "1,000", "1e9". What is none, or is longer than any that means something, is infinite."""
    if len(written) > _LONGEST_NUMBER:
        return float("inf")
    plain = written.replace(",", "") if _THOUSANDS.fullmatch(written) else written.replace(",", ".")
    try:
        return float(plain)
    except ValueError:  # "1.2.3", or digits of another script
        return float("inf")


def _bases(word: str) -> Iterator[str]:
    """What a form can be a form of, the likeliest first."""
    if word in lexicon.IRREGULAR:
        yield lexicon.IRREGULAR[word]
    yield word
    for ending in ("n't", "'s", "'re", "'ll", "'d", "'ve", "'"):
        if word.endswith(ending):
            yield from _bases(word.removesuffix(ending))
    for ending, replacements in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            stem = word.removesuffix(ending)
            yield from (stem + replacement for replacement in replacements)
            if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in _VOWELS and ending in _DOUBLING:
                yield stem[:-1]


_LONGEST_NUMBER = 16
_THINGS = frozenset(("fire", "guard", "drive", "wash"))
_SUBJECTS = lexicon.words_of(
    """
    person someone somebody he she they figure character human man woman boy girl guy and then while to who fighter , . ; & is
    start begin before after
    """
)
_BLOWS = frozenset(("punch", "jab", "kick"))
_ENDINGS = (
    ("ies", ("y",)), ("es", ("", "e")), ("s", ("",)), ("ied", ("y",)), ("ed", ("", "e")), ("ying", ("ie", "y")),
    ("ing", ("", "e")), ("ically", ("ic",)), ("ally", ("al", "")), ("ily", ("y",)), ("ly", ("", "le")), ("er", ("", "e")),
    ("wards", ("ward",)),
)  # fmt: skip
_DOUBLING = frozenset(("ed", "ing", "er"))


def _meanings() -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for word in lexicon.NEUTRAL | lexicon.UNUSED:
        table[word] = ()
    for word, names in lexicon.SYNONYMS.items():
        for name in (word, *names.split()):
            table[name] = (word,)
    for name, words in lexicon.COMPOUNDS.items():
        table[name] = tuple(words.split())
    return table


_MEANINGS = _meanings()
_LISTED = (
    frozenset(_MEANINGS)
    | lexicon.DETERMINERS
    | lexicon.ELSEWHERE
    | {word for phrase in lexicon.PHRASES for word in phrase.split()}
)
_PHRASES: dict[str, list[tuple[str, ...]]] = {}
for _phrase_text in sorted(lexicon.PHRASES, key=lambda text: -len(text.split())):
    _words = tuple(_phrase_text.split())
    _PHRASES.setdefault(_words[0], []).append(_words)


def _phrase(written: tuple[Token, ...], place: int) -> Reading | None:
    for words in _PHRASES.get(written[place].base, ()):
        last = _match(written, place, words)
        if last is not None:
            said = lexicon.PHRASES[" ".join(words)]
            return Reading(first=place, last=last, words=tuple((said or "").split()), known=said is not None, neutral=said == "")
    return None


def _match(written: tuple[Token, ...], place: int, words: tuple[str, ...]) -> int | None:
    """Index of the last token of a phrase that begins at `place`; articles and numbers in between are passed over."""
    at = place + 1
    for word in words[1:]:
        while at < len(written) and written[at].base != word and _can_be_passed(written[at]):
            at += 1
        if at == len(written) or written[at].base != word:
            return None
        at += 1
    return at - 1


def _is_thing(written: tuple[Token, ...], place: int, *, determined: bool) -> bool:
    """Whether a word that can be said of the body names something else here: "two boxes", "the fire", "a guard"."""
    token = written[place]
    before = written[place - 1] if place else None
    if normalise(token.text) in ("box", "boxes"):
        return before is not None and before.base not in _SUBJECTS
    return token.base in _THINGS and (determined or (before is not None and before.base in ("by", "through", "on", "near", "of")))


def _can_be_passed(token: Token) -> bool:
    return token.number is not None or token.base in lexicon.DETERMINERS


def _single(written: tuple[Token, ...], place: int) -> Reading | None:
    token = written[place]
    if not token.is_word or token.number is not None:
        return None
    base = token.base
    if base in lexicon.NEUTRAL:
        return Reading(first=place, last=place, words=(), known=True, neutral=True)
    determined = place > 0 and written[place - 1].base in lexicon.DETERMINERS
    if _is_thing(written, place, determined=determined):
        return Reading(first=place, last=place, words=(), known=False)
    if base == "right" and place + 1 < len(written) and written[place + 1].base in ("after", "before", "away", "now"):
        return Reading(first=place, last=place, words=(), known=True, neutral=True)
    if base == "bow" and determined:  # the weapon: the courtesy is a phrase, "takes a bow"
        base = "arrow"
    if base == "pick" and not any(later.base == "up" for later in written[place + 1 : place + 6]):
        return Reading(first=place, last=place, words=(), known=False)
    if base == "loop" and not determined:  # "a loop" is a circle, "walk loop" an animation that repeats
        return Reading(first=place, last=place, words=(), known=False)
    if base == "throw" and any(later.base in _BLOWS for later in written[place + 1 : place + 5]):
        return Reading(first=place, last=place, words=(), known=True, neutral=True)  # "throws a quick punch" throws nothing
    words = meaning(base)
    if words is None:
        return Reading(first=place, last=place, words=(normalise(token.text),), known=False)
    return Reading(first=place, last=place, words=words, known=base not in lexicon.UNUSED)
