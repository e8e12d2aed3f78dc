# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line behind `scripts/mq.py`: arguments, terminal display, and the sub-commands."""
