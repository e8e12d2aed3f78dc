# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of prompts: from text as people write it to a timeline, with every word accounted for.

Whatever is not surely understood is reported as not used. Knows no network and no arrays.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import replace

from ....queue.errors import MotionQueueError
from ..timeline import Segment, Timeline
from . import amounts, lexicon
from .actions import ACTIONS, PACES
from .amounts import MAX_SECONDS, MAX_SPEED, MIN_SECONDS, Measure, find_amounts
from .clauses import STRUCTURE, Unit, Use, clauses_of, is_negation, units_of
from .control import SIDES, control_of, metres_per_second
from .drafts import Draft, Whole, drafts_of
from .spelling import probable
from .words import LINE_ENDS, Token, listed_words, meaning, tokens

MAX_CHARACTERS = 2000
MAX_SEGMENTS = 20
_MOST_UNKNOWN = 40

_GOES = ("move", "shuffle")  # who "moves to the left" walks; in the training captions dancers do, and no shuffle goes sideways
_STRUCTURE = lexicon.DETERMINERS | STRUCTURE | amounts.WORDS


def read_prompt(text: str, *, vocabulary: Collection[str]) -> Timeline:
    """What a prompt asks for. `vocabulary` is the set of canonical words that the model was taught.

    Raises `MotionQueueError`: `prompt_empty` (no letters), `prompt_too_long`, `prompt_characters` (control characters),
    `prompt_not_understood` (nothing usable; the message lists what is known), `prompt_too_many_parts`, `invalid_duration`,
    `invalid_count`, `invalid_amount`.
    """
    _check_text(text)
    written, corrected = _corrected(tokens(text))
    taught = frozenset(vocabulary)
    actions = {word for word in ACTIONS if word in taught}
    countable = {
        token.base for token in written if token.is_word and token.base != "box" and set(meaning(token.base) or ()) & actions
    }
    units = units_of(written, find_amounts(written, countable), taught)
    clauses = clauses_of(units, written)
    drafts, whole = drafts_of(clauses, written, taught=taught)
    segments = _in_all(tuple(_segment(draft, text, written) for draft in drafts), whole) if drafts else ()
    matched, unmatched = (_texts(units, written, use) for use in (Use.MATCHED, Use.UNMATCHED))
    if not segments:
        raise _not_understood(unmatched, actions)
    return Timeline(
        prompt=text,
        segments=segments,
        matched=matched,
        unmatched=unmatched,
        corrected=tuple(pair for pair in corrected if pair[0] not in unmatched),
    )


