# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments in the making: which clause follows which, which go together, and which words were of no use.

Knows clauses and actions; numbers get their meaning in `parse` and `control`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from . import lexicon
from .actions import ACTIONS, Kind
from .amounts import Measure
from .clauses import GRAMMAR, LIMBS, Clause, Joint, Unit, Use
from .control import ARM_POSES, PATHS, SIDES, WAYS, Entry
from .words import Token

_MANY = ("dance", "martial_arts")  # tags of what is made of many moves
_ALIKE = (*_MANY, "sword", "exercise", "acrobatics", "shoot", "idle", "gesture")  # tags whose actions are aspects of one
_MOVES = ("jump", "kick", "punch", "block", "crouch", "spin", "turn", "footwork", "flip", "acrobatic", "stance", "move", "hop")
_COMBINED = (
    {"jump", "kick"}, {"jump", "punch"}, {"jump", "backflip"}, {"jump", "cheer"}, {"dive", "roll"}, {"dive", "jump"},
    {"slash", "swing"}, {"fall", "lie"}, {"crouch", "walk"}, {"crouch", "move"}, {"crouch", "shuffle"}, {"crouch", "sneak"},
    {"walk", "shuffle"}, {"walk", "dribble"}, {"run", "dribble"}, {"jog", "dribble"}, {"sit", "meditate"}, {"sit", "drive"},
    {"kneel", "repair"}, {"stance", "punch"}, {"stance", "kick"}, {"stance", "block"}, {"stance", "karate"}, {"hop", "jump"},
    {"lie", "rise"}, {"sit", "rise"}, {"run", "accelerate"}, {"hang", "swing"}, {"roll", "jump"},
    {"walk", "push"}, {"crawl", "push"}, {"shuffle", "push"},
)  # fmt: skip

_BY_AND = ({"walk", "push"}, {"walk", "dribble"}, {"run", "dribble"}, {"jog", "dribble"}, {"fall", "lie"}, {"dive", "roll"})


@dataclass(slots=True, kw_only=True)
class Draft:
    """One segment in the making."""

    entries: list[Entry] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)  # in the prompt's order

    @property
    def main(self) -> Entry:
        """The action that names the segment: what takes most of the body, the first of equals."""
        return max(self.entries, key=lambda entry: entry.rank)

    def amounts(self, measure: Measure) -> list[Unit]:
        return [u for u in self.units if u.amount is not None and u.amount.measure is measure and u.use is Use.MATCHED]


@dataclass(slots=True, kw_only=True)
class Whole:
    """What is said of the prompt as a whole."""

    seconds: float | None = None
    repeats: int = 1


def drafts_of(clauses: Sequence[Clause], written: Sequence[Token], *, taught: Collection[str]) -> tuple[list[Draft], Whole]:
    """Drafts in the order of time, and what is said of all of them. Marks in every unit what became of it."""
    return _Assembly(clauses, written, taught=taught).run()


