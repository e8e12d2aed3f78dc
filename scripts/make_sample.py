# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes `examples/walk.bvh`: a walk cycle computed from scratch, so that the project has a clip of its own to try things with.

Feet are planned first (planted, rolling over heel and ball), then the pelvis over them, then the knees by two-bone geometry.
Run: `python -P -m motion_queue.scripts.make_sample [FILE]`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ..motion import quat
from ..motion.bvh import write_bvh
from ..motion.kinematics import forward
from ..motion.quat import Array
from ..motion.skeleton import Motion, Skeleton

FPS = 30
CYCLE = 30  # frames for two steps
CYCLES = 4
STRIDE = 118.0  # cm for two steps
LEAD = 26.0  # cm that a heel strikes the ground ahead of the pelvis
STANCE = 0.62  # share of the cycle that a foot stands
THIGH, SHIN, ANKLE = 41.0, 41.5, 8.5  # cm; ANKLE is its height above the sole
BALL = np.array([0.0, 2.0 - ANKLE, 13.0])  # from the ankle to where the toes begin
HEEL = np.array([0.0, -ANKLE, -4.5])
UP, LEFT = np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])

# joint, parent, offset in cm. Y up, the person looks along +Z, T-pose.
BODY: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("pelvis", "", (0, 0, 0)),
    ("l_hip", "pelvis", (9, -6, 0)),
    ("l_knee", "l_hip", (0, -THIGH, 0)),
    ("l_ankle", "l_knee", (0, -SHIN, 0)),
    ("l_foot", "l_ankle", (0, 2.0 - ANKLE, 13)),
    ("r_hip", "pelvis", (-9, -6, 0)),
    ("r_knee", "r_hip", (0, -THIGH, 0)),
    ("r_ankle", "r_knee", (0, -SHIN, 0)),
    ("r_foot", "r_ankle", (0, 2.0 - ANKLE, 13)),
    ("spine1", "pelvis", (0, 9, -1)),
    ("spine2", "spine1", (0, 12, 0)),
    ("spine3", "spine2", (0, 12, 0)),
    ("neck", "spine3", (0, 18, -1)),
    ("head", "neck", (0, 10, 2)),
    ("l_collar", "spine3", (5, 13, -1)),
    ("l_shoulder", "l_collar", (12.5, 1, -1)),
    ("l_elbow", "l_shoulder", (27.5, 0, 0)),
    ("l_wrist", "l_elbow", (25, 0, 0)),
    ("r_collar", "spine3", (-5, 13, -1)),
    ("r_shoulder", "r_collar", (-12.5, 1, -1)),
    ("r_elbow", "r_shoulder", (-27.5, 0, 0)),
    ("r_wrist", "r_elbow", (-25, 0, 0)),
)
ENDS = {"l_foot": (0, -2, 7), "r_foot": (0, -2, 7), "head": (0, 17, 0), "l_wrist": (18, 0, 0), "r_wrist": (-18, 0, 0)}


def skeleton() -> Skeleton:
    names = tuple(name for name, _, _ in BODY)
    return Skeleton(
        names=names,
        parents=np.array([names.index(parent) if parent else -1 for _, parent, _ in BODY], dtype=np.int64),
        offsets=np.array([offset for _, _, offset in BODY], dtype=np.float64),
        end_parents=np.array([names.index(name) for name in ENDS], dtype=np.int64),
        end_offsets=np.array(list(ENDS.values()), dtype=np.float64),
    )


def _turn(axis: Array, degrees: Array | float) -> Array:
    return quat.from_axis_angle(axis, np.radians(degrees))


def _smooth(x: Array, keys: list[tuple[float, float]]) -> Array:
    """A curve through keys (place, value), level at every key."""
    places, values = np.array(keys).T
    i = np.clip(np.searchsorted(places, x, side="right") - 1, 0, len(places) - 2)
    t = np.clip((x - places[i]) / (places[i + 1] - places[i]), 0.0, 1.0)
    return np.asarray(values[i] + (values[i + 1] - values[i]) * t * t * (3.0 - 2.0 * t))


