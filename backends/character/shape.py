# SPDX-License-Identifier: GPL-3.0-or-later
"""The mannequin as arrays: joints, surface, skin weights and materials. numpy only; knows no bpy.

Axes are Blender's: metres, +Z up, +X the character's left, the face looks along -Y. The rest pose is a T-pose. Every body part is
a loft: rings of superellipses along one axis, closed by domes. Parts next to a joint end in a ball around that joint, so that
they can turn freely without a crease, which keeps extreme poses (high kicks, splits) clean with plain linear skinning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, Array]  # bone name → weight of each vertex of a part, [n]

HEIGHT = 1.70  # metres
BODY, JOINT, FACE = 0, 1, 2  # material slots

_CENTRE: dict[str, tuple[str, tuple[float, float, float]]] = {
    "pelvis": ("", (0.0, 0.0, 0.930)),
    "spine1": ("pelvis", (0.0, 0.010, 1.030)),
    "spine2": ("spine1", (0.0, 0.012, 1.140)),
    "spine3": ("spine2", (0.0, 0.008, 1.235)),
    "neck": ("spine3", (0.0, 0.018, 1.430)),
    "head": ("neck", (0.0, 0.000, 1.510)),
}
_LEFT: dict[str, tuple[str, tuple[float, float, float]]] = {
    "hip": ("pelvis", (0.090, 0.000, 0.880)),
    "knee": ("hip", (0.094, -0.004, 0.485)),
    "ankle": ("knee", (0.096, 0.016, 0.085)),
    "foot": ("ankle", (0.102, -0.105, 0.024)),
    "collar": ("spine3", (0.030, 0.010, 1.365)),
    "shoulder": ("collar", (0.172, 0.014, 1.380)),
    "elbow": ("shoulder", (0.437, 0.018, 1.380)),
    "wrist": ("elbow", (0.684, 0.012, 1.380)),
}
_ENDS = {"head": (0.0, 0.0, HEIGHT), "foot": (0.104, -0.175, 0.020), "wrist": (0.780, 0.008, 1.376)}
# The order of SMPL-X' body joints.
_ORDER = [
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """One bone of the rest pose: from its joint to `tail`, metres."""

    name: str
    parent: str
    head: tuple[float, float, float]
    tail: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A closed, skinned surface: vertices [n, 3], quads [m, 4] (a triangle repeats its last corner), slot of each face [m]."""

    vertices: Array
    faces: NDArray[np.int64]
    slots: NDArray[np.int64]
    weights: Weights


def joints() -> tuple[Joint, ...]:
    """The 22 body joints, parents first, named as in SMPL-X."""
    found: dict[str, tuple[str, tuple[float, float, float], tuple[float, float, float]]] = {}
    next_joint = {"pelvis": "spine1", "spine1": "spine2", "spine2": "spine3", "spine3": "neck", "neck": "head"}
    for name, (parent, head) in _CENTRE.items():
        tail = _CENTRE[next_joint[name]][1] if name in next_joint else _ENDS[name]
        found[name] = (parent, head, tail)
    chain = {"hip": "knee", "knee": "ankle", "ankle": "foot", "collar": "shoulder", "shoulder": "elbow", "elbow": "wrist"}
    for name, (parent, head) in _LEFT.items():
        tail = _LEFT[chain[name]][1] if name in chain else _ENDS[name]
        for side, sign in (("left", 1.0), ("right", -1.0)):
            of = parent if parent in _CENTRE else f"{side}_{parent}"
            found[f"{side}_{name}"] = (of, (sign * head[0], *head[1:]), (sign * tail[0], *tail[1:]))
    return tuple(Joint(name=n, parent=found[n][0], head=found[n][1], tail=found[n][2]) for n in _ORDER)


def parts() -> tuple[Part, ...]:
    """All parts of the body, both sides."""
    centre = [_pelvis(), _abdomen(), _chest(), _neck(), _head(), _face()]
    left = [*_arm(), *_hand(), *_leg(), *_foot()]
    return (*centre, *left, *(_mirrored(part) for part in left))


# --- lofts -------------------------------------------------------------------------------------------------------------------

# (position along the axis, centre u, centre v, radius u, radius v), metres
Ring = tuple[float, float, float, float, float]
_AXES = {"x": (0, 1, 2), "y": (1, 0, 2), "z": (2, 0, 1)}  # (along, u, v)