class _Assembly:
    def __init__(self, clauses: Sequence[Clause], written: Sequence[Token], *, taught: Collection[str]) -> None:
        self._clauses = clauses
        self._written = written
        self._taught = taught
        self._drafts: list[Draft] = []
        self._whole = Whole()
        self._waiting: list[Clause] = []  # modifiers before any action: "slowly, a person walks"
        self._held: list[Draft] = []  # "before …," at the beginning: comes after what follows
        self._during = False  # "while …," at the beginning: goes together with what follows
        self._dropped = False  # the clause before meant nothing, so what is said of it means nothing either

    def run(self) -> tuple[list[Draft], Whole]:
        for index, clause in enumerate(self._clauses):
            if clause.negated:
                _refuse(clause.units)
            elif any(unit.strange and self._written[unit.first].base in lexicon.ELSEWHERE for unit in clause.units):
                _refuse(clause.units)
                self._dropped = True
            elif (part := self._part(clause)) is not None:
                self._take(clause, part)
            else:
                self._take_modifiers(clause, index)
        self._drafts += self._held
        for clause in self._waiting:
            if self._drafts:
                _attach(clause, self._drafts[0], self._written)
            else:
                _refuse(clause.units)
        return self._drafts, self._whole

    def _take(self, clause: Clause, part: list[Draft]) -> None:
        """A clause that says what is done."""
        joint = clause.joint
        self._dropped = False
        self._move_amounts(part)
        for early in self._waiting:
            _attach(early, part[0], self._written)
        self._waiting = []
        if clause.opens and joint is Joint.BEFORE:
            self._held += part
            return
        if clause.opens and joint is Joint.WHILE:
            self._drafts += part
            self._during = True
            return
        if self._during:
            joint, self._during = Joint.WHILE, False
        if joint is Joint.AFTER and self._drafts and not clause.opens:
            self._drafts[-1:-1] = part
        elif self._drafts and _together(self._drafts[-1], part[0], joint):
            _merge(self._drafts[-1], part[0])
            self._drafts += part[1:]
        elif self._drafts and joint is Joint.WHILE:  # two things that nobody has been recorded doing at once
            for draft in part:
                _refuse(draft.units)
        else:
            self._drafts += part
        self._drafts += self._held
        self._held = []

    def _take_modifiers(self, clause: Clause, index: int) -> None:
        """A clause that says how, where or how long, or nothing that is known."""
        strange = any(unit.strange for unit in clause.units)
        if not strange and not any(unit.words or unit.amount for unit in clause.units):
            return
        last = index == len(self._clauses) - 1
        if not strange and self._take_whole(clause, last=last):
            return
        following = self._clauses[index + 1] if not last else None
        ahead = clause.opens and following is not None and not following.opens
        if strange or (self._dropped and not clause.opens):
            _refuse(clause.units)
            self._dropped = True
        elif self._drafts and self._goes_on(clause):
            self._again(clause)
        elif not self._drafts or ahead:
            self._waiting.append(clause)
        else:
            _attach(clause, self._drafts[-1], self._written)

    def _goes_on(self, clause: Clause) -> bool:
        """Whether modifiers make a segment of their own: "walks forward, then backward", "turns left and right"."""
        words = {word for unit in clause.units for word in unit.words}
        if clause.joint is Joint.THEN:
            return bool(words & _OTHERWISE) and not self._drafts[-1].amounts(Measure.COUNT)  # "two punches, left then right"
        ways = set(self._drafts[-1].main.ways)
        return clause.joint is Joint.AND and any(pair <= words | ways and pair & words and pair & ways for pair in _OPPOSITE)

    def _again(self, clause: Clause) -> None:
        """The action of the last segment once more, in another way; nothing where that action has no such way."""
        entry = Entry(word=self._drafts[-1].main.word)
        draft = Draft(entries=[entry])
        _attach(clause, draft, self._written)
        first = next((unit for unit in clause.units if unit.words and unit.use is Use.MATCHED), None)
        if first is None:
            _refuse(clause.units)
            return
        first.words = (entry.word, *first.words)
        self._drafts.append(draft)

    def _take_whole(self, clause: Clause, *, last: bool) -> bool:
        """Whether a clause of nothing but amounts is said of the whole prompt: "…, for 6 seconds in all", "…, twice"."""
        amounts = [unit.amount for unit in clause.units if unit.amount is not None]
        if not amounts or any(unit.words for unit in clause.units):
            return False
        if any(a.measure not in (Measure.SECONDS, Measure.COUNT) for a in amounts):
            return False
        tail = clause.joint in (Joint.COMMA, Joint.START) and len(self._drafts) > 1
        rest_is_alike = all(not later.actions for later in self._clauses[self._clauses.index(clause) :])
        if not any(a.whole for a in amounts) and not (tail and (last or rest_is_alike)):
            return False
        for unit in clause.units:
            if unit.amount is not None:
                self._say_of_all(unit)
        return True

    def _say_of_all(self, unit: Unit) -> None:
        assert unit.amount is not None
        unit.use = Use.MATCHED
        if unit.amount.measure is Measure.SECONDS:
            self._whole.seconds = unit.amount.value
        else:
            self._whole.repeats = int(unit.amount.value)

    def _move_amounts(self, part: list[Draft]) -> None:
        """Amounts inside a clause that are not said of its action."""
        for draft in part:
            for unit in draft.amounts(Measure.SECONDS):
                assert unit.amount is not None
                if unit.amount.whole:
                    draft.units.remove(unit)
                    self._say_of_all(unit)
                elif unit.amount.after:
                    draft.units.remove(unit)
                    if self._drafts and not self._drafts[-1].amounts(Measure.SECONDS):
                        self._drafts[-1].units.append(unit)
                    else:
                        unit.use = Use.UNMATCHED

    def _part(self, clause: Clause) -> list[Draft] | None:
        """The drafts of one clause, mostly one; None where it has no action."""
        if not clause.actions:
            strides = [u for u in clause.units if u.amount is not None and u.amount.measure is Measure.STEPS]
            round_ = [u for u in clause.units if u.amount is not None and u.amount.measure is Measure.ANGLE]
            does = any(self._written[u.first].base in _DOES for u in clause.units if not u.amount)
            if any(u.strange for u in clause.units):
                return None
            if strides and "walk" in self._taught:
                strides[0].words, strides[0].action = ("walk",), "walk"  # "takes 3 steps back"
            elif round_ and does and "turn" in self._taught:
                round_[0].words, round_[0].action = ("turn",), "turn"  # "does a 360"
            else:
                return None
        part = [Draft()]
        _drop_agents(clause, self._written)
        early: list[Unit] = []  # said before the first action
        for index, unit in enumerate(clause.units):
            draft = part[-1]
            if unit.action:
                entry = Entry(word=unit.action)
                if draft.entries and not _fit(draft, entry) and not _is_compound(clause.units, index):
                    draft = Draft()
                    part.append(draft)
                draft.entries.append(entry)
                for modifier in early:
                    _say(modifier, entry, clause.units, self._written)
                early = []
                draft.units.append(unit)
                _say(unit, entry, clause.units, self._written)
                continue
            draft.units.append(unit)
            if unit.strange:
                unit.use = Use.UNMATCHED
            elif not (unit.words or unit.amount):
                unit.use = Use.NEUTRAL
            elif not draft.entries or _belongs_to_next(clause.units, index):
                early.append(unit)
            else:
                _say(unit, draft.entries[-1], clause.units, self._written)
        for modifier in early:
            _say(modifier, part[-1].entries[-1], clause.units, self._written)
        return part


