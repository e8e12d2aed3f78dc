# SPDX-License-Identifier: GPL-3.0-or-later
"""The step that reads a clip: validated, cut to a range, brought to a frame rate."""

from .backend import ReadBackend

__all__ = ["ReadBackend"]
