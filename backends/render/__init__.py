# SPDX-License-Identifier: GPL-3.0-or-later
"""The step that renders a shot: PNG frames, then a video."""

from .backend import RenderBackend

__all__ = ["RenderBackend"]
