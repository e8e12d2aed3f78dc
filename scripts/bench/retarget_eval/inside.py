# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside a Blender of the benchmark: does what a request asks and writes the answer, both JSON files.

Started by its path: the package is loaded from the checkout, under its own name, as in the children of the queue.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path

_ROOT = Path(__file__).absolute().parents[3]


def main() -> None:
    """Does not return: a Blender module need not be torn down, and some versions do not survive it."""
    request_file, answer_file = (Path(word) for word in sys.argv[-2:])
    try:
        request = json.loads(request_file.read_text(encoding="utf-8"))
        spec = importlib.util.spec_from_file_location("child_main", _ROOT / "backends" / "child_main.py")
        assert spec is not None and spec.loader is not None
        child_main = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(child_main)
        child_main.load_package(_ROOT)
        tasks = importlib.import_module("motion_queue.scripts.bench.retarget_eval.tasks")
        answer = getattr(tasks, f"do_{request.pop('task')}")(**request)
    except Exception as error:  # whatever it is, the benchmark has to say it
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}"}
    answer_file.write_text(json.dumps(answer), encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


main()
