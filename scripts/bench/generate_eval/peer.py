# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers of MoMask++'s published sizes with random weights: what a motion costs there, not what it looks like.

Written from the sizes alone (text encoder 12 layers × 768 over 120 tokens; token model 8 layers × 384 with attention to the text,
80 tokens at the finer of two scales, 16 steps with guidance; convolutional decoder to 320 frames). Needs torch. As a program,
prints the seconds of each round as JSON.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch import Tensor, nn

_TEXT_TOKENS, _TOKENS, _COARSE, _STEPS, _FEATURES = 120, 80, 40, 16, 296


class Momask(nn.Module):
    """Text encoder, token model and decoder."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(768, 12, 2048, batch_first=True, norm_first=True)
        self.text = nn.TransformerEncoder(layer, 12, enable_nested_tensor=False)
        self.narrow = nn.Linear(768, 384)
        crossing = nn.TransformerDecoderLayer(384, 6, 1024, batch_first=True, norm_first=True)
        self.tokens = nn.TransformerDecoder(crossing, 8)
        self.ids = nn.Embedding(2049, 384)
        self.logits = nn.Linear(384, 2048)
        self.code = nn.Embedding(2048, 512)
        blocks: list[nn.Module] = []
        for stage in range(3):
            blocks += [_Block(512) for _ in range(4)]
            blocks += [nn.Upsample(scale_factor=2), nn.Conv1d(512, 512, 3, padding=1)] if stage < 2 else []
        self.decoder = nn.Sequential(nn.Conv1d(512, 512, 3, padding=1), *blocks, nn.Conv1d(512, _FEATURES, 3, padding=1))

    def forward(self) -> Tensor:
        """One motion [1, 296, 320]."""
        text = self.narrow(self.text(torch.randn(1, _TEXT_TOKENS, 768)))
        both = torch.cat([text, torch.zeros_like(text)])
        ids = torch.full((1, _COARSE + _TOKENS), 2048)
        for step in range(_STEPS):
            out = self.logits(self.tokens(self.ids(ids.expand(2, -1)), both))
            guided = out[1:] + 4.0 * (out[:1] - out[1:])
            sure, chosen = guided.softmax(-1).max(-1)
            keep = int(ids.shape[1] * (step + 1) / _STEPS)
            places = sure.topk(keep, dim=-1).indices
            ids = ids.scatter(1, places, chosen.gather(1, places))
        motion: Tensor = self.decoder(self.code(ids[:, _COARSE:].clamp(max=2047)).transpose(1, 2))
        return motion


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Conv1d(width, width, 3, padding=1), nn.ReLU(), nn.Conv1d(width, width, 3, padding=1)
        )

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = values + self.layers(values)
        return out


def main(rounds: int = 3, threads: int = 2) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = Momask().eval()
    parts = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in model.named_children()}
    seconds = []
    with torch.inference_mode():
        for _ in range(rounds):
            begin = time.perf_counter()
            model()
            seconds.append(time.perf_counter() - begin)
    json.dump({"seconds": seconds, "millions": parts}, sys.stdout)


if __name__ == "__main__":
    main()
