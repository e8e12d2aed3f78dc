# SPDX-License-Identifier: GPL-3.0-or-later
"""What the codes of the training motion tell: which first codes go with which words, and which further codes with which first.

The first code of four frames says what the body does, the further ones how exactly. What they are is nearly chance, but they
must fit each other from moment to moment; so they are taken from where the same first code stood between like neighbours, in
pieces as long as possible (unit selection, as in speech synthesis: Hunt and Black 1996). Which clip each comes from is kept:
a motion that follows one clip for long is that clip again, and is said to be.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .network import Floats, Ints, Networks

_REACH = 3  # tokens on either side that are compared
_NEARNESS = np.array([0.35, 0.6, 1.0, 0.0, 1.0, 0.6, 0.35], np.float32)  # how much each of them counts; the first code is equal
_CANDIDATES = 24
_CUT = 0.6  # what leaving a piece costs, in units of the codebook's usual distance
_ALIKE, _STRICT = 0.9, 6  # captions that fit less than this share of the best one do not count; the others by this power of it
_BESIDE = 1.0  # how much a word counts that a caption says beside those asked for
_RECOGNISED = 0.3  # the least fit of a caption that a motion is modelled on
_KEPT, _PINNED = 0.25, 0.5  # share of its moments that are kept because most happens there, and of the others
_NEAR = 0.35  # codes that are nearer than about this, in units of the usual distance, stand for each other
_LEAN_MOST = 3.0  # log of how much likelier or less likely words can make a code at most
_UNFIT = 0.4  # what it costs to take a token from a clip whose caption does not fit at all
_CHANCE = 0.2  # up to so much is added to what each place costs, so that two motions of the same first codes differ
_JUMP = 1.0  # how much the difference of what should come next to what comes counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """Moments of one training clip that a motion is held to."""

    codes: Ints  # [T] first codes, where pinned
    pinned: NDArray[np.bool_]  # [T]
    clip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    codes: Ints  # [T, levels]
    sources: Ints  # [T] places among the examples
    cost: float  # mean over the tokens


class Examples:
    """The codes of the training motion, as they stand in the weights."""

    def __init__(self, codes: Ints, runs: Ints, clips: tuple[str, ...], clip_of_run: Ints, words: Ints, books: Floats) -> None:
        """codes [M, levels]; runs [M], not falling: what belongs together; clips: names; clip_of_run [runs];
        words [runs, most]: indices of those in the captions, -1 for none; books [levels, codes, D]."""
        self._codes, self._runs = codes, runs
        self._clips, self._clip_of_run = clips, clip_of_run
        self._books = books
        self._said = np.zeros((len(clip_of_run), int(words.max(initial=0)) + 2), np.float32)
        np.put_along_axis(self._said, words, 1.0, axis=1)  # what is -1 goes into the last column, which is no word
        self._said[:, -1] = 0.0
        self._rarity = np.log(1.0 + len(self._said) / (1.0 + self._said.sum(axis=0))).astype(np.float32)
        first = books[0]
        squares = (first * first).sum(-1)
        apart = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2.0 * first @ first.T, 0.0))
        self._scale = float(np.median(apart)) or 1.0
        self._apart = (apart / self._scale).astype(np.float32)
        self._near = np.exp(-((self._apart / _NEAR) ** 2))
        self._order = np.argsort(codes[:, 0], kind="stable")
        self._bounds = np.searchsorted(codes[self._order, 0], np.arange(len(first) + 1))
        at = np.arange(len(codes))[:, None] + np.arange(-_REACH, _REACH + 1)
        inside = (at >= 0) & (at < len(codes))
        at = np.clip(at, 0, len(codes) - 1)
        inside &= runs[at] == runs[:, None]
        self._around = np.where(inside, codes[at, 0], -1)  # [M, 7]
        # A first code that no example has is taken for the nearest that one has.
        used = np.flatnonzero(np.diff(self._bounds))
        self._stand_in = used[np.argmin(self._apart[:, used], axis=1)]

    @classmethod
    def of(cls, networks: Networks) -> Examples:
        """The examples in the networks' weights."""
        stored = networks.examples
        return cls(stored.codes, stored.runs, stored.clips, stored.clip_of_run, stored.words, networks.codebooks)

    def leaning(self, words: Collection[int]) -> Floats:
        """How much likelier each first code [codes] is in clips whose captions are like these words than in all: logs."""
        weight = self._alike_runs(words)
        everywhere = np.bincount(self._codes[:, 0], minlength=len(self._apart)).astype(np.float32)
        if weight is None:
            return np.zeros_like(everywhere)
        # Clips count by their captions, whatever their length.
        each = (weight / np.bincount(self._runs, minlength=len(weight)))[self._runs]
        there = np.bincount(self._codes[:, 0], weights=each, minlength=len(self._apart))
        ratio = (self._near @ there / there.sum()) / (self._near @ everywhere / everywhere.sum())
        out: Floats = np.clip(np.log(np.maximum(ratio, 1e-9)), -_LEAN_MOST, _LEAN_MOST).astype(np.float32)
        return out

    def anchors(self, words: Collection[int], length: int, draw: np.random.Generator, *, from_start: bool) -> Anchors | None:
        """Moments, among `length` tokens, of a clip whose caption is like these words; None where there is none.

        Of a longer clip those `length` tokens in which most happens, or, `from_start`, its first ones.
        """
        alike = self._alike_runs(words, least=_RECOGNISED)
        if alike is None:
            return None
        runs = np.flatnonzero(alike)
        begins, ends = np.searchsorted(self._runs, runs), np.searchsorted(self._runs, runs, side="right")
        # A clip of about the length is neither cut nor left to hang.
        weight = alike[runs] * np.exp(-2.0 * np.abs(np.log((ends - begins) / length)))
        picked = int(draw.choice(len(runs), p=weight / weight.sum()))
        begin, end = int(begins[picked]), int(ends[picked])
        shown = min(end - begin, length)
        clip = self._codes[begin:end, 0]
        change = np.concatenate([self._apart[clip[:-1], clip[1:]], [0.0]])
        if not from_start and end - begin > shown:
            so_far = np.concatenate([[0.0], np.cumsum(change)])
            skip = int(np.argmax(so_far[shown:] - so_far[:-shown]))
            begin, clip, change = begin + skip, clip[skip:], change[skip:]
        codes, pinned = np.zeros(length, np.int64), np.zeros(length, np.bool_)
        codes[:shown] = clip[:shown]
        # The moments in which most happens are what the action is; of the others some.
        lively = np.convolve(change[:shown], np.ones(3), mode="same")
        pinned[:shown] = lively > np.quantile(lively, 1.0 - _KEPT)
        for block in range(0, shown, 2):
            pinned[block : block + 2] |= draw.random() < _PINNED
        pinned[0] = True
        pinned[shown:] = False
        return Anchors(codes=codes, pinned=pinned, clip=self._clips[int(self._clip_of_run[runs[picked]])])

    def _alike_runs(self, words: Collection[int], least: float = 1e-6) -> Floats | None:
        """How much each run [runs] counts for these words; None where the best fits less than `least`."""
        fit = self._fit(words)
        best = float(fit.max())
        return None if best < least else np.where(fit >= _ALIKE * best, (fit / best) ** _STRICT, 0.0).astype(np.float32)

    def _fit(self, words: Collection[int]) -> Floats:
        """How well the captions of each run [runs] fit, 0–1: what of the words they say, less a little for what else they say.
        Rare words count more."""
        asked = np.zeros(self._said.shape[1], np.float32)
        asked[[w for w in words if w < len(asked) - 1]] = 1.0
        both = (self._said * asked) @ self._rarity
        wanted, said = asked @ self._rarity, self._said @ self._rarity
        out: Floats = both / np.maximum(wanted + _BESIDE * (said - both), 1e-6)
        return out

    def choose(self, first: Ints, draw: np.random.Generator, *, before: int | None = None, words: Collection[int] = ()) -> Chosen:
        """All codes for the first codes [T], rather from clips whose captions fit the words; what fits about as well is drawn.
        `before`: the place that the token before them was taken from."""
        length = len(first)
        fit = self._fit(words)
        unfit = _UNFIT * (1.0 - fit / max(float(fit.max()), 1e-6))[self._runs]
        first = self._stand_in[first]
        places: list[Ints] = []
        back: list[NDArray[np.intp]] = []
        total = np.zeros(1, np.float32)
        previous = np.array([-1 if before is None else before])
        for t in range(length):
            found, cost = self._alike(first, t, unfit)
            cost = cost + _CHANCE * draw.random(len(cost), np.float32)
            step = total[:, None] + self._transition(previous, found)
            best = np.argmin(step, axis=0)
            total = step[best, np.arange(len(found))] + cost
            places.append(found)
            back.append(best)
            previous = found
        at = int(np.argmin(total))
        mean = float(total[at]) / max(length, 1)
        sources = np.empty(length, np.int64)
        for t in range(length - 1, -1, -1):
            sources[t] = places[t][at]
            at = int(back[t][at])
        return Chosen(codes=self._codes[sources].astype(np.int64), sources=sources, cost=mean)

    def pieces(self, sources: Ints) -> list[tuple[str, int, int]]:
        """(clip, first token, tokens) of what was taken in one piece, in order."""
        cuts = np.flatnonzero((np.diff(sources) != 1) | (np.diff(self._runs[sources]) != 0)) + 1
        edges = [0, *cuts.tolist(), len(sources)]
        return [(self._clips[int(self._clip_of_run[self._runs[sources[a]]])], a, b - a) for a, b in pairwise(edges)]

    def _alike(self, first: Ints, t: int, unfit: Floats) -> tuple[Ints, Floats]:
        """The places whose surroundings are most like those of token `t`, and how unlike they are."""
        code = int(first[t])
        found = self._order[self._bounds[code] : self._bounds[code + 1]]
        at = t + np.arange(-_REACH, _REACH + 1)
        known = (at >= 0) & (at < len(first))
        around = self._around[found]
        unlike = self._apart[np.maximum(around, 0), first[np.clip(at, 0, len(first) - 1)]]
        # Beyond the end of a clip nothing is known: as unlike as anything.
        cost = (np.where(around >= 0, unlike, 1.0) * np.where(known, _NEARNESS, 0.0)).sum(axis=1)
        cost = (cost / np.maximum(_NEARNESS[known].sum(), 1e-6) + unfit[found]).astype(np.float32)
        if len(found) > _CANDIDATES:
            kept = np.argpartition(cost, _CANDIDATES)[:_CANDIDATES]
            found, cost = found[kept], cost[kept]
        return found, cost

    def _transition(self, before: Ints, after: Ints) -> Floats:
        """[B, A]: 0 where the one is followed by the other in a clip, else by how unlike what followed was."""
        if before[0] < 0:
            return np.zeros((1, len(after)), np.float32)
        following = np.minimum(before + 1, len(self._codes) - 1)
        goes_on = self._runs[following] == self._runs[before]
        a, b = self._vectors(np.where(goes_on, following, before)), self._vectors(after)
        unlike = np.linalg.norm(a[:, None] - b[None], axis=-1) / self._scale
        cost = _CUT + _JUMP * unlike
        same = (following[:, None] == after[None]) & goes_on[:, None]
        return np.where(same, 0.0, cost).astype(np.float32)

    def _vectors(self, places: Ints) -> Floats:
        codes = self._codes[places]
        out: Floats = sum(self._books[level][codes[:, level]] for level in range(codes.shape[1]))
        return out
