# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a motion does what a prompt says, by geometry alone: where it goes, how it turns, what hands and feet do.

Knows no prompts and no captions.
"""

from __future__ import annotations

import numpy as np

from ....motion.quat import Array
from .body import FPS, INDEX, SOLES, Track, into_heading, smooth, travel, turn, velocity

_RIGHT_SOLES = [SOLES.index("r_heel"), SOLES.index("r_ball")]
_LEFT_SOLES = [SOLES.index("l_heel"), SOLES.index("l_ball")]
_ARM = 0.51  # metres: upper arm and forearm
_STANDING = 0.955  # metres: the pelvis of the standing body


# ---- what is measured -------------------------------------------------------------------------------------------------------


def steps(source: Track) -> int:
    """How often a foot is put down after it was carried through the air or over the floor."""
    count = 0
    for soles in (_LEFT_SOLES, _RIGHT_SOLES):
        speed = np.linalg.norm(velocity(source.soles[:, soles].mean(axis=1)), axis=1)
        moving = False
        still = 0
        for value in speed:
            still = still + 1 if value < 0.35 else 0
            if value > 0.7:
                moving = True
            elif still >= 2 and moving:
                count, moving = count + 1, False
    return count


def flight(source: Track) -> Array:
    """Height [F] of the lowest sole point above the level on which the clip stands."""
    lowest = source.soles[..., 1].min(axis=1)
    return np.asarray(lowest - np.percentile(lowest, 10))


def leap(source: Track) -> tuple[float, float]:
    """The highest flight, and how far the pelvis rises above where it is at the clip's middle level, both in metres."""
    high = flight(source)
    if not (high > 0.05).any():
        return float(high.max()), 0.0
    pelvis = source.height("pelvis")
    return float(high.max()), float(pelvis[high > 0.05].max() - np.median(pelvis))


def bounds(source: Track) -> int:
    """How often the body leaves the floor with both feet."""
    air = flight(source) > 0.025
    return int((np.diff(air.astype(int)) == 1).sum())


def waving(source: Track, side: str) -> bool:
    """The hand is up for half a second and goes to and fro sideways meanwhile."""
    up = source.height(f"{side}_wrist") > source.height(f"{side}_shoulder") - 0.08
    if up.sum() < 0.5 * FPS:
        return False
    hand = into_heading(source.joint(f"{side}_wrist") - source.joint(f"{side}_shoulder"), source.heading)
    return _swings(hand[up][:, 0]) >= 2


def _swings(path: Array, size: float = 0.05) -> int:
    """How often a value turns back by at least `size`."""
    count, direction = 0, 0
    low = high = float(path[0])
    for value in path:
        low, high = min(low, float(value)), max(high, float(value))
        way = 1 if value - low >= size and direction <= 0 else -1 if high - value >= size and direction >= 0 else 0
        if way:
            count += 1 if direction else 0
            direction = way
            low = high = float(value)
    return count


def kick_height(source: Track, side: str) -> float:
    """The greatest height of a foot above the other one while that stands, in moments when it flies faster than 2.5 m/s about
    the pelvis and is stretched out to the front or to the side (a runner's is lifted behind)."""
    other = {"l": "r", "r": "l"}[side]
    foot, stands = source.height(f"{side}_foot"), source.height(f"{other}_foot")
    leg = into_heading(source.joint(f"{side}_ankle") - source.joint("pelvis"), source.heading)
    fast = np.flatnonzero(np.linalg.norm(velocity(leg), axis=1) > 2.5)
    near = np.zeros(len(source), dtype=bool)
    for frame in fast:
        near[max(0, frame - 6) : frame + 7] = True
    out = (np.linalg.norm(leg[:, [0, 2]], axis=1) > 0.3) & (leg[:, 2] > -0.15)
    good = near & out & (stands < np.percentile(stands, 10) + 0.25)
    return float((foot - stands)[good].max()) if good.any() else 0.0


def punch_speed(source: Track, side: str) -> float:
    """The greatest speed (m/s) with which a fist is stretched away from its shoulder, up to nearly the arm's length."""
    arm = np.linalg.norm(source.joint(f"{side}_wrist") - source.joint(f"{side}_shoulder"), axis=1)
    ahead = into_heading(source.joint(f"{side}_wrist") - source.joint("spine3"), source.heading)[:, 2] > 0.3
    out = velocity(arm)
    best = 0.0
    for frame in np.flatnonzero((out > 0.5) & (source.height(f"{side}_wrist") > 0.9)):
        after = slice(frame, frame + 12)
        if arm[after].max() > 0.85 * _ARM and ahead[after].any():
            best = max(best, float(out[frame]))
    return best


def arms_up(source: Track) -> float:
    """Seconds with both hands above the head of an upright body."""
    hands = np.minimum(source.height("l_wrist"), source.height("r_wrist"))
    return float(((hands > source.height("head")) & (upright(source) > 0.7)).sum() / FPS)