def _pitch(phase: Array) -> Array:
    """Degrees the toes are up within the cycle that begins with the heel's strike."""
    return _smooth(phase, [(0.0, 16.0), (0.09, 0.0), (0.34, 0.0), (STANCE, -50.0), (0.86, 14.0), (1.0, 16.0)])


def _planted(phase: Array) -> tuple[Array, Array]:
    """Of a standing foot: ankle [N, 3] from where the heel touched, and rotation [N, 4]; it rolls over heel and ball."""
    pitch = _pitch(phase)
    turn = _turn(LEFT, -pitch)
    over = np.where(pitch[:, None] > 0.0, HEEL, BALL)
    return -HEEL + over - quat.rotate(turn, over), turn


def _foot(phase: Array, step: float, side: float) -> tuple[Array, Array, Array]:
    """Ankle positions [F, 3], foot rotations and toe rotations [F, 4] by phase; `step` is the z of the first heel."""
    cycle, within = np.floor(phase), phase % 1.0
    planted, turn = _planted(np.minimum(within, STANCE))
    # In the air: a cubic from the last planted place to the next, with the speeds it has there.
    eps = 1e-4
    (off, before), (on, after) = [
        (_planted(np.array([at]))[0][0], _planted(np.array([at + step_]))[0][0]) for at, step_ in ((STANCE, -eps), (0.0, eps))
    ]
    air = 1.0 - STANCE
    start, end = off, on + np.array([0.0, 0.0, STRIDE])
    v0, v1 = (off - before) / eps * air, (after - on) / eps * air
    t = np.clip((within - STANCE) / air, 0.0, 1.0)[:, None]
    swing = (2 * t**3 - 3 * t**2 + 1) * start + (t**3 - 2 * t**2 + t) * v0 + (3 * t**2 - 2 * t**3) * end + (t**3 - t**2) * v1
    swing[:, 1] += 4.0 * np.sin(np.pi * t[:, 0]) ** 2  # so that the toes clear the ground
    in_air = within > STANCE
    ankle = np.where(in_air[:, None], swing, planted)
    turn = np.where(in_air[:, None], _turn(LEFT, -_pitch(within)), turn)
    ankle = ankle + np.stack([np.full_like(cycle, side * 7.5), np.zeros_like(cycle), cycle * STRIDE + step], axis=-1)
    # Toes stay flat on the ground while the heel rises, and straighten in the air.
    bend = np.where(in_air, _smooth(within, [(STANCE, 50.0), (0.75, 8.0), (1.0, 0.0)]), np.maximum(-_pitch(within), 0.0))
    return ankle, turn, _turn(LEFT, -bend)


def _leg(hip: Array, ankle: Array, pole: Array) -> tuple[Array, Array]:
    """World rotations [F, 4] of thigh and shin that reach the ankle, knee towards `pole`."""
    reach = ankle - hip
    length = np.linalg.norm(reach, axis=-1)
    if bool((length > 0.9995 * (THIGH + SHIN)).any()):
        raise ValueError("The legs do not reach the planned footprints: lower the pelvis or shorten the stride.")
    down = reach / length[:, None]
    ahead = quat.normalize(pole - down * np.sum(pole * down, axis=-1, keepdims=True))
    cos = (THIGH**2 + length**2 - SHIN**2) / (2 * THIGH * length)
    thigh = down * cos[:, None] + ahead * np.sqrt(1.0 - cos**2)[:, None]
    shin = quat.normalize(reach - THIGH * thigh)
    left = np.cross(ahead, down)
    return _limb(left, thigh), _limb(left, shin)


def _limb(left: Array, down: Array) -> Array:
    return quat.from_matrix(np.stack([left, -down, np.cross(left, -down)], axis=-1))