def _curve(values: Array, keys: Array, at: Array) -> Array:
    """Monotone cubic interpolation of `values` [k, c], given at `keys` [k], at the positions `at` [n]; never overshoots."""
    h = np.diff(keys)[:, None]
    slope = np.diff(values, axis=0) / h
    tangent = np.empty_like(values)
    tangent[0], tangent[-1] = slope[0], slope[-1]
    product = slope[:-1] * slope[1:]
    total = slope[:-1] + slope[1:]
    tangent[1:-1] = np.where(product > 0.0, 2.0 * product / np.where(total == 0.0, 1.0, total), 0.0)
    i = np.clip(np.searchsorted(keys, at, side="right") - 1, 0, len(keys) - 2)
    t = ((at - keys[i]) / h[i, 0])[:, None]
    return np.asarray(
        values[i] * (1 + 2 * t) * (1 - t) ** 2
        + tangent[i] * h[i] * t * (1 - t) ** 2
        + values[i + 1] * t**2 * (3 - 2 * t)
        + tangent[i + 1] * h[i] * t**2 * (t - 1)
    )


def _loft(
    axis: str,
    rings: Sequence[Ring],
    *,
    caps: tuple[float, float],
    weights: Callable[[Array], Weights],
    sides: int = 20,
    step: float = 0.022,
    power: float = 2.0,
    slot: int = BODY,
) -> Part:
    """A tube through `rings`, closed by domes of the heights `caps`; `power` 2 is an ellipse, more is squarer."""
    table = np.asarray(rings, float)
    keys = table[:, 0]
    start, end = keys[0], keys[-1]
    count = max(4, int(np.ceil((end - start) / step)) + 1)
    body = np.linspace(start, end, count)
    profile = _curve(table[:, 1:], keys, body)
    dome = np.linspace(0.0, np.pi / 2, 6)[1:-1]
    low = (start - caps[0] * np.sin(dome))[::-1]
    high = end + caps[1] * np.sin(dome)
    position = np.concatenate([low, body, high])
    shrink = np.concatenate([np.cos(dome)[::-1], np.ones(count), np.cos(dome)])
    profile = np.concatenate([np.repeat(profile[:1], len(dome), 0), profile, np.repeat(profile[-1:], len(dome), 0)])

    angle = np.arange(sides) * (2 * np.pi / sides)
    u = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / power)
    v = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / power)
    along, iu, iv = _AXES[axis]
    grid = np.empty((len(position), sides, 3))
    grid[..., along] = position[:, None]
    grid[..., iu] = profile[:, 0:1] + (profile[:, 2] * shrink)[:, None] * u
    grid[..., iv] = profile[:, 1:2] + (profile[:, 3] * shrink)[:, None] * v
    poles = np.empty((2, 3))
    poles[:, along] = start - caps[0], end + caps[1]
    poles[:, iu] = profile[[0, -1], 0]
    poles[:, iv] = profile[[0, -1], 1]
    vertices = np.concatenate([grid.reshape(-1, 3), poles])

    r, s = np.meshgrid(np.arange(len(position) - 1), np.arange(sides), indexing="ij")
    a, b = r * sides + s, r * sides + (s + 1) % sides
    quads = np.stack([a, b, b + sides, a + sides], -1).reshape(-1, 4)
    ring = np.arange(sides)
    following = (ring + 1) % sides
    last = (len(position) - 1) * sides
    bottom = np.stack([following, ring, np.full(sides, len(vertices) - 2), np.full(sides, len(vertices) - 2)], -1)
    top = np.stack([last + ring, last + following, np.full(sides, len(vertices) - 1), np.full(sides, len(vertices) - 1)], -1)
    faces = np.concatenate([quads, bottom, top])
    if axis == "y":  # (y, x, z) is left-handed: turn the faces the right way round
        faces = np.concatenate([faces[: len(quads), ::-1], faces[len(quads) :][:, [1, 0, 2, 3]]])
    return Part(vertices=vertices, faces=faces, slots=np.full(len(faces), slot), weights=weights(vertices))


def _ball(centre: Sequence[float], radius: float, weights: Callable[[Array], Weights], slot: int = JOINT) -> Part:
    x, y, z = centre
    ring = (z, x, y, radius, radius)
    return _loft("z", [(z - 1e-4, *ring[1:]), (z + 1e-4, *ring[1:])], caps=(radius, radius), weights=weights, slot=slot)


def _rigid(bone: str) -> Callable[[Array], Weights]:
    return lambda vertices: {bone: np.ones(len(vertices))}


