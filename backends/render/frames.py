# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of rendered frames: only whole ones count, and only those of the same picture. Knows files, no Blender.

A frame is rendered under another name and renamed when it is whole, so a crash leaves no half picture behind. The folder says
what its frames show (a fingerprint of settings and inputs); frames of anything else are thrown away, never mixed in.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_LABEL = "frames.json"
_PARTIAL = "partial"


class FrameFolder:
    """Frames are named by their number: 0001.png."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Open or make the folder; empty it when it holds frames of something else."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        label = folder / _LABEL
        if self._label(label) != fingerprint:
            for path in folder.iterdir():
                path.unlink()
            waiting = label.with_suffix(".tmp")
            waiting.write_text(json.dumps({"version": 1, "fingerprint": fingerprint}), encoding="utf-8")
            waiting.replace(label)

    def path(self, frame: int) -> Path:
        return self._folder / f"{frame:04d}.png"

    @property
    def partial(self) -> str:
        """Where a frame is rendered to before it is whole; Blender puts the frame's number in place of the marks."""
        return str(self._folder / f"{_PARTIAL}_####")

    def take(self, frame: int) -> None:
        """The frame was rendered: from now on it counts. Raises OSError when there is no whole picture."""
        path = self._folder / f"{_PARTIAL}_{frame:04d}.png"
        if not _is_whole(path):
            raise OSError(f"{path.name} is no whole picture")
        path.replace(self.path(frame))

    def whole(self, frames: range) -> set[int]:
        """Which of these frames are there. A file that is not whole (power was lost) does not count."""
        present = {int(p.stem) for p in self._folder.glob("*.png") if p.stem.isdigit()}
        return {f for f in frames if f in present and _is_whole(self.path(f))}

    @staticmethod
    def _label(path: Path) -> str:
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return ""
        return str(value.get("fingerprint", "")) if isinstance(value, dict) else ""


def _is_whole(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            if file.read(8) != _PNG_START:
                return False
            file.seek(-8, os.SEEK_END)
            return file.read(8) == _PNG_END
    except (FileNotFoundError, OSError):
        return False
