# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a joint map from a file, for the commands that take one. Knows no skeleton: whether it fits one is found out later."""

from __future__ import annotations

from pathlib import Path

from ...motion import joint_maps
from ...motion.errors import MotionError
from ...motion.joint_maps import StoredMap
from .exit_codes import InputError


def read(path: Path) -> StoredMap:
    """The map in a file. Raises `InputError`: joint_map_unreadable, bad_joint_map, joint_map_too_new."""
    try:
        with path.open("rb") as file:
            return joint_maps.from_json(file.read(joint_maps.MAX_BYTES + 1))
    except OSError as error:
        raise InputError("joint_map_unreadable", f"Cannot read the joint map {path}: {error.strerror or error}.") from error
    except MotionError as error:
        raise InputError(error.code, f"{path}: {error.message}", details=error.details) from error
