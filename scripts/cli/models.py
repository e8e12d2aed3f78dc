# SPDX-License-Identifier: GPL-3.0-or-later
"""`models`: says once where published motion models are on this machine, lists what is set, and checks whether it works.

Only `check` needs more than the standard library: it has the networks loaded, in a child.
"""

from __future__ import annotations

import json
import os
import shutil
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...backends.published import check as parts
from ...backends.published import model as published
from ...backends.published.model import PublishedModel, Which
from ...persistence import models_file
from ...queue.errors import MotionQueueError
from ..installed import installed
from . import exit_codes
from .exit_codes import InputError
from .terminal import Terminal

_PATHS = ("checkout", "checkpoints", "text_encoder", "statistics")
_OPTIONS = (*_PATHS, "python", "device", "memory_limit_mb", "transformer", "residual", "refinement")


def models(args: Namespace) -> int:
    """Run the command; its exit code."""
    match args.action:
        case "set":
            return _set(args)
        case "forget":
            return _forget(args)
        case "check":
            return _check(args)
        case _:
            return _list(args)


def _list(args: Namespace) -> int:
    found = {model.which: model for model in installed()}
    for which in Which:
        _say(which, found.get(which), parts.problems(found[which]) if which in found else (), args)
    if not args.json:
        print(f"Settings: {models_file.resolve()}")
    return exit_codes.OK


def _set(args: Namespace) -> int:
    """Change what is given and keep the rest; an empty value goes back to the default."""
    path, which = models_file.resolve(), Which(args.model)
    before = {model.which: model for model in installed()}
    given = {name: value for name in _OPTIONS if (value := getattr(args, name)) is not None}
    if not given:
        raise InputError(
            "arguments_conflict", f"Say what to set, such as --checkout DIR. `mq.py models set {which} --help` lists it."
        )
    options = before[which].to_options() if which in before else {}
    options |= {name: _placed(name, value) for name, value in given.items()}
    options = {name: value for name, value in options.items() if value != ""}
    model = PublishedModel.from_options({**options, "which": str(which)})
    _write(path, {**before, which: model}.values())
    found = parts.problems(model)
    _say(which, model, found, args)
    if not args.json:
        print(f"Written to {path}." + ("" if found else f" `mq.py models check {which}` has the networks loaded."))
    return exit_codes.FAILED if found else exit_codes.OK


def _forget(args: Namespace) -> int:
    path, which = models_file.resolve(), Which(args.model)
    left = [model for model in installed() if model.which is not which]
    if len(left) == len(installed()):
        published.chosen((), which)
    _write(path, left)
    if args.json:
        print(json.dumps({"event": "model", "model": str(which), "set": False}))
    else:
        print(f"{which.label} is forgotten; its checkout and checkpoints stay where they are.")
    return exit_codes.OK


def _check(args: Namespace) -> int:
    """Whether everything is there, and the networks load: as far as one can know without making a motion."""
    found = {model.which: model for model in installed()}
    wanted = [Which(name) for name in args.models] or list(found)
    if not wanted:
        raise InputError(
            "published_not_set", "No published model is set. `mq.py models set NAME --checkout DIR --python PATH` does it."
        )
    chosen = [published.chosen(found.values(), which) for which in wanted]
    wrong = False
    for model in chosen:
        problems: Sequence[MotionQueueError] = parts.problems(model)
        told: dict[str, Any] = {}
        if not problems:
            try:
                told = _loaded(model, args)
            except MotionQueueError as error:
                problems = (error,)
        _say(model.which, model, problems, args, told)
        wrong = wrong or bool(problems)
    return exit_codes.FAILED if wrong else exit_codes.OK


def _loaded(model: PublishedModel, args: Namespace) -> dict[str, Any]:
    from ...backends.children import ChildPool  # noqa: PLC0415 - needs what set-up brings
    from ...backends.published.backend import try_loading  # noqa: PLC0415 - likewise

    context, pool = Terminal(as_json=args.json), ChildPool()
    try:
        return try_loading(pool, model, context)
    except MotionQueueError as error:
        if error.code.startswith(("published_code_failed", "child_")):
            context.explain()
        raise
    finally:
        context.clear()
        pool.close()


def _say(
    which: Which,
    model: PublishedModel | None,
    problems: Sequence[MotionQueueError],
    args: Namespace,
    told: dict[str, Any] | None = None,
) -> None:
    """One model as it is set and what it lacks. `told`: what came of loading its networks."""
    if args.json:
        value: dict[str, Any] = {"event": "model", "model": str(which), "set": model is not None, "licence": which.licence}
        if model is not None:
            listed = [{"code": p.code, "message": p.message, "details": p.details} for p in problems]
            value |= {**model.to_options(), "problems": listed, **({"loaded": told} if told else {})}
        print(json.dumps(value, ensure_ascii=False), flush=True)
        return
    print(f"{which}: {which.label}")
    print(f"  licence       {which.licence}")
    if model is None:
        print(f"  not set       mq.py models set {which} --checkout DIR --python PATH")
        return
    for name, value in model.to_options().items():
        if name == "memory_limit_mb":
            print(f"  memory        {value:g} MB")
        else:
            print(f"  {name.replace('_', ' '):<13} {value}")
    for problem in problems:
        print(f"  missing       {problem}")
    if told:
        million = sum(told["parameters"].values()) / 1e6
        print(f"  ready         {million:,.1f} million parameters loaded on {told['device']}, torch {told['torch']}")
    elif not problems:
        print("  complete      all files and modules are there")


def _placed(name: str, value: Any) -> Any:
    """A path as it will still be right when the file is read from another folder."""
    if name == "python" and value:
        # Not resolved: the Python of a virtual environment is a link, and what it leads to is another one.
        found = shutil.which(str(Path(value).expanduser()))
        return os.path.abspath(found) if found else value  # noqa: PTH100 - Path.absolute keeps ".."
    if name in _PATHS and value:
        return os.path.abspath(Path(value).expanduser())  # noqa: PTH100 - likewise
    return value


def _write(path: Path, models: Iterable[PublishedModel]) -> None:
    models_file.write(path, {str(model.which): model.to_options() for model in models})
