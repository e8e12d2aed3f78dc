# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: readable failures, where the real parts are, and a clean end with a Blender module loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from fault.mounts import Mount, mounting
from hypothesis import HealthCheck, settings

CHECKOUT = Path(__file__).resolve().parents[1]
CI_VARIABLE = "MOTION_QUEUE_TEST_CI"  # set by `mq.py test --ci`
LONGEST_FAILURE = 8000  # characters of one failure, of its traceback and of each captured text

# A busy machine is no reason to fail, so nothing is timed. Continuous integration tries the same examples each time.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get(CI_VARIABLE) else "here")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shorten what a failure prints: a child's whole log in an assertion would bury the others. `-vv` prints everything."""
    report = yield
    if report.failed and item.config.get_verbosity() < 2:
        text = report.longreprtext
        if len(text) > LONGEST_FAILURE:
            report.longrepr = shorten(text)
        report.sections = [(title, shorten(content)) for title, content in report.sections]
    return report


def shorten(text: str) -> str:
    """The beginning and the end of a text that is too long, with how much is left out."""
    left_out = len(text) - LONGEST_FAILURE
    if left_out <= 0:
        return text
    half = LONGEST_FAILURE // 2
    return f"{text[:half]}\n… {left_out} characters left out …\n{text[-half:]}"


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


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mounts until the end of the test; see `mounting`."""
    with mounting() as found:
        yield found
