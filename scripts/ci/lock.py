# SPDX-License-Identifier: GPL-3.0-or-later
"""Renews the lock files in `requirements/` and the table of download sizes beside them.

For maintainers: `python3 scripts/ci/lock.py [NAME …]`, with `uv` on the PATH or in `$UV`. Standard library only. Locks carry
hashes and no addresses, so they work with whatever package index a machine is set up to use.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"

# Platform name as scripts/bootstrap.py spells it → what uv calls it.
PLATFORMS = {
    "linux-x86_64": "x86_64-manylinux_2_28",
    "macos-arm64": "aarch64-apple-darwin",
    "windows-amd64": "x86_64-pc-windows-msvc",
}


class Lock(NamedTuple):
    source: str
    python: str
    constraints: tuple[str, ...] = ()


LOCKS = {
    "lock-base.txt": Lock("base.in", "3.11"),
    "lock-py311.txt": Lock("py311.in", "3.11"),
    "lock-py313.txt": Lock("py313.in", "3.13"),
    "lock-py311-bpy42.txt": Lock("py311-bpy42.in", "3.11"),
    "lock-test.txt": Lock("test.in", "3.11", ("lock-py311.txt", "lock-py313.txt")),
    "lock-bench.txt": Lock("bench.in", "3.11"),
    "lock-dev.txt": Lock("dev.in", "3.11", ("lock-base.txt", "lock-test.txt")),
    "lock-pip.txt": Lock("pip.in", "3.11"),
    "lock-wheels.txt": Lock("wheels.in", "3.11"),
}


def compile_lock(uv: str, name: str, lock: Lock) -> None:
    """Resolve one input file for every platform into a hashed lock."""
    command = [uv, "pip", "compile", lock.source, "--output-file", name, "--generate-hashes", "--universal", "--upgrade"]
    command += ["--python-version", lock.python, "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    for constraint in lock.constraints:
        # Only what both interpreter locks agree on can be shared; uv reports a clash.
        command += ["--constraint", constraint]
    subprocess.run(command, cwd=REQUIREMENTS, check=True)


def sizes(uv: str, name: str, lock: Lock) -> dict[str, int]:
    """Bytes that an install of this lock downloads, by platform. A platform with no wheels for it is left out."""
    found: dict[str, int] = {}
    for platform, tag in PLATFORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            resolved = Path(folder) / "pylock.toml"
            command = [uv, "pip", "compile", lock.source, "--constraint", name, "--output-file", str(resolved), "--quiet"]
            command += ["--python-version", lock.python, "--python-platform", tag, "--only-binary", ":all:"]
            result = subprocess.run(command, cwd=REQUIREMENTS, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                print(f"{name}: no size for {platform}: {result.stderr.strip()}", file=sys.stderr)
                continue
            packages = tomllib.loads(resolved.read_text(encoding="utf-8"))["packages"]
        found[platform] = sum(int(package["wheels"][0]["size"]) for package in packages)
    return found


def main(names: list[str]) -> int:
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        print("lock.py needs `uv`: put it on the PATH, or its path in $UV.", file=sys.stderr)
        return 2
    table_path = REQUIREMENTS / "sizes.json"
    table = json.loads(table_path.read_text(encoding="utf-8")) if table_path.exists() else {}
    for name in names or list(LOCKS):
        print(f"{name} …", flush=True)
        compile_lock(uv, name, LOCKS[name])
        table[name] = sizes(uv, name, LOCKS[name])
    table_path.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
