# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the numbers of a file of trained weights and checks that it is whole. Runs nothing from it.

Its header is read in `header`; the arrays after it with numpy alone: what Blender ships has no library for the format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .header import MAX_BYTES, SHIPPED, Header, Sizes, damaged, missing, read_header, size_of

_TYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "I16": np.dtype("<i2")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    tensors: Mapping[str, NDArray[Any]]  # float16 or float32, by the networks' own names; int16 of the examples
    config: Sizes
    words: tuple[str, ...]  # canonical words the model knows
    actions: tuple[str, ...]  # tags of the clips it was trained on
    clips: tuple[str, ...]  # names of the clips whose codes are the examples
    name: str  # of the configuration, for people


def read_weights(path: Path | None = None) -> Weights:
    """The shipped weights, or those at `path`.

    Raises `MotionQueueError`: `weights_missing`, `weights_damaged` (also: not a file of weights), `weights_foreign` (of
    another model, or written by a newer version).
    """
    path = path or SHIPPED
    header = read_header(path, fresh=True)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise missing(path, error) from error
    if len(raw) != header.size:
        raise damaged(path, "it changed while it was read")
    data = memoryview(raw)[header.data_start :]
    weights = Weights(
        tensors={name: _tensor(path, name, entry, data) for name, entry in header.tensors.items()},
        config=header.config,
        words=header.words,
        actions=header.actions,
        clips=header.clips,
        name=header.name,
    )
    _check_shapes(path, header, weights.tensors)
    return weights


def _tensor(path: Path, name: str, entry: Any, data: memoryview) -> NDArray[Any]:
    try:
        kind = _TYPES[entry["dtype"]]
        shape = tuple(size_of(n) for n in entry["shape"])
        start, stop = (int(n) for n in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, f"the description of {name[:60]!r} cannot be read ({error})") from error
    if not 0 <= start <= stop <= len(data) or stop - start != kind.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise damaged(path, f"the numbers of {name[:60]!r} are not all there")
    values: NDArray[Any] = np.frombuffer(data[start:stop], dtype=kind).reshape(shape)
    if not bool(np.isfinite(values).all()):
        raise damaged(path, f"{name[:60]!r} has numbers that are not finite")
    return values


def _check_shapes(path: Path, header: Header, tensors: Mapping[str, NDArray[Any]]) -> None:
    """The few arrays whose shapes all others follow from: enough to tell a model of other sizes from a damaged file."""
    c = header.config
    examples = tensors.get("examples.codes")
    count = 0 if examples is None else len(examples)
    expected = {
        "tokens.codes": (c.codes, c.width),
        "tokens.text.embedding.weight": (len(header.words) + 1, c.width),
        "tokens.head.weight": (c.width, c.codes),
        "norm.mean": (140,),
        "examples.codes": (count, c.levels),
        "examples.runs": (count,),
    }
    for name, shape in expected.items():
        found = tensors.get(name)
        if found is None or found.shape != shape:
            raise damaged(path, f"{name!r} should have the shape {shape}, and has {None if found is None else found.shape}")
    runs = len(tensors.get("examples.clips", ()))
    limits = {
        "examples.codes": (0, c.codes),
        "examples.runs": (0, runs),
        "examples.clips": (0, len(header.clips)),
        "examples.words": (-1, len(header.words)),
    }
    for name, (least, limit) in limits.items():
        found = tensors.get(name)
        if found is None or found.dtype != _TYPES["I16"] or found.min() < least or found.max() >= limit:
            raise damaged(path, f"{name!r} should have whole numbers from {least} to {limit - 1}")
    if tensors["examples.words"].ndim != 2 or len(tensors["examples.words"]) != runs:
        raise damaged(path, f"'examples.words' should have {runs} rows")
    if (np.diff(tensors["examples.runs"].astype(np.int64)) < 0).any():
        raise damaged(path, "its examples are not in order")
