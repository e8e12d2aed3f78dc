# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools for the tests of published models, and the checkouts that the environment names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from motion_queue.backends.children import ChildPool, ChildSettings
from motion_queue.backends.published.model import PublishedModel, Which
from motion_queue.tests.children.support import own_descendants, wait_gone

VARIABLES = {Which.MOMASK: "MOTION_QUEUE_MOMASK", Which.MOMASK_PLUS: "MOTION_QUEUE_SNAPMOGEN"}
PYTHON_VARIABLE = "MOTION_QUEUE_MODELS_PYTHON"  # an interpreter with what the checkouts need; else the one of the tests
MAKE = Path(__file__).resolve().parent / "make_checkpoints.py"


class Installed(NamedTuple):
    """A checkout and small checkpoints with random weights in the published layout."""

    which: Which
    checkout: Path
    python: str
    folder: Path

    def model(self, **changes: Any) -> PublishedModel:
        names = ("checkpoints", "clip") if self.which is Which.MOMASK else ("checkpoint_dir", "t5")
        values: dict[str, Any] = {
            "which": str(self.which),
            "checkout": str(self.checkout),
            "python": self.python,
            "checkpoints": str(self.folder / names[0]),
            "text_encoder": str(self.folder / names[1]),
            "device": "cpu",
            **changes,
        }
        return PublishedModel.from_options(values)


@pytest.fixture
def pool() -> Iterator[ChildPool]:
    """A pool whose children are gone when the test ends."""
    before = set(own_descendants())
    made = ChildPool(ChildSettings())
    yield made
    made.close(10.0)
    wait_gone([pid for pid in set(own_descendants()) - before if pid != os.getpid()])


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Which], Installed]:
    """A model that is really there; skips where the environment names no checkout."""
    made: dict[Which, Installed] = {}

    def get(which: Which) -> Installed:
        checkout = os.environ.get(VARIABLES[which], "")
        if not checkout:
            pytest.skip(f"{which.label} is not beside this checkout: {VARIABLES[which]} names none")
        if which not in made:
            python = os.environ.get(PYTHON_VARIABLE) or sys.executable
            folder = tmp_path_factory.mktemp("checkpoints")
            argv = [python, "-E", str(MAKE), str(which), checkout, str(folder), "small"]
            done = subprocess.run(
                argv, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
            )
            assert done.returncode == 0, done.stderr[-3000:]
            made[which] = Installed(which, Path(checkout), python, folder)
        return made[which]

    return get
