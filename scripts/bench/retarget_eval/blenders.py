# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts a Blender for each task of the benchmark and waits for its answer. Knows nothing of what is asked."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ....backends.blender_find import BlenderCommand

_SCRIPT = Path(__file__).with_name("inside.py")
_LIMIT = 1800.0  # seconds; against hanging only
_SHOWN = 3000  # characters of what a Blender complained


def ask(blender: BlenderCommand, folder: Path, task: str, **arguments: Any) -> dict[str, Any]:
    """Have a new Blender do `task` with JSON arguments. `RuntimeError` with its last words where it does not."""
    with tempfile.TemporaryDirectory(prefix=f"{task}-", dir=folder) as name:
        request, answer, log = (Path(name) / part for part in ("request.json", "answer.json", "log.txt"))
        request.write_text(json.dumps({"task": task, **arguments}), encoding="utf-8")
        with log.open("wb") as stream:
            subprocess.run(
                blender.argv(_SCRIPT, [str(request), str(answer)]),
                stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, timeout=_LIMIT, check=False,
            )  # fmt: skip
        said = log.read_text(encoding="utf-8", errors="replace")[-_SHOWN:]
        if not answer.is_file():
            raise RuntimeError(f"Blender ended without an answer to {task!r}:\n{said}")
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in found:
        raise RuntimeError(f"{task!r} in Blender: {found['error']}\n{said}")
    return found
