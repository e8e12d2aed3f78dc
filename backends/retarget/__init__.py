# SPDX-License-Identifier: GPL-3.0-or-later
"""The step that brings a clip onto a character and exports it."""

from .backend import RetargetBackend

__all__ = ["RetargetBackend"]
