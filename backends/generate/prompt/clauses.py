# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt taken apart: units of meaning, and clauses with what joins them.

Knows words that join or negate, and which words are actions; what clauses come to is for the reader of prompts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

from . import lexicon
from .actions import ACTIONS
from .amounts import Amount
from .words import Reading, Token, readings


class Joint(Enum):
    """How a clause hangs on the one before it."""

    START = "start"  # of a sentence
    THEN = "then"
    COMMA = "comma"
    AND = "and"
    WHILE = "while"
    ALONG = "along"  # a gerund without a word that joins it: "walks forward waving"
    BEFORE = "before"
    AFTER = "after"


class Use(Enum):
    """What became of a unit."""

    MATCHED = "matched"
    NEUTRAL = "neutral"
    UNMATCHED = "unmatched"


@dataclass(slots=True, kw_only=True)
class Unit:
    """Tokens that mean one thing: a word, a phrase, an amount or a mark."""

    first: int
    last: int
    words: tuple[str, ...] = ()  # canonical words that the model has
    action: str = ""  # the one of them that a clause can be about
    amount: Amount | None = None
    joins: bool = False  # says how clauses hang together, nothing else
    strange: bool = False  # nobody knows it, or the model was not taught it
    use: Use = Use.NEUTRAL


@dataclass(slots=True, kw_only=True)
class Clause:
    joint: Joint
    units: list[Unit] = field(default_factory=list)
    negated: bool = False
    opens: bool = False  # is the first of its sentence

    @property
    def actions(self) -> list[Unit]:
        return [unit for unit in self.units if unit.action]


GRAMMAR = frozenset(("diagonal",))  # the reader of prompts follows these; the model is not told

_THEN = lexicon.words_of("then afterwards afterward next finally lastly later subsequently thereafter until till eventually")
_WHILE = lexicon.words_of("while whilst meanwhile simultaneously")
_NOT = lexicon.words_of(
    "not without never no or neither nor cannot dont doesnt didnt isnt wont cant avoid instead except hardly barely refrain"
)
_SIMILE = ("like", "as if", "as though")
_NO_GERUND = lexicon.words_of(
    "something anything nothing everything during string king ring thing wing ceiling building evening morning spring"
)
STRUCTURE = _THEN | _WHILE | _NOT | {"followed", "plus", "like", "though"}
_LIGHT = lexicon.words_of("start begin keep continue try do be is are was were want get come")
LIMBS = frozenset(("hand", "leg", "knee", "hip", "shoulder", "head", "chest"))
_SIDES = (("left",), ("right",), ("both",))
_OBJECTS = frozenset(("chair", "ball", "window", "sword", "gun", "basketball", "bar"))
_INTRANSITIVE = lexicon.words_of("walk run jog turn spin roll sneak crawl jump hop move flip stop stand")
_MEASURES = lexicon.words_of("other whole entire opposite same mile lap bit little")
_MARKS = {
    **dict.fromkeys((".", "!", "?", ";", "…"), Joint.START),
    **dict.fromkeys((",", ":", "(", ")", "–", "—", "/"), Joint.COMMA),
    **dict.fromkeys(("&", "+"), Joint.AND),
    **dict.fromkeys((">", "→"), Joint.THEN),
}
_PRONOUNS = ("that", "this", "which", "it")


def units_of(written: Sequence[Token], amounts: Sequence[Amount], vocabulary: Collection[str]) -> list[Unit]:
    """The prompt as units, in order. Every token is in one."""
    found: list[Unit] = []
    place = 0
    bare = {amount.first: amount for amount in amounts if amount.is_bare and written[amount.first].number is not None}
    for amount in (*(a for a in amounts if a.first not in bare), None):
        end = len(written) if amount is None else amount.first
        found += _words(written, place, end, vocabulary, bare)
        if amount is not None:
            found.append(Unit(first=amount.first, last=amount.last, amount=amount))
            place = amount.last + 1
    for index in range(len(found)):
        _doubt(found, index, written)
    return found


