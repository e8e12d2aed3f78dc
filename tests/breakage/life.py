# SPDX-License-Identifier: GPL-3.0-or-later
"""One life of a queue process, to be killed: opens a state folder, submits clips if it holds none, works until all are over.

Run as a script: life.py STATE OUT MAX_CRASHES CLIP … Knows nothing of who kills it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from motion_queue.app import App, Settings

OPTIONS = {"resolution": [160, 90], "frame_end": 24}


def main(state: str, out: str, max_crashes: str, *clips: str) -> None:
    with App.open(Settings(state_dir=Path(state), max_crashes=int(max_crashes))) as app:
        if app.engine.query().total == 0:
            specs = [app.clip_job(Path(clip), {**OPTIONS, "output_dir": out}) for clip in clips]
            app.engine.submit_many(specs).wait_durable()
        for job in app.engine.query().jobs:
            app.engine.wait(job.id)
        app.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
