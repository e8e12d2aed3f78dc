# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -P -m motion_queue.scripts.train DATA --out DIR`: everything from the captioned clips to the exported weights."""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

import torch

from . import curves, data, export, loop
from .config import PRESETS, Config
from .networks import Body
from .stages import Norm, RefinerStage, TokenStage, VqStage, tokenise


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="train", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with motions.npz and captions.jsonl")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for checkpoints, logs, curves and model.safetensors; a run there is resumed",
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu", help="sizes of networks and training (default: cpu)")
    parser.add_argument("--seed", type=int, help="other weights from the same data (default: the preset's)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads (default: all)")
    parser.add_argument("--until", choices=("vq", "refiner", "tokens"), default="tokens", help="stop after this stage")
    args = parser.parse_args(arguments)
    for name in ("motions.npz", "captions.jsonl"):
        if not (args.data / name).is_file():
            parser.error(f"{args.data} has no {name}: give the folder of the motion data")
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    args.out.mkdir(parents=True, exist_ok=True)
    config = PRESETS[args.preset]
    if args.seed is not None:
        config = Config(**(config.to_json() | {"seed": args.seed}))
    _same_run(args.out / "config.json", config, parser)
    return train(config, args.data, args.out, until=args.until)


def train(config: Config, folder: Path, out: Path, *, until: str) -> int:
    """All stages in order; those that are done are only loaded."""
    report("reading the data")
    training, val = data.load(folder, "train", augment=True), data.load(folder, "val", augment=False)
    norm = Norm.of(training, Body())
    run = partial(loop.run, folder=out, seed=config.seed, report=report)

    def begin(stage: int) -> None:
        """A network's first weights depend on seed and stage alone, not on what was trained before it in this process."""
        torch.manual_seed(config.seed * 1_009 + stage)

    begin(1)
    vq_stage = VqStage(config, training, val, norm)
    vq = run(vq_stage)
    curves.draw(out)
    if until == "vq":
        return 0
    vq_stage.network = vq
    begin(2)
    refiner_stage = RefinerStage(config, training, val, norm, vq_stage)
    refiner = run(refiner_stage)
    curves.draw(out)
    if until == "refiner":
        return 0
    report("writing the codes of all clips")
    words = data.vocabulary([training])
    begin(3)
    coded = tokenise(training, vq, norm)
    tokens_stage = TokenStage(config, training, val, words, coded, tokenise(val, vq, norm, phases=(0,)))
    tokens = run(tokens_stage)
    curves.draw(out)
    export.write(out / "model.safetensors", config, norm, words, training, coded, vq=vq, tokens=tokens, refiner=refiner)
    report(f"wrote {out / 'model.safetensors'}")
    return 0


def _same_run(path: Path, config: Config, parser: argparse.ArgumentParser) -> None:
    """A folder belongs to one configuration: going on with another would mix two models."""
    now = config.to_json()
    if path.exists():
        before = json.loads(path.read_text("utf-8"))
        if before != now:
            changed = sorted(k for k in now if before.get(k) != now[k])
            parser.error(f"{path.parent} holds a run with other settings ({', '.join(changed)}): give another --out")
    path.write_text(json.dumps(now, indent=1) + "\n", "utf-8")


def report(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