def clauses_of(units: Sequence[Unit], written: Sequence[Token]) -> list[Clause]:
    """The units in clauses. A new line begins a sentence."""
    found = [Clause(joint=Joint.START, opens=True)]

    def begin(joint: Joint) -> None:
        last = found[-1]
        if last.units and any(unit.words or unit.strange or unit.amount for unit in last.units):
            found.append(Clause(joint=joint, opens=joint is Joint.START))
        else:
            both = {last.joint, joint}
            after_then = Joint.THEN in both and bool(both & {Joint.WHILE, Joint.BEFORE, Joint.AFTER})
            last.opens = last.opens or joint is Joint.START or after_then
            last.joint = max(joint, last.joint, key=lambda j: _RANK[j])

    place = 0
    simile = False
    while place < len(units):
        unit, token = units[place], written[units[place].first]
        if token.begins_line:
            begin(Joint.START)
            simile = False
        joint, taken = _joint(units, written, place)
        if joint is not None:
            begin(joint)
            simile = False
            for joining in units[place : place + taken]:
                joining.joins, joining.strange = True, False
                found[-1].units.append(joining)
            place += taken
            continue
        if unit.first == unit.last and is_negation(token):
            begin(Joint.ALONG)
            found[-1].negated = True
            unit.strange = True
        elif found[-1].actions and _is_simile(units, written, place):
            simile = True
        elif simile and unit.action and unit.words and len(unit.words) == 1:
            unit.action, unit.words, unit.strange = "", (), True  # "like a dancer" is no dance
        elif _splits_by_gerund(found[-1], units, written, place):
            begin(Joint.ALONG)
        found[-1].units.append(unit)
        place += 1
    listed = bool(found[0].actions) and _is_bare_gerund(found[0], written)  # "running, jumping, kicking"
    for clause in found:
        if clause.joint in (Joint.AND, Joint.COMMA) and _says_at_the_same_time(clause, written):
            clause.joint = Joint.WHILE
        if clause.joint is Joint.COMMA and not clause.opens and _goes_along(clause, written, listed=listed):
            clause.joint = Joint.ALONG
    return found


def _doubt(units: list[Unit], index: int, written: Sequence[Token]) -> None:
    """Take back an action that the words around it turn into something else."""
    unit = units[index]
    if not unit.action or unit.first != unit.last:
        return
    if unit.action == "turn" and index and written[units[index - 1].first].base == "in":  # "raises the arms in turn"
        unit.action, unit.words = "", ()
        return
    if index and units[index - 1].action == "stop" and written[unit.first].text.casefold().endswith("ing"):  # "stops walking"
        unit.action, unit.words, unit.strange = "", (), True
        return
    if unit.action not in _INTRANSITIVE:
        return
    at, determined = index + 1, False
    while at < len(units) and at < index + 4 and (_determines(units[at], written) or units[at].words in _SIDES):
        determined = determined or _determines(units[at], written)
        at += 1
    if at >= len(units):
        return
    following = units[at]
    if set(following.words) & LIMBS and at > index + 1:  # "moves the left arm" goes nowhere
        unit.action = ""
    elif determined and (
        set(following.words) & _OBJECTS
        or following.action
        or (following.strange and written[following.first].base not in _MEASURES)
    ):
        unit.action, unit.words, unit.strange = "", (), True  # "turns the page", "rolls a ball"


def _determines(unit: Unit, written: Sequence[Token]) -> bool:
    return not unit.words and written[unit.first].base in lexicon.DETERMINERS


def is_negation(token: Token) -> bool:
    """Whether a word says that something is not done."""
    text = token.text.casefold().replace("’", "'")
    return token.is_word and (text in _NOT or text.endswith("n't"))


def _says_at_the_same_time(clause: Clause, written: Sequence[Token]) -> bool:
    for unit, following in pairwise(clause.units):
        if written[unit.first].base == "same" and written[following.first].base == "time":
            unit.strange = False
            return True
    return False


def _is_bare_gerund(clause: Clause, written: Sequence[Token]) -> bool:
    """Whether a clause's action is the only form of its verb: "walking forward", not "he is walking forward"."""
    first = clause.actions[0].first
    return written[first].text.casefold().endswith("ing") and (first == 0 or written[first - 1].base not in _LIGHT)


def _goes_along(clause: Clause, written: Sequence[Token], *, listed: bool) -> bool:
    """Whether a clause after a comma says what is done meanwhile: ", waving", ", with both arms raised"."""
    said = [unit for unit in clause.units if not unit.joins]
    if not said or not clause.actions:
        return False
    if listed and not ACTIONS[clause.actions[0].action].upper_body:
        return False
    first, action = written[said[0].first].base, written[clause.actions[0].first].text.casefold()
    return first == "with" or (action.endswith("ing") and not any(unit.strange for unit in said[: said.index(clause.actions[0])]))


_RANK = {
    Joint.COMMA: 0, Joint.ALONG: 1, Joint.AND: 2, Joint.START: 3, Joint.THEN: 4, Joint.WHILE: 5, Joint.BEFORE: 6, Joint.AFTER: 6,
}  # fmt: skip


