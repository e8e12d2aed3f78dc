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

from ...backends.blender_find import find_blender
from ..cli.exit_codes import InputError
from .report import Report
from .retarget_eval import page, results
from .retarget_eval.blenders import ask
from .retarget_eval.ours import locks_feet
from .retarget_eval.peers import DETECTED, KEEMAP, ROKOKO
from .retarget_eval.rigs import RIGS, RigTable
from .retarget_eval.sources import CLIPS, LONG, join
from .retarget_eval.tasks import FREE, LOCKED

PARTS = ("judge", "trip", "pictures", "time")
_TIMED = "mixamo"  # 65 bones
_THERE = ("mixamo", "metarig")  # rigs of the round trip
_DRAWN = ("mixamo", "metarig", "kaykit", "quaternius")  # rigs with a picture, and those that peers are given
_COMPARED = ("walk", "kick", "walk100")  # clips that peers are given: they take long
_DRAWN_CLIPS = ("walk", "kick", "walk100", "turn", "pickup")
_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "motion_data"


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    options = _options(argv)
    if not (options.data / CLIPS[0].file).is_file():
        raise InputError(
            "bench_data_missing", f"The motion pack is not in {options.data}. Name its folder with --data, as it was unpacked."
        )
    report = Report("retarget")
    with tempfile.TemporaryDirectory(prefix="motion-queue-bench-retarget-") as name:
        bench = _Bench(options, Path(name), report)
        for part in (part for part in PARTS if part in options.only):
            getattr(bench, part)()
        if options.report is not None:
            options.report.mkdir(parents=True, exist_ok=True)
            page.write(options.report, report.measures, bench.judged, bench.makers, bench.compared, bench.drawn)
    return report.finish()


class _Bench:
    """What is measured of whom; a method for each part."""

    def __init__(self, options: argparse.Namespace, folder: Path, report: Report) -> None:
        self.options, self.folder, self.report = options, folder, report
        self.blender = find_blender(options.blender or None)
        self.peers = {name: str(path) for name, path in ((ROKOKO, options.rokoko), (KEEMAP, options.keemap)) if path}
        self.ours = [LOCKED, FREE] if locks_feet() else [FREE]
        self.makers = [*self.ours, *(m for m in (ROKOKO, DETECTED, KEEMAP) if (KEEMAP if m == KEEMAP else ROKOKO) in self.peers)]
        self.compared = [clip for clip in options.clips if clip in _COMPARED]
        self.judged: results.Judged = {}
        self.drawn: list[str] = []
        self.characters = {rig.name: self._character(rig) for rig in RIGS if rig.name in {*options.rigs, _TIMED}}

    def judge(self) -> None:
        options = self.options
        readings = self._ask("readings", clips=options.clips)
        farthest = max(readings, key=lambda clip: readings[clip])
        name = "the judge's reading of clips against Blender's, farthest"
        self.report.add(name, 1000 * readings[farthest], "mm", target=1.0, note=farthest)
        for rig in (rig for rig in RIGS if rig.name in options.rigs):
            _say(f"{rig.title}.")
            makers = self.makers if rig.name in _DRAWN else self.ours
            self.judged[rig.name] = self._ask(
                "judge", rig.name, clips=options.clips, peer_clips=self.compared, makers=makers, peer_folders=self.peers
            )
            results.show(rig.name, self.judged[rig.name], makers)
        results.measure(self.report, self.judged, self.makers)

    def trip(self) -> None:
        rigs = [rig for rig in self.options.rigs if rig in _THERE]
        trips = {rig: self._ask("trip", rig, clips=self.options.clips, work=str(self.folder)) for rig in rigs}
        results.measure_trips(self.report, trips)

    def pictures(self) -> None:
        if self.options.report is None:
            return
        images = self.options.report / "images"
        images.mkdir(parents=True, exist_ok=True)
        clips = [clip for clip in self.options.clips if clip in _DRAWN_CLIPS]
        for rig in (rig for rig in self.options.rigs if rig in _DRAWN):
            self._ask("sheet", rig, clips=clips, target=str((images / f"retarget-{rig}.png").absolute()))
            self.drawn.append(rig)

    def time(self) -> None:
        """A long clip of a skeleton with fingers onto a rig with fingers."""
        options = self.options
        parts = [options.data / part for part in LONG]
        long, short = self.folder / "long.bvh", self.folder / "short.bvh"
        join(parts, long, options.frames)
        join(parts, short, max(1, options.frames // 10))
        request = {"rig": _TIMED, "character": str(self.characters[_TIMED]), "clip": str(long), "short": str(short)}
        makers = [maker for maker in self.makers if maker != DETECTED]
        times = ask(
            self.blender, self.folder, "time", **request, skeleton="cgspeed", rounds=options.rounds, makers=makers,
            peer_folders=self.peers,
        )  # fmt: skip
        results.measure_times(self.report, times)

    def _ask(self, task: str, rig: str = "", **more: Any) -> dict[str, Any]:
        which = {"rig": rig, "character": str(self.characters[rig])} if rig else {}
        return ask(self.blender, self.folder, task, data=str(self.options.data), **which, **more)

    def _character(self, rig: RigTable) -> Path:
        if rig.file:
            return Path(self.options.data / rig.file)
        target = self.folder / f"{rig.name}.blend"
        ask(self.blender, self.folder, "build", rig=rig.name, target=str(target))
        return target


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mq.py bench retarget", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=_BESIDE, help="folder of the motion pack (default: beside the checkout)")
    parser.add_argument("--blender", default="", help="an installed Blender (default: the one that is found)")
    parser.add_argument("--rokoko", type=Path, help="folder of Rokoko Studio Live for Blender (default: left out)")
    parser.add_argument("--keemap", type=Path, help="folder of KeeMap (default: left out)")
    rigs, clips = [rig.name for rig in RIGS], [clip.name for clip in CLIPS]
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write retarget-report.md and images/ there")
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
