# SPDX-License-Identifier: GPL-3.0-or-later
"""More motion out of the clips there are: cycles go on, ends that stand are held, arms are exchanged and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from motion_queue.backends.generate import representation as rep
from motion_queue.backends.generate.network import positions
from motion_queue.motion import quat
from motion_queue.scripts.train import augment


def swinging(frames: int, *, cycle: float = 24.0, speed: float = 1.2, drift: float = 0.0) -> rep.Body:
    """Legs that swing once a `cycle` of frames; `drift` radians a frame bend the trunk for good, so that nothing returns."""
    at = np.arange(frames)
    rotations = np.zeros((frames, rep.JOINTS, 4))
    rotations[..., 0] = 1.0
    swing = 0.5 * np.sin(2 * np.pi * at / cycle)
    for joint, sign in ((1, 1.0), (2, -1.0)):
        rotations[:, joint] = quat.from_axis_angle(np.array([1.0, 0.0, 0.0]), sign * swing)
    rotations[:, 3] = quat.from_axis_angle(np.array([1.0, 0.0, 0.0]), drift * at)
    root = np.zeros((frames, 3))
    root[:, 1], root[:, 2] = 0.955, at * speed / rep.FPS
    return rep.Body(rotations=rotations, root=root)


def test_a_walk_is_gone_on_with_in_its_own_cycle() -> None:
    short, whole = rep.encode(swinging(52)), rep.encode(swinging(200))
    longer = augment.lengthened(short, 100)
    assert 100 <= len(longer) < 160
    # Away from the seams' first frames it is the walk that was never cut.
    assert np.abs(positions(longer) - positions(whole)[: len(longer)]).max() < 0.03
    assert longer[:, rep.VELOCITY].sum(axis=0)[1] == pytest.approx(1.2 / rep.FPS * len(longer), rel=0.02)


def test_who_ends_standing_is_held_and_who_ends_in_flight_is_left() -> None:
    bending = swinging(50, cycle=1e9, speed=0.0, drift=0.06)
    last = np.minimum(np.arange(50), 40)  # bends, and stands bent
    still = rep.encode(rep.Body(rotations=bending.rotations[last], root=bending.root[last]))
    held = augment.lengthened(still, 70)
    assert len(held) >= 70 and np.abs(held[50:, rep.ROTATIONS] - held[49, rep.ROTATIONS]).max() < 0.1
    assert not held[50:, :3].any()
    flying = swinging(50)
    flying.root[:, 1] += 0.03 * np.arange(50)
    assert len(augment.lengthened(rep.encode(flying), 70)) == 50
    assert augment.lengthened(held, 60) is held


def test_only_the_arm_is_exchanged() -> None:
    body, donor = swinging(60), swinging(40)
    donor.rotations[:, augment.ARMS["left"][1]] = quat.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.full(40, 1.3))
    out = augment.arms_replaced(body, donor, augment.to_and_fro(0, 40, 60), ("left",), 12)
    others = [joint for joint in range(rep.JOINTS) if joint not in augment.ARMS["left"]]
    assert np.abs(quat.angle(out.rotations[:, others], body.rotations[:, others])).max() < 1e-6
    lifted = rep.NAMES.index("l_shoulder")
    turn = quat.angle(out.rotations[:, lifted], body.rotations[:, lifted])
    assert turn[:12].max() < 1e-6 and turn[24:].min() > 1.2 and np.abs(np.diff(turn)).max() < 0.35


def test_to_and_fro_stays_within_and_never_jumps() -> None:
    at = augment.to_and_fro(3, 9, 40)
    assert at.min() == 3 and at.max() == 8 and np.abs(np.diff(at)).max() == 1 and len(at) == 40
    assert augment.to_and_fro(5, 6, 4).tolist() == [5, 5, 5, 5]
