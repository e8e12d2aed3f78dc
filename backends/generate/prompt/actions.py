# SPDX-License-Identifier: GPL-3.0-or-later
"""What a body can be told to do: the actions of the model, what each of them allows, and how fast each usually goes.

Knows nothing of sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import radians


class Kind(Enum):
    """What part of the body an action takes, which decides what goes together with it. Higher values name a segment."""

    STATIC = 0  # stands, more or less
    UPPER = 1  # arms and head; goes on top of other things
    TURN = 2  # changes the heading
    POSTURE = 3  # sits, kneels, lies, crouches
    BODY = 4  # takes the whole body
    TRAVEL = 5  # goes from place to place


_BRIEF = 4.2  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One canonical word that a clause can be about."""

    tag: str  # of the motion data
    kind: Kind
    seconds: float  # what one of them usually takes; median of the data's clips, or less where a clip holds several
    example: str  # a prompt that has it
    turns: bool = False  # "and turns left" is done at the same time
    on_top: bool = False  # an upper-body action that was, or can well be, done while walking

    @property
    def brief(self) -> bool:
        """Whether it has a beginning, a moment and an end, rather than going on for as long as one likes."""
        return self.kind in (Kind.BODY, Kind.POSTURE, Kind.UPPER) and self.seconds < _BRIEF

    @property
    def travels(self) -> bool:
        return self.kind is Kind.TRAVEL

    @property
    def upper_body(self) -> bool:
        return self.kind is Kind.UPPER


def _table() -> Mapping[str, Action]:
    table: dict[str, Action] = {}

    def add(kind: Kind, tag: str, seconds: float, *pairs: str, turns: bool = False, on_top: bool = False) -> None:
        for pair in pairs:
            word, _, example = pair.partition(": ")
            table[word] = Action(tag=tag, kind=kind, seconds=seconds, example=example, turns=turns, on_top=on_top)

    add(Kind.TRAVEL, "walk", 3.5, "walk: a person walks forward slowly", "move: moves to the left", turns=True)
    add(Kind.TRAVEL, "walk", 3.5, "shuffle: shuffles forward like a zombie", turns=True)
    add(Kind.TRAVEL, "run", 3.0, "run: runs in a circle to the right", turns=True)
    add(Kind.TRAVEL, "jog", 3.0, "jog: jogs forward for 3 seconds", turns=True)
    add(Kind.TRAVEL, "sneak", 4.0, "sneak: sneaks forward", turns=True)
    add(Kind.TRAVEL, "crawl", 3.3, "crawl: crawls forward on hands and knees", turns=True)
    add(Kind.TURN, "turn", 1.5, "turn: turns left 90 degrees", "spin: spins around")
    add(Kind.BODY, "jump", 2.0, "jump: jumps in place three times", turns=True)
    add(Kind.BODY, "hop", 2.0, "hop: hops forward with both feet", turns=True)
    add(Kind.BODY, "dance", 5.5, "dance: dances in place", "salsa: dances salsa and spins around to the left", turns=True)
    add(Kind.BODY, "dance", 5.5, "ballet: dances ballet", "indian: performs an Indian classical dance", turns=True)
    add(Kind.BODY, "dance", 5.5, "charleston: dances the Charleston", "disco: does a disco dance", turns=True)
    add(
        Kind.BODY,
        "dance",
        5.5,
        "ymca: does the YMCA arm dance",
        "breakdance: breakdances",
        "footwork: does quick footwork",
        turns=True,
    )
    add(Kind.BODY, "climb", 6.5, "climb: climbs up a climbing frame", turns=True)
    add(Kind.BODY, "swing", 6.0, "hang: hangs from a bar with both arms overhead", turns=True)
    add(Kind.BODY, "punch", 1.5, "punch: punches with the right hand", turns=True)
    add(Kind.BODY, "kick", 1.5, "kick: kicks with the left leg", turns=True)
    add(Kind.BODY, "martial_arts", 5.0, "karate: performs karate moves", "fight: fights", turns=True)
    add(Kind.BODY, "block", 1.0, "block: blocks with both arms")
    add(Kind.BODY, "hit", 1.9, "flinch: flinches")
    add(
        Kind.BODY,
        "sword",
        2.0,
        "slash: slashes with a sword",
        "chop: chops down with a sword",
        "thrust: stabs forward with a sword",
    )
    add(Kind.BODY, "sword", 2.0, "attack: attacks with a sword", turns=True)
    add(Kind.BODY, "dribble", 4.3, "dribble: dribbles a basketball", turns=True)
    add(Kind.BODY, "acrobatics", 2.4, "backflip: does a backflip", "handspring: does a handspring", "cartwheel: does a cartwheel")
    add(Kind.BODY, "acrobatics", 4.0, "acrobatic: does acrobatics", "flip: does a flip", turns=True)
    add(Kind.BODY, "roll", 2.8, "roll: does a forward roll", "dive: dives forward and rolls")
    add(Kind.BODY, "crouch", 2.7, "duck: runs and ducks under an obstacle")
    add(Kind.BODY, "fall", 2.4, "fall: falls backward to the ground")
    add(Kind.BODY, "stand_up", 3.0, "rise: stands up from a chair")
    add(Kind.BODY, "pick_up", 3.0, "pick: picks something up from the ground")
    add(Kind.BODY, "bow", 3.7, "bow: bows politely")
    add(
        Kind.BODY,
        "exercise",
        3.6,
        "exercise: exercises",
        "push-up: does push-ups",
        "sit-up: does sit-ups",
        "jumping-jack: does jumping jacks",
    )
    add(
        Kind.POSTURE,
        "sit",
        4.0,
        "sit: sits down on a chair",
        "meditate: sits cross-legged and meditates",
        "drive: sits and drives",
    )
    add(Kind.POSTURE, "kneel", 3.2, "kneel: kneels down", "repair: kneels and repairs something")
    add(Kind.POSTURE, "lie", 3.3, "lie: lies down on the back")
    add(Kind.POSTURE, "crouch", 2.7, "crouch: crouches and stays low")
    add(Kind.STATIC, "idle", 3.0, "stand: stands idle", "stop: walks forward and stops", "sway: sways dizzily in place")
    add(
        Kind.STATIC,
        "idle",
        3.0,
        "shiver: shivers with cold",
        "strain: stands and powers up",
        "listen: stands and listens",
        "breathe: stands and breathes",
    )
    add(Kind.STATIC, "martial_arts", 3.0, "stance: stands in a fighting stance")
    add(Kind.UPPER, "wave", 1.9, "wave: waves with the right hand", on_top=True)
    add(Kind.UPPER, "gesture", 3.0, "gesture: gestures with both hands", "raise: raises both arms above the head", on_top=True)
    add(
        Kind.UPPER,
        "gesture",
        3.0,
        "hold: holds the left hand up in front of the chest",
        "stretch: stretches both hands forward",
        on_top=True,
    )
    add(
        Kind.UPPER,
        "gesture",
        3.0,
        "signal: directs traffic",
        "shake: shakes both arms in anger",
        "swing: swings the arms",
        on_top=True,
    )
    add(Kind.UPPER, "gesture", 2.0, "refuse: refuses with both hands", "scratch: scratches the head", "think: thinks")
    add(Kind.UPPER, "point", 3.0, "point: points forward with the right hand", on_top=True)
    add(Kind.UPPER, "shoot", 3.0, "aim: aims a pistol with both hands", "shoot: shoots a pistol", on_top=True)
    add(Kind.UPPER, "shoot", 3.0, "reload: reloads a pistol", "arrow: draws a bow and shoots")
    add(Kind.UPPER, "throw", 2.9, "throw: throws a ball")
    add(Kind.UPPER, "interact", 1.8, "reach: reaches forward with one hand", "touch: touches something", "drink: takes a drink")
    add(Kind.UPPER, "wash", 5.5, "wash: washes a window with the right hand")
    add(Kind.UPPER, "talk", 4.0, "talk: stands and talks", on_top=True)
    add(Kind.UPPER, "nod", 2.5, "nod: nods", on_top=True)
    add(Kind.UPPER, "cheer", 3.0, "cheer: cheers with both arms raised", "taunt: taunts with a raised fist", on_top=True)
    add(Kind.UPPER, "cast", 2.6, "cast: casts a spell with the left hand")
    add(Kind.BODY, "push", 2.7, "push: walks forward and pushes a heavy box")
    return table


