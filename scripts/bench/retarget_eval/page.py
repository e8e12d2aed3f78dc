# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what was measured of retargeting as a page for people. Measures nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from ..report import Measure
from .peers import DETECTED, KEEMAP, ROKOKO
from .results import COLUMNS, Judged
from .rigs import RIGS
from .tasks import FREE, LOCKED

_NAMES = {LOCKED: "ours", FREE: "ours, feet free", ROKOKO: "Rokoko", DETECTED: "Rokoko by itself", KEEMAP: "KeeMap"}


def write(
    folder: Path,
    measured: Sequence[Measure],
    judged: Judged,
    makers: Sequence[str],
    compared: Sequence[str],
    pictures: Sequence[str],
) -> None:
    """`retarget-report.md` in `folder`; `compared` are the clips that everybody was given, `pictures` rigs in `folder/images`."""
    peers = [_NAMES[maker] for maker in makers if maker not in (LOCKED, FREE)]
    beside = f"Beside it: {', '.join(peers)}." if peers else "No peer was given a folder, so none was run."
    parts = [
        "# How good retargeting is",
        f"Written by `mq.py bench retarget --report docs/` on {date.today().isoformat()}. {beside}",
        _summary(measured),
    ]
    if judged and compared:
        parts.append(f"## Everybody, medians over {', '.join(compared)}\n\n" + comparison(judged, makers, compared))
    parts += [f"## Every case\n\n{_cases(judged, makers)}"] if judged else []
    parts += [f"## On {rig}\n\n![Clips, and what became of them on {rig}](images/retarget-{rig}.png)" for rig in pictures]
    (folder / "retarget-report.md").write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def comparison(judged: Judged, makers: Sequence[str], clips: Sequence[str]) -> str:
    """A row for each rig and maker."""
    rows = [
        "| rig | by | limbs mean / p95, ° | root path (its shape alone), leg lengths | foot speed in contacts (clip's), m/s "
        "| slide (clip's), mm | sunk p95 / float, mm | jump, ° | ms a frame, with reading |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for rig, found in judged.items():
        for maker in makers:
            cases = [found[clip][maker] for clip in clips if maker in found.get(clip, {})]
            sound = [case for case in cases if "verdict" in case]
            if not sound:
                continue

            def middle(name: str, sound: Sequence[Mapping[str, Any]] = sound) -> float:
                values = [case["verdict"][name] for case in sound if math.isfinite(case["verdict"][name])]
                return median(values) if values else float("nan")

            each = median([1000 * case["seconds"] / case["frames"] for case in sound])
            refused = f" ({len(cases) - len(sound)} of {len(cases)} refused)" if len(sound) < len(cases) else ""
            cells = (
                rig,
                _NAMES[maker] + refused,
                f"{middle('limb_mean'):.2f} / {middle('limb_p95'):.2f}",
                f"{middle('path'):.3f} ({middle('shape'):.3f})",
                f"{middle('foot_speed'):.3f} ({middle('foot_speed_source'):.3f})",
                f"{middle('slide'):.1f} ({middle('slide_source'):.1f})",
                f"{middle('penetration_p95'):.0f} / {middle('floating'):.0f}",
                f"{middle('jump'):.1f}",
                f"{each:.2f}",
            )
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _summary(measured: Sequence[Measure]) -> str:
    """A row for each measure; where there is a mean of all cases and a worst one, both in one."""
    rows = [
        "## Figures, means of all clips and rigs and the worst of them",
        "",
        "| measure | value | target | |",
        "|---|---|---|---|",
    ]
    verdicts = {None: "", True: "ok", False: "**miss**"}
    means: dict[str, Measure] = {}
    for m in measured:
        name, _, kind = m.measure.rpartition(": ")
        if kind == "mean":
            means[name] = m
            continue
        mean = means.get(name) if kind == "worst" else None
        value = f"{m.value:.3g} {m.unit}".replace("-", "−")
        verdict = verdicts[m.ok]
        if mean is not None:
            value = f"{mean.value:.3g}; ".replace("-", "−") + value
            verdict = verdict if mean.ok == m.ok else f"{verdicts[mean.ok]}; {verdict}"
        beside = [f"; {peer} {number:.3g}" for peer, number in m.peers.items()]
        note = f" ({m.note})" if m.note else ""
        target = "" if m.target is None else f"{'≤' if m.at_most else '≥'} {m.target:g} {m.unit}"
        rows.append(f"| {name if mean else m.measure} | {value}{''.join(beside)}{note} | {target} | {verdict} |")
    return "\n".join(rows)


def _cases(judged: Judged, makers: Sequence[str]) -> str:
    titles = {rig.name: rig.title for rig in RIGS}
    rows = [
        "| rig | clip | by | " + " | ".join(title for title, _, _ in COLUMNS) + " | jump at |",
        "|---" * (len(COLUMNS) + 4) + "|",
    ]
    for rig, clips in judged.items():
        for clip, found in clips.items():
            for maker in (maker for maker in makers if maker in found):
                if "failed" in found[maker]:
                    rows.append(f"| {rig} | {clip} | {_NAMES[maker]} | refused: {found[maker]['failed']} |")
                    continue
                verdict = found[maker]["verdict"]
                cells = " | ".join(f"{verdict[key]:.{digits}f}" for _, key, digits in COLUMNS)
                rows.append(f"| {rig} | {clip} | {_NAMES[maker]} | {cells} | {verdict['jump_at']} |")
    named = "\n".join(f"- {rig}: {titles[rig]}" for rig in judged)
    return named + "\n\n" + "\n".join(rows)
