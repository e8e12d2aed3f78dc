# SPDX-License-Identifier: GPL-3.0-or-later
"""The published motion models that this user has set, as the command line uses them. Standard library only."""

from __future__ import annotations

from ..backends.published.model import PublishedModel, models_of
from ..persistence import models_file


def installed() -> tuple[PublishedModel, ...]:
    """Those that the user's file of models names, read anew. Raises as `models_file.read` and `models_of`."""
    path = models_file.resolve()
    return models_of(models_file.read(path), str(path))
