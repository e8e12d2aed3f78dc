# SPDX-License-Identifier: GPL-3.0-or-later
"""Several programs with queues side by side: each has a folder of its own, and takes over what a dead one left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from motion_queue.app import App, Settings
from motion_queue.persistence.state import find_orphans

_SAMPLE = Path(__file__).resolve().parents[2] / "examples" / "walk.bvh"

# A program that queues clips, starts none of them, says which, and is killed.
_OTHER = """
import sys, time
from pathlib import Path
from motion_queue.app import App, Settings
app = App.claim(Settings(state_dir=Path(sys.argv[1])))
app.engine.pause_queue()
jobs = [app.clip_job(Path(sys.argv[2]), {"steps": ["read"], "frame_end": 5, "label": f"take {i}"}) for i in range(3)]
ticket = app.engine.submit_many(jobs)
ticket.wait_durable()
app.engine.cancel(ticket.job_ids[2]).wait_durable()
print(app.folder.path.name, *ticket.job_ids, flush=True)
time.sleep(600)
"""


def test_the_jobs_of_a_killed_program_are_finished_by_the_next_one(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", _OTHER, str(tmp_path), str(_SAMPLE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        name, *ids = other.stdout.readline().split()
        assert name == "state-1"
        with App.claim(Settings(state_dir=tmp_path)) as beside:
            assert beside.folder.path.name == "state-2"
            assert beside.engine.query().total == 0  # the other one lives: its jobs are its own
        os.kill(other.pid, signal.SIGKILL)
        other.wait(10)
    with App.claim(Settings(state_dir=tmp_path)) as first:
        # It got the dead one's own folder, and with it the jobs; the queue was paused, and stays so.
        assert first.folder.path.name == "state-1"
        assert [first.engine.get(job_id).state for job_id in ids] == ["queued", "queued", "cancelled"]
        with App.claim(Settings(state_dir=tmp_path)) as second:
            assert second.engine.query().total == 0


def test_a_running_program_adopts_a_folder_beside_its_own(tmp_path: Path) -> None:
    with App.claim(Settings(state_dir=tmp_path)) as mine:
        command = [sys.executable, "-P", "-c", _OTHER, str(tmp_path), str(_SAMPLE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            name, *ids = other.stdout.readline().split()
            assert name == "state-2"
            os.kill(other.pid, signal.SIGKILL)
            other.wait(10)
        orphans = find_orphans(tmp_path)
        assert [path.name for path in orphans] == ["state-2"]
        assert mine.adopt(orphans) == 2  # the cancelled one is over
        for job_id in ids[:2]:
            job = mine.engine.wait(job_id, 60)
            assert job.state == "completed", job.error
            assert job.result["read"]["frames"] == 5
            assert mine.store.path(job.artefacts[0].key).is_file()
        assert find_orphans(tmp_path) == []
        assert mine.adopt([tmp_path / "state-2"]) == 0  # once is enough
