# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges a retargeted motion by where the joints of both bodies are, frame by frame. numpy only; knows no rig and no retargeter.

Metres, Z up; both clips have the same frames and head the same way. A source's own speeds and lengths are given at the size of
the target (times the ratio of leg lengths), so that they stand beside the target's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

SIDES = ("l", "r")
CHAINS = {"arm": ("shoulder", "elbow", "wrist"), "leg": ("hip", "knee", "ankle")}
LIMBS = {  # name → joints at its ends; both sides of a limb are one limb in a table
    f"{limb}_{side}": (f"{a}_{side}", f"{b}_{side}")
    for side in SIDES
    for limb, a, b in (
        ("upper_arm", "shoulder", "elbow"),
        ("forearm", "elbow", "wrist"),
        ("thigh", "hip", "knee"),
        ("shin", "knee", "ankle"),
    )
}
# A foot that comes below the first of each pair stands until it is above the second; of a leg of one metre
_SLOW, _FAST = 0.15, 0.30  # m/s of the ball
_LOW, _HIGH = 0.05, 0.10  # m above its own lowest place
_SHORTEST = 0.1  # s
_WINDOW = 1.0 / 30.0  # s over which speed is measured to find contacts
_BENT = 20.0  # degrees from straight, from where on it can be seen which way a hinge bends
_SWAPPED = 10.0  # degrees by which a limb fits the other side better
_FLAT = 1e-9
# Joints that every body has and that turn with the same part of it; spines and necks are divided differently
_TURNING = ("hips", "head", *(f"{joint}_{side}" for side in SIDES for chain in CHAINS.values() for joint in chain))


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One body over time: what the judge sees of an armature or a clip.

    `joints` has hip, knee, ankle, toe (the ball of the foot), shoulder, elbow, wrist of both sides (`knee_l`), neck and head;
    `rotations` those joints whose bone turns, and `hips`. `rest` is where the joints are at rest, empty where the rest pose is no
    stance. `soles`: side → points of the foot that lie on the floor at rest.
    """

    joints: Mapping[str, Array]  # [F, 3]
    rotations: Mapping[str, Array]  # [F, 3, 3] in the world
    fps: float
    rest: Mapping[str, Array] = field(default_factory=dict)  # [3]
    rest_rotations: Mapping[str, Array] = field(default_factory=dict)  # [3, 3]
    soles: Mapping[str, Array] = field(default_factory=dict)  # [F, P, 3]
    floor: float = 0.0

    def __len__(self) -> int:
        return len(self.joints["hip_l"])

    @property
    def leg(self) -> float:
        """Hip to knee to ankle, the mean of both legs, the median of all frames."""
        j = self.joints
        lengths = [
            np.linalg.norm(j[f"hip_{s}"] - j[f"knee_{s}"], axis=1) + np.linalg.norm(j[f"knee_{s}"] - j[f"ankle_{s}"], axis=1)
            for s in SIDES
        ]
        return float(np.median(np.mean(lengths, axis=0)))

    @property
    def pelvis(self) -> Array:
        """[F, 3] between the hip joints."""
        return 0.5 * (self.joints["hip_l"] + self.joints["hip_r"])

    def ball(self, side: str) -> Array:
        return self.joints.get(f"toe_{side}", self.joints[f"ankle_{side}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found. Degrees, metres a second, millimetres, shares of a leg; nan where there is nothing to measure."""

    limb_mean: float  # of all limbs and the spine
    limb_p95: float
    limbs: Mapping[str, float]  # mean of each, both sides together
    foot_turn: float  # mean angle between the feet's turns from rest; nan where the source has no stance at rest
    foot_speed: float  # horizontal, of the ball, in the source's contacts
    foot_speed_source: float
    slide: float  # farthest from where the contact began, the mean of all contacts
    slide_source: float
    contacts: int
    penetration_p95: float  # of the lowest sole point of a frame
    floating: float  # of a foot's lowest point in a contact, the median
    path: float  # root mean square of the horizontal way of the hips, each in its own leg lengths, from the first frame
    shape: float  # the same with the target's way as long as fits best: what is wrong besides its length
    height: float  # the same of their height, from its mean
    jump: float  # degrees between two frames that the source does not turn
    jump_at: str  # joint and frame of it
    bent_wrong: Mapping[str, float]  # knee, elbow: share of the frames in which both are bent, to opposite sides
    swapped: tuple[str, ...]  # arm, leg: limbs that follow the other side
    not_finite: int  # values

    def to_json(self) -> dict[str, object]:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def judge(source: Body, target: Body) -> Verdict:
    """Compare what a retargeter made with what it was given. `ValueError` when the clips differ in length."""
    if len(source) != len(target):
        raise ValueError(f"The clips have {len(source)} and {len(target)} frames.")
    bad = sum(int(np.sum(~np.isfinite(v))) for v in (*target.joints.values(), *target.rotations.values()))
    if bad:
        return _broken(bad)
    size = target.leg / source.leg
    errors = limb_errors(source, target)
    everything = np.stack(list(errors.values()), axis=1)
    names = sorted({name.removesuffix("_l").removesuffix("_r") for name in errors})
    limbs = {n: float(np.mean([e for name, e in errors.items() if name in (n, f"{n}_l", f"{n}_r")])) for n in names}

    speeds: list[Array] = []
    own_speeds: list[Array] = []
    slides: list[tuple[float, float]] = []
    floating: list[float] = []
    for side in SIDES:
        for begin, end in spans(contacts(source, side)):
            feet = [body.ball(side)[begin:end, :2] for body in (target, source)]
            moves = [np.linalg.norm(np.diff(foot, axis=0), axis=1) for foot in feet]
            speeds.append(moves[0] * target.fps)
            own_speeds.append(moves[1] * source.fps * size)
            ways = [float(np.max(np.linalg.norm(foot - foot[0], axis=1))) for foot in feet]
            slides.append((1000 * ways[0], 1000 * ways[1] * size))
            if side in target.soles:
                lowest = target.soles[side][begin:end, :, 2].min(axis=1) - target.floor
                floating.append(1000 * float(np.median(np.maximum(lowest, 0.0))))
    depth = np.array([])
    if target.soles:
        depth = np.maximum(target.floor - np.min([points[:, :, 2].min(axis=1) for points in target.soles.values()], axis=0), 0.0)
    path, shape, height = _path(source, target)
    jump, where = _jump(source, target)
    return Verdict(
        limb_mean=float(everything.mean()),
        limb_p95=float(np.quantile(everything, 0.95)),
        limbs=limbs,
        foot_turn=_foot_turn(source, target),
        foot_speed=_mean(np.concatenate(speeds)) if speeds else float("nan"),
        foot_speed_source=_mean(np.concatenate(own_speeds)) if speeds else float("nan"),
        slide=_mean(np.array([s for s, _ in slides])),
        slide_source=_mean(np.array([s for _, s in slides])),
        contacts=len(slides),
        penetration_p95=1000 * float(np.quantile(depth, 0.95)) if depth.size else float("nan"),
        floating=float(np.median(floating)) if floating else float("nan"),
        path=path,
        shape=shape,
        height=height,
        jump=jump,
        jump_at=where,
        bent_wrong={"knee": _bent_wrong(source, target, "leg"), "elbow": _bent_wrong(source, target, "arm")},
        swapped=_swapped(source, target),
        not_finite=0,
    )


