# SPDX-License-Identifier: GPL-3.0-or-later
"""The mathematics of motion: skeletons, BVH, kinematics, retargeting. numpy only, arrays in, arrays out; no job, no Blender."""
