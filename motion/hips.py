# SPDX-License-Identifier: GPL-3.0-or-later
"""Hips wider than the performer's: they turn less, or every turn of the pelvis would drag the legs over feet that stand."""

from __future__ import annotations

import numpy as np

from . import quat
from .anatomy import Joints, leg_length
from .quat import Array
from .smooth import low_pass

_AS_CAPTURED = 1.3  # hips up to this much wider turn as they were captured
_STEADY = 0.15  # Hz: how slowly the line turns about which the hips sway
_MOST = np.radians(20.0)  # that a turn is made smaller by


def width(points: Array, joints: Joints) -> float:
    """How far the hips are apart, in leg lengths, from joint positions [J, 3]."""
    return float(np.linalg.norm(points[joints["l_hip"]] - points[joints["r_hip"]])) / leg_length(points, joints)


def steadied(pelvis: Array, frame_time: float, own: float, performer: float) -> Array:
    """The frames of a pelvis [F, 4] whose hips are `own` leg lengths apart, so that they go about as far forth and back, up and
    down as those of the performer did, which are `performer` apart. Leaning forward and slow turns stay."""
    if own <= _AS_CAPTURED * performer:
        return pelvis
    share = _AS_CAPTURED * performer / own
    left = quat.rotate(pelvis, [1.0, 0.0, 0.0])
    mean = low_pass(left, frame_time, _STEADY)
    steady = quat.length(mean)  # below one where the body spins, and the mean means little
    back = quat.between(left, mean)
    angle = 2.0 * np.arccos(np.clip(back[:, 0], -1.0, 1.0))
    # The sine: no turn back where the way back could as well be the other way round.
    less = _MOST * np.tanh((1.0 - share) * np.sin(angle) / _MOST) * np.minimum(steady, 1.0) ** 2
    return quat.mul(quat.from_axis_angle(quat.normalize(back[:, 1:]), less), pelvis)
