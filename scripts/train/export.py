# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the trained networks as one safetensors file: half precision, and what else the extension must know as metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from . import data
from .config import Config
from .stages import Norm, Tokens

FORMAT = "2"
_EXAMPLE_PHASES = (0, 2)  # of the four that a token of four frames can begin at


def write(
    path: Path,
    config: Config,
    norm: Norm,
    words: Sequence[str],
    training: data.Pack,
    coded: Sequence[Tokens],
    *,
    vq: nn.Module,
    tokens: nn.Module,
    refiner: nn.Module,
) -> None:
    """One file with all that generation needs; `format` in its metadata is raised when an older reader could not use it."""
    tensors = {
        f"{part}.{key}": value
        for part, module in (("vq", vq), ("tokens", tokens), ("refiner", refiner))
        for key, value in _matrices(module).items()
    }
    del tensors["vq.quantiser.counts"], tensors["vq.quantiser.sums"]  # only training needs them
    half = {key: value.detach().to(torch.float16).contiguous() for key, value in tensors.items()}
    for key in ("mean", "std", "kinematic_mean", "kinematic_std"):
        half[f"norm.{key}"] = getattr(norm, key).detach().to(torch.float32).contiguous()
    half |= _examples(training, coded, words)
    known = sorted({tag for clip in training.clips for tag in clip.tags})
    part = path.with_suffix(".part")
    metadata = {
        "format": FORMAT,
        "config": json.dumps(config.to_json()),
        "words": json.dumps(list(words)),
        "actions": json.dumps(known),
        "clips": json.dumps([clip.id for clip in training.clips]),
    }
    save_file(half, part, metadata=metadata)
    part.replace(path)


def _examples(training: data.Pack, coded: Sequence[Tokens], words: Sequence[str]) -> dict[str, torch.Tensor]:
    """All codes of the clips at their own speed, mirrored too, from two phases, with the words of their captions: what the
    further codes are chosen from, and what shows which first codes go with which words."""
    kept = [c for c in coded if training.versions[c.version].speed == 1.0 and c.phase in _EXAMPLE_PHASES]
    index = {word: number for number, word in enumerate(words)}
    said = []
    for c in kept:
        version = training.versions[c.version]
        captions = data.whole_captions(training.clips[version.clip], mirrored=version.mirrored, speed=1.0)
        said.append(sorted({index[word] for caption in captions for word in caption if word in index}))
    padded = np.full((len(kept), max(map(len, said))), -1, np.int16)
    for row, known in zip(padded, said, strict=True):
        row[: len(known)] = known
    return {
        "examples.codes": torch.tensor(np.concatenate([c.codes for c in kept]).astype(np.int16)),
        "examples.runs": torch.tensor(np.repeat(np.arange(len(kept)), [len(c.codes) for c in kept]).astype(np.int16)),
        "examples.clips": torch.tensor(np.array([training.versions[c.version].clip for c in kept], np.int16)),
        "examples.words": torch.tensor(padded),
    }


def _matrices(module: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters; those of linear layers turned, [in, out], as a product from the right takes them."""
    linear = {f"{name}.weight" for name, part in module.named_modules() if isinstance(part, nn.Linear)}
    return {key: value.T if key in linear else value for key, value in module.state_dict().items()}
