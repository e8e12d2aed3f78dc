# SPDX-License-Identifier: GPL-3.0-or-later
"""What both published models need of torch: safe loading, checks of shapes, devices, seeds, and a look into every forward pass.

Runs in the user's own Python, 3.7 or newer. Knows no model and no layout of files.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pickle
import random
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping  # noqa: UP035 - evaluated in an old Python

import numpy as np

_SHOWN = 3  # differences between a checkpoint and its network that a message names


class PublishedError(Exception):
    """A published model cannot be run. Codes and messages as everywhere in this package."""

    def __init__(self, code: str, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})


def first_line(error: BaseException) -> str:
    """What an error says, as much as a message has room for."""
    return next(iter(str(error).strip().splitlines()), "")[:300]


def import_module(name: str, why: str) -> Any:
    """A module of the user's Python or checkout. `PublishedError` published_modules_missing."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever a foreign module raises while it is imported
        raise PublishedError(
            "published_modules_missing",
            f"{why} cannot be imported in {sys.executable}: {type(error).__name__}: {str(error)[:400]}. "
            "Install what the checkout's requirements name into that Python.",
        ) from error


def import_torch() -> Any:
    """torch, set to load nothing but weights. `PublishedError` published_modules_missing, published_torch_old."""
    torch = import_module("torch", "torch")
    if hasattr(torch.load, "only_weights"):
        return torch
    if "weights_only" not in inspect.signature(torch.load).parameters:
        raise PublishedError(
            "published_torch_old",
            f"torch {torch.__version__} cannot load a checkpoint without running what is in it. Install torch 2.4 or newer.",
        )
    plain = torch.load

    def load(*arguments: Any, **options: Any) -> Any:
        options["weights_only"] = True
        return plain(*arguments, **options)

    load.only_weights = True  # type: ignore[attr-defined]
    torch.load = load
    return torch


def choose_device(torch: Any, wanted: str) -> Any:
    """The device for "auto", "cpu" or "cuda". `PublishedError` cuda_missing."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise PublishedError(
            "cuda_missing",
            f"The device cuda was asked for, but torch {torch.__version__} in {sys.executable} finds no CUDA. "
            "Set the device to cpu or auto, or install a torch with CUDA and its driver.",
            {"model_device": "no CUDA"},
        )
    return torch.device("cuda:0")


def set_seed(torch: Any, seed: int) -> None:
    """Seed everything a checkout may draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def read_checkpoint(torch: Any, path: Path, keys: tuple[str, ...]) -> Any:
    """The weights under the first of `keys` that the file has: name → tensor, on the CPU.

    `PublishedError` published_checkpoint_missing, published_checkpoint_unreadable, published_checkpoint_mismatch.
    """
    if not path.is_file():
        raise PublishedError(
            "published_checkpoint_missing",
            f"There is no {path}. Download the published checkpoints again.",
            {"checkpoints": str(path)},
        )
    try:
        found = torch.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError, EOFError, KeyError, AttributeError, pickle.UnpicklingError, OSError) as error:
        raise PublishedError(
            "published_checkpoint_unreadable",
            f"{path} cannot be read as weights ({type(error).__name__}: {first_line(error)}). "
            "It is damaged, or holds more than weights: download it again.",
            {"checkpoints": str(path)},
        ) from error
    held = found if isinstance(found, Mapping) else {}
    for key in keys:
        if isinstance(held.get(key), Mapping):
            return held[key]
    raise PublishedError(
        "published_checkpoint_mismatch",
        f"{path} has no {' or '.join(repr(k) for k in keys)} in it. It is the checkpoint of another network.",
        {"checkpoints": str(path)},
    )


