# SPDX-License-Identifier: GPL-3.0-or-later
"""`bench`: hands over to the benchmarks in `scripts/bench`."""

from __future__ import annotations

from argparse import Namespace


def bench(args: Namespace) -> int:
    """Run the named benchmarks; their exit code."""
    from ..bench.__main__ import main  # noqa: PLC0415

    return int(main(args.arguments))
