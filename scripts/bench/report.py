# SPDX-License-Identifier: GPL-3.0-or-later
"""How every benchmark says what it measured: JSON lines for programs, and at the end a table for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TextIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure. `target` is None where there is none; `at_most` says on which side of it the value has to lie."""

    bench: str
    measure: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = True
    peers: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def ok(self) -> bool | None:
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target

    def to_json(self) -> dict[str, Any]:
        return {
            "bench": self.bench,
            "measure": self.measure,
            "value": _rounded(self.value),
            "unit": self.unit,
            "target": self.target,
            "ok": self.ok,
            "peers": {name: _rounded(value) for name, value in self.peers.items()},
            **({"note": self.note} if self.note else {}),
        }


class Report:
    """Prints each measure as it comes."""

    def __init__(self, bench: str, out: TextIO | None = None) -> None:
        self.bench = bench
        self._out = out or sys.stdout
        self.measures: list[Measure] = []

    def add(self, measure: str, value: float, unit: str, **more: Any) -> Measure:
        made = Measure(bench=self.bench, measure=measure, value=value, unit=unit, **more)
        self.measures.append(made)
        print(json.dumps(made.to_json()), file=self._out, flush=True)
        return made

    def finish(self) -> list[dict[str, Any]]:
        """The table, and everything as JSON values."""
        print("\n" + table(self.measures), file=self._out, flush=True)
        return [measure.to_json() for measure in self.measures]


def table(measures: Sequence[Measure]) -> str:
    rows = [("measure", "value", "target", "", "peers")]
    for m in measures:
        side = "≤" if m.at_most else "≥"
        target = "" if m.target is None else f"{side} {_text(m.target)} {m.unit}"
        verdict = {None: "", True: "ok", False: "MISS"}[m.ok]
        peers = ", ".join(f"{name} {_text(value)}" for name, value in m.peers.items())
        rows.append((m.measure, f"{_text(m.value)} {m.unit}", target, verdict, peers + (f"  {m.note}" if m.note else "")))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip() for row in rows
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; `share` in 0–1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def middle(values: Sequence[float]) -> float:
    return float(median(values))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}") if math.isfinite(value) else value


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
