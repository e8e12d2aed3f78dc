# SPDX-License-Identifier: GPL-3.0-or-later
"""What works on this machine and what is missing, for the button that tests the set-up. Plain Python, on the worker: it starts
interpreters and may take seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ..app import App
from ..backends import process_tree
from ..backends.published import check
from ..queue.contract import Health
from .opening import with_models

_TITLES = {
    "generate_motion": "Motion model",
    "published_model": "Published motion models",
    "read_clip": "Clips",
    "read": "Clips",
    "retarget": "Blender for retargeting",
    "render": "Blender for rendering",
    "deliver": "Copying results",
}
_TORCH_TIMEOUT = 60.0  # seconds; a first import from a cold disk is slow
_LEAST_FREE_MB = 500
_ASK_TORCH = "import torch; print(torch.__version__, torch.cuda.is_available())"


def examine(app: App, *, torch_python: str, online: bool) -> dict[str, Health]:
    """Title → how it is."""
    found = {"Queue folder": _folder(app.folder.path)}
    for name, health in app.engine.check_backends().items():
        found[_TITLES.get(name, name.replace("_", " ").capitalize())] = health
    found |= _published(app)
    if torch_python:
        found["Python with torch"] = _torch(torch_python)
    measured = process_tree.can_measure()
    found["Memory of jobs"] = Health(
        measured, "is measured" if measured else "cannot be measured here: psutil is missing. Memory limits have no effect."
    )
    found["Network"] = Health(
        True, "may be used" if online else "is switched off in Blender's preferences; nothing here needs it"
    )
    return found


def _published(app: App) -> dict[str, Health]:
    """The models that the user's file names, read anew: it may have been changed since."""
    settings, problem = with_models(app.settings)
    if problem:
        return {"Published motion models": Health(False, problem)}
    if settings.published != app.settings.published:
        app.configure(settings)
    found = {}
    for model in settings.published:
        lacks = " ".join(error.message for error in check.problems(model))
        found[model.which.label] = Health(not lacks, f"{lacks or 'All its files are there.'} Licence: {model.which.licence}.")
    return found


def _folder(path: Path) -> Health:
    try:
        free = shutil.disk_usage(path).free >> 20
    except OSError as error:
        return Health(False, f"{path} is gone ({error.strerror or error}). Open the queue again.")
    if not os.access(path, os.W_OK):
        return Health(False, f"{path} may not be written to. Choose another folder.")
    if free < _LEAST_FREE_MB:
        return Health(False, f"{path}: only {free} MB are free. Free some space.")
    return Health(True, f"{path}, {free / 1024:.0f} GB free")


def _torch(python: str) -> Health:
    try:
        done = subprocess.run(
            [python, "-E", "-P", "-c", _ASK_TORCH],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TORCH_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Health(False, f"{python} cannot be started: {error}. Choose an interpreter that has torch.")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return Health(False, f"{python} cannot import torch: {last[:200]}. Install torch there, or choose another one.")
    version, _, cuda = done.stdout.strip().partition(" ")
    return Health(True, f"torch {version}, {'with' if cuda == 'True' else 'without'} a graphics card")
