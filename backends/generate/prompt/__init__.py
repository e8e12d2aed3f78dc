# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts as people write them, read into a timeline. Standard library only; knows no arrays, files or networks."""
