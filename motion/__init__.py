# SPDX-License-Identifier: GPL-3.0-or-later
"""The mathematics of motion: skeletons, BVH, kinematics, retargeting. numpy only, arrays in, arrays out; knows no job and no Blender."""
