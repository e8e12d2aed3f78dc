#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one entry: `python3 scripts/mq.py run CLIP.bvh --out DIR`, `python3 scripts/mq.py test`, and the rest.

Needs nothing but the standard library. It only finds `bootstrap.py` beside it, which sets the machine up on first use; it
must not know what the sub-commands do. It parses on old Pythons too, so that those get a sentence and no syntax error.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def main():  # type: () -> int
    if sys.version_info < (3, 11):  # noqa: UP036 (the sentence is for exactly those)
        found = "%d.%d" % sys.version_info[:2]  # noqa: UP031
        sys.stderr.write(
            "mq.py: this is Python " + found + ", which has no Blender module. Python 3.11 (Blender 4.5 LTS) and Python 3.13 "
            "(Blender 5.2 LTS) fit: run `python3.11 scripts/mq.py …` or `python3.13 scripts/mq.py …`. [python_unsupported]\n"
        )
        return 2
    here = Path(__file__).resolve().parent
    # Neither this folder nor the checkout may be searched for modules: queue/ would hide the standard library's queue.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() not in (here, here.parent)]
    spec = importlib.util.spec_from_file_location("motion_queue_bootstrap", here / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    bootstrap = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = bootstrap
    spec.loader.exec_module(bootstrap)
    return int(bootstrap.main(sys.argv[1:]))


if __name__ == "__main__":
    raise SystemExit(main())
