# SPDX-License-Identifier: GPL-3.0-or-later
"""The neutral stage: a studio sweep with a metre grid, soft light, and a camera that frames the whole motion.

Runs only inside a child Blender. Knows the scene and what moves in it; no jobs, no files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import contact, framing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import bpy
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_LENS = 55.0  # mm on a 36 mm film
_FLOOR = (0.74, 0.78, 0.83)  # linear RGB
_LINES = (0.52, 0.57, 0.64)
_WORLD = (0.80, 0.85, 0.92)
_POINTS_PER_BONE = 24
_HIGHEST_FRAME_COUNT = 4_000  # beyond it frames are sampled evenly; the room around the figure covers what lies between


class Carrier(NamedTuple):
    """A bone, or a whole object, with surface points that move with it."""

    owner: bpy.types.Object
    bone: str  # empty: the object itself
    points: Array  # [n, 3] in the bone's (or object's) own space


class Moving(NamedTuple):
    """What moves in a scene, as far as it was looked at."""

    bounds: framing.Bounds
    clouds: list[Array]  # of each carrier, its points in every frame looked at, [F, n, 3]
    frames: range  # those


def carriers(objects: Iterable[bpy.types.Object]) -> list[Carrier]:
    """Surface points of the meshes, each with the bone that carries most of its weight. Nothing is evaluated."""
    found: list[Carrier] = []
    for target in objects:
        if target.type != "MESH" or target.hide_render or not target.data.vertices:
            continue
        flat = np.empty(len(target.data.vertices) * 3, np.float32)
        target.data.vertices.foreach_get("co", flat)
        local = flat.reshape(-1, 3).astype(np.float64)
        armature = next((m.object for m in target.modifiers if m.type == "ARMATURE" and m.object), None)
        if armature is not None:
            found.extend(_skinned(target, armature, local))
        else:
            found.append(Carrier(target, "", framing.extremes(local, _POINTS_PER_BONE)))
    return found


def _skinned(target: bpy.types.Object, armature: bpy.types.Object, local: Array) -> Iterator[Carrier]:
    bones = armature.data.bones
    names = [g.name if g.name in bones else "" for g in target.vertex_groups]
    owner = np.full(len(local), -1)
    for vertex in target.data.vertices:
        best = max(((g.weight, g.group) for g in vertex.groups if g.group < len(names) and names[g.group]), default=None)
        if best is not None:
            owner[vertex.index] = best[1]
    to_armature = np.array(armature.matrix_world.inverted() @ target.matrix_world)
    placed = local @ to_armature[:3, :3].T + to_armature[:3, 3]
    for group in np.unique(owner[owner >= 0]):
        bone = bones[names[group]]
        into = np.array(bone.matrix_local.inverted())
        chosen = framing.extremes(placed[owner == group], _POINTS_PER_BONE)
        yield Carrier(armature, bone.name, chosen @ into[:3, :3].T + into[:3, 3])
    if np.any(owner < 0):
        yield Carrier(target, "", framing.extremes(local[owner < 0], _POINTS_PER_BONE))


def measure(scene: bpy.types.Scene, of: list[Carrier], frames: range) -> Moving:
    """Where those points are in every frame. Meshes are not evaluated: their modifiers are off meanwhile."""
    count = sum(len(c.points) for c in of)
    if len(frames) > _HIGHEST_FRAME_COUNT:
        frames = range(frames.start, frames.stop, -(-len(frames) // _HIGHEST_FRAME_COUNT))
    clouds = np.empty((len(frames), count, 3))
    switched = [m for o in scene.objects if o.type == "MESH" for m in o.modifiers if m.show_viewport]
    before = scene.frame_current
    for modifier in switched:
        modifier.show_viewport = False
    for row, frame in enumerate(frames):
        scene.frame_set(frame)
        _place(of, clouds[row])
    for modifier in switched:
        modifier.show_viewport = True
    scene.frame_set(before)
    ends = np.cumsum([len(c.points) for c in of])[:-1]
    return Moving(framing.bounds(clouds, _rest_height(of)), np.split(clouds, ends, axis=1), frames)


def _place(of: list[Carrier], out: Array) -> None:
    start = 0
    for carrier in of:
        matrix = carrier.owner.matrix_world
        if carrier.bone:
            matrix = matrix @ carrier.owner.pose.bones[carrier.bone].matrix
        m = np.array(matrix)
        end = start + len(carrier.points)
        out[start:end] = carrier.points @ m[:3, :3].T + m[:3, 3]
        start = end


def _rest_height(of: list[Carrier]) -> float:
    heights = []
    for carrier in of:
        matrix = carrier.owner.matrix_world
        if carrier.bone:
            matrix = matrix @ carrier.owner.data.bones[carrier.bone].matrix_local
        m = np.array(matrix)
        heights.append((carrier.points @ m[:3, :3].T + m[:3, 3])[:, 2])
    all_heights = np.concatenate(heights)
    return max(1e-3, float(np.ptp(all_heights)))


def build(scene: bpy.types.Scene, moving: Moving) -> None:
    """Add floor, light and camera to the scene, whose engine is chosen, sized for what moves in it."""
    import bpy  # noqa: PLC0415
    from mathutils import Matrix  # noqa: PLC0415

    of = moving.bounds
    aspect = scene.render.resolution_x / scene.render.resolution_y
    across = 18.0 / _LENS
    tangents = (across, across / aspect) if aspect >= 1 else (across * aspect, across)
    view = framing.choose_view(of, tangents)

    camera = bpy.data.cameras.new("Stage Camera")
    camera.lens = _LENS
    camera.clip_start, camera.clip_end = of.height * 0.02, view.distance * 20 + of.height * 50
    holder = bpy.data.objects.new("Stage Camera", camera)
    scene.collection.objects.link(holder)
    holder.matrix_world = Matrix.Translation(view.position.tolist()) @ Matrix(view.axes.tolist()).to_4x4()
    scene.camera = holder

    middle = of.centre
    reach = float(np.linalg.norm(of.points[:, :2] - middle[:2], axis=1).max())
    _sweep(
        scene,
        middle,
        of.ground,
        radius=max(view.distance * 1.25, reach + of.height * 3),
        bend=of.height * 2.5,
        wall=view.distance,
    )
    _grid(scene, middle, of.ground, unit=of.height / 1.7, radius=reach + of.height)
    _light(scene, view, of)
    if scene.render.engine == "BLENDER_WORKBENCH":  # the others have soft shadows of their own
        under = contact.patches(moving.clouds, of.ground, of.height)
        contact.build(scene, under, moving.frames, ground=of.ground, height=of.height, floor=_FLOOR)


def _sweep(scene: bpy.types.Scene, middle: Array, ground: float, *, radius: float, bend: float, wall: float) -> None:
    """A round floor that bends up into a wall, without an edge that could be seen."""
    angle = np.linspace(0, np.pi / 2, 25)
    reach = np.concatenate([[0.0, radius * 0.5, radius], radius + bend * np.sin(angle[1:]), [radius + bend]])
    rise = np.concatenate([[0.0, 0.0, 0.0], bend * (1 - np.cos(angle[1:])), [bend + wall]])
    sides = 96
    around = np.arange(sides) * (2 * np.pi / sides)
    ring = np.stack([np.cos(around), np.sin(around), np.zeros(sides)], -1)
    rings = [reach[i] * ring + [middle[0], middle[1], ground + rise[i]] for i in range(1, len(reach))]
    vertices = np.concatenate([[[middle[0], middle[1], ground]], *rings])
    faces: list[tuple[int, ...]] = [(0, 1 + k, 1 + (k + 1) % sides) for k in range(sides)]
    for r in range(len(rings) - 1):
        a = 1 + r * sides
        faces.extend((a + k, a + sides + k, a + sides + (k + 1) % sides, a + (k + 1) % sides) for k in range(sides))
    _mesh(scene, "Stage Floor", vertices, faces, _FLOOR, 0.9)


def _grid(scene: bpy.types.Scene, middle: Array, ground: float, *, unit: float, radius: float) -> None:
    """Lines one metre (of a 1.7 m figure) apart, cut to a disc around the motion: they show how the figure travels."""
    half, above = 0.006 * unit, 0.0015 * unit
    radius = unit * np.ceil(radius / unit) + 0.5 * unit
    vertices: list[tuple[float, float, float]] = []
    for axis in (0, 1):
        first, last = (int(f((middle[axis] + s * radius) / unit)) for f, s in ((np.ceil, -1), (np.floor, 1)))
        for place in np.arange(first, last + 1) * unit:
            reach = float(np.sqrt(max(0.0, radius**2 - (place - middle[axis]) ** 2)))
            for side, end in ((-half, -reach), (half, -reach), (half, reach), (-half, reach)):
                point = [place + side, middle[1 - axis] + end]
                x, y = point if axis == 0 else point[::-1]
                vertices.append((x, y, ground + above))
    faces = [(i, i + 1, i + 2, i + 3) for i in range(0, len(vertices), 4)]
    _mesh(scene, "Stage Grid", np.array(vertices), faces, _LINES, 0.9)


def _mesh(
    scene: bpy.types.Scene,
    name: str,
    vertices: Array,
    faces: Sequence[tuple[int, ...]],
    colour: tuple[float, float, float],
    roughness: float,
) -> bpy.types.Object:
    import bpy  # noqa: PLC0415

    data = bpy.data.meshes.new(name)
    data.from_pydata(vertices.tolist(), [], faces)
    data.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    material = bpy.data.materials.new(name)
    material.diffuse_color = (*colour, 1.0)
    material.roughness = roughness
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Specular IOR Level"].default_value = 0.1
    data.materials.append(material)
    found = bpy.data.objects.new(name, data)
    found.display.show_shadows = False  # the wall would throw the whole floor into shadow
    found.visible_shadow = False
    scene.collection.objects.link(found)
    return found


def _light(scene: bpy.types.Scene, view: framing.View, of: framing.Bounds) -> None:
    """A soft key from the camera's upper left, a weaker fill, and a bright world: for EEVEE and Cycles."""
    import bpy  # noqa: PLC0415
    from mathutils import Vector  # noqa: PLC0415

    world = bpy.data.worlds.new("Stage")
    world.color = _WORLD
    world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (*_WORLD, 1.0)
    background.inputs["Strength"].default_value = 0.27
    scene.world = world

    right, up, back = view.axes.T
    for name, direction, strength, softness in (
        ("Stage Key", -0.75 * right + 1.0 * up + 0.65 * back, 1.5, 0.25),
        ("Stage Fill", 0.9 * right + 0.35 * up + 0.5 * back, 0.35, 0.8),
    ):
        sun = bpy.data.lights.new(name, "SUN")
        sun.energy, sun.angle = strength, softness
        holder = bpy.data.objects.new(name, sun)
        scene.collection.objects.link(holder)
        holder.rotation_euler = Vector(direction.tolist()).to_track_quat("Z", "Y").to_euler()
        holder.location = (of.centre + direction * of.height * 3).tolist()
    # Workbench has one shadow of its own, from the key. Its direction has Y for up, and points the other way along X and depth.
    to_light = -0.55 * right + 1.25 * up + 0.55 * back
    to_light /= np.linalg.norm(to_light)
    scene.display.light_direction = (to_light[0], to_light[2], -to_light[1])