def _check_text(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise MotionQueueError(
            "prompt_too_long",
            f"The prompt has {len(text):,} characters; {MAX_CHARACTERS:,} is the most. Shorten it, or make several jobs of it.",
            details={"prompt": f"longer than {MAX_CHARACTERS:,} characters"},
        )
    bad = next((c for c in text if c not in LINE_ENDS + "\t" and _is_control(c)), None)
    if bad is not None:
        raise MotionQueueError(
            "prompt_characters",
            f"The prompt has a control character (U+{ord(bad):04X}, place {text.index(bad) + 1}). Paste it as plain text.",
            details={"prompt": f"control character U+{ord(bad):04X}"},
        )
    if not any(c.isalpha() for c in text):
        raise MotionQueueError(
            "prompt_empty",
            "The prompt has no words. Say what the character does, for example “a person walks forward and waves”.",
            details={"prompt": "no words"},
        )


def _is_control(character: str) -> bool:
    turns_text = "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
    return turns_text or unicodedata.category(character) in ("Cc", "Cs", "Co")


def _corrected(written: tuple[Token, ...]) -> tuple[tuple[Token, ...], tuple[tuple[str, str], ...]]:
    """The tokens with misspelt words put right, and each correction once."""
    found: dict[str, str] = {}
    tried: dict[str, str | None] = {}
    result = []
    for token in written:
        base = None
        unlisted = token.is_word and token.number is None and token.base not in listed_words()
        if unlisted and token.text.casefold() not in _STRUCTURE and not is_negation(token):
            if token.text not in tried:  # a text of which little is known has more than slips
                tried[token.text] = probable(token.text) if len(tried) < _MOST_UNKNOWN else None
            base = tried[token.text]
        if base is not None:
            found[token.text] = base
        result.append(token if base is None else replace(token, base=base))
    return tuple(result), tuple(found.items())


def _segment(draft: Draft, text: str, written: Sequence[Token]) -> Segment:
    main = draft.main
    words = [word for unit in draft.units if unit.use is Use.MATCHED for word in unit.words]
    speeds = draft.amounts(Measure.SPEED)
    speed = speeds[-1].amount.value if speeds and speeds[-1].amount is not None else None
    control = control_of(main, draft.entries, words, speed)
    if main.word in _GOES and (control.left or (main.word == "move" and main.ways)):
        words = ["walk" if word == main.word else word for word in words]
    if {"hand", "overhead"} <= set(words) and not {"both", *SIDES} & set(words) and _many_hands(draft, written):
        words.insert(words.index("hand"), "both")
    seconds, repeats = _time(draft)
    metres = _metres(draft, main.word)
    if metres is not None:
        usual = metres_per_second(control)
        if usual == 0.0:
            _unused(draft, Measure.METRES, Measure.STEPS)
        elif seconds is None and main.action.travels:
            seconds = metres / usual
            _check_seconds(seconds, f"{metres:g} metres")
        elif control.forward is not None and control.left is not None:
            seconds = main.action.seconds if seconds is None else seconds  # one jump takes its time, however far it goes
            factor = metres / seconds / usual
            control = replace(control, forward=round(control.forward * factor, 3), left=round(control.left * factor, 3))
            _check_speed(metres / seconds, f"{metres:g} metres in {seconds:g} seconds")
    if speed is not None and metres_per_second(control) == 0.0:
        _unused(draft, Measure.SPEED)
    said = [unit for unit in draft.units if not unit.joins]
    first, last = min(u.first for u in said), max(u.last for u in said)
    return Segment(
        text=text[written[first].start : written[last].start + len(written[last].text)].strip(" ,.;"),
        words=tuple(word for before, word in zip(["", *words], words, strict=False) if word != before),
        action=main.word,
        seconds=None if seconds is None else round(seconds, 3),
        repeats=repeats,
        control=control,
    )


def _many_hands(draft: Draft, written: Sequence[Token]) -> bool:
    """Whether arms are spoken of, not an arm."""
    said = {written[at].text.casefold() for unit in draft.units for at in range(unit.first, unit.last + 1)}
    return bool(said & {"arms", "hands"})


def _time(draft: Draft) -> tuple[float | None, int]:
    """Seconds of one repetition, and how many there are. "Twice for 4 seconds" is 4 in all, "for 4 seconds, twice" 4 each."""
    counts, lengths = draft.amounts(Measure.COUNT), draft.amounts(Measure.SECONDS)
    for unit in counts[:-1] + lengths[:-1]:
        unit.use = Use.UNMATCHED
    repeats = int(counts[-1].amount.value) if counts and counts[-1].amount is not None else 1
    if not lengths or lengths[-1].amount is None:
        return None, repeats
    seconds = lengths[-1].amount.value
    if counts and counts[-1].first < lengths[-1].first:
        seconds /= repeats
        _check_seconds(seconds, f"{repeats} times in {seconds * repeats:g} seconds")
    return seconds, repeats


def _metres(draft: Draft, action: str) -> float | None:
    metres, steps = draft.amounts(Measure.METRES), draft.amounts(Measure.STEPS)
    if action not in PACES or not (ACTIONS[action].travels or draft.main.ways):
        _unused(draft, Measure.METRES, Measure.STEPS)
        return None
    for unit in metres[:-1] + (steps if metres else steps[:-1]):
        unit.use = Use.UNMATCHED
    if metres and metres[-1].amount is not None:
        return metres[-1].amount.value
    if steps and steps[-1].amount is not None:
        return steps[-1].amount.value * PACES[action].step
    return None


def _unused(draft: Draft, *measures: Measure) -> None:
    for measure in measures:
        for unit in draft.amounts(measure):
            if not unit.action:
                unit.use = Use.UNMATCHED


def _in_all(segments: tuple[Segment, ...], whole: Whole) -> tuple[Segment, ...]:
    """What is said of the whole prompt, spread over its segments; parts without a length share what the others leave."""
    if whole.seconds is not None:
        said = sum((s.seconds or 0.0) * s.repeats for s in segments)
        usual = sum(ACTIONS[s.action].seconds * s.repeats for s in segments if s.seconds is None)
        left = whole.seconds - said
        if usual:
            _check_seconds(
                min(left * ACTIONS[s.action].seconds / usual for s in segments if s.seconds is None), "what is left for a part"
            )
        factor = whole.seconds / said if said and not usual else 1.0
        segments = tuple(
            replace(
                s, seconds=round(s.seconds * factor if s.seconds is not None else left * ACTIONS[s.action].seconds / usual, 3)
            )
            for s in segments
        )
    if len(segments) == 1:
        segments = (replace(segments[0], repeats=segments[0].repeats * whole.repeats),)
    else:
        segments *= whole.repeats
    if len(segments) > MAX_SEGMENTS:
        raise MotionQueueError(
            "prompt_too_many_parts",
            f"The prompt asks for {len(segments)} things one after the other; {MAX_SEGMENTS} is the most. Make several jobs.",
            details={"prompt": f"more than {MAX_SEGMENTS} parts"},
        )
    total = sum((ACTIONS[s.action].seconds if s.seconds is None else s.seconds) * s.repeats for s in segments)
    if total > MAX_SECONDS + 1e-6:
        raise MotionQueueError(
            "invalid_duration",
            f"The prompt asks for about {total:.0f} seconds; {MAX_SECONDS:g} is the most. Shorten it, or make several jobs.",
            details={"prompt": f"longer than {MAX_SECONDS:g} seconds"},
        )
    return segments


def _check_seconds(seconds: float, said: str) -> None:
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise MotionQueueError(
            "invalid_duration",
            f"{said[0].upper()}{said[1:]} comes to {seconds:.3g} seconds. Ask for {MIN_SECONDS:g} to {MAX_SECONDS:g}.",
            details={"prompt": f"{said}: outside {MIN_SECONDS:g} to {MAX_SECONDS:g} seconds"},
        )


def _check_speed(speed: float, said: str) -> None:
    if speed > MAX_SPEED:
        raise MotionQueueError(
            "invalid_amount",
            f"{said} is {speed:.3g} metres per second; {MAX_SPEED:g} is the most. Ask for a shorter way or a longer time.",
            details={"prompt": f"{said}: faster than {MAX_SPEED:g} metres per second"},
        )


def _texts(units: Sequence[Unit], written: Sequence[Token], use: Use) -> tuple[str, ...]:
    """Words as written, each once, of the units that came to `use`."""
    found: dict[str, None] = {}
    for unit in units:
        if unit.use is use:
            for token in written[unit.first : unit.last + 1]:
                idle = use is Use.UNMATCHED and unit.amount is None and token.base in lexicon.NEUTRAL and not is_negation(token)
                if not (idle or _is_punctuation(token)):
                    found[token.text] = None
    return tuple(found)


def _is_punctuation(token: Token) -> bool:
    return not token.is_word and token.number is None and unicodedata.category(token.text[0])[0] in "PZCM"


def _not_understood(unmatched: tuple[str, ...], actions: Collection[str]) -> MotionQueueError:
    known = ", ".join(word for word in ACTIONS if word in actions and word not in ("move",))
    listed = ", ".join(unmatched[:12])
    return MotionQueueError(
        "prompt_not_understood",
        f"Nothing in the prompt is a motion that is known{f' (not understood: {listed})' if listed else ''}. "
        f"Prompts are English; known are: {known}.",
        details={"prompt": "no known action", "known": known, **({"unmatched": ", ".join(unmatched)} if unmatched else {})},
    )
