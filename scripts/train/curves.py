# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws what the logs of a training run hold: one picture, a row for each stage."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

# Of each stage, what shows how far it is: in training (lines) and on unseen clips (dots).
_SHOWN = {
    "vq": (("points", "path"), ("val_mpjpe_mm", "val_mpjpe_mm_first_level")),
    "refiner": (("speed", "path"), ("val_wrong", "val_wrong_refined", "val_decoded", "val_decoded_refined")),
    "tokens": (("codes",), ("val_codes",)),
}


def draw(folder: Path) -> None:
    """Write `curves.png` beside the logs."""
    stages = [name for name in _SHOWN if (folder / f"{name}.jsonl").exists()]
    figure, rows = pyplot.subplots(len(stages), 2, figsize=(10, 2.8 * len(stages)), squeeze=False)
    for (left, right), name in zip(rows, stages, strict=True):
        lines = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for axes, keys, style in ((left, _SHOWN[name][0], "-"), (right, _SHOWN[name][1], "o-")):
            for key in keys:
                points = [(line["step"], line[key]) for line in lines if key in line]
                if points:
                    axes.plot(*zip(*points, strict=True), style, label=key, markersize=3)
            axes.set_xlabel("step")
            axes.legend(frameon=False, fontsize=8)
            axes.grid(alpha=0.3)
        left.set_title(f"{name}: training", fontsize=9)
        right.set_title(f"{name}: unseen subjects", fontsize=9)
    figure.tight_layout()
    figure.savefig(folder / "curves.png", dpi=110)
    pyplot.close(figure)
