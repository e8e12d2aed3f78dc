# SPDX-License-Identifier: GPL-3.0-or-later
"""Text to motion: reads the prompt, plans, draws codes part by part, fills in details, decodes, refines the root, cleans.

The one entry to generation for whoever has a prompt. Knows no jobs, files of motion or Blender.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...motion.clean import CleanReport, clean, foot_contacts
from ...motion.humanoid import JointMap, find_joints
from ...motion.legs import find_legs
from ...motion.skeleton import Motion
from ...queue.contract import Json
from . import representation as rep
from .details import Chosen, Examples
from .edits import LOCK, METRE, Edits, apply
from .network import STRIDE, Floats, Ints, Networks
from .ops import NumpyOps, Ops, TorchOps
from .plan import TOKEN_SECONDS, Part, Plan, make_plan
from .prompt import ACTIONS, Kind
from .prompt.parse import read_prompt
from .sampler import Drawn, Sampling, draw_window
from .timeline import Segment, Timeline
from .weights import read_weights

_CONTEXT = 10  # tokens of what came before that a new window is shown
_SEAM = 3  # tokens in which one part becomes the next
_RETRIEVED, _MOSTLY = 2.0, 0.6  # seconds, share: what takes so much of so long from one training clip shows that clip
_STEERED = np.array([0.3, 0.4, 1.2])  # how much a path is bent at most: metres a second to the side, forward; radians a second
_NEARLY = np.array([0.08, 0.08, 0.14])  # metres a second to the side and forward, radians of a whole part …
_NEARLY_SHARE = 0.1  # … or this share of what was asked: so far off a path is left as it is
_STEER_EASE = 6.0  # frames
Progress = Callable[[float, str], None]  # share done 0–1, what is being done; may raise to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateOptions:
    """How a prompt is answered."""

    seconds: float | None = None  # of the whole motion; None: what the prompt says, else an estimate
    seed: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    foot_lock: bool = True
    edits: Edits = field(default_factory=Edits)  # made once the motion is clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """A stretch of a motion that follows one training clip, or was modelled on it."""

    clip: str
    start: float  # seconds
    seconds: float
    share: float  # of its moments that are that clip's own


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateReport:
    """What is worth knowing about how a motion came to be."""

    seed: int
    seconds: float
    agreement: float  # how much likelier the words made the motion, mean log ratio a token; below 0: the words did not matter
    path_error: float  # metres a second between the path that was asked for and the one that was made, 0 where none was
    turn_error: float  # radians between the turn asked for and made, the largest of all parts
    retrieved: tuple[Retrieved, ...]  # what is a training clip rather than a new motion, in order
    cleaning: CleanReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    motion: Motion  # 22 joints, centimetres, 30 frames a second
    timeline: Timeline
    plan: Plan
    report: GenerateReport


class Generator:
    """The model, loaded once, for any number of prompts."""

    def __init__(self, networks: Networks, actions: tuple[str, ...], *, name: str = "") -> None:
        self._networks = networks
        self._examples = Examples.of(networks)
        self.actions = actions
        self.name = name  # of the model's configuration, for people
        skeleton = rep.skeleton()
        self._joints: JointMap = find_joints(skeleton.names, skeleton.parents, skeleton.rest_positions())

    @classmethod
    def load(cls, weights: Path | None = None, *, device: str = "numpy") -> Generator:
        """The shipped weights, or others. `device`: "numpy", or as torch names it, "cpu" or "cuda".

        Raises `MotionQueueError`: weights_missing, weights_damaged, weights_foreign.
        """
        ops: Ops = NumpyOps() if device == "numpy" else TorchOps(device)
        read = read_weights(weights)
        return cls(Networks(read, ops), read.actions, name=read.name)

    @property
    def where(self) -> str:
        """What computes, for people."""
        return self._networks.ops.name

    def read(self, prompt: str) -> Timeline:
        """What the prompt asks for. Raises `MotionQueueError` where nothing of it can be used."""
        return read_prompt(prompt, vocabulary=self._networks.words.keys())

    def plan(self, timeline: Timeline, seconds: float | None = None) -> Plan:
        """Lengths and paths of the timeline's parts."""
        _, expected = self._networks.text([segment.words for segment in timeline.segments])
        return make_plan(timeline, expected, seconds)

    def generate(self, prompt: str, options: GenerateOptions | None = None, *, progress: Progress | None = None) -> Generated:
        """A motion for the prompt. The same prompt, options and weights make the same motion.

        Raises `MotionQueueError`: the codes of `read_prompt`, invalid_duration; `MotionError("bad_edit")`.
        """
        options = options or GenerateOptions()
        tell: Progress = progress or (lambda share, stage: None)
        timeline = self.read(prompt)
        plan = self.plan(timeline, options.seconds)
        codes, retrieved, agreement = self._codes(plan, options, tell)
        tell(0.9, "Decoding")
        features = steered(self._features(codes), plan)
        path_error, turn_error = _errors(features, plan)
        features = features[: plan.frames]
        raw = rep.to_motion(rep.decode(features))
        tell(0.95, "Cleaning")
        legs = find_legs(raw, self._joints, up=1)
        said = features[:, rep.CONTACTS].reshape(-1, 2, 2) > 0.5
        stands = foot_contacts(raw, legs, metre=METRE, believed=said, options=LOCK)
        cleaned = clean(
            raw, self._joints, metre=METRE, up=1, foot_lock=options.foot_lock, contacts=stands, legs=legs, options=LOCK
        )
        if options.edits:
            tell(0.97, "Editing")
        motion = apply(cleaned.motion, options.edits, self._joints)
        tell(1.0, "Done")
        report = GenerateReport(
            seed=options.seed,
            seconds=len(motion) / rep.FPS,
            agreement=agreement,
            path_error=path_error,
            turn_error=turn_error,
            retrieved=retrieved,
            cleaning=cleaned.report,
        )
        return Generated(motion=motion, timeline=timeline, plan=plan, report=report)

    def _codes(self, plan: Plan, options: GenerateOptions, tell: Progress) -> tuple[Ints, tuple[Retrieved, ...], float]:
        """Codes [T, levels] of the whole plan, window by window, each shown the end of the one before; what of them is a training
        clip; how much the words mattered."""
        draw = np.random.default_rng(options.seed)
        config = self._networks.config
        windows = [w for part in plan.parts for w in _windows(part, config.max_tokens)]
        each = options.sampling.steps
        total, done = each * len(windows), 0
        codes = np.zeros((plan.tokens, config.levels), np.int64)
        sources = np.full(plan.tokens, -1, np.int64)
        agreement = []

        def step() -> None:
            nonlocal done
            tell(0.9 * done / total, f"Generating: step {done + 1} of {total}")
            done += 1

        anchored: list[tuple[str, int, int]] = []
        for number, (part, start, stop) in enumerate(windows):
            done = number * each
            first = max(0, start - _CONTEXT)
            is_known = np.arange(first, stop) < start
            known = codes[first:stop, 0].copy()
            words = [self._networks.words[w] for w in part.segment.words]
            action = ACTIONS[part.segment.action]
            # What goes on top of other actions is not held to a clip that does it alone, unless nothing else is asked for after
            # something else: a body that has just walked hardly waves.
            held = not action.on_top or (start > 0 and _stays(part.segment))
            if action.brief and held and start == part.start:
                anchors = self._examples.anchors(words, stop - start, draw, from_start=action.kind is Kind.POSTURE)
                if anchors is not None:
                    pinned = anchors.pinned.copy()
                    if start:
                        pinned[:_SEAM] = False  # room to come from what was before
                    known[start - first :][pinned] = anchors.codes[pinned]
                    is_known[start - first :] |= pinned
                    anchored.append((anchors.clip, start, stop))
            drawn = draw_window(
                self._networks,
                part.segment.words,
                plan.control[first:stop],
                known,
                is_known,
                # What goes on and on is in many clips, whose captions say little of how it goes on.
                self._examples.leaning(words if action.brief else ()),
                options.sampling,
                draw,
                step,
            )
            before = int(sources[start - 1]) if start else None
            chosen = [self._examples.choose(row[start - first :], draw, before=before, words=words) for row in drawn.codes]
            best = self._best(drawn, chosen, plan.control[start:stop])
            codes[start:stop], sources[start:stop] = chosen[best].codes, chosen[best].sources
            agreement.append(float(drawn.agreement[best]))
        return codes, self._retrieved(sources, anchored, plan.seconds), float(np.mean(agreement))

    def _best(self, drawn: Drawn, chosen: Sequence[Chosen], control: Floats) -> int:
        """The candidate that follows words and path best, and is most of a piece."""
        cost = [
            path_cost(self._features(c.codes), control) - float(a) + c.cost for c, a in zip(chosen, drawn.agreement, strict=True)
        ]
        return int(np.argmin(cost))

    def _retrieved(self, sources: Ints, anchored: Sequence[tuple[str, int, int]], seconds: float) -> tuple[Retrieved, ...]:
        """The stretches that are one clip more than anything else for long, and those that were modelled on one."""
        of = np.concatenate([np.full(tokens, clip, dtype=object) for clip, _, tokens in self._examples.pieces(sources)])
        long = min(len(of), round(_RETRIEVED / TOKEN_SECONDS))
        found = []
        for clip in dict.fromkeys(of.tolist()):
            there = np.convolve(of == clip, np.ones(long), mode="valid") >= _MOSTLY * long  # of the windows that begin at each
            if there.any():
                windows = np.flatnonzero(there)
                found.append((clip, int(windows[0]), int(windows[-1]) + long))
        return tuple(
            Retrieved(
                clip=clip,
                start=start * TOKEN_SECONDS,
                seconds=min(stop * TOKEN_SECONDS, seconds) - start * TOKEN_SECONDS,  # the last token may be cut
                share=float((of[start:stop] == clip).mean()),
            )
            for clip, start, stop in sorted({*found, *anchored}, key=lambda row: row[1:])
        )

    def _features(self, codes: Ints) -> Floats:
        """Features [4 T, 140] of codes, with the root's velocity refined."""
        features = self._networks.decode(codes)
        features[:, rep.VELOCITY] = self._networks.root_velocity(features) / rep.FPS
        return features


