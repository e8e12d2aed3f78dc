# SPDX-License-Identifier: GPL-3.0-or-later
"""`bench`: finds the benchmarks in `scripts/bench` and runs those that are named. Knows none of them.

A benchmark is a module there with a public `run(arguments) -> measures`; it prints its own figures.
"""

from __future__ import annotations

import importlib
import pkgutil
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from .. import bench as package
from . import exit_codes
from .exit_codes import InputError

# What is in the folder for the benchmarks' own use.
_HELPERS = {"report", "entries", "crash_child", "freeze_meter", "generate_eval", "retarget_eval", "map_rigs", "window_inside"}


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted({module.name for module in pkgutil.iter_modules(package.__path__)} - _HELPERS)


def bench(args: Namespace) -> int:
    """Run the named benchmarks, each with the options that follow the names; 1 when a target was missed."""
    words: list[str] = args.arguments
    first_option = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    chosen, options = words[:first_option], words[first_option:]
    if not chosen:
        print("Benchmarks: " + ", ".join(names()) + ". `mq.py bench NAME --help` has the options of one.")
        return exit_codes.OK
    unknown = [name for name in chosen if name not in names()]
    if unknown:
        raise InputError("unknown_benchmark", f"There is no benchmark {', '.join(unknown)}; there are {', '.join(names())}.")
    measures = [measure for name in chosen for measure in _runner(name)(options)]
    return exit_codes.FAILED if any(measure.get("ok") is False for measure in measures) else exit_codes.OK


def _runner(name: str) -> Callable[[Sequence[str]], list[dict[str, Any]]]:
    run: Callable[[Sequence[str]], list[dict[str, Any]]] = importlib.import_module(f"{package.__name__}.{name}").run
    return run
