# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line with a batch of which some is broken, and stopped by Ctrl-C at its first Blender."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from .support import LIMIT

_MQ = [sys.executable, "-I", "-m", "motion_queue.scripts.cli"]
_RETARGETING = ("Loading the character", "Retargeting", "Writing the action", "Saving the character", "Exporting FBX")
_SMALL = ["--resolution", "64x48", "--frames", "1-3"]


def test_a_bad_clip_of_several_ends_with_one_and_its_log_is_named(walk: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.bvh"
    bad.write_bytes(walk.read_bytes()[:400])
    out = tmp_path / "out"
    command = [*_MQ, "run", str(walk), str(bad), *_SMALL, "--out", str(out), "--state", str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)

    assert done.returncode == 1, done.stderr
    assert "walk: completed" in done.stdout
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("bad: failed: "))
    assert lines[at].endswith("[bvh_hierarchy]")
    log = Path(lines[at + 1].strip().removeprefix("log: "))
    assert "bvh_hierarchy" in log.read_text(encoding="utf-8")
    assert (out / "walk" / "video.mp4").stat().st_size > 0
    assert json.loads((out / "bad" / "job.json").read_text(encoding="utf-8"))["state"] == "failed"


def test_stopped_by_ctrl_c_in_the_middle_of_a_retarget_it_goes_on_with_resume(walk: Path, tmp_path: Path) -> None:
    state, out = str(tmp_path / "state"), tmp_path / "out"
    command = [*_MQ, "run", str(walk), "--resolution", "64x48", "--out", str(out), "--state", state, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if any(stage in line for stage in _RETARGETING):  # not each of them is shown
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert not (out / "walk").exists()

    resumed = [*_MQ, "resume", "--state", state, "--json"]
    done = subprocess.run(resumed, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((out / "walk" / "job.json").read_text(encoding="utf-8"))
    assert record["state"] == "completed"
    assert record["crash_count"] == 0, "a clean stop is no crash"
    assert record["result"]["render"]["frames"] == 120
