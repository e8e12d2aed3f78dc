# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Blender with a window, driven from outside: for the tests and the benchmarks of the interface."""
