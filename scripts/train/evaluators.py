# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the judges of generated motion: a classifier of actions, and a pair of encoders that tell which sentence a motion shows.

They see the training split alone, and are made several times, each time without some of the subjects, so that every real clip
can be judged by one that has not seen its subject. Knows no generator. Decided by the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ...motion.quat import Array
from ..bench.generate_eval.features import FRAME_WIDTH

_CHANNELS = 96
_BATCH = 64
_LIFT = 0.08  # metres: deviation of the height of the floor in training


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One clip to learn from; its mirror image is another example with its own words."""

    windows: Array  # [N, 20, 133]
    classes: NDArray[np.float64]  # [C], 1 where the clip is of the class; all 0 where no class fits
    texts: tuple[tuple[str, ...], ...]  # canonical words of its captions
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of one training."""

    epochs: int = 6
    rate: float = 2e-3
    decay: float = 0.02
    noise: float = 0.1  # of the standardised values
    width: int = 64  # of the common space of motion and text
    seed: int = 1


class MotionNet(nn.Module):
    """Windows [B, 20, 133] → [B, outputs]: a layer for each pose (which carries its velocities), one for three poses in a row,
    the mean and the greatest over the window."""

    mean: Tensor
    scale: Tensor
    heights: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        heights = torch.zeros(FRAME_WIDTH)
        heights[1:66:3] = _LIFT * scale[1:66:3]
        self.register_buffer("heights", heights, persistent=False)
        self.pose = nn.Sequential(nn.Linear(FRAME_WIDTH, _CHANNELS), nn.GELU(), nn.Dropout(0.2))
        self.three = nn.Sequential(nn.Linear(3 * _CHANNELS, _CHANNELS), nn.GELU())
        self.out = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * _CHANNELS, outputs))

    def scaled(self, windows: Tensor) -> Tensor:
        """What `forward` takes, of raw values."""
        return ((windows - self.mean) * self.scale).clamp(-5.0, 5.0)

    def forward(self, values: Tensor, noise: float = 0.0) -> Tensor:
        if noise:
            # Larger per window than per value: bodies differ in how they hold themselves.
            values = values + noise * torch.randn_like(values) + 2.0 * noise * torch.randn_like(values[:, :1])
            # Where the ground is not in the data, the floor is not where it was: that must not decide.
            values = values + torch.randn(len(values), 1, 1) * self.heights
        poses = self.pose(values)
        hidden = self.three(torch.cat([poses[:, :-2], poses[:, 1:-1], poses[:, 2:]], dim=2))
        pooled: Tensor = self.out(torch.cat([hidden.mean(1), hidden.amax(1)], 1))
        return pooled


