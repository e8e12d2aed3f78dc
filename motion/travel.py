# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bone of a character carries its path: the words for it, without the mathematics, for those who only ask."""

from __future__ import annotations

from enum import StrEnum


class Travel(StrEnum):
    """Which bone carries the path over the ground."""

    HIPS = "hips"
    ROOT = "root"  # the bone above the pelvis: games take the path from it; hips keep their sway
    IN_PLACE = "in_place"  # none: the character treads on the spot
