# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws what was retargeted beside what it came from: a picture for a rig, two rows for a clip. Runs only inside a Blender.

Bodies are seen from the front left, without perspective, each over its own floor: what is in or above it can be seen. Left limbs
are blue, right ones orange. Other characters are drawn as tall as the clip's body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .judge import SIDES, Array, Body
from .rigs import RigTable

if TYPE_CHECKING:
    import bpy

MOMENTS = 8
_TURN = np.radians(35.0)
_STEP, _ROW, _MARGIN = 1.4, 2.15, 1.2  # metres on the picture: from body to body, from row to row, for the names at the left
_TALL = 1.72  # metres that bodies are drawn tall
_WIDTH = 960  # pixels
_COLOURS = ((0.62, 0.62, 0.60), (0.10, 0.36, 0.80), (0.88, 0.36, 0.05))  # middle, left, right
_FLOOR, _INK, _PAPER = (0.45, 0.45, 0.45), (0.05, 0.05, 0.05), (0.95, 0.95, 0.95)
_BONES = (  # of the source's stick figure
    ("pelvis", "neck"), ("neck", "head"),
    *((f"{a}_{s}", f"{b}_{s}") for s in SIDES for a, b in (
        ("hip", "knee"), ("knee", "ankle"), ("ankle", "toe"), ("toe", "tip"), ("shoulder", "elbow"), ("elbow", "wrist"),
    )),
    *((middle, f"{joint}_{s}") for s in SIDES for middle, joint in (("pelvis", "hip"), ("neck", "shoulder"))),
)  # fmt: skip


@dataclass(slots=True)
class Shape:
    """A body at one moment: vertices in metres over its floor, its hips over the origin; the side of every face."""

    vertices: list[Array] = field(default_factory=list)
    faces: list[tuple[int, ...]] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)  # 0 middle, 1 left, 2 right
    count: int = 0

    def add(self, vertices: Array, faces: Sequence[Sequence[int]], side: int) -> None:
        self.vertices.append(vertices)
        self.faces += [tuple(int(v) + self.count for v in face) for face in faces]
        self.sides += [side] * len(faces)
        self.count += len(vertices)

    def bar(self, start: Array, end: Array, thick: float, side: int) -> None:
        """A limb: thickest at a fifth of its length, with an edge that shows its twist no better than a stick can."""
        way = end - start
        length = float(np.linalg.norm(way))
        if length < 1e-4:
            return
        along = way / length
        across = np.cross(along, [0.0, 0.0, 1.0] if abs(along[2]) < 0.9 else [0.0, 1.0, 0.0])
        across /= np.linalg.norm(across)
        self._spindle(start, end, across * thick, np.cross(along, across) * thick, side)

    def bone(self, matrix: Array, tail: Array, thick: float, side: int) -> None:
        """A bone with its own axes: twice as thick to its front, so that its twist can be seen."""
        x, z = (matrix[:3, i] / np.linalg.norm(matrix[:3, i]) for i in (0, 2))
        self._spindle(matrix[:3, 3], tail, x * thick, 1.6 * z * thick, side)

    def _spindle(self, start: Array, end: Array, x: Array, z: Array, side: int) -> None:
        middle = start + 0.2 * (end - start)
        ring = [middle + x, middle + z, middle - x, middle - z]
        self.add(
            np.array([start, *ring, end]),
            [(0, k, 1 + k % 4) for k in (1, 2, 3, 4)] + [(5, 1 + k % 4, k) for k in (1, 2, 3, 4)],
            side,
        )


def moments(frames: int) -> NDArray[np.int64]:
    return np.asarray(np.unique(np.linspace(0, frames - 1, MOMENTS).round().astype(np.int64)))


def of_source(body: Body, frame: int) -> Shape:
    """The clip's stick figure."""
    places = {name: values[frame] for name, values in body.joints.items()} | {"pelvis": body.pelvis[frame]}
    lift = 0.0 if body.soles else min(float(v[:, 2].min()) for n, v in body.joints.items() if n[:-2] in ("toe", "tip", "ankle"))
    origin = np.array([*places["pelvis"][:2], lift])
    shape = Shape()
    for a, b in _BONES:
        if a in places and b in places:
            shape.bar(places[a] - origin, places[b] - origin, 0.035, _side_of(b))
    top = places["head"] - origin
    shape.bar(top, top + 0.22 * _unit(places["head"] - places["neck"]), 0.09, 0)
    size = _TALL / (body.leg * 2.15)
    return _scaled(shape, size)


