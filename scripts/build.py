# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the extension's zip: by an installed Blender's own command where there is one, else by writing the same content.

What goes in is decided by `blender_manifest.toml` alone, in both ways, and checked afterwards. The bundled wheels are fetched
with the hashes of their lock into a folder that git ignores. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..queue.errors import MotionQueueError

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = "blender_manifest.toml"
_TIME = (1980, 1, 1, 0, 0, 0)  # the same content gives the same zip

# The end of a wheel's name → the platform that pip is asked for.
_PLATFORMS = {
    "macosx_10_9_x86_64": "macosx_10_9_x86_64",
    "macosx_11_0_arm64": "macosx_11_0_arm64",
    "manylinux_2_28_x86_64": "manylinux_2_28_x86_64",
    "win_amd64": "win_amd64",
    "win_arm64": "win_arm64",
}


class BuildError(MotionQueueError):
    """The zip could not be built; nothing was left in its place."""


def command(*, blender: str | None = None, without_blender: bool = False, out: Path | None = None) -> int:
    """`mq.py build`. Prints the path of the zip."""
    path = build(out or ROOT / "dist", blender=None if without_blender else find(blender))
    with zipfile.ZipFile(path) as archive:
        print(f"{path}: {len(archive.namelist())} files, {path.stat().st_size / 1e6:.2f} MB")
    return 0


def find(chosen: str | None) -> str | None:
    """The installed Blender that builds: the chosen one, MOTION_QUEUE_BLENDER, or `blender` on the PATH."""
    named = chosen or os.environ.get("MOTION_QUEUE_BLENDER")
    if not named:
        return shutil.which("blender")
    found = shutil.which(named)
    if found is None:
        raise BuildError("blender_not_found", f"There is no Blender at {named}. Give another path, or --without-blender.")
    return found


def build(out: Path, *, blender: str | None, root: Path = ROOT) -> Path:
    """Fetch the wheels, build the zip into `out`, check its content; its path. `BuildError` says what went wrong."""
    manifest = read_manifest(root)
    fetch_wheels(manifest, root)
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{manifest['id']}-{manifest['version']}.zip"
    with tempfile.TemporaryDirectory(dir=out) as folder:
        made = Path(folder) / target.name
        if blender:
            _build_with(blender, root, made)
        else:
            write_zip(root, manifest, made)
        _check(made, root, manifest)
        made.replace(target)
    return target


def read_manifest(root: Path = ROOT) -> dict[str, Any]:
    return tomllib.loads((root / MANIFEST).read_text(encoding="utf-8"))


def members(root: Path, manifest: dict[str, Any]) -> list[str]:
    """The paths that belong into the zip, relative and with `/`, sorted: everything no pattern excludes, and the wheels."""
    excluded = list(manifest["build"]["paths_exclude_pattern"])
    wheels = [wheel.removeprefix("./") for wheel in manifest.get("wheels", [])]
    found = [path for path in _walk(root, "", excluded) if not path.startswith("wheels/")]
    return sorted({*found, *wheels})


def _walk(root: Path, folder: str, excluded: Sequence[str]) -> Iterator[str]:
    with os.scandir(root / folder) as entries:
        for entry in entries:
            path = f"{folder}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if not _matches(f"{path}/", excluded):
                    yield from _walk(root, f"{path}/", excluded)
            elif not _matches(path, excluded):
                yield path


def _matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern of the kind .gitignore has excludes a path; folders end with a slash.

    A leading slash ties a pattern to the top, a trailing one to folders; without a slash inside it matches a name anywhere.
    """
    is_folder = path.endswith("/")
    whole = path.rstrip("/")
    name = whole.rpartition("/")[2]
    for pattern in patterns:
        if pattern.endswith("/") and not is_folder:
            continue
        wanted = pattern.rstrip("/")
        if "/" in wanted:
            if fnmatchcase(whole, wanted.lstrip("/")):
                return True
        elif fnmatchcase(name, wanted):
            return True
    return False


def fetch_wheels(manifest: dict[str, Any], root: Path = ROOT) -> None:
    """Download the wheels that the manifest names and that are not there yet, checking hashes."""
    folder = root / "wheels"
    wanted = [Path(wheel).name for wheel in manifest.get("wheels", [])]
    missing = [name for name in wanted if not (folder / name).is_file()]
    for name in missing:
        tag = next((tag for tag in _PLATFORMS if name.endswith(f"{tag}.whl")), None)
        if tag is None:
            raise BuildError(
                "wheel_unknown", f"{MANIFEST} names {name}, whose platform build.py does not know. Add it to _PLATFORMS."
            )
        pip = [
            sys.executable,
            "-I",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary",
            ":all:",
        ]
        pip += ["--platform", _PLATFORMS[tag], "--python-version", "3.11", "--dest", str(folder)]
        pip += ["--require-hashes", "--requirement", str(root / "requirements" / "lock-wheels.txt")]
        result = subprocess.run(pip, capture_output=True, text=True, check=False)
        if result.returncode != 0 or not (folder / name).is_file():
            reason = result.stderr.strip() or f"pip fetched another file: {MANIFEST} and requirements/lock-wheels.txt disagree"
            raise BuildError("wheel_missing", f"Could not fetch {name}: {reason}")


def write_zip(root: Path, manifest: dict[str, Any], target: Path) -> None:
    """Write the zip as Blender would, the same bytes for the same content."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in members(root, manifest):
            info = zipfile.ZipInfo(path, _TIME)
            info.compress_type = zipfile.ZIP_STORED if path.endswith(".whl") else zipfile.ZIP_DEFLATED
            info.external_attr = 0o100644 << 16
            archive.writestr(info, (root / path).read_bytes())


def _build_with(blender: str, root: Path, target: Path) -> None:
    arguments = [blender, "--command", "extension", "build", "--source-dir", str(root), "--output-filepath", str(target)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if result.returncode != 0 or not target.is_file():
        raise BuildError(
            "build_failed", f"{blender} could not build the extension: {(result.stdout + result.stderr).strip()[-2000:]}"
        )


def _check(made: Path, root: Path, manifest: dict[str, Any]) -> None:
    """A zip that holds anything else than the manifest says is not handed out."""
    wanted = set(members(root, manifest))
    with zipfile.ZipFile(made) as archive:
        found = {name for name in archive.namelist() if not name.endswith("/")}
    if found != wanted:
        missing, extra = sorted(wanted - found)[:10], sorted(found - wanted)[:10]
        raise BuildError(
            "build_mismatch", f"The zip does not hold what {MANIFEST} says. Missing: {missing}; not asked for: {extra}."
        )
