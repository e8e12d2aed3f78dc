# SPDX-License-Identifier: GPL-3.0-or-later
"""More motion out of the clips there are: short ones made longer, arms of one clip on the body of another.

Arrays in, arrays out. Knows no files, captions or networks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...backends.generate import representation as rep
from ...backends.generate.network import kinematics
from ...motion import quat

Floats = NDArray[np.float32]
ARMS = {
    side: tuple(rep.NAMES.index(f"{side[0]}_{part}") for part in ("collar", "shoulder", "elbow", "wrist"))
    for side in ("left", "right")
}
_BLEND = 6  # frames over which one piece becomes the next
_SHORTEST_CYCLE = 14  # frames
_SEAM = 0.28  # how far apart, in metres, two moments may be that are made one (velocity for a tenth of a second counts in)
_STILL = 0.15  # metres a second of the joints: who ends like this can go on standing
_LONGEST_HOLD = 36  # frames


def lengthened(features: Floats, frames: int) -> Floats:
    """Features [F, 140] of a short clip, gone on with until there are `frames`: from near its end back to a moment that is like
    it, again and again; where there is none, standing still for a moment if that is how it ends. Else as they were."""
    if len(features) >= frames or len(features) < _SHORTEST_CYCLE + _BLEND:
        return features
    seam = _best_seam(features)
    if seam is not None:
        leave, enter = seam
        gap = features[leave - 1] - features[enter - 1]  # what is left of the difference fades over the frames after the seam
        gap[rep.CONTACTS] = 0.0
        fade = np.linspace(1.0, 0.0, _BLEND + 2, dtype=np.float32)[1:-1, None]
        again = features[enter:].copy()
        again[:_BLEND] += fade[: len(again)] * gap
        out = features[:leave]
        while len(out) + len(again) < frames:
            out = np.concatenate([out, again[: leave - enter]])
        return np.concatenate([out, again])
    if _speed(features)[-3:].mean() < _STILL:
        return np.concatenate([features, _held(features[-1:], min(frames - len(features), _LONGEST_HOLD))])
    return features


def arms_replaced(body: rep.Body, donor: rep.Body, frames: NDArray[np.int64], sides: tuple[str, ...], onset: int) -> rep.Body:
    """`body` with the arms of `donor`, whose frame `frames[k]` is shown at `onset` + k; they take over in a quarter second."""
    joints = [joint for side in sides for joint in ARMS[side]]
    rotations = body.rotations.copy()
    stop = min(len(body), onset + len(frames))
    own, other = rotations[onset:stop][:, joints], donor.rotations[frames[: stop - onset]][:, joints]
    count = stop - onset
    ease = np.clip((np.arange(count) + 1) / 9.0, 0.0, 1.0) if onset else np.ones(count)
    if stop < len(body):
        ease = np.minimum(ease, np.clip((count - np.arange(count)) / 9.0, 0.0, 1.0))
    ease = ease * ease * (3.0 - 2.0 * ease)
    rotations[onset:stop, joints] = quat.slerp(own, other, np.broadcast_to(ease[:, None], own.shape[:2]))
    return rep.Body(rotations=quat.continuous(rotations), root=body.root)


def to_and_fro(start: int, stop: int, frames: int) -> NDArray[np.int64]:
    """`frames` indices that go from `start` to `stop` - 1 and back, again and again."""
    span = stop - start - 1
    if span < 1:
        return np.full(frames, start, np.int64)
    at = np.arange(frames) % (2 * span)
    return np.asarray(start + np.where(at < span, at, 2 * span - at), dtype=np.int64)


def raised(body: rep.Body, side: str) -> NDArray[np.bool_]:
    """Whether the hand is up [F], near the shoulder's height or above."""
    _, points = rep.world(body)
    wrist, shoulder = (rep.NAMES.index(f"{side[0]}_{part}") for part in ("wrist", "shoulder"))
    return np.asarray(points[:, wrist, 1] > points[:, shoulder, 1] - 0.08)


def _best_seam(features: Floats) -> tuple[int, int] | None:
    """(leave, enter): the frames before `leave` look like those before `enter`."""
    seen = kinematics(features).reshape(len(features), -1, 3)
    points, speeds = seen[:, : rep.JOINTS], seen[:, rep.JOINTS :]
    travel = features[:, :3] * rep.FPS
    apart = (
        np.linalg.norm(points[:, None] - points[None], axis=-1).mean(axis=-1)
        + 0.1 * np.linalg.norm(speeds[:, None] - speeds[None], axis=-1).mean(axis=-1)
        + 0.1 * np.abs(travel[:, None] - travel[None]).mean(axis=-1)
    )
    last = len(features) - _BLEND + 1  # windows of _BLEND frames begin at 0 … last - 1
    near = np.mean([apart[k : k + last, k : k + last] for k in range(_BLEND)], axis=0)
    leave, enter = np.arange(last)[:, None] + _BLEND, np.arange(last)[None] + _BLEND
    # Of cycles that are as good the longer one: less is repeated.
    cost = near + 0.03 * (1.0 - (leave - enter) / len(features))
    cost[(leave - enter < _SHORTEST_CYCLE) | (leave < len(features) * 2 // 3)] = np.inf
    best = np.unravel_index(int(cost.argmin()), cost.shape)
    return (int(best[0]) + _BLEND, int(best[1]) + _BLEND) if cost[best] < _SEAM else None


def _held(last: Floats, frames: int) -> Floats:
    out = np.repeat(last, frames, axis=0)
    out[:, :3] = 0.0
    return out


def _speed(features: Floats) -> NDArray[np.float64]:
    """Mean speed of the joints [F] in metres a second, the body's own path included."""
    speeds = kinematics(features).reshape(len(features), -1, 3)[:, rep.JOINTS :]
    return np.asarray(np.linalg.norm(speeds, axis=-1).mean(axis=1) + np.linalg.norm(features[:, 1:3], axis=1) * rep.FPS)
