# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the mannequin in the running Blender: one armature, one skinned mesh. Runs only inside a child Blender.

The shape comes from `shape`; this module knows how Blender wants it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from . import shape

if TYPE_CHECKING:
    import bpy

NAME = "Mannequin"
# Slot order of `shape`: name, linear RGB, roughness
_MATERIALS = (
    ("Mannequin Body", (0.80, 0.77, 0.72), 0.45),
    ("Mannequin Joint", (0.060, 0.105, 0.165), 0.50),
    ("Mannequin Face", (0.060, 0.105, 0.165), 0.35),
)


def build(scene: bpy.types.Scene) -> bpy.types.Object:
    """Add the mannequin to the scene, standing on z = 0; returns its armature object."""
    armature = _armature(scene)
    _mesh(scene, armature)
    return armature


def _armature(scene: bpy.types.Scene) -> bpy.types.Object:
    import bpy  # noqa: PLC0415

    data = bpy.data.armatures.new(NAME)
    data.display_type = "STICK"
    found = bpy.data.objects.new(NAME, data)
    scene.collection.objects.link(found)
    with _active(scene, found):
        bpy.ops.object.mode_set(mode="EDIT")
        for joint in shape.joints():
            bone = data.edit_bones.new(joint.name)
            bone.head, bone.tail = joint.head, joint.tail
            if joint.parent:
                bone.parent = data.edit_bones[joint.parent]
        bpy.ops.object.mode_set(mode="OBJECT")
    return found


def _active(scene: bpy.types.Scene, target: bpy.types.Object) -> AbstractContextManager[object]:
    """Make the object the one that operators act on.

    An operator lets go of Python's lock, and under `temp_override` Blender then looks into the override without taking it again:
    `PyC_IsInterpreterActive` means any thread's interpreter up to Python 3.11. With other Python threads at work that ends in a
    segmentation fault (Blender 4.2 to 5.0). So nothing is overridden, but where there is no other way: in a timer of a window.
    """
    import bpy  # noqa: PLC0415

    context = bpy.context
    if context.scene == scene:
        context.view_layer.objects.active = target
        if getattr(context, "active_object", None) == target:
            return nullcontext()
    view_layer = scene.view_layers[0]
    view_layer.objects.active = target
    return context.temp_override(scene=scene, view_layer=view_layer, active_object=target, object=target)


def _mesh(scene: bpy.types.Scene, armature: bpy.types.Object) -> bpy.types.Object:
    import bpy  # noqa: PLC0415

    parts = shape.parts()
    offsets = np.cumsum([0, *(len(p.vertices) for p in parts)])
    vertices = np.concatenate([p.vertices for p in parts])
    faces = np.concatenate([p.faces + start for p, start in zip(parts, offsets, strict=False)])
    slots = np.concatenate([p.slots for p in parts])

    corners = np.where(faces[:, 2] == faces[:, 3], 3, 4)
    keep = np.ones(faces.shape, bool)
    keep[:, 3] = corners == 4
    mesh = bpy.data.meshes.new(NAME)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", vertices.astype(np.float32).ravel())
    mesh.loops.add(int(corners.sum()))
    mesh.loops.foreach_set("vertex_index", faces[keep].astype(np.int32))
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.concatenate([[0], np.cumsum(corners)[:-1]]).astype(np.int32))
    for name, colour, roughness in _MATERIALS:
        mesh.materials.append(_material(name, colour, roughness))
    mesh.polygons.foreach_set("material_index", slots.astype(np.int32))
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    mesh.update(calc_edges=True)
    mesh.validate()

    found = bpy.data.objects.new(f"{NAME} Body", mesh)
    scene.collection.objects.link(found)
    found.parent = armature
    _weights(found, parts, offsets)
    modifier = found.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
    return found


def _weights(target: bpy.types.Object, parts: tuple[shape.Part, ...], offsets: np.ndarray) -> None:
    """Vertices of equal weight are added in one call: rigid parts, which are most, take one call each."""
    for joint in shape.joints():
        group = target.vertex_groups.new(name=joint.name)
        for part, start in zip(parts, offsets, strict=False):
            weight = part.weights.get(joint.name)
            if weight is None:
                continue
            steps = np.round(weight * 64).astype(int)  # 1/64 is finer than the eye can see on a blend of a few centimetres
            for step in np.unique(steps[steps > 0]):
                group.add((np.flatnonzero(steps == step) + int(start)).tolist(), step / 64, "REPLACE")


def _material(name: str, colour: tuple[float, float, float], roughness: float) -> bpy.types.Material:
    import bpy  # noqa: PLC0415

    material = bpy.data.materials.new(name)
    material.diffuse_color = (*colour, 1.0)
    material.roughness = roughness
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Roughness"].default_value = roughness
    return material