ACTIONS: Mapping[str, Action] = _table()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How an action usually travels, in metres per second, and the length of one step in metres."""

    forward: float
    slow: float
    fast: float
    backward: float
    sideways: float
    step: float


# Medians over the motion data's clips where it has them (walk 1.07, slowly 0.61, briskly 1.45, jog 2.2, run 2.7, sprint 4.1,
# crawl 0.66, sneak 0.68, dribbling 0.87, backward walk 0.94, sideways run 2.9, backward run 3.6; a walking step 0.65 m, a running
# one 0.99 m), rounded. It has no slow run, no sideways walk and no fast crawl: those are common values of gait.
PACES: Mapping[str, Pace] = {
    "walk": Pace(forward=1.1, slow=0.6, fast=1.5, backward=0.9, sideways=0.6, step=0.65),
    "move": Pace(forward=1.1, slow=0.6, fast=1.5, backward=0.9, sideways=0.6, step=0.65),
    "shuffle": Pace(forward=0.5, slow=0.3, fast=0.8, backward=0.4, sideways=0.4, step=0.3),
    "run": Pace(forward=2.8, slow=2.2, fast=4.2, backward=2.5, sideways=2.5, step=1.0),
    "jog": Pace(forward=2.2, slow=1.7, fast=2.7, backward=1.8, sideways=1.8, step=0.9),
    "sneak": Pace(forward=0.65, slow=0.4, fast=0.9, backward=0.5, sideways=0.4, step=0.5),
    "crawl": Pace(forward=0.65, slow=0.4, fast=0.8, backward=0.4, sideways=0.3, step=0.4),
    # these travel only where the prompt says so
    "jump": Pace(forward=0.5, slow=0.4, fast=0.8, backward=0.4, sideways=0.4, step=1.2),
    "hop": Pace(forward=0.5, slow=0.35, fast=0.8, backward=0.4, sideways=0.4, step=0.5),
    "dribble": Pace(forward=0.9, slow=0.6, fast=1.5, backward=0.9, sideways=0.9, step=0.65),
    "push": Pace(forward=0.5, slow=0.3, fast=0.8, backward=0.4, sideways=0.3, step=0.4),
    "roll": Pace(forward=1.6, slow=1.2, fast=2.0, backward=1.2, sideways=1.0, step=1.0),
    "dive": Pace(forward=1.6, slow=1.2, fast=2.0, backward=1.2, sideways=1.0, step=1.0),
    "karate": Pace(forward=0.4, slow=0.3, fast=0.6, backward=0.45, sideways=0.3, step=0.5),
    "dance": Pace(forward=0.4, slow=0.3, fast=0.6, backward=0.3, sideways=0.4, step=0.4),
}

# What a turn comes to when the prompt names no angle, in radians. A slight one is the median of such clips.
TURN = radians(90)
SLIGHT_TURN = radians(30)
TURN_AROUND = radians(180)
FULL_TURN = radians(360)