def of_target(armature: bpy.types.Object, table: RigTable, frames: Sequence[int], floor: float) -> list[Shape]:
    """The character at each frame: its meshes where it has any, else its bones."""
    import bpy  # noqa: PLC0415

    scene, bones = bpy.context.scene, table.bones()
    sides = _sides(armature, table)
    meshes = [o for o in scene.objects if o.type == "MESH" and any(m.type == "ARMATURE" for m in o.modifiers)]
    heaviest = {target.name: _heaviest(target, sides) for target in meshes}
    size = _TALL / _height(armature)
    found = []
    for frame in frames:
        scene.frame_set(frame)
        graph = bpy.context.evaluated_depsgraph_get()
        seen = armature.evaluated_get(graph)
        world = np.array(seen.matrix_world)
        hips = np.mean([np.array(seen.matrix_world @ seen.pose.bones[bones[f"hip_{s}"]].head) for s in SIDES], axis=0)
        origin = np.array([hips[0], hips[1], floor])
        shape = Shape()
        for target in meshes:
            _mesh(shape, target, graph, heaviest[target.name], origin)
        for bone in () if meshes else _drawn(armature, table):
            matrix = world @ np.array(seen.pose.bones[bone].matrix)
            tail = np.array(seen.matrix_world @ seen.pose.bones[bone].tail)
            length = float(np.linalg.norm(tail - matrix[:3, 3]))
            matrix[:3, 3] -= origin
            shape.bone(matrix, tail - origin, min(0.05, max(0.012, 0.16 * length)), sides.get(bone, 0))
        found.append(_scaled(shape, size))
    return found


def draw(rows: Sequence[tuple[str, Sequence[Shape]]], target: Path) -> None:
    """The picture: a row of bodies for each (name, shapes)."""
    import bpy  # noqa: PLC0415

    from ....backends.options import Device, Engine  # noqa: PLC0415
    from ....backends.render import look  # noqa: PLC0415

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    materials = [_material(f"side {k}", colour) for k, colour in enumerate(_COLOURS)]
    floor, ink = _material("floor", _FLOOR), _material("ink", _INK)
    turn = np.array([[np.cos(_TURN), -np.sin(_TURN), 0.0], [np.sin(_TURN), np.cos(_TURN), 0.0], [0.0, 0.0, 1.0]])
    wide = _MARGIN + MOMENTS * _STEP
    for number, (name, shapes) in enumerate(rows):
        ground = -number * _ROW
        _block(scene, (0.5 * MOMENTS * _STEP, 0.0, ground - 0.012), (MOMENTS * _STEP, 0.02, 0.024), floor)
        _text(scene, name, (-_MARGIN + 0.1, -3.0, ground + 1.25), ink)
        for column, shape in enumerate(shapes):
            places = np.concatenate(shape.vertices) @ turn.T + [_STEP * (column + 0.5), 0.0, ground]
            mesh = bpy.data.meshes.new("body")
            mesh.from_pydata(places.tolist(), [], shape.faces)
            for material in materials:
                mesh.materials.append(material)
            mesh.polygons.foreach_set("material_index", np.array(shape.sides, np.int32))
            scene.collection.objects.link(bpy.data.objects.new("body", mesh))
    high = _ROW * len(rows)
    lens = bpy.data.cameras.new("camera")
    lens.type, lens.ortho_scale, lens.clip_end = "ORTHO", max(wide, high), 200.0
    camera = bpy.data.objects.new("camera", lens)
    camera.location = (0.5 * wide - _MARGIN, -60.0, 2.05 - 0.5 * high)
    camera.rotation_euler = (np.pi / 2, 0.0, 0.0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y = _WIDTH, round(_WIDTH * high / wide)
    look.set_engine(scene, Engine.WORKBENCH, 5, Device.CPU, lambda *_: None)
    shading = scene.display.shading
    shading.light, shading.color_type, shading.show_cavity, shading.show_shadows = "STUDIO", "MATERIAL", True, False
    scene.view_settings.view_transform = "Standard"
    scene.render.dither_intensity = 0.0  # noise that would be most of the file
    scene.world = bpy.data.worlds.new("paper")
    scene.world.color = _PAPER
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    scene.render.image_settings.compression = 100
    scene.render.filepath = str(target)
    bpy.ops.render.render(write_still=True)


def _heaviest(target: bpy.types.Object, sides: dict[str, int]) -> NDArray[np.int64]:
    """The side of each face of a mesh: that of the bones which most of its corners hang on most."""
    groups = {group.index: sides.get(group.name, 0) for group in target.vertex_groups}
    corners = [groups.get(max(v.groups, key=lambda g: g.weight).group, 0) if len(v.groups) else 0 for v in target.data.vertices]
    of = np.array(corners, np.int64)
    return np.array([np.bincount(of[list(face.vertices)], minlength=3).argmax() for face in target.data.polygons], np.int64)


def _mesh(shape: Shape, target: bpy.types.Object, graph: bpy.types.Depsgraph, sides: NDArray[np.int64], origin: Array) -> None:
    seen = target.evaluated_get(graph)
    mesh = seen.to_mesh()
    places = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", places)
    world = np.array(seen.matrix_world)
    faces = [tuple(face.vertices) for face in mesh.polygons]
    shape.add(places.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3] - origin, faces, 0)
    if len(faces) == len(sides):  # what another modifier makes of the mesh stays grey
        shape.sides[-len(faces) :] = sides.tolist()
    seen.to_mesh_clear()


