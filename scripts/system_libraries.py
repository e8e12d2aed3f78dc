# SPDX-License-Identifier: GPL-3.0-or-later
"""Which shared libraries of the system a Blender needs, which of them are missing, and the command that installs them.

Asked before anything is downloaded (by name) and after an install (by `ldd` on the real files). Linux only: elsewhere a
Blender brings what it needs. Standard library only.
"""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

# Library → Debian's package. From `ldd` on bpy 4.2, 4.5 and 5.2 in a bare Debian 12 and 13; libEGL is opened at run time.
# libgl1 also brings Mesa's software renderer, which Workbench and EEVEE use on a machine without a graphics card.
PACKAGES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libICE.so.6": "libice6",
    "libSM.so.6": "libsm6",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libXrender.so.1": "libxrender1",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libgomp.so.1": "libgomp1",
    "libxkbcommon.so.0": "libxkbcommon0",
}


def missing() -> tuple[str, ...]:
    """Names of the libraries in the table that the loader does not find; empty where none is missing or this is no Linux."""
    if platform.system() != "Linux":
        return ()
    return tuple(name for name in PACKAGES if not _loads(name))


def missing_for(shared_object: Path) -> tuple[str, ...]:
    """What `ldd` does not find for one shared object; empty where there is no `ldd`."""
    ldd = shutil.which("ldd")
    if ldd is None:
        return ()
    result = subprocess.run([ldd, str(shared_object)], capture_output=True, text=True, check=False)
    return tuple(sorted(set(re.findall(r"^\s*(\S+) => not found", result.stdout, re.MULTILINE))))


def advice(names: Iterable[str], more: Sequence[str] = ()) -> str:
    """What to do about missing libraries: one sentence with the command. `more` are further packages to install with them."""
    listed = sorted(names)
    known = sorted({PACKAGES[name] for name in listed if name in PACKAGES} | set(more))
    unknown = [name for name in listed if name not in PACKAGES]
    parts = [f"Blender needs system libraries that are not here: {', '.join(listed)}."]
    if shutil.which("apt-get") and known:
        sudo = "" if _is_root() else "sudo "
        install = f"{sudo}apt-get update && {sudo}apt-get install -y {' '.join(known)}"
        parts.append(f"Install them, then run the same command again:\n\n    {install}\n")
        if unknown:
            parts.append(f"`apt-file search` tells which packages have {', '.join(unknown)}.")
    else:
        parts.append("Install them with this system's package manager, then run the same command again.")
    return " ".join(parts)


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _is_root() -> bool:
    if sys.platform == "win32":
        return False
    import os  # noqa: PLC0415

    return os.geteuid() == 0
