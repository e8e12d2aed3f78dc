# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty prompts, and for each a check by geometry alone of whether a motion does what it says.

Every check comes with the real clips that it has to pass (`does`) and those of which that cannot be said (`unclear`: a dance
may well turn to the left), so that its own errors can be counted. The checks know no captions; `does` and `unclear` do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ....motion.quat import Array
from .body import FPS, INDEX, SOLES, Track, into_heading, mirrored, smooth, travel, turn, velocity
from .pack import Clip

_RIGHT_SOLES = [SOLES.index("r_heel"), SOLES.index("r_ball")]
_LEFT_SOLES = [SOLES.index("l_heel"), SOLES.index("l_ball")]
_ARM, _LEG = 0.51, 0.79  # metres: upper arm and forearm, thigh and shank
_STANDING = 0.955  # metres: the pelvis of the standing body


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One prompt."""

    name: str
    prompt: str
    seconds: float
    passes: Callable[[Track], bool]
    does: Callable[[Clip], bool]  # a real clip that must pass
    unclear: Callable[[Clip], bool]  # a real clip that may pass as well
    classes: frozenset[str]  # what the classifier should see
    mirror: Callable[[Clip], bool] | None = None  # real clips whose mirror image must pass


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


def _walks(source: Track, way: str) -> bool:
    low = 0.35 if way == "forward" else 0.25
    return goes(source, way, low, 1.9) and steps(source) >= 2 and _grounded(source)


def _grounded(source: Track) -> bool:
    """Somewhere on the floor nearly all the time."""
    return bool((flight(source) > 0.12).mean() < 0.08)


def _runs(source: Track) -> bool:
    return goes(source, "forward", 1.9, 8.0) and bounds(source) >= 1 and leap(source)[1] < 0.25


def _jogs(source: Track) -> bool:
    return goes(source, "forward", 1.6, 4.2) and bounds(source) >= 1 and leap(source)[1] < 0.25


def _sidesteps(source: Track, way: str) -> bool:
    return goes(source, way, 0.25, 2.1) and steps(source) >= 2 and _grounded(source)


def _walks_turning(source: Track, low: float, high: float) -> bool:
    """Left positive, in degrees."""
    ahead, _, path = travel(source)
    return bool(
        low <= np.degrees(turn(source)) <= high
        and ahead >= 0.6 * path
        and 0.25 <= ahead / source.seconds <= 2.3
        and steps(source) >= 2
        and _grounded(source)
    )


def _turns_around(source: Track) -> bool:
    return bool(120.0 <= abs(np.degrees(turn(source))) <= 250.0 and leap(source)[1] < 0.12 and upright(source).mean() > 0.8)


def _circles(source: Track) -> bool:
    ahead, _, path = travel(source)
    steady = np.percentile(velocity(smooth(source.heading, 31)), 15) > 0.0
    return bool(np.degrees(turn(source)) >= 200.0 and path >= 1.5 and ahead >= 0.6 * path and steady and _grounded(source))


def _jumps(source: Track) -> bool:
    high, rise = leap(source)
    return high >= 0.08 and rise >= 0.12


def _jumps_forward(source: Track) -> bool:
    return _jumps(source) and travel(source)[0] >= 0.4 and abs(np.degrees(turn(source))) <= 60.0


def _stays(source: Track) -> bool:
    pelvis = source.joint("pelvis")[:, [0, 2]]
    return bool(np.linalg.norm(pelvis - pelvis[0], axis=1).max() < 0.8)


def _waves(source: Track, side: str) -> bool:
    other = {"l": "r", "r": "l"}[side]
    return waving(source, side) and not waving(source, other) and _stays(source) and upright(source).min() > 0.8


def _raises_both(source: Track) -> bool:
    return arms_up(source) >= 0.3 and leap(source)[1] < 0.2


def _kicks(source: Track, side: str) -> bool:
    other = {"l": "r", "r": "l"}[side]
    height = kick_height(source, side)
    return height >= 0.3 and height >= 0.75 * kick_height(source, other) and upright(source).min() > 0.1


def _punches(source: Track, side: str) -> bool:
    other = {"l": "r", "r": "l"}[side]
    speed = punch_speed(source, side)
    return speed >= 0.8 and speed >= punch_speed(source, other) and travel(source)[2] / source.seconds < 0.9


def _crouches(source: Track) -> bool:
    low = source.height("pelvis") < 0.75 * _STANDING
    feet = np.maximum(source.height("l_ankle"), source.height("r_ankle")) < 0.35
    return bool((low & feet & (upright(source) > 0.25)).sum() >= 0.15 * FPS and bent(source) > 1.1)


def _sits_down(source: Track) -> bool:
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


def _sequence(source: Track) -> bool:
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


# ---- which real clips do it -------------------------------------------------------------------------------------------------


def _tagged(*tags: str) -> Callable[[Clip], bool]:
    return lambda clip: bool(clip.tags & set(tags))


def _moves(way: str, *tags: str) -> Callable[[Clip], bool]:
    return lambda clip: clip.direction == way and bool(clip.tags & set(tags)) and not clip.tags & {"crouch", "jump", "turn"}


def _walk_turns(low: float, high: float) -> Callable[[Clip], bool]:
    return lambda clip: "walk" in clip.tags and low <= clip.turn_deg <= high and "dribble" not in clip.tags


_UNEVEN = "uneven ground"  # the ground is not in the data, so no height means anything


def _never(clip: Clip) -> bool:
    return False


_MIXED = _tagged("dance", "martial_arts", "acrobatics")  # may do anything in passing
_WALK = ("walk", "sneak", "dribble")


def checks() -> tuple[Check, ...]:
    """The twenty."""

    def one(
        name: str, prompt: str, seconds: float, passes: Callable[[Track], bool], does: Callable[[Clip], bool],
        unclear: Callable[[Clip], bool], *classes: str, mirror: Callable[[Clip], bool] | None = None,
    ) -> Check:  # fmt: skip
        return Check(
            name=name, prompt=prompt, seconds=seconds, passes=passes, does=does, unclear=unclear,
            classes=frozenset(classes), mirror=mirror,
        )  # fmt: skip

    straight = lambda clip: _moves("forward", "walk")(clip) and abs(clip.turn_deg) < 40 and "run" not in clip.tags  # noqa: E731
    raised = lambda clip: clip.says("both arms raised") or clip.says("both hands above the head")  # noqa: E731
    may_wave = lambda c: (
        c.says("referee")
        or bool(c.tags & {"gesture", "dance", "climb", "swing", "cheer", "cast", "throw", "wash", "exercise", "martial_arts"})
    )  # noqa: E731
    return (
        one("walk forward", "a person walks forward", 4, lambda t: _walks(t, "forward"), straight, _moves("forward", *_WALK, "run", "jog", "dance", "crouch"), "walk"),
        one("walk backward", "a person walks backward", 4, lambda t: _walks(t, "backward"), _moves("backward", "walk"), _moves("backward", "dance", "martial_arts", "run", "climb"), "walk"),
        one("walk left", "a person walks sideways to the left", 4, lambda t: _sidesteps(t, "left"), _moves("left", "walk"), _moves("left", "dance", "run", "martial_arts"), "walk", mirror=_moves("right", "walk")),
        one("walk right", "a person walks sideways to the right", 4, lambda t: _sidesteps(t, "right"), _moves("right", "walk"), _moves("right", "dance", "run", "martial_arts"), "walk", mirror=_moves("left", "walk")),
        one("run", "a person runs forward", 3, _runs, lambda c: _moves("forward", "run")(c) and not c.tags & {"walk", "roll"} and not c.says("stop") and abs(c.turn_deg) < 40, _tagged("run", "jog"), "run"),
        one("jog", "a person jogs slowly", 3, _jogs, lambda c: _moves("forward", "jog")(c) and abs(c.turn_deg) < 40, _tagged("run", "jog"), "run"),
        one("walk, turn left", "a person walks forward and turns left", 4, lambda t: _walks_turning(t, 35, 200), _walk_turns(50, 185), lambda c: c.turn_deg > 30 and (_MIXED(c) or _tagged("walk", "dribble")(c)), "walk", mirror=_walk_turns(-185, -50)),
        one("walk, turn right", "a person walks forward and turns right", 4, lambda t: _walks_turning(t, -200, -35), _walk_turns(-185, -50), lambda c: c.turn_deg < -30 and (_MIXED(c) or _tagged("walk", "dribble")(c)), "walk", mirror=_walk_turns(50, 185)),
        one("turn around", "a person turns around", 4, _turns_around, lambda c: 130 <= abs(c.turn_deg) <= 240 and not c.tags & {"jump", "climb", "acrobatics", "kick"}, lambda c: abs(c.turn_deg) > 100),
        one("circle", "a person walks in a circle to the left", 7, _circles, _walk_turns(220, 500), lambda c: c.turn_deg > 180, "walk", mirror=_walk_turns(-500, -220)),
        one("jump", "a person jumps up", 3, _jumps, lambda c: bool(c.tags & {"jump"}) and not c.tags & {"dance", "climb", "acrobatics", "cheer"}, _tagged("jump", "hop", "dance", "climb", "acrobatics", "run", "martial_arts", "cheer"), "jump"),
        one("jump forward", "a person jumps forward", 3, _jumps_forward, lambda c: "jump" in c.tags and c.direction == "forward" and not c.tags & {"dance", "climb", "turn"}, _tagged("jump", "hop", "climb", "acrobatics", "dance", "run"), "jump"),
        one("wave left", "a person waves the left hand", 3, lambda t: _waves(t, "l"), lambda c: "wave" in c.tags and c.says("left"), may_wave, "gesture", mirror=lambda c: "wave" in c.tags and c.says("right")),
        one("wave right", "a person waves the right hand", 3, lambda t: _waves(t, "r"), lambda c: "wave" in c.tags and c.says("right"), may_wave, "gesture", mirror=lambda c: "wave" in c.tags and c.says("left")),
        one("arms up", "a person raises both arms above the head", 3, _raises_both, lambda c: raised(c) and not c.tags & {"jump", "acrobatics"}, lambda c: raised(c) or c.says("both arms") or bool(c.tags & {"dance", "climb", "swing", "cheer", "throw", "acrobatics", "exercise", "gesture", "push", "cast", "sword"}), "gesture"),
        one("kick right", "a person kicks with the right leg", 3, lambda t: _kicks(t, "r"), lambda c: c.says("kick", "right leg") and "kick" in c.tags and not c.says("both legs"), _tagged("dance", "acrobatics", "kick", "jump", "climb", "swing", "martial_arts"), "kick", "martial arts", mirror=lambda c: c.says("kick", "left leg") and "kick" in c.tags and not c.says("both legs")),
        one("punch right", "a person punches with the right hand", 3, lambda t: _punches(t, "r"), lambda c: "punch" in c.tags and "martial_arts" not in c.tags and c.says("right"), lambda c: c.says("referee") or _tagged("gesture", "point", "push", "cast", "block", "dance", "martial_arts", "punch", "acrobatics", "throw", "climb", "dribble", "swing", "hit", "sword")(c), "punch", "martial arts", mirror=lambda c: "punch" in c.tags and "martial_arts" not in c.tags and c.says("left")),
        one("crouch", "a person crouches down", 3, _crouches, lambda c: bool(c.tags & {"crouch", "kneel"}) and "acrobatics" not in c.tags, _tagged("push", "sword", "cast", "swing", "crouch", "kneel", "acrobatics", "pick_up", "sit", "lie", "get_up", "fall", "stand_up", "crawl", "jump", "dance", "martial_arts", "roll", "climb", "exercise"), "crouch"),
        one("sit", "a person sits down", 4, _sits_down, lambda c: "sit" in c.tags and (c.says("sits down") or c.says("sit down")), _tagged("sit", "fall", "lie"), "sit"),
        one("walk, turn, wave", "a person walks forward, then turns left and waves", 7, _sequence, _never, _never, "walk", "gesture"),
    )  # fmt: skip


def real_cases(check: Check, clips: list[Clip]) -> list[tuple[str, Track]]:
    """(subject, track) of the real clips, and mirror images of such, that must pass."""
    cases = [(clip.subject, clip.track) for clip in clips if check.does(clip) and not clip.says(_UNEVEN)]
    if check.mirror is not None:
        cases += [(clip.subject, mirrored(clip.track)) for clip in clips if check.mirror(clip) and not clip.says(_UNEVEN)]
    return cases


def other_cases(check: Check, clips: list[Clip]) -> list[tuple[str, Track]]:
    """(subject, track) of the real clips that must not pass."""
    mirror = check.mirror or _never
    return [
        (clip.subject, clip.track)
        for clip in clips
        if not (check.does(clip) or check.unclear(clip) or mirror(clip) or clip.says(_UNEVEN))
    ]