_AGENTS = ("boxer", "dancer", "archer", "referee", "b-boy", "b-girl", "breakdancer", "breaker")
_OTHERWISE = WAYS | LIMBS | {"fast", "slow"}
_OPPOSITE = ({"left", "right"}, {"forward", "backward"})
_DOES = ("do", "make", "perform")


def _drop_agents(clause: Clause, written: Sequence[Token]) -> None:
    """Forget what somebody is where it is said what they do: "a boxer walks" hits nobody."""
    for unit in clause.actions:
        text = written[unit.first].text.casefold().removesuffix("s")
        agent = text in _AGENTS or (text.endswith("er") and written[unit.first].base != text)
        others = [other.action for other in clause.actions if other is not unit]
        kin = any(a in (unit.action, "move") or ACTIONS[a].tag == ACTIONS[unit.action].tag for a in others)
        if agent and others and not kin:
            unit.action, unit.words = "", ()


def _refuse(units: Sequence[Unit]) -> None:
    for unit in units:
        if unit.words or unit.amount or unit.strange:
            unit.use = Use.UNMATCHED


def _attach(clause: Clause, draft: Draft, written: Sequence[Token]) -> None:
    """Modifiers of their own, said of the last action of a draft."""
    for unit in clause.units:
        if unit.words or unit.amount:
            _say(unit, draft.entries[-1], clause.units, written)
    draft.units = sorted(draft.units + clause.units, key=lambda unit: unit.first)


def _say(unit: Unit, entry: Entry, around: Sequence[Unit], written: Sequence[Token]) -> None:
    """Let a unit count for an action, or find that it cannot."""
    unit.use = Use.MATCHED
    amount = unit.amount
    if amount is not None and amount.measure is Measure.ANGLE:
        if entry.action.kind is Kind.TURN or entry.action.turns:
            entry.angle = (entry.angle or 0.0) + amount.value
        else:
            unit.use = Use.UNMATCHED
        return
    if unit.words == ("back",) and not _is_body_back(unit, around, written):
        if any(u.amount is not None and u.amount.measure is Measure.STEPS for u in around):
            unit.words = ("backward",)
        else:  # "walks back" may be backward, or turning round and returning
            unit.words, unit.use = (), Use.UNMATCHED
            return
    on_body = _is_side_of_body(unit, around, written)
    free = entry.action.kind in (Kind.TRAVEL, Kind.TURN, Kind.BODY)
    for word in unit.words:
        if word in SIDES and (on_body or not free):
            if not on_body:  # nobody was recorded waving or sitting down to one side
                unit.words, unit.use = tuple(w for w in unit.words if w not in SIDES), Use.UNMATCHED
            continue
        if word in WAYS:
            entry.ways.append(word)
        elif word in PATHS:
            entry.paths.add(word)
    unit.words = tuple(word for word in unit.words if word not in GRAMMAR)


def _is_side_of_body(unit: Unit, around: Sequence[Unit], written: Sequence[Token]) -> bool:
    """Whether "left" or "right" is that of a hand: "the left hand", "with the left"."""
    if not set(unit.words) & set(SIDES):
        return False
    if set(unit.words) & LIMBS:
        return True
    at = next((i for i, other in enumerate(around) if other is unit), -1)
    following = next((other for other in around[at + 1 :] if other.words or other.strange), None)
    if following is not None and following.first == unit.last + 1 and set(following.words) & LIMBS:
        return True
    before = [written[i].base for i in range(max(unit.first - 2, 0), unit.first)]
    return (
        len(before) == 2
        and before[1] in ("the", "his", "her", "their", "its", "my")
        and before[0] not in ("to", "toward", "towards", "on")
    )


