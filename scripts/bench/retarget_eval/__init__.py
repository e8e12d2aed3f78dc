# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of `mq.py bench retarget`: rigs, clips, who retargets, and the judge, which shares no code with what it judges."""
