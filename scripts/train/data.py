# SPDX-License-Identifier: GPL-3.0-or-later
"""The captioned motion as arrays: features of every clip, mirrored and at other speeds, and what windows of it show.

Knows the folder's format and no networks. Draws are decided by a generator that the caller seeds.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.generate import representation as rep
from ...backends.generate.network import positions
from ...backends.generate.prompt.words import canonical
from ...motion import quat
from .augment import arms_replaced, lengthened, raised, to_and_fro

Floats = NDArray[np.float32]
Array = NDArray[np.float64]
SPEEDS = (0.88, 1.0, 1.14)
_TRACK_SIGMA = 10.0  # frames: what a path that a person asks for leaves out
_SIDES = {"left": "right", "right": "left"}
_SHORT = 100  # frames: clips under this are gone on with


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One clip as it is, mirrored, or at another speed."""

    clip: int  # index into Pack.clips
    mirrored: bool
    speed: float
    features: Floats  # [F, 140]
    track: Floats  # [F, 3]: metres a second to the left, forward; radians a second of turn; smoothed
    shown: Shown
    natural: int  # frames before a short clip was gone on with

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Per frame, what can be read off the body and said in words."""

    left_hand_up: NDArray[np.bool_]  # above the shoulder by more than 15 cm
    right_hand_up: NDArray[np.bool_]
    clearance: NDArray[np.float64]  # metres of the lower foot above the floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip's record: see the data's own README for the fields."""

    id: str
    captions: tuple[str, ...]
    tags: tuple[str, ...]
    subject: str
    split: str
    seconds: float
    loopable: bool
    direction: str = ""  # as the record has it


@dataclass(frozen=True, kw_only=True)
class Pack:
    clips: tuple[Clip, ...]
    versions: tuple[Version, ...]  # of the clips of one split
    captured: int  # so many of `clips`, the first ones, are as they were recorded; the others were put together from them

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """How often each version is drawn [V], summing to 1: rare actions and long clips more often, not in full proportion."""
        count = Counter(kind for clip in self.clips for kind in _kinds(clip))
        rarity = np.array([max(count[kind] ** -0.5 for kind in _kinds(clip)) for clip in self.clips])
        weight = np.array([rarity[v.clip] * self.clips[v.clip].seconds ** 0.7 for v in self.versions])
        weight *= np.array([2.0 if v.speed == 1.0 else 1.0 for v in self.versions])
        return np.asarray(weight / weight.sum())


def _kinds(clip: Clip) -> tuple[str, ...]:
    """What a clip may be rare for: its actions, and walking another way than forward."""
    ways = (f"walk {clip.direction}",) if "walk" in clip.tags and clip.direction in ("backward", "left", "right") else ()
    return (*clip.tags, *ways)


def load(folder: Path, split: str, *, augment: bool) -> Pack:
    """The clips of `split` ("train", "val"); with `augment` also mirrored and at other speeds."""
    with np.load(folder / "motions.npz") as archive:
        arrays = {name: archive[name] for name in ("ids", "starts", "lengths", "rotations", "root")}
    records = {r["id"]: r for r in map(json.loads, (folder / "captions.jsonl").read_text("utf-8").splitlines())}
    clips: list[Clip] = []
    bodies: list[rep.Body] = []
    for row, clip_id in enumerate(arrays["ids"].tolist()):
        record = records[clip_id]
        if record["split"] != split:
            continue
        start, length = int(arrays["starts"][row]), int(arrays["lengths"][row])
        clips.append(_clip(record))
        bodies.append(
            rep.Body(
                rotations=arrays["rotations"][start : start + length].astype(np.float64),
                root=arrays["root"][start : start + length].astype(np.float64) / 100.0,
            )
        )
    if not augment:
        versions = [_version(number, body, False, 1.0) for number, body in enumerate(bodies)]
        return Pack(clips=tuple(clips), versions=tuple(versions), captured=len(clips))
    captured = len(clips)
    for clip, body in (*_waving(clips, bodies), *_sideways(clips, bodies)):
        clips.append(clip)
        bodies.append(body)
    versions = [
        _version(number, rep.mirror(paced) if mirrored else paced, mirrored, speed)
        for number, body in enumerate(bodies)
        for speed in (SPEEDS if number < captured else (1.0,))
        for paced in (body if speed == 1.0 else _at_speed(body, speed),)
        for mirrored in (False, True)
    ]
    return Pack(clips=tuple(clips), versions=tuple(versions), captured=captured)


