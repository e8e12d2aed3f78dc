# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows how jobs go: bars that are redrawn in place on a terminal, plain lines elsewhere, or one JSON object a line.

Knows `Row` values and a stream, no engine. The same calls serve all three; what each shows is its own business.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

REDRAW = 0.1  # seconds between redraws at most
_WAITING = ("queued", "paused")
_OVER = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One job as it is shown."""

    id: str
    label: str
    state: str
    progress: float = 0.0  # 0–1
    stage: str = ""
    eta_seconds: float | None = None
    eta_is_guess: bool = True
    degraded: str = ""
    note: str = ""  # worth knowing though nothing failed: "not used: juggles"
    error_code: str = ""
    error_message: str = ""
    log: str = ""
    output_dir: str = ""
    seconds: float = 0.0  # time at work

    @property
    def over(self) -> bool:
        return self.state in _OVER

    @property
    def bad(self) -> bool:
        return self.over and (self.state != "completed" or bool(self.degraded))

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {"id": self.id, "label": self.label, "state": self.state, "progress": round(self.progress, 4)}
        value |= {
            "stage": self.stage,
            "eta_seconds": None if self.eta_seconds is None else round(self.eta_seconds, 1),
            "eta_is_guess": self.eta_is_guess,
            "note": self.note,
        }
        if self.over:
            value |= {"output_dir": self.output_dir, "seconds": round(self.seconds, 3), "degraded": self.degraded}
            value["error"] = (
                {"code": self.error_code, "message": self.error_message, "log": self.log} if self.error_code else None
            )
        return value


class Display(Protocol):
    def changed(self, row: Row, before: Row | None) -> None:
        """A job changed; `before` is how it was shown last."""

    def tick(self, rows: Mapping[str, Row]) -> None:
        """Draw, if it is time to."""

    def note(self, text: str) -> None:
        """A line for people."""

    def close(self, rows: Mapping[str, Row]) -> None:
        """The last picture stays."""


def make_display(stream: TextIO, *, as_json: bool) -> Display:
    """The display that fits the stream."""
    if as_json:
        return JsonLines(stream)
    if stream.isatty() and os.environ.get("TERM", "") != "dumb":
        return Bars(stream)
    return PlainLines(stream)


class JsonLines:
    """`{"event": "job", …}` on each change of state and each percent, `{"event": "summary", …}` at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def _put(self, value: Mapping[str, Any]) -> None:
        print(json.dumps(value, ensure_ascii=False), file=self._stream, flush=True)

    def changed(self, row: Row, before: Row | None) -> None:
        if (
            before is None
            or before.state != row.state
            or before.stage != row.stage
            or int(100 * before.progress) != int(100 * row.progress)
        ):
            self._put({"event": "job", **row.to_json()})

    def tick(self, rows: Mapping[str, Row]) -> None:
        """Nothing: lines are written as things change."""

    def note(self, text: str) -> None:
        self._put({"event": "note", "message": text})

    def close(self, rows: Mapping[str, Row]) -> None:
        self._put({"event": "summary", **summary(rows.values())})


