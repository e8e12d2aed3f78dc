# SPDX-License-Identifier: GPL-3.0-or-later
"""`generate --model`: the motion of a prompt by a published model, as BVH, in the children that the queue would use."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...backends.published import model as published
from ...queue.errors import MotionQueueError
from ..installed import installed
from . import exit_codes
from .exit_codes import InputError
from .terminal import Terminal

if TYPE_CHECKING:
    from ...backends.children import ChildPool

_OPTIONS = (
    "seconds", "seed", "guidance", "speed", "bend", "path", "heading", "loop", "in_place", "weights", "model_device", "fps",
)  # fmt: skip
_CAUSE_IN_THE_LOG = ("published_code_failed", "child_")  # beginnings of codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was typed, checked."""

    model: published.PublishedModel
    wanted: published.MotionRequest
    targets: tuple[Path, ...]  # one for each variation


def refuse_reading(args: Namespace) -> None:
    """Raise `InputError` for options that ask what the built-in model's reader makes of a prompt."""
    for flag in ("explain", "known"):
        if getattr(args, flag):
            label = published.Which(args.model).label
            raise InputError(
                "arguments_conflict",
                f"--{flag} is about the model that comes along; {label} gets the words as they are. Leave out --model.",
            )


def asked(args: Namespace, targets: tuple[Path, ...]) -> Asked:
    """What was asked for, checked as far as that goes without making it. Raises `MotionQueueError`."""
    which = published.Which(args.model)
    values = {name: value for name in _OPTIONS if (value := getattr(args, name)) is not None}
    values |= {name: str(values[name]) for name in ("weights",) if name in values}
    published.refuse_poses([name for name in published.POSES if getattr(args, name) is not None], which)
    wanted = published.MotionRequest.from_payload({**values, "prompt": args.prompt}, which)
    return Asked(model=published.chosen(installed(), which), wanted=wanted, targets=targets)


def generate(asked_for: Asked, args: Namespace) -> int:
    """Make all variations, with the networks loaded once; the exit code."""
    # Here and not above: only who runs it pays for it.
    from ...backends.children import ChildPool  # noqa: PLC0415

    context, pool = Terminal(as_json=args.json), ChildPool()
    try:
        for variation, target in enumerate(asked_for.targets):
            data = _make(pool, asked_for, variation, target, context)
            _report(asked_for, target, data, args)
    except MotionQueueError as error:
        if error.code.startswith(_CAUSE_IN_THE_LOG):
            context.explain()
        raise
    finally:
        context.clear()
        pool.close()
    return exit_codes.OK


def _make(pool: ChildPool, asked_for: Asked, variation: int, target: Path, context: Terminal) -> dict[str, Any]:
    """Write one motion, beside and then in its place."""
    from ...backends.published.backend import generate as make  # noqa: PLC0415 - as above

    folder = target.with_name(f".{target.name}.tmp")
    waiting = folder / target.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            data = make(pool, asked_for.model, replace(asked_for.wanted, variation=variation), waiting, context)
            waiting.replace(target)
        finally:
            waiting.unlink(missing_ok=True)
            folder.rmdir()
    except OSError as error:
        raise InputError("output_not_writable", f"Cannot write {target}: {error.strerror or error}.") from error
    finally:
        context.clear()
    return data


def _report(asked_for: Asked, target: Path, data: Mapping[str, Any], args: Namespace) -> None:
    if args.json:
        print(json.dumps({"event": "motion", "path": str(target), **data}, ensure_ascii=False), flush=True)
        return
    print(f"{target}: {data['seconds']:g} s, {data['frames']} frames, seed {data['seed']}", flush=True)
    if target == asked_for.targets[-1]:
        which = asked_for.model.which
        print(f"Made by {which.label} on {data['device']}. Licence: {which.licence}.")