def _is_body_back(unit: Unit, around: Sequence[Unit], written: Sequence[Token]) -> bool:
    before = written[unit.last - 1].base if unit.last else ""
    return before in ("the", "his", "her", "their", "its", "hunch", "hunched") or unit.first != unit.last


def _belongs_to_next(units: Sequence[Unit], index: int) -> bool:
    """Whether a modifier stands right before an action that is a noun: "walks into a left turn", "does a quick jump"."""
    if index + 1 >= len(units) or not units[index + 1].action:
        return False
    return bool(set(units[index].words) & {*SIDES, "full", "slight", "fast", "slow"}) or units[index].amount is not None


def _fit(draft: Draft, entry: Entry) -> bool:
    """Whether an action goes together with all those of a draft."""
    return all(_go_together(other, entry) for other in draft.entries)


def _go_together(one: Entry, other: Entry) -> bool:
    """Whether two things can be done at the same time, as far as anybody was recorded doing so."""
    if one.word == other.word or {one.word, other.word} in _COMBINED:
        return True
    kinds = {one.action.kind, other.action.kind}
    if one.action.tag == other.action.tag and one.action.tag in _ALIKE:
        return True
    if kinds in ({Kind.STATIC}, {Kind.UPPER}):
        return True
    if Kind.UPPER in kinds:
        upper, rest = (one, other) if one.action.upper_body else (other, one)
        return upper.action.on_top or rest.action.kind in (Kind.STATIC, Kind.POSTURE)
    if Kind.TURN in kinds:
        rest = other if one.action.kind is Kind.TURN else one
        return rest.action.turns or rest.action.kind in (Kind.STATIC, Kind.TURN)
    if "stop" in (one.word, other.word):
        return False
    if Kind.STATIC in kinds:
        return Kind.TRAVEL not in kinds
    many = next((e for e in (one, other) if e.action.tag in _MANY), None)
    if many is not None:
        rest = other if many is one else one
        return rest.word in _MOVES
    return "move" in (one.word, other.word)


def _is_compound(units: Sequence[Unit], index: int) -> bool:
    """Whether two actions side by side are one: "jump kick", "crouch walk"."""
    return index > 0 and bool(units[index - 1].action) and not units[index - 1].amount


def _together(last: Draft, new: Draft, joint: Joint) -> bool:
    """Whether a clause is done at the same time as the one before it."""
    if not all(_go_together(one, other) for one in last.entries for other in new.entries):
        return False
    before, after = last.main, new.main
    if joint in (Joint.WHILE, Joint.ALONG):
        return True
    if joint is not Joint.AND or "stop" in (before.word, after.word):
        return False
    if any(unit.amount for unit in last.units):  # "walks for 3 seconds and waves"
        return False
    kinds = (before.action.kind, after.action.kind)
    if Kind.UPPER in kinds and Kind.TRAVEL in kinds:
        return True
    if kinds == (Kind.UPPER, Kind.UPPER):
        return before.word in ARM_POSES or after.word in ARM_POSES or before.action.tag == after.action.tag
    if kinds[1] is Kind.UPPER:
        return kinds[0] in (Kind.STATIC, Kind.POSTURE) and before.word not in ("lie",)
    if kinds[1] is Kind.TURN:
        return before.action.turns
    if any(entry.word == "stance" for entry in last.entries):
        return True
    many = before.action.tag in _MANY
    return (
        (many and (after.word in _MOVES or after.action.tag == before.action.tag))
        or after.word == "move"
        or {before.word, after.word} in _BY_AND
    )


def _merge(into: Draft, other: Draft) -> None:
    """Two drafts at the same time. How often and how long the lesser one goes cannot be kept apart: it is not used."""
    main = max(into.main, other.main, key=lambda entry: entry.rank)
    lesser = other if any(entry is main for entry in into.entries) else into
    greater = into if lesser is other else other
    for unit in lesser.amounts(Measure.COUNT):
        unit.use = Use.UNMATCHED
    if greater.amounts(Measure.SECONDS):
        for unit in lesser.amounts(Measure.SECONDS):
            unit.use = Use.UNMATCHED
    into.entries += other.entries
    into.units = sorted(into.units + other.units, key=lambda unit: unit.first)