def _waving(clips: Sequence[Clip], bodies: Sequence[rep.Body]) -> Iterator[tuple[Clip, rep.Body]]:
    """Standing and walking clips with the waving arm of another clip: there are too few waves to learn from."""
    donors = [(clip, body) for clip, body in zip(clips, bodies, strict=True) if "wave" in clip.tags]
    for number, (clip, body) in enumerate(zip(clips, bodies, strict=True)):
        if not (_idle(clip, body) or (_strolls(clip) and number % 3 == 0)):
            continue
        for turn, (donor, source) in enumerate(donors):
            side = next((s for s in ("left", "right") if any(s in c for c in donor.captions)), "left")
            up = np.flatnonzero(raised(source, side))
            if len(up) < 8:
                continue
            first, last = int(up[0]), int(up[-1]) + 1
            onset = (0, 12, 24)[(number + turn) % 3]
            lower = np.arange(last, len(source))
            during = max(12, len(body) - onset - first - len(lower))
            frames = np.concatenate([np.arange(first), to_and_fro(first, last, during), lower])
            doing = "walks forward" if "walk" in clip.tags else "stands"
            waved = arms_replaced(body, source, frames, (side,), onset)
            yield (
                Clip(
                    id=f"{clip.id}+{donor.id}",
                    captions=_wave_captions(doing, side),
                    tags=("walk", "wave") if "walk" in clip.tags else ("wave",),
                    subject=clip.subject,
                    split=clip.split,
                    seconds=clip.seconds,
                    loopable=False,
                ),
                waved,
            )


def _wave_captions(doing: str, side: str) -> tuple[str, ...]:
    if doing == "stands":
        return (
            f"a person waves the {side} hand",
            f"someone waves with the {side} arm",
            f"a person raises the {side} hand and waves",
            "a person waves",
        )
    return (
        f"a person {doing} while waving the {side} hand",
        f"someone {doing} and waves with the {side} arm",
        f"a person waves the {side} hand while walking forward",
    )


def _idle(clip: Clip, body: rep.Body) -> bool:
    return (
        "idle" in clip.tags
        and not set(clip.tags) & {"sit", "lie", "crouch", "kneel", "gesture", "shoot"}
        and _upright(body)
        and len(body) >= 60
    )


def _strolls(clip: Clip) -> bool:
    return (
        clip.tags == ("walk",) and clip.direction == "forward" and 2.5 <= clip.seconds <= 6.0 and "uneven" not in clip.captions[0]
    )


def _upright(body: rep.Body) -> bool:
    return bool(body.root[:, 1].mean() > 0.85)


def _sideways(clips: Sequence[Clip], bodies: Sequence[rep.Body]) -> Iterator[tuple[Clip, rep.Body]]:
    """Pieces of any clip in which an upright body steps to one side, with the arms of somebody who walks: nobody was recorded
    walking sideways."""
    walkers = [body for clip, body in zip(clips, bodies, strict=True) if _strolls(clip)]
    for number, (clip, body) in enumerate(zip(clips, bodies, strict=True)):
        for start, stop, left in _sidesteps(rep.encode(body)):
            piece = rep.Body(rotations=body.rotations[start:stop], root=body.root[start:stop])
            side = "left" if left else "right"
            if walkers:
                donor = walkers[number % len(walkers)]
                piece = arms_replaced(piece, donor, to_and_fro(0, len(donor), len(piece)), ("left", "right"), 0)
            yield (
                Clip(
                    id=f"{clip.id}@{start}",
                    captions=(
                        f"a person walks sideways to the {side}",
                        f"someone steps sideways to the {side}",
                        f"a person walks to the {side}",
                    ),
                    tags=("walk",),
                    subject=clip.subject,
                    split=clip.split,
                    seconds=len(piece) / rep.FPS,
                    loopable=False,
                    direction=side,
                ),
                piece,
            )


