# SPDX-License-Identifier: GPL-3.0-or-later
"""Dispatches the sub-commands and turns their errors into a line on the standard error and an exit code.

Imports only what the command at hand needs, so that `--help` and `list` start at once.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence

from ...queue.errors import MotionQueueError
from . import arguments, exit_codes


def main(argv: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    try:
        args = arguments.parser().parse_args(list(argv))
    except SystemExit as end:  # argparse ends by itself: 0 after --help, 2 after a mistake
        return end.code if isinstance(end.code, int) else exit_codes.WRONG_INPUT
    return guarded(args)


def check(argv: Sequence[str]) -> int:
    """Whether a command line can be used: 0, or the exit code after saying what is wrong. Runs nothing."""
    try:
        args = arguments.parser().parse_args(list(argv))
        if args.command == "run":
            from .request import shots_of  # noqa: PLC0415

            shots_of(args)
        if args.command == "generate" and not args.known:
            from .generate import asked  # noqa: PLC0415

            asked(args)
        if args.command == "retarget":
            from . import retarget  # noqa: PLC0415

            retarget.asked(args)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exit_codes.WRONG_INPUT
    except MotionQueueError as error:
        print(f"mq.py: {error}", file=sys.stderr)
        return exit_codes.WRONG_INPUT
    return exit_codes.OK


def guarded(args: Namespace) -> int:
    """Run a parsed command, reporting the errors we raise on purpose. Anything else is a defect and shows its traceback."""
    try:
        return _dispatch(args)
    except MotionQueueError as error:
        if getattr(args, "json", False):
            value = {"event": "error", "code": error.code, "message": error.message, "details": error.details}
            print(json.dumps(value, ensure_ascii=False), flush=True)
        print(f"mq.py: {error}", file=sys.stderr)
        return exit_codes.WRONG_INPUT
    except BrokenPipeError:
        # The reader of our output has gone (`mq.py list | head`). Nothing more can be said; Python would complain at exit.
        sys.stdout = open("/dev/null", "w", encoding="utf-8") if sys.platform != "win32" else open("NUL", "w", encoding="utf-8")  # noqa: PTH123, SIM115
        return exit_codes.OK
    except KeyboardInterrupt:
        print("mq.py: interrupted.", file=sys.stderr)
        return exit_codes.INTERRUPTED


def _dispatch(args: Namespace) -> int:
    match args.command:
        case "run":
            from .run import run  # noqa: PLC0415

            return run(args)
        case "generate":
            from .generate import generate  # noqa: PLC0415

            return generate(args)
        case "models":
            from .models import models  # noqa: PLC0415

            return models(args)
        case "map":
            from .map import show_map  # noqa: PLC0415

            return show_map(args)
        case "retarget":
            from . import retarget  # noqa: PLC0415

            return retarget.run(args)
        case "resume":
            from .run import resume  # noqa: PLC0415

            return resume(args)
        case "list":
            from .listing import show  # noqa: PLC0415

            return show(args)
        case "cancel":
            from .listing import cancel  # noqa: PLC0415

            return cancel(args)
        case "test":
            from .test import test  # noqa: PLC0415

            return test(args)
        case "bench":
            from .bench import bench  # noqa: PLC0415

            return bench(args)
        case "build":
            from .. import build  # noqa: PLC0415

            return build.command(blender=args.blender, without_blender=args.without_blender, out=args.out)
        case _:
            raise AssertionError(f"no command {args.command}")
