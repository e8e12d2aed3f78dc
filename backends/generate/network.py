# SPDX-License-Identifier: GPL-3.0-or-later
"""The trained networks, run from their weights with numpy (or torch): text encoder, token model, VQ-VAE, root refiner.

The same networks as in `scripts/train/networks.py`, which a test holds against these. Knows arrays and weights; neither
prompts nor how tokens are chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import representation as rep
from .ops import NumpyOps, Ops, Tensor
from .weights import Weights

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
STRIDE = 4  # frames a token
CONTROLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What the words of one or more texts are to each layer of the token model."""

    keys: tuple[Tensor, ...]  # a layer each [N, heads, S, d]
    values: tuple[Tensor, ...]
    hide: Tensor  # [N, 1, 1, S] added to the scores: 0, or very low where there is no word


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the words of a text lead one to expect."""

    seconds: float
    left: float  # metres a second
    forward: float  # metres a second
    turn: float  # radians a second, left positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The codes of the training motion."""

    codes: Ints  # [M, levels]
    runs: Ints  # [M], not falling: the tokens of one reading of one clip have one number
    clip_of_run: Ints  # [runs]
    clips: tuple[str, ...]  # names
    words: Ints  # [runs, most] indices of the words of their captions, -1 where there are no more


class Networks:
    """All networks of one file of weights."""

    def __init__(self, weights: Weights, ops: Ops | None = None) -> None:
        self.ops: Ops = ops or NumpyOps()
        self.config = weights.config
        self.words = {word: index for index, word in enumerate(weights.words)}
        self._w: dict[str, Tensor] = {
            name: self.ops.floats(values) for name, values in weights.tensors.items() if not name.startswith("examples.")
        }
        self.examples = Stored(
            codes=weights.tensors["examples.codes"].astype(np.int64),
            runs=weights.tensors["examples.runs"].astype(np.int64),
            clip_of_run=weights.tensors["examples.clips"].astype(np.int64),
            clips=weights.clips,
            words=weights.tensors["examples.words"].astype(np.int64),
        )
        self._distance: dict[tuple[str, int], Tensor] = {}

    # The token model.

    def text(self, texts: list[tuple[str, ...]]) -> tuple[Text, list[Expected]]:
        """Encode texts of known words; one without any stands for "no text"."""
        longest = max(1, *(min(len(t), self.config.max_words) for t in texts))
        ids = np.full((len(texts), longest), len(self.words), np.int64)
        valid = np.zeros((len(texts), longest), np.bool_)
        for row, words in enumerate(texts):
            known = [self.words[w] for w in words[: self.config.max_words]]
            ids[row, : len(known)] = known
            valid[row, : max(1, len(known))] = True
        ops, w = self.ops, self._w
        hide = ops.floats(np.where(valid, 0.0, -1e4)[:, None, None, :])
        x = w["tokens.text.embedding.weight"][ops.indices(ids)]
        near = self._by_distance("tokens.text.distance.weight", longest, self.config.max_words) + hide
        for layer in range(self.config.text_layers):
            x = self._block(x, f"tokens.text.blocks.{layer}.", near, None, layer)
        x = self._norm(x, "tokens.text.norm")
        weight = ops.floats(valid[..., None])
        pooled = (x * weight).sum(1) / weight.sum(1)
        guesses = ops.numpy(self._linear(pooled, "tokens.text.estimate"))
        keys, values = [], []
        for layer in range(self.config.layers):
            both = self._linear(x, f"tokens.blocks.{layer}.attention.words")
            keys.append(self._heads(both[..., : self.config.width]))
            values.append(self._heads(both[..., self.config.width :]))
        expected = [
            Expected(seconds=float(np.exp(g[0])), left=float(g[1]), forward=float(g[2]), turn=float(g[3])) for g in guesses
        ]
        return Text(keys=tuple(keys), values=tuple(values), hide=hide), expected

    def scores(self, codes: Ints, hidden: NDArray[np.bool_], control: Floats, text: Text) -> Floats:
        """Scores [N, T, codes] of first codes. codes [N, T]; hidden [N, T]: those that are asked for; control [N, T, 6]: metres a
        second to the left and forward, radians a second of turn, then which of the three are given."""
        ops, w = self.ops, self._w
        x = ops.where(ops.indices(hidden[..., None]) > 0, w["tokens.hidden"], w["tokens.codes"][ops.indices(codes)])
        x = x + self._linear(ops.floats(control), "tokens.control")
        near = self._by_distance("tokens.distance.weight", codes.shape[1], self.config.max_tokens)
        for layer in range(self.config.layers):
            x = self._block(x, f"tokens.blocks.{layer}.", near, text, layer)
        out = self._linear(self._norm(x, "tokens.norm"), "tokens.head")
        result: Floats = ops.numpy(out)
        return result

    def _block(self, x: Tensor, name: str, near: Tensor, text: Text | None, layer: int) -> Tensor:
        x = x + self._attention(self._norm(x, name + "norm1"), name + "attention.", near, text, layer)
        return x + self._linear(self.ops.relu(self._linear(self._norm(x, name + "norm2"), name + "widen")), name + "narrow")

    def _attention(self, x: Tensor, name: str, near: Tensor, text: Text | None, layer: int) -> Tensor:
        ops, width = self.ops, self.config.width
        qkv = self._linear(x, name + "qkv")
        q, k, v = (self._heads(qkv[..., i * width : (i + 1) * width]) for i in range(3))
        scale = float((width // self.config.heads) ** -0.5)
        scores = (q @ ops.swap(k, -1, -2)) * scale + near
        if text is not None:
            told = (q @ ops.swap(text.keys[layer], -1, -2)) * scale + text.hide
            scores, v = ops.concat([scores, told], -1), ops.concat([v, text.values[layer]], 2)
        mixed = ops.swap(ops.softmax(scores) @ v, 1, 2)
        return self._linear(mixed.reshape(x.shape), name + "out")

    def _by_distance(self, name: str, length: int, reach: int) -> Tensor:
        """What is added to the scores of tokens by how far apart they are [1, heads, T, T]."""
        found = self._distance.get((name, length))
        if found is None:
            at = np.arange(length)
            index = np.clip(at[None] - at[:, None], -reach, reach) + reach
            found = self._distance[name, length] = self._w[name][:, self.ops.indices(index)][None]
        return found

    def _heads(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        return self.ops.swap(x.reshape(n, t, self.config.heads, width // self.config.heads), 1, 2)

    # The VQ-VAE and the refiner.

    @property
    def codebooks(self) -> Floats:
        """Vectors [levels, codes, D] of the codes."""
        return self.ops.numpy(self._w["vq.quantiser.codebooks"])

    def encode(self, features: Floats) -> Ints:
        """Codes [T / 4, levels] of features [T, 140]; T is a multiple of 4."""
        x = self.ops.floats(self._seen(features)[None])
        x = self.ops.relu(self._conv(x, "vq.encoder.inward", 3))
        x = self._residuals(self._conv(x, "vq.encoder.down1", 4, stride=2), "vq.encoder.blocks1", self.config.vq_depth)
        x = self._residuals(self._conv(x, "vq.encoder.down2", 4, stride=2), "vq.encoder.blocks2", self.config.vq_depth)
        rest = self.ops.numpy(self._conv(x, "vq.encoder.outward", 3))[0].copy()
        books = self.ops.numpy(self._w["vq.quantiser.codebooks"])
        out = np.empty((len(rest), len(books)), np.int64)
        for level, book in enumerate(books):
            out[:, level] = np.argmin((book * book).sum(-1) - 2.0 * rest @ book.T, axis=-1)
            rest -= book[out[:, level]]
        return out

    def decode(self, codes: Ints) -> Floats:
        """Features [4 T, 140] of codes [T, levels]."""
        books = self._w["vq.quantiser.codebooks"]
        x = sum(books[level][self.ops.indices(codes[None, :, level])] for level in range(codes.shape[1]))
        x = self._residuals(self.ops.relu(self._conv(x, "vq.decoder.inward", 3)), "vq.decoder.blocks1", self.config.vq_depth)
        x = self._conv(self.ops.double_time(x), "vq.decoder.up1", 3)
        x = self._residuals(x, "vq.decoder.blocks2", self.config.vq_depth)
        x = self.ops.relu(self._conv(self.ops.double_time(x), "vq.decoder.up2", 3))
        x = self._conv(self.ops.relu(self._conv(x, "vq.decoder.last", 3)), "vq.decoder.outward", 3)
        x = x * self._w["norm.std"] + self._w["norm.mean"]
        out: Floats = self.ops.numpy(x)[0]
        return out

    def root_velocity(self, features: Floats) -> Floats:
        """The root's velocity [T, 2] (left, forward, metres a second) of features [T, 140], corrected by what the legs do."""
        x = self.ops.floats(self._seen(features)[None])
        x = self.ops.relu(self._conv(x, "refiner.inward", 5))
        x = self.ops.relu(self._residuals(x, "refiner.blocks", 3))
        correction: Floats = self.ops.numpy(self._conv(x, "refiner.outward", 5))[0]
        return np.asarray(features[:, rep.VELOCITY] * np.float32(rep.FPS) + correction)

    def _seen(self, features: Floats) -> Floats:
        """Normalised features and kinematics [T, 272]."""
        norm = {key: self.ops.numpy(self._w[f"norm.{key}"]) for key in ("mean", "std", "kinematic_mean", "kinematic_std")}
        kinematic = (kinematics(features) - norm["kinematic_mean"]) / norm["kinematic_std"]
        return np.concatenate([(features - norm["mean"]) / norm["std"], kinematic], axis=1).astype(np.float32)

    # Layers.

    def _linear(self, x: Tensor, name: str) -> Tensor:
        # As one product of two matrices: numpy would make one for each sample, a third slower.
        out = x.reshape(-1, x.shape[-1]) @ self._w[name + ".weight"]
        out += self._w[name + ".bias"]
        return out.reshape(*x.shape[:-1], out.shape[-1])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return self.ops.layer_norm(x, self._w[name + ".weight"], self._w[name + ".bias"])

    def _conv(self, x: Tensor, name: str, size: int, *, stride: int = 1, dilation: int = 1) -> Tensor:
        """A convolution in time over [N, T, C], the ends padded with zeros."""
        missing = dilation * (size - 1) - stride + 1
        frames = x.shape[1]
        padded = self.ops.pad_time(x, missing - missing // 2, missing // 2)
        taps = [padded[:, i * dilation : i * dilation + frames : stride] for i in range(size)]
        return self._linear(self.ops.concat(taps, -1), name + ".linear")

    def _residuals(self, x: Tensor, name: str, depth: int) -> Tensor:
        for i in range(depth):
            wide = self.ops.relu(self._conv(self.ops.relu(x), f"{name}.{i}.wide", 3, dilation=3**i))
            x = x + self._linear(wide, f"{name}.{i}.mix.linear")
        return x


def kinematics(features: Floats) -> Floats:
    """Joint positions (metres, frame of the heading) and their velocities (a second): features [T, 140] → [T, 132]."""
    points = positions(features)
    speed = np.zeros_like(points)
    if len(points) > 1:
        speed[:-1] = np.diff(points, axis=0) * rep.FPS
        speed[-1] = speed[-2]
    return np.concatenate([points.reshape(len(points), -1), speed.reshape(len(points), -1)], axis=1)


def positions(features: Floats) -> Floats:
    """Joint positions [T, 22, 3] in metres in the frame of the heading, the root at its height."""
    matrices = rep.matrices_of(np.asarray(features[:, rep.ROTATIONS], np.float64).reshape(len(features), rep.JOINTS, 6))
    points = np.zeros((len(features), rep.JOINTS, 3))
    points[:, 0, 1] = features[:, rep.HEIGHT][:, 0]
    for joint in range(1, rep.JOINTS):
        parent = int(rep.PARENTS[joint])
        points[:, joint] = points[:, parent] + matrices[:, parent] @ rep.OFFSETS[joint]
    return points.astype(np.float32)
