# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs built from scratch, the motion pack beside the checkout, and the measure of a retarget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from motion_queue.motion import quat
from motion_queue.motion.rig import Rig
from motion_queue.scripts.make_sample import skeleton

Point = tuple[float, float, float]
Bone = tuple[str, str, Point, Point]  # name, parent, head, tail

DATA = Path(__file__).resolve().parents[4] / "shared" / "motion_data"


def to_z_up(points: np.ndarray) -> np.ndarray:
    """Y up, looking along +Z → Blender: Z up, looking along -Y."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)


def make_rig(bones: Sequence[Bone], rolls: float = 0.0, seed: int = 0) -> Rig:
    """(name, parent, head, tail) in metres, Z up; each bone's y runs along it, rolled at random up to `rolls` radians."""
    names = tuple(bone[0] for bone in bones)
    heads, tails = (np.array([bone[i] for bone in bones], dtype=float) for i in (2, 3))
    along = quat.normalize(tails - heads)
    angles = np.random.default_rng(seed).uniform(-rolls, rolls, len(bones))
    rest = quat.mul(quat.from_axis_angle(along, angles), quat.between(np.array([0.0, 1.0, 0.0]), along))
    return Rig(
        names=names,
        parents=np.array([names.index(bone[1]) if bone[1] else -1 for bone in bones]),
        heads=heads,
        tails=tails,
        rest=quat.to_matrix(rest),
    )


def mirrored(bones: Sequence[Bone], left: str, right: str) -> list[Bone]:
    """The bones with every left one repeated on the right."""

    def other(name: str) -> str:
        return name.replace(left, right)

    out: list[Bone] = []
    for name, parent, head, tail in bones:
        out.append((name, parent, head, tail))
        if left in name:
            out.append((other(name), other(parent), (-head[0], head[1], head[2]), (-tail[0], tail[1], tail[2])))
    return sorted(out, key=lambda bone: left in bone[0] or right in bone[0])


@pytest.fixture(scope="session")
def smpl_rig() -> Rig:
    """The SMPL joints in a T-pose, standing on z = 0."""
    body = skeleton()
    heads = to_z_up(body.rest_positions() + np.array([0.0, 97.0, 0.0])) / 100.0
    tails = heads.copy()
    for joint in range(len(body)):
        if children := body.children(joint):
            tails[joint] = heads[children].mean(axis=0)
    tails[body.end_parents] = heads[body.end_parents] + to_z_up(body.end_offsets) / 100.0
    parents = [body.names[p] if p >= 0 else "" for p in body.parents]
    return make_rig([(n, p, tuple(h), tuple(t)) for n, p, h, t in zip(body.names, parents, heads, tails, strict=True)])


