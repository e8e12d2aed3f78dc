# SPDX-License-Identifier: GPL-3.0-or-later
"""How good generated motion is: by geometry, learned judges, distributions and memory, beside real clips and retrieval.

Everything is measured of the generator and of the baselines in the same run. Needs the motion pack; the judges need torch, the
pictures matplotlib (`scripts/train/requirements.txt`). `--report FOLDER` writes `generation-report.md` with pictures there.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...queue.errors import MotionQueueError
from ..cli.exit_codes import InputError
from .generate_eval import pack, page, studies
from .generate_eval.makers import Maker, Model, Retrieval
from .report import Report

PARTS = ("checks", "wordings", "prompts", "real", "speed")
_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "motion_data"


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    options = _options(argv)
    for module in ("torch", "matplotlib"):
        if importlib.util.find_spec(module) is None:
            raise InputError(
                "bench_module_missing",
                f"The evaluation of motion needs {module}, which this Python lacks: "
                f"{sys.executable} -m pip install -r scripts/train/requirements.txt",
            )
    import torch  # noqa: PLC0415

    from .generate_eval.judges import Judges  # noqa: PLC0415

    torch.set_num_threads(options.threads)
    begin = time.perf_counter()
    report = Report("generate")
    clips = pack.read(options.data)
    only = options.only
    makers: list[Maker] = [Retrieval(clips)]
    missing = ""
    try:
        makers.append(Model(options.weights))
    except MotionQueueError as error:
        if options.weights is not None or error.code != "weights_missing":
            raise
        missing = "no weights were there"
        _say(f"Only the baselines are measured. {error.message}")
    results = studies.Results(missing=missing, seeds=options.seeds)
    if "real" in only or "prompts" in only:
        judges = Judges.trained(clips, options.cache, _say)
        results.real = studies.real(clips, judges, report)
    if "checks" in only:
        results.errors = studies.check_errors(clips, report)
        for maker in makers:
            _say(f"The twenty prompts: {maker.name}.")
            results.checked[maker.name] = studies.check(maker, options.prompts, options.seeds, report)
    if "wordings" in only:
        for maker in makers:
            _say(f"The twenty in other words: {maker.name}.")
            results.reworded[maker.name] = studies.reword(maker, options.prompts, report)
    if "prompts" in only:
        studies.compare(makers, clips, judges, results, report, say=_say)
    if "speed" in only and not missing:
        from .generate_eval import speed  # noqa: PLC0415

        speed.measure(report, options.weights)
    results.seconds = time.perf_counter() - begin
    if options.report is not None:
        page.write(options.report, results, report.measures)
    return report.finish()


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mq.py bench generate", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=_BESIDE, help="folder of the motion pack (default: beside the checkout)")
    parser.add_argument("--weights", type=Path, help="of the model (default: the shipped ones)")
    parser.add_argument("--seeds", type=int, default=10, help="motions for each of the twenty prompts (default 10)")
    parser.add_argument("--prompts", nargs="+", default=[], metavar="NAME", help="only these of the twenty, by name or number")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    parser.add_argument("--cache", type=Path, help="folder that keeps the trained judges for the next run")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1: the judges are small)")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write generation-report.md and images/ there")
    options = parser.parse_args(argv)
    if options.seeds < 1:
        parser.error("--seeds has to be at least 1")
    return options


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(sys.argv[1:])
