# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of `mq.py bench generate`: what is measured of generated motion, and beside what. Nothing here generates."""