@pytest.fixture(scope="session")
def mixamo_rig() -> Rig:
    """A Mixamo-like character in an A-pose (arms 45° down), with arbitrary bone rolls, shorter legs, a floor root and fingers."""
    bones = [
        ("Armature_Root", "", (0, 0, 0), (0, -0.2, 0)),
        ("mixamorig:Hips", "Armature_Root", (0, 0.01, 0.85), (0, 0.01, 0.95)),
        ("mixamorig:Spine", "mixamorig:Hips", (0, 0.0, 0.95), (0, 0.0, 1.07)),
        ("mixamorig:Spine1", "mixamorig:Spine", (0, 0.0, 1.07), (0, 0.02, 1.2)),
        ("mixamorig:Spine2", "mixamorig:Spine1", (0, 0.02, 1.2), (0, 0.03, 1.36)),
        ("mixamorig:Neck", "mixamorig:Spine2", (0, 0.03, 1.36), (0, 0.0, 1.45)),
        ("mixamorig:Head", "mixamorig:Neck", (0, 0.0, 1.45), (0, 0.0, 1.65)),
        ("mixamorig:LeftShoulder", "mixamorig:Spine2", (0.05, 0.03, 1.32), (0.15, 0.04, 1.33)),
        ("mixamorig:LeftArm", "mixamorig:LeftShoulder", (0.15, 0.04, 1.33), (0.35, 0.05, 1.13)),
        ("mixamorig:LeftForeArm", "mixamorig:LeftArm", (0.35, 0.05, 1.13), (0.52, 0.0, 0.95)),
        ("mixamorig:LeftHand", "mixamorig:LeftForeArm", (0.52, 0.0, 0.95), (0.58, -0.03, 0.89)),
        ("mixamorig:LeftHandMiddle1", "mixamorig:LeftHand", (0.58, -0.03, 0.89), (0.6, -0.04, 0.86)),
        ("mixamorig:LeftUpLeg", "mixamorig:Hips", (0.09, 0.0, 0.82), (0.1, -0.01, 0.45)),
        ("mixamorig:LeftLeg", "mixamorig:LeftUpLeg", (0.1, -0.01, 0.45), (0.11, 0.03, 0.09)),
        ("mixamorig:LeftFoot", "mixamorig:LeftLeg", (0.11, 0.03, 0.09), (0.13, -0.1, 0.02)),
        ("mixamorig:LeftToeBase", "mixamorig:LeftFoot", (0.13, -0.1, 0.02), (0.14, -0.17, 0.02)),
    ]
    return make_rig(mirrored(bones, "Left", "Right"), rolls=np.pi, seed=3)


@pytest.fixture(scope="session")
def rigify_rig() -> Rig:
    """Like Rigify's human metarig: spine in four, neck in two, heels, pelvis bones beside the legs, looking along -Y."""
    spine: list[Point] = [
        (0, 0.05, 1.0),
        (0, 0.01, 1.11),
        (0, 0.01, 1.25),
        (0, 0.04, 1.35),
        (0, 0.05, 1.51),
        (0, 0.03, 1.56),
        (0, 0.01, 1.61),
    ]
    bones: list[Bone] = [("spine", "", spine[0], spine[1])]
    for i in range(1, 7):
        tail = spine[i + 1] if i < 6 else (0, 0.01, 1.8)
        bones.append((f"spine.{i:03}", "spine" if i == 1 else f"spine.{i - 1:03}", spine[i], tail))
    bones += [
        ("face", "spine.006", (0, 0.0, 1.63), (0, 0.0, 1.68)),
        ("ear.L", "face", (0.08, 0.0, 1.66), (0.09, 0.0, 1.7)),
        ("pelvis.L", "spine", (0, 0.05, 1.0), (0.13, -0.02, 1.1)),
        ("shoulder.L", "spine.003", (0.02, -0.03, 1.46), (0.17, 0.03, 1.46)),
        ("upper_arm.L", "shoulder.L", (0.19, 0.04, 1.44), (0.42, 0.06, 1.28)),
        ("forearm.L", "upper_arm.L", (0.42, 0.06, 1.28), (0.6, 0.0, 1.12)),
        ("hand.L", "forearm.L", (0.6, 0.0, 1.12), (0.66, -0.02, 1.07)),
        ("thigh.L", "spine", (0.1, 0.01, 1.02), (0.1, -0.01, 0.55)),
        ("shin.L", "thigh.L", (0.1, -0.01, 0.55), (0.1, 0.02, 0.09)),
        ("foot.L", "shin.L", (0.1, 0.02, 0.09), (0.1, -0.09, 0.02)),
        ("toe.L", "foot.L", (0.1, -0.09, 0.02), (0.1, -0.16, 0.02)),
        ("heel.02.L", "foot.L", (0.06, 0.05, 0.0), (0.14, 0.05, 0.0)),
    ]
    return make_rig(mirrored(bones, ".L", ".R"), rolls=0.5, seed=7)


@pytest.fixture(scope="session")
def pack() -> Callable[[str], Path]:
    """A file of the motion pack by its name below the pack's folder; skips where the pack is not beside the checkout."""

    def find(name: str) -> Path:
        if not DATA.is_dir():
            pytest.skip("the motion pack is not beside the checkout")
        return DATA / name

    return find