def _sidesteps(features: Floats) -> Iterator[tuple[int, int, bool]]:
    """(start, stop, to the left) of the pieces of features [F, 140], two seconds at least, that go to one side."""
    length = 60
    velocity = features[:, rep.VELOCITY].astype(np.float64) * rep.FPS
    feet = positions(features)[:, [10, 11], 1].min(axis=1)
    start = 0
    while start + length <= len(features):
        if not _goes_sideways(features, velocity, feet, start, start + length):
            start += 6
            continue
        stop = start + length
        while stop + 6 <= len(features) and _goes_sideways(features, velocity, feet, start, stop + 6):
            stop += 6
        yield start, stop, bool(velocity[start:stop, 0].mean() > 0)
        start = stop


def _goes_sideways(features: Floats, velocity: Array, feet: Array, start: int, stop: int) -> bool:
    left, forward = velocity[start:stop].mean(axis=0)
    path = np.linalg.norm(velocity[start:stop], axis=1).mean()
    turn = features[start:stop, 0].sum()
    return bool(
        abs(left) > 0.28
        and abs(left) > 2.0 * abs(forward)
        and abs(left) > 0.72 * path
        and abs(turn) < 0.7
        and features[start:stop, 3].mean() > 0.78
        and feet[start:stop].max() < 0.16
    )


def _clip(record: Mapping[str, Any]) -> Clip:
    return Clip(
        id=record["id"],
        captions=tuple(record["captions"]),
        tags=tuple(record["tags"]),
        subject=record["subject"],
        split=record["split"],
        seconds=record["duration_s"],
        loopable=record["loopable"],
        direction=record.get("direction", ""),
    )


def _version(clip: int, body: rep.Body, mirrored: bool, speed: float) -> Version:
    natural = rep.encode(body)
    features = lengthened(natural, round(_SHORT / speed))
    points = positions(features)
    track = np.concatenate([features[:, rep.VELOCITY], features[:, rep.YAW]], axis=1).astype(np.float64) * rep.FPS
    shoulder = points[:, [16, 17], 1]
    hands = points[:, [20, 21], 1] > shoulder + 0.15
    return Version(
        clip=clip,
        mirrored=mirrored,
        speed=speed,
        features=features,
        track=rep.smooth(track, _TRACK_SIGMA).astype(np.float32),
        shown=Shown(left_hand_up=hands[:, 0], right_hand_up=hands[:, 1], clearance=points[:, [10, 11], 1].min(axis=1)),
        natural=len(natural),
    )


def _at_speed(body: rep.Body, speed: float) -> rep.Body:
    frames = int((len(body) - 1) / speed) + 1
    at = np.minimum(np.arange(frames) * speed, len(body) - 1)
    low = np.minimum(at.astype(np.int64), len(body) - 2)
    t = at - low
    return rep.Body(
        rotations=quat.slerp(body.rotations[low], body.rotations[low + 1], t[:, None]),
        root=body.root[low] + t[:, None] * (body.root[low + 1] - body.root[low]),
    )


def swap_sides(sentence: str) -> str:
    """Left for right and right for left."""
    return " ".join(_SIDES.get(word.strip(",."), word.strip(",.")) for word in sentence.split())


def whole_captions(clip: Clip, *, mirrored: bool, speed: float) -> list[tuple[str, ...]]:
    """The canonical words of the clip's own sentences, sides swapped where it is mirrored."""
    manner = {0.88: " slowly", 1.14: " fast"}.get(speed, "")
    return [canonical((swap_sides(c) if mirrored else c) + manner) for c in clip.captions]