def _words(
    written: Sequence[Token], start: int, end: int, vocabulary: Collection[str], bare: Mapping[int, Amount]
) -> Iterator[Unit]:
    run = tuple(written[start:end])
    read = {reading.first: reading for reading in readings(run)}
    place = 0
    while place < len(run):
        reading = read.get(place)
        if reading is None and start + place in bare:
            yield Unit(first=start + place, last=start + place, amount=bare[start + place])
            place += 1
            continue
        if reading is None:
            yield Unit(first=start + place, last=start + place, strange=_is_strange_mark(run, place))
            place += 1
            continue
        passed = [at for at in range(start + reading.first, start + reading.last + 1) if at in bare]  # "takes two bows"
        yield from (Unit(first=at, last=at, amount=bare[at]) for at in passed)
        yield _unit(reading, run, start, vocabulary)
        place = reading.last + 1


def _unit(reading: Reading, run: Sequence[Token], start: int, vocabulary: Collection[str]) -> Unit:
    unit = Unit(first=start + reading.first, last=start + reading.last)
    if run[reading.first].base in GRAMMAR:
        unit.words = (run[reading.first].base,)
    elif reading.known:
        unit.words = tuple(word for word in reading.words if word in vocabulary)
        unit.action = max((word for word in unit.words if word in ACTIONS), key=lambda word: ACTIONS[word].kind.value, default="")
        lost = [word for word in reading.words if word not in vocabulary]
        if (any(word in ACTIONS for word in lost) and not unit.action) or (lost and not unit.words):
            unit.words, unit.strange = (), True
    else:
        unit.strange = True
    return unit


def _is_strange_mark(run: Sequence[Token], place: int) -> bool:
    """Whether something that is neither word nor used number should have meant something: a number, an emoji, a sign."""
    token = run[place]
    if token.number is not None:
        numbering = token.begins_line and run[place + 1 : place + 2] and run[place + 1].base in (".", ")")  # "1. walk forward"
        return token.base != "one" and not numbering
    return token.is_word or not (token.text.isascii() or token.text in "“”‘’«»…–—•·¿¡\u200d\ufe0f‚„´`")


def _joint(units: Sequence[Unit], written: Sequence[Token], place: int) -> tuple[Joint | None, int]:
    """The joint that a unit is, and how many units say it."""
    unit = units[place]
    if unit.first != unit.last or unit.words or unit.amount:
        return None, 0
    base, text = written[unit.first].base, written[unit.first].text.casefold()
    following = [written[later.first].base for later in units[place + 1 : place + 3]]
    if base in _MARKS:
        return _MARKS[base], 1
    if text == "followed" and following[:1] == ["by"]:
        return Joint.THEN, 2
    if base in _THEN or text == "followed":
        return Joint.THEN, 1
    if base in _WHILE or (base == "as" and _has_action_ahead(units, written, place)):
        return Joint.WHILE, 1
    if base in ("after", "before"):
        if base == "after" and following[:1] and following[0] in _PRONOUNS:
            return Joint.THEN, 2
        if base == "before" and following[:1] and following[0] in _PRONOUNS:
            return Joint.AFTER, 2
        return (Joint.AFTER if base == "after" else Joint.BEFORE), 1
    if base in ("and", "but", "plus"):
        return (Joint.THEN, 2) if following[:1] == ["after"] else (Joint.AND, 1)  # "walks, and after turning left waves"
    return None, 0


def _has_action_ahead(units: Sequence[Unit], written: Sequence[Token], place: int) -> bool:
    """Whether "as" begins a clause: somebody does something in it."""
    if place + 1 < len(units) and written[units[place + 1].first].base in ("if", "though"):
        return False
    ahead = units[place + 1 : place + 4]
    return bool(ahead) and written[ahead[0].first].base in lexicon.NEUTRAL and any(unit.action for unit in ahead)


def _is_simile(units: Sequence[Unit], written: Sequence[Token], place: int) -> bool:
    base = written[units[place].first].base
    following = written[units[place + 1].first].base if place + 1 < len(units) else ""
    return base == "like" or (base == "as" and following in ("if", "though"))


def _splits_by_gerund(clause: Clause, units: Sequence[Unit], written: Sequence[Token], place: int) -> bool:
    """Whether a clause that has its action goes on with another one: "walks waving", "walks carrying a box", "bends to jump"."""
    unit, token = units[place], written[units[place].first]
    if not clause.actions or clause.negated or not token.is_word:
        return False
    text, before = token.text.casefold(), written[units[place - 1].first].base if place else ""
    if before in _LIGHT:
        return False
    is_gerund = text.endswith("ing") and len(text) > 4 and text not in _NO_GERUND
    return is_gerund and bool(unit.action or unit.strange)
