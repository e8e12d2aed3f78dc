# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a jobs file inside a Blender in the background.

    blender --background [FILE.blend] --python scripts/batch.py -- JOBS.json --out DIR --state DIR

The same code path as `mq.py run --jobs`; the package is loaded by path under the name motion_queue, so that nothing has to be
installed and nothing is put on sys.path. Blender's own exit code is always 0 after a script, so the process is ended here.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from pathlib import Path


def _load_package() -> None:
    """Make `motion_queue` importable: the extension's folder or the checkout, whichever this file is in."""
    root = Path(__file__).resolve().parents[1]
    if "motion_queue" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location("motion_queue", root / "__init__.py", submodule_search_locations=[str(root)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["motion_queue"] = module
    spec.loader.exec_module(module)


def main(argv: list[str]) -> int:
    """Run one command line (what stands after `--`); its exit code."""
    _load_package()
    from motion_queue.scripts.cli import arguments  # noqa: PLC0415
    from motion_queue.scripts.cli import main as cli  # noqa: PLC0415

    try:
        args = arguments.batch_parser().parse_args(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    return cli.guarded(args)


def _end(code: int) -> None:
    """End the process with this code, whatever Blender would make of it. All our threads and children are gone by now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    exit_code = 1
    try:
        exit_code = main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else [])
    except BaseException:  # Blender would print it and end with 0
        traceback.print_exc()
    finally:
        _end(exit_code)