def fill(network: Any, weights: Mapping[str, Any], path: Path, *, may_miss: str = "") -> None:
    """Put weights into a network of exactly their names and shapes; names that begin with `may_miss` need not be there.

    `PublishedError` published_checkpoint_mismatch.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    problems = [f"{name} is missing" for name in wanted if name not in weights and not (may_miss and name.startswith(may_miss))]
    problems += [f"{name} is not of this network" for name in weights if name not in wanted]
    problems += [
        f"{name} is {tuple(value.shape)}, not {wanted[name]}"
        for name, value in weights.items()
        if name in wanted and tuple(getattr(value, "shape", ())) != wanted[name]
    ]
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise PublishedError(
            "published_checkpoint_mismatch",
            f"{path} does not fit the network that its options describe: {'; '.join(problems[:_SHOWN])}{more}. "
            "Take all files of a model from the same download.",
            {"checkpoints": str(path)},
        )
    network.load_state_dict(dict(weights), strict=False)
    network.eval()


def read_statistics(folder: Path, width: int) -> tuple[Any, Any]:
    """Mean and standard deviation [width] of a model's features, from `mean.npy` and `std.npy`.

    `PublishedError` published_checkpoint_missing, published_checkpoint_unreadable, published_checkpoint_mismatch.
    """
    values = []
    for name in ("mean.npy", "std.npy"):
        path = folder / name
        details = {"checkpoints": str(path)}
        if not path.is_file():
            raise PublishedError(
                "published_checkpoint_missing", f"There is no {path}, which every result is scaled with.", details
            )
        try:
            value = np.load(str(path), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise PublishedError(
                "published_checkpoint_unreadable", f"{path} cannot be read ({error}). Download it again.", details
            ) from error
        if value.shape != (width,) or not np.all(np.isfinite(value)):
            raise PublishedError(
                "published_checkpoint_mismatch",
                f"{path} holds {value.shape}, not {width} finite numbers. It is of another model.",
                details,
            )
        values.append(value.astype(np.float64))
    return values[0], values[1]


@contextlib.contextmanager
def memory_errors(torch: Any, device: Any) -> Iterator[None]:
    """Turn "out of memory", on the graphics card or the machine, into `PublishedError` cuda_out_of_memory or out_of_memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        if "out of memory" in text and ("cuda" in text or "hip" in text):
            torch.cuda.empty_cache()
            raise PublishedError(
                "cuda_out_of_memory",
                f"The graphics card has too little free memory for this model ({first_line(error)}). "
                "Run it on the processor, with the model's device cpu (--model-device cpu), or close what else uses the card.",
                {"model_device": "cpu would do"},
            ) from error
        if isinstance(error, MemoryError) or "can't allocate memory" in text or "not enough memory" in text:
            raise PublishedError(
                "out_of_memory", "The machine has too little free memory for this model. Close other programs and try again."
            ) from error
        raise


@contextlib.contextmanager
def watching(torch: Any, counted: list[Any], passed: Callable[[int], None], check: Callable[[], None]) -> Iterator[None]:
    """While inside: `check` before each forward pass of anything, `passed(n)` before the n-th pass, from 0, of the counted ones.

    One hook for all modules, not one on each, which would keep torch from its faster way through a transformer.
    """
    ours = {id(module) for module in counted}
    count = 0

    def before(module: Any, _inputs: Any) -> None:
        nonlocal count
        check()
        if id(module) in ours:
            passed(count)
            count += 1

    hook = torch.nn.modules.module.register_module_forward_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()


@contextlib.contextmanager
def text_encoder(what: str, path: str) -> Iterator[None]:
    """Turn what a text encoder's own code says about its files into `PublishedError` published_text_encoder_unreadable."""
    try:
        yield
    except Exception as error:  # whatever the libraries of the encoder raise about its files
        lowered = str(error).lower()
        if "out of memory" in lowered or "allocate" in lowered:
            raise
        raise PublishedError(
            "published_text_encoder_unreadable",
            f"{what} cannot be loaded from {path} ({type(error).__name__}: {first_line(error)}). "
            "Download it again, or install what is missing.",
            {"text_encoder": path},
        ) from error


def plain_name(value: Any, path: Path) -> str:
    """The name of a folder, as an options file has it. `PublishedError` published_checkpoint_mismatch when it is none."""
    name = str(value)
    if not name or name in {".", ".."} or "/" in name or "\\" in name:
        raise PublishedError(
            "published_checkpoint_mismatch",
            f"{path} names {name[:100]!r} as a folder beside it, which is no folder's name. Download it again.",
            {"checkpoints": str(path)},
        )
    return name


@contextlib.contextmanager
def described(folder: Path) -> Iterator[None]:
    """Turn a missing option, or one of the wrong kind, into `PublishedError` published_checkpoint_mismatch."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, AssertionError) as error:
        raise PublishedError(
            "published_checkpoint_mismatch",
            f"The options beside the checkpoints in {folder} describe no network that this checkout can build "
            f"({type(error).__name__}: {str(error)[:200]}). Take all files of a model from the same download.",
            {"checkpoints": str(folder)},
        ) from error


def identity(arguments: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """What a set of loaded networks was loaded from: the arguments of these names, and when the checkpoints last changed."""
    files = sorted(Path(str(arguments["checkpoints"])).rglob("*.tar"))
    return repr([arguments[name] for name in names] + [(str(path), path.stat().st_mtime_ns) for path in files])