def _blend(axis: int, *stops: tuple[str, float]) -> Callable[[Array], Weights]:
    """Weights that pass smoothly from bone to bone along an axis; each bone holds fully at its own position."""
    bones = [bone for bone, _ in stops]
    places = np.array([place for _, place in stops])
    if places[0] > places[-1]:
        bones, places = bones[::-1], places[::-1]

    def weigh(vertices: Array) -> Weights:
        at = np.clip(vertices[:, axis], places[0], places[-1])
        i = np.clip(np.searchsorted(places, at, side="right") - 1, 0, len(places) - 2)
        t = (at - places[i]) / (places[i + 1] - places[i])
        t = t * t * (3 - 2 * t)
        out = {bone: np.zeros(len(at)) for bone in bones}
        for k, bone in enumerate(bones):
            out[bone] += np.where(i == k, 1 - t, 0.0) + np.where(i + 1 == k, t, 0.0)
        return out

    return weigh


def _mirrored(part: Part) -> Part:
    faces = part.faces[:, ::-1].copy()
    triangles = part.faces[:, 2] == part.faces[:, 3]
    faces[triangles] = part.faces[triangles][:, [1, 0, 2, 3]]
    names = {b: b.replace("left_", "right_", 1) for b in part.weights}
    return Part(
        vertices=part.vertices * np.array([-1.0, 1.0, 1.0]),
        faces=faces,
        slots=part.slots,
        weights={names[b]: w for b, w in part.weights.items()},
    )


# --- the body ----------------------------------------------------------------------------------------------------------------


def _pelvis() -> Part:
    rings: list[Ring] = [
        (0.835, 0, 0.004, 0.062, 0.070),
        (0.868, 0, 0.004, 0.128, 0.094),
        (0.905, 0, 0.006, 0.160, 0.108),
        (0.945, 0, 0.008, 0.160, 0.108),
        (0.990, 0, 0.008, 0.146, 0.098),
        (1.020, 0, 0.008, 0.136, 0.090),
    ]
    return _loft("z", rings, caps=(0.030, 0.022), weights=_rigid("pelvis"), sides=28, power=2.25)


def _abdomen() -> Part:
    rings: list[Ring] = [
        (0.960, 0, 0.008, 0.126, 0.084),
        (1.040, 0, 0.008, 0.118, 0.081),
        (1.090, 0, 0.008, 0.115, 0.080),
        (1.150, 0, 0.006, 0.120, 0.085),
        (1.230, 0, 0.004, 0.130, 0.092),
    ]
    weigh = _blend(2, ("pelvis", 0.975), ("spine1", 1.065), ("spine2", 1.145), ("spine3", 1.225))
    return _loft("z", rings, caps=(0.03, 0.03), weights=weigh, sides=28, power=2.2, slot=JOINT)


def _chest() -> Part:
    rings: list[Ring] = [
        (1.140, 0, 0.004, 0.126, 0.089),
        (1.180, 0, 0.002, 0.142, 0.102),
        (1.240, 0, -0.002, 0.157, 0.114),
        (1.300, 0, 0.000, 0.163, 0.116),
        (1.345, 0, 0.006, 0.160, 0.105),
        (1.385, 0, 0.012, 0.140, 0.085),
        (1.415, 0, 0.016, 0.098, 0.066),
        (1.435, 0, 0.018, 0.068, 0.056),
    ]

    def weigh(vertices: Array) -> Weights:
        # The upper outer chest follows the collar bones, so that a raised shoulder lifts it.
        outer = np.clip((np.abs(vertices[:, 0]) - 0.05) / 0.10, 0, 1) * np.clip((vertices[:, 2] - 1.29) / 0.09, 0, 1)
        share = 0.65 * outer * outer * (3 - 2 * outer)
        left = np.where(vertices[:, 0] > 0, share, 0.0)
        right = np.where(vertices[:, 0] < 0, share, 0.0)
        return {"spine3": 1.0 - share, "left_collar": left, "right_collar": right}

    return _loft("z", rings, caps=(0.022, 0.016), weights=weigh, sides=28, power=2.25)


def _neck() -> Part:
    rings: list[Ring] = [
        (1.405, 0, 0.022, 0.056, 0.054),
        (1.440, 0, 0.018, 0.050, 0.050),
        (1.480, 0, 0.010, 0.046, 0.048),
        (1.530, 0, 0.004, 0.046, 0.050),
    ]
    return _loft(
        "z", rings, caps=(0.01, 0.01), weights=_blend(2, ("spine3", 1.425), ("neck", 1.455), ("head", 1.510)), slot=JOINT
    )


_SKULL: tuple[Ring, ...] = (
    (1.490, 0, -0.040, 0.030, 0.036),
    (1.503, 0, -0.027, 0.046, 0.060),
    (1.530, 0, -0.013, 0.061, 0.083),
    (1.570, 0, -0.004, 0.071, 0.094),
    (1.608, 0, 0.000, 0.0755, 0.0975),
    (1.630, 0, 0.002, 0.0750, 0.0970),
)


