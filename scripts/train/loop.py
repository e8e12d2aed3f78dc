# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a stage of training to its end: seeded per step, resumed from checkpoints, logged a line at a time.

A step's randomness depends on seed, stage and step alone, so a run that was stopped and resumed makes the same weights.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

CHECKPOINT_SECONDS = 120.0
_WARM_UP = 200  # steps


class Stage(Protocol):
    """One network and how it learns."""

    name: str
    steps: int
    averaging: float  # how slowly the weights that are kept follow those that learn; 0: they are the same
    learning_rate: float
    network: nn.Module

    def loss(self, draw: np.random.Generator, step: int) -> tuple[Tensor, Mapping[str, float]]:
        """The loss of one batch, and figures for the log."""

    def check(self) -> Mapping[str, float]:
        """Figures on clips that are not trained on."""


def run(stage: Stage, folder: Path, *, seed: int, report: Callable[[str], None]) -> nn.Module:
    """Train to the last step (or load what was trained) and return the averaged network.

    Files in `folder`: `NAME.pt` (checkpoint), `NAME.jsonl` (log).
    """
    checkpoint, log = folder / f"{stage.name}.pt", folder / f"{stage.name}.jsonl"
    network = stage.network
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=0.02, fused=True)
    done, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        done, spent = state["step"], state["seconds"]
        report(f"{stage.name}: goes on at step {done} of {stage.steps}")
    began = saved = time.monotonic()
    figures: dict[str, list[float]] = {}
    network.train()
    for step in range(done, stage.steps):
        torch.manual_seed(seed * 1_000_003 + step)
        draw = np.random.default_rng([seed, len(stage.name), step])
        for group in optimiser.param_groups:
            group["lr"] = stage.learning_rate * _pace(step, stage.steps)
        loss, seen = stage.loss(draw, step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        _follow(average, network, min(stage.averaging, (1.0 + step) / (10.0 + step)))
        for key, value in (("loss", float(loss.detach())), *seen.items()):
            figures.setdefault(key, []).append(value)
        last = step + 1 == stage.steps
        if (step + 1) % 100 == 0 or last:
            line = {"step": step + 1, "seconds": round(spent + time.monotonic() - began, 1)}
            line |= {k: round(float(np.mean(v)), 5) for k, v in figures.items()}
            figures.clear()
            if (step + 1) % 500 == 0 or last:
                line |= {f"val_{k}": round(v, 5) for k, v in _checked(stage, average).items()}
            _append(log, line)
            report(f"{stage.name}: {json.dumps(line)}")
        if time.monotonic() - saved > CHECKPOINT_SECONDS or last:
            saved = time.monotonic()
            _save(checkpoint, {
                "network": network.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(),
                "step": step + 1, "seconds": spent + saved - began,
            })  # fmt: skip
    return average.eval()


def _checked(stage: Stage, average: nn.Module) -> Mapping[str, float]:
    """The stage's check with the averaged weights in place."""
    network = stage.network
    stage.network = average
    try:
        stage.network.eval()
        with torch.no_grad():
            return stage.check()
    finally:
        stage.network = network


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Weights and buffers of `average` go towards those of `network`."""
    current = network.state_dict()
    for name, value in average.state_dict().items():
        value.lerp_(current[name], 1.0 - decay)


def _pace(step: int, steps: int) -> float:
    """Warm-up, then a cosine down to a twentieth."""
    rise = min(1.0, (step + 1) / min(_WARM_UP, max(1, steps // 4)))
    return rise * (0.05 + 0.95 * 0.5 * (1.0 + float(np.cos(np.pi * step / steps))))


def _append(log: Path, line: Mapping[str, float]) -> None:
    with log.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def _save(path: Path, state: Mapping[str, object]) -> None:
    """Written beside and renamed, so that a kill leaves the checkpoint before."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)
