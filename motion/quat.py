# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations as unit quaternions in arrays `[..., 4]`, w x y z, right-handed. Plain functions; knows no skeletons and no files.

All functions broadcast over leading dimensions and return float64. Angles are radians.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

IDENTITY: Array = np.array([1.0, 0.0, 0.0, 0.0])
_EPS = 1e-12


def normalize(v: ArrayLike) -> Array:
    """Vectors or quaternions `[..., N]` at length 1; what has no length stays zero."""
    vectors: Array = np.asarray(v, dtype=np.float64)
    size = length(vectors)[..., None]
    unit: Array = vectors / np.where(size < _EPS, 1.0, size)
    return unit


def dot(a: Array, b: Array) -> Array:
    """The scalar products [...] of vectors or quaternions `[..., N]`; several times as fast as a sum over the last axis."""
    return np.asarray(np.einsum("...i,...i->...", a, b))


def length(v: Array) -> Array:
    """The lengths [...] of vectors or quaternions `[..., N]`."""
    return np.asarray(np.sqrt(dot(v, v)))


def cross(a: Array, b: Array) -> Array:
    """The vector products `[..., 3]`; by components, as the library's own costs several times as much on small arrays."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    out[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    out[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    out[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return out


def inverse(q: ArrayLike) -> Array:
    """The inverse of unit quaternions."""
    conjugate: Array = np.asarray(q, dtype=np.float64) * np.array([1.0, -1.0, -1.0, -1.0])
    return conjugate


def mul(a: ArrayLike, b: ArrayLike) -> Array:
    """The product `a b`: first `b`, then `a`."""
    # As pairs of complex numbers, q = (w + xi) + (y + zi) j, that takes a third of the operations.
    a, b = _pairs(a), _pairs(b)
    out = np.empty(np.broadcast_shapes(a.shape, b.shape), dtype=np.complex128)
    out[..., 0] = a[..., 0] * b[..., 0] - a[..., 1] * b[..., 1].conj()
    out[..., 1] = a[..., 0] * b[..., 1] + a[..., 1] * b[..., 0].conj()
    return out.view(np.float64)


def _pairs(q: ArrayLike) -> NDArray[np.complex128]:
    q = np.asarray(q, dtype=np.float64)
    return (q if q.strides[-1] == q.itemsize else np.ascontiguousarray(q)).view(np.complex128)


def rotate(q: ArrayLike, v: ArrayLike) -> Array:
    """Vectors `[..., 3]` turned by `q`."""
    q, v = np.asarray(q, dtype=np.float64), np.asarray(v, dtype=np.float64)
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    a, b, c = v[..., 0], v[..., 1], v[..., 2]
    tx, ty, tz = 2.0 * (y * c - z * b), 2.0 * (z * a - x * c), 2.0 * (x * b - y * a)
    out = np.empty((*tx.shape, 3))
    out[..., 0] = a + w * tx + y * tz - z * ty
    out[..., 1] = b + w * ty + z * tx - x * tz
    out[..., 2] = c + w * tz + x * ty - y * tx
    return out


def from_axis_angle(axis: ArrayLike, angle: ArrayLike) -> Array:
    """Rotation by `angle` [...] about the unit `axis` [..., 3]."""
    half = 0.5 * np.asarray(angle, dtype=np.float64)[..., None]
    vector = np.sin(half) * np.asarray(axis, dtype=np.float64)
    return np.concatenate([np.broadcast_to(np.cos(half), (*vector.shape[:-1], 1)), vector], axis=-1)


def from_euler(angles: ArrayLike, order: str) -> Array:
    """`angles` [..., N] about the moving axes named in `order` ("zxy": R = Rz Rx Ry, as in BVH), N from 0 to 3."""
    angles = np.asarray(angles, dtype=np.float64)
    q = np.zeros((*angles.shape[:-1], 4))
    q[..., 0] = 1.0
    half = 0.5 * angles
    cos, sin = np.cos(half), np.sin(half)
    for i, name in enumerate(order):
        c, s = cos[..., i], sin[..., i]
        a = 1 + "xyz".index(name)  # q (c + s·axis): only the products with w and one axis are not zero
        if i == 0:
            q[..., 0], q[..., a] = c, s
            continue
        b, d = 1 + a % 3, 1 + (a + 1) % 3
        w, u, v, t = q[..., 0], q[..., a], q[..., b], q[..., d]
        turned = np.empty_like(q)
        turned[..., 0] = w * c - u * s
        turned[..., a] = u * c + w * s
        turned[..., b] = v * c + t * s
        turned[..., d] = t * c - v * s
        q = turned
    return q


def to_euler(q: ArrayLike, order: str) -> Array:
    """Angles [..., 3] about the moving axes in `order` (three different ones); the middle one lies in ±π/2.

    Safe at the singularity, where the third angle is zero. Source of the half-angle form: Bernardes and Viollet,
    "Quaternion to Euler angles conversion: A direct, general and computationally efficient method", 2022.
    """
    q = np.asarray(q, dtype=np.float64)
    i, j, k = ("xyz".index(name) for name in order)
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    # The article has fixed axes; moving axes i j k are the fixed axes k j i.
    sign = -sign
    w, x, y, z = q[..., 0], q[..., 1 + k], q[..., 1 + j], q[..., 1 + i] * sign
    a, b, c, d = w - y, x + z, y + w, z - x
    low, high = np.hypot(a, b), np.hypot(c, d)
    middle = 2.0 * np.arctan2(high, low)
    half_sum, half_diff = np.arctan2(b, a), np.arctan2(d, c)
    # At a pole only the sum or the difference of the outer angles is defined: the last one (fixed axis k) becomes zero.
    at_zero, at_pi = high < 1e-9, low < 1e-9
    half_diff = np.where(at_zero, half_sum, half_diff)
    half_sum = np.where(at_pi, half_diff, half_sum)
    last = half_sum - half_diff
    first = np.where(at_pi, 2.0 * half_diff, half_sum + half_diff)
    first = np.where(at_zero, 2.0 * half_sum, first)
    first = first * sign
    return np.stack([_wrap(first), middle - 0.5 * np.pi, _wrap(last)], axis=-1)


def _wrap(angle: Array) -> Array:
    return (angle + np.pi) % (2.0 * np.pi) - np.pi


def unwrap_euler(angles: Array) -> Array:
    """Euler angles [F, ..., 3] of three different axes made continuous over frames: the nearer of the two triples that
    mean the same rotation, and whole turns added, without a loop over frames."""
    if len(angles) < 2:
        return angles.copy()
    twin = np.stack([angles[..., 0] + np.pi, np.pi - angles[..., 1], angles[..., 2] + np.pi], axis=-1)
    keep = np.abs(_wrap(angles[1:] - angles[:-1])).sum(axis=-1)
    swap = np.abs(_wrap(twin[1:] - angles[:-1])).sum(axis=-1)
    use_twin = np.zeros(angles.shape[:-1], dtype=bool)
    use_twin[1:] = np.cumsum(swap < keep, axis=0) % 2 == 1
    return np.asarray(np.unwrap(np.where(use_twin[..., None], twin, angles), axis=0))


def to_matrix(q: ArrayLike) -> Array:
    """Rotation matrices [..., 3, 3] (columns are the turned axes)."""
    w, x, y, z = np.moveaxis(np.asarray(q, dtype=np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def from_matrix(m: ArrayLike) -> Array:
    """Quaternions of rotation matrices [..., 3, 3]; the largest of four equivalent forms, so that nothing cancels out."""
    m = np.asarray(m, dtype=np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    forms = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], axis=-1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], axis=-1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], axis=-1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], axis=-1),
        ],
        axis=-2,
    )
    best = np.argmax(np.stack([xx + yy + zz, xx - yy - zz, yy - xx - zz, zz - xx - yy], axis=-1), axis=-1)
    return normalize(np.take_along_axis(forms, best[..., None, None], axis=-2)[..., 0, :])


def between(a: ArrayLike, b: ArrayLike) -> Array:
    """The smallest rotation that turns direction `a` [..., 3] into `b`; for opposite ones half a turn about some normal."""
    a, b = normalize(a), normalize(b)
    q = np.empty((*np.broadcast_shapes(a.shape, b.shape)[:-1], 4))
    q[..., 0] = 1.0 + dot(a, b)
    q[..., 1:] = cross(a, b)
    opposite = q[..., 0] < 1e-9
    if opposite.any():
        first = np.broadcast_to(a, (*q.shape[:-1], 3))[opposite]
        q[opposite, 0] = 0.0
        q[opposite, 1:] = cross(first, np.where(np.abs(first[:, :1]) < 0.8, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    return normalize(q)


def slerp(a: ArrayLike, b: ArrayLike, t: ArrayLike) -> Array:
    """Along the shorter arc from `a` (t = 0) to `b` (t = 1) at constant speed; `t` [...] broadcasts over the rotations."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    t = np.asarray(t, dtype=np.float64)[..., None]
    b = np.where(dot(a, b)[..., None] < 0.0, -b, b)
    # Half the distance of the end points is the sine of half the angle: exact also where the cosine is flat.
    angle = 2.0 * np.arcsin(np.clip(0.5 * length(a - b)[..., None], 0.0, 1.0))
    sin = np.sin(angle)
    flat = sin < 1e-9
    safe = np.where(flat, 1.0, sin)
    wa = np.where(flat, 1.0 - t, np.sin((1.0 - t) * angle) / safe)
    wb = np.where(flat, t, np.sin(t * angle) / safe)
    return normalize(wa * a + wb * b)


def continuous(q: ArrayLike) -> Array:
    """Rotations [F, ..., 4] with signs chosen so that neighbouring frames are less than half a turn apart on the sphere."""
    q = np.array(q, dtype=np.float64, order="K")
    if len(q) > 1:
        flips = dot(q[1:], q[:-1]) < 0.0
        q[1:] *= np.where(np.cumsum(flips, axis=0) % 2 == 1, -1.0, 1.0)[..., None]
    return q


def mean(q: ArrayLike) -> Array:
    """The rotation [4] nearest to all of `q` [N, 4], whatever their signs."""
    q = np.asarray(q, dtype=np.float64)
    vectors: Array = np.linalg.eigh(q.T @ q)[1]
    return vectors[:, -1]


def angle(a: ArrayLike, b: ArrayLike) -> Array:
    """The angle [...] in radians between rotations."""
    d = mul(inverse(a), b)
    return np.asarray(2.0 * np.arctan2(length(d[..., 1:]), np.abs(d[..., 0])))
