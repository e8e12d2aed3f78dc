# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a character into the running Blender, and nothing else: one scene with the armature and what hangs on it.

Runs only inside a child Blender. Files come from anywhere: nothing in them is run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...queue.errors import MotionQueueError
from ..character import mannequin

if TYPE_CHECKING:
    import bpy

FORMATS = (".blend", ".fbx", ".glb", ".gltf")
STANDS_FOR = "motion_queue_stands_for"  # a property of an armature that is a copy: whose
_HEADER = re.compile(rb"BLENDER(?:\d\d)?[-_](?:\d\d)?[vV](\d{3,4})")
_SHOWN = 8  # names in a message
_FARTHEST = 1e7  # metres, or times; what is farther out can neither be computed nor seen


def load_character(path: str, armature: str) -> bpy.types.Object:
    """The armature object of a character file, or of the mannequin where `path` is empty, alone with its meshes.

    What the file links from others is made its own. Raises `MotionQueueError`: character_missing, character_unreadable,
    blend_too_new, no_armature, several_armatures, bad_rig.
    """
    import bpy  # noqa: PLC0415

    if not path:
        return mannequin.build(bpy.context.scene)
    source = Path(path)
    if not source.is_file():
        raise MotionQueueError("character_missing", f"The character file {source} is not there. Choose another one.")
    kind = source.suffix.lower()
    if kind == ".blend":
        open_blend(source, use_scripts=False)
    elif kind in _IMPORTERS:
        _import(source, _IMPORTERS[kind])
    else:
        raise MotionQueueError(
            "character_unreadable",
            f"{source.name} is no character file. Use one of {', '.join(FORMATS)}.",
            details={"character": kind},
        )
    # What an override overrides is in the file beside it.
    overridden = {o.override_library.reference for o in bpy.data.objects if o.override_library}
    armatures = [o for o in bpy.data.objects if o.type == "ARMATURE" and o not in overridden]
    if not armatures:
        _refuse_missing_libraries(source.name)
    copies = [o for o in armatures if o.get(STANDS_FOR)]
    found = copies[0] if copies else choose_armature(armatures, armature, source.name)
    _refuse_nobody(found, source.name)
    found = _isolate(found)
    if copies:
        found.name = found.pop(STANDS_FOR)
    return found


def open_blend(path: Path, *, use_scripts: bool, role: str = "character") -> None:
    """Open a .blend as the main file. Raises `MotionQueueError`: <role>_unreadable, blend_too_new."""
    import bpy  # noqa: PLC0415

    try:
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=use_scripts)
    except RuntimeError as error:
        if _header_version(path) > bpy.app.version[:2] or "newer" in str(error).lower():
            raise _too_new(path, "") from error
        raise MotionQueueError(
            f"{role}_unreadable",
            f"Blender cannot open {path.name}: {str(error).strip()} Save it again in Blender, or choose another file.",
        ) from error
    if bpy.data.version[:2] > bpy.app.version[:2]:
        raise _too_new(path, "{}.{}".format(*bpy.data.version[:2]))


def choose_armature(found: list[bpy.types.Object], wanted: str, file: str) -> bpy.types.Object:
    """The one armature, or the one of that name (of the object or its data)."""
    names = ", ".join(sorted(o.name for o in found)[:_SHOWN]) + (" …" if len(found) > _SHOWN else "")
    if not found:
        raise MotionQueueError(
            "no_armature", f"{file} has no armature. Choose a rigged character.", details={"character": "no armature"}
        )
    if wanted:
        named = [o for o in found if wanted == o.name] or [o for o in found if wanted == o.data.name]
        if not named:
            raise MotionQueueError(
                "no_armature",
                f"{file} has no armature called {wanted!r}. It has: {names}.",
                details={"armature": "not in the file"},
            )
        return named[0]
    if len(found) > 1:
        raise MotionQueueError(
            "several_armatures",
            f"{file} has {len(found)} armatures: {names}. Choose one with the option 'armature'.",
            details={"armature": names},
        )
    return found[0]


def _refuse_nobody(armature: bpy.types.Object, file: str) -> None:
    """Raise when an armature has no bones or is nowhere that could be shown."""
    if not armature.data.bones:
        raise MotionQueueError(
            "bad_rig",
            f"The armature {armature.name} in {file} has no bones; Blender removes those without length. Choose another one.",
            details={"armature": "no bones"},
        )
    if not all(abs(value) <= _FARTHEST for row in armature.matrix_world for value in row):  # nan is not either
        raise MotionQueueError(
            "bad_rig",
            f"The armature {armature.name} in {file} is placed or scaled beyond all measure. Clear its transforms in Blender.",
            details={"armature": "no place"},
        )


def _refuse_missing_libraries(file: str) -> None:
    """Raise when a file shows nothing because what it links from is not there."""
    import bpy  # noqa: PLC0415

    gone = sorted({o.library.filepath for o in bpy.data.objects if o.library and o.is_missing})
    if gone:
        raise MotionQueueError(
            "character_unreadable",
            f"{file} links what it shows from {', '.join(gone[:_SHOWN])}, which cannot be read. Put that back where it was, or "
            "choose another file.",
            details={"character": "a linked file is missing"},
        )


