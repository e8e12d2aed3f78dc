# SPDX-License-Identifier: GPL-3.0-or-later
"""`map`: shows which bone is which joint, how sure that is, and writes it as a map that can be edited.

Clips are read here; characters in a Blender child, as the queue would.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...motion import joint_maps
from ...motion.bvh import read_bvh
from ...motion.clip_map import map_motion
from ...motion.errors import MotionError
from ...motion.humanoid import FINGERS, JointMap, find_joints
from ...motion.joint_maps import StoredMap
from ...motion.rigify import RigKind, kind
from . import exit_codes, map_file
from .display import fit, pad
from .exit_codes import InputError
from .terminal import Terminal

_CLIP = ".bvh"
_CHARACTERS = (".blend", ".fbx", ".glb", ".gltf")
_PARTS = (
    ("collar", "collar"), ("shoulder", "upper arm"), ("elbow", "forearm"), ("wrist", "hand"),
    ("hip", "thigh"), ("knee", "shin"), ("ankle", "foot"), ("foot", "toes"),
)  # fmt: skip
_TWISTED = {"shoulder", "elbow", "hip", "knee"}
_BONE = 25  # columns
_BY = {"preset": "name", "words": "words", "shape": "shape", "given": "map", "tree": "tree"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    names: tuple[str, ...]
    joints: JointMap
    what: str  # "walk.bvh", "hero.fbx, armature Hero"


def show_map(args: Namespace) -> int:
    """Run the command; its exit code."""
    try:
        wanted = map_file.read(args.map) if args.map else None
        read = _clip(args.file, wanted) if args.file.suffix.lower() == _CLIP else _character(args, wanted)
    except MotionError as error:
        raise InputError(error.code, error.message, details=error.details) from error
    text = joint_maps.to_json(joint_maps.stored(read.joints, read.names))
    if args.out:
        _write(args.out, text)
    if args.json:
        print(text, end="")
        return exit_codes.OK
    print("\n".join(table(read.joints, read.names, read.what)))
    if args.out:
        print(f"\nWritten to {args.out}.")
    return exit_codes.OK


def _clip(path: Path, wanted: StoredMap | None) -> _Read:
    motion = read_bvh(path)
    return _Read(names=motion.skeleton.names, joints=map_motion(motion, wanted), what=path.name)


def _character(args: Namespace, wanted: StoredMap | None) -> _Read:
    path: Path = args.file
    if path.suffix.lower() not in _CHARACTERS:
        raise InputError(
            "file_kind_unknown", f"{path.name} is neither a clip nor a character. Use one of {', '.join((_CLIP, *_CHARACTERS))}."
        )
    # Here and not above: only who reads a character pays for it.
    from ...backends.blender_find import find_blender  # noqa: PLC0415
    from ...backends.children import ChildPool, ChildSettings  # noqa: PLC0415
    from ...backends.protocol import ChildKind  # noqa: PLC0415

    context = Terminal(as_json=False)
    pool = ChildPool(ChildSettings(blender=find_blender(args.blender or None)))
    try:
        arguments = {"character": str(path.absolute()), "armature": args.armature or ""}
        data = pool.run(ChildKind.BLENDER, "backends.retarget.skeleton:run", arguments, context)
    finally:
        context.clear()
        pool.close()
    names, parents = tuple(data["names"]), np.array(data["parents"], dtype=np.int64)
    heads, tails = (np.array(data[key], dtype=np.float64).reshape(-1, 3) for key in ("heads", "tails"))
    if wanted is None:
        joints = find_joints(names, parents, heads, tails)
    else:
        joints = joint_maps.joint_map_from_names(wanted, names, parents, heads, tails)
    return _Read(names=names, joints=joints, what=f"{path.name}, armature {data['armature']}")


def _write(path: Path, text: str) -> None:
    waiting = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting.write_text(text, encoding="utf-8")
        waiting.replace(path)
    except OSError as error:
        raise InputError("output_not_writable", f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        waiting.unlink(missing_ok=True)


def table(joints: JointMap, names: Sequence[str], what: str) -> list[str]:
    """The map as lines of at most 80 columns."""
    out = [fit(f"{what}: {len(names)} bones", 80), ""]
    out.append(f"{'PART':10} {pad('LEFT, OR MIDDLE', _BONE)} {pad('RIGHT', _BONE)} SURE   BY")

    def called(joint: int | None) -> str:
        return names[joint] if joint is not None and joint >= 0 else "-"

    def row(part: str, left: str, right: str, slots: Sequence[str]) -> str:
        sure = [joints.confidence[s] for s in slots if s in joints.confidence]
        by = sorted({_BY[joints.found[s]] for s in slots if s in joints.found})
        share = f"{100 * min(sure):3.0f} %" if sure else "    -"
        return f"{part:10} {pad(left, _BONE)} {pad(right, _BONE)} {share:6} {'/'.join(by)}".rstrip()

    out.append(row("pelvis", called(joints.get("pelvis")), "", ["pelvis"]))
    for part, chain, slot in (("spine", joints.spine, "spine1"), ("neck", joints.neck, "neck")):
        if not chain:
            out.append(row(part, "-", "", []))
        for i, joint in enumerate(chain):
            out.append(row(part if i == 0 else "", called(joint), "", [slot]))
    out.append(row("head", called(joints.get("head")), "", ["head"]))
    for slot, part in _PARTS:
        left, right = f"l_{slot}", f"r_{slot}"
        out.append(row(part, called(joints.get(left)), called(joints.get(right)), [left, right]))
    out += _chains("fingers", [(f, f) for f in FINGERS], joints.fingers, names)
    out += _chains("twist", [(slot, part) for slot, part in _PARTS if slot in _TWISTED], joints.twists, names)
    out.append("")
    out.append(f"Root bone: {fit(called(joints.root), 60) if joints.root >= 0 else 'none'}")
    if kind(names) is RigKind.RIGIFY_CONTROL:
        out.append("A rig that Rigify generated: shown are its deforming bones; its controls are keyed.")
    out.append(_summary(joints))
    return out


def _chains(
    title: str, rows: Sequence[tuple[str, str]], chains: Mapping[str, tuple[int, ...]], names: Sequence[str]
) -> list[str]:
    """Lines for fingers or twist bones: the first bone of each chain and how many follow."""
    out: list[str] = []
    for slot, part in rows:
        cells = []
        for side in "lr":
            chain = chains.get(f"{side}_{slot}", ())
            more = f" +{len(chain) - 1}" if len(chain) > 1 else ""
            cells.append(fit(names[chain[0]], _BONE - len(more)) + more if chain else "-")
        if set(cells) != {"-"}:
            out.append(f"{part:10} {pad(cells[0], _BONE)} {pad(cells[1], _BONE)}".rstrip())
    return [f"{title}:", *out] if out else []


def _summary(joints: JointMap) -> str:
    missing = [slot for slot in joint_maps.JOINTS if slot not in joints.joints]
    if not joints.neck:
        missing.append("neck")
    least = min(joints.confidence, key=lambda name: joints.confidence[name])
    family = {"words": "by the words in names", "shape": "by shape alone", "given": "with the map that was given"}
    how = family.get(joints.preset, f"by names, as {joints.preset} has them")
    have = sum(slot in joints.joints for slot in joint_maps.JOINTS)
    text = f"Found {how}: {have} of {len(joint_maps.JOINTS)} joints"
    text += f", least sure {least} ({100 * joints.confidence[least]:.0f} %)." if joints.confidence[least] < 1.0 else ", all sure."
    return text + (f"\nMissing: {', '.join(missing)}; what they do in a clip is left out." if missing else "")
