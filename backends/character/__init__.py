# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in character: a mannequin that the project's own code makes."""
