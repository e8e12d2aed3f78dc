# SPDX-License-Identifier: GPL-3.0-or-later
"""Who answers a prompt with motion: the generator, or the training clip whose caption is nearest. Both return a `Made`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Protocol

from ....backends.generate.generator import GenerateOptions, Generator
from ....backends.generate.prompt.words import canonical
from ....queue.errors import MotionQueueError
from .body import Track, mirrored, track
from .pack import Clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One answer."""

    prompt: str
    seed: int
    track: Track | None  # None: refused
    error: str = ""  # code of the refusal
    source: str = ""  # the clip it is, or that it follows for two seconds or more and says so


_SEEDS = 10  # answers that differ


class Maker(Protocol):
    name: str

    def make(self, prompt: str, seconds: float | None, seed: int) -> Made: ...


class Model:
    """The generator that is measured."""

    name = "generator"

    def __init__(self, weights: Path | None) -> None:
        """Raises what loading the weights raises."""
        self._generator = Generator.load(weights)

    def make(self, prompt: str, seconds: float | None, seed: int) -> Made:
        try:
            generated = self._generator.generate(prompt, GenerateOptions(seconds=seconds, seed=seed))
        except MotionQueueError as error:
            return Made(prompt=prompt, seed=seed, track=None, error=error.code)
        retrieved = max(generated.report.retrieved, key=lambda found: found.seconds, default=None)
        return Made(prompt=prompt, seed=seed, track=track(generated.motion), source=retrieved.clip if retrieved else "")


class Retrieval:
    """The training clip whose caption shares most with the prompt, or its mirror image: what a model has to beat.

    Rare words count more. Seeds go through the clips that fit equally well, then through those that fit nearly as well.
    """

    name = "retrieval"

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._clips = [(clip, side) for clip in clips if clip.split == "train" for side in (False, True)]
        self._words = [[_words(text, side) for text in clip.captions] for clip, side in self._clips]
        counts = Counter(word for captions in self._words for word in set().union(*captions))
        self._best: dict[tuple[str, float | None], list[int]] = {}  # of a question, the clips in order
        self._weights = {word: log(1.0 + len(self._clips) / count) for word, count in counts.items()}

    def make(self, prompt: str, seconds: float | None, seed: int) -> Made:
        if (prompt, seconds) not in self._best:
            wanted = _words(prompt, False)
            # A shorter clip cannot show what takes longer; otherwise the order of the pack decides.
            every = sorted(
                range(len(self._clips)), key=lambda n: (-round(self._fit(wanted, n), 6), self._too_short(n, seconds), n)
            )
            self._best[prompt, seconds] = every[:_SEEDS]
        best = self._best[prompt, seconds]
        clip, side = self._clips[best[seed % len(best)]]
        return Made(prompt=prompt, seed=seed, track=mirrored(clip.track) if side else clip.track, source=clip.id)

    def _fit(self, wanted: frozenset[str], number: int) -> float:
        return max(self._weight(wanted & own) / (self._weight(wanted | own) or 1.0) for own in self._words[number])

    def _weight(self, words: frozenset[str]) -> float:
        return sum(self._weights.get(word, 1.0) for word in sorted(words))

    def _too_short(self, number: int, seconds: float | None) -> bool:
        return seconds is not None and self._clips[number][0].track.seconds < 0.6 * seconds


def _words(text: str, mirror: bool) -> frozenset[str]:
    sides = {"left": "right", "right": "left"} if mirror else {}
    return frozenset(sides.get(word, word) for word in canonical(text))