def _too_new(path: Path, version: str) -> MotionQueueError:
    import bpy  # noqa: PLC0415

    saved = f"Blender {version}" if version else "a newer Blender"
    return MotionQueueError(
        "blend_too_new",
        f"{path.name} was saved by {saved}; this is Blender {bpy.app.version_string}. "
        "Use a Blender that is at least as new, or save the file for an older one.",
    )


def _header_version(path: Path) -> tuple[int, int]:
    """Of an uncompressed .blend; (0, 0) where it cannot be seen."""
    with path.open("rb") as file:
        found = _HEADER.match(file.read(20))
    return divmod(int(found[1]), 100) if found else (0, 0)


def _import(path: Path, importer: Callable[[Path], Any]) -> None:
    import bpy  # noqa: PLC0415

    try:
        importer(path)
    except MemoryError:
        raise
    except Exception as error:  # the importers are Python add-ons and raise whatever a broken file makes them raise
        reason = str(error).strip().splitlines()
        raise MotionQueueError(
            "character_unreadable",
            f"Blender's importer cannot read {path.name}: {reason[-1] if reason else type(error).__name__}. "
            "Export it again, or choose another file.",
        ) from error
    for material in bpy.data.materials:
        _show_base_colour(material)


def _fbx(path: Path) -> None:
    import bpy  # noqa: PLC0415

    enable_addon("io_scene_fbx")
    bpy.ops.import_scene.fbx(filepath=str(path), use_anim=False)


def _gltf(path: Path) -> None:
    import bpy  # noqa: PLC0415

    enable_addon("io_scene_gltf2")
    bpy.ops.import_scene.gltf(filepath=str(path), bone_heuristic="TEMPERANCE")


_IMPORTERS: dict[str, Callable[[Path], None]] = {".fbx": _fbx, ".glb": _gltf, ".gltf": _gltf}


def enable_addon(addon: str) -> None:
    """Make sure one of Blender's own add-ons is on: the user may have switched it off."""
    import addon_utils  # noqa: PLC0415
    import bpy  # noqa: PLC0415

    if addon not in bpy.context.preferences.addons:
        addon_utils.enable(addon)


def _show_base_colour(material: bpy.types.Material) -> None:
    """Importers set the shader's colour only; Workbench shows the material's own."""
    shader = next((n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED"), None) if material.node_tree else None
    if shader is not None:
        material.diffuse_color = shader.inputs["Base Color"].default_value
        material.roughness = shader.inputs["Roughness"].default_value
        material.metallic = shader.inputs["Metallic"].default_value


def _isolate(armature: bpy.types.Object) -> bpy.types.Object:
    """Leave one scene with the armature, what it hangs on and the meshes it moves; forget old animation and everything else.

    The armature is another object afterwards where it was linked.
    """
    import bpy  # noqa: PLC0415

    keep = {armature, *armature.children_recursive}
    for target in bpy.data.objects:
        if any(m.type == "ARMATURE" and m.object == armature for m in target.modifiers):
            keep.add(target)
    for target in list(keep):
        while target.parent is not None:
            target = target.parent  # noqa: PLW2901
            keep.add(target)
    shapes = {b.custom_shape for b in armature.pose.bones if b.custom_shape}

    scene = bpy.data.scenes.new("Motion")
    for target in keep - shapes:
        scene.collection.objects.link(target)
    if bpy.context.window is not None:
        bpy.context.window.scene = scene
    for other in [s for s in bpy.data.scenes if s != scene]:
        bpy.data.scenes.remove(other)
    # In one go, which for the hundreds of shapes of a control rig takes a fraction of the time.
    bpy.data.batch_remove([*(o for o in bpy.data.objects if o not in keep and o not in shapes), *bpy.data.collections])
    place = list(scene.collection.objects).index(armature)
    _own_everything()
    armature = scene.collection.objects[place]
    armature.hide_viewport = False  # what is hidden cannot be edited
    _forget_animation(armature)
    for action in list(bpy.data.actions):
        bpy.data.actions.remove(action)
    bpy.data.orphans_purge(do_recursive=True)
    return armature


def _own_everything() -> None:
    """Make what is linked from other files part of this one: nothing that is changed of a linked armature would be saved."""
    import bpy  # noqa: PLC0415

    for block in [*bpy.data.objects, *bpy.data.armatures, *bpy.data.meshes]:
        if block.override_library:
            block.make_local(clear_liboverride=True)
    bpy.data.orphans_purge(do_recursive=True)
    if bpy.data.libraries:
        bpy.ops.object.make_local(type="ALL")


def _forget_animation(armature: bpy.types.Object) -> None:
    above: bpy.types.Object | None = armature
    while above is not None:
        data = above.animation_data
        if data is not None:
            data.use_tweak_mode = False  # in which the action cannot be changed
            data.action = None
            for track in list(data.nla_tracks):
                data.nla_tracks.remove(track)
        above = above.parent
    armature.data.pose_position = "POSE"
    for bone in armature.pose.bones:
        bone.matrix_basis.identity()