def _stays(segment: Segment) -> bool:
    """Whether nothing is asked of the root but to stay where it is."""
    control = segment.control
    return control.forward == 0.0 and control.left == 0.0 and not control.turn


def _windows(part: Part, longest: int) -> list[tuple[Part, int, int]]:
    """The part in pieces that fit the model's window beside the context, all about as long."""
    room = longest - _CONTEXT if part.start or part.tokens > longest else longest
    count = -(-part.tokens // room)
    edges = np.linspace(part.start, part.stop, count + 1).round().astype(int).tolist()
    return [(part, a, b) for a, b in pairwise(edges)]


def path_cost(features: Floats, control: Floats) -> float:
    """How far a path [4 T frames] is from the control [T, 6]."""
    values, given = control[:, :3].mean(axis=0), control[:, 3:].mean(axis=0)
    off = np.abs(made_path(features) - values) * (given > 0.5)
    return float(off[0] / 0.25 + off[1] / 0.25 + off[2] * len(control) * TOKEN_SECONDS / 0.4)


def made_path(features: Floats) -> Floats:
    """Mean velocity to the left and forward (m/s) and turn (radians a second) [3] of features."""
    out: Floats = np.concatenate([features[:, rep.VELOCITY], features[:, rep.YAW]], axis=1).mean(axis=0) * rep.FPS
    return out


def steered(features: Floats, plan: Plan) -> Floats:
    """Features whose path comes nearer to what was asked of each part, within what the steps can bear.

    What is nearly as asked is left: the feet of a body that is pushed along slide.
    """
    missing = np.zeros((len(features), 3))
    for part in plan.parts:
        where = slice(part.start * STRIDE, part.stop * STRIDE)
        control = plan.control[part.start : part.stop]
        asked = control[:, :3].mean(axis=0)
        off = (asked - made_path(features[where])) * (control[:, 3:].mean(axis=0) > 0.5)
        least = _NEARLY / np.array([1.0, 1.0, part.tokens * TOKEN_SECONDS])
        nearly = np.maximum(_NEARLY_SHARE * np.abs(asked), least)
        missing[where] = np.clip(np.sign(off) * np.maximum(np.abs(off) - nearly, 0.0), -_STEERED, _STEERED)
    if not missing.any():
        return features
    out = features.copy()
    added = (rep.smooth(missing, _STEER_EASE) / rep.FPS).astype(np.float32)
    out[:, rep.VELOCITY] += added[:, :2]
    out[:, rep.YAW] += added[:, 2:]
    return out


def _errors(features: Floats, plan: Plan) -> tuple[float, float]:
    paths, turns = [0.0], [0.0]
    for part in plan.parts:
        control = plan.control[part.start : part.stop]
        off = np.abs(made_path(features[part.start * STRIDE : part.stop * STRIDE]) - control[:, :3].mean(axis=0)) * (
            control[:, 3:].mean(axis=0) > 0.5
        )
        paths.append(float(np.hypot(off[0], off[1])))
        turns.append(float(off[2]) * part.tokens * TOKEN_SECONDS)
    return max(paths), max(turns)


def report_json(generated: Generated) -> Mapping[str, Json]:
    """The timeline and report as they stand in the job's record."""
    report = generated.report
    parts = [
        {"start": p.start * TOKEN_SECONDS, "seconds": p.tokens * TOKEN_SECONDS, "words": list(p.segment.words)}
        for p in generated.plan.parts
    ]
    return {
        **generated.timeline.to_json(),
        "parts": parts,
        "seed": report.seed,
        "seconds": round(report.seconds, 4),
        "frames": len(generated.motion),
        "fps": rep.FPS,
        "agreement": round(report.agreement, 4),
        "path_error": round(report.path_error, 4),
        "turn_error": round(report.turn_error, 4),
        "retrieved": [
            {"clip": r.clip, "start": round(r.start, 3), "seconds": round(r.seconds, 3), "share": round(r.share, 3)}
            for r in report.retrieved
        ],
    }
