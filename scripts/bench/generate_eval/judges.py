# SPDX-License-Identifier: GPL-3.0-or-later
"""The learned judges of motion, one pair for each group of subjects that it has not seen, and what they say of clips.

Real clips are judged by the pair that has not seen their subject; generated ones by all pairs together. Trains what its folder
does not hold yet. Needs torch.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ....backends.generate.prompt.words import canonical
from ....motion.quat import Array
from . import features
from .body import Track, mirrored
from .pack import CLASSES, Clip

if TYPE_CHECKING:
    from ...train.evaluators import Classifier, Example, Matcher, Settings

NAMES = tuple(CLASSES)
POOL = 32
_DRAWS = 20
_FOLDS = 5
_SIDES = {"left": "right", "right": "left"}
_TRAINING_HOP = 20  # frames between the windows that are learned from


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Of one motion among 32 sentences of which one is its own, over several draws of the others."""

    first: float  # share of the draws in which its own is the nearest
    third: float  # … is among the three nearest


class Judges:
    """`subjects[k]` are those that pair k has not seen."""

    def __init__(
        self, subjects: Sequence[frozenset[str]], classifiers: Sequence[Classifier], matchers: Sequence[Matcher],
        sentences: Sequence[str],
    ) -> None:  # fmt: skip
        """`sentences`: those that other sentences of a pool are drawn from."""
        self._subjects, self._classifiers, self._matchers = subjects, classifiers, matchers
        self._texts = sorted({words for words in map(canonical, sentences) if words})
        self._bags = [frozenset(words) for words in self._texts]
        self._vectors = [matcher.texts(self._texts) for matcher in matchers]

    @classmethod
    def trained(cls, clips: Sequence[Clip], folder: Path | None, say: Callable[[str], None]) -> Judges:
        """From the training split. What `folder` holds for the same clips and settings is used again."""
        from ...train import evaluators  # noqa: PLC0415

        training = [clip for clip in clips if clip.split == "train"]
        groups = evaluators.folds([c.subject for c in training], [len(c.track) for c in training], _FOLDS)
        settings = evaluators.Settings()
        examples: list[Example] = []
        classifiers, matchers = [], []
        key = _key(training, settings)
        for number, group in enumerate(groups):
            paths = [folder / f"{kind}-{key}-{number}.pt" for kind in ("classifier", "matcher")] if folder else []
            if paths and all(path.is_file() for path in paths):
                classifiers.append(evaluators.Classifier.load(paths[0]))
                matchers.append(evaluators.Matcher.load(paths[1]))
                continue
            say(f"Training judges {number + 1} of {len(groups)}, without {', '.join(sorted(group))}.")
            if not examples:
                examples = [_example(clip, side) for clip in training for side in (False, True)]
            seen = [example for example in examples if example.subject not in group]
            classifiers.append(evaluators.train_classifier(seen, settings))
            matchers.append(evaluators.train_matcher(seen, settings))
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                classifiers[-1].save(paths[0])
                matchers[-1].save(paths[1])
        return cls(groups, classifiers, matchers, [caption for clip in clips for caption in clip.captions])

    def classes(self, track: Track, subject: str = "") -> Array:
        """Probability of each class of NAMES; `subject` for a real clip."""
        windows = features.windows(track)
        return np.asarray(np.mean([self._classifiers[k].scores(windows) for k in self._pairs(subject)], axis=0))

    def ranking(self, track: Track, sentence: str, subject: str = "") -> Ranking:
        """How well the motion finds its sentence. No other of the pool has the same words; draws are decided by the sentence."""
        windows, words = features.windows(track), canonical(sentence)
        others = [number for number, bag in enumerate(self._bags) if bag != frozenset(words)]
        chance = np.random.default_rng(zlib.crc32(sentence.encode()))
        pools = [chance.choice(others, POOL - 1, replace=False) for _ in range(_DRAWS)]
        nearness: Array = np.zeros(len(self._texts))
        own = 0.0
        for k in self._pairs(subject):
            vector = self._matchers[k].motion(windows)
            nearness += self._vectors[k] @ vector
            own += float((self._matchers[k].texts([words]) @ vector)[0])
        places = np.array([(nearness[pool] >= own).sum() for pool in pools])
        return Ranking(first=float((places < 1).mean()), third=float((places < 3).mean()))

    def _pairs(self, subject: str) -> list[int]:
        return [k for k, group in enumerate(self._subjects) if subject in group] or list(range(len(self._subjects)))


def hit(scores: Array, wanted: frozenset[str]) -> bool:
    """Whether the likeliest class is one of those that were wanted."""
    return NAMES[int(scores.argmax())] in wanted


def measurable(clips: Sequence[Clip]) -> frozenset[str]:
    """Classes that more than one subject of the training split does: of others nothing can be said of unseen subjects."""
    return frozenset(
        name for name in NAMES if len({clip.subject for clip in clips if clip.split == "train" and name in clip.classes}) > 1
    )


def _example(clip: Clip, mirror: bool) -> Example:
    from ...train.evaluators import Example  # noqa: PLC0415

    texts = tuple(canonical(caption) for caption in clip.captions)
    if mirror:
        texts = tuple(tuple(_SIDES.get(word, word) for word in text) for text in texts)
    return Example(
        windows=features.windows(mirrored(clip.track) if mirror else clip.track, _TRAINING_HOP),
        classes=np.array([float(name in clip.classes) for name in NAMES]),
        texts=texts,
        subject=clip.subject,
    )


def _key(clips: Sequence[Clip], settings: Settings) -> str:
    """Of everything that decides the judges: clips and their words, settings, and the code that makes and reads the values."""
    from ...train import evaluators  # noqa: PLC0415

    digest = hashlib.sha256(repr((settings, NAMES, _FOLDS, _TRAINING_HOP)).encode())
    for clip in clips:
        digest.update(repr((clip.id, sorted(clip.classes), [canonical(text) for text in clip.captions])).encode())
        digest.update(clip.track.joints.astype(np.float32).tobytes())
    for module in (evaluators, features):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:12]
