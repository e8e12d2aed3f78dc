# SPDX-License-Identifier: GPL-3.0-or-later
"""Text to motion with published models, MoMask and SnapMoGen's MoMask++, run from the user's own checkout.

This file imports nothing: `own_main`, `own_torch`, `momask` and `momask_plus` run in the user's own Python, which may be 3.7,
with nothing of this package but `motion.features`. The rest runs here: `model` (options), `check` (what is missing), `backend`
and `child`.
"""
