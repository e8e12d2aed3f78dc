# SPDX-License-Identifier: GPL-3.0-or-later
"""How many joints of known rigs are mapped right: as they are, with names scrambled, with sides renamed. Needs no Blender."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...motion.errors import MotionError
from ...motion.humanoid import JointMap, find_joints
from .map_rigs import EXTRAS, FAMILIES, POSES, SIDE_FORMS, MapRig, build, scrambled, with_sides

SEEDS = 3


def measure(*, seeds: int = SEEDS) -> dict[str, Any]:
    """Shares (0 to 1) of core joints that are mapped right, over all families, rest poses and what rigs have beside a body.

    `preset`, `scrambled` (names mean nothing, siblings in any order), `sides` (written in other ways): the shares; `swapped`:
    maps in which left and right are exchanged; `refused`: rigs that were not recognised at all; `milliseconds`: median for one
    map; `wrong`: the first of what is wrong, as text.
    """
    groups = {
        "preset": [build(f, pose, extras=extras) for f in FAMILIES for pose, extras in _variants()],
        "scrambled": [
            scrambled(build(f, pose, extras=extras), seed)
            for f in FAMILIES
            for pose, extras in _variants()
            for seed in range(seeds)
        ],
        "sides": [with_sides(build(f, "A"), form) for f in FAMILIES for form in SIDE_FORMS],
    }
    out: dict[str, Any] = {"rigs": {name: len(rigs) for name, rigs in groups.items()}, "swapped": 0, "refused": 0, "wrong": []}
    times: list[float] = []
    for name, rigs in groups.items():
        right = total = 0
        for rig in rigs:
            start = time.perf_counter()
            found = find(rig)
            times.append(time.perf_counter() - start)
            hits, wrong = compare(rig, found)
            right, total = right + hits, total + len(rig.core())
            out["refused"] += found is None
            out["swapped"] += found is not None and swapped(rig, found)
            if wrong and len(out["wrong"]) < 20:
                out["wrong"].append(f"{name} {rig.family.name}: {wrong}")
        out[name] = right / total
    out["milliseconds"] = 1e3 * float(np.median(times))
    return out


def _variants() -> Iterable[tuple[str, tuple[str, ...]]]:
    yield from ((pose, ()) for pose in POSES)
    yield from (("A", (extra,)) for extra in EXTRAS)
    yield "T", ("face", "hair", "weapon", "ik", "helpers")


def find(rig: MapRig) -> JointMap | None:
    """The map that the product finds, or nothing when it refuses the rig."""
    try:
        return find_joints(rig.names, rig.parents, rig.heads, rig.tails)
    except MotionError as error:
        if error.code != "unknown_skeleton":
            raise
        return None


def compare(rig: MapRig, found: JointMap | None) -> tuple[int, str]:
    """How many core joints are right, and which are not."""
    truth = rig.core()
    if found is None:
        return 0, "refused"
    have = dict(found.joints)
    have |= {"spine_first": found.spine[0], "spine_last": found.spine[-1]} if found.spine else {}
    have["neck"] = found.neck[0] if found.neck else -1
    wrong = {name: (rig.names[joint], rig.names[have[name]] if have.get(name, -1) >= 0 else "-") for name, joint in truth.items()}
    wrong = {name: pair for name, pair in wrong.items() if pair[0] != pair[1]}
    return len(truth) - len(wrong), ", ".join(f"{name} is {b}, not {a}" for name, (a, b) in wrong.items())


def swapped(rig: MapRig, found: JointMap) -> bool:
    """Whether any limb was taken for the other side's."""
    sided = {name: j for name, j in rig.joints.items() if name[:2] in {"l_", "r_"}}
    return any(found.get(("r_" if name[0] == "l" else "l_") + name[2:]) == j for name, j in sided.items())


def run(arguments: Any = ()) -> list[dict[str, Any]]:
    """Print the shares; the measures of the benchmark."""
    del arguments
    found = measure()
    for line in found["wrong"]:
        print(f"  {line}")
    targets = {"preset": 1.0, "scrambled": 0.95, "sides": 1.0}
    for name, target in targets.items():
        print(f"{name:10} {100 * found[name]:6.2f} % of core joints on {found['rigs'][name]} rigs (target {100 * target:g} %)")
    print(f"swapped {found['swapped']}, refused {found['refused']}, {found['milliseconds']:.1f} ms a map")
    return [{"name": f"map_{name}", "value": found[name], "target": t, "ok": found[name] >= t} for name, t in targets.items()]
