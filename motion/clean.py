# SPDX-License-Identifier: GPL-3.0-or-later
"""A generated clip made clean: jitter out, feet held while they stand, nothing in the floor. Bone lengths stay as they are.

The one entry point for those who have a clip; the parts are in `smooth`, `contacts`, `footlock` and `ik`. Knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import quat
from .contacts import FootQuality, Mask, judge, runs
from .errors import MotionError
from .footholds import LockOptions
from .footlock import FootLock, find_foot_contacts, lock_feet, locked_rotations
from .humanoid import JointMap
from .kinematics import world
from .legs import SIDES, TIP, Legs, find_legs
from .quat import Array
from .skeleton import Motion
from .smooth import jerk, remove_jitter


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactSpan:
    """A part of a foot that stands, in frames `start` to `stop` (exclusive)."""

    side: str  # "l" or "r"
    part: str  # "heel" or "ball"
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanReport:
    """What cleaning found and did. Sliding in m/s and sinking in cm as the judge of `contacts` measures them."""

    contacts: tuple[ContactSpan, ...]
    before: FootQuality
    after: FootQuality
    largest_turn: float  # degrees, of any joint's world rotation
    largest_shift: float  # cm, of the root
    jerk_before: float  # m/s³, mean over joints
    jerk_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanResult:
    motion: Motion
    report: CleanReport


def clean(
    motion: Motion,
    joints: JointMap,
    *,
    metre: float,
    up: int = 1,
    floor: float = 0.0,
    foot_lock: bool = True,
    cutoff: float | None = None,
    contacts: Mask | None = None,
    legs: Legs | None = None,
    options: LockOptions | None = None,
) -> CleanResult:
    """The clip with steady feet, and a report of what was done.

    `metre` is how many of the clip's units a metre has (100 for centimetres), `up` the index of the axis that points up, `floor`
    the floor's height on it in the clip's unit. `cutoff` in Hz takes out jitter first (None: none). `contacts` [F, 2, 2] (side,
    heel and ball) says when feet stand, for instance as `foot_contacts` found it before an edit; by default it is found.
    `legs` saves finding them again. Raises `MotionError`: no_frames, not_finite, bad_motion, bad_edit.
    """
    if len(motion) == 0:
        raise MotionError("no_frames", "The clip has no frames, so there is nothing to clean. Export it with its motion.")
    if not (np.isfinite(motion.rotations).all() and np.isfinite(motion.positions).all()):
        raise MotionError("not_finite", "The clip has values that are no numbers (nan or inf), so it cannot be cleaned.")
    if not (np.isfinite(metre) and metre > 0.0):
        raise MotionError("bad_motion", f"A metre must have more than zero of the clip's units, not {metre}.")
    if contacts is not None and contacts.shape != (len(motion), 2, 2):
        raise MotionError(
            "bad_motion", f"Contacts of a clip of {len(motion)} frames must be ({len(motion)}, 2, 2), not {contacts.shape}."
        )
    legs = legs or find_legs(motion, joints, up=up)
    rotations, positions = world(motion)
    out = motion
    before = _Pose(legs, rotations, positions, motion.frame_time, up, floor, metre)
    if cutoff is not None:
        out = remove_jitter(motion, cutoff)
        rotations, positions = world(out)
    found = np.zeros((len(motion), 2, 2), dtype=bool)
    if foot_lock:
        lock = lock_feet(
            legs, rotations, positions, motion.frame_time, up=up, floor=floor, metre=metre, contacts=contacts, options=options
        )
        out, found = apply_lock(out, legs, rotations, lock), lock.contacts
    after_r, after_p = world(out)
    after = _Pose(legs, after_r, after_p, motion.frame_time, up, floor, metre)
    moved = np.linalg.norm(after_p[:, 0] - before.positions[:, 0], axis=-1)
    return CleanResult(
        motion=out,
        report=CleanReport(
            contacts=_spans(found),
            before=before.judge(),
            after=after.judge(),
            largest_turn=float(np.degrees(quat.angle(before.rotations, after_r).max(initial=0.0))),
            largest_shift=float(100.0 / metre * moved.max(initial=0.0)),
            jerk_before=before.jerk(),
            jerk_after=after.jerk(),
        ),
    )


def foot_contacts(
    motion: Motion,
    legs: Legs,
    *,
    metre: float,
    up: int = 1,
    floor: float = 0.0,
    believed: Mask | None = None,
    options: LockOptions | None = None,
) -> Mask:
    """When heels and balls stand in a clip [F, 2, 2]: for edits, which make feet slide before they are locked again.

    `believed` [F, 2, 2] is where whoever made the clip says that they do.
    """
    rotations, positions = world(motion)
    options = options or LockOptions()
    return find_foot_contacts(
        legs,
        rotations,
        positions,
        motion.frame_time,
        up=up,
        floor=floor,
        metre=metre,
        believed=believed,
        options=options.contacts,
    )


def apply_lock(motion: Motion, legs: Legs, rotations: Array, lock: FootLock) -> Motion:
    """A clip with its world `rotations` [F, J, 4], corrected. Only the legs' local rotations and the roots' paths change."""
    parents = motion.skeleton.parents
    turned = locked_rotations(lock, legs, parents, rotations)
    changed = np.unique(np.concatenate([legs.hip, legs.knee, legs.ankle, legs.toe[legs.toe >= 0]]))
    local = motion.rotations.copy()
    local[:, changed] = quat.mul(quat.inverse(turned[:, parents[changed]]), turned[:, changed])
    positions = motion.positions.copy()
    positions[:, parents < 0] += lock.shift[:, None]
    return replace(motion, rotations=quat.continuous(quat.normalize(local)), positions=positions)


@dataclass(slots=True)
class _Pose:
    """A clip in the world, to be judged."""

    legs: Legs
    rotations: Array
    positions: Array
    frame_time: float
    up: int
    floor: float
    metre: float

    def judge(self) -> FootQuality:
        soles = self.legs.soles(self.rotations, self.positions)[:, :, :TIP]
        return judge(soles, self.positions[:, 0], self.frame_time, up=self.up, floor=self.floor, metre=self.metre)

    def jerk(self) -> float:
        values = jerk(self.positions, self.frame_time)
        return float(values.mean()) / self.metre if values.size else 0.0


def _spans(contacts: Mask) -> tuple[ContactSpan, ...]:
    out = [
        ContactSpan(side=side, part=part, start=int(start), stop=int(stop))
        for i, side in enumerate(SIDES)
        for j, part in enumerate(("heel", "ball"))
        for start, stop in runs(contacts[:, i, j])
    ]
    return tuple(sorted(out, key=lambda span: (span.start, span.stop, span.side, span.part)))