class TextNet(nn.Module):
    """Bags of words and of pairs of words [B, V] → [B, width]."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(0.2), nn.Linear(vocabulary, 128), nn.GELU(), nn.Linear(128, width))

    def forward(self, bags: Tensor) -> Tensor:
        out: Tensor = self.layers(bags)
        return out


@dataclass(frozen=True, slots=True)
class Words:
    """Words and pairs of neighbours, numbered."""

    numbers: dict[str, int]

    @classmethod
    def of(cls, texts: Sequence[tuple[str, ...]], least: int = 2) -> Words:
        counts: dict[str, int] = {}
        for text in texts:
            for part in _parts(text):
                counts[part] = counts.get(part, 0) + 1
        return cls({part: number for number, part in enumerate(sorted(p for p, n in counts.items() if n >= least))})

    def bags(self, texts: Sequence[tuple[str, ...]]) -> Tensor:
        out = torch.zeros(len(texts), len(self.numbers))
        for row, text in enumerate(texts):
            for part in _parts(text):
                if part in self.numbers:
                    out[row, self.numbers[part]] = 1.0
        return functional.normalize(out, dim=1)


def _parts(text: tuple[str, ...]) -> set[str]:
    return {*text, *(f"{a} {b}" for a, b in pairwise(text))}


class Classifier:
    """Says for a clip how likely each class is."""

    def __init__(self, net: MotionNet) -> None:
        self._net = net.eval()

    def save(self, path: Path) -> None:
        torch.save({"motion": self._net.state_dict()}, path)

    @classmethod
    def load(cls, path: Path) -> Classifier:
        return cls(_net(torch.load(path, weights_only=True)["motion"]))

    def scores(self, windows: Array) -> Array:
        """Probabilities [C] of a clip by its windows [N, 20, 133]: the mean over them."""
        with torch.inference_mode():
            return np.asarray(torch.sigmoid(self._net(self._net.scaled(_tensor(windows)))).mean(0).numpy(), dtype=np.float64)


class Matcher:
    """Puts motions and sentences into one space, where those that belong together are near."""

    def __init__(self, motion: MotionNet, text: TextNet, words: Words) -> None:
        self._motion, self._text, self._words = motion.eval(), text.eval(), words

    def save(self, path: Path) -> None:
        torch.save(
            {"motion": self._motion.state_dict(), "text": self._text.state_dict(), "words": list(self._words.numbers)}, path
        )

    @classmethod
    def load(cls, path: Path) -> Matcher:
        saved = torch.load(path, weights_only=True)
        motion = _net(saved["motion"])
        text = TextNet(len(saved["words"]), len(saved["motion"]["out.1.bias"]))
        text.load_state_dict(saved["text"])
        return cls(motion, text, Words({word: number for number, word in enumerate(saved["words"])}))

    def motion(self, windows: Array) -> Array:
        """The unit vector [D] of a clip."""
        with torch.inference_mode():
            mean = functional.normalize(self._motion(self._motion.scaled(_tensor(windows))), dim=1).mean(0)
            return np.asarray(functional.normalize(mean, dim=0).numpy(), dtype=np.float64)

    def texts(self, texts: Sequence[tuple[str, ...]]) -> Array:
        """Unit vectors [T, D] of sentences given as canonical words."""
        with torch.inference_mode():
            return np.asarray(functional.normalize(self._text(self._words.bags(texts)), dim=1).numpy(), dtype=np.float64)


def _net(state: dict[str, Tensor]) -> MotionNet:
    net = MotionNet(state["mean"], state["scale"], len(state["out.1.bias"]))
    net.load_state_dict(state)
    return net


def train_classifier(examples: Sequence[Example], settings: Settings) -> Classifier:
    """By windows; rare classes weigh more, with the root of how rare they are."""
    examples = [example for example in examples if example.classes.any()]
    classes = np.stack([example.classes for example in examples])
    windows, owners = _flat(examples)
    counts = np.maximum(classes[owners].sum(0), 1.0)
    positive = _tensor(np.clip(np.sqrt(len(owners) / counts), 1.0, 8.0))
    targets = _tensor(classes[owners])
    shares = _balance(classes, owners, counts)
    torch.manual_seed(settings.seed)
    net = MotionNet(*_scaling(windows), classes.shape[1])
    windows = net.scaled(windows)

    def loss(batch: Tensor) -> Tensor:
        out = net(windows[batch], settings.noise)
        return functional.binary_cross_entropy_with_logits(out.float(), targets[batch], pos_weight=positive)

    _fit([net], loss, shares, settings)
    return Classifier(net)


def train_matcher(examples: Sequence[Example], settings: Settings) -> Matcher:
    """By contrast within a batch. Clips whose words are the same bag are no wrong answers to each other."""
    windows, owners = _flat(examples)
    words = Words.of([text for example in examples for text in example.texts])
    texts = [text for example in examples for text in example.texts]
    bags = words.bags(texts)
    first = np.cumsum([0, *(len(example.texts) for example in examples)])
    chance = np.random.default_rng(settings.seed)
    classes = np.stack([example.classes for example in examples])
    shares = _balance(classes, owners, np.maximum(classes[owners].sum(0), 1.0))
    torch.manual_seed(settings.seed)
    motion = MotionNet(*_scaling(windows), settings.width)
    windows = motion.scaled(windows)
    text = TextNet(len(words.numbers), settings.width)
    heat = nn.Parameter(torch.tensor(2.3))

    def loss(batch: Tensor) -> Tensor:
        clips = owners[batch.numpy()]
        chosen = torch.as_tensor(first[clips] + chance.integers(first[clips + 1] - first[clips]))
        shown = functional.normalize(motion(windows[batch], settings.noise).float(), dim=1)
        said = functional.normalize(text(bags[chosen]).float(), dim=1)
        # A sentence of which no word is known is at least its own.
        same = torch.maximum((bags[chosen] @ bags[chosen].T > 0.999).float(), torch.eye(len(chosen)))
        same = same / same.sum(1, keepdim=True)
        logits = heat.exp().clamp(max=50.0) * shown @ said.T
        return 0.5 * (functional.cross_entropy(logits, same) + functional.cross_entropy(logits.T, same))

    _fit([motion, text, heat], loss, shares, settings)
    return Matcher(motion, text, words)


def folds(subjects: Sequence[str], sizes: Sequence[int], count: int) -> list[frozenset[str]]:
    """Subjects in `count` groups of about equal size; the largest subject first, each into the emptiest group."""
    total: dict[str, int] = {}
    for subject, size in zip(subjects, sizes, strict=True):
        total[subject] = total.get(subject, 0) + size
    groups: list[list[str]] = [[] for _ in range(count)]
    for subject in sorted(total, key=lambda name: (-total[name], name)):
        min(groups, key=lambda group: sum(total[name] for name in group)).append(subject)
    return [frozenset(group) for group in groups]


def _flat(examples: Sequence[Example]) -> tuple[Tensor, NDArray[np.int64]]:
    windows = _tensor(np.concatenate([example.windows for example in examples]))
    return windows, np.repeat(np.arange(len(examples)), [len(example.windows) for example in examples])


def _scaling(windows: Tensor) -> tuple[Tensor, Tensor]:
    flat = windows.reshape(-1, windows.shape[-1])
    spread = flat.std(0)
    return flat.mean(0), 1.0 / spread.clamp(min=0.02 * float(spread.max()))


def _balance(classes: NDArray[np.float64], owners: NDArray[np.int64], counts: NDArray[np.float64]) -> Tensor:
    """How often a window is drawn: by the root of how rare its rarest class is."""
    rarest = np.where(classes > 0, 1.0 / np.sqrt(counts), 0.0).max(1)
    rarest = np.where(rarest > 0, rarest, np.median(rarest))
    return torch.as_tensor(rarest[owners] / rarest[owners].sum())


def _fit(parts: Sequence[nn.Module | nn.Parameter], loss: Callable[[Tensor], Tensor], shares: Tensor, settings: Settings) -> None:
    parameters = [p for part in parts for p in ([part] if isinstance(part, nn.Parameter) else part.parameters())]
    optimiser = torch.optim.AdamW(parameters, lr=settings.rate, weight_decay=settings.decay)
    steps = max(1, settings.epochs * len(shares) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, total_steps=steps, pct_start=0.1)
    source = torch.Generator().manual_seed(settings.seed)
    for part in parts:
        if isinstance(part, nn.Module):
            part.train()
    for _ in range(steps):
        batch = torch.multinomial(shares, min(_BATCH, len(shares)), replacement=False, generator=source)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(batch)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        schedule.step()
    if not bool(torch.isfinite(value)):
        raise RuntimeError("The training of a judge diverged: its last loss is not a number.")


def _tensor(values: Array) -> Tensor:
    return torch.as_tensor(np.asarray(values, dtype=np.float32))
