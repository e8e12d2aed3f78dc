# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the file of trained weights (safetensors) and checks that it is one of ours and whole. Runs nothing from it.

The format is a length, a JSON header and plain arrays (https://github.com/huggingface/safetensors, "Format"), so it is
read here with numpy alone: what Blender ships has no library for it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...queue.errors import MotionQueueError

SHIPPED = Path(__file__).with_name("model.safetensors")
FORMAT = "1"
MAX_BYTES = 512 * 1024 * 1024
MAX_HEADER = 4 * 1024 * 1024
_TYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_SIZES = ("vq_depth", "levels", "codes", "width", "layers", "text_layers", "heads", "max_words", "max_tokens")
_MAX_WORDS_KNOWN = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes of the networks that running them takes."""

    vq_depth: int
    levels: int
    codes: int
    width: int
    layers: int
    text_layers: int
    heads: int
    max_words: int
    max_tokens: int  # a window of the token model, four frames each


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    tensors: Mapping[str, NDArray[Any]]  # float16 or float32, by the networks' own names
    config: Sizes
    words: tuple[str, ...]  # canonical words the model knows
    actions: tuple[str, ...]  # tags of the clips it was trained on
    name: str  # of the configuration, for people


def read_weights(path: Path | None = None) -> Weights:
    """The shipped weights, or those at `path`.

    Raises `MotionQueueError`: `weights_missing`, `weights_damaged` (also: not a file of weights), `weights_foreign` (of
    another model, or written by a newer version).
    """
    path = path or SHIPPED
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    except FileNotFoundError:
        raise MotionQueueError(
            "weights_missing",
            f"The motion model's weights are not at {path}. Reinstall the extension, or name the file you trained.",
        ) from None
    except OSError as error:
        raise MotionQueueError("weights_missing", f"The motion model's weights at {path} cannot be read: {error}.") from error
    if not raw:
        raise _damaged(path, "it is empty or larger than any weights of this model")
    header, data = _header(path, raw)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not {"format", "config", "words", "actions"} <= set(metadata):
        raise MotionQueueError(
            "weights_foreign",
            f"{path} holds weights, but not of this product's motion model. Name a file that its training wrote.",
        )
    if metadata["format"] != FORMAT:
        raise MotionQueueError(
            "weights_foreign",
            f"{path} is in format {str(metadata['format'])[:20]!r}, and this version reads format {FORMAT}. "
            "Use the version of the extension that belongs to it.",
        )
    try:
        config = json.loads(metadata["config"])
        words, actions = json.loads(metadata["words"]), json.loads(metadata["actions"])
        sizes = Sizes(**{key: _size(config[key]) for key in _SIZES})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, f"its description cannot be read ({error})") from error
    for listed in (words, actions):
        if not isinstance(listed, list) or len(listed) > _MAX_WORDS_KNOWN or any(not isinstance(w, str) for w in listed):
            raise _damaged(path, "its list of words cannot be read")
    weights = Weights(
        tensors={name: _tensor(path, name, entry, data) for name, entry in header.items()},
        config=sizes,
        words=tuple(words),
        actions=tuple(actions),
        name=str(config.get("name", ""))[:40],
    )
    _check_shapes(path, weights)
    return weights


def _header(path: Path, raw: bytes) -> tuple[dict[str, Any], memoryview]:
    if len(raw) < 10:
        raise _damaged(path, "it is too short")
    (length,) = struct.unpack("<Q", raw[:8])
    if not 2 <= length <= min(MAX_HEADER, len(raw) - 8):
        raise _damaged(path, "its header is not as long as it says")
    try:
        header = json.loads(raw[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is no JSON ({error})") from error
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a table")
    return header, memoryview(raw)[8 + length :]


def _tensor(path: Path, name: str, entry: Any, data: memoryview) -> NDArray[Any]:
    try:
        kind = _TYPES[entry["dtype"]]
        shape = tuple(_size(n) for n in entry["shape"])
        start, stop = (int(n) for n in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"the description of {name[:60]!r} cannot be read ({error})") from error
    if not 0 <= start <= stop <= len(data) or stop - start != kind.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise _damaged(path, f"the numbers of {name[:60]!r} are not all there")
    values: NDArray[Any] = np.frombuffer(data[start:stop], dtype=kind).reshape(shape)
    if not bool(np.isfinite(values).all()):
        raise _damaged(path, f"{name[:60]!r} has numbers that are not finite")
    return values


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 1 << 24:
        raise ValueError(f"{str(value)[:20]!r} is no size")
    return value


def _check_shapes(path: Path, weights: Weights) -> None:
    """The few arrays whose shapes all others follow from: enough to tell a model of other sizes from a damaged file."""
    c = weights.config
    expected = {
        "tokens.codes": (c.levels, c.codes, c.width),
        "tokens.text.embedding.weight": (len(weights.words) + 1, c.width),
        "tokens.heads": (c.levels, c.width, c.codes),
        "norm.mean": (140,),
    }
    for name, shape in expected.items():
        found = weights.tensors.get(name)
        if found is None or found.shape != shape:
            raise _damaged(path, f"{name!r} should have the shape {shape}, and has {None if found is None else found.shape}")


def _damaged(path: Path, why: str) -> MotionQueueError:
    return MotionQueueError(
        "weights_damaged",
        f"The motion model's weights at {path} cannot be used: {why}. Reinstall the extension, or copy the file again.",
    )
