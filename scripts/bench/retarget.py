# SPDX-License-Identifier: GPL-3.0-or-later
"""How good and how fast retargeting is, by a judge that looks at the finished armatures in Blender, beside the tools people use.

Needs the motion pack. Peers are run where their folders are given (`--rokoko`, `--keemap`: checkouts of their repositories), in the
same Blender on the same clips and rigs; nothing of them is in the project. `--report FOLDER` writes a page with pictures there.
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
from .retarget_eval import results
from .retarget_eval.blenders import ask
from .retarget_eval.ours import locks_feet
from .retarget_eval.rigs import RIGS
from .retarget_eval.sources import CLIPS
from .retarget_eval.tasks import FREE, LOCKED

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
    judged: results.Judged = {}
    with tempfile.TemporaryDirectory(prefix="motion-queue-bench-retarget-") as name:
        folder = Path(name)
        for rig in (rig for rig in RIGS if rig.name in options.rigs):
            character = options.data / rig.file if rig.file else folder / f"{rig.name}.blend"
            if not rig.file:
                ask(blender, folder, "build", rig=rig.name, target=str(character))
            _say(f"{rig.title}.")
            judged[rig.name] = ask(
                blender, folder, "judge", rig=rig.name, character=str(character), data=str(options.data), clips=options.clips,
                makers=makers, peers={},
            )  # fmt: skip
            results.show(rig.name, judged[rig.name], makers)
    results.measure(report, judged, makers)
    return report.finish()


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mq.py bench retarget", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=_BESIDE, help="folder of the motion pack (default: beside the checkout)")
    parser.add_argument("--blender", default="", help="an installed Blender (default: the one that is found)")
    rigs, clips = [rig.name for rig in RIGS], [clip.name for clip in CLIPS]
    parser.add_argument("--rigs", nargs="+", choices=rigs, default=rigs, help="only these")
    parser.add_argument("--clips", nargs="+", choices=clips, default=clips, help="only these")
    return parser.parse_args(argv)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(sys.argv[1:])
