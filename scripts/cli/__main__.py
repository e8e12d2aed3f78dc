# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m motion_queue.scripts.cli`: what `mq.py` becomes once the environment is there."""

import sys

from .main import main

raise SystemExit(main(sys.argv[1:]))
