# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws motions as stick figures, a row each: eight moments side by side, seen at an angle, and the path from above.

Needs matplotlib. Left limbs are blue, right ones orange; the line is the floor, the arrow where the body faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....motion.quat import Array
from .body import JOINTS, PARENTS, Track

LEFT, RIGHT, MIDDLE = "#1f6fd6", "#e8710a", "#3c4043"
_POSES = 8
_YAW, _PITCH = np.radians(50.0), np.radians(12.0)  # of the view: the figure at the start looks to the front and its left


def sheet(rows: Sequence[tuple[str, Track]], path: Path) -> None:
    """One picture with a row for each (title, track)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(14.0, 2.5 * len(rows)), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(6.2, 1.0))
    for (title, source), (strip, plan) in zip(rows, axes, strict=True):
        _strip(strip, source, title)
        _plan(plan, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def matrix(values: Array, rows: Sequence[str], columns: Sequence[str], path: Path, title: str) -> None:
    """Shares 0–1 as a table of grey cells; NaN stays empty."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(2.5 + 0.5 * len(columns), 2.2 + 0.36 * len(rows)), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.imshow(values, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            if np.isfinite(value) and value > 0.004:
                colour = "white" if value > 0.6 else "black"
                axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(len(columns)), columns, rotation=60, ha="right")
    axis.set_yticks(range(len(rows)), rows)
    axis.set_title(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def spreads(groups: Sequence[tuple[str, Sequence[float]]], path: Path, title: str, label: str) -> None:
    """Values of each group as dots over a box."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9.0, 0.9 + 0.6 * len(groups)), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    chance = np.random.default_rng(0)
    for row, (_, values) in enumerate(groups):
        kept = np.asarray([v for v in values if np.isfinite(v)])
        axis.plot(kept, row + chance.uniform(-0.18, 0.18, len(kept)), ".", color=LEFT, alpha=0.4, markersize=5)
        if len(kept):
            axis.plot(np.percentile(kept, [25, 75]), [row, row], color=MIDDLE, linewidth=3)
            axis.plot([np.median(kept)], [row], "o", color=RIGHT)
    axis.set_yticks(range(len(groups)), [name for name, _ in groups])
    axis.invert_yaxis()
    axis.set_xlabel(label)
    axis.set_xlim(left=0.0)
    axis.set_title(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _strip(axis: Any, source: Track, title: str) -> None:
    moments = np.unique(np.linspace(0, len(source) - 1, _POSES).round().astype(int))
    step = 1.35
    base = float(source.heading[0])
    for column, frame in enumerate(moments):
        joints = source.joints[frame] - source.joints[frame, 0] * np.array([1.0, 0.0, 1.0])
        x, y = _seen(joints, base)
        x = x + step * column
        for joint, parent in enumerate(PARENTS):
            if parent >= 0:
                name = JOINTS[joint]
                colour = LEFT if name.startswith("l_") else RIGHT if name.startswith("r_") else MIDDLE
                axis.plot(x[[parent, joint]], y[[parent, joint]], color=colour, linewidth=2.0, solid_capstyle="round")
        head = JOINTS.index("head")
        axis.plot([x[head]], [y[head] + 0.08], "o", color=MIDDLE, markersize=8)
        angle = float(source.heading[frame])
        tip = np.array([[0.0, 0.0, 0.0], [0.45 * np.sin(angle), 0.0, 0.45 * np.cos(angle)]])
        ax, ay = _seen(tip, base)
        axis.annotate(
            "", (ax[1] + step * column, ay[1]), (ax[0] + step * column, ay[0]),
            arrowprops={"arrowstyle": "-|>", "color": "#888888", "linewidth": 1.2},
        )  # fmt: skip
        axis.text(step * column, -0.42, f"{frame / 30.0:.1f} s", ha="center", fontsize=8, color="#666666")
    axis.axhline(0.0, color="#bbbbbb", linewidth=1.0, zorder=0)
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_xlim(-0.9, step * (_POSES - 1) + 0.9)
    axis.set_ylim(-0.5, max(2.05, float(source.joints[moments, :, 1].max()) + 0.3))
    axis.set_aspect("equal")
    axis.axis("off")


def _seen(points: Array, base: float) -> tuple[Array, Array]:
    """Across and up on the picture, of a camera before the body as it faced at the start, a little to its left and above."""
    turn = _YAW - base
    x = np.cos(turn) * points[:, 0] + np.sin(turn) * points[:, 2]
    depth = np.cos(turn) * points[:, 2] - np.sin(turn) * points[:, 0]
    return x, np.cos(_PITCH) * points[:, 1] - np.sin(_PITCH) * depth


def _plan(axis: Any, source: Track) -> None:
    """From above: the start's heading points up, left is left."""
    cos, sin = np.cos(source.heading[0]), np.sin(source.heading[0])
    path = source.joint("pelvis") - source.joints[0, 0]
    left = cos * path[:, 0] - sin * path[:, 2]
    ahead = sin * path[:, 0] + cos * path[:, 2]
    axis.plot(-left, ahead, color=MIDDLE, linewidth=1.5)
    axis.plot([0.0], [0.0], "o", color="#2a9d4a", markersize=5)
    size = max(1.0, float(np.abs(np.concatenate([left, ahead])).max()))
    for frame in np.unique(np.linspace(0, len(source) - 1, 6).round().astype(int)):
        angle = float(source.heading[frame] - source.heading[0])
        axis.annotate(
            "", (-left[frame] - 0.22 * size * np.sin(angle), ahead[frame] + 0.22 * size * np.cos(angle)),
            (-left[frame], ahead[frame]), arrowprops={"arrowstyle": "->", "color": "#888888"},
        )  # fmt: skip
    middle_x, middle_y = 0.5 * (-left.max() - left.min()), 0.5 * (ahead.max() + ahead.min())
    half = 0.65 * max(1.2, float(np.ptp(left)), float(np.ptp(ahead))) + 0.25
    axis.set_xlim(middle_x - half, middle_x + half)
    axis.set_ylim(middle_y - half, middle_y + half)
    axis.set_aspect("equal")
    axis.set_title("from above, m", fontsize=8)
    axis.tick_params(labelsize=7)