def bent(source: Track) -> float:
    """The greatest bend of the knees, both at once: 0 straight, π folded, in radians."""
    bends = []
    for side in "lr":
        thigh = source.joint(f"{side}_knee") - source.joint(f"{side}_hip")
        shank = source.joint(f"{side}_ankle") - source.joint(f"{side}_knee")
        cosine = (thigh * shank).sum(axis=1) / np.maximum(np.linalg.norm(thigh, axis=1) * np.linalg.norm(shank, axis=1), 1e-9)
        bends.append(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return float(np.minimum(*bends).max())


def upright(source: Track) -> Array:
    """Cosine [F] of the trunk's lean."""
    trunk = source.joint("neck") - source.joint("pelvis")
    return np.asarray(trunk[:, 1] / np.maximum(np.linalg.norm(trunk, axis=1), 1e-9))


# ---- the checks -------------------------------------------------------------------------------------------------------------


def goes(source: Track, way: str, low: float, high: float, degrees: float = 50.0) -> bool:
    """Goes one way ("forward", "backward", "left", "right" as the body faces) at `low` to `high` m/s and hardly turns."""
    ahead, left, path = travel(source)
    along = {"forward": ahead, "backward": -ahead, "left": left, "right": -left}[way]
    aside = left if way in ("forward", "backward") else ahead
    speed = along / source.seconds
    return bool(
        low <= speed <= high and abs(aside) <= 0.6 * along and along >= 0.7 * path and abs(np.degrees(turn(source))) <= degrees
    )


def walks(source: Track, way: str) -> bool:
    low = 0.35 if way == "forward" else 0.25
    return goes(source, way, low, 1.9) and steps(source) >= 2 and _grounded(source)


def _grounded(source: Track) -> bool:
    """Somewhere on the floor nearly all the time, without a jump."""
    return bool((flight(source) > 0.12).mean() < 0.08 and leap(source)[1] < 0.12)


def runs(source: Track) -> bool:
    return goes(source, "forward", 1.9, 8.0) and bounds(source) >= 1 and leap(source)[1] < 0.25


def jogs(source: Track) -> bool:
    return goes(source, "forward", 1.6, 4.2) and bounds(source) >= 1 and leap(source)[1] < 0.25


def sidesteps(source: Track, way: str) -> bool:
    return goes(source, way, 0.25, 2.1) and steps(source) >= 2 and _grounded(source)


def walks_turning(source: Track, low: float, high: float) -> bool:
    """Left positive, in degrees."""
    ahead, _, path = travel(source)
    return bool(
        low <= np.degrees(turn(source)) <= high
        and ahead >= 0.6 * path
        and 0.25 <= ahead / source.seconds <= 2.3
        and steps(source) >= 2
        and _grounded(source)
    )


def turns_around(source: Track) -> bool:
    return bool(120.0 <= abs(np.degrees(turn(source))) <= 250.0 and leap(source)[1] < 0.12 and upright(source).mean() > 0.8)


def circles(source: Track) -> bool:
    ahead, _, path = travel(source)
    steady = np.percentile(velocity(smooth(source.heading, 31)), 15) > 0.0
    return bool(np.degrees(turn(source)) >= 200.0 and path >= 1.5 and ahead >= 0.6 * path and steady and _grounded(source))


def jumps(source: Track) -> bool:
    high, rise = leap(source)
    return high >= 0.08 and rise >= 0.12


def jumps_forward(source: Track) -> bool:
    return jumps(source) and travel(source)[0] >= 0.4 and abs(np.degrees(turn(source))) <= 60.0


def _stays(source: Track) -> bool:
    pelvis = source.joint("pelvis")[:, [0, 2]]
    return bool(np.linalg.norm(pelvis - pelvis[0], axis=1).max() < 0.8)


def waves(source: Track, side: str) -> bool:
    other = {"l": "r", "r": "l"}[side]
    return waving(source, side) and not waving(source, other) and _stays(source) and upright(source).min() > 0.8


def raises_both(source: Track) -> bool:
    return arms_up(source) >= 0.3 and leap(source)[1] < 0.2


def kicks(source: Track, side: str) -> bool:
    other = {"l": "r", "r": "l"}[side]
    height = kick_height(source, side)
    return height >= 0.3 and height >= 0.75 * kick_height(source, other) and upright(source).min() > 0.1


def punches(source: Track, side: str) -> bool:
    other = {"l": "r", "r": "l"}[side]
    speed = punch_speed(source, side)
    return speed >= 0.8 and speed >= punch_speed(source, other) and travel(source)[2] / source.seconds < 0.9


def crouches(source: Track) -> bool:
    low = source.height("pelvis") < 0.75 * _STANDING
    feet = np.maximum(source.height("l_ankle"), source.height("r_ankle")) < 0.35
    return bool((low & feet & (upright(source) > 0.25)).sum() >= 0.15 * FPS and bent(source) > 1.1)


def sits_down(source: Track) -> bool:
    """Comes down and then rests on a seat or on the floor: thighs level or folded, trunk upright, pelvis low and still."""
    pelvis = source.joint("pelvis")
    thigh = source.joints[:, [INDEX["l_knee"], INDEX["r_knee"]]] - source.joints[:, [INDEX["l_hip"], INDEX["r_hip"]]]
    level = (thigh[..., 1] > -0.2).all(axis=1)
    still = np.linalg.norm(velocity(smooth(pelvis, 5)), axis=1) < 0.2
    feet = into_heading(0.5 * (source.joint("l_ankle") + source.joint("r_ankle")) - pelvis, source.heading)[:, 2]
    seat = (feet > 0.2) | (pelvis[:, 1] < 0.45 * _STANDING)  # not over the feet, as in a deep stance
    seated = seat & level & still & (upright(source) > 0.7) & (pelvis[:, 1] < 0.7 * _STANDING)
    if seated.sum() < 0.4 * FPS:
        return False
    before = pelvis[: int(np.flatnonzero(seated)[0]) + 1, 1]
    return bool(before.max() - pelvis[seated, 1].min() > 0.2)


def sequence(source: Track) -> bool:
    """Walks forward in the first third, has turned left at the end, and waves, with either hand, in the last two thirds."""
    third = len(source) // 3
    ahead, left, path = travel(source.cut(0, third))
    later = source.cut(third, len(source))
    return bool(
        ahead >= 0.3
        and ahead >= 0.7 * path
        and abs(left) < 0.5 * ahead
        and 30.0 <= np.degrees(turn(source)) <= 200.0
        and (waving(later, "l") or waving(later, "r"))
    )
