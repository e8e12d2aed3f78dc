# SPDX-License-Identifier: GPL-3.0-or-later
"""The twenty prompts whose motions are checked by geometry, each with the real clips that its check must and must not pass.

`does` picks clips that do what the prompt says, `unclear` those that may do it as well (a dance may well turn to the left), so
that the errors of the checks themselves can be counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from . import checks
from .body import Track, mirrored, spliced
from .pack import Clip


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
    parts: tuple[Callable[[Clip], bool], ...] = ()  # real clips that, joined one after the other, must pass


def _tagged(*tags: str) -> Callable[[Clip], bool]:
    return lambda clip: bool(clip.tags & set(tags))


def _moves(way: str, *tags: str) -> Callable[[Clip], bool]:
    return lambda clip: clip.direction == way and bool(clip.tags & set(tags)) and not clip.tags & {"crouch", "jump", "turn"}


def _walk_turns(low: float, high: float) -> Callable[[Clip], bool]:
    return lambda clip: "walk" in clip.tags and low <= clip.turn_deg <= high and "dribble" not in clip.tags


_UNEVEN = "uneven ground"  # the ground is not in the data, so no height means anything


def _never(clip: Clip) -> bool:
    return False


def _straight(clip: Clip) -> bool:
    return _moves("forward", "walk")(clip) and abs(clip.turn_deg) < 40 and "run" not in clip.tags


def _raised(clip: Clip) -> bool:
    return clip.says("both arms raised") or clip.says("both hands above the head")


def _may_wave(clip: Clip) -> bool:
    tags = {"gesture", "dance", "climb", "swing", "cheer", "cast", "throw", "wash", "exercise", "martial_arts"}
    return clip.says("referee") or bool(clip.tags & tags)


_MIXED = _tagged("dance", "martial_arts", "acrobatics")  # may do anything in passing
_WALK = ("walk", "sneak", "dribble")


def all_checks() -> tuple[Check, ...]:
    """The twenty."""

    def one(
        name: str,
        prompt: str,
        seconds: float,
        passes: Callable[[Track], bool],
        does: Callable[[Clip], bool],
        unclear: Callable[[Clip], bool],
        *classes: str,
        mirror: Callable[[Clip], bool] | None = None,
        parts: tuple[Callable[[Clip], bool], ...] = (),
    ) -> Check:
        return Check(
            name=name,
            prompt=prompt,
            seconds=seconds,
            passes=passes,
            does=does,
            unclear=unclear,
            classes=frozenset(classes),
            mirror=mirror,
            parts=parts,
        )

    return (
        one(
            "walk forward",
            "a person walks forward",
            4,
            lambda t: checks.walks(t, "forward"),
            _straight,
            _moves("forward", *_WALK, "run", "jog", "dance", "crouch"),
            "walk",
        ),
        one(
            "walk backward",
            "a person walks backward",
            4,
            lambda t: checks.walks(t, "backward"),
            _moves("backward", "walk"),
            _moves("backward", "dance", "martial_arts", "run", "climb"),
            "walk",
        ),
        one(
            "walk left",
            "a person walks sideways to the left",
            4,
            lambda t: checks.sidesteps(t, "left"),
            _moves("left", "walk"),
            _moves("left", "dance", "run", "martial_arts"),
            "walk",
            mirror=_moves("right", "walk"),
        ),
        one(
            "walk right",
            "a person walks sideways to the right",
            4,
            lambda t: checks.sidesteps(t, "right"),
            _moves("right", "walk"),
            _moves("right", "dance", "run", "martial_arts"),
            "walk",
            mirror=_moves("left", "walk"),
        ),
        one(
            "run",
            "a person runs forward",
            3,
            checks.runs,
            lambda c: (
                _moves("forward", "run")(c) and not c.tags & {"walk", "roll"} and not c.says("stop") and abs(c.turn_deg) < 40
            ),
            _tagged("run", "jog"),
            "run",
        ),
        one(
            "jog",
            "a person jogs slowly",
            3,
            checks.jogs,
            lambda c: _moves("forward", "jog")(c) and abs(c.turn_deg) < 40,
            _tagged("run", "jog"),
            "run",
        ),
        one(
            "walk, turn left",
            "a person walks forward and turns left",
            4,
            lambda t: checks.walks_turning(t, 35, 200),
            _walk_turns(50, 185),
            lambda c: c.turn_deg > 30 and (_MIXED(c) or _tagged("walk", "dribble")(c)),
            "walk",
            mirror=_walk_turns(-185, -50),
        ),
        one(
            "walk, turn right",
            "a person walks forward and turns right",
            4,
            lambda t: checks.walks_turning(t, -200, -35),
            _walk_turns(-185, -50),
            lambda c: c.turn_deg < -30 and (_MIXED(c) or _tagged("walk", "dribble")(c)),
            "walk",
            mirror=_walk_turns(50, 185),
        ),
        one(
            "turn around",
            "a person turns around",
            4,
            checks.turns_around,
            lambda c: 130 <= abs(c.turn_deg) <= 240 and not c.tags & {"jump", "climb", "acrobatics", "kick"},
            lambda c: abs(c.turn_deg) > 100,
        ),
        one(
            "circle",
            "a person walks in a circle to the left",
            7,
            checks.circles,
            _walk_turns(220, 500),
            lambda c: c.turn_deg > 180,
            "walk",
            mirror=_walk_turns(-500, -220),
        ),
        one(
            "jump",
            "a person jumps up",
            3,
            checks.jumps,
            lambda c: bool(c.tags & {"jump"}) and not c.tags & {"dance", "climb", "acrobatics", "cheer"},
            _tagged("jump", "hop", "dance", "climb", "acrobatics", "run", "martial_arts", "cheer"),
            "jump",
        ),
        one(
            "jump forward",
            "a person jumps forward",
            3,
            checks.jumps_forward,
            lambda c: "jump" in c.tags and c.direction == "forward" and not c.tags & {"dance", "climb", "turn"},
            _tagged("jump", "hop", "climb", "acrobatics", "dance", "run"),
            "jump",
        ),
        one(
            "wave left",
            "a person waves the left hand",
            3,
            lambda t: checks.waves(t, "l"),
            lambda c: "wave" in c.tags and c.says("left"),
            _may_wave,
            "gesture",
            mirror=lambda c: "wave" in c.tags and c.says("right"),
        ),
        one(
            "wave right",
            "a person waves the right hand",
            3,
            lambda t: checks.waves(t, "r"),
            lambda c: "wave" in c.tags and c.says("right"),
            _may_wave,
            "gesture",
            mirror=lambda c: "wave" in c.tags and c.says("left"),
        ),
        one(
            "arms up",
            "a person raises both arms above the head",
            3,
            checks.raises_both,
            lambda c: _raised(c) and not c.tags & {"jump", "acrobatics"},
            lambda c: (
                _raised(c)
                or c.says("both arms")
                or bool(
                    c.tags
                    & {"dance", "climb", "swing", "cheer", "throw", "acrobatics", "exercise", "gesture", "push", "cast", "sword"}
                )
            ),
            "gesture",
        ),
        one(
            "kick right",
            "a person kicks with the right leg",
            3,
            lambda t: checks.kicks(t, "r"),
            lambda c: c.says("kick", "right leg") and "kick" in c.tags and not c.says("both legs"),
            _tagged("dance", "acrobatics", "kick", "jump", "climb", "swing", "martial_arts"),
            "kick",
            "martial arts",
            mirror=lambda c: c.says("kick", "left leg") and "kick" in c.tags and not c.says("both legs"),
        ),
        one(
            "punch right",
            "a person punches with the right hand",
            3,
            lambda t: checks.punches(t, "r"),
            lambda c: "punch" in c.tags and "martial_arts" not in c.tags and c.says("right"),
            lambda c: (
                c.says("referee")
                or _tagged(
                    "gesture",
                    "point",
                    "push",
                    "cast",
                    "block",
                    "dance",
                    "martial_arts",
                    "punch",
                    "acrobatics",
                    "throw",
                    "climb",
                    "dribble",
                    "swing",
                    "hit",
                    "sword",
                )(c)
            ),
            "punch",
            "martial arts",
            mirror=lambda c: "punch" in c.tags and "martial_arts" not in c.tags and c.says("left"),
        ),
        one(
            "crouch",
            "a person crouches down",
            3,
            checks.crouches,
            lambda c: bool(c.tags & {"crouch", "kneel"}) and "acrobatics" not in c.tags,
            _tagged(
                "push",
                "sword",
                "cast",
                "swing",
                "crouch",
                "kneel",
                "acrobatics",
                "pick_up",
                "sit",
                "lie",
                "get_up",
                "fall",
                "stand_up",
                "crawl",
                "jump",
                "dance",
                "martial_arts",
                "roll",
                "climb",
                "exercise",
            ),
            "crouch",
        ),
        one(
            "sit",
            "a person sits down",
            4,
            checks.sits_down,
            lambda c: "sit" in c.tags and (c.says("sits down") or c.says("sit down")),
            _tagged("sit", "fall", "lie"),
            "sit",
        ),
        one(
            "walk, turn, wave",
            "a person walks forward, then turns left and waves",
            7,
            checks.sequence,
            _never,
            _never,
            "walk",
            "gesture",
            parts=(_straight, _walk_turns(50, 185), _tagged("wave")),
        ),
    )


def wordings() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Other ways to say the twenty: set → check → sentences.

    Both sets were written without knowing the reader of prompts. What it could not read of the "known" ones was mended
    afterwards; the ones held back nobody looked at before they were measured.
    """
    found: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_name("wordings.json").read_text("utf-8"))
    return found


def real_cases(check: Check, clips: Sequence[Clip]) -> list[tuple[str, Track]]:
    """(subject, track) of the real clips, and mirror images of such, that must pass."""
    cases = [(clip.subject, clip.track) for clip in clips if check.does(clip) and not clip.says(_UNEVEN)]
    if check.mirror is not None:
        cases += [(clip.subject, mirrored(clip.track)) for clip in clips if check.mirror(clip) and not clip.says(_UNEVEN)]
    if check.parts:
        # Three clips of each part, spread over the pack: all their combinations.
        choices = [[c for c in clips if part(c) and not c.says(_UNEVEN) and c.style != "stylised"] for part in check.parts]
        for row in product(*(found[:: max(1, len(found) // 3)][:3] for found in choices)):
            cases.append((row[0].subject, spliced([clip.track for clip in row])))
    return cases


def other_cases(check: Check, clips: Sequence[Clip]) -> list[tuple[str, Track]]:
    """(subject, track) of the real clips that must not pass."""
    mirror = check.mirror or _never
    return [
        (clip.subject, clip.track)
        for clip in clips
        if not (check.does(clip) or check.unclear(clip) or mirror(clip) or clip.says(_UNEVEN))
    ]
