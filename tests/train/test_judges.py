# SPDX-License-Identifier: GPL-3.0-or-later
"""The judges learn what can be learned, forget no subject they must not see, and are the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from motion_queue.scripts.bench.generate_eval import features
from motion_queue.scripts.train import evaluators
from motion_queue.scripts.train.evaluators import Example, Settings
from motion_queue.tests.unit.bench import bodies

_QUICK = Settings(epochs=40)
_KINDS = (
    ("stand", bodies.standing()),
    ("wave", bodies.waving("l")),
    ("glide", bodies.gliding(1.0)),
    ("turn", bodies.turning(170.0)),
)


def _examples() -> list[Example]:
    """Four motions with a word each, one of them known by one caption alone."""
    return [
        Example(
            windows=np.repeat(features.windows(source), 8, axis=0),
            classes=np.eye(len(_KINDS))[number],
            texts=((name,), (name, "person"), (f"only{number}",)),
            subject=f"s{number}",
        )
        for number, (name, source) in enumerate(_KINDS)
        for _ in range(4)
    ]


def test_the_classifier_tells_motions_apart_that_are_apart(tmp_path: Path) -> None:
    classifier = evaluators.train_classifier(_examples(), _QUICK)
    for number, (_, source) in enumerate(_KINDS):
        assert int(classifier.scores(features.windows(source)).argmax()) == number
    classifier.save(tmp_path / "c.pt")
    again = evaluators.Classifier.load(tmp_path / "c.pt")
    windows = features.windows(_KINDS[1][1])
    assert again.scores(windows) == pytest.approx(classifier.scores(windows))


def test_the_matcher_finds_the_word_of_a_motion(tmp_path: Path) -> None:
    matcher = evaluators.train_matcher(_examples(), _QUICK)
    words = matcher.texts([(name,) for name, _ in _KINDS])
    for number, (_, source) in enumerate(_KINDS):
        assert int((words @ matcher.motion(features.windows(source))).argmax()) == number
    assert np.isfinite(matcher.texts([("unheard-of",)])).all()
    matcher.save(tmp_path / "m.pt")
    assert evaluators.Matcher.load(tmp_path / "m.pt").texts([("wave",)]) == pytest.approx(matcher.texts([("wave",)]))


def test_the_same_seed_makes_the_same_judge() -> None:
    windows = features.windows(_KINDS[0][1])
    quick = Settings(epochs=3)
    first, second = (evaluators.train_classifier(_examples(), quick).scores(windows) for _ in range(2))
    assert np.array_equal(first, second)


def test_every_subject_is_left_out_once_and_large_ones_apart() -> None:
    groups = evaluators.folds(["a", "b", "c", "d", "a"], [50, 90, 10, 20, 50], 3)
    assert sorted(name for group in groups for name in group) == ["a", "b", "c", "d"]
    assert not any({"a", "b"} <= group for group in groups)
