# SPDX-License-Identifier: GPL-3.0-or-later
"""The sizes of the networks and of their training, as named presets. Knows no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from ...backends.generate.representation import FEATURES


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that decides which weights come out, besides the data and the code."""

    name: str
    seed: int = 1
    features: int = FEATURES
    # Residual VQ-VAE: four frames a token, `levels` codes a token.
    vq_width: int
    vq_depth: int  # residual blocks at each of the three rates
    code_width: int
    codes: int
    levels: int
    vq_frames: int = 64
    vq_batch: int
    vq_steps: int
    # Masked transformer over the tokens.
    width: int
    layers: int
    text_layers: int
    heads: int
    hidden: int
    max_words: int = 16
    max_tokens: int = 48  # 6.4 seconds
    batch: int
    steps: int
    dropout: float
    # Root refiner.
    refiner_width: int
    refiner_steps: int
    learning_rate: float = 4e-4
    vq_learning_rate: float = 6e-4

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


CPU = Config(
    name="cpu",
    vq_width=256, vq_depth=2, code_width=128, codes=512, levels=5, vq_batch=48, vq_steps=4_500,
    width=192, layers=5, text_layers=1, heads=4, hidden=768, batch=48, steps=8_000, dropout=0.12,
    refiner_width=128, refiner_steps=1_500,
)  # fmt: skip
GPU = Config(
    name="gpu",
    vq_width=320, vq_depth=3, code_width=192, codes=512, levels=6, vq_batch=256, vq_steps=12_000,
    width=320, layers=6, text_layers=2, heads=5, hidden=1280, batch=192, steps=30_000, dropout=0.2,
    refiner_width=160, refiner_steps=5_000,
)  # fmt: skip
TINY = Config(
    name="tiny",
    vq_width=32, vq_depth=1, code_width=16, codes=32, levels=3, vq_batch=8, vq_steps=30,
    width=32, layers=2, text_layers=1, heads=2, hidden=64, batch=8, steps=30, dropout=0.1,
    refiner_width=16, refiner_steps=20,
)  # fmt: skip

PRESETS = MappingProxyType({preset.name: preset for preset in (CPU, GPU, TINY)})
