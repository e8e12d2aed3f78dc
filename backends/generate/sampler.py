# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the first codes of a motion, which say what the body does: by hiding and guessing again, with guidance by text.

Masked generative sampling as published for motion by Guo et al., "MoMask: Generative Masked Modeling of 3D Human
Motions", 2024. Knows the token model's scores; no prompts and no poses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .network import Floats, Ints, Networks

Step = Callable[[], None]  # called before each pass through the network; may raise to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How codes are drawn."""

    steps: int = 10  # passes through the network
    guidance: float = 1.5  # 1: as the model says; more: closer to the text, less varied
    leaning: float = 1.0  # how much heed is paid to which codes the words' own clips have
    temperature: float = 1.0
    candidates: int = 2  # drawn at once; the caller keeps the best


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    codes: Ints  # [candidates, T], the known ones in place
    agreement: Floats  # [candidates] how much likelier the words made the codes, mean of log ratios


def draw_window(
    networks: Networks,
    words: tuple[str, ...],
    control: Floats,
    known: Ints,
    is_known: NDArray[np.bool_],
    leaning: Floats,
    sampling: Sampling,
    draw: np.random.Generator,
    step: Step,
) -> Drawn:
    """Fill one window of T tokens. control [T, 6] (values, then which are given), known [T], is_known [T]; leaning [codes]: logs
    of how much likelier the words make each code."""
    n, length = sampling.candidates, len(known)
    text, _ = networks.text([words] * n + [()] * n)
    # The path is told to both: guidance would otherwise exaggerate it, and half a turn would become a whole one.
    told = np.repeat(control[None], 2 * n, axis=0)
    codes = np.repeat(known[None].astype(np.int64), n, axis=0)
    hidden = np.repeat(~is_known[None], n, axis=0)
    agreement = np.zeros((n, length), np.float32)
    to_guess = int((~is_known).sum())
    for turn in range(sampling.steps if to_guess else 0):
        step()
        scores = networks.scores(np.concatenate([codes, codes]), np.concatenate([hidden, hidden]), told, text)
        with_text, without = scores[:n], scores[n:]
        guided = without + sampling.guidance * (with_text - without) + sampling.leaning * leaning
        chosen, likely = _choose(guided, sampling.temperature, draw)
        ratio = _log_likely(with_text, chosen) - _log_likely(without, chosen)
        codes = np.where(hidden, chosen, codes)
        agreement = np.where(hidden, ratio, agreement)
        # Of what was guessed, the surest stay; the draw among them is looser at first.
        left = int(np.floor(to_guess * np.cos(0.5 * np.pi * (turn + 1) / sampling.steps)))
        looseness = sampling.temperature * (1.0 - (turn + 1) / sampling.steps)
        sure = np.log(likely + 1e-9) + looseness * _gumbel(likely.shape, draw)
        sure[~hidden] = np.inf
        order = np.argsort(sure, axis=1)
        hidden = np.zeros_like(hidden)
        np.put_along_axis(hidden, order[:, :left], True, axis=1)
        if left == 0:
            break
    free = ~is_known
    return Drawn(codes=codes, agreement=agreement[:, free].mean(axis=1) if to_guess else np.zeros(n, np.float32))


def _choose(scores: Floats, temperature: float, draw: np.random.Generator) -> tuple[Ints, Floats]:
    """A code for each place by its probability, and that probability; the most likely where the temperature is 0."""
    scaled = scores / max(temperature, 1e-6)
    chosen = np.argmax(scaled + _gumbel(scores.shape, draw), axis=-1) if temperature > 0 else np.argmax(scaled, axis=-1)
    return chosen, np.exp(_log_likely(scaled, chosen))


def _log_likely(scores: Floats, chosen: Ints) -> Floats:
    top = scores.max(axis=-1, keepdims=True)
    total = np.log(np.exp(scores - top).sum(axis=-1)) + top[..., 0]
    out: Floats = np.take_along_axis(scores, chosen[..., None], axis=-1)[..., 0] - total
    return out


def _gumbel(shape: tuple[int, ...], draw: np.random.Generator) -> Floats:
    out: Floats = draw.gumbel(size=shape).astype(np.float32)
    return out
