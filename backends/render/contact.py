# SPDX-License-Identifier: GPL-3.0-or-later
"""Soft contact shadows for Workbench, which has only one hard shadow: a dark patch under whatever is near the floor.

A patch is a flat cone of rings, darkest and highest in the middle, so that where two of them overlap the darker one shows. It
follows one bone, and shrinks to nothing as that rises. It costs 2 % of a frame (960×540, four patches). Runs only inside a child
Blender; the arrays at the top know no bpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import compat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import bpy
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_REACH = 0.07  # of the figure's height: what is farther from the floor leaves no patch
_ROOM = 0.030  # of the figure's height around what touches the floor
_DARKEST = 0.38  # of the floor's light that is left in the middle
_RINGS, _SIDES = 14, 32
_RISE = 0.0010  # metres of a 1.7 m figure, from rim to middle; the floor's lines lie above
_MOST = 16  # patches; a body that lies down needs no more


class Patch(NamedTuple):
    """Where one bone's patch lies in every frame."""

    centre: Array  # [F, 2]
    turn: Array  # [F] radians, of the long side
    half: Array  # [F, 2] half of the long and the short side, metres; 0 where there is no patch


def patches(clouds: Sequence[Array], ground: float, height: float) -> list[Patch]:
    """For each bone that comes near the floor; `clouds` has its surface points in every frame, [F, n, 3]."""
    found = []
    for cloud in clouds:
        lowest = cloud[..., 2].min(1)
        near = np.clip(1.0 - (lowest - ground) / (_REACH * height), 0.0, 1.0)
        if near.max() < 0.3:
            continue
        # Only what is low counts: the sole of a boot and not its shaft.
        weight = np.clip(1.0 - (cloud[..., 2] - lowest[:, None]) / (_REACH * height), 0.0, 1.0) + 1e-6
        weight /= weight.sum(1, keepdims=True)
        centre = (cloud[..., :2] * weight[..., None]).sum(1)
        apart = cloud[..., :2] - centre[:, None]
        spread = np.einsum("fn,fni,fnj->fij", weight, apart, apart)
        sizes, axes = np.linalg.eigh(spread)
        # An axis has no direction: half turns between two frames are taken out.
        turn = np.unwrap(2.0 * np.arctan2(axes[:, 1, 1], axes[:, 0, 1])) / 2.0
        half = 1.6 * np.sqrt(np.maximum(sizes[:, ::-1], 0.0)) + _ROOM * height
        found.append((float(near.mean()), Patch(centre, turn, half * np.sqrt(near)[:, None])))
    found.sort(key=lambda entry: -entry[0])
    return [patch for _, patch in found[:_MOST]]


def build(
    scene: bpy.types.Scene, of: Sequence[Patch], frames: range, *, ground: float, height: float, floor: tuple[float, float, float]
) -> None:
    """Add the patches, which lie in the sampled `frames`, to the scene, in the colour of the floor."""
    import bpy  # noqa: PLC0415

    if not of:
        return
    mesh = _cone(_RISE * height / 1.7, floor)
    every = np.arange(frames.start, frames[-1] + 1)
    for number, patch in enumerate(of):
        holder = bpy.data.objects.new(f"Stage Contact {number + 1}", mesh)
        holder.display.show_shadows = False
        scene.collection.objects.link(holder)
        holder.location.z = ground + 0.0002 * height / 1.7
        columns = np.column_stack([patch.centre, patch.turn, patch.half])
        values = np.column_stack([np.interp(every, frames, column) for column in columns.T])
        compat.write_action(holder, holder.name, _channels(values), frames.start)


def _channels(values: Array) -> Iterator[compat.Channel]:
    for path, component, column in (
        ("location", 0, 0), ("location", 1, 1), ("rotation_euler", 2, 2), ("scale", 0, 3), ("scale", 1, 4),
    ):  # fmt: skip
        yield compat.Channel(path, component, "", values[:, column])


def _cone(rise: float, floor: tuple[float, float, float]) -> bpy.types.Mesh:
    """A disc of radius 1, as high as `rise` in the middle, each ring in its own grey."""
    import bpy  # noqa: PLC0415

    around = np.arange(_SIDES) * (2 * np.pi / _SIDES)
    circle = np.stack([np.cos(around), np.sin(around)], -1)
    radii = np.linspace(1.0, 0.0, _RINGS + 1)[:-1]
    vertices = np.concatenate([np.column_stack([r * circle, np.full(_SIDES, (1.0 - r) * rise)]) for r in radii])
    vertices = np.vstack([vertices, [[0.0, 0.0, rise]]])
    faces: list[tuple[int, ...]] = []
    for ring in range(_RINGS - 1):
        a = ring * _SIDES
        faces.extend((a + k, a + (k + 1) % _SIDES, a + _SIDES + (k + 1) % _SIDES, a + _SIDES + k) for k in range(_SIDES))
    last = (_RINGS - 1) * _SIDES
    faces.extend((last + k, last + (k + 1) % _SIDES, len(vertices) - 1) for k in range(_SIDES))
    mesh = bpy.data.meshes.new("Stage Contact")
    mesh.from_pydata(vertices.tolist(), [], faces)
    for ring in range(_RINGS):
        inside = (ring + 0.5) / _RINGS
        shade = 1.0 - (1.0 - _DARKEST) * inside * inside * (3.0 - 2.0 * inside)
        material = bpy.data.materials.new(f"Stage Contact {ring + 1}")
        material.diffuse_color = (*(shade * c for c in floor), 1.0)
        material.roughness = 0.9
        mesh.materials.append(material)
    mesh.polygons.foreach_set("material_index", np.repeat(np.arange(_RINGS, dtype=np.int32), _SIDES))
    return mesh
