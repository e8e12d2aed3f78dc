# SPDX-License-Identifier: GPL-3.0-or-later
"""`generate`: the motion of a prompt as a BVH file, made in this process by the code that the queue's children run.

Needs numpy for that; to explain a prompt, or to list what is known, the standard library is enough.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...backends.generate import options as motion_options
from ...backends.generate.prompt import explain, explain_retrieved, known_actions
from ...backends.generate.timeline import Timeline
from ...backends.published.model import BUILT_IN
from ...motion.errors import MotionError
from . import exit_codes, generate_published
from .display import table
from .exit_codes import InputError
from .terminal import Terminal

_OPTIONS = ("seconds", "seed", "guidance", "speed", "bend", "path", "heading", "loop", "in_place", "model_device", "fps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was typed, checked."""

    options: motion_options.MotionOptions
    timeline: Timeline
    targets: tuple[Path, ...]  # one for each variation; none where nothing is made
    start_pose: Path | None
    end_pose: Path | None


def generate(args: Namespace) -> int:
    """Run the command; its exit code."""
    if args.known and _is_built_in(args):
        return _list_known(args)
    asked_for = asked(args)
    if isinstance(asked_for, generate_published.Asked):
        return generate_published.generate(asked_for, args)
    if args.explain:
        return _explain(asked_for, args)
    # Here and not above: it needs numpy.
    from ...backends.generate.child import run  # noqa: PLC0415

    context = Terminal(as_json=args.json)
    for variation, target in enumerate(asked_for.targets):
        data = _make(run, asked_for, variation, target, context)
        _report(asked_for, target, data, args)
    return exit_codes.OK


def asked(args: Namespace) -> Asked | generate_published.Asked:
    """What was asked for, checked as far as that goes without making it. Raises `MotionQueueError`."""
    if not _is_built_in(args):
        generate_published.refuse_reading(args)
    if not args.prompt:
        raise InputError("prompt_empty", 'Say what the character does: `mq.py generate "a person walks forward" --out walk.bvh`.')
    if not _is_built_in(args):
        return generate_published.asked(args, _targets(args))
    weights = str(args.weights.absolute()) if args.weights else ""
    timeline = motion_options.understood(args.prompt, seconds=args.seconds, weights=weights)
    values = {name: value for name in _OPTIONS if (value := getattr(args, name)) is not None}
    values |= {"prompt": args.prompt, "weights": weights}
    poses: dict[str, Path | None] = {"start_pose": None, "end_pose": None}
    for name in poses:
        if (given := getattr(args, name)) is not None:
            poses[name], values[f"{name}_frame"] = given
            if not given[0].is_file():
                raise InputError("input_missing", f"There is no file {given[0]} for --{name.replace('_', '-')}. Check the path.")
    if args.loop and any(poses.values()):
        raise InputError("arguments_conflict", "A loop has no first and no last pose: give --loop, or poses, not both.")
    return Asked(
        options=motion_options.MotionOptions.from_payload(values),
        timeline=timeline,
        targets=_targets(args),
        **poses,
    )


def _is_built_in(args: Namespace) -> bool:
    return args.model in (None, BUILT_IN)


def _targets(args: Namespace) -> tuple[Path, ...]:
    if args.explain:
        return ()
    if args.out is None:
        raise InputError("arguments_conflict", "Say where the motion goes: --out FILE.bvh (or --explain, to make none).")
    out: Path = args.out.absolute()
    if out.suffix.lower() != ".bvh" or out.is_dir():
        raise InputError("arguments_conflict", f"--out {args.out}: must be a file whose name ends in .bvh.")
    count = args.variations or 1
    return (out,) if count == 1 else tuple(out.with_name(f"{out.stem}_{i + 1:02d}{out.suffix}") for i in range(count))


def _make(run: Any, asked_for: Asked, variation: int, target: Path, context: Terminal) -> dict[str, Any]:
    """Write one motion, beside and then in its place."""
    waiting = target.with_name(f".{target.name}.tmp")
    arguments = motion_options.child_arguments(
        replace(asked_for.options, variation=variation),
        target=waiting,
        start_pose=str(asked_for.start_pose or ""),
        end_pose=str(asked_for.end_pose or ""),
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        data: dict[str, Any] = run(arguments, context)
        waiting.replace(target)
    except MotionError as error:  # a pose that cannot be read, an edit that cannot be
        raise InputError(error.code, error.message) from error
    except OSError as error:
        raise InputError("output_not_writable", f"Cannot write {target}: {error.strerror or error}.") from error
    except MemoryError as error:
        raise InputError(
            "out_of_memory", "There is not enough memory for the motion model (about 300 MB). Close other programs."
        ) from error
    finally:
        context.clear()
        waiting.unlink(missing_ok=True)
    return data


def _report(asked_for: Asked, target: Path, data: Mapping[str, Any], args: Namespace) -> None:
    if args.json:
        print(json.dumps({"event": "motion", "path": str(target), **data}, ensure_ascii=False), flush=True)
        return
    print(f"{target}: {data['seconds']:g} s, {data['frames']} frames, seed {data['seed']}", flush=True)
    if told := explain_retrieved(data["retrieved"]):
        print(f"  {told}")
    if target == asked_for.targets[-1]:
        timeline = asked_for.timeline
        for written, taken in timeline.corrected:
            print(f"“{written}” was read as “{taken}”.")
        if timeline.unmatched:
            print(f"Not used, because the model does not know it: {', '.join(timeline.unmatched)}.")


def _explain(asked_for: Asked, args: Namespace) -> int:
    if args.json:
        print(json.dumps({"event": "timeline", **asked_for.timeline.to_json()}, ensure_ascii=False))
    else:
        print(explain(asked_for.timeline))
    return exit_codes.OK


def _list_known(args: Namespace) -> int:
    known = known_actions(motion_options.vocabulary(str(args.weights or "")))
    if args.json:
        for action, example in known:
            print(json.dumps({"event": "known", "action": action, "example": example}, ensure_ascii=False))
    else:
        print("\n".join(table([("ACTION", "FOR EXAMPLE"), *known])))
    return exit_codes.OK
