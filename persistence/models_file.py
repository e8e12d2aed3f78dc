# SPDX-License-Identifier: GPL-3.0-or-later
"""The file in which a user says once where published motion models are on this machine: where it is, read and written whole.

One for a user, whatever state folders there are. Written beside, synced and renamed, so that there is always a whole one. Knows
names, and an object of options for each; what the options mean is for whoever asks.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ..queue.contract import Json
from ..queue.errors import StoreError
from .files import FOLDER_MODE, OsFiles, write_all

ENVIRONMENT = "MOTION_QUEUE_MODELS"
VERSION = 1
MAX_BYTES = 64 * 1024


def resolve() -> Path:
    """The file to use, which need not be there: MOTION_QUEUE_MODELS, else models.json among the user's settings. Absolute."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named).expanduser().absolute()
    return user_config_dir() / "motion_queue" / "models.json"


def user_config_dir() -> Path:
    """Where programs keep settings for this user on this platform."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    named = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(named) if named.startswith("/") else Path.home() / ".config"


def read(path: Path) -> dict[str, dict[str, Json]]:
    """Name → options; empty where there is no file.

    `StoreError` models_file_unreadable, models_file_invalid (damaged, too large, of another form), newer_version.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            _invalid(path, "it is no file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(
            "models_file_unreadable",
            f"The settings of motion models in {path} cannot be read: {error.strerror or error}. Check its permissions.",
        ) from error
    if len(data) > MAX_BYTES:
        _invalid(path, f"it has more than {MAX_BYTES:,} bytes")
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        _invalid(path, f"it is no JSON: {str(error)[:200]}")
    return _checked(document, path)


def write(path: Path, models: Mapping[str, Mapping[str, Json]]) -> None:
    """Replace the file with name → options. `StoreError` models_file_not_writable."""
    text = json.dumps({"version": VERSION, "models": models}, indent=2, ensure_ascii=False, allow_nan=False)
    files, beside = OsFiles(), path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        try:
            file = files.create(beside)
            try:
                write_all(file, text.encode() + b"\n")
                file.sync()
            finally:
                file.close()
            files.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        files.sync_dir(path.parent)
    except OSError as error:
        raise StoreError(
            "models_file_not_writable",
            f"The settings of motion models cannot be written to {path}: {error.strerror or error}. Make room, change the "
            f"folder's permissions, or name another file with {ENVIRONMENT}.",
        ) from error


def _checked(document: Any, path: Path) -> dict[str, dict[str, Json]]:
    if not isinstance(document, dict) or isinstance(document.get("version"), bool):
        _invalid(path, "it is no object with a version")
    version = document.get("version")
    if isinstance(version, int) and version > VERSION:
        raise StoreError(
            "newer_version",
            f"{path} has version {version}; this Motion Queue reads up to {VERSION}. Update Motion Queue, or delete the file.",
        )
    if version != VERSION:
        _invalid(path, f"its version is not {VERSION}")
    if unknown := [name for name in document if name not in ("version", "models")]:
        _invalid(path, f"{unknown[0][:80]!r} is nothing that it can have")
    models = document.get("models", {})
    if not isinstance(models, dict) or not all(isinstance(options, dict) for options in models.values()):
        _invalid(path, "its models are no objects")
    return models


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _invalid(path: Path, why: str) -> NoReturn:
    raise StoreError(
        "models_file_invalid",
        f"The settings of motion models in {path} cannot be used: {why}. Correct the file, or delete it and set the models again "
        "with `mq.py models set`.",
    )


__all__ = ["ENVIRONMENT", "MAX_BYTES", "VERSION", "read", "resolve", "user_config_dir", "write"]
