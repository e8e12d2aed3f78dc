# SPDX-License-Identifier: GPL-3.0-or-later
"""Joint maps as people keep and edit them: canonical joints and the names of their bones, as JSON; and back onto a skeleton.

A stored map may say as little as one joint: the rest is found as without a map. `null` leaves a joint out. Knows no files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import MotionError
from .humanoid import CANONICAL, FINGERS, OPTIONAL, REQUIRED, JointMap, assemble, find_joints, renumbered, restricted
from .humanoid_shape import Tree
from .quat import Array
from .rigify import deform_skeleton
from .skeleton import Ints

VERSION = 1
MAX_BYTES = 256 * 1024
_FORMAT = "motion_queue.joint_map"
_CHAINED = ("spine1", "spine2", "spine3", "neck")  # these stand in the chains
JOINTS = tuple(name for name in CANONICAL if name not in _CHAINED)
FINGER_KEYS = tuple(f"{side}_{finger}" for side in "lr" for finger in FINGERS)
TWIST_KEYS = tuple(f"{side}_{part}" for side in "lr" for part in ("shoulder", "elbow", "hip", "knee"))
_LONGEST = 64  # bones in a chain


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMap:
    """What a person says about a skeleton, by bone names. What is not in it is found; a joint that is None is left out."""

    joints: Mapping[str, str | None] = field(default_factory=dict)  # canonical joint → bone
    spine: tuple[str, ...] | None = None  # from above the pelvis to the chest
    neck: tuple[str, ...] | None = None  # from above the chest to below the head
    fingers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # "l_thumb" …; empty: none
    twists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # "l_shoulder" …; empty: none
    root: str | None = ""  # "": find it; None: there is none


def stored(joints: JointMap, names: Sequence[str]) -> StoredMap:
    """A map that was found, whole, to be kept and edited."""

    def called(chain: Sequence[int]) -> tuple[str, ...]:
        return tuple(names[j] for j in chain)

    return StoredMap(
        joints={name: names[joints[name]] if name in joints.joints else None for name in JOINTS},
        spine=called(joints.spine),
        neck=called(joints.neck),
        fingers={key: called(joints.fingers.get(key, ())) for key in FINGER_KEYS},
        twists={key: called(joints.twists.get(key, ())) for key in TWIST_KEYS},
        root=names[joints.root] if joints.root >= 0 else None,
    )


def to_json(stored_map: StoredMap) -> str:
    """The text of a map file: one joint a line, so that it is easy to edit and to compare."""
    value: dict[str, Any] = {"format": _FORMAT, "version": VERSION, "joints": dict(stored_map.joints)}
    if stored_map.root != "":
        value["root"] = stored_map.root
    for key, chain in (("spine", stored_map.spine), ("neck", stored_map.neck)):
        if chain is not None:
            value[key] = list(chain)
    for key, chains in (("fingers", stored_map.fingers), ("twists", stored_map.twists)):
        if chains:
            value[key] = {name: list(chain) for name, chain in chains.items()}
    lines = []
    for key, part in value.items():
        if isinstance(part, dict):
            inside = ",\n".join(f"    {_text(name)}: {_text(item)}" for name, item in part.items())
            lines.append(f"  {_text(key)}: {{\n{inside}\n  }}" if part else f"  {_text(key)}: {{}}")
        else:
            lines.append(f"  {_text(key)}: {_text(part)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def from_json(text: str | bytes) -> StoredMap:
    """A map from the text of a file. Raises `MotionError`: bad_joint_map (what is wrong, and where), joint_map_too_new."""
    if len(text) > MAX_BYTES:
        raise _bad(f"it has {len(text):,} bytes, and a joint map has at most {MAX_BYTES:,}")
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(f"it is no JSON: {error}") from error
    if not isinstance(value, dict) or value.get("format") != _FORMAT:
        raise _bad(f'it is no joint map: "format" must be "{_FORMAT}"')
    version = value.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise _bad('"version" must be a whole number above zero')
    if version > VERSION:
        raise MotionError(
            "joint_map_too_new",
            f"The joint map has version {version}; this program reads up to {VERSION}. Update it, or write the map again.",
            details={"version": str(version)},
        )
    known = ("format", "version", "joints", "root", "spine", "neck", "fingers", "twists")
    _refuse_unknown(value, known, "the map")
    joints = _mapping(value.get("joints", {}), "joints")
    _refuse_unknown(joints, JOINTS, "joints")
    for name, bone in joints.items():
        if bone is not None and not (isinstance(bone, str) and bone):
            raise _bad(f"joints.{name} must be the name of a bone or null", where=f"joints.{name}")
    for name in REQUIRED:
        if name in joints and joints[name] is None:
            raise _bad(f"joints.{name} is null, but no body goes without it", where=f"joints.{name}")
    root = value.get("root", "")
    if root is not None and not isinstance(root, str):
        raise _bad("root must be the name of a bone or null", where="root")
    return StoredMap(
        joints=joints,
        spine=_chain(value["spine"], "spine") if "spine" in value else None,
        neck=_chain(value["neck"], "neck") if "neck" in value else None,
        fingers=_chains(value.get("fingers", {}), FINGER_KEYS, "fingers"),
        twists=_chains(value.get("twists", {}), TWIST_KEYS, "twists"),
        root=root,
    )


def _bad(problem: str, *, where: str = "") -> MotionError:
    return MotionError(
        "bad_joint_map",
        f"The joint map cannot be used: {problem}. Correct it, or write a new one with `mq.py map FILE --out MAP.json`.",
        details={"where": where} if where else None,
    )


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad(f"{where} must be an object", where=where)
    return value


def _refuse_unknown(value: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    unknown = [key for key in value if key not in known]
    if unknown:
        raise _bad(f"{where} has {', '.join(map(repr, unknown[:5]))}, and there are only {', '.join(known)}", where=unknown[0])


def _chain(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _LONGEST or not all(isinstance(name, str) and name for name in value):
        raise _bad(f"{where} must be a list of at most {_LONGEST} names of bones", where=where)
    return tuple(value)


def _chains(value: Any, known: Sequence[str], where: str) -> dict[str, tuple[str, ...]]:
    _refuse_unknown(_mapping(value, where), known, where)
    return {key: _chain(chain, f"{where}.{key}") for key, chain in value.items()}


def joint_map_from_names(
    stored_map: StoredMap, names: Sequence[str], parents: Ints, heads: Array, tips: Array | None = None
) -> JointMap:
    """A stored map on a skeleton (as `find_joints` takes it); what it does not say is found, as far as it can be.

    What is given has confidence 1. Raises `MotionError`: joint_map_unknown_bones, joint_map_bone_twice, joint_map_incomplete
    (what is missing, where nothing could be found either), joint_map_order (limbs that are none in this skeleton).
    """
    heads = np.asarray(heads, dtype=np.float64)
    wanted = _check_bones(stored_map, names)
    kept = deform_skeleton(names, parents)
    if kept is not None and wanted <= {names[i] for i in kept[0]}:
        chosen, parents = kept
        inner = _on(stored_map, [names[i] for i in chosen], parents, heads[chosen], None if tips is None else tips[chosen])
        return renumbered(inner, chosen)
    return _on(stored_map, names, parents, heads, tips)


def _on(stored_map: StoredMap, names: Sequence[str], parents: Ints, heads: Array, tips: Array | None) -> JointMap:
    index: dict[str, int] = {}
    for i, name in enumerate(names):
        index.setdefault(name, i)
    given = {slot: index[bone] for slot, bone in stored_map.joints.items() if bone is not None}
    dropped = {slot for slot, bone in stored_map.joints.items() if bone is None}
    found, trouble = None, ""
    try:
        found = find_joints(names, parents, heads, tips)
    except MotionError as error:
        if error.code != "unknown_skeleton":
            raise
        trouble = error.details.get("missing", "")
    taken = set(given.values()) | {index[name] for chain in (stored_map.spine, stored_map.neck) for name in chain or ()}
    base = {} if found is None else {s: j for s, j in found.joints.items() if s in JOINTS[1:] and j not in taken}
    joints = {slot: joint for slot, joint in (base | given).items() if slot not in dropped}
    missing = [slot for slot in REQUIRED if slot not in joints and slot != "pelvis"]
    if missing:
        raise MotionError(
            "joint_map_incomplete",
            f"The joint map leaves out {', '.join(missing)}, and the skeleton does not show it either"
            f"{f' ({trouble})' if trouble else ''}. Name the bones in the map.",
            details={"missing": ", ".join(missing)},
        )
    how = {slot: "given" if slot in given else (found.found.get(slot, "tree") if found else "tree") for slot in joints}
    tree = Tree(parents, heads, tips)
    limbs = {slot: joint for slot, joint in joints.items() if slot != "pelvis"}
    problem = tree.problem(limbs) if given else ""
    if problem:
        # An optional joint that was only found gives way to what was given.
        loose = [slot for slot in limbs if slot not in given and slot[2:] in OPTIONAL]
        limbs = {slot: joint for slot, joint in limbs.items() if slot not in loose}
        problem = tree.problem(limbs)
        joints = {slot: joint for slot, joint in joints.items() if slot not in loose}
    if problem:
        raise MotionError(
            "joint_map_order",
            f"The joint map does not fit this skeleton: {problem}. Correct the bones it names.",
            details={"problem": problem},
        )

    def chain(wanted: Sequence[str] | None, otherwise: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return tuple(index[name] for name in wanted) if wanted is not None else otherwise

    unchanged = found is not None and all(found.joints.get(slot) == joint for slot, joint in joints.items())
    result = assemble(
        names,
        tree,
        joints,
        family=found.preset if unchanged and found is not None else "given",
        found=how,
        spine=chain(stored_map.spine, found.spine if unchanged and found is not None else None),
        neck=chain(stored_map.neck, found.neck if unchanged and found is not None else None),
    )
    return restricted(
        result,
        fingers={key: tuple(index[n] for n in bones) for key, bones in stored_map.fingers.items()},
        twists={key: tuple(index[n] for n in bones) for key, bones in stored_map.twists.items()},
        root=result.root if stored_map.root == "" else -1 if stored_map.root is None else index[stored_map.root],
        confidence=dict.fromkeys(given, 1.0),
        base=found if unchanged else None,
    )


def _check_bones(stored_map: StoredMap, names: Sequence[str]) -> set[str]:
    """The bones that are named: each of them exists, and is named once."""
    wanted = [(slot, bone) for slot, bone in stored_map.joints.items() if bone is not None]
    wanted += [("spine", bone) for bone in stored_map.spine or ()] + [("neck", bone) for bone in stored_map.neck or ()]
    wanted += [(f"fingers.{key}", bone) for key, chain in stored_map.fingers.items() for bone in chain]
    wanted += [(f"twists.{key}", bone) for key, chain in stored_map.twists.items() for bone in chain]
    wanted += [("root", stored_map.root)] if stored_map.root else []
    known = set(names)
    unknown = [f"{bone!r} ({slot})" for slot, bone in wanted if bone not in known]
    if unknown:
        raise MotionError(
            "joint_map_unknown_bones",
            f"The joint map names bones that this skeleton does not have: {', '.join(unknown[:8])}"
            f"{' …' if len(unknown) > 8 else ''}. It was made for another rig, or bones were renamed.",
            details={"bones": ", ".join(unknown[:50])},
        )
    seen: dict[str, str] = {}
    for slot, bone in wanted:
        if bone in seen:
            raise MotionError(
                "joint_map_bone_twice",
                f"The joint map uses the bone {bone!r} twice, for {seen[bone]} and for {slot}. A bone can be one thing only.",
                details={"bone": bone, "first": seen[bone], "second": slot},
            )
        seen[bone] = slot
    return set(seen)