def contacts(body: Body, side: str) -> Flags:
    """Frames [F] in which a foot (its ball, else its ankle) stands, with hysteresis in speed and height."""
    foot = body.ball(side) / body.leg
    speed = _speed(foot, body.fps)
    height = foot[:, 2] - np.quantile(foot[:, 2], 0.02)
    found = np.zeros(len(foot), bool)
    on = False
    for frame in range(len(foot)):
        fastest, highest = (_FAST, _HIGH) if on else (_SLOW, _LOW)
        on = bool(speed[frame] < fastest and height[frame] < highest)
        found[frame] = on
    for begin, end in spans(found):
        if end - begin < max(3, round(_SHORTEST * body.fps)):
            found[begin:end] = False
    return found


def spans(mask: Flags) -> list[tuple[int, int]]:
    """(first, one after the last) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def limb_errors(source: Body, target: Body) -> dict[str, Array]:
    """Degrees [F] between the directions of each limb, and of the spine (hips to neck).

    Where necks stand over hips at rest is the build of a body and not its posture: that difference is taken out of the spine,
    about the line through the hips. A source whose rest pose is no stance does not say it: then it is the median of the clip.
    """
    found = {
        name: _angle(source.joints[b] - source.joints[a], target.joints[b] - target.joints[a]) for name, (a, b) in LIMBS.items()
    }
    spine_s, spine_t = source.joints["neck"] - source.pelvis, target.joints["neck"] - target.pelvis
    axis = _unit(target.joints["hip_l"] - target.joints["hip_r"])
    if source.rest and target.rest:
        lean = np.full(len(source), _lean(source.rest) - _lean(target.rest))
    else:
        own = _unit(source.joints["hip_l"] - source.joints["hip_r"])
        lean = np.full(len(source), np.median(_about(spine_t, spine_s, 0.5 * (axis + own))))
    found["spine"] = _angle(spine_s, _turned(spine_t, axis, lean))
    return found


def angles(one: Array, other: Array) -> Array:
    """Degrees [F] between rotation matrices [F, 3, 3], with or without a scale in them."""
    a, b = (m / np.linalg.norm(m, axis=-2, keepdims=True) for m in (one, other))
    return _turn(np.einsum("fji,fjk->fik", a, b))


def _path(source: Body, target: Body) -> tuple[float, float, float]:
    ways = [body.pelvis / body.leg for body in (source, target)]
    own, flat = ((way - way[0])[:, :2] for way in ways)
    best = float(np.sum(own * flat) / max(np.sum(flat * flat), _FLAT))
    errors = [float(np.sqrt(np.mean(np.sum((length * flat - own) ** 2, axis=1)))) for length in (1.0, best)]
    return errors[0], errors[1], float(np.std((ways[1] - ways[0])[:, 2]))


def _jump(source: Body, target: Body) -> tuple[float, str]:
    worst, where = 0.0, ""
    for name in (*_TURNING, "toe_l", "toe_r"):
        if name not in source.rotations or name not in target.rotations or len(target) < 2:
            continue
        turns = [angles(r[:-1], r[1:]) for r in (target.rotations[name], source.rotations[name])]
        excess = turns[0] - turns[1]
        frame = int(np.argmax(excess))
        if excess[frame] > worst:
            worst, where = float(excess[frame]), f"{name} {frame + 1}"
    return worst, where


def _foot_turn(source: Body, target: Body) -> float:
    """Between the directions ankle → ball, each without what its own rest pitches it."""
    if not (source.rest and target.rest and "toe_l" in source.joints and "toe_l" in target.joints):
        return float("nan")
    errors = []
    for side in SIDES:
        flat = []
        for body in (source, target):
            name = f"ankle_{side}"
            if name not in body.rest_rotations:
                return float("nan")
            ahead = body.rest[f"toe_{side}"] - body.rest[name]
            ahead = _unit(np.array([ahead[0], ahead[1], 0.0]))
            # The direction that is level at rest, as the foot's bone carries it
            flat.append(np.einsum("fij,j->fi", body.rotations[name], body.rest_rotations[name].T @ ahead))
        errors.append(_angle(flat[0], flat[1]))
    return float(np.mean(errors))


def _bent_wrong(source: Body, target: Body, chain: str) -> float:
    wrong = seen = 0
    for side in SIDES:
        normals, bent = [], []
        for body in (source, target):
            a, b, c = (body.joints[f"{name}_{side}"] for name in CHAINS[chain])
            normals.append(_unit(np.cross(b - a, c - b)))
            bent.append(_angle(b - a, c - b) > _BENT)
        both = bent[0] & bent[1]
        wrong += int(np.sum(both & (np.sum(normals[0] * normals[1], axis=1) < 0.0)))
        seen += int(np.sum(both))
    return wrong / seen if seen else 0.0


def _swapped(source: Body, target: Body) -> tuple[str, ...]:
    found = []
    for chain, (a, b, c) in CHAINS.items():
        fits = []
        for other in (False, True):
            errors = []
            for side in SIDES:
                theirs = side if not other else SIDES[1 - SIDES.index(side)]
                for begin, end in ((a, b), (b, c)):
                    s = source.joints[f"{end}_{theirs}"] - source.joints[f"{begin}_{theirs}"]
                    errors.append(_angle(s, target.joints[f"{end}_{side}"] - target.joints[f"{begin}_{side}"]))
            fits.append(float(np.mean(errors)))
        across = _across(source, chain) * _across(target, chain)
        if fits[1] + _SWAPPED < fits[0] or float(np.median(across)) < 0.0:
            found.append(chain)
    return tuple(found)


def _across(body: Body, chain: str) -> Array:
    """Positive where the left joint of a pair lies to the left of the body, [F]."""
    first = CHAINS[chain][0]
    over = body.joints[f"{first}_l"] - body.joints[f"{first}_r"]
    up = body.joints["neck"] - body.pelvis
    ahead = sum((body.ball(s) - body.joints[f"ankle_{s}"] for s in SIDES), np.zeros(3)) if "toe_l" in body.joints else None
    if ahead is None:
        return np.ones(len(body))
    return np.asarray(np.sum(over * np.cross(up, ahead), axis=1))


def _broken(values: int) -> Verdict:
    nan = float("nan")
    return Verdict(
        limb_mean=nan, limb_p95=nan, limbs={}, foot_turn=nan, foot_speed=nan, foot_speed_source=nan, slide=nan, slide_source=nan,
        contacts=0, penetration_p95=nan, floating=nan, path=nan, shape=nan, height=nan, jump=nan, jump_at="", bent_wrong={},
        swapped=(), not_finite=values,
    )  # fmt: skip


def _lean(rest: Mapping[str, Array]) -> float:
    """Radians by which the neck stands before (+) or behind the hips, about the line through the hips."""
    spine = rest["neck"] - 0.5 * (rest["hip_l"] + rest["hip_r"])
    axis = _unit(rest["hip_l"] - rest["hip_r"])
    return float(_about(np.array([[0.0, 0.0, 1.0]]), spine[None], axis[None])[0])


def _about(start: Array, end: Array, axis: Array) -> Array:
    """Radians [F] by which `start` turns about `axis` to lie over `end`."""
    axis = _unit(axis)
    a, b = (v - np.sum(v * axis, axis=-1, keepdims=True) * axis for v in (start, end))
    return np.asarray(np.arctan2(np.sum(np.cross(a, b) * axis, axis=-1), np.sum(a * b, axis=-1)))


def _turned(vectors: Array, axis: Array, angle: Array) -> Array:
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    along = np.sum(axis * vectors, axis=1, keepdims=True)
    return np.asarray(vectors * cos + np.cross(axis, vectors) * sin + axis * along * (1.0 - cos))


def _speed(places: Array, fps: float) -> Array:
    """Per second, over a thirtieth of a second or the two frames around each."""
    reach = max(1, round(_WINDOW * fps / 2))
    frames = np.arange(len(places))
    before, after = np.maximum(frames - reach, 0), np.minimum(frames + reach, len(places) - 1)
    return np.asarray(np.linalg.norm(places[after] - places[before], axis=1) / np.maximum(after - before, 1) * fps)


def _turn(rotations: Array) -> Array:
    """Degrees [F] of rotation matrices [F, 3, 3]; exact for small ones."""
    sine = 0.5 * np.stack(
        [
            rotations[:, 2, 1] - rotations[:, 1, 2],
            rotations[:, 0, 2] - rotations[:, 2, 0],
            rotations[:, 1, 0] - rotations[:, 0, 1],
        ],
        axis=1,
    )
    cosine = 0.5 * (np.trace(rotations, axis1=1, axis2=2) - 1.0)
    return np.asarray(np.degrees(np.arctan2(np.linalg.norm(sine, axis=1), cosine)))


def _angle(a: Array, b: Array) -> Array:
    return np.asarray(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, axis=-1))))


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), _FLAT))


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else float("nan")
