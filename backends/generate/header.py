# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file of trained weights says of itself: sizes, words, actions. Read from its header alone, in a millisecond.

Standard library only, so that a prompt can be checked where jobs are submitted. The format is a length, a JSON header and plain
arrays (https://github.com/huggingface/safetensors, "Format"). Runs nothing from the file.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ...queue.errors import MotionQueueError

SHIPPED = Path(__file__).with_name("model.safetensors")
FORMAT = "2"
MAX_BYTES = 512 * 1024 * 1024
MAX_HEADER = 4 * 1024 * 1024
_SIZES = ("vq_depth", "levels", "codes", "width", "layers", "text_layers", "heads", "max_words", "max_tokens")
_MAX_WORDS_KNOWN = 10_000
_MOST_CACHED = 16


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
class Header:
    """What stands before the numbers."""

    config: Sizes
    words: tuple[str, ...]  # canonical words the model knows
    actions: tuple[str, ...]  # tags of the clips it was trained on
    clips: tuple[str, ...]  # names of the clips whose codes are the examples
    name: str  # of the configuration, for people
    tensors: Mapping[str, Any]  # name → dtype, shape, data_offsets, as they stand there
    data_start: int  # bytes from the beginning of the file
    size: int  # bytes of the file


def read_header(path: Path | None = None, *, fresh: bool = False) -> Header:
    """Of the shipped weights, or those at `path`. Remembered: the shipped ones for good (unless `fresh`), others until the file
    changes.

    Raises `MotionQueueError`: `weights_missing`, `weights_damaged` (also: not a file of weights), `weights_foreign` (of
    another model, or written by a newer version).
    """
    path = path or SHIPPED
    with _lock:
        found = _cached.get(path)
        # The shipped file belongs to the program and is not asked for again: who reads a prompt must not wait for a disk.
        if found is not None and ((path == SHIPPED and not fresh) or found[0] == stamp(path)):
            return found[1]
        try:
            mark = stamp(path)
            with path.open("rb") as file:
                header = _read(path, file)
        except OSError as error:
            raise missing(path, error) from error
        while len(_cached) >= _MOST_CACHED:
            del _cached[next(iter(_cached))]
        _cached[path] = (mark, header)
        return header


_lock = threading.Lock()
_cached: dict[Path, tuple[tuple[int, int], Header]] = {}


def stamp(path: Path) -> tuple[int, int]:
    """What tells a file from the one that was there before: time of the last change in nanoseconds, size.

    Raises `MotionQueueError("weights_missing")`.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise missing(path, error) from error
    return found.st_mtime_ns, found.st_size


def missing(path: Path, error: Exception) -> MotionQueueError:
    """The error of a file that is not there, or may not be read."""
    if isinstance(error, FileNotFoundError):
        return MotionQueueError(
            "weights_missing",
            f"The motion model's weights are not at {path}. Reinstall the extension, or name the file you trained.",
            details={"weights": "no such file"},
        )
    reason = getattr(error, "strerror", None) or error
    return MotionQueueError(
        "weights_missing",
        f"The motion model's weights at {str(path)!r} cannot be read: {reason}. "
        "Reinstall the extension, or check its permissions.",
        details={"weights": str(reason)},
    )


def damaged(path: Path, why: str) -> MotionQueueError:
    """The error of a file whose content cannot be used."""
    return MotionQueueError(
        "weights_damaged",
        f"The motion model's weights at {path} cannot be used: {why}. Reinstall the extension, or copy the file again.",
        details={"weights": why},
    )


def size_of(value: Any) -> int:
    """A positive whole number from a header. ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 1 << 24:
        raise ValueError(f"{str(value)[:20]!r} is no size")
    return value


def _read(path: Path, file: BinaryIO) -> Header:
    size = file.seek(0, 2)
    if not 0 < size <= MAX_BYTES:
        raise damaged(path, "it is empty or larger than any weights of this model")
    if size < 10:
        raise damaged(path, "it is too short")
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8))
    if not 2 <= length <= min(MAX_HEADER, size - 8):
        raise damaged(path, "its header is not as long as it says")
    try:
        tensors = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its header is no JSON ({error})") from error
    if not isinstance(tensors, dict):
        raise damaged(path, "its header is not a table")
    metadata = tensors.pop("__metadata__", {})
    _check_ours(path, metadata)
    try:
        config = json.loads(metadata["config"])
        words, actions, clips = (json.loads(metadata[key]) for key in ("words", "actions", "clips"))
        sizes = Sizes(**{key: size_of(config[key]) for key in _SIZES})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise damaged(path, f"its description cannot be read ({error})") from error
    for listed in (words, actions, clips):
        if not isinstance(listed, list) or len(listed) > _MAX_WORDS_KNOWN or any(not isinstance(w, str) for w in listed):
            raise damaged(path, "its lists of words and clips cannot be read")
    return Header(
        config=sizes,
        words=tuple(words),
        actions=tuple(actions),
        clips=tuple(clips),
        name=str(config.get("name", ""))[:40],
        tensors=tensors,
        data_start=8 + length,
        size=size,
    )


def _check_ours(path: Path, metadata: Any) -> None:
    if not isinstance(metadata, dict) or not {"format", "config", "words", "actions"} <= set(metadata):
        raise MotionQueueError(
            "weights_foreign",
            f"{path} holds weights, but not of this product's motion model. Name a file that its training wrote.",
            details={"weights": "of another model"},
        )
    if metadata["format"] != FORMAT:
        raise MotionQueueError(
            "weights_foreign",
            f"{path} is in format {str(metadata['format'])[:20]!r}, and this version reads format {FORMAT}. "
            "Use the version of the extension that belongs to it.",
            details={"weights": "of another version"},
        )