_VERBS = {
    "walk": "walks", "run": "runs", "jog": "jogs", "dance": "dances", "climb": "climbs",
    "martial_arts": "practises martial arts", "idle": "stands", "gesture": "gestures",
    "acrobatics": "does an acrobatic move", "dribble": "dribbles a basketball", "swing": "swings",
    "sword": "swings a sword", "wash": "washes a window", "sit": "sits", "point": "points", "crouch": "crouches",
    "lie": "lies", "stand_up": "stands up", "pick_up": "picks up something", "shoot": "shoots", "get_up": "gets up",
    "jump": "jumps", "hop": "hops", "exercise": "exercises", "throw": "throws", "cast": "casts a spell", "talk": "talks",
    "kneel": "kneels", "cheer": "cheers", "roll": "rolls", "crawl": "crawls", "fall": "falls", "sneak": "sneaks",
    "wave": "waves", "bow": "bows", "push": "pushes", "nod": "nods", "block": "blocks", "kick": "kicks",
    "punch": "punches", "turn": "turns", "interact": "interacts", "hit": "is hit",
}  # fmt: skip
_TRAVELLING = {"walk", "run", "jog", "sneak", "crawl", "hop", "climb", "dribble", "jump", "dance"}
_BRIEF = {"kick", "punch", "jump", "hop", "turn"}  # may be over before or after a window that is cut out


def window_caption(pack: Pack, version: Version, start: int, stop: int, draw: np.random.Generator) -> tuple[str, ...]:
    """Canonical words for the frames `start` to `stop`, made from the clip's actions and from what these frames show."""
    clip = pack.clips[version.clip]
    whole = (stop - start) / version.natural
    tags = [t for t in clip.tags if t in _VERBS]
    clear = version.shown.clearance[start:stop].max() > 0.18
    kept = [t for t in tags if whole > 0.8 or t not in _BRIEF or (t in ("jump", "hop") and clear)]
    kept = [t for t in kept if t != "turn"] or kept or tags
    track = version.track[start:stop].astype(np.float64)
    seconds = (stop - start) / rep.FPS
    left, forward = track[:, 0].mean(), track[:, 1].mean()
    turn = np.degrees(track[:, 2].mean() * seconds)
    parts = [_VERBS[t] for t in draw.permutation(kept)[:2]]
    going = bool(set(kept) & _TRAVELLING)
    if going and abs(left) > 0.3 and abs(left) > 1.3 * abs(forward):
        parts.append("left" if left > 0 else "right")
    elif going and abs(forward) > 0.3:
        parts.append("forward" if forward > 0 else "backward")
    elif going and np.hypot(left, forward) < 0.12 and draw.random() < 0.5:
        parts.append("in place")
    if "walk" in kept:
        parts += ["slowly"] if forward < 0.85 else ["fast"] if forward > 1.4 else []
    if "run" in kept:
        parts += ["slowly"] if forward < 2.2 else ["fast"] if forward > 3.6 else []
    if abs(turn) > 35:
        side = "left" if turn > 0 else "right"
        parts.append(f"turns around {side}" if abs(turn) > 140 else f"turns {side}")
    up = version.shown.left_hand_up[start:stop].mean(), version.shown.right_hand_up[start:stop].mean()
    if "wave" not in kept and max(up) > 0.35 and draw.random() < 0.7:
        both = min(up) > 0.35
        parts.append("raising both arms" if both else f"raising the {'left' if up[0] > up[1] else 'right'} arm")
    return canonical(" ".join(parts))


def caption(pack: Pack, version: Version, start: int, stop: int, draw: np.random.Generator) -> tuple[str, ...]:
    """Words for a window: the clip's own where it covers most of the clip; else, and now and then anyway, what it shows."""
    clip = pack.clips[version.clip]
    if (stop - start) >= 0.7 * version.natural and draw.random() < 0.65:
        choices = whole_captions(clip, mirrored=version.mirrored, speed=version.speed if draw.random() < 0.3 else 1.0)
        return choices[int(draw.integers(len(choices)))]
    return window_caption(pack, version, start, stop, draw)


def vocabulary(packs: Sequence[Pack]) -> tuple[str, ...]:
    """All canonical words that captions of these packs can contain, sorted."""
    words = {
        w
        for pack in packs
        for clip in pack.clips
        for m in (False, True)
        for c in whole_captions(clip, mirrored=m, speed=1.0)
        for w in c
    }
    made = [
        *_VERBS.values(),
        "left right forward backward in place slowly fast turns around raising both arms",
        "raising the left arm",
    ]
    return tuple(sorted(words | {w for sentence in made for w in canonical(sentence)}))