class PlainLines:
    """A line for each change of state and each tenth of progress."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tenths: dict[str, int] = {}

    def changed(self, row: Row, before: Row | None) -> None:
        if before is None or before.state != row.state:
            self._tenths[row.id] = int(10 * row.progress)
            self.note(outcome(row) if row.over else f"{row.label}: {row.state}{_noted(row) if before is None else ''}")
        elif row.state == "running" and int(10 * row.progress) > self._tenths.get(row.id, 0):
            self._tenths[row.id] = int(10 * row.progress)
            self.note(f"{row.label}: {10 * self._tenths[row.id]} % {row.stage}{_left(row, ', {} left')}")

    def tick(self, rows: Mapping[str, Row]) -> None:
        """Nothing: lines are written as things change."""

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self, rows: Mapping[str, Row]) -> None:
        self._tenths.clear()
        self.note(sentence(rows.values()))


class Bars:
    """A bar for each running job below what has scrolled by, and a line that counts."""

    def __init__(
        self,
        stream: TextIO,
        *,
        size: Callable[[], tuple[int, int]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._size: Callable[[], tuple[int, int]] = size or shutil.get_terminal_size
        self._clock = clock
        self._drawn: list[str] = []  # the lines below the scrolled ones, as they were written
        self._pending: list[str] = []  # lines that scroll by with the next redraw
        self._last = float("-inf")
        self._colour = "NO_COLOR" not in os.environ
        encoding = (getattr(stream, "encoding", "") or "").lower().replace("-", "")
        self._signs = (
            ("━", "─", "✓", "✗", "!", "…", "·") if encoding.startswith("utf") else ("#", "-", "ok", "FAILED", "!", ".", "|")
        )

    def changed(self, row: Row, before: Row | None) -> None:
        if row.over and (before is None or before.state != row.state):
            _, _, good, bad, warn, _, _ = self._signs
            sign, colour = (bad, "31") if row.state != "completed" else ((warn, "33") if row.degraded else (good, "32"))
            self.note(f"{self._paint(sign, colour)} {outcome(row)}")

        elif before is None and row.note:
            # At once, not with the result: who reads it in time can cancel and say it otherwise.
            self.note(f"{self._paint(self._signs[4], '33')} {row.label}{_noted(row)}")

    def note(self, text: str) -> None:
        self._pending.extend(text.splitlines() or [""])

    def tick(self, rows: Mapping[str, Row]) -> None:
        now = self._clock()
        if now - self._last >= REDRAW:
            self._last = now
            self._draw(self.lines(rows))

    def close(self, rows: Mapping[str, Row]) -> None:
        self.note(sentence(rows.values()))
        self._draw([])

    def lines(self, rows: Mapping[str, Row]) -> list[str]:
        """The picture: one line for each job at work, as many as fit, and one that counts. No line is wider than the screen."""
        columns, height = self._size()
        width = max(20, columns - 1)  # the last column is left free: writing there wraps on some terminals
        working = [row for row in rows.values() if row.state in ("running", "stopping")]
        shown = working[: max(1, height - 2)]
        lines = [self._bar(row, width) for row in shown]
        done = sum(row.over for row in rows.values())
        parts = [f"{done} of {len(rows)} done"]
        failed = sum(row.bad for row in rows.values())
        if failed:
            parts.append(f"{failed} not as asked")
        if len(working) > len(shown):
            parts.append(f"{len(working)} running, {len(shown)} shown")
        waiting = sum(row.state in _WAITING for row in rows.values())
        if waiting:
            parts.append(f"{waiting} waiting")
        lines.append(fit(f" {self._signs[6]} ".join(parts), width))
        return lines

    def _bar(self, row: Row, width: int) -> str:
        full, empty, _, _, _, _, _ = self._signs
        left = _left(row, "{} left")
        percent = f"{int(100 * row.progress):3d} %"
        name_width = min(28, max(8, width // 4))
        # What does not fit goes, the least needed first: the bar, then the time left, then the stage.
        stage_width = 26 if width >= 84 else 18 if width >= 64 else 0
        left_width = 13 if width >= 40 else 0
        bar_width = min(40, width - name_width - stage_width - left_width - len(percent) - 4)
        parts = [pad(row.label, name_width)]
        if stage_width:
            parts.append(pad("stopping" if row.state == "stopping" else row.stage, stage_width))
        if bar_width >= 5:
            cells = min(bar_width, int(bar_width * row.progress + 0.5))
            parts.append(self._paint(full * cells, "36") + self._paint(empty * (bar_width - cells), "90"))
        parts.append(percent)
        if left_width and left:
            parts.append(left)
        return " ".join(parts)

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and text else text

    def _draw(self, lines: list[str]) -> None:
        if lines == self._drawn and not self._pending:
            return
        columns = max(1, self._size()[0])
        # A terminal that became narrower has wrapped the old lines: go up by what they take now.
        up = sum(max(1, -(-visible_width(line) // columns)) for line in self._drawn)
        out = [f"\x1b[{up}F" if up else "", "\x1b[J"]
        out += [f"{line}\n" for line in self._pending]
        out += [f"{line}\n" for line in lines]
        self._pending.clear()
        self._drawn = lines
        self._stream.write("".join(out))
        self._stream.flush()


# --- texts --------------------------------------------------------------------------------------------------------------


def outcome(row: Row) -> str:
    """How a job ended, in a line or two."""
    if row.state == "completed":
        text = f"{row.label}: completed in {duration(row.seconds)}"
        if row.output_dir:
            text += f", in {row.output_dir}"
        return f"{text} (degraded: {row.degraded}){_noted(row)}" if row.degraded else f"{text}{_noted(row)}"
    if row.state == "cancelled":
        return f"{row.label}: cancelled"
    text = f"{row.label}: failed: {row.error_message} [{row.error_code}]"
    return f"{text}\n  log: {row.log}" if row.log else text


def summary(rows: Iterable[Row]) -> dict[str, int]:
    """How many jobs ended how."""
    counts = {"jobs": 0, "completed": 0, "degraded": 0, "failed": 0, "cancelled": 0, "unfinished": 0}
    for row in rows:
        counts["jobs"] += 1
        counts[row.state if row.over else "unfinished"] += 1
        counts["degraded"] += row.state == "completed" and bool(row.degraded)
    return counts


def sentence(rows: Iterable[Row]) -> str:
    counts = summary(rows)
    names = ("completed", "degraded", "failed", "cancelled", "unfinished")
    parts = [f"{counts[name]} {name}" for name in names if counts[name] or name == "completed"]
    return f"{counts['jobs']} job{'' if counts['jobs'] == 1 else 's'}: {', '.join(parts)}."


def duration(seconds: float) -> str:
    """`8.2 s`, `1:05`, `2:03:09`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _noted(row: Row) -> str:
    return f" ({row.note})" if row.note else ""


def _left(row: Row, form: str) -> str:
    if row.eta_seconds is None:
        return ""
    about = "~" if row.eta_is_guess else ""
    return form.format(about + duration(max(1.0, round(row.eta_seconds))))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns padded to their widest cell, by what a terminal shows."""
    if not rows:
        return []
    widths = [max(visible_width(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def visible_width(text: str) -> int:
    """Columns a text takes on a terminal: colours none, wide characters two, combining ones none."""
    width, at = 0, 0
    while at < len(text):
        if text[at] == "\x1b":
            end = text.find("m", at)
            at = len(text) if end < 0 else end + 1
            continue
        width += _cell(text[at])
        at += 1
    return width


def fit(text: str, width: int) -> str:
    """The text, cut to `width` columns with an ellipsis; control characters become `?`, so that no label moves the cursor."""
    text = "".join(char if char.isprintable() else "?" for char in text)
    if visible_width(text) <= width:
        return text
    used, kept = 0, []
    for char in text:
        if used + _cell(char) > width - 1:
            break
        used += _cell(char)
        kept.append(char)
    return "".join(kept) + "…"


def pad(text: str, width: int) -> str:
    text = fit(text, width)
    return text + " " * (width - visible_width(text))


def _cell(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