def walk() -> Motion:
    """The clip: four cycles, whole, so that it loops but for the distance."""
    body = skeleton()
    index = {name: i for i, name in enumerate(body.names)}
    frames = CYCLE * CYCLES
    phase = np.arange(frames) / CYCLE + 1.0  # of the left foot; the right one follows by half a cycle
    wave = 2.0 * np.pi * phase
    along = (phase - 1.0) * STRIDE

    # Highest over the standing leg, lowest while both feet stand; over to the standing side; hip of the leading leg forward.
    sway = 2.2 * np.cos(wave - 2.0 * np.pi * 0.31)
    height = 93.6 - 2.3 * np.cos(2.0 * (wave - 2.0 * np.pi * 0.06))
    pelvis_yaw = -5.0 * np.cos(wave)
    pelvis_roll = 3.2 * np.cos(wave - 2.0 * np.pi * 0.20)
    root = np.stack([sway, height, along], axis=-1)

    local = np.broadcast_to(quat.IDENTITY, (frames, len(body), 4)).copy()
    forward_axis = np.array([0.0, 0.0, 1.0])
    pelvis = quat.mul(_turn(UP, pelvis_yaw), quat.mul(_turn(forward_axis, pelvis_roll), _turn(LEFT, np.full(frames, 2.5))))
    local[:, index["pelvis"]] = pelvis

    # The trunk turns against the pelvis and stays upright; the head looks ahead.
    chest_yaw = 6.5 * np.cos(wave)
    for i, name in enumerate(("spine1", "spine2", "spine3")):
        lean = (1.2, 0.4, -0.6)[i]
        turn = quat.mul(_turn(UP, (chest_yaw - pelvis_yaw) / 3.0), _turn(forward_axis, -0.42 * pelvis_roll))
        local[:, index[name]] = quat.mul(turn, _turn(LEFT, np.full(frames, lean)))
    local[:, index["neck"]] = quat.mul(_turn(UP, -0.5 * chest_yaw), _turn(LEFT, np.full(frames, 6.0)))
    nod = -8.5 + 1.0 * np.cos(2.0 * wave)
    local[:, index["head"]] = quat.mul(
        _turn(UP, -0.4 * chest_yaw), quat.mul(_turn(forward_axis, 0.26 * pelvis_roll), _turn(LEFT, nod))
    )

    positions = np.tile(body.offsets, (frames, 1, 1))
    positions[:, index["pelvis"]] = root
    for side, sign, own in (("l", 1.0, phase), ("r", -1.0, phase - 0.5)):
        _, joints = forward(body.parents, local, positions)
        ankle, foot, toes = _foot(own, LEAD - (STRIDE if sign > 0 else 0.5 * STRIDE), sign)
        pole = quat.rotate(quat.mul(_turn(UP, 0.4 * pelvis_yaw), _turn(UP, np.full(frames, sign * 5.0))), forward_axis)
        thigh, shin = _leg(joints[:, index[f"{side}_hip"]], ankle, pole)
        local[:, index[f"{side}_hip"]] = quat.mul(quat.inverse(pelvis), thigh)
        local[:, index[f"{side}_knee"]] = quat.mul(quat.inverse(thigh), shin)
        local[:, index[f"{side}_ankle"]] = quat.mul(quat.inverse(shin), foot)
        local[:, index[f"{side}_foot"]] = toes

        # Arms hang and swing with the other side's leg, the forearm a little later and only forward.
        swing = np.cos(2.0 * np.pi * (own - 0.5))
        late = np.cos(2.0 * np.pi * (own - 0.5 - 0.07))
        local[:, index[f"{side}_collar"]] = _turn(UP, -sign * 2.0 * swing)
        hang = quat.mul(_turn(forward_axis, np.full(frames, -sign * 80.0)), _turn(LEFT, np.full(frames, 4.0)))
        local[:, index[f"{side}_shoulder"]] = quat.mul(_turn(LEFT, -(19.0 * swing - 3.0)), hang)
        local[:, index[f"{side}_elbow"]] = _turn(UP, -sign * (24.0 + 12.0 * late))
        local[:, index[f"{side}_wrist"]] = _turn(forward_axis, np.full(frames, -sign * 4.0))
    return Motion(skeleton=body, rotations=quat.continuous(local), positions=positions, frame_time=1.0 / FPS)


def main(argv: list[str]) -> int:
    default = Path(__file__).resolve().parents[1] / "examples" / "walk.bvh"
    path = Path(argv[0]) if argv else default
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(write_bvh(walk()))
    print(f"{path}: {CYCLE * CYCLES} frames at {FPS} fps")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