def _head() -> Part:
    return _loft("z", _SKULL, caps=(0.008, HEIGHT - 1.630), weights=_rigid("head"), sides=40, step=0.011, power=2.1)


def _face() -> Part:
    """A plate on the front of the head, with a nose: enough to see from afar where the figure looks."""
    half_width, half_height, middle = 0.053, 0.068, 1.566
    rings, sides = 11, 40
    radius = np.concatenate([np.linspace(0, 1, rings)[1:], [1.0]])
    angle = np.arange(sides) * (2 * np.pi / sides)
    x = half_width * radius[:, None] * np.cos(angle)
    z = middle + half_height * radius[:, None] * np.sin(angle)
    raised = np.concatenate(
        [0.0045 * np.sqrt(1 - np.linspace(0, 1, rings)[1:] ** 10), [-0.006]]
    )  # the last ring sinks into the head
    table = np.asarray(_SKULL)

    def surface(x: Array, z: Array) -> Array:
        profile = _curve(table[:, 1:], table[:, 0], np.clip(z.ravel(), table[0, 0], table[-1, 0]))
        centre, wide, deep = (profile[:, i].reshape(z.shape) for i in (1, 2, 3))
        return np.asarray(centre - deep * np.sqrt(np.clip(1 - (x / wide) ** 2, 0.02, 1)))

    nose = np.exp(-(((z - 1.566) / 0.021) ** 2) - (x / 0.0100) ** 2)
    y = surface(x, z) - raised[:, None] - 0.011 * nose
    front = np.stack([x, y, z], -1)
    tip_at = (np.zeros((1, 1)), np.full((1, 1), middle))
    tip = [0.0, float(surface(*tip_at)[0, 0]) - 0.0045 - 0.011, middle]
    back = [0.0, -0.05, middle]
    vertices = np.concatenate([front.reshape(-1, 3), [tip, back]])
    r, s = np.meshgrid(np.arange(len(radius) - 1), np.arange(sides), indexing="ij")
    a, b = r * sides + s, r * sides + (s + 1) % sides
    ring = np.arange(sides)
    following, last = (ring + 1) % sides, (len(radius) - 1) * sides
    first, closing = np.full(sides, len(vertices) - 2), np.full(sides, len(vertices) - 1)
    faces = np.concatenate(
        [
            np.stack([a, a + sides, b + sides, b], -1).reshape(-1, 4),
            np.stack([ring, following, first, first], -1),
            np.stack([last + following, last + ring, closing, closing], -1),
        ]
    )
    return Part(vertices=vertices, faces=faces, slots=np.full(len(faces), FACE), weights=_rigid("head")(vertices))


def _arm() -> list[Part]:
    shoulder, elbow, wrist = (_LEFT[n][1] for n in ("shoulder", "elbow", "wrist"))
    y, z = shoulder[1], shoulder[2]
    upper: list[Ring] = [
        (shoulder[0], y, z, 0.056, 0.056),
        (0.215, y, z, 0.053, 0.054),
        (0.270, y, z, 0.047, 0.049),
        (0.330, y - 0.002, z, 0.044, 0.046),
        (0.390, y, z, 0.039, 0.039),
        (0.408, y, z, 0.036, 0.036),
    ]
    fore: list[Ring] = [
        (0.465, elbow[1], z, 0.036, 0.036),
        (0.510, elbow[1] - 0.001, z, 0.041, 0.042),
        (0.560, elbow[1] - 0.002, z, 0.038, 0.039),
        (0.620, elbow[1] - 0.004, z, 0.031, 0.029),
        (0.668, wrist[1], z, 0.0265, 0.023),
    ]
    shoulder_ball = _ball((0.150, y - 0.002, z - 0.006), 0.056, _rigid("left_collar"))
    return [
        shoulder_ball,
        _loft("x", upper, caps=(0.054, 0.016), weights=_rigid("left_shoulder")),
        _ball(elbow, 0.0375, _blend(0, ("left_shoulder", elbow[0] - 0.02), ("left_elbow", elbow[0] + 0.02))),
        _loft("x", fore, caps=(0.016, 0.008), weights=_rigid("left_elbow")),
        _ball((wrist[0] - 0.002, wrist[1], z), 0.0225, _blend(0, ("left_elbow", 0.666), ("left_wrist", 0.700))),
    ]


