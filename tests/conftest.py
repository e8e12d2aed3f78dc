# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: markers, where the real parts are, and a clean end with a Blender module in the process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; `mq.py test --all` runs it")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Some Blender modules crash or hang while Python tears them down: with one loaded, the process ends here."""
    if "bpy" in sys.modules and _STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[_STATUS])


_STATUS = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return CHECKOUT


@pytest.fixture(scope="session")
def motion_data() -> Path:
    """The shared motion clips beside the checkout; skips where they are not there."""
    folder = CHECKOUT.parent / "shared" / "motion_data" / "bvh"
    if not folder.is_dir():
        pytest.skip("the shared motion data is not beside this checkout")
    return folder
