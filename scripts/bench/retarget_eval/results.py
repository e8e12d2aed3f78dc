# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes figures with targets of what the judge found, clip by clip and rig by rig."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..report import Report, middle
from .peers import KEEMAP, ROKOKO
from .tasks import FREE, LOCKED

_PEERS = (ROKOKO, KEEMAP)
Judged = dict[str, dict[str, dict[str, Any]]]  # rig → clip → maker → {verdict, seconds}
Case = tuple[str, str, Mapping[str, Any]]  # rig, clip, verdict

COLUMNS = (  # heading, value of a verdict, digits
    ("limb mean", "limb_mean", 2), ("p95", "limb_p95", 2), ("foot m/s", "foot_speed", 3), ("(own)", "foot_speed_source", 3),
    ("slide mm", "slide", 1), ("(own)", "slide_source", 1), ("sunk p95", "penetration_p95", 1), ("float", "floating", 1),
    ("path", "path", 3), ("shape", "shape", 3), ("height", "height", 3), ("jump", "jump", 1),
)  # fmt: skip


def cases(judged: Judged, maker: str) -> list[Case]:
    return [
        (rig, clip, found[maker]["verdict"])
        for rig, clips in judged.items()
        for clip, found in clips.items()
        if maker in found and "verdict" in found[maker]
    ]


def show(rig: str, clips: Mapping[str, Mapping[str, Any]], makers: Sequence[str]) -> None:
    """A line for each clip and maker, on stderr: for people who work on it."""
    head = f"{rig:11}{'clip':9}{'by':16}" + "".join(f"{title:>10}" for title, _, _ in COLUMNS) + "  jump at, what else"
    print(head, file=sys.stderr)
    for clip, found in clips.items():
        for maker in makers:
            if maker not in found:
                continue
            if "verdict" not in found[maker]:
                print(f"{rig:11}{clip:9}{maker:16}  {found[maker]['failed']}", file=sys.stderr)
                continue
            verdict = found[maker]["verdict"]
            cells = "".join(f"{verdict[key]:10.{digits}f}" for _, key, digits in COLUMNS)
            print(f"{rig:11}{clip:9}{maker:16}{cells}  {verdict['jump_at']} {_other(verdict)}", file=sys.stderr, flush=True)


def _other(verdict: Mapping[str, Any]) -> str:
    found = [f"{joint}s bent wrong in {100 * share:.0f} %" for joint, share in verdict["bent_wrong"].items() if share > 0.01]
    found += [f"{limb}s swapped" for limb in verdict["swapped"]]
    found += [f"{verdict['not_finite']} values not finite"] if verdict["not_finite"] else []
    worst = sorted(verdict["limbs"].items(), key=lambda item: -item[1])[:2]
    return ", ".join([*found, *(f"{limb.replace('_', ' ')} {error:.1f}°" for limb, error in worst if error > 0.5)])


def measure(report: Report, judged: Judged, makers: Sequence[str]) -> None:
    """The figures of ours against the targets; means are over all clips and rigs, worst cases are named."""
    for maker, mean, p95 in ((FREE, 1.0, 3.0), (LOCKED, 2.0, 6.0)):
        if maker in makers:
            found = cases(judged, maker)
            _worst(report, found, f"limb direction, mean, {maker}", lambda v: v["limb_mean"], "°", mean)
            _worst(report, found, f"limb direction, p95, {maker}", lambda v: v["limb_p95"], "°", p95)
    best = LOCKED if LOCKED in makers else FREE
    found = cases(judged, best)
    failed = [
        f"{maker}, {clip} on {rig}: {one[maker]['failed']}"
        for maker in (LOCKED, FREE)
        for rig, clips in judged.items()
        for clip, one in clips.items()
        if "failed" in one.get(maker, {})
    ]
    report.add("cases that failed", len(failed), f"of {2 * len(found) + len(failed)}", target=0.0, note="; ".join(failed[:3]))
    _worst(report, found, "foot speed in contacts, mean", lambda v: v["foot_speed"], "m/s", 0.02)
    _worst(report, found, "foot speed over the source's own", lambda v: v["foot_speed"] - v["foot_speed_source"], "m/s", 0.01)
    _worst(report, found, "slide in a contact over the source's own", lambda v: v["slide"] - v["slide_source"], "mm", 0.0)
    _worst(report, found, "floor penetration, p95", lambda v: v["penetration_p95"], "mm", 10.0)
    _worst(report, found, "feet above the floor in contacts, median", lambda v: v["floating"], "mm", None)
    _worst(report, found, "root path, in leg lengths", lambda v: 100 * v["path"], "%", 1.0)
    _worst(report, found, "rotation jump that the source lacks", lambda v: v["jump"], "°", 10.0)
    _worst(
        report, found, "knees and elbows bent the wrong way", lambda v: 100 * max(v["bent_wrong"].values()), "% of frames", 0.0
    )
    report.add("limbs swapped", sum(len(v["swapped"]) for _, _, v in found), "of all", target=0.0)
    report.add("values not finite", sum(v["not_finite"] for _, _, v in found), "of all", target=0.0)


def _worst(
    report: Report, found: Sequence[Case], name: str, value: Callable[[Mapping[str, Any]], float], unit: str, target: float | None
) -> None:
    """The worst case decides; the mean stands beside it."""
    values = [(value(verdict), f"{clip} on {rig}") for rig, clip, verdict in found]
    values = [(number, where) for number, where in values if math.isfinite(number)]
    if not values:
        return
    mean = sum(number for number, _ in values) / len(values)
    worst, where = max(values)
    report.add(f"{name}: mean", mean, unit, target=target, note=f"of {len(values)} cases")
    report.add(f"{name}: worst", worst, unit, target=target, note=where)


def measure_trips(report: Report, trips: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Onto another rig and back, all joints of the clip's skeleton."""
    for rig, clips in trips.items():
        values = {clip: sum(joints.values()) / len(joints) for clip, joints in clips.items()}
        worst = max(values, key=lambda clip: values[clip])
        joint = max(clips[worst], key=lambda name: clips[worst][name])
        report.add(
            f"there and back over {rig}, joint rotation, mean: worst clip", values[worst], "°", target=0.5,
            note=f"{worst}; most in {joint}, {clips[worst][joint]:.2f}°",
        )  # fmt: skip


def measure_times(report: Report, times: Mapping[str, Any]) -> None:
    """Medians; a peer that was given fewer frames is scaled to as many."""
    best = LOCKED if LOCKED in times else FREE
    frames = times["frames"][best]
    peers = {maker: middle(parts["total"]) * frames / times["frames"][maker] for maker, parts in times.items() if maker in _PEERS}
    parts = ", ".join(f"{part} {middle(times[best][part]):.3f}" for part in ("read", "solve", "write"))
    total = middle(times[best]["total"])
    note = f"{parts}; median of {len(times[best]['total'])}"
    report.add(f"{frames:,} frames onto 65 bones, file to keyed action", total, "s", target=0.5, peers=peers, note=note)
    report.add(
        "of that, a frame", 1000 * total / frames, "ms", peers={name: 1000 * value / frames for name, value in peers.items()}
    )
    if FREE in times and best != FREE:
        report.add("the same without foot locking", middle(times[FREE]["total"]), "s")
    reading = {maker: middle(times[maker]["read"]) * frames / times["frames"][maker] for maker in peers}
    if reading:
        one = min(reading.values())
        report.add("reading alone", middle(times[best]["read"]), "s", peers={"Blender's importer": one})
    if ROKOKO in peers:
        report.add("faster than Rokoko", peers[ROKOKO] / total, "×", target=30.0, at_most=False)