def _hand() -> list[Part]:
    y, z = 0.010, 1.379
    palm: list[Ring] = [
        (0.702, y, z, 0.025, 0.018),
        (0.727, y - 0.004, z - 0.001, 0.038, 0.0185),
        (0.758, y - 0.003, z - 0.002, 0.043, 0.0175),
        (0.784, y - 0.001, z - 0.003, 0.042, 0.015),
    ]
    made = [_loft("x", palm, caps=(0.010, 0.010), weights=_rigid("left_wrist"), sides=22, step=0.011, power=2.6)]
    # index, middle, ring, little: offset across the palm (towards -Y is the thumb), length, radius
    for across, length, radius in (
        (-0.0315, 0.074, 0.0102),
        (-0.0105, 0.083, 0.0105),
        (0.0105, 0.076, 0.0101),
        (0.0302, 0.059, 0.0090),
    ):
        root, spread = 0.782, 0.10 * across
        finger: list[Ring] = [
            (root, y + across, z - 0.003, radius * 1.04, radius * 1.05),
            (root + 0.4 * length, y + across + 0.4 * spread, z - 0.005, radius, radius),
            (root + 0.75 * length, y + across + 0.8 * spread, z - 0.010, radius * 0.93, radius * 0.92),
            (root + length, y + across + spread, z - 0.018, radius * 0.78, radius * 0.76),
        ]
        made.append(_loft("x", finger, caps=(0.006, 0.007), weights=_rigid("left_wrist"), sides=10, step=0.014))
    thumb: list[Ring] = [
        (0.712, y - 0.020, z - 0.006, 0.015, 0.014),
        (0.734, y - 0.042, z - 0.010, 0.0142, 0.0128),
        (0.757, y - 0.058, z - 0.014, 0.0122, 0.0112),
        (0.778, y - 0.065, z - 0.018, 0.0102, 0.0094),
    ]
    made.append(_loft("x", thumb, caps=(0.008, 0.009), weights=_rigid("left_wrist"), sides=10, step=0.012))
    return made


def _leg() -> list[Part]:
    hip, knee, ankle = (_LEFT[n][1] for n in ("hip", "knee", "ankle"))
    thigh: list[Ring] = [
        (0.530, knee[0], knee[1], 0.053, 0.054),
        (0.560, 0.094, -0.004, 0.058, 0.060),
        (0.640, 0.094, -0.006, 0.068, 0.072),
        (0.740, 0.093, -0.006, 0.079, 0.084),
        (0.820, 0.091, -0.002, 0.084, 0.089),
        (hip[2], hip[0], hip[1], 0.084, 0.090),
    ]
    shin: list[Ring] = [
        (0.120, ankle[0], ankle[1] - 0.001, 0.032, 0.036),
        (0.180, 0.096, 0.014, 0.034, 0.039),
        (0.260, 0.096, 0.014, 0.043, 0.049),
        (0.340, 0.095, 0.012, 0.053, 0.059),
        (0.400, 0.094, 0.006, 0.054, 0.058),
        (0.445, 0.094, 0.000, 0.050, 0.052),
    ]
    return [
        _loft("z", thigh, caps=(0.022, 0.080), weights=_rigid("left_hip"), sides=24),
        _ball(knee, 0.0500, _blend(2, ("left_hip", knee[2] + 0.03), ("left_knee", knee[2] - 0.03))),
        _loft("z", shin, caps=(0.012, 0.020), weights=_rigid("left_knee"), sides=24),
        _ball((ankle[0], ankle[1], ankle[2] + 0.005), 0.0345, _blend(2, ("left_knee", 0.110), ("left_ankle", 0.070))),
    ]


def _foot() -> list[Part]:
    x = 0.098
    # along Y from the toes to the heel: the sole is flat at z = 0, so centre z = radius z
    rings: list[Ring] = [
        (-0.168, x + 0.004, 0.0165, 0.032, 0.0165),
        (-0.145, x + 0.005, 0.0200, 0.041, 0.0200),
        (-0.105, x + 0.005, 0.0265, 0.045, 0.0265),
        (-0.060, x + 0.002, 0.0370, 0.041, 0.0370),
        (-0.015, x - 0.001, 0.0440, 0.036, 0.0440),
        (0.025, x - 0.002, 0.0430, 0.035, 0.0430),
        (0.050, x - 0.002, 0.0350, 0.032, 0.0350),
    ]
    weigh = _blend(1, ("left_foot", -0.125), ("left_ankle", -0.085))
    part = _loft("y", rings, caps=(0.020, 0.016), weights=weigh, sides=24, step=0.013, power=2.7)
    vertices = part.vertices.copy()
    vertices[:, 2] = np.maximum(vertices[:, 2], 0.0)
    return [Part(vertices=vertices, faces=part.faces, slots=part.slots, weights=part.weights)]
