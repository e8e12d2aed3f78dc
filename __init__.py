# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion Queue: a Blender extension, and the Python package of the same code.

`register` and `unregister`, nothing else. Nothing is imported at module level, so the package loads without bpy.
"""


def register() -> None:
    """Called by Blender when the extension is switched on."""
    from .operators import session  # noqa: PLC0415

    session.register()


def unregister() -> None:
    """Called by Blender when the extension is switched off, and on a normal quit."""
    from .operators import session  # noqa: PLC0415

    session.unregister()
