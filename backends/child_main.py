# SPDX-License-Identifier: GPL-3.0-or-later
"""First code of a child process, run as a script by a plain Python, by a Python that has bpy, or by `blender --python`.

It takes the protocol's descriptor out of everybody else's reach, loads this package by its path (inside a Blender it is not
installed, and as an extension it has another name), and hands over to `child_loop`. Standard library only.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = "motion_queue"


def load_package(root: Path) -> ModuleType:
    """Load the package whose folder is `root` under its own name, without putting anything on sys.path."""
    spec = importlib.util.spec_from_file_location(PACKAGE, root / "__init__.py", submodule_search_locations=[str(root)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{root} is no Python package")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)
    return package


def main() -> None:
    """Serve jobs until the parent is gone or says so. Does not return: it ends the process."""
    # Before anything else can print: the protocol gets a descriptor of its own that no grandchild inherits, and whatever
    # writes to "standard output" from here on, in Python or in C, goes to standard error.
    protocol = os.dup(1)
    os.dup2(2, 1)
    config = json.loads(sys.argv[-1])
    load_package(Path(__file__).resolve().parents[1])
    loop = importlib.import_module(f"{PACKAGE}.backends.child_loop")
    loop.serve(config, protocol)


if __name__ == "__main__":
    main()
