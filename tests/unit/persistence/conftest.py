# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the faulty disk in tests/fault importable."""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = str(Path(__file__).resolve().parents[2])
if _TESTS not in sys.path:
    sys.path.append(_TESTS)
