# SPDX-License-Identifier: GPL-3.0-or-later
"""How good and how fast retargeting is, by a judge that looks at the finished armatures in Blender, beside the tools people use.

Needs the motion pack. Peers are run where their folders are given (`--rokoko`, `--keemap`: checkouts of their repositories), in
the same Blender on the same clips and rigs; nothing of them is in the project. `--report FOLDER` draws pictures there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...backends.blender_find import BlenderCommand, find_blender
from ..cli.exit_codes import InputError
from .report import Report
from .retarget_eval import results
from .retarget_eval.blenders import ask
from .retarget_eval.ours import locks_feet
from .retarget_eval.peers import DETECTED, KEEMAP, ROKOKO
from .retarget_eval.rigs import RIGS, RigTable
from .retarget_eval.sources import CLIPS, LONG, join
from .retarget_eval.tasks import FREE, LOCKED

PARTS = ("judge", "trip", "time")
_TIMED = "mixamo"  # 65 bones
_THERE = ("mixamo", "metarig")  # rigs of the round trip
_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "motion_data"


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    options = _options(argv)
    if not (options.data / CLIPS[0].file).is_file():
        raise InputError(
            "bench_data_missing", f"The motion pack is not in {options.data}. Name its folder with --data, as it was unpacked."
        )
    blender = find_blender(options.blender or None)
    report = Report("retarget")
    makers = [LOCKED, FREE] if locks_feet() else [FREE]
    folders = {name: str(folder) for name, folder in ((ROKOKO, options.rokoko), (KEEMAP, options.keemap)) if folder}
    makers += [ROKOKO, DETECTED] if ROKOKO in folders else []
    makers += [KEEMAP] if KEEMAP in folders else []
    judged: results.Judged = {}
    with tempfile.TemporaryDirectory(prefix="motion-queue-bench-retarget-") as name:
        folder = Path(name)
        characters = {
            rig.name: _character(blender, rig, options.data, folder) for rig in RIGS if rig.name in {*options.rigs, _TIMED}
        }
        if "judge" in options.only:
            readings = ask(blender, folder, "readings", data=str(options.data), clips=options.clips)
            farthest = max(readings, key=lambda clip: readings[clip])
            report.add(
                "the judge's reading of clips against Blender's, farthest",
                1000 * readings[farthest],
                "mm",
                target=1.0,
                note=farthest,
            )
            for rig in (rig for rig in RIGS if rig.name in options.rigs):
                _say(f"{rig.title}.")
                judged[rig.name] = ask(
                    blender, folder, "judge", rig=rig.name, character=str(characters[rig.name]), data=str(options.data),
                    clips=options.clips, makers=makers, peer_folders=folders,
                )  # fmt: skip
                results.show(rig.name, judged[rig.name], makers)
            results.measure(report, judged, makers)
        if "trip" in options.only:
            trips = {
                rig: ask(
                    blender, folder, "trip", rig=rig, character=str(characters[rig]), data=str(options.data), clips=options.clips,
                    work=str(folder),
                )
                for rig in options.rigs
                if rig in _THERE
            }  # fmt: skip
            results.measure_trips(report, trips)
        if "time" in options.only:
            results.measure_times(report, _times(blender, folder, options, makers, folders, characters[_TIMED]))
    return report.finish()


def _character(blender: BlenderCommand, rig: RigTable, data: Path, folder: Path) -> Path:
    if rig.file:
        return data / rig.file
    target = folder / f"{rig.name}.blend"
    ask(blender, folder, "build", rig=rig.name, target=str(target))
    return target


def _times(
    blender: BlenderCommand,
    folder: Path,
    options: argparse.Namespace,
    makers: Sequence[str],
    peers: dict[str, str],
    character: Path,
) -> dict[str, Any]:
    """A long clip of a skeleton with fingers onto a rig with fingers."""
    parts = [options.data / part for part in LONG]
    long, short = folder / "long.bvh", folder / "short.bvh"
    join(parts, long, options.frames)
    join(parts, short, min(options.frames, options.frames // 10))
    return ask(
        blender, folder, "time", rig=_TIMED, character=str(character), clip=str(long), short=str(short), skeleton="cgspeed",
        rounds=options.rounds, makers=[maker for maker in makers if maker not in (FREE, DETECTED) or maker == makers[0]],
        peer_folders=peers,
    )  # fmt: skip


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mq.py bench retarget", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=_BESIDE, help="folder of the motion pack (default: beside the checkout)")
    parser.add_argument("--blender", default="", help="an installed Blender (default: the one that is found)")
    parser.add_argument("--rokoko", type=Path, help="folder of Rokoko Studio Live for Blender (default: left out)")
    parser.add_argument("--keemap", type=Path, help="folder of KeeMap (default: left out)")
    rigs, clips = [rig.name for rig in RIGS], [clip.name for clip in CLIPS]
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    parser.add_argument("--frames", type=int, default=3000, help="of the clip for times (default 3000)")
    parser.add_argument("--rounds", type=int, default=3, help="of the times, turn about (default 3)")
    parser.add_argument("--rigs", nargs="+", choices=rigs, default=rigs, help="only these")
    parser.add_argument("--clips", nargs="+", choices=clips, default=clips, help="only these")
    return parser.parse_args(argv)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(sys.argv[1:])
