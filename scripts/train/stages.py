# SPDX-License-Identifier: GPL-3.0-or-later
"""What each network learns from: the losses of the VQ-VAE, the token model and the root refiner, and their checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ...backends.generate import representation as rep
from . import data
from .config import Config
from .networks import CONTROLS, Body, Decoder, Encoder, Quantiser, Refiner, TokenModel

Floats = NDArray[np.float32]
STRIDE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """Mean and scale of features [140] and of kinematics [132]."""

    mean: Tensor
    std: Tensor
    kinematic_mean: Tensor
    kinematic_std: Tensor

    @classmethod
    def of(cls, pack: data.Pack, body: Body) -> Norm:
        every = torch.tensor(np.concatenate([v.features for v in pack.versions]))
        kinematic = torch.cat([kinematics(torch.tensor(v.features), body) for v in pack.versions])
        std = every.std(0)
        floor = torch.zeros_like(std)
        for group in (rep.YAW, rep.VELOCITY, rep.HEIGHT, rep.ROTATIONS, rep.CONTACTS):
            # What hardly moves (toes, collars) is not blown up to the size of what does.
            floor[group] = 0.5 * std[group].mean()
        return cls(
            mean=every.mean(0),
            std=torch.maximum(std, floor),
            kinematic_mean=kinematic.mean(0),
            kinematic_std=torch.maximum(kinematic.std(0), 0.5 * kinematic.std(0).mean()),
        )


def kinematics(features: Tensor, body: Body) -> Tensor:
    """Joint positions and their velocities (a second) in the frame of the heading: features [..., T, 140] → [..., T, 132]."""
    points = body(features)
    speed = torch.zeros_like(points)
    speed[..., :-1, :, :] = (points[..., 1:, :, :] - points[..., :-1, :, :]) * rep.FPS
    if points.shape[-3] > 1:
        speed[..., -1, :, :] = speed[..., -2, :, :]
    return torch.cat([points.flatten(-2), speed.flatten(-2)], dim=-1)


class VqStage:
    """Motion through the bottleneck of codes and back."""

    name = "vq"

    def __init__(self, config: Config, train: data.Pack, val: data.Pack, norm: Norm) -> None:
        self.config, self.train, self.val, self.norm = config, train, val, norm
        self.steps, self.learning_rate = config.vq_steps, config.vq_learning_rate
        self.averaging = 0.99  # short: codebooks move, and an old encoder would not fit them
        self.body = Body()
        self.network = nn.ModuleDict({"encoder": Encoder(config), "quantiser": Quantiser(config), "decoder": Decoder(config)})
        self._heed = torch.tensor([_HEEDED.get(name, 1.0) for name in rep.NAMES])
        self._heed = self._heed / self._heed.mean()

    def loss(self, draw: np.random.Generator, step: int) -> tuple[Tensor, Mapping[str, float]]:
        # Now and then many short windows: some actions are over before a long one is full.
        frames, size = self.config.vq_frames, self.config.vq_batch
        if draw.random() < 0.2:
            frames, size = _SHORT_WINDOW, size * frames // _SHORT_WINDOW
        features = torch.tensor(windows(self.train, frames, size, draw))
        # Now and then only the first levels: they must stand on their own, since they are guessed first.
        levels = int(draw.integers(1, self.config.levels + 1)) if draw.random() < 0.25 else self.config.levels
        out, commit = self.through(features, levels)
        losses = self._losses(features, out)
        total = sum(losses.values()) + 0.05 * commit
        assert isinstance(total, Tensor)
        return total, {k: float(v.detach()) for k, v in losses.items()} | {"commit": float(commit.detach())}

    def through(self, features: Tensor, levels: int) -> tuple[Tensor, Tensor]:
        """Features [N, T, 140] → what comes back, and the commitment loss."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latent = self.network["encoder"](encoder_input(features, self.norm, self.body)).float()
        quantised, commit = self.network["quantiser"](latent.flatten(0, 1), levels, torch.default_generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = self.network["decoder"](quantised.view_as(latent)).float()
        return out * self.norm.std + self.norm.mean, commit

    def _losses(self, features: Tensor, out: Tensor) -> dict[str, Tensor]:
        a, b = self.body(features), self.body(out)
        scaled = (out - features) / self.norm.std
        planted = features[..., rep.CONTACTS][:, :-1, [1, 3]]
        feet = [10, 11]
        return {
            "features": functional.smooth_l1_loss(scaled, torch.zeros_like(scaled)),
            "root": 0.5 * functional.smooth_l1_loss(scaled[..., :4], torch.zeros_like(scaled[..., :4])),
            "points": 6.0 * ((b - a).abs().mean(-1) * self._heed).mean(),
            "speed": 0.3 * (((b[:, 1:] - b[:, :-1]) - (a[:, 1:] - a[:, :-1])).abs().mean(-1) * self._heed).mean() * rep.FPS,
            "feet": 0.5 * (((b[:, 1:] - b[:, :-1]) - (a[:, 1:] - a[:, :-1]))[:, :, feet].norm(dim=-1) * planted).mean() * rep.FPS,
            "path": 0.5 * (out - features)[..., :3].cumsum(1).abs().mean(),
            # Where nobody can know which way a limb shakes, the mean of all ways is no shake: so also how much, over some frames.
            "jerk": 0.4 * (_jerk(b) - _jerk(a)).abs().mean(),
        }

    def check(self) -> Mapping[str, float]:
        """Mean joint error (mm) in the frame of the heading, drift of the root (mm a second), with all levels and with one;
        with all, how much jerk comes back (1: as much as there was)."""
        out: dict[str, float] = {}
        jerks = []
        for name, levels in (("", self.config.levels), ("_first_level", 1)):
            errors, drifts = [], []
            for version in self.val.versions:
                features = torch.tensor(version.features[: len(version) // STRIDE * STRIDE])[None]
                back, _ = self.through(features, levels)
                there, came = self.body(features), self.body(back)
                errors.append(float((came - there).norm(dim=-1).mean()) * 1000)
                if levels == self.config.levels:
                    jerks.append(float((_jerk(came) - _jerk(there)).median().exp()))
                gone = (back - features)[0, :, 1:3].sum(0).norm()
                drifts.append(float(gone) * 1000 / (features.shape[1] / rep.FPS))
            out |= {f"mpjpe_mm{name}": float(np.mean(errors)), f"drift_mm_s{name}": float(np.mean(drifts))}
        return out | {"jerk_ratio": float(np.median(jerks))}


def _jerk(points: Tensor) -> Tensor:
    """Log of the mean jerk (m/s³) of each joint over spans of twelve frames: points [N, T, 22, 3] → [N, spans, 22]."""
    third = points.diff(n=3, dim=1).norm(dim=-1) * rep.FPS**3
    spans = functional.avg_pool1d(third.transpose(1, 2), _JERK_SPAN, _JERK_SPAN // 2).transpose(1, 2)
    return (spans + _STILL).log()


_JERK_SPAN = 12  # frames
_STILL = 20.0  # m/s³: below about this a joint stands still, and differences mean nothing


def encoder_input(features: Tensor, norm: Norm, body: Body) -> Tensor:
    """Normalised features and kinematics [N, T, 272] of features [N, T, 140]."""
    kinematic = (kinematics(features, body) - norm.kinematic_mean) / norm.kinematic_std
    return torch.cat([(features - norm.mean) / norm.std, kinematic], dim=-1)


# How much a joint counts beside the others: what a kick, a punch or a wave is, is where hands and feet are.
_HEEDED = {f"{side}_{part}": 2.5 for side in "lr" for part in ("wrist", "ankle", "foot")} | {"l_elbow": 1.5, "r_elbow": 1.5}
_SHORT_WINDOW = 24  # frames


def windows(pack: data.Pack, frames: int, count: int, draw: np.random.Generator) -> Floats:
    """Pieces [count, frames, 140] of the versions that are long enough, drawn by the pack's weights."""
    weights = pack.weights * np.array([len(v) >= frames for v in pack.versions])
    picked = draw.choice(len(weights), size=count, p=weights / weights.sum())
    return np.stack([_window(pack.versions[i].features, frames, draw) for i in picked])


def _window(features: Floats, frames: int, draw: np.random.Generator) -> Floats:
    start = int(draw.integers(len(features) - frames + 1))
    return features[start : start + frames]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The codes of one version, read from a phase: token k begins at frame `phase` + 4 k."""

    version: int
    phase: int
    codes: NDArray[np.int64]  # [T, levels]


def tokenise(pack: data.Pack, vq: nn.Module, norm: Norm, *, phases: Sequence[int] = range(STRIDE)) -> list[Tokens]:
    """The codes of every version from each phase."""
    body = Body()
    out = []
    with torch.no_grad():
        for index, version in enumerate(pack.versions):
            for phase in phases:
                usable = (len(version) - phase) // STRIDE * STRIDE
                if usable < 4 * STRIDE:
                    continue
                features = torch.tensor(version.features[phase : phase + usable])[None]
                latent = vq["encoder"](encoder_input(features, norm, body))[0]  # type: ignore[index]
                codes = vq["quantiser"].encode(latent)  # type: ignore[index,operator]
                out.append(Tokens(version=index, phase=phase, codes=codes.numpy()))
    return out


class TokenStage:
    """The masked transformer: hidden first codes from shown ones, words and path."""

    name = "tokens"

    def __init__(
        self, config: Config, train: data.Pack, val: data.Pack, words: Sequence[str], coded: list[Tokens], coded_val: list[Tokens]
    ) -> None:
        self.config, self.train, self.val = config, train, val
        self.steps, self.learning_rate, self.averaging = config.steps, config.learning_rate, 0.998
        self.words = {word: i for i, word in enumerate(words)}
        self.network = TokenModel(config, len(words))
        self._coded, self._coded_val = coded, coded_val
        by_version = train.weights
        weight = np.array([by_version[c.version] for c in coded])
        self._weights = weight / weight.sum()

    def loss(self, draw: np.random.Generator, step: int) -> tuple[Tensor, Mapping[str, float]]:
        picked = draw.choice(len(self._coded), size=self.config.batch, p=self._weights)
        batch = self._batch(self.train, [self._coded[i] for i in picked], draw, augment=True)
        return self._score(batch)

    def check(self) -> Mapping[str, float]:
        draw = np.random.default_rng(0)
        seen: dict[str, list[float]] = {}
        for _ in range(4):
            batch = self._batch(self.val, self._coded_val, draw, augment=False)
            for key, value in self._score(batch)[1].items():
                seen.setdefault(key, []).append(value)
        return {k: float(np.mean(v)) for k, v in seen.items()}

    def _batch(self, pack: data.Pack, coded: Sequence[Tokens], draw: np.random.Generator, *, augment: bool) -> dict[str, Tensor]:
        config = self.config
        n = len(coded)
        # One longest window for a batch: short ones would be mostly padding beside long ones.
        longest = round(config.max_tokens * float(draw.choice(_WINDOWS))) if augment else config.max_tokens
        codes = np.zeros((n, longest), np.int64)
        hidden = np.zeros((n, longest), bool)
        valid = np.zeros((n, longest), bool)
        control = np.zeros((n, longest, 2 * CONTROLS), np.float32)
        words = np.full((n, config.max_words), len(self.words), np.int64)
        words_valid = np.zeros((n, config.max_words), bool)
        estimates = np.zeros((n, 1 + CONTROLS), np.float32)
        for row, c in enumerate(coded):
            version = pack.versions[c.version]
            length = _window_length(len(c.codes), longest, draw)
            # What people ask for begins where it begins: often from the clip's start.
            start = 0 if draw.random() < 0.3 else int(draw.integers(len(c.codes) - length + 1))
            codes[row, :length] = c.codes[start : start + length, 0]
            valid[row, :length] = True
            first = c.phase + STRIDE * start
            track = version.track[first : first + STRIDE * length]
            given, dropped = _given(draw, augment)
            if not dropped:
                said = data.caption(pack, version, first, first + STRIDE * length, draw)
                if augment and draw.random() < 0.2:
                    said = tuple(w for w in said if draw.random() > 0.15)
                ids = [self.words[w] for w in said if w in self.words][: config.max_words]
                words[row, : len(ids)] = ids
                words_valid[row, : len(ids)] = True
            if not words_valid[row].any():
                words_valid[row, 0] = True  # "no text"
            per_token = track.reshape(length, STRIDE, CONTROLS).mean(1)
            if draw.random() < _STEADY:
                per_token = np.broadcast_to(per_token.mean(0), per_token.shape)
            control[row, :length, :CONTROLS] = per_token * given
            control[row, :length, CONTROLS:] = given
            estimates[row] = [np.log(pack.clips[version.clip].seconds / version.speed), *track.mean(0)]
            hidden[row, :length] = _hide(length, draw)
        arrays = {
            "codes": codes, "hidden": hidden, "control": control, "valid": valid,
            "words": words, "words_valid": words_valid, "estimates": estimates,
        }  # fmt: skip
        return {k: torch.tensor(v) for k, v in arrays.items()}

    def _score(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        codes, hidden = batch["codes"], batch["hidden"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores, estimates = self.network(
                codes, hidden, batch["control"], batch["valid"], batch["words"], batch["words_valid"]
            )
        asked, target = scores[hidden].float(), codes[hidden]
        loss = functional.cross_entropy(asked, target, label_smoothing=0.1 if self.network.training else 0.0)
        right = (asked.argmax(-1) == target).float().mean()
        said = batch["words_valid"].sum(1) > 1
        guess = functional.smooth_l1_loss(estimates.float(), batch["estimates"], reduction="none").mean(-1)
        guess = (guess * said).sum() / said.sum().clamp(min=1)
        figures = {"codes": float(loss.detach()), "right": float(right), "estimate": float(guess.detach())}
        return loss + 0.2 * guess, figures


_STEADY = 0.5  # how often a path is told as what it comes to: people say where to, not how from step to step
_WINDOWS = (0.4, 0.7, 1.0)  # of the longest


def _window_length(available: int, longest: int, draw: np.random.Generator) -> int:
    """Tokens of a training window: mostly all there is, else any length from eight up."""
    most = min(available, longest)
    return most if draw.random() < 0.5 or most <= 8 else int(draw.integers(8, most + 1))


def _given(draw: np.random.Generator, augment: bool) -> tuple[Floats, bool]:
    """Which controls are told [3], and whether the words are kept back (guidance needs both kinds)."""
    if not augment:
        return np.ones(CONTROLS, np.float32), False
    kind = draw.random()
    if kind < 0.1:
        return np.zeros(CONTROLS, np.float32), True
    if kind < 0.4:
        return np.zeros(CONTROLS, np.float32), False
    if kind < 0.7:
        return np.ones(CONTROLS, np.float32), bool(draw.random() < 0.1)
    return (draw.random(CONTROLS) < 0.5).astype(np.float32), bool(draw.random() < 0.1)


def _hide(length: int, draw: np.random.Generator) -> NDArray[np.bool_]:
    """Which codes of a window are hidden: scattered by a cosine schedule, or all after a start, or all between two ends."""
    hidden = np.zeros(length, bool)
    share = np.cos(0.5 * np.pi * draw.random())
    kind = draw.random()
    if kind < 0.3 and length >= 6:
        known = int(draw.integers(1, min(12, length - 2)))
        hidden[known:] = draw.random(length - known) < max(share, 0.3)
        if kind < 0.08:
            hidden[-int(draw.integers(1, 4)) :] = False
    else:
        hidden[draw.permutation(length)[: max(1, int(np.ceil(share * length)))]] = True
    if not hidden.any():
        hidden[-1] = True
    return hidden


class RefinerStage:
    """Corrections of the root's velocity, learned on motion whose velocity was made wrong: legs show how far a body gets."""

    name = "refiner"

    def __init__(self, config: Config, train: data.Pack, val: data.Pack, norm: Norm, vq: VqStage) -> None:
        self.config, self.train, self.val, self.norm, self.vq = config, train, val, norm, vq
        self.steps, self.learning_rate, self.averaging = config.refiner_steps, config.learning_rate, 0.99
        self.network = Refiner(config)
        self.body = Body()

    def loss(self, draw: np.random.Generator, step: int) -> tuple[Tensor, Mapping[str, float]]:
        features = torch.tensor(windows(self.train, self.config.vq_frames, self.config.vq_batch // 2, draw))
        with torch.no_grad():
            coded, _ = self.vq.through(features, int(draw.integers(2, self.config.levels + 1)))
        seen = torch.cat([features[::2], coded[1::2]])
        truth = torch.cat([features[::2], features[1::2]])[..., rep.VELOCITY] * rep.FPS
        guess = self.velocity(_made_wrong(seen))
        speed = functional.smooth_l1_loss(guess, truth, beta=0.1)
        path = (guess - truth).cumsum(1).abs().mean() / rep.FPS
        return speed + path, {"speed": float(speed.detach()), "path": float(path.detach())}

    def velocity(self, features: Tensor) -> Tensor:
        """Metres a second (left, forward) [N, T, 2] for features [N, T, 140]: their own, corrected."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = self.network(encoder_input(features, self.norm, self.body))
        return features[..., rep.VELOCITY] * rep.FPS + out.float()

    def check(self) -> Mapping[str, float]:
        """Error of the speed (m/s) of what came through the codes, and of that made wrong as in training: before and after."""
        torch.manual_seed(0)
        rows = []
        for version in self.val.versions:
            features = torch.tensor(version.features[: len(version) // STRIDE * STRIDE])[None]
            coded, _ = self.vq.through(features, self.config.levels)
            wrong = _made_wrong(coded)
            speeds = (
                coded[..., rep.VELOCITY] * rep.FPS,
                self.velocity(coded),
                wrong[..., rep.VELOCITY] * rep.FPS,
                self.velocity(wrong),
            )
            rows.append([float((speed - features[..., rep.VELOCITY] * rep.FPS).norm(dim=-1).mean()) for speed in speeds])
        names = ("decoded", "decoded_refined", "wrong", "wrong_refined")
        return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))


def _made_wrong(features: Tensor) -> Tensor:
    """Features [N, T, 140] whose root goes too fast or slow, aside, and wanders, as a guessed motion's does."""
    n, frames = features.shape[:2]
    speed = features[..., rep.VELOCITY] * (1.0 + 0.15 * torch.randn(n, 1, 1)) + 0.1 / rep.FPS * torch.randn(n, 1, 2)
    coarse = torch.randn(n, 2, max(2, frames // 8)) * 0.15 / rep.FPS
    wander = functional.interpolate(coarse, size=frames, mode="linear", align_corners=True).transpose(1, 2)
    wrong = features.clone()
    wrong[..., rep.VELOCITY] = speed + wander
    return wrong
