# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the text-to-motion model: from the folder of captioned motion to the weights that the extension ships. Needs torch."""
