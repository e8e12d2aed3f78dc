# SPDX-License-Identifier: GPL-3.0-or-later
"""`mq.py retarget` onto disks that are full or may not be written to: what was there stays, and nothing half-written is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fault.mounts import Mount

from .support import LIMIT, fill


def _retarget(walk: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-m", "motion_queue.scripts.cli", "retarget", str(walk), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)


@pytest.mark.parametrize("kind", ["fbx", "blend", "bvh"])
@pytest.mark.parametrize("kilobytes", [0, 120])
def test_on_a_full_disk_what_was_there_stays(mount: Mount, walk: Path, tmp_path: Path, kind: str, kilobytes: int) -> None:
    """Full from the start, and with room for the clip as it is read but not for what is made of it."""
    small = mount(tmp_path / "small", megabytes=1)
    out = small / f"walk.{kind}"
    out.write_bytes(b"an earlier result")
    filler = fill(small)
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - kilobytes * 1024)

    done = _retarget(walk, out)

    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.rstrip().endswith("[disk_full]"), done.stderr
    assert out.read_bytes() == b"an earlier result"
    assert sorted(path.name for path in small.iterdir()) == ["filler", out.name]


def test_a_folder_that_may_not_be_written_to_is_said(mount: Mount, walk: Path, tmp_path: Path) -> None:
    done = _retarget(walk, mount(tmp_path / "read-only") / "walk.fbx")
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith("[output_not_writable]"), done.stderr