def _sides(armature: bpy.types.Object, table: RigTable) -> dict[str, int]:
    """Bone → 1 left, 2 right: what hangs on the sided joints."""
    found: dict[str, int] = {}
    for joint, bone in table.bones().items():
        if joint[-2:] in ("_l", "_r"):
            for below in (armature.data.bones[bone], *armature.data.bones[bone].children_recursive):
                found[below.name] = _side_of(joint)
    return found


def _drawn(armature: bpy.types.Object, table: RigTable) -> list[str]:
    """The bones that are a body: those of the joints and what hangs on them, without faces and helpers."""
    own = set(table.bones().values())
    face = {b.name for b in armature.data.bones[table.bones()["head"]].children_recursive}
    deform = {b.name for b in armature.data.bones if b.use_deform}
    prefix = "DEF-" if any(name.startswith("DEF-") for name in own) else ""
    helpers = ("ik_", "root", "pelvis.", "breast", "heel", "_end", "Toe_End")
    return [
        b.name
        for b in armature.data.bones
        if b.name in own
        or (b.name in deform - face and b.name.startswith(prefix) and not any(word in b.name for word in helpers))
    ]


def _height(armature: bpy.types.Object) -> float:
    import bpy  # noqa: PLC0415

    tops = [
        max((o.matrix_world @ v.co).z for v in o.data.vertices)
        for o in bpy.context.scene.objects
        if o.type == "MESH" and o.parent
    ]
    return float(max(tops) if tops else max((armature.matrix_world @ b.tail_local).z for b in armature.data.bones))


def _side_of(joint: str) -> int:
    return {"_l": 1, "_r": 2}.get(joint[-2:], 0)


def _scaled(shape: Shape, size: float) -> Shape:
    shape.vertices = [size * part for part in shape.vertices]
    return shape


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector))


def _material(name: str, colour: tuple[float, float, float]) -> bpy.types.Material:
    import bpy  # noqa: PLC0415

    material = bpy.data.materials.new(name)
    material.diffuse_color = (*colour, 1.0)
    material.roughness = 0.7
    return material


def _block(
    scene: bpy.types.Scene, place: tuple[float, float, float], size: tuple[float, float, float], material: bpy.types.Material
) -> None:
    import bpy  # noqa: PLC0415

    x, y, z = (0.5 * s for s in size)
    corners = [(a * x, b * y, c * z) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new("block")
    mesh.from_pydata(corners, [], faces)
    mesh.materials.append(material)
    block = bpy.data.objects.new("block", mesh)
    block.location = place
    scene.collection.objects.link(block)


def _text(scene: bpy.types.Scene, words: str, place: tuple[float, float, float], material: bpy.types.Material) -> None:
    import bpy  # noqa: PLC0415

    curve = bpy.data.curves.new("text", "FONT")
    curve.body, curve.size = words, 0.2
    curve.materials.append(material)
    text = bpy.data.objects.new("text", curve)
    text.location, text.rotation_euler = place, (np.pi / 2, 0.0, 0.0)
    scene.collection.objects.link(text)
