# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a file of weights in the exact format of the shipped one, with small networks and random numbers: numpy alone.

What it makes moves like nothing on earth, but it goes all the way that trained weights go.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motion_queue.backends.generate import representation as rep
from motion_queue.backends.generate.header import FORMAT
from motion_queue.backends.generate.prompt import ACTIONS

CONFIG: Mapping[str, int] = {
    "vq_width": 16, "vq_depth": 1, "code_width": 8, "codes": 16, "levels": 3,
    "width": 16, "layers": 2, "text_layers": 1, "heads": 2, "hidden": 32,
    "max_words": 16, "max_tokens": 48, "refiner_width": 8,
}  # fmt: skip
WORDS = tuple(sorted({*ACTIONS, "forward", "backward", "left", "right", "slow", "quick", "circle", "hand", "arm"}))
CLIPS = ("walk_a", "run_a")
_KINEMATIC = 6 * rep.JOINTS
_CONTROLS = 3


def write_weights(
    path: Path, *, seed: int = 1, words: tuple[str, ...] = WORDS, metadata: Mapping[str, str] | None = None
) -> Path:
    """The file at `path`. `metadata` replaces what stands in the header."""
    draw = np.random.default_rng(seed)
    tensors = _examples(draw) | {name: _numbers(name, shape, draw) for name, shape in shapes(len(words))}
    c = CONFIG
    described = {
        "format": FORMAT,
        "config": json.dumps({"name": "random", **c}),
        "words": json.dumps(list(words)),
        "actions": json.dumps(["walk", "run"]),
        "clips": json.dumps(list(CLIPS)),
        **(metadata or {}),
    }
    header: dict[str, Any] = {"__metadata__": described}
    data = bytearray()
    for name, values in tensors.items():
        raw = values.tobytes()
        header[name] = {
            "dtype": {"<f2": "F16", "<f4": "F32", "<i2": "I16"}[values.dtype.str],
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def shapes(words: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of all arrays; matrices are [in, out]."""
    c = CONFIG
    w, v, features = c["width"], c["vq_width"], rep.FEATURES
    yield "vq.quantiser.codebooks", (c["levels"], c["codes"], c["code_width"])
    yield from _conv("vq.encoder.inward", features + _KINEMATIC, v, 3)
    yield from _conv("vq.encoder.down1", v, v, 4)
    yield from _residuals("vq.encoder.blocks1", v, c["vq_depth"])
    yield from _conv("vq.encoder.down2", v, v, 4)
    yield from _residuals("vq.encoder.blocks2", v, c["vq_depth"])
    yield from _conv("vq.encoder.outward", v, c["code_width"], 3)
    yield from _conv("vq.decoder.inward", c["code_width"], v, 3)
    yield from _residuals("vq.decoder.blocks1", v, c["vq_depth"])
    yield from _conv("vq.decoder.up1", v, v, 3)
    yield from _residuals("vq.decoder.blocks2", v, c["vq_depth"])
    yield from _conv("vq.decoder.up2", v, v, 3)
    yield from _conv("vq.decoder.last", v, v, 3)
    yield from _conv("vq.decoder.outward", v, features, 3)
    yield "tokens.text.embedding.weight", (words + 1, w)
    yield "tokens.text.distance.weight", (c["heads"], 2 * c["max_words"] + 1)
    for i in range(c["text_layers"]):
        yield from _block(f"tokens.text.blocks.{i}", text=False)
    yield from _norm("tokens.text.norm", w)
    yield from _linear("tokens.text.estimate", w, 1 + _CONTROLS)
    yield "tokens.codes", (c["codes"], w)
    yield "tokens.hidden", (w,)
    yield from _linear("tokens.control", 2 * _CONTROLS, w)
    yield "tokens.distance.weight", (c["heads"], 2 * c["max_tokens"] + 1)
    for i in range(c["layers"]):
        yield from _block(f"tokens.blocks.{i}", text=True)
    yield from _norm("tokens.norm", w)
    yield from _linear("tokens.head", w, c["codes"])
    yield from _conv("refiner.inward", features + _KINEMATIC, c["refiner_width"], 5)
    yield from _residuals("refiner.blocks", c["refiner_width"], 3)
    yield from _conv("refiner.outward", c["refiner_width"], 2, 5)
    for name, size in (("mean", features), ("std", features), ("kinematic_mean", _KINEMATIC), ("kinematic_std", _KINEMATIC)):
        yield f"norm.{name}", (size,)


def _examples(draw: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Codes of two clips, thirty tokens each."""
    return {
        "examples.codes": draw.integers(0, CONFIG["codes"], size=(60, CONFIG["levels"])).astype("<i2"),
        "examples.runs": np.repeat(np.arange(2), 30).astype("<i2"),
        "examples.clips": np.arange(2).astype("<i2"),
        "examples.words": np.array([[0, 1, -1], [2, -1, -1]], "<i2"),
    }


def _numbers(name: str, shape: tuple[int, ...], draw: np.random.Generator) -> NDArray[Any]:
    if name == "norm.mean":  # a body that stands, so that what is decoded has the shape of one
        return np.asarray(rep.encode(rep.Body(rotations=_rest(), root=np.tile(rep.OFFSETS[0], (8, 1)))).mean(axis=0), "<f4")
    if name.startswith("norm."):
        size = 0.0 if name.endswith("mean") else 0.1
        return np.full(shape, size, "<f4")
    if "norm" in name.split(".")[-2]:
        return np.full(shape, 1.0 if name.endswith("weight") else 0.0, "<f2")
    return np.asarray(draw.normal(size=shape) * (shape[0] if len(shape) == 2 else 16) ** -0.5, "<f2")


def _rest() -> NDArray[np.float64]:
    rotations = np.zeros((8, rep.JOINTS, 4))
    rotations[..., 0] = 1.0
    return rotations


def _linear(name: str, inward: int, outward: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (inward, outward)
    yield f"{name}.bias", (outward,)


def _conv(name: str, inward: int, outward: int, size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    return _linear(f"{name}.linear", size * inward, outward)


def _residuals(name: str, width: int, depth: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for i in range(depth):
        yield from _conv(f"{name}.{i}.wide", width, width, 3)
        yield from _conv(f"{name}.{i}.mix", width, width, 1)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _block(name: str, *, text: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    w = CONFIG["width"]
    yield from _norm(f"{name}.norm1", w)
    yield from _norm(f"{name}.norm2", w)
    yield from _linear(f"{name}.attention.qkv", w, 3 * w)
    if text:
        yield from _linear(f"{name}.attention.words", w, 2 * w)
    yield from _linear(f"{name}.attention.out", w, w)
    yield from _linear(f"{name}.widen", w, CONFIG["hidden"])
    yield from _linear(f"{name}.narrow", CONFIG["hidden"], w)
